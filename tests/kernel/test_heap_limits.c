// test_heap_limits.c - the heap at the edge of memory, and under several threads.
//
// Whatever table of block sizes was booted (ktest_heap.h). Single frames are taken past the heap,
// so that "every frame" means that in a table too whose blocks come in arenas of several.
#include "device/timer.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/layout.h"
#include "kernel/measure/irqwatch.h"
#include "kernel/memory.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"
#include "tests/kernel/ktest_heap.h"
#include "thread/thread.h"

// All of the kernel pool, in every form in which it can be had.
struct everything {
    void *block;         // of 100 bytes
    struct chain areas;  // of the smallest size that is whole frames
    struct chain blocks; // of every size
    struct chain rest;   // single frames: where an area or arena of several found no room
    struct chain row;    // single frames that lie side by side, those given last lowest
};

// Takes it, and `row` frames of it as a row. Returns how many frames the single ones are.
static uint32_t exhaust(struct everything *all, uint32_t row) {
    uint32_t first = frame_alloc(POOL_KERNEL, row), single = row;
    KCHECK(first != FRAME_NONE);
    all->block = sys_malloc(100);
    ktest_take_all(&all->areas, k_heap.block_max + 1);
    for (uint32_t i = 0; i < k_heap.desc_count; i++)
        ktest_take_all(&all->blocks, k_heap.block_descs[i].block_size);
    while (ktest_frame_take(&all->rest)) single++;
    frame_free(POOL_KERNEL, first, row);
    while (ktest_frame_take(&all->row)) {}
    return single;
}

static void give_everything(struct everything *all) {
    sys_free(all->block);
    ktest_give_all(&all->areas);
    ktest_give_all(&all->blocks);
    ktest_frames_give_all(&all->rest);
    ktest_frames_give_all(&all->row);
}

static void check_refused(uint32_t size) {
    KCHECK_EQ(sys_malloc(size), NULL);
    KCHECK_EQ(sys_calloc(1, size), NULL);
    KCHECK_EQ(sys_aligned_alloc(8192, size), NULL);
}

// Every call that needs memory fails with NULL and changes nothing.
static void check_nothing_left(void) {
    static const uint32_t sizes[] = {1, 16, 100, 1024, 1025, PG_SIZE, 20000, 1000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) check_refused(sizes[i]);
    for (uint32_t i = 0; i < k_heap.desc_count; i++)
        check_refused(k_heap.block_descs[i].block_size);
    KCHECK_EQ(frame_alloc(POOL_KERNEL, 1), FRAME_NONE);
    KCHECK_EQ(frames_free(POOL_KERNEL), 0);
    KCHECK_EQ(heap_check(), 0);
}

// One byte more than the block or area holds: refused, and nothing of it touched.
static void check_grow_fails(uint8_t *p, uint32_t size) {
    if (!KCHECK(p != NULL)) return;
    uint32_t usable = ktest_usable(size), from = sizeof(struct chain_link); // the link stays
    memset(p + from, 0x3c, usable - from);
    KCHECK_EQ(sys_realloc(p, usable + 1), NULL);
    KCHECK_EQ(sys_realloc(p, k_heap.block_max + usable), NULL);
    KCHECK(p[from] == 0x3c && p[usable - 1] == 0x3c);
    KCHECK_EQ(sys_usable_size(p), usable);
}

static int ends_at_once(void *argument) { return 7; }

// A thread is made in several steps, and here the memory ends at each: one frame after the other
// of the stack, and of an arena for the record. What was taken before the step that failed must
// come back.
static void check_thread_needs(uint32_t need, struct chain *row) {
    KCHECK_EQ(ktest_thread_frames(), need);
    for (uint32_t have = 0; have <= need; have++) {
        struct thread *thread = thread_create("step", PRIORITY_DEFAULT, ends_at_once, NULL);
        KCHECK_EQ(thread != NULL, have == need);
        if (thread) KCHECK_EQ(thread_join(thread), 7);
        sys_trim();
        KCHECK_EQ(frames_free(POOL_KERNEL), have);
        if (have < need) ktest_frame_give(row);
    }
}

