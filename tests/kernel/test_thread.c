// test_thread.c - threads, semaphores, locks, sleep, stacks.
#include <stddef.h>
#include <stdint.h>

#include "kernel/interrupt.h"
#include "kernel/layout.h"
#include "kernel/memory.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"
#include "tests/kernel/ktest_heap.h"
#include "thread/stack.h"
#include "thread/sync.h"
#include "thread/thread.h"

#define LOW (PRIORITY_DEFAULT - 4)
#define HIGH (PRIORITY_DEFAULT + 4)

static int give_back(void *argument) { return (int)(uintptr_t)argument; }

KTEST(thread_join_returns_the_value) {
    struct thread *thread = thread_create("value", LOW, give_back, (void *)42);
    KNEED(thread);
    KCHECK_EQ(thread_join(thread), 42);
}

static int leave_early(void *unused) { thread_exit(7); }

KTEST(thread_exit_is_returning) {
    struct thread *thread = thread_create("leaver", HIGH, leave_early, NULL);
    KNEED(thread);
    KCHECK_EQ(thread->state, THREAD_DEAD); // its priority is higher: it has run already
    KCHECK_EQ(thread_join(thread), 7);
}

static int read_name(void *to) {
    strlcpy(to, thread_name(thread_current()), THREAD_NAME_MAX);
    return 0;
}

KTEST(thread_name_is_cut) {
    char name[THREAD_NAME_MAX];
    struct thread *thread = thread_create("a name longer than it may be", LOW, read_name, name);
    KNEED(thread);
    thread_join(thread);
    KCHECK(strcmp(name, "a name longer t") == 0);
}

// ---- the order in which threads run -------------------------------------------------------------

static char order[8];
static unsigned order_length;

static int note(void *letter) {
    if (order_length < sizeof order - 1) order[order_length++] = *(const char *)letter;
    order[order_length] = '\0';
    return 0;
}

static void run_three(unsigned a, unsigned b, unsigned c) {
    static char letters[] = "abc";
    unsigned priorities[] = {a, b, c};
    struct thread *threads[3];
    order_length = 0;
    for (int i = 0; i < 3; i++)
        threads[i] = thread_create("order", priorities[i], note, &letters[i]);
    for (int i = 0; i < 3; i++) {
        if (KCHECK(threads[i])) thread_join(threads[i]);
    }
}

KTEST(thread_higher_priority_first) {
    run_three(LOW, LOW + 1, LOW + 2);
    KCHECK(strcmp(order, "cba") == 0);
    run_three(LOW, LOW, LOW);
    KCHECK(strcmp(order, "abc") == 0);
    run_three(HIGH, LOW, HIGH); // a and c before main goes on
    KCHECK(strcmp(order, "acb") == 0);
}

static volatile uint32_t spins;
static volatile bool stop;

static int spin(void *unused) {
    while (!stop) spins++;
    return 0;
}

// A thread that never gives way must not keep one of its own priority from running.
KTEST(thread_time_slices) {
    spins = 0;
    stop = false;
    struct thread *thread = thread_create("spinner", PRIORITY_DEFAULT, spin, NULL);
    KNEED(thread);
    for (uint32_t turns = 0; turns < 2000000000u && spins == 0; turns++)
        __asm__ volatile("" : : : "memory");
    KCHECK(spins > 0);
    stop = true;
    thread_join(thread);
}

static int sleep_then_note(void *letter) {
    thread_sleep(*(const char *)letter == 'a' ? 4 : 2);
    return note(letter);
}

KTEST(thread_sleepers_wake_in_order) {
    static char letters[] = "ab";
    order_length = 0;
    struct thread *a = thread_create("sleep a", HIGH, sleep_then_note, &letters[0]);
    struct thread *b = thread_create("sleep b", HIGH, sleep_then_note, &letters[1]);
    KNEED(a && b);
    thread_join(a);
    thread_join(b);
    KCHECK(strcmp(order, "ba") == 0);
}

// ---- semaphores and locks -----------------------------------------------------------------------

static struct semaphore sema;
static struct lock lock;
static uint32_t counter;

static int wait_and_note(void *letter) {
    sema_down(&sema);
    return note(letter);
}

