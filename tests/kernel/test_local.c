// test_local.c - arenas of a processor's own (kernel/local.c): no lock where a block stays at home,
// exact refusals where it does not.
//
// What only it can find: an arena that two processors work on, or none; a block that is lost on its
// way from one to another; a fast path that takes a lock. The tests run with any number of
// processors (tests/e2e/test_processors.py); with one they prove that they themselves hold.
#include <stddef.h>
#include <stdint.h>

#include "device/timer.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/inspect/heapwalk.h"
#include "kernel/inspect/report.h"
#include "kernel/interrupt.h"
#include "kernel/measure/hands.h"
#include "kernel/measure/step.h"
#include "kernel/port.h"
#include "kernel/processor.h"
#include "kernel/spinlock.h"
#include "lib/print.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"
#include "tests/kernel/ktest_heap.h"
#include "thread/sync.h"
#include "thread/thread.h"

// ---- a thread on each processor -----------------------------------------------------------------

static int on_each(thread_function *function) {
    int sum = hands_run(function);
    KCHECK(sum >= 0);
    return sum;
}

// The same of a function that makes `reports` wrong calls in all.
static void on_each_refused(thread_function *function, uint32_t reports) {
    ktest_report_expect();
    KCHECK_EQ(on_each(function), 0);
    ktest_reports_any(reports);
}

static bool at_home(const void *p) { return ktest_table(p) == processor_number + 1; }

// ---- a pair at home -----------------------------------------------------------------------------

#ifndef HEAP_CHECKED // there every call takes a lock

#define PAIRS 20000
#define HELD 16

static int pairs_at_home(void *argument) {
    void *held[HELD] = {0};
    int wrong = !hands_apart((uint32_t)(uintptr_t)argument);
    for (uint32_t i = 0; i < PAIRS; i++) {
        sys_free(held[i % HELD]);
        held[i % HELD] = sys_malloc(i % 8 == 0 ? 5000 : 1 + i * 37 % 200); // two frames: a block
        size_t room = sys_usable_size(held[i % HELD]);
        wrong += room == 0 || sys_realloc(held[i % HELD], room) != held[i % HELD];
    }
    for (uint32_t i = 0; i < HELD; i++) sys_free(held[i]);
    return wrong;
}

// The rest is what arenas that are opened take, the threads' own stacks and records, and a thread
// that is moved with its blocks.
KTEST(processors_pairs_at_home_take_no_lock) {
    uint32_t before = heap_lock.taken;
    KCHECK_EQ(on_each(pairs_at_home), 0);
    KCHECK(heap_lock.taken - before <= processors_online * (PAIRS / 20));
}

// The steps of a pair, the least of some: the first on a processor may open an arena.
static volatile uint32_t pair_steps[PROCESSORS_MAX];
static struct lock stepping;

static void one_pair(void *unused) { sys_free(sys_malloc(32)); }

static void at_place(const struct interrupt_frame *frame, uint32_t place, void *unused) {}

static int steps_at_home(void *argument) {
    uint32_t i = (uint32_t)(uintptr_t)argument;
    bool spread = hands_apart(i);
    pair_steps[i] = UINT32_MAX;
    for (int times = 0; times < 5; times++) {
        struct step_count count;
        lock_acquire(&stepping); // one call is stepped at a time
        step_run(one_pair, NULL, at_place, NULL, &count);
        lock_release(&stepping);
        if (count.steps < pair_steps[i]) pair_steps[i] = count.steps;
    }
    return !spread;
}

KTEST(processors_a_pair_is_the_same_on_each) {
    lock_init(&stepping);
    KCHECK_EQ(on_each(steps_at_home), 0);
    for (uint32_t i = 1; i < processors_online; i++) KCHECK_EQ(pair_steps[i], pair_steps[0]);
    kprintf("at home: a pair of 32 bytes takes %u steps\n", pair_steps[0]);
}

// What the slow ways take, while the other processors do nothing with the heap. In the first free
// of a block of another's arena the wait for that processor is counted, which has no bound of its
// own.
static void *volatile others_block[3];
static uint32_t slow_steps[4], slow_off; // off: in a row with interrupts off

