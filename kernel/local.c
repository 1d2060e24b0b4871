// local.c - see local.h: arenas of a processor's own, and how they change hands.
//
// Theory. An arena of k_heap is one processor's own, or everyone's. Whose it is, its descriptor and
// its seal say: each processor has a table of descriptors beside the heap's, and each table a seal.
// So sys_malloc() finds the processor's own arenas where it always looks, in the list of the
// descriptor for a size, and sys_free() sees by the same comparison that proves a record sound that
// the arena is its own. Their fast paths are what they are with one processor, to the instruction:
// interrupts off, and no lock.
//
// Everything else takes heap_lock:
//   - A block of another processor's arena is freed. That arena becomes everyone's first: the other
//     processor is made to stand still for the moment that this takes (kernel/ask.h), so that it
//     is in no fast path. Then the free is judged and done as with one processor.
//   - A processor's own arenas have no room. It takes over one of everyone's, if at least an eighth
//     of it is free, or opens one.
//   - An arena is to be closed: one that is empty beside its descriptor's reserve, and LOCAL_SPARES
//     others that came after it. Its thread waits for the lock with interrupts on.
//   - No frames are left: empty arenas of all are closed; others that have room become everyone's.
// A large area is everyone's, too. So that the small ones among them need no lock, the table gets
// two sizes more where there are several processors: a large area of one or two frames is a block
// there, of an arena of four. (Where no arena of four can be had, it is a large area again.)
//
// If one processor makes blocks that another frees, an arena would go to and fro with every block.
// So a processor that has lost an arena of a size takes its next blocks of that size from
// everyone's arenas, BORROW of them, and leaves the arenas where they are.
//
// That is exact: each record is at each moment worked on by one processor, its own or the one that
// has the lock. A pointer is judged, and its block's bit changed, in one stretch that no other
// processor is in. So of two frees of a block on two processors at the same time one comes first,
// and the other is a double free, refused at the call, as with one processor. And nothing is kept
// in a cache or a queue on the way home: a block is live or free.
//
// Invariants:
//   L1  An arena whose descriptor is processor n's is changed by n, with interrupts off, or by a
//       processor that has heap_lock and has made n stand still. `desc` itself changes under
//       heap_lock only.
//   L2  An arena's seal is its descriptor's.
//   L3  Where a processor waits with interrupts off, and may be made to stand still, its arenas
//       satisfy A1 to A6 (memory.c).
//   L4  A5 with "or one of the spares, or about to be closed" for a processor's own.
//
// What is not kept: the lowest address first, across processors; each has its own lowest.
//
// Shortcomings: a free of another's block costs an interrupt of that processor, once for each arena
// and each time that it was taken over again; then each call there takes the lock. Where all
// processors empty one arena after the other, they wait for it. The checked build has no such
// arenas: all of its calls take a lock anyway.
#include "kernel/local.h"

#include <stddef.h>

#include "kernel/ask.h"
#include "kernel/layout.h"
#include "kernel/spinlock.h"
#include "lib/string.h"

PER_PROCESSOR struct memory_block_desc *local_desc_of[BLOCK_SIZE_MAX / BLOCK_ALIGN];
PER_PROCESSOR uint32_t local_seal;
bool local_begun;
volatile uint32_t local_closing;

static struct memory_block_desc *descs[PROCESSORS_MAX]; // by processor; NULL: none

// Empty arenas of a processor's own, that it keeps beside its reserves. One that was used
// meanwhile, or is not its own any more, only fills a place. Changed as an arena is (L1).
static struct ring {
    struct arena *arena[LOCAL_SPARES];
    uint32_t next;
} spares[PROCESSORS_MAX];

// Blocks that a processor is to take from everyone's arenas, by descriptor, before it takes an
// arena over. Protected by heap_lock.
static uint8_t borrow[PROCESSORS_MAX][DESC_MAX];
#define BORROW 64u

_Static_assert(DESC_MAX * sizeof(struct memory_block_desc) <= PG_SIZE, "a table is a page");
_Static_assert(SEALS == PROCESSORS_MAX + 1, "a seal for each processor, and one for all");

struct memory_block_desc *local_descs(uint32_t n) {
    return n < PROCESSORS_MAX ? descs[n] : NULL;
}

// ---- the beginning ------------------------------------------------------------------------------

void local_sizes(void) {
    memcpy(local_desc_of, k_heap.desc_of, sizeof local_desc_of);
    local_seal = SMALL_SEAL;
}

