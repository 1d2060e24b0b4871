// thread.c - see port.h: which owner a thread is.
//
// Theory. A thread takes an owner (tools/libgranary/owners.h) at its first allocation and leaves it
// when it ends; the next thread that starts goes on with its arenas. A thread that has none - it
// has only freed so far, or it is about to end - frees as any other owner does to blocks that are
// not its own. If it allocates at such a time, or when all owners are taken, it is the common owner
// for the length of that call. One owner is kept free for that.
//
// Shortcoming: it is kept in number. Its record is memory, which there may be none of by then.
//
// Invariants:
//   T1  An owner is at most one thread's, or the common one's holder's, or idle.
#include <linux/membarrier.h>
#include <pthread.h>

#include "kernel/hints.h"
#include "kernel/memory.h"
#include "lib/string.h"
#include "tools/libgranary/owners.h"
#include "tools/libgranary/port.h"
#include "tools/libgranary/settings.h"
#include "tools/libgranary/system.h"

// No record adds up to its seal, and no size is small enough for it.
#define NO_SEAL 1u
static struct owner none = {.seal = NO_SEAL};
__thread struct owner *granary_me = &none;
__thread uintptr_t granary_seal = NO_SEAL;
static __thread bool ending; // this thread has left its owner

static pthread_key_t key; // its destructor is told of a thread's end
static struct owner *common;
uint32_t granary_common_held;

static void be(struct owner *owner) {
    granary_me = owner;
    granary_seal = owner->seal;
}

static void leave(void *owner) {
    be(&none);
    ending = true;
    owner_leave(owner);
    granary_touches_told();
}

// This thread's owner, or NULL.
static struct owner *join(void) {
    if (granary_me != &none) return granary_me;
    if (ending) return NULL;
    struct owner *owner = owner_take(&k_heap, OWNERS_MAX - (LOOK(common) == NULL));
    if (!owner) return NULL;
    be(owner); // before what may allocate
    pthread_setspecific(key, owner);
    return owner;
}

static void *take(size_t size) {
    struct owner *me = join();
    if (me) return shared_malloc(me, size);
    system_lock(&granary_common_held);
    if (!common) STORE(common, owner_take(&k_heap, OWNERS_MAX));
    void *p = common ? shared_malloc(common, size) : NULL;
    granary_touches_told();
    system_unlock(&granary_common_held);
    return p;
}

void granary_area(void *p, size_t size) {
    uint32_t changed = granary_touch((uintptr_t)p, size);
    granary_touches_told();
    if (changed && granary_over() && granary_me != &none) owner_pages_back(granary_me, NULL);
}

void *owners_malloc(struct heap *heap, size_t size) {
    void *p = take(size);
    if (LIKELY(p) && size > heap->block_max) granary_area(p, size);
    return p;
}

void *granary_zeroed(size_t size) {
    void *p = take(size);
    if (UNLIKELY(!p)) return NULL;
    if (size <= k_heap.block_max) return memset(p, 0, size);
    granary_clear(p, size);
    granary_area(p, size);
    return p;
}

bool owners_free(struct heap *heap, uintptr_t p, uintptr_t caller) {
    return shared_free(heap, granary_me, p, caller);
}

uint32_t granary_all_home(void) {
    uint32_t frames = owners_trim_idle(&k_heap);
    return frames + (granary_me != &none ? owner_gather(granary_me) : 0);
}

uint32_t owners_trim(struct heap *heap) {
    uint32_t frames = owners_trim_idle(heap);
    system_lock(&granary_common_held);
    if (common) frames += shared_trim(common);
    system_unlock(&granary_common_held);
    return frames + (granary_me != &none ? shared_trim(granary_me) : 0);
}

// ---- the barrier --------------------------------------------------------------------------------

void port_barrier(void) { SYSTEM(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0); }

void granary_owners_start(void) {
    granary_owners.marks =
        SYSTEM(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0;
    owners_init(&k_heap, &granary_owners);
    if (pthread_key_create(&key, leave) != 0 || !join()) granary_refuse("no memory for an owner");
}

// ---- fork ---------------------------------------------------------------------------------------

void granary_owners_fork_prepare(void) { system_lock(&granary_common_held); }
void granary_owners_fork_parent(void) { system_unlock(&granary_common_held); }

void granary_owners_fork_child(void) {
    granary_common_held = 0;
    owners_recover(&k_heap, granary_me, common);
}