static void free_others_block(void *number) { sys_free(others_block[(uintptr_t)number]); }
static void take_small(void *unused) { others_block[0] = sys_malloc(120); }
static void take_large(void *unused) { others_block[1] = sys_malloc(5000); }
static void free_large(void *unused) { sys_free(others_block[1]); }

static uint32_t steps_of(void (*call)(void *argument), uintptr_t argument) {
    struct step_count count;
    step_run(call, (void *)argument, at_place, NULL, &count);
    if (slow_off < count.off_longest) slow_off = count.off_longest;
    return count.steps;
}

static void grow_large(void *unused) { others_block[1] = sys_realloc(others_block[1], 30000); }

static int measure_or_make(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument, last = processors_online - 1;
    int wrong = !hands_apart(me);
    if (me == last) ktest_settle(120);
    for (uint32_t i = 0; me == last && i < 3; i++) others_block[i] = sys_malloc(120);
    if (me == last && last > 0) wrong += !at_home(others_block[0]);
    hands_meet(1);
    if (me == 0) {
        slow_steps[0] = steps_of(free_others_block, 0); // the arena becomes everyone's
        slow_steps[1] = steps_of(free_others_block, 1); // and is
        slow_steps[2] = steps_of(take_small, 0);
        slow_steps[3] = steps_of(take_large, 0);
        uint32_t freed = steps_of(free_large, 0);
        if (slow_steps[3] < freed) slow_steps[3] = freed;
        others_block[1] = sys_malloc(12000); // of three frames: no block
        steps_of(grow_large, 0);
        free_large(NULL);
        sys_free(others_block[0]);
        sys_free(others_block[2]);
    }
    hands_meet(2);
    return wrong;
}

KTEST(processors_slow_ways_are_bounded) {
    KCHECK_EQ(on_each(measure_or_make), 0);
    kprintf("away: free %u steps, the next %u, take %u, large area %u at most, off %u\n",
            slow_steps[0], slow_steps[1], slow_steps[2], slow_steps[3], slow_off);
    for (uint32_t i = 1; i < 4; i++) KCHECK(slow_steps[i] <= 1000);
    KCHECK(slow_off <= 300); // so for the first: its wait has interrupts on
}
#endif

// ---- blocks that are freed elsewhere ------------------------------------------------------------

#define EACH 300
#define ROUNDS 10

static void *volatile made[PROCESSORS_MAX][EACH];
static volatile uint32_t foreign; // blocks of another processor's arenas that were freed

// Each makes blocks; then all at once free each other's, and some of their own.
static int make_and_swap(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument, all = processors_online;
    int wrong = !hands_apart(me);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < EACH; i++) {
            uint32_t *p = sys_malloc(40 + (i + round) % 3 * 100);
            if (p) *p = me * EACH + i;
            made[me][i] = p;
        }
        hands_meet(2 * round + 1);
        for (uint32_t i = 0; i < all * EACH; i++) {
            uint32_t maker = i / EACH, number = i % EACH, *p = made[maker][number];
            if ((maker + number) % all != me) continue;
            wrong += !p || *p != i;
            if (p && !at_home(p)) __atomic_add_fetch(&foreign, 1, __ATOMIC_RELAXED);
            sys_free(p);
        }
        hands_meet(2 * round + 2);
        if (me == round % all) wrong += (int)heap_check();
    }
    return wrong;
}

KTEST(processors_free_each_others_blocks) {
    foreign = 0;
    KCHECK_EQ(on_each(make_and_swap), 0);
    KCHECK(processors_online == 1 || foreign > ROUNDS * EACH / 2);
}

// All but the first make and free blocks, whole arenas of them; the first takes their arenas away
// from them all the while, by frees that are refused and change nothing else. Each waits for a
// processor, which takes long where the host has fewer: the more there are, the fewer such frees.
#define TAKEN_AWAY 1500 // with one processor
#define BUSY 40         // of 512 bytes: some arenas, which come and go

static volatile bool taken_away;
static uint32_t to_be_taken;

static int work_on(uint32_t me) {
    int wrong = 0;
    while (!taken_away) {
        for (uint32_t i = 0; i < BUSY; i++) {
            uint32_t *p = sys_malloc(i % 2 ? 512 : 60);
            if (p) *p = me * EACH + i;
            made[me][i] = p;
        }
        for (uint32_t i = 0; i < BUSY; i++) {
            uint32_t *p = made[me][i];
            wrong += !p || *p != me * EACH + i;
            sys_free(p);
        }
    }
    return wrong;
}

