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
//   - No frames are left: arenas of others that have room become everyone's.
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
//
// What is not kept: the lowest address first, across processors; each has its own lowest.
//
// Shortcomings: a free of another's block costs an interrupt of that processor, once for each arena
// and each time that it was taken over again; then each call there takes the lock. The checked
// build has no such arenas: all of its calls take a lock anyway.
#include "kernel/local.h"

#include <stddef.h>

#include "kernel/ask.h"
#include "kernel/spinlock.h"
#include "lib/string.h"

PER_PROCESSOR struct memory_block_desc *local_desc_of[BLOCK_SIZE_MAX / BLOCK_ALIGN];
PER_PROCESSOR uint32_t local_seal;
bool local_begun;

static struct memory_block_desc *descs[PROCESSORS_MAX]; // by processor; NULL: none

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

void local_make(uint32_t n, void *page) {
    struct memory_block_desc *table = page;
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        struct memory_block_desc *desc = &table[i];
        *desc = k_heap.block_descs[i];
        desc->seal = SMALL_SEAL + (n + 1) * SEAL_STEP;
        desc->arenas = 0;
        desc->reserve = NULL;
        list_init(&desc->free_list);
    }
    descs[n] = table;
}

void local_begin(void) {
    local_sizes();
#ifndef HEAP_CHECKED
    struct memory_block_desc *table = descs[processor_number];
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

// The processor whose own the arena at p is, this one excepted, or NO_PROCESSOR.
static uint32_t other_owner(uintptr_t p, struct arena **arena) {
    uint32_t frame = (uint32_t)((p - k_heap.base) >> PG_SHIFT);
    if (frame >= k_heap.frames) return NO_PROCESSOR;
    *arena = record_at(&k_heap, frame);
    if (!*arena) return NO_PROCESSOR;
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

// While this waits for the lock the arena may become everyone's, and more.
HEAP_QUICK void local_close(struct arena *arena) {
    struct memory_block_desc *desc = arena->desc;
    uint32_t state = spin_save(&heap_lock);
    // cppcheck-suppress knownConditionTrueFalse // it does not know that others wrote meanwhile
    if (arena->desc == desc && desc->reserve != arena && arena->cnt == desc->blocks_per_arena)
        arena_close(arena);
    spin_restore(&heap_lock, state);
}

uint32_t local_trim(void) {
    uint32_t state = spin_save(&heap_lock);
    processors_hold();
    uint32_t before = k_heap.pool.free;
    for (uint32_t n = 0; local_begun && n < processors_online; n++) {
        for (uint32_t i = 0; i < k_heap.desc_count; i++) {
            struct arena *arena = descs[n][i].reserve;
            bool empty = arena && arena->cnt == arena->desc->blocks_per_arena;
            if (empty) arena_move(arena, &k_heap.block_descs[i]);
        }
    }
    uint32_t frames = k_heap.pool.free - before;
    processors_release();
    spin_restore(&heap_lock, state);
    return frames;
}
