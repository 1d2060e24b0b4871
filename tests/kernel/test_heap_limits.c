// test_heap_limits.c - the heap at the edge of memory, and under several threads.
#include "device/timer.h"
#include "kernel/heapcheck.h"
#include "kernel/memory.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"
#include "thread/thread.h"

// Blocks taken are chained through their first words: no other memory is needed to know them.
struct link {
    struct link *next;
};

static void chain_push(struct link **chain, void *p) {
    struct link *link = p;
    link->next = *chain;
    *chain = link;
}

static void *chain_pop(struct link **chain) {
    struct link *p = *chain;
    *chain = p->next;
    return p;
}

// Takes blocks of `size` until none is left. Returns how many.
static uint32_t take_all(struct link **chain, size_t size) {
    uint32_t count = 0;
    for (void *p = sys_malloc(size); p; p = sys_malloc(size)) {
        chain_push(chain, p);
        count++;
    }
    return count;
}

static void give_all(struct link **chain) {
    while (*chain) sys_free(chain_pop(chain));
}

// Takes every frame, and every block that open arenas still have. Returns how many frames.
static uint32_t exhaust(struct link **frames, struct link **blocks) {
    uint32_t count = take_all(frames, PG_SIZE);
    for (uint32_t i = 0; i < heap.desc_count; i++) take_all(blocks, k_block_descs[i].block_size);
    return count;
}

// Every call that needs memory fails with NULL and changes nothing.
static void check_nothing_left(void) {
    static const uint32_t sizes[] = {1, 16, 100, 1024, 1025, PG_SIZE, 20000, 1000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        KCHECK_EQ(sys_malloc(sizes[i]), NULL);
        KCHECK_EQ(sys_calloc(1, sizes[i]), NULL);
        KCHECK_EQ(sys_aligned_alloc(8192, sizes[i]), NULL);
    }
    KCHECK_EQ(frame_alloc(POOL_KERNEL, 1), FRAME_NONE);
    KCHECK_EQ(frames_free(POOL_KERNEL), 0);
    KCHECK_EQ(heap_check(), 0);
}

static void check_grow_fails(struct link *chain) {
    memset(chain + 1, 0x3c, 1000);
    KCHECK_EQ(sys_realloc(chain, 2 * PG_SIZE), NULL);
    KCHECK(((const uint8_t *)chain)[sizeof *chain] == 0x3c &&
           ((const uint8_t *)chain)[1003] == 0x3c);
    KCHECK_EQ(sys_usable_size(chain), PG_SIZE);
}

static int ends_at_once(void *argument) { return 7; }

// A thread is made in several steps, and here the memory ends at each: three frames of stack, one
// for its record's arena. What was taken before the step that failed must come back.
static void check_thread_needs_four(struct link **frames) {
    for (uint32_t have = 0; have <= 4; have++) {
        struct thread *thread = thread_create("step", PRIORITY_DEFAULT, ends_at_once, NULL);
        KCHECK_EQ(thread != NULL, have == 4);
        if (thread) KCHECK_EQ(thread_join(thread), 7);
        sys_trim();
        KCHECK_EQ(frames_free(POOL_KERNEL), have);
        if (have < 4) sys_free(chain_pop(frames));
    }
}

// Case 21: all frames taken, failure at each step, all given back; and the same run again gives as
// much.
KTEST(heap_exhaustion_and_recovery) {
    sys_trim();
    uint32_t free = frames_free(POOL_KERNEL);
    for (int run = 0; run < 3; run++) {
        struct link *frames = NULL, *blocks = NULL;
        KCHECK_EQ(exhaust(&frames, &blocks), free);
        check_nothing_left();
        check_grow_fails(frames);
        check_thread_needs_four(&frames);
        give_all(&frames);
        give_all(&blocks);
        sys_trim();
        KCHECK_EQ(frames_free(POOL_KERNEL), free);
    }
}

// The same with blocks of each size: the arenas' frames come back too.
KTEST(heap_exhaustion_by_blocks) {
    sys_trim();
    uint32_t free = frames_free(POOL_KERNEL);
    for (uint32_t i = 0; i < heap.desc_count; i++) {
        const struct mem_block_desc *desc = &k_block_descs[i];
        struct link *chain = NULL;
        uint32_t count = take_all(&chain, desc->block_size);
        KCHECK_EQ(frames_free(POOL_KERNEL), 0);
        KCHECK(count >= free * desc->blocks_per_arena);
        give_all(&chain);
        sys_trim();
        KCHECK_EQ(frames_free(POOL_KERNEL), free);
    }
}

// Gives back the single frames that stand at odd numbers. Returns how many; the others stay in the
// chain.
static uint32_t give_every_second(struct link **chain) {
    struct link *keep = NULL;
    uint32_t given = 0;
    while (*chain) {
        void *p = chain_pop(chain);
        if ((uintptr_t)p >> PG_SHIFT & 1) {
            sys_free(p);
            given++;
        } else {
            chain_push(&keep, p);
        }
    }
    *chain = keep;
    return given;
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
    struct link *chain = NULL, *again = NULL;
    take_all(&chain, PG_SIZE);
    uint32_t given = give_every_second(&chain);
    KCHECK(given > half / PG_SIZE / 2);
    KCHECK_EQ(sys_malloc(PG_SIZE + 1), NULL);
    KCHECK_EQ(sys_malloc(2 * PG_SIZE), NULL);
    KCHECK_EQ(frames_free(POOL_KERNEL), given);
    KCHECK_EQ(take_all(&again, PG_SIZE), given);
    give_all(&again);
    give_all(&chain);
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
    handed_over[1] = sys_malloc(5000);
    handed_over[2] = sys_aligned_alloc(512, 300);
    memset(handed_over[1], 0x42, 5000);
    return 0;
}

static int frees(void *argument) {
    KCHECK(((uint8_t *)handed_over[1])[4999] == 0x42);
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
    uint32_t bytes = next_random(churner) % (next_random(churner) % 32 == 0 ? 6000 : 60) + 1;
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