static int take_away_or_work(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument, all = processors_online;
    int wrong = !hands_apart(me);
    hands_meet(1);
    if (me > 0) return wrong + work_on(me);
    for (uint32_t i = 0; i < to_be_taken; i++) {
        uint8_t *p = all > 1 ? made[1 + i % (all - 1)][i / 7 % BUSY] : NULL;
        sys_free(p ? p + 4 : (uint8_t *)4);
        if (i % 20 == 0) wrong += (int)heap_check();
    }
    taken_away = true;
    return wrong;
}

KTEST(processors_take_arenas_away) {
    taken_away = false;
    to_be_taken = TAKEN_AWAY / processors_online;
    on_each_refused(take_away_or_work, to_be_taken);
}

// The last takes and frees an arena's blocks and one more, so that it opens and closes an arena
// each time; the first frees that one more all the while, mostly where it sees that there is no
// arena at this moment. Of these frees some are right, and then the last one's own is refused
// instead: of each block one.
#define FREED_BLINDLY 4000
#define OPENED 5     // of 1024 bytes: four fill an arena
#define LOOKS 300000 // in all

static void *volatile opened;

static int open_and_close(void) {
    void *held[OPENED];
    int wrong = 0;
    while (!taken_away) {
        for (uint32_t i = 0; i < OPENED; i++) {
            opened = held[i] = sys_malloc(1024);
            wrong += !held[i];
        }
        for (uint32_t i = 0; i < OPENED; i++) sys_free(held[i]);
        cpu_pause(); // where processors take turns, one ends here
    }
    return wrong;
}

static int free_blindly_or_open(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument, last = processors_online - 1;
    int wrong = !hands_apart(me);
    hands_meet(1);
    if (me == last && last > 0) return wrong + open_and_close();
    if (me > 0) return wrong;
    while (last > 0 && !opened) cpu_pause();
    uint32_t looks = last > 0 ? LOOKS : 0;
    for (uint32_t i = 0; i < FREED_BLINDLY; i++) {
        uintptr_t p = HEAP_BASE - 4; // with one processor
        if (opened) {
            p = (uintptr_t)opened;
            const struct arena *arena = &k_heap.arena[(p - HEAP_BASE) >> PG_SHIFT];
            for (; looks > 0 && !arena_blank(arena); looks--) cpu_pause();
            for (uint32_t j = 0; j < i % 64; j++) cpu_pause();
        }
        sys_free((void *)p);
    }
    taken_away = true;
    return wrong;
}

KTEST(processors_free_what_is_about_to_open) {
    taken_away = false;
    opened = NULL;
    uint32_t before = heap_report_count;
    on_each_refused(free_blindly_or_open, FREED_BLINDLY);
    KCHECK_EQ(heap_report_count - before, FREED_BLINDLY);
    KCHECK_EQ(heap_check(), 0);
}

// The last has interrupts off, as in the middle of a call, while the first frees a block of its
// arena, which must not be done before they are on again.
#ifndef HEAP_CHECKED // there nothing is a processor's own

static void *volatile in_the_middle;
static volatile bool about_to_free, done, done_early;

static void be_in_the_middle(void) {
    void *p = NULL;
    for (int tries = 0; tries < 10; tries++) { // it may be moved meanwhile
        irq_enable();
        sys_free(p);
        ktest_settle(32);
        irq_disable();
        p = sys_malloc(32);
        if (at_home(p)) break;
    }
    KCHECK(at_home(p));
    in_the_middle = p;
    while (!about_to_free) cpu_pause();
    for (uint64_t start = rdtsc(); rdtsc() - start < 50000000;) cpu_pause();
    done_early = done;
    irq_enable();
}

static int free_or_be_in_the_middle(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument, last = processors_online - 1;
    int wrong = !hands_apart(me);
    if (me == last && me > 0) be_in_the_middle();
    if (me > 0) return wrong;
    while (last > 0 && !in_the_middle) cpu_pause();
    about_to_free = true;
    sys_free(in_the_middle);
    done = true;
    return wrong;
}