void local_page(uint32_t n, void *page) { descs[n] = page; }

// Frames of an arena of large blocks: the more, the fewer calls need the lock, and the longer they
// have it.
#define LARGE_FRAMES 4u

// In the checked build all calls take a lock anyway.
void local_first(void) {
#ifndef HEAP_CHECKED
    for (uint32_t size = PG_SIZE; size <= BLOCK_SIZE_MAX; size += PG_SIZE) {
        if (size > k_heap.block_max && k_heap.desc_count < DESC_MAX)
            block_desc_add(&k_heap, size, LARGE_FRAMES);
    }
#endif
}

static void descs_make(struct memory_block_desc *table, uint32_t seal) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        struct memory_block_desc *desc = &table[i];
        *desc = k_heap.block_descs[i];
        desc->seal = seal;
        desc->arenas = 0;
        desc->reserve = NULL;
        list_init(&desc->free_list);
    }
}

void local_begin(void) {
    struct memory_block_desc *table = descs[processor_number];
    local_sizes();
    descs_make(table, SMALL_SEAL + (processor_number + 1) * SEAL_STEP);
#ifndef HEAP_CHECKED
    for (uint32_t slot = 0; slot < k_heap.block_max / BLOCK_ALIGN; slot++) {
        local_desc_of[slot] = table + (k_heap.desc_of[slot] - k_heap.block_descs);
    }
    local_seal = table->seal;
    local_begun = true;
#endif
}

// ---- whose a descriptor is ----------------------------------------------------------------------

#define NO_PROCESSOR PROCESSORS_MAX

// The processor whose own descriptor `desc` is, or NO_PROCESSOR: that of the heap, or a wild
// pointer.
static uint32_t owner_of(const struct memory_block_desc *desc) {
    for (uint32_t n = 0; n < processors_online; n++) {
        uintptr_t into = (uintptr_t)desc - (uintptr_t)descs[n];
        if (into < k_heap.desc_count * sizeof *desc && into % sizeof *desc == 0) return n;
    }
    return NO_PROCESSOR;
}

// The heap's descriptor of the same size.
static struct memory_block_desc *common_of(const struct memory_block_desc *desc) {
    return k_heap.desc_of[(desc->block_size - 1) / BLOCK_ALIGN];
}

// ---- from hand to hand, with heap_lock held and the owner standing still ------------------------

// A descriptor keeps one empty arena (A5): the one that comes, as the other is still to be used.
static void reserve_set(struct memory_block_desc *desc, struct arena *arena) {
    struct arena *before = desc->reserve;
    desc->reserve = arena;
    if (before && before != arena && before->cnt == desc->blocks_per_arena) arena_close(before);
}

static void arena_move(struct arena *arena, struct memory_block_desc *to) {
    struct memory_block_desc *from = arena->desc;
    if (arena->cnt != 0) list_remove(&arena->elem);
    if (from->reserve == arena) from->reserve = NULL;
    from->arenas--;
    arena->desc = to;
    arena->seal += to->seal - arena_sum(arena);
    to->arenas++;
    if (arena->cnt != 0) list_push(&to->free_list, &arena->elem);
    if (arena->cnt == to->blocks_per_arena) reserve_set(to, arena);
}

// A processor's own arena becomes everyone's. One whose record was written over stays where it is:
// its free is refused.
static void arena_share(uint32_t owner, struct arena *arena) {
    processor_hold(owner);
    if (arena_sealed(arena)) {
        borrow[owner][arena->desc - descs[owner]] = BORROW;
        arena_move(arena, common_of(arena->desc));
    }
    processor_release(owner);
}

// ---- for kernel/port.h --------------------------------------------------------------------------

bool local_bring(struct memory_block_desc **desc) {
    struct memory_block_desc *own = *desc, *common = common_of(own);
    struct list_elem *first = own == common ? NULL : list_first(&common->free_list);
    if (!first) return false;
    struct arena *arena = list_entry(first, struct arena, elem);
    uint8_t *left = &borrow[processor_number][common - k_heap.block_descs];
    if (*left > 0) {
        --*left;
        *desc = common;
        return true;
    }
    if (arena->cnt < common->blocks_per_arena / 8) return false;
    arena_move(arena, own);
    return true;
}

