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
//   - A block of another processor's arena is freed. That arena becomes everyone's first: its
//     processor is interrupted and gives it up, while the one that asks waits with interrupts on.
//     Then the free is judged and done as with one processor. Where there is no time for that
//     (interrupts were off), or it came to nothing, the other processor is made to stand still for
//     the moment that it takes (kernel/ask.h), so that it is in no fast path.
//   - A processor's own arenas have no room, and there is one of everyone's: if at least an eighth
//     of it is free, the processor takes it over.
//   - No frames are left: one processor after another gives back its empty arenas and the frames
//     that it keeps, until a run is found; arenas that have room become everyone's.
// A processor opens and closes its own arenas without the lock, on frames of a pool of its own:
// only filling that pool from the heap's, and spilling from it, takes the lock. The frames have
// records in the heap's table; a tag in them says in which pool a free run is.
//
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
//       processor that has heap_lock and has made n stand still. From one processor to another, or
//       to everyone, it goes under heap_lock only. On frames that n keeps n may open one at any
//       moment, so a blank record is looked at once: what was no block then is a wrong pointer.
//   L2  An arena's seal is its descriptor's.
//   L3  Where a processor waits with interrupts off, and may be made to stand still, its arenas
//       satisfy A1 to A6 (memory.c), and its pool F1 to F4 (pool.h).
//   L4  A processor's pool is changed as its arenas are (L1). small_frames counts its frames.
//
// What is not kept: the lowest address first, across processors; each has its own lowest.
//
// Shortcomings: a free of another's block costs an interrupt of that processor, once for each arena
// and each time that it was taken over again; then each call there takes the lock. Where all
// processors work on areas of more than two frames, they wait for it. The checked build has no such
// arenas: all of its calls take a lock anyway.
#include "kernel/local.h"

#include <stddef.h>

#include "kernel/ask.h"
#include "kernel/hints.h"
#include "kernel/layout.h"
#include "kernel/runs.h"
#include "kernel/spinlock.h"
#include "lib/string.h"

PER_PROCESSOR struct memory_block_desc *local_desc_of[BLOCK_SIZE_MAX / BLOCK_ALIGN];
PER_PROCESSOR uint32_t local_seal;
bool local_begun;

static struct memory_block_desc *descs[PROCESSORS_MAX]; // by processor; NULL: none

// Free frames that a processor keeps for its arenas (L4), at most KEPT_MAX after a call. Of these
// pools only the runs are in use: frame, end, free, nonempty, bin.
static struct pool pools[PROCESSORS_MAX];
#define KEPT_STEP 32u
#define KEPT_MAX (2 * KEPT_STEP)

// Blocks that a processor is to take from everyone's arenas, by descriptor, before it takes an
// arena over. Changed under heap_lock.
static uint8_t borrow[PROCESSORS_MAX][DESC_MAX];
#define BORROW 64u

_Static_assert(DESC_MAX * sizeof(struct memory_block_desc) <= PG_SIZE, "a table is a page");
_Static_assert(SEALS == PROCESSORS_MAX + 1, "a seal for each processor, and one for all");
_Static_assert((FRAME_KEPT(PROCESSORS_MAX - 1) & (FRAME_LENGTH | FRAME_LENT)) == 0, "bits apart");

struct memory_block_desc *local_descs(uint32_t n) {
    return n < PROCESSORS_MAX ? descs[n] : NULL;
}

const struct pool *local_kept(uint32_t n) {
    return n < PROCESSORS_MAX && pools[n].frame ? &pools[n] : NULL;
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
    pools[processor_number].frame = k_heap.pool.frame;
    pools[processor_number].end = k_heap.pool.end;
    local_begun = true;
#endif
}

// ---- whose a descriptor is ----------------------------------------------------------------------

#define NO_PROCESSOR PROCESSORS_MAX
#define ANY_PROCESSOR (PROCESSORS_MAX + 1)

// The processor whose own descriptor `desc` is; NO_PROCESSOR for the heap's and a wild pointer,
// ANY_PROCESSOR for NULL.
static uint32_t owner_of(const struct memory_block_desc *desc) {
    uintptr_t common = (uintptr_t)desc - (uintptr_t)k_heap.block_descs;
    if (LIKELY(common < sizeof k_heap.block_descs)) return NO_PROCESSOR;
    for (uint32_t n = 0; n < processors_online; n++) {
        uintptr_t into = (uintptr_t)desc - (uintptr_t)descs[n];
        if (into < k_heap.desc_count * sizeof *desc && into % sizeof *desc == 0) return n;
    }
    return desc ? NO_PROCESSOR : ANY_PROCESSOR;
}