KTEST(processors_wait_for_the_end_of_a_call) {
    in_the_middle = NULL;
    about_to_free = done = done_early = false;
    KCHECK_EQ(on_each(free_or_be_in_the_middle), 0);
    KCHECK(!done_early);
}
#endif

// ---- wrong frees across processors --------------------------------------------------------------

// Blocks between two meetings, which take long where the host has fewer processors.
#define BATCH 40
#define LONG_BATCH 100

static uint32_t batches, batch; // of a test; blocks in each
static void *volatile passed_on[LONG_BATCH];

static void batch_take(size_t size) {
    for (uint32_t i = 0; i < batch; i++) passed_on[i] = sys_malloc(size);
}

static void batch_give(void) {
    for (uint32_t i = 0; i < batch; i++) sys_free(passed_on[i]);
}

static void batches_of(uint32_t blocks, uint32_t at_once) {
    batches = blocks / at_once;
    batch = at_once;
}

// None of them is a block any more, whatever is asked of it.
static int batch_refused(void) {
    int wrong = 0;
    for (uint32_t i = 0; i < batch; i++) {
        if (i % 3 == 0) sys_free(passed_on[i]);
        else if (i % 3 == 1) wrong += sys_realloc(passed_on[i], 10) != NULL;
        else wrong += sys_usable_size(passed_on[i]) != 0;
    }
    return wrong;
}

// Who has made a block frees it before or after another has: the second is refused at the call.
static int free_twice(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument, all = processors_online;
    int wrong = !hands_apart(me);
    for (uint32_t round = 0; round < batches; round++) {
        uint32_t maker = round % all, first = round / 2 % all, second = (first + 1) % all;
        if (me == maker) batch_take(200);
        hands_meet(3 * round + 1);
        if (me == first) batch_give();
        hands_meet(3 * round + 2);
        if (me == second) wrong += batch_refused();
        hands_meet(3 * round + 3);
    }
    return wrong;
}

static void check_second_frees(uint32_t blocks, uint32_t at_once) {
    batches_of(blocks, at_once);
    on_each_refused(free_twice, batches * batch);
}

KTEST(processors_a_second_free_is_refused_at_the_call) { check_second_frees(400, BATCH); }
KTEST(long_processors_a_second_free) { check_second_frees(100000, LONG_BATCH); } // make soak-wrong

// All free the same blocks at the same moment: of each, one is right. Then each takes as many of
// that size and writes into each whose it is: one that came home twice is taken twice, and what was
// written first is gone.
static uint32_t *volatile taken[PROCESSORS_MAX][LONG_BATCH];

static void take_and_mark(uint32_t me) {
    for (uint32_t i = 0; i < batch; i++) {
        uint32_t *p = taken[me][i] = sys_malloc(64);
        if (p) *p = me * LONG_BATCH + i;
    }
}

static int marked_wrong(uint32_t me) {
    int wrong = 0;
    for (uint32_t i = 0; i < batch; i++) {
        const uint32_t *p = taken[me][i];
        wrong += !p || *p != me * LONG_BATCH + i;
    }
    return wrong;
}

static int race_and_take(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument;
    int wrong = !hands_apart(me);
    for (uint32_t round = 0; round < batches; round++) {
        if (me == round % processors_online) batch_take(64);
        hands_meet(4 * round + 1);
        batch_give();
        hands_meet(4 * round + 2);
        take_and_mark(me);
        hands_meet(4 * round + 3);
        wrong += marked_wrong(me);
        hands_meet(4 * round + 4);
        for (uint32_t i = 0; i < batch; i++) sys_free(taken[me][i]);
    }
    return wrong;
}

// `count` blocks, each freed by all.
static void check_racing_frees(uint32_t blocks, uint32_t at_once) {
    batches_of(blocks, at_once);
    on_each_refused(race_and_take, batches * batch * (processors_online - 1));
}

KTEST(processors_racing_frees_are_refused_but_one) { check_racing_frees(400, BATCH); }
KTEST(long_processors_racing_frees) { check_racing_frees(400000, LONG_BATCH); } // make soak-wrong

// ---- what everyone shares -----------------------------------------------------------------------

// Large areas and the pool, which the lock alone protects.
#define AREAS 40000 // of all processors together
#define AREAS_HELD 5

