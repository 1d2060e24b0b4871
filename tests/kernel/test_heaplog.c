// test_heaplog.c - kernel/measure/heaplog.c: every call written down, with its result, whatever
// comes in between.
//
// The heap must not notice: each test compares what it was given with what is in the ring.
#include "kernel/measure/heaplog.h"
#include "kernel/measure/step.h"
#include "lib/string.h"
#include "tests/kernel/ktest.h"
#include "thread/thread.h"

#define WORKERS 3u
#define ROUNDS 20u // of a worker, two calls each: all fit the ring

static const struct call_record *record(uint32_t number) {
    return &call_ring[(number - 1) % CALL_RING];
}

// The record `number`, but for who called.
static void check_call(uint32_t number, enum call_kind kind, uint32_t size, const void *pointer,
                       const void *result) {
    const struct call_record *call = record(number);
    KCHECK_EQ(call->number, number);
    KCHECK_EQ(call->kind, kind);
    KCHECK_EQ(call->size, size);
    KCHECK_EQ(call->pointer, pointer);
    KCHECK_EQ(call->result, result);
    KCHECK_EQ(call->tid, thread_current()->tid);
}

KTEST(heaplog_writes_each_kind_down) {
    uint32_t before = call_count;
    KNEED(heaplog_start(false));
    KCHECK(heaplog_on());
    KCHECK(!heaplog_start(false)); // once is enough
    void *a = sys_malloc(24);
    void *b = sys_calloc(3, 7);
    void *c = sys_realloc(a, 900);
    void *none = sys_malloc(0);
    sys_free(b);
    sys_free(c);
    heaplog_stop();
    KCHECK(!heaplog_on());
    KCHECK_EQ(none, NULL);
    // Exactly one each: what a call does inside (a malloc for a realloc) is not the caller's.
    KCHECK_EQ(call_count - before, 6);
    check_call(before + 1, CALL_MALLOC, 24, NULL, a);
    check_call(before + 2, CALL_CALLOC, 21, NULL, b);
    check_call(before + 3, CALL_REALLOC, 900, a, c);
    check_call(before + 4, CALL_MALLOC, 0, NULL, NULL);
    check_call(before + 5, CALL_FREE, 0, b, NULL);
    check_call(before + 6, CALL_FREE, 0, c, NULL);
}

KTEST(heaplog_off_writes_nothing_down) {
    heaplog_stop();
    uint32_t before = call_count;
    sys_free(sys_malloc(24));
    KCHECK_EQ(call_count, before);
}

// A report is made inside the call: the call is written down all the same, and comes back.
KTEST(heaplog_goes_on_after_a_report) {
    uint32_t before = call_count;
    void *p = sys_malloc(24);
    sys_free(p);
    KNEED(heaplog_start(false));
    KREPORT(HEAP_DOUBLE_FREE, p, sys_free(p));
    heaplog_stop();
    KCHECK_EQ(call_count - before, 1);
    check_call(before + 1, CALL_FREE, 0, p, NULL);
}

// What the processor keeps: the flag that steps a call must not outlive it.
KTEST(heaplog_leaves_no_trap_flag) {
    KNEED(heaplog_start(false));
    void *p = sys_malloc(24);
    uint32_t flags;
    __asm__ volatile("pushfl\n\tpopl %0" : "=r"(flags));
    sys_free(p);
    heaplog_stop();
    KCHECK_EQ(flags & 0x100u, 0);
}

// ---- several threads ----------------------------------------------------------------------------

static void *given[WORKERS][ROUNDS];

static int worker(void *argument) {
    uintptr_t id = (uintptr_t)argument;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        void *p = sys_malloc(id * 1000 + 1 + i);
        given[id][i] = p;
        sys_free(p);
        if (i % 4 == 0) thread_yield();
    }
    return 0;
}

// Records of worker `id`'s mallocs in the order of their sizes; returns how many were as they
// should be.
static uint32_t right_ones(uint32_t first, uint32_t id) {
    uint32_t right = 0, next = 0;
    for (uint32_t number = first; number <= call_count; number++) {
        const struct call_record *call = record(number);
        if (call->kind != CALL_MALLOC || call->size != id * 1000 + 1 + next) continue;
        right += call->number == number && call->result == (uintptr_t)given[id][next];
        next++;
    }
    return right;
}

KTEST(heaplog_tells_threads_apart) {
    struct thread *thread[WORKERS] = {NULL};
    uint32_t first = call_count + 1;
    KNEED(heaplog_start(false));
    for (uintptr_t i = 0; i < WORKERS; i++) {
        thread[i] = thread_create("traced", PRIORITY_DEFAULT, worker, (void *)i);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        KCHECK(thread[i] != NULL);
        if (thread[i]) thread_join(thread[i]);
    }
    heaplog_stop();
    KNEED(call_count - first < CALL_RING);
    for (uint32_t i = 0; i < WORKERS; i++) KCHECK_EQ(right_ones(first, i), ROUNDS);
}

// ---- beside kernel/measure/step.c
// -----------------------------------------------------------------------

static void one_pair(void *argument) {
    (void)argument;
    sys_free(sys_malloc(24));
}

static void no_hook(const struct interrupt_frame *frame, uint32_t place, void *argument) {
    (void)frame;
    (void)place;
    (void)argument;
}

// One after the other, the same exception serves both.
KTEST(heaplog_and_steps_take_turns) {
    struct step_count count;
    uint32_t before = call_count;
    KNEED(heaplog_start(false));
    one_pair(NULL);
    heaplog_stop();
    KCHECK(step_run(one_pair, NULL, no_hook, NULL, &count));
    KCHECK(count.steps > 20);
    KNEED(heaplog_start(false));
    one_pair(NULL);
    heaplog_stop();
    KCHECK_EQ(call_count - before, 4);
}