// Case 21: all frames taken, failure at each step, all given back; and the same run again gives as
// much.
KTEST(heap_exhaustion_and_recovery) {
    sys_trim();
    uint32_t free = frames_free(POOL_KERNEL), held = k_heap.small_frames + k_heap.large_frames;
    // No arena will have room for its record.
    uint32_t thread = ktest_frames(sizeof(struct thread)) + STACK_SLOT_BYTES / PG_SIZE - 1;
    for (int run = 0; run < 3; run++) {
        struct everything all = {NULL, {NULL}, {NULL}, {NULL}, {NULL}};
        uint32_t single = exhaust(&all, thread);
        KCHECK_EQ(single + k_heap.small_frames + k_heap.large_frames - held, free);
        check_nothing_left();
        check_grow_fails((uint8_t *)all.areas.first, k_heap.block_max + 1);
        check_grow_fails(all.block, 100);
        check_thread_needs(thread, &all.row);
        give_everything(&all);
        sys_trim();
        KCHECK_EQ(frames_free(POOL_KERNEL), free);
    }
}

// Runs of `frames` frames that the kernel pool's free runs can be cut into, and *shorter: of
// `fewer` frames, out of what is left of each.
static uint32_t runs_possible(uint32_t frames, uint32_t fewer, uint32_t *shorter) {
    const struct pool *pool = &k_heap.pool;
    uint32_t count = 0;
    *shorter = 0;
    for (uint32_t at = 0; at < pool->frames;) {
        uint32_t length = FRAME_RUN(pool->frame[at].run);
        if (pool->frame[at].run & FRAME_FREE) {
            count += length / frames;
            *shorter += length % frames / fewer;
        }
        at += length > 0 ? length : 1; // 0: a hole of the memory map
    }
    return count;
}

static void exhaust_by_blocks(uint32_t index) {
    uint32_t free = frames_free(POOL_KERNEL), frames = k_heap.block_descs[index].frames_per_arena;
    struct desc_state state;
    heap_desc_state(&k_heap, index, &state); // what open arenas have comes on top
    uint32_t fewer = (state.block_size + PG_SIZE - 1) / PG_SIZE, alone; // blocks without an arena
    uint32_t arenas = runs_possible(frames, fewer, &alone);
    struct chain blocks = {NULL};
    uint32_t count = ktest_take_all(&blocks, state.block_size);
    KCHECK_EQ(count, arenas * state.blocks_per_arena + state.free_blocks + alone);
    KCHECK_EQ(frames_free(POOL_KERNEL), free - arenas * frames - alone * fewer);
    ktest_give_all(&blocks);
    sys_trim();
    KCHECK_EQ(frames_free(POOL_KERNEL), free);
}

// The same with blocks of each size: every arena that there is room for, every block of it, and the
// frames come back too.
KTEST(heap_exhaustion_by_blocks) {
    sys_trim();
    for (uint32_t i = 0; i < k_heap.desc_count; i++) exhaust_by_blocks(i);
}

// Gives back the single frames at odd numbers. Returns how many; the others stay in the
// chain.
static uint32_t give_every_second(struct chain *frames) {
    struct chain keep = {NULL}, odd = {NULL};
    uint32_t given = 0;
    while (frames->first) {
        struct chain_link *link = frames->first;
        struct chain *to = (uintptr_t)link >> PG_SHIFT & 1 ? &odd : &keep;
        frames->first = link->next;
        link->next = to->first;
        to->first = link;
        given += to == &odd;
    }
    *frames = keep;
    ktest_frames_give_all(&odd);
    return given;
}

// What needs no two frames in a row can be had, and nothing else can.
static void check_only_single_frames(void) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        struct desc_state state;
        heap_desc_state(&k_heap, i, &state);
        void *p = sys_malloc(state.block_size);
        KCHECK_EQ(p != NULL, state.block_size <= PG_SIZE || state.free_blocks > 0);
        sys_free(p);
    }
    void *area = sys_malloc(k_heap.block_max + 1);
    KCHECK_EQ(area != NULL, k_heap.block_max < PG_SIZE);
    sys_free(area);
    KCHECK_EQ(sys_malloc(k_heap.block_max + PG_SIZE + 1), NULL);
    KCHECK_EQ(sys_malloc(KTEST_LARGE), NULL);
    sys_trim();
}