static int areas_at_once(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument, *held[AREAS_HELD] = {0};
    int wrong = !hands_apart(me);
    hands_meet(1);
    for (uint32_t i = 0; i < AREAS / processors_online; i++) {
        uint32_t *p = held[i % AREAS_HELD];
        wrong += p && *p != me * AREAS + i - AREAS_HELD;
        sys_free(p);
        p = sys_malloc(1100 + i * 997 % 12000);
        if (p) *p = me * AREAS + i;
        wrong += !p;
        held[i % AREAS_HELD] = p;
    }
    for (uint32_t i = 0; i < AREAS_HELD; i++) sys_free(held[i]);
    return wrong;
}

KTEST(processors_large_areas_at_once) { KCHECK_EQ(on_each(areas_at_once), 0); }

// ---- memory that another processor has ----------------------------------------------------------

#ifndef HEAP_CHECKED // a block has more around it there

#define BLOCK 512 // of the seed's table and `fine`

static uint32_t free_blocks(void) {
    struct desc_state state;
    heap_desc_state(&k_heap, (uint32_t)(ktest_desc(BLOCK) - k_heap.block_descs), &state);
    return state.free_blocks;
}

static void *volatile kept[PROCESSORS_MAX];
static volatile uint32_t had, could_have; // blocks

// Each has an arena of its own with room. When no frame is left, one of them takes every block
// there is, whosever arena it is in.
static int take_what_others_have(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument;
    int wrong = !hands_apart(me);
    kept[me] = sys_malloc(BLOCK);
    hands_meet(1);
    if (me == 0) {
        struct chain frames = {NULL}, blocks = {NULL};
        while (ktest_frame_take(&frames)) continue;
        could_have = free_blocks();
        had = ktest_take_all(&blocks, BLOCK);
        ktest_give_all(&blocks);
        ktest_frames_give_all(&frames);
    }
    hands_meet(2);
    sys_free(kept[me]);
    return wrong;
}

KTEST(processors_have_each_others_memory_in_need) {
    had = could_have = 0;
    KCHECK_EQ(on_each(take_what_others_have), 0);
    KCHECK_EQ(had, could_have);
    KCHECK(had >= processors_online * (PG_SIZE / BLOCK - 1));
}
#endif

// Blocks of every size, so many that more than one arena of each is empty when they are freed.
static void leave_empty_arenas(void) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        const struct memory_block_desc *desc = &k_heap.block_descs[i];
        struct chain blocks = {NULL};
        for (uint32_t n = 0; n < 3 * desc->blocks_per_arena; n++) {
            struct chain_link *p = sys_malloc(desc->block_size);
            if (!p) break;
            p->next = blocks.first;
            blocks.first = p;
        }
        ktest_give_all(&blocks);
    }
}

#ifndef HEAP_CHECKED // a block has more around it there, and blocks wait to be free

// Where no frame is free, those of empty arenas are taken, whosever they are: none is left then.
static volatile uint32_t left_empty;

static int take_every_frame(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument;
    int wrong = !hands_apart(me);
    leave_empty_arenas();
    hands_meet(1);
    if (me == 0) {
        struct chain frames = {NULL};
        while (ktest_frame_take(&frames)) continue;
        left_empty = processors_many ? sys_trim() : 0;
        ktest_frames_give_all(&frames);
    }
    hands_meet(2);
    return wrong;
}

KTEST(processors_empty_arenas_go_back_in_need) {
    KCHECK_EQ(on_each(take_every_frame), 0);
    KCHECK_EQ(left_empty, 0);
    KCHECK_EQ(heap_check(), 0);
}

// With several processors 4096 bytes are a block of an arena of four frames; where no four are free
// in a row, they are a large area of one.
KTEST(processors_do_with_fewer_frames_than_an_arena) {
    struct chain frames = {NULL}, kept_apart = {NULL};
    while (ktest_frame_take(&frames)) continue;
    struct chain_link *first = frames.first;
    KNEED(first && first->next);
    frames.first = first->next;
    kept_apart.first = first;
    first->next = NULL;
    ktest_frame_give(&kept_apart); // one frame is free now
    void *p = sys_malloc(PG_SIZE);
    KCHECK(p != NULL);
    KCHECK_EQ(sys_malloc(PG_SIZE), NULL);
    sys_free(p);
    ktest_frames_give_all(&frames);
    KCHECK_EQ(heap_check(), 0);
}
#endif

