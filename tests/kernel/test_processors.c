// test_processors.c - several processors at once: the heap, semaphores, joins, locks, the TLB.
//
// What only it can find: a lock that is none, a wake-up that is lost between two processors, a
// thread that runs on two, a translation that one processor keeps. tests/e2e/test_processors.py
// boots it with 1, 2, 4 and 8 processors, in QEMU with a host's thread for each, and in Bochs. With
// one it proves that the tests themselves hold.
#include <stddef.h>
#include <stdint.h>

#include "device/timer.h"
#include "kernel/ask.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/inspect/report.h"
#include "kernel/layout.h"
#include "kernel/measure/random_calls.h"
#include "kernel/paging.h"
#include "kernel/processor.h"
#include "kernel/spinlock.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"
#include "thread/sync.h"
#include "thread/thread.h"

#define CREW_MAX 24

static struct thread *crew[CREW_MAX];

// `count` threads of the function, each with its number.
static void crew_start(uint32_t count, thread_function *function) {
    for (uint32_t i = 0; i < count; i++) {
        char name[THREAD_NAME_MAX];
        ksnprintf(name, sizeof name, "crew%u", i);
        crew[i] = thread_create(name, PRIORITY_DEFAULT, function, (void *)(uintptr_t)i);
        KCHECK(crew[i] != NULL);
    }
}

// The sum of what they return.
static int crew_join(uint32_t count) {
    int sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (crew[i]) sum += thread_join(crew[i]);
    }
    return sum;
}

static uint32_t crew_size(void) { return 2 * processors_online + 1; }

// ---- every processor runs threads ---------------------------------------------------------------

static volatile uint32_t seen_on; // a bit for each processor

static int be_seen(void *argument) {
    uint32_t until = timer_ticks() + 30, all = (1u << processors_online) - 1;
    while (seen_on != all && (int32_t)(until - timer_ticks()) > 0) {
        __atomic_fetch_or(&seen_on, 1u << processor_number, __ATOMIC_RELAXED);
    }
    return 0;
}

KTEST(processors_all_run_threads) {
    seen_on = 0;
    crew_start(crew_size(), be_seen);
    crew_join(crew_size());
    KCHECK_EQ(seen_on, (1u << processors_online) - 1);
}

// ---- the heap -----------------------------------------------------------------------------------

#define PLACES 16
#define CALLS 3000

static int random_calls(void *argument) {
    struct stream stream;
    struct stream_block block[PLACES];
    stream_begin(&stream, block, PLACES, 3000, 77 + (uint32_t)(uintptr_t)argument);
    for (int i = 0; i < 10; i++) {
        stream_calls(&stream, CALLS / 10);
        if (heap_check() != 0) stream.spoilt++;
    }
    stream_end(&stream);
    return (int)(stream.spoilt + stream.refused);
}

KTEST(processors_random_calls_at_once) {
    crew_start(crew_size(), random_calls);
    KCHECK_EQ(crew_join(crew_size()), 0);
}

// What one thread allocates another frees: each block goes round once.
#define PASSED 2000

static void *volatile box; // NULL: empty
static struct semaphore box_empty, box_full;

static int producer(void *argument) {
    for (uint32_t i = 0; i < PASSED; i++) {
        uint32_t *p = sys_malloc(16 + i % 900);
        if (!p) return 1;
        *p = i;
        sema_down(&box_empty);
        box = p;
        sema_up(&box_full);
    }
    return 0;
}

static int consumer(void *argument) {
    int wrong = 0;
    for (uint32_t i = 0; i < PASSED; i++) {
        sema_down(&box_full);
        uint32_t *p = box;
        sema_up(&box_empty);
        wrong += *p != i;
        sys_free(p);
    }
    return wrong;
}

static int produce_or_consume(void *argument) {
    return (uintptr_t)argument == 0 ? producer(NULL) : consumer(NULL);
}

KTEST(processors_free_what_another_allocated) {
    sema_init(&box_empty, 1);
    sema_init(&box_full, 0);
    crew_start(2, produce_or_consume);
    KCHECK_EQ(crew_join(2), 0);
}

// Two threads free the same block at the same moment: one is right, the other is told.
#define RACES 500

static void *volatile raced;
static volatile uint32_t race_round, race_done;

// A thread that has to wait for one on the same processor lets it in.
static void wait_a_little(uint32_t *times) {
    if (++*times % 1000 == 0) thread_yield();
    cpu_pause();
}

