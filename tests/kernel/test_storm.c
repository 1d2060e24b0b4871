// test_storm.c - the heap among many threads and under more interrupts than any machine has.
//
// What only it can find: a fault that needs the real timer, many threads and their stacks at once;
// and a handler's call that is let in.
//
// Two kinds of storms. The timer at up to 10 kHz switches between 64 threads that do nothing but
// allocate and free (kernel/measure/soak.h); a turn is a single tick there, so another thread goes
// on every 100 microseconds. And interrupts whose handlers call the heap themselves, which must be
// refused each time, with a report and without a change: after each single instruction of a heap
// call, and at each tick.
//
// Shortened for every day's test run; `make soak` makes 64 x 10^6 calls.
#include <stddef.h>
#include <stdint.h>

#include "device/timer.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/interrupt.h"
#include "kernel/measure/random_calls.h"
#include "kernel/measure/soak.h"
#include "kernel/measure/step.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"
#include "thread/thread.h"

#define STORM_VECTOR (IRQ_BASE + 5) // 0x25 below: a line that no device uses
#define HZ_FAST 10000

// The timer is started anew: its registers are written with interrupts off, as at boot.
static void timer_rate(unsigned hz, timer_callback *callback) {
    uint32_t state = irq_save();
    timer_init(hz, callback);
    irq_restore(state);
}

static void timer_as_before(void) { timer_rate(TIMER_HZ_DEFAULT, thread_tick); }

// ---- many threads -------------------------------------------------------------------------------

#define CALLS 1200u // of each thread

// A whole turn is over with each tick.
static void tick_ends_turn(void) {
    for (int i = 0; i < THREAD_SLICE; i++) thread_tick();
}

static uint32_t crowd(unsigned hz) {
    uint32_t hash = 0, before = timer_ticks();
    timer_rate(hz, tick_ends_turn);
    KCHECK(soak_run(SOAK_THREADS_MAX * CALLS, SOAK_THREADS_MAX, 1, &hash));
    kprintf("storm: %u threads, %u calls each, %u Hz: %u ticks\n", SOAK_THREADS_MAX, CALLS, hz,
            timer_ticks() - before);
    timer_as_before();
    return hash;
}

// What the threads asked for and got does not depend on when they were interrupted.
KTEST(storm_64_threads) {
    uint32_t calm = crowd(100), gusty = crowd(1000), stormy = crowd(HZ_FAST);
    KCHECK(calm == gusty && gusty == stormy);
}

#define PARENTS 6
#define CHILDREN 20
#define PLACES 12

static int child(void *argument) {
    struct stream soak;
    struct stream_block block[PLACES];
    stream_begin(&soak, block, PLACES, 2000, (uint32_t)(uintptr_t)argument);
    stream_calls(&soak, 50);
    stream_end(&soak);
    return (int)(soak.spoilt + soak.refused);
}

// Two children at a time, joined in the order of their birth.
static int parent(void *argument) {
    int bad = 0;
    uint32_t seed = (uint32_t)(uintptr_t)argument;
    for (uint32_t i = 0; i < CHILDREN; i++) {
        struct thread *one = thread_create("one", PRIORITY_DEFAULT, child, (void *)(seed + i));
        struct thread *two = thread_create("two", PRIORITY_DEFAULT, child, (void *)(seed - i));
        bad += !one || !two;
        if (one) bad += thread_join(one);
        if (two) bad += thread_join(two);
    }
    return bad;
}

// Stacks, page tables and thread records come and go between ticks, too.
KTEST(storm_threads_come_and_go) {
    struct thread *parents[PARENTS];
    timer_rate(HZ_FAST, tick_ends_turn);
    for (uint32_t i = 0; i < PARENTS; i++) {
        parents[i] = thread_create("parent", PRIORITY_DEFAULT, parent, (void *)(1000 * (i + 1)));
    }
    for (uint32_t i = 0; i < PARENTS; i++) {
        KCHECK(parents[i] && thread_join(parents[i]) == 0);
        KCHECK_EQ(heap_check(), 0);
    }
    timer_as_before();
}

// ---- handlers that call the heap ----------------------------------------------------------------

static void *bait;        // a good block, which no handler may free
static uint32_t refusals; // calls made by handlers