// Any of everyone's, however little is free in it, or else of another processor.
bool local_gather(struct memory_block_desc **desc) {
    struct memory_block_desc *common = common_of(*desc);
    ptrdiff_t index = common - k_heap.block_descs;
    for (uint32_t n = 0; list_empty(&common->free_list) && n < processors_online; n++) {
        if (n == processor_number || !local_begun) continue;
        processor_hold(n);
        struct list_elem *first = list_first(&descs[n][index].free_list);
        if (first) arena_move(list_entry(first, struct arena, elem), common);
        processor_release(n);
    }
    *desc = common;
    return !list_empty(&common->free_list);
}

// The record that leads from an address, or NULL.
static struct arena *local_record(uintptr_t p) {
    uint32_t frame = (uint32_t)((p - HEAP_BASE) >> PG_SHIFT);
    return frame < k_heap.frames ? record_at(&k_heap, frame) : NULL;
}

// The processor whose own the arena at p is, this one excepted, or NO_PROCESSOR.
static uint32_t other_owner(uintptr_t p, struct arena **arena) {
    *arena = local_record(p);
    if (!*arena || (*arena)->large || arena_sum(*arena) == SMALL_SEAL) return NO_PROCESSOR;
    uint32_t owner = owner_of((*arena)->desc);
    return owner == processor_number ? NO_PROCESSOR : owner;
}

void local_share(uintptr_t p) {
    struct arena *arena;
    uint32_t owner = other_owner(p, &arena);
    if (owner != NO_PROCESSOR) arena_share(owner, arena);
}

uint32_t local_hold(uintptr_t p) {
    struct arena *arena;
    uint32_t owner = other_owner(p, &arena);
    processor_hold(owner);
    return owner;
}

// An empty arena of an own descriptor, to be closed: not the reserve, which stays.
static bool may_close(const struct arena *arena, uint32_t seal) {
    return arena && arena_sum(arena) == seal && arena->cnt == arena->desc->blocks_per_arena &&
           arena->desc->reserve != arena;
}

// The last that a free does, so what it had locked may go: with interrupts on, as they were before
// it, others need not wait while this waits for the lock. Meanwhile the arena may be used again or
// become everyone's, and this thread move to another processor.
static void close_later(struct arena *arena) {
    uint32_t owner = processor_number, seal = local_seal;
    __atomic_add_fetch(&local_closing, 1, __ATOMIC_SEQ_CST);
    irq_enable();
    uint32_t state = spin_save(&heap_lock);
    processor_hold(owner);
    if (may_close(arena, seal)) arena_close(arena);
    __atomic_sub_fetch(&local_closing, 1, __ATOMIC_SEQ_CST);
    processor_release(owner);
    spin_restore(&heap_lock, state);
    irq_disable();
}

// Of another heap, or with the lock held already: at once, whatever the interrupts were.
HEAP_QUICK void local_close(struct arena *arena) {
    if (arena->desc->heap != &k_heap || spin_held(&heap_lock)) {
        uint32_t state = spin_enter(&heap_lock, 0);
        arena_close(arena);
        spin_restore(&heap_lock, state);
        return;
    }
    struct ring *ring = &spares[processor_number];
    struct arena *before = ring->arena[ring->next];
    ring->arena[ring->next] = arena;
    ring->next = (ring->next + 1) % LOCAL_SPARES;
    if (may_close(before, local_seal)) close_later(before);
}

static void reserves_close(struct memory_block_desc *table) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        struct arena *arena = table[i].reserve;
        table[i].reserve = NULL;
        if (may_close(arena, table[i].seal)) arena_close(arena);
    }
}

static void spares_close(const struct ring *ring, uint32_t seal) {
    for (uint32_t i = 0; i < LOCAL_SPARES; i++) {
        if (may_close(ring->arena[i], seal)) arena_close(ring->arena[i]);
    }
}

// Closes everyone's empty arenas, and those of all processors. Frames given back.
static uint32_t all_close(void) {
    uint32_t before = k_heap.pool.free;
    processors_hold();
    reserves_close(k_heap.block_descs);
    for (uint32_t n = 0; local_begun && n < processors_online; n++) {
        reserves_close(descs[n]);
        spares_close(&spares[n], descs[n]->seal);
    }
    processors_release();
    return k_heap.pool.free - before;
}

bool local_need(void) { return all_close() > 0; }

uint32_t local_trim(void) {
    uint32_t state = spin_save(&heap_lock), frames = all_close();
    spin_restore(&heap_lock, state);
    return frames;
}