// ---- frames that a processor keeps --------------------------------------------------------------

#ifndef HEAP_CHECKED
#define KEPT_ARENAS 24 // fewer than the frames that are fetched at once

static void open_and_close_arenas(void) {
    struct chain blocks = {NULL};
    for (uint32_t i = 0; i < KEPT_ARENAS * (PG_SIZE / 1024); i++) {
        struct chain_link *p = sys_malloc(1024);
        if (!p) break;
        p->next = blocks.first;
        blocks.first = p;
    }
    ktest_give_all(&blocks);
}

// The processors that have none to do take no lock meanwhile.
KTEST(processors_open_and_close_arenas_without_the_lock) {
    sys_trim();
    open_and_close_arenas();
    uint32_t before = heap_lock.taken;
    open_and_close_arenas();
    KCHECK_EQ(heap_lock.taken, before);
}

static volatile uint32_t most_kept;

static int keep_what_may_be_kept(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument;
    int wrong = !hands_apart(me);
    leave_empty_arenas();
    hands_meet(1);
    for (uint32_t n = 0; me == 0 && n < PROCESSORS_MAX; n++) {
        const struct pool *its = local_kept(n);
        if (its && its->free > most_kept) most_kept = its->free;
    }
    return wrong;
}

KTEST(processors_keep_few_frames) {
    most_kept = 0;
    KCHECK_EQ(on_each(keep_what_may_be_kept), 0);
    KCHECK(most_kept <= 64);
    KCHECK(most_kept > 0 || !processors_many);
}

// A frame that a processor keeps is handed out to no one, and the check knows whose it is.
KTEST(processors_frames_that_are_kept_are_free) {
    open_and_close_arenas();
    const struct pool *its = local_kept(processor_number);
    if (!processors_many) {
        KCHECK_EQ(its, NULL);
        return;
    }
    KNEED(its && its->free > 0);
    uint32_t bin = 0;
    while (!its->bin[bin]) bin++;
    struct frame *tail = its->bin[bin];
    uint32_t frame = (uint32_t)(tail - k_heap.pool.frame), run = tail->run;
    uintptr_t at = k_heap.base + ((uintptr_t)frame << PG_SHIFT);
    KREPORT(HEAP_NOT_ALLOCATED, at, frame_free(POOL_KERNEL, frame, 1));
    KREPORT(HEAP_NOT_ALLOCATED, at, sys_free((void *)at));
    KCHECK_EQ(heap_check(), 0);
    uint32_t state = irq_save();
    tail->run = run ^ 15u << 24;
    KCHECK(heap_check() > 0);
    tail->run = run;
    irq_restore(state);
    KCHECK_EQ(heap_check(), 0);
}
#endif

// Empty arenas that processors keep go back when asked for.
static int fill_and_leave(void *argument) {
    int wrong = !hands_apart((uint32_t)(uintptr_t)argument);
    leave_empty_arenas();
    return wrong;
}

KTEST(processors_trim_takes_everyones_reserve) {
    sys_trim();
    uint32_t before = frames_free(POOL_KERNEL);
    KCHECK_EQ(on_each(fill_and_leave), 0);
    sys_trim();
    KCHECK_EQ(frames_free(POOL_KERNEL), before);
}

// ---- waiting ------------------------------------------------------------------------------------

// A thread that waits for the lock, and had interrupts on, leaves them on: its timer ticks.
static struct thread *volatile waiter;
static volatile bool held_by_first;
static volatile uint32_t ticks_waited;

// Counts the waiter's ticks, and gives up at some time.
static void hold_for_ticks(void) {
    uint32_t state = spin_save(&heap_lock), start = waiter->ticks;
    held_by_first = true;
    for (uint32_t looks = 0; ticks_waited < 3 && looks < 50000000; looks++) {
        cpu_pause();
        ticks_waited = *(volatile uint32_t *)&waiter->ticks - start;
    }
    spin_restore(&heap_lock, state);
}

static int hold_or_wait(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument, last = processors_online - 1;
    int wrong = !hands_apart(me);
    if (me == last) waiter = thread_current();
    hands_meet(1);
    if (me == 0 && last > 0) {
        hold_for_ticks();
    } else if (me == last && last > 0) {
        while (!held_by_first) cpu_pause();
        sys_free(sys_malloc(100000)); // a large area takes the lock
    }
    hands_meet(2);
    return wrong;
}

