// test_events.c - kernel/measure/events.c: a record of each call, and nothing left of it when off.
//
// The records are kept in memory here, so a run with events=com2 has its own stopped for these
// tests and goes on without.
#include "kernel/measure/events.h"
#include "kernel/measure/heaplog.h"
#include "lib/string.h"
#include "tests/kernel/ktest.h"
#include "thread/thread.h"

#define KEPT 256u
static union {
    uint8_t bytes[(KEPT + 1) * EVENT_BYTES];
    struct {
        struct event_head head;
        struct event event[KEPT];
    };
} kept;
static size_t used;

static void keep(const void *data, size_t bytes) {
    if (bytes > sizeof kept - used) return; // the counts that a test compares will tell
    memcpy(kept.bytes + used, data, bytes);
    used += bytes;
}

static bool start(void) {
    events_stop();
    used = 0;
    return events_start(keep);
}

static uint32_t events_kept(void) { return (uint32_t)(used / EVENT_BYTES) - 1; }

static void check_event(uint32_t i, uint32_t kind, uint32_t size, const void *pointer,
                        const void *result) {
    const struct event *event = &kept.event[i];
    KCHECK_EQ(event->mark, EVENT_MARK);
    KCHECK_EQ(event->kind, kind);
    KCHECK_EQ(event->size, size);
    KCHECK_EQ(event->pointer, pointer);
    KCHECK_EQ(event->result, result);
    KCHECK_EQ(event->tid, thread_current()->tid);
}

KTEST(events_have_a_head) {
    KNEED(start());
    KCHECK(!events_start(keep)); // once is enough
    events_stop();
    KCHECK_EQ(used, EVENT_BYTES);
    KCHECK(memcmp(kept.head.magic, "HEVENTS1", 8) == 0);
    KCHECK_EQ(kept.head.bytes, 24);
    KCHECK_EQ(kept.head.heap_base, k_heap.base);
    KCHECK_EQ(kept.head.heap_bytes, k_heap.frames * 4096);
}

KTEST(events_of_each_kind) {
    uint32_t before = events_count();
    KNEED(start());
    void *a = sys_malloc(24);
    void *b = sys_calloc(3, 7);
    void *c = sys_realloc(a, 900);
    void *d = sys_aligned_alloc(64, 100);
    void *none = sys_malloc(0);
    void *overflow = sys_calloc(0x10000, 0x10000);
    sys_free(NULL);
    sys_free(b);
    sys_free(d);
    sys_free(c);
    events_stop();
    KCHECK_EQ((uintptr_t)d % 64, 0);
    KCHECK(none == NULL && overflow == NULL);
    KCHECK_EQ(events_count() - before, 10);
    KNEED(events_kept() == 10);
    check_event(0, EVENT_MALLOC, 24, NULL, a);
    check_event(1, EVENT_CALLOC, 21, NULL, b);
    check_event(2, EVENT_REALLOC, 900, a, c);
    check_event(3, EVENT_ALIGNED, 100, (void *)64, d);
    check_event(4, EVENT_MALLOC, 0, NULL, NULL);
    check_event(5, EVENT_CALLOC, UINT32_MAX, NULL, NULL);
    check_event(6, EVENT_FREE, 0, NULL, NULL);
    check_event(7, EVENT_FREE, 0, b, NULL);
    check_event(8, EVENT_FREE, 0, d, NULL);
    check_event(9, EVENT_FREE, 0, c, NULL);
    for (uint32_t i = 0; i < 10; i++) {
        KCHECK_EQ(kept.event[i].number, (uint16_t)(before + 1 + i));
        KCHECK(kept.event[i].caller - (uint32_t)ktest_events_of_each_kind < 4096);
    }
}

KTEST(events_off_leave_the_calls_as_they_were) {
    uint8_t before[16];
    events_stop();
    memcpy(before, (const void *)sys_malloc, sizeof before);
    KNEED(start());
    KCHECK(memcmp(before, (const void *)sys_malloc, sizeof before) != 0);
    events_stop();
    KCHECK(memcmp(before, (const void *)sys_malloc, sizeof before) == 0);
    uint32_t count = events_count();
    sys_free(sys_malloc(24));
    KCHECK_EQ(events_count(), count);
}