KTEST(sema_wakes_by_priority) {
    static char letters[] = "ab";
    sema_init(&sema, 0);
    order_length = 0;
    struct thread *a = thread_create("low", HIGH, wait_and_note, &letters[0]);
    struct thread *b = thread_create("high", HIGH + 1, wait_and_note, &letters[1]);
    KNEED(a && b);
    KCHECK_EQ(a->state, THREAD_BLOCKED);
    sema_up(&sema);
    KCHECK(strcmp(order, "b") == 0); // at once: its priority is above main's
    sema_up(&sema);
    thread_join(a);
    thread_join(b);
    KCHECK(strcmp(order, "ba") == 0);
    KCHECK(!sema_try_down(&sema));
}

static int count_up(void *unused) {
    for (int i = 0; i < 20000; i++) {
        lock_acquire(&lock);
        uint32_t seen = counter;
        __asm__ volatile("" : : : "memory");
        counter = seen + 1;
        lock_release(&lock);
    }
    return 0;
}

KTEST(lock_keeps_a_counter_whole) {
    struct thread *threads[4];
    lock_init(&lock);
    counter = 0;
    for (int i = 0; i < 4; i++)
        threads[i] = thread_create("counter", PRIORITY_DEFAULT, count_up, NULL);
    for (int i = 0; i < 4; i++) {
        if (KCHECK(threads[i])) thread_join(threads[i]);
    }
    KCHECK_EQ(counter, 80000);
    KCHECK(!lock_held(&lock));
}

// ---- memory -------------------------------------------------------------------------------------

// Every thread's stack and record come back, and what cannot be had leaves nothing taken.
KTEST(thread_out_of_memory_rolls_back) {
    sys_trim();
    uint32_t before = frames_free(POOL_KERNEL), need = ktest_thread_frames();
    // So many in a row to take last: a record may want an arena of several frames.
    uint32_t row = frame_alloc(POOL_KERNEL, need);
    KNEED(row != FRAME_NONE);
    struct chain frames = {NULL};
    while (ktest_frame_take(&frames)) {}
    frame_free(POOL_KERNEL, row, need);
    while (ktest_frame_take(&frames)) {}
    KCHECK_EQ(frames_free(POOL_KERNEL), 0);
    for (uint32_t have = 0; have < need; have++) {
        KCHECK(!thread_create("too much", LOW, give_back, NULL));
        sys_trim();
        KCHECK_EQ(frames_free(POOL_KERNEL), have);
        ktest_frame_give(&frames);
    }
    struct thread *thread = thread_create("enough", LOW, give_back, (void *)1);
    KCHECK(thread && thread_join(thread) == 1);
    ktest_frames_give_all(&frames);
    sys_trim();
    KCHECK_EQ(frames_free(POOL_KERNEL), before);
}

KTEST(stack_slots_run_out_clearly) {
    static int slots[STACK_SLOTS];
    int count = 0;
    uint32_t need = STACK_SLOT_BYTES / PG_SIZE - 1;
    while (count < (int)STACK_SLOTS) {
        slots[count] = stack_alloc();
        if (slots[count] == STACK_SLOT_NONE) break;
        count++;
    }
    // Either every slot is taken (but idle's), or the frames are.
    KCHECK(count >= (int)STACK_SLOTS - 8 || frames_free(POOL_KERNEL) < need);
    while (count > 0) stack_free(slots[--count]);
}

static int use_stack(void *bytes) {
    volatile char buffer[6000];
    for (unsigned i = 0; i < sizeof buffer; i++) buffer[i] = 1;
    *(uint32_t *)bytes = stack_used(thread_current()->slot);
    return buffer[0];
}

KTEST(stack_use_is_measured) {
    uint32_t used = 0;
    struct thread *thread = thread_create("deep", LOW, use_stack, &used);
    KNEED(thread);
    thread_join(thread);
    KCHECK(used > 6000 && used < STACK_SLOT_BYTES);
}

static int allocate_for_another(void *to) {
    *(void **)to = sys_malloc(100);
    return 0;
}

// Case 18: freed after the allocating thread has ended.
KTEST(thread_frees_what_a_dead_one_allocated) {
    void *p = NULL;
    struct thread *thread = thread_create("giver", HIGH, allocate_for_another, &p);
    KNEED(thread);
    thread_join(thread);
    KNEED(p);
    KCHECK_EQ(sys_usable_size(p), ktest_usable(100));
    sys_free(p);
}