KTEST(processors_wait_for_a_lock_with_interrupts_on) {
    ticks_waited = 0;
    held_by_first = false;
    KCHECK_EQ(on_each(hold_or_wait), 0);
    KCHECK(processors_online == 1 || ticks_waited >= 3);
}

// ---- another heap -------------------------------------------------------------------------------

// The last leaves an arena with room to everyone: the first frees one of its blocks. A second heap
// has none with room, and must open its own.
static struct heap *second;
static uintptr_t second_base;
static volatile bool strange; // a block of another heap's

static int leave_and_take(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument, last = processors_online - 1;
    int wrong = !hands_apart(me);
    for (uint32_t i = 0; me == last && i < 2; i++) passed_on[i] = sys_malloc(100);
    hands_meet(1);
    if (me == 0) {
        sys_free(passed_on[0]);
        void *p = heap_malloc(second, 100, 0);
        strange = (uintptr_t)p - second_base >= KTEST_SECOND_FRAMES * PG_SIZE;
        while (heap_malloc(second, 100, 0)) continue; // at its end it takes none of k_heap's either
        strange = strange || second->pool.free != 0;
    }
    hands_meet(2);
    if (me == last) sys_free(passed_on[1]);
    return wrong;
}

KTEST(processors_leave_another_heap_its_own) {
    struct port_pool from;
    second = ktest_second_heap(&from);
    KNEED(second);
    second_base = from.base;
    KCHECK_EQ(on_each(leave_and_take), 0);
    KCHECK(!strange);
    KCHECK_EQ(heap_check(), 0);
    ktest_second_end(second, &from);
}

// What a program's calls do, with interrupts off and without the lock: its second empty arena is
// closed at once, and interrupts stay off.
KTEST(processors_close_another_heaps_arenas_at_once) {
    struct port_pool from;
    struct chain blocks = {NULL};
    second = ktest_second_heap(&from);
    KNEED(second);
    for (uint32_t i = 0; i < 3 * PG_SIZE / 64; i++) {
        struct chain_link *p = heap_malloc(second, 64, 0);
        if (!p) break;
        p->next = blocks.first;
        blocks.first = p;
    }
    uint32_t state = irq_save();
    while (blocks.first) {
        struct chain_link *p = blocks.first;
        blocks.first = p->next;
        KCHECK(heap_give_block(second, (uintptr_t)p));
        KCHECK(!irq_enabled());
    }
    irq_restore(state);
    KCHECK_EQ(heap_check(), 0);
    KCHECK(second->small_frames <= 1);
    ktest_second_end(second, &from);
}

// ---- records that were written over -------------------------------------------------------------

#ifndef HEAP_CHECKED // there the block's own record tells as well

static void flip(struct arena *arena, uint32_t number) {
    uint32_t *const word[] = {(uint32_t *)&arena->desc, &arena->head, &arena->seal,
                              (uint32_t *)&arena->base};
    *word[number % 4] ^= 1u << number / 4 % 32;
}

// One has made blocks; another frees them while a bit of their arena's record is wrong, and again
// when it is mended. The maker does nothing meanwhile.
static int free_by_a_wrong_record(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument, all = processors_online;
    int wrong = !hands_apart(me);
    for (uint32_t round = 0; round < batches; round++) {
        if (me == round % all) batch_take(32);
        hands_meet(2 * round + 1);
        for (uint32_t i = 0; me == (round + 1) % all && i < batch; i++) {
            struct arena *arena = ktest_arena(passed_on[i]);
            flip(arena, round * batch + i);
            sys_free(passed_on[i]);
            flip(arena, round * batch + i);
        }
        if (me == (round + 1) % all) batch_give();
        hands_meet(2 * round + 2);
    }
    return wrong;
}

static void check_wrong_records(uint32_t blocks, uint32_t at_once) {
    batches_of(blocks, at_once);
    on_each_refused(free_by_a_wrong_record, batches * batch);
}

KTEST(processors_a_wrong_record_is_refused) { check_wrong_records(240, BATCH); }
KTEST(long_processors_a_wrong_record) { check_wrong_records(100000, LONG_BATCH); } // likewise
#endif