// Case 22, and its limit (docs/caveats.md): with every second frame taken each free frame can be
// had by itself, two in a row cannot, although half of the memory is free. Given back, the frames
// join again.
KTEST(heap_checkerboard) {
    sys_trim();
    uint32_t half = frames_free(POOL_KERNEL) / 2 * PG_SIZE;
    void *wide = sys_malloc(half);
    KNEED(wide != NULL);
    sys_free(wide);
    struct chain frames = {NULL}, again = {NULL};
    while (ktest_frame_take(&frames)) {}
    uint32_t given = give_every_second(&frames), taken = 0;
    KCHECK(given > half / PG_SIZE / 2);
    KCHECK_EQ(frame_alloc(POOL_KERNEL, 2), FRAME_NONE);
    check_only_single_frames();
    KCHECK_EQ(frames_free(POOL_KERNEL), given);
    while (ktest_frame_take(&again)) taken++;
    KCHECK_EQ(taken, given);
    ktest_frames_give_all(&again);
    ktest_frames_give_all(&frames);
    KCHECK_EQ(sys_malloc(half), wide);
    sys_free(wide);
}

#define RUNS 600

// Runs of frames of many lengths, given back in another order than taken: at the end they are one
// again.
KTEST(frame_runs_join) {
    static uint32_t first[RUNS];
    uint32_t free = frames_free(POOL_USER), taken = 0, count = 0;
    while (count < RUNS && taken + 7 <= free / 2) {
        first[count] = frame_alloc(POOL_USER, count % 7 + 1);
        KNEED(first[count] != FRAME_NONE);
        taken += count++ % 7 + 1;
    }
    KCHECK_EQ(frames_free(POOL_USER), free - taken);
    for (uint32_t step = 0; step < 3; step++) { // every third, then the next ones
        for (uint32_t i = step; i < count; i += 3) frame_free(POOL_USER, first[i], i % 7 + 1);
        KCHECK_EQ(heap_check(), 0);
    }
    KCHECK_EQ(frames_free(POOL_USER), free);
    uint32_t all = frame_alloc(POOL_USER, taken);
    KNEED(all != FRAME_NONE);
    KCHECK_EQ(all, first[0]);
    frame_free(POOL_USER, all, taken);
    KCHECK_EQ(frame_alloc(POOL_USER, 0), FRAME_NONE);
    KCHECK_EQ(frame_alloc(POOL_USER, frames_total(POOL_USER) + 1), FRAME_NONE);
    KCHECK_EQ(frame_alloc(POOL_USER, UINT32_MAX), FRAME_NONE);
}

// ---- threads ------------------------------------------------------------------------------------

static void *handed_over[3];

static int allocates(void *argument) {
    handed_over[0] = sys_malloc(40);
    handed_over[1] = sys_malloc(KTEST_LARGE);
    handed_over[2] = sys_aligned_alloc(512, 300);
    memset(handed_over[1], 0x42, KTEST_LARGE);
    return 0;
}

static int frees(void *argument) {
    KCHECK(((uint8_t *)handed_over[1])[KTEST_LARGE - 1] == 0x42);
    for (int i = 0; i < 3; i++) sys_free(handed_over[i]);
    return 0;
}

static void run_thread(const char *name, thread_function *function) {
    struct thread *thread = thread_create(name, PRIORITY_DEFAULT, function, NULL);
    if (KCHECK(thread != NULL)) thread_join(thread);
}

// Case 18: another thread frees, and the one that allocated is no more.
KTEST(heap_free_in_another_thread) {
    run_thread("allocates", allocates);
    KNEED(handed_over[0] && handed_over[1] && handed_over[2]);
    run_thread("frees", frees);
    KREPORT(HEAP_NOT_ALLOCATED, handed_over[1], sys_free(handed_over[1]));
}

#define CHURNERS 4
#define CHURN_BLOCKS 24
#define CHURN_HZ 10000 // a tick every few thousand instructions: many fall inside the heap
#define CHURN_TICKS 2000