static int racer(void *argument) {
    for (uint32_t round = 1; round <= RACES; round++) {
        uint32_t times = 0;
        while (race_round < round) wait_a_little(&times);
        sys_free(raced);
        __atomic_add_fetch(&race_done, 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}

KTEST(processors_racing_double_free_is_refused_once) {
    race_round = race_done = 0;
    ktest_report_expect();
    crew_start(2, racer);
    for (uint32_t round = 1; round <= RACES; round++) {
        uint32_t times = 0;
        raced = sys_malloc(64);
        race_round = round;
        while (race_done < 2 * round) wait_a_little(&times);
    }
    crew_join(2);
    ktest_reports_any(RACES);
}

// ---- threads ------------------------------------------------------------------------------------

#define ROUNDS 1000

static struct semaphore ping[CREW_MAX / 2], pong[CREW_MAX / 2];
static volatile uint32_t ball[CREW_MAX / 2];

static int player(void *argument) {
    uint32_t pair = (uint32_t)(uintptr_t)argument / 2, side = (uint32_t)(uintptr_t)argument % 2;
    int wrong = 0;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        sema_down(side ? &pong[pair] : &ping[pair]);
        wrong += ball[pair]++ != 2 * i + side;
        sema_up(side ? &ping[pair] : &pong[pair]);
    }
    return wrong;
}

KTEST(processors_semaphores_lose_no_wake_up) {
    uint32_t pairs = processors_online < CREW_MAX / 2 ? processors_online : CREW_MAX / 2;
    for (uint32_t i = 0; i < pairs; i++) {
        sema_init(&ping[i], 1);
        sema_init(&pong[i], 0);
        ball[i] = 0;
    }
    crew_start(2 * pairs, player);
    KCHECK_EQ(crew_join(2 * pairs), 0);
    for (uint32_t i = 0; i < pairs; i++) KCHECK_EQ(ball[i], 2 * ROUNDS);
}

static struct lock counter_lock;
static uint32_t counter; // by read and write, so that a second one inside is noticed

static int count_locked(void *argument) {
    for (int i = 0; i < 500; i++) {
        lock_acquire(&counter_lock);
        uint32_t was = *(volatile uint32_t *)&counter;
        if (i % 50 == 0) thread_yield();
        counter = was + 1;
        lock_release(&counter_lock);
    }
    return 0;
}

KTEST(processors_lock_lets_one_in) {
    lock_init(&counter_lock);
    counter = 0;
    crew_start(crew_size(), count_locked);
    crew_join(crew_size());
    KCHECK_EQ(counter, crew_size() * 500);
}

static int count_spinning(void *argument) {
    for (int i = 0; i < 5000; i++) {
        uint32_t state = spin_save(&kernel_lock);
        counter = *(volatile uint32_t *)&counter + 1;
        spin_restore(&kernel_lock, state);
    }
    return 0;
}

KTEST(processors_spinlock_lets_one_in) {
    counter = 0;
    crew_start(crew_size(), count_spinning);
    crew_join(crew_size());
    KCHECK_EQ(counter, crew_size() * 5000);
    uint32_t state = spin_save(&kernel_lock);
    KCHECK_EQ(spin_held(&kernel_lock), processors_many);
    uint32_t again = spin_save(&kernel_lock); // as interrupts off: once more is no harm
    spin_restore(&kernel_lock, again);
    KCHECK_EQ(spin_held(&kernel_lock), processors_many);
    spin_restore(&kernel_lock, state);
    KCHECK(!spin_held(&kernel_lock));
    KCHECK(irq_enabled());
}

static int grandchild(void *argument) { return (int)(uintptr_t)argument; }

// Born on one processor, ended on another, joined on a third: their stacks come and go meanwhile.
static int parent(void *argument) {
    int wrong = 0;
    for (uintptr_t i = 0; i < 60; i++) {
        struct thread *a = thread_create("a", PRIORITY_DEFAULT, grandchild, (void *)i);
        struct thread *b = thread_create("b", PRIORITY_DEFAULT + 1, grandchild, (void *)(i + 1));
        wrong += !a || thread_join(a) != (int)i;
        wrong += !b || thread_join(b) != (int)i + 1;
    }
    return wrong;
}

KTEST(processors_join_across) {
    crew_start(crew_size(), parent);
    KCHECK_EQ(crew_join(crew_size()), 0);
}

static int sleeper(void *argument) {
    int wrong = 0;
    for (uint32_t i = 0; i < 5; i++) {
        uint32_t start = timer_ticks();
        thread_sleep(2);
        wrong += timer_ticks() - start < 1;
    }
    return wrong;
}

KTEST(processors_sleepers_wake) {
    crew_start(crew_size(), sleeper);
    KCHECK_EQ(crew_join(crew_size()), 0);
}

// ---- the TLB ------------------------------------------------------------------------------------

// A page that every processor has read, led to another frame: all must see that one.
#define PAGE (DEVICE_PAGES + 2 * PG_SIZE)
#define FLUSHES 50

static volatile uint32_t page_round, page_seen, page_wrong;

static uint32_t page_value(uint32_t round) { return 0x1000 + round; }

// One on each processor: they do not give it away.
static int page_reader(void *argument) {
    uint32_t mask = 0;
    for (uint32_t round = 1; round <= FLUSHES; round++) {
        uint32_t times = 0;
        while (page_round < round) wait_a_little(&times);
        if (*(volatile uint32_t *)PAGE != page_value(round)) {
            __atomic_add_fetch(&page_wrong, 1, __ATOMIC_SEQ_CST);
        }
        mask |= 1u << processor_number;
        __atomic_add_fetch(&page_seen, 1, __ATOMIC_SEQ_CST);
    }
    return (int)mask;
}

KTEST(processors_forget_a_page_that_goes) {
    uint32_t frame[2] = {frame_alloc(POOL_KERNEL, 1), frame_alloc(POOL_KERNEL, 1)};
    uint32_t readers = processors_online;
    page_round = page_seen = page_wrong = 0;
    crew_start(readers, page_reader);
    for (uint32_t round = 1; round <= FLUSHES; round++) {
        uint32_t number = frame[round % 2], times = 0;
        *(volatile uint32_t *)(HEAP_BASE + ((uintptr_t)number << PG_SHIFT)) = page_value(round);
        paging_map(PAGE, (uint32_t)frame_address(POOL_KERNEL, number), PAGE_WRITE);
        page_round = round;
        while (page_seen < round * readers) wait_a_little(&times);
        paging_unmap(PAGE);
        processors_flush();
    }
    crew_join(readers);
    KCHECK_EQ(page_wrong, 0);
    frame_free(POOL_KERNEL, frame[0], 1);
    frame_free(POOL_KERNEL, frame[1], 1);
}