// Every call there is, each refused with its report. `bait` stays what it is.
static void call_everything(void) {
    KREPORT(HEAP_FROM_INTERRUPT, NULL, KCHECK_EQ(sys_malloc(24), NULL));
    KREPORT(HEAP_FROM_INTERRUPT, NULL, KCHECK_EQ(sys_malloc(5000), NULL));
    KREPORT(HEAP_FROM_INTERRUPT, NULL, KCHECK_EQ(sys_calloc(3, 8), NULL));
    KREPORT(HEAP_FROM_INTERRUPT, NULL, KCHECK_EQ(sys_aligned_alloc(64, 64), NULL));
    KREPORT(HEAP_FROM_INTERRUPT, NULL, KCHECK_EQ(sys_aligned_alloc(2 * PG_SIZE, 64), NULL));
    KREPORT(HEAP_FROM_INTERRUPT, NULL, KCHECK_EQ(sys_realloc(NULL, 24), NULL));
    KREPORT(HEAP_FROM_INTERRUPT, bait, KCHECK_EQ(sys_realloc(bait, 2000), NULL));
    KREPORT(HEAP_FROM_INTERRUPT, bait, KCHECK_EQ(sys_usable_size(bait), 0));
    KREPORT(HEAP_FROM_INTERRUPT, bait, sys_free(bait));
    refusals += 9;
}

static void on_storm(struct interrupt_frame *frame) { call_everything(); }

// Two of the calls are enough where there are many interrupts: a block, and a block's end.
static void call_some(void) {
    KREPORT(HEAP_FROM_INTERRUPT, NULL, KCHECK_EQ(sys_malloc(24), NULL));
    KREPORT(HEAP_FROM_INTERRUPT, bait, sys_free(bait));
    refusals += 2;
}

static void on_gust(struct interrupt_frame *frame) { call_some(); }

static bool bait_lay(void) {
    refusals = 0;
    bait = sys_malloc(40);
    if (bait) memset(bait, 0x5a, 40);
    return bait != NULL;
}

static void bait_take(void) {
    const uint8_t *byte = bait;
    for (int i = 0; i < 40; i++) KCHECK_EQ(byte[i], 0x5a);
    sys_free(bait);
}

KTEST(storm_handlers_are_refused) {
    KNEED(bait_lay());
    uint32_t free = frames_free(POOL_KERNEL);
    interrupt_register(STORM_VECTOR, on_storm);
    for (int i = 0; i < 5; i++) {
        __asm__ volatile("int $0x25" : : : "memory");
        KCHECK_EQ(frames_free(POOL_KERNEL), free);
        KCHECK_EQ(heap_check(), 0);
    }
    interrupt_register(STORM_VECTOR, NULL);
    KCHECK_EQ(refusals, 45);
    bait_take();
}

static void at_place(const struct interrupt_frame *frame, uint32_t place, void *unused) {
    __asm__ volatile("int $0x25" : : : "memory");
}

static void one_of_each(void *unused) {
    uint8_t *p = sys_malloc(24), *large = sys_malloc(9000);
    p = sys_realloc(p, 200);
    large = sys_realloc(large, 3000);
    sys_free(sys_calloc(5, 20));
    sys_free(sys_aligned_alloc(4 * PG_SIZE, 100));
    sys_free(p);
    sys_free(large);
    sys_trim();
}

// The handler comes after each instruction of eight heap calls, wherever interrupts are on.
KTEST(storm_after_every_instruction) {
    struct step_count count;
    KNEED(bait_lay());
    interrupt_register(STORM_VECTOR, on_gust);
    KCHECK(step_run(one_of_each, NULL, at_place, NULL, &count));
    interrupt_register(STORM_VECTOR, NULL);
    KCHECK(count.places > 100);
    KCHECK_EQ(refusals, 2 * count.places);
    KCHECK_EQ(heap_check(), 0);
    kprintf("storm: an interrupt after %u of %u instructions\n", count.places, count.steps);
    bait_take();
}

// Not at each: a report takes longer than a tick in a slow emulator, and nothing else would ever
// run.
static void tick_that_allocates(void) {
    tick_ends_turn();
    if (timer_ticks() % 16 == 0) call_some();
}

// Real interrupts at 10 kHz, in the middle of whatever the threads do.
KTEST(storm_ticks_that_allocate) {
    uint32_t hash;
    KNEED(bait_lay());
    timer_rate(HZ_FAST, tick_that_allocates);
    KCHECK(soak_run(32 * CALLS, 16, 2, &hash));
    timer_as_before();
    kprintf("storm: %u calls of handlers refused\n", refusals);
    KCHECK(refusals >= 2);
    bait_take();
}