struct churner {
    uint32_t random; // state of a linear congruential generator: the same numbers in every run
    uint32_t rounds, wrong, refused;
    uint32_t nap; // sleeps a tick after so many rounds, 0: never
    uint8_t *block[CHURN_BLOCKS];
    uint32_t bytes[CHURN_BLOCKS];
};

static uint32_t next_random(struct churner *churner) {
    churner->random = churner->random * 1664525u + 1013904223u;
    return churner->random >> 8;
}

// Every byte of a block is its owner's tag; checks them all and frees it.
static void churn_put(struct churner *churner, uint32_t slot, uint8_t tag) {
    for (uint32_t i = 0; i < churner->bytes[slot]; i++)
        churner->wrong += churner->block[slot][i] != tag;
    sys_free(churner->block[slot]);
    churner->block[slot] = NULL;
}

static void churn_round(struct churner *churner, uint8_t tag) {
    uint32_t slot = next_random(churner) % CHURN_BLOCKS;
    if (churner->block[slot]) churn_put(churner, slot, tag);
    uint32_t bytes = next_random(churner) % (next_random(churner) % 32 == 0 ? 9000 : 60) + 1;
    churner->block[slot] = sys_malloc(bytes);
    churner->bytes[slot] = bytes;
    if (churner->block[slot]) memset(churner->block[slot], tag, bytes);
    else churner->refused++;
    churner->rounds++;
}

static int churn(void *argument) {
    struct churner *churner = argument;
    uint8_t tag = (uint8_t)churner->random;
    uint32_t start = timer_ticks();
    while (timer_ticks() - start < CHURN_TICKS) {
        churn_round(churner, tag);
        if (churner->nap && churner->rounds % churner->nap == 0) thread_sleep(1);
    }
    for (uint32_t slot = 0; slot < CHURN_BLOCKS; slot++) {
        if (churner->block[slot]) churn_put(churner, slot, tag);
    }
    return 0;
}

// The timer, faster for as long as `hz` says; the tick counts on.
static void timer_speed(uint32_t hz) {
    uint32_t state = irq_save();
    timer_init(hz, thread_tick);
    irq_restore(state);
}

// Three threads that take turns wherever the timer finds them, and one above them that wakes at
// ticks. Without the heap's lock this breaks in every run (tried).
KTEST(heap_threads_at_the_same_time) {
    static struct churner churner[CHURNERS];
    struct thread *thread[CHURNERS];
    timer_speed(CHURN_HZ);
    for (uint32_t i = 0; i < CHURNERS; i++) {
        memset(&churner[i], 0, sizeof churner[i]);
        churner[i].random = 0xa1 + i;
        churner[i].nap = i == 3 ? 2 : 0;
        uint32_t priority = PRIORITY_DEFAULT + i / 3;
        thread[i] = thread_create("churn", priority, churn, &churner[i]);
        KCHECK(thread[i] != NULL);
    }
    for (uint32_t i = 0; i < CHURNERS; i++) {
        if (thread[i]) thread_join(thread[i]);
        KCHECK_EQ(churner[i].wrong, 0);
        KCHECK_EQ(churner[i].refused, 0);
        KCHECK(churner[i].rounds > 0);
    }
    timer_speed(TIMER_HZ_DEFAULT);
}

// ---- the time a refusal takes -------------------------------------------------------------------

// The most frames in a row that can be had.
static uint32_t longest_run(enum pool_id pool) {
    uint32_t count = 0;
    for (uint32_t more = 1u << 19; more > 0; more /= 2) {
        uint32_t first = frame_alloc(pool, count + more);
        if (first == FRAME_NONE) continue;
        frame_free(pool, first, count + more);
        count += more;
    }
    return count;
}

static void refused(enum heap_fault fault, uintptr_t p) {
    KREPORT(fault, p, sys_free((void *)p));
    KREPORT(fault, p, KCHECK_EQ(sys_realloc((void *)p, 100), NULL));
    KREPORT(fault, p, KCHECK_EQ(sys_usable_size((void *)p), 0));
}