// The code is writable for no longer than it takes.
KTEST(events_leave_the_code_read_only) {
    KNEED(start());
    struct ktest_fault fault = ktest_try_write((uintptr_t)sys_malloc);
    events_stop();
    KCHECK(fault.faulted);
    KCHECK_EQ(fault.error, FAULT_PRESENT | FAULT_WRITING);
}

// The heap must not notice: the same blocks, in the same order, as without.
KTEST(events_change_no_address) {
    void *without[24], *with[24];
    for (int round = 0; round < 2; round++) {
        void **p = round ? with : without;
        if (round) KNEED(start());
        for (uint32_t i = 0; i < 24; i++) p[i] = sys_malloc(1 + i * i * 9);
        for (uint32_t i = 0; i < 24; i++) sys_free(p[(i * 7) % 24]);
        events_stop();
        sys_trim();
    }
#ifndef HEAP_CHECKED // its quarantine keeps the blocks of the first round
    KCHECK(memcmp(without, with, sizeof with) == 0);
#endif
    for (uint32_t i = 0; i < 24; i++) KCHECK_EQ(kept.event[i].result, with[i]);
}

// A refused call says so, and the report names the one who called.
KTEST(events_of_a_refused_call) {
    void *p = sys_malloc(24);
    sys_free(p);
    KNEED(start());
    KREPORT(HEAP_DOUBLE_FREE, p, sys_free(p));
    events_stop();
    KNEED(events_kept() == 1);
    check_event(0, EVENT_FREE | EVENT_REFUSED, 0, p, NULL);
    KCHECK(ktest_contains(ktest_printed(), "called from ktest_events_of_a_refused_call+"));
}

KTEST(events_and_the_log_go_together) {
    uint32_t before = call_count;
    KNEED(start());
    KNEED(heaplog_start(false));
    void *p = sys_malloc(100);
    sys_free(p);
    heaplog_stop();
    events_stop();
    KCHECK_EQ(call_count - before, 2);
    KNEED(events_kept() == 2);
    check_event(0, EVENT_MALLOC, 100, NULL, p);
    check_event(1, EVENT_FREE, 0, p, NULL);
}

// ---- several threads ----------------------------------------------------------------------------

#define WORKERS 3u
#define ROUNDS 20u

static int worker(void *argument) {
    for (uint32_t i = 0; i < ROUNDS; i++) {
        void *p = sys_malloc((uintptr_t)argument);
        if (i % 4 == 0) thread_yield();
        sys_free(p);
    }
    return 0;
}

// In the order of what happened: replayed, no block is handed out that is live, and each free finds
// its block.
KTEST(events_are_in_the_order_of_what_happened) {
    struct thread *thread[WORKERS];
    uint32_t live[KEPT], lives = 0, of_workers = 0;
    KNEED(start());
    for (uintptr_t i = 0; i < WORKERS; i++)
        thread[i] = thread_create("events", PRIORITY_DEFAULT, worker, (void *)(2000 + i));
    for (uint32_t i = 0; i < WORKERS; i++) {
        KCHECK(thread[i] != NULL);
        if (thread[i]) thread_join(thread[i]);
    }
    events_stop();
    KNEED(events_kept() >= WORKERS * ROUNDS * 2 && events_kept() < KEPT);
    for (uint32_t i = 0; i < events_kept(); i++) {
        const struct event *event = &kept.event[i];
        uint32_t p = event->kind == EVENT_FREE ? event->pointer : event->result, at = 0;
        while (at < lives && live[at] != p) at++;
        KCHECK_EQ(at < lives, event->kind == EVENT_FREE);
        if (event->kind != EVENT_FREE) live[lives++] = p;
        else if (at < lives) live[at] = live[--lives];
        of_workers += event->size >= 2000 && event->size < 2000 + WORKERS;
    }
    KCHECK_EQ(lives, 0);
    KCHECK_EQ(of_workers, WORKERS * ROUNDS);
}