// The record that leads from an address, or NULL.
static struct arena *local_record(uintptr_t p) {
    uint32_t frame = (uint32_t)((p - HEAP_BASE) >> PG_SHIFT);
    return frame < k_heap.frames ? record_at(&k_heap, frame) : NULL;
}

// Whose the arena at p is, this processor excepted. NO_PROCESSOR: it changes under heap_lock only,
// or is this processor's. ANY_PROCESSOR: there is none now, but any processor may open one there
// meanwhile, on frames that it keeps.
static uint32_t other_owner(uintptr_t p, struct arena **arena) {
    *arena = local_record(p);
    if (!local_begun || !*arena || (*arena)->large) return NO_PROCESSOR;
    uint32_t owner = owner_of((*arena)->desc);
    return owner == processor_number ? NO_PROCESSOR : owner;
}

// Makes a processor stand still on which other_owner() came; false if it had changed the arena
// before it stood, and then it does not.
static bool owner_hold(uint32_t owner, uintptr_t p, const struct arena *arena) {
    processor_hold(owner);
    if (local_record(p) == arena && owner_of(arena->desc) == owner) return true;
    processor_release(owner);
    return false;
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

// A processor's own arena becomes everyone's: that processor stands still, or is this one. An arena
// whose record was written over stays where it is: its free is refused.
static void arena_share(uint32_t owner, struct arena *arena) {
    if (!arena_sealed(arena)) return;
    borrow[owner][arena->desc - descs[owner]] = BORROW;
    arena_move(arena, common_of(arena->desc));
}

// ---- a processor's pool -------------------------------------------------------------------------

// Frames out of a pool for one of its processor's arenas, or NULL.
static struct frame *kept_take(uint32_t n, uint32_t count) {
    struct frame *tail = run_find(&pools[n], count);
    if (!tail) return NULL;
    struct frame *first = run_cut(&pools[n], tail, count, FRAME_KEPT(n));
    first->run = FRAME_USED | count;
    return first;
}

static void kept_give(uint32_t n, struct frame *first, uint32_t count) {
    run_join(&pools[n], first, count, FRAME_KEPT(n));
}

// KEPT_STEP frames of the heap's for a pool. False if there is no such run.
static bool kept_fill(uint32_t n) {
    struct frame *tail = run_find(&k_heap.pool, KEPT_STEP);
    if (!tail) return false;
    struct frame *first = run_cut(&k_heap.pool, tail, KEPT_STEP, FRAME_FREE);
    k_heap.small_frames += KEPT_STEP;
    kept_give(n, first, KEPT_STEP);
    return true;
}

// Gives the heap one of a pool's longest runs, or KEPT_STEP frames of it. There is one.
static void kept_spill(uint32_t n) {
    uint32_t word = floor_log2(pools[n].nonempty_words);
    struct frame *tail = pools[n].bin[word * 32 + floor_log2(pools[n].nonempty[word])];
    uint32_t run = FRAME_RUN(tail->run), count = run < KEPT_STEP ? run : KEPT_STEP;
    struct frame *first = run_cut(&pools[n], tail, count, FRAME_KEPT(n));
    k_heap.small_frames -= count;
    run_join(&k_heap.pool, first, count, FRAME_FREE);
}

// ---- for kernel/port.h --------------------------------------------------------------------------

// One of everyone's arenas that this processor should use before it opens one of its own, or NULL.
// Where heap_lock is not held, the answer is a guess, and the list is read once: it may change.
static struct arena *arena_to_bring(struct memory_block_desc *common) {
    struct list_elem *head = &common->free_list.head;
    struct list_elem *first = __atomic_load_n(&head->next, __ATOMIC_RELAXED);
    if (first == head) return NULL;
    struct arena *arena = list_entry(first, struct arena, elem);
    bool borrows = borrow[processor_number][common - k_heap.block_descs] > 0;
    return borrows || arena->cnt >= common->blocks_per_arena / 8 ? arena : NULL;
}

bool local_open(struct memory_block_desc *desc) {
    if (desc->seal == SMALL_SEAL) return false;
    if (!list_empty(&desc->free_list)) return true;
    if (arena_to_bring(common_of(desc))) return false;
    struct frame *first = kept_take(processor_number, desc->frames_per_arena);
    if (first) arena_make(desc, first);
    return first != NULL;
}

// A pool that holds much, and no run of that length, is not filled: the arena's frames are then the
// heap's, and its opening takes the lock. A step of its own, so that each is short.
bool local_fill(struct memory_block_desc *common) {
    if (arena_to_bring(common)) return false;
    uint32_t state = spin_save(&heap_lock), n = processor_number;
    bool found = run_find(&pools[n], common->frames_per_arena) != NULL; // moved since local_open()
    if (!found && pools[n].free <= KEPT_MAX - KEPT_STEP) found = kept_fill(n);
    spin_restore(&heap_lock, state);
    return found;
}

bool local_bring(struct memory_block_desc **desc) {
    struct memory_block_desc *own = *desc, *common = common_of(own);
    struct arena *arena = own == common ? NULL : arena_to_bring(common);
    if (!arena) return false;
    uint8_t *left = &borrow[processor_number][common - k_heap.block_descs];
    if (*left == 0) {
        arena_move(arena, own);
    } else {
        --*left;
        *desc = common;
    }
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

// If an arena was closed between the look and the hold, its blocks were all free at that moment.
bool local_share(uintptr_t p) {
    struct arena *arena;
    uint32_t owner = other_owner(p, &arena);
    if (owner == NO_PROCESSOR) return true;
    if (owner == ANY_PROCESSOR || !owner_hold(owner, p, arena)) return false;
    arena_share(owner, arena);
    processor_release(owner);
    return true;
}

uint32_t local_hold(uintptr_t p) {
    struct arena *arena;
    uint32_t owner = other_owner(p, &arena);
    return owner < NO_PROCESSOR && owner_hold(owner, p, arena) ? owner : NO_PROCESSOR;
}

// An address in an arena that its processor is to give up, by processor; 0: none. Set from 0 by one
// that asks, cleared by that processor.
static uintptr_t wanted[PROCESSORS_MAX];

static bool want(uint32_t owner, uintptr_t p) {
    uintptr_t none = 0;
    return __atomic_compare_exchange_n(&wanted[owner], &none, p, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

static uintptr_t wanted_of(uint32_t n) { return __atomic_load_n(&wanted[n], __ATOMIC_ACQUIRE); }

// One that finds another's wish there tries again, as with a spinlock.
void local_ask(uintptr_t p) {
    struct arena *arena;
    for (bool asked = false; !asked && processors_many;) {
        uint32_t owner = other_owner(p, &arena);
        if (owner >= NO_PROCESSOR) return;
        asked = want(owner, p);
        if (asked) processor_kick(owner);
        irq_enable();
        do cpu_pause();
        while (asked && processors_many && wanted_of(owner) == p);
        irq_disable();
    }
}

void local_answer(void) {
    uint32_t n = processor_number;
    uintptr_t p = wanted_of(n);
    if (p == 0) return;
    uint32_t state = spin_save(&heap_lock);
    struct arena *arena = local_record(p);
    if (arena && owner_of(arena->desc) == n) arena_share(n, arena);
    spin_restore(&heap_lock, state);
    __atomic_store_n(&wanted[n], 0, __ATOMIC_RELEASE);
}

// The last that a free does: with interrupts on, as they were before it, no device need wait while
// this waits for the lock. Meanwhile this thread may move to another processor.
static void spill_later(void) {
    uint32_t n = processor_number;
    irq_enable();
    uint32_t state = spin_save(&heap_lock);
    processor_hold(n);
    if (pools[n].free > KEPT_MAX) kept_spill(n);
    processor_release(n);
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
    uint32_t n = processor_number, count = arena->desc->frames_per_arena;
    kept_give(n, arena_unmake(arena), count);
    if (pools[n].free > KEPT_MAX) spill_later();
}

static void reserves_close(struct memory_block_desc *table) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        struct arena *arena = table[i].reserve;
        table[i].reserve = NULL;
        bool sound = arena && arena_sum(arena) == table[i].seal;
        if (sound && arena->cnt == table[i].blocks_per_arena) arena_close(arena);
    }
}

// Gives the heap all that processor n keeps: empty arenas, and frames. Locked.
static void give_all(uint32_t n) {
    processor_hold(n);
    reserves_close(descs[n]);
    while (pools[n].free > 0) kept_spill(n);
    processor_release(n);
}

// One processor after the other, until a run is found.
bool local_need(uint32_t count) {
    if (count > k_heap.pool.free + k_heap.small_frames) return false;
    reserves_close(k_heap.block_descs);
    for (uint32_t n = 0; local_begun && n < processors_online; n++) {
        if (run_find(&k_heap.pool, count)) return true;
        give_all(n);
    }
    return run_find(&k_heap.pool, count) != NULL;
}

uint32_t local_trim(void) {
    uint32_t frames = 0;
    for (uint32_t n = 0; local_begun && n < processors_online; n++) {
        uint32_t state = spin_save(&heap_lock), before = k_heap.pool.free;
        give_all(n);
        frames += k_heap.pool.free - before;
        spin_restore(&heap_lock, state);
    }
    return frames;
}