// Pointers to the frames of a run, near to its first and far away.
static void frames_refused(enum heap_fault fault, uintptr_t run, uint32_t frames) {
    static const uint32_t near[] = {1, 30, 31, 32, 33, 63, 64};
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++)
        if (near[i] < frames) refused(fault, run + near[i] * PG_SIZE);
    for (uint32_t part = 1; part < 8; part++)
        refused(fault, run + (uint32_t)((uint64_t)frames * part / 8) * PG_SIZE);
    refused(fault, run + (frames - 1) * PG_SIZE);
}

static void frame_free_refused(enum pool_id pool, uint32_t first, uint32_t count) {
    uintptr_t at =
        pool == POOL_KERNEL ? HEAP_BASE + first * PG_SIZE : (uintptr_t)frame_address(pool, first);
    KREPORT(HEAP_NOT_ALLOCATED, at, frame_free(pool, first, count));
}

// Wrong calls about the longest runs there are: an area, others' frames, free ones.
static void long_runs_refused(void) {
    uint32_t half = longest_run(POOL_KERNEL) / 2;
    uint8_t *area = sys_malloc(half * PG_SIZE);
    KNEED(area != NULL);
    uint32_t others = frame_alloc(POOL_KERNEL, half / 2), user = longest_run(POOL_USER);
    uint32_t first = frame_alloc(POOL_USER, user);
    KCHECK(others != FRAME_NONE && first != FRAME_NONE);
    frames_refused(HEAP_INTERIOR_POINTER, (uintptr_t)area, half);
    frames_refused(HEAP_NOT_ALLOCATED, HEAP_BASE + others * PG_SIZE, half / 2);
    frame_free_refused(POOL_KERNEL, others + half / 4, 1);
    frame_free_refused(POOL_KERNEL, (uint32_t)((uintptr_t)area - HEAP_BASE) >> PG_SHIFT, half);
    frame_free_refused(POOL_USER, first + user - 1, 1);
    frame_free(POOL_USER, first, user);
    frame_free(POOL_KERNEL, others, half / 2);
    sys_free(area);
    frames_refused(HEAP_NOT_ALLOCATED, (uintptr_t)area, 2 * half);
    frame_free_refused(POOL_USER, first + user / 2, 1);
}

// Wrong calls about blocks.
static void blocks_refused(void) {
    uint8_t *p = sys_malloc(24), *q = sys_malloc(24);
    KNEED(p && q);
    sys_free(p);
    refused(HEAP_DOUBLE_FREE, (uintptr_t)p);
    refused(HEAP_INTERIOR_POINTER, (uintptr_t)q + 8);
    refused(HEAP_OUTSIDE, 7);
    sys_free(q);
}

// tests/e2e/test_traps.py holds the figure against what docs/memory.md promises; it is exact where
// rdtsc counts instructions.
KTEST(heap_refusals_are_short) {
    KNEED(irqwatch_start());
    long_runs_refused();
    blocks_refused();
    kprintf("irqwatch: refused calls, %u instructions\n", irqwatch_stop());
}

// ---- a seal of zero -----------------------------------------------------------------------------

// Where LARGE_SEAL less head and base is 0: 3745 frames at 0xa31e5000. With 1 GiB of memory the
// pool reaches as far; with less there is no such area.
KTEST(heap_area_with_a_seal_of_zero_is_the_heaps) {
    const uint32_t frames = 3745, at = (0xa31e5000u - HEAP_BASE) >> PG_SHIFT;
    uint32_t most = longest_run(POOL_KERNEL), low = frame_alloc(POOL_KERNEL, most);
    KNEED(low != FRAME_NONE);
    frame_free(POOL_KERNEL, low, most);
    if (low >= at || at + frames > low + most) return;
    KCHECK_EQ(frame_alloc(POOL_KERNEL, at - low), low);
    uint8_t *area = sys_malloc(frames * PG_SIZE);
    KCHECK_EQ(area, (uint8_t *)0xa31e5000u);
    KCHECK_EQ(k_heap.arena[at].seal, 0);
    KREPORT(HEAP_NOT_ALLOCATED, area, frame_free(POOL_KERNEL, at, frames));
    KCHECK_EQ(heap_check(), 0);
    kprintf("seal: 0 at %p\n", (void *)area);
    sys_free(area);
    frame_free(POOL_KERNEL, low, at - low);
}
