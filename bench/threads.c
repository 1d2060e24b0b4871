// threads.c - malloc and free by several threads at once.
//
//   threads MODE THREADS [ROUNDS]
//
//   pairs    each thread replaces blocks of its own: nothing is shared
//   remote   each block is freed by another thread than took it
//   larson   each thread replaces blocks of a set that it hands on after a while (P. Larson and
//            M. Krishnan, "Memory Allocation for Long-Running Server Applications", 1998)
//   beside   one thread takes and frees areas of 20,000 bytes, beside others that do nothing else
//
// Which allocator: LD_PRELOAD's. One line, `mode=pairs threads=2 pairs=N ns=... wall_ns=...`: the
// process's own time for a pair of malloc and free, and what passed on the clock for one. `beside`
// says also `p99_ns=...`: of 100 pairs of that one thread, one takes longer, on the clock.
//
// Shortcoming: the threads are not bound to processors; with more of them than processors, a wait
// for the other's blocks may last as long as the scheduler likes (wall_ns shows it, ns does not).
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/measure.h"

#define THREADS_MAX 64u
#define SLOTS 1000u    // blocks of a set
#define BATCH 100u     // blocks that are handed over at once
#define SIZE_MOST 400u // bytes

static uint32_t threads, rounds = 1500; // times that a set is gone through
static pthread_barrier_t start;

static uint32_t next_random(uint32_t *state) { return *state = *state * 1664525 + 1013904223; }

static void *take(uint32_t *state) {
    size_t size = (next_random(state) >> 8) % SIZE_MOST + 8;
    char *p = malloc(size);
    if (p == NULL) fail("no memory for %zu bytes", size);
    p[0] = p[size - 1] = 1;
    return p;
}

static void *set[THREADS_MAX][SLOTS];

static void replace(void **slots, uint32_t *state, uint32_t times) {
    for (uint32_t i = 0; i < times; i++) {
        void **slot = &slots[(next_random(state) >> 8) % SLOTS];
        free(*slot);
        *slot = take(state);
    }
}

static void *pairs(void *argument) {
    uint32_t id = (uint32_t)(uintptr_t)argument, state = id;
    pthread_barrier_wait(&start);
    replace(set[id], &state, rounds * SLOTS);
    return NULL;
}

// Sets go round: thread `id` has set id, then the next one, when all have done their part.
static void *larson(void *argument) {
    uint32_t id = (uint32_t)(uintptr_t)argument, state = id;
    for (uint32_t round = 0; round < rounds / 10; round++) {
        pthread_barrier_wait(&start);
        replace(set[(id + round) % threads], &state, 10 * SLOTS);
    }
    return NULL;
}

// Areas, so that an allocator that has a lock for all threads takes it.
#define AREA 20000u    // bytes
static bool measured;  // the one thread has done its part
static uint32_t *took; // nanoseconds of each of its pairs

static void area_pair(void) {
    char *p = malloc(AREA);
    if (p == NULL) fail("no memory for %u bytes", AREA);
    p[0] = 1;
    free(p);
}

static void *beside(void *argument) {
    pthread_barrier_wait(&start);
    if (argument != NULL) {
        while (!__atomic_load_n(&measured, __ATOMIC_RELAXED)) area_pair();
        return NULL;
    }
    for (uint32_t i = 0; i < rounds * SLOTS; i++) {
        uint64_t before = wall_ns();
        area_pair();
        took[i] = (uint32_t)(wall_ns() - before);
    }
    __atomic_store_n(&measured, true, __ATOMIC_RELAXED);
    return NULL;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

// One place for a batch between each thread and the next.
static void **mail[THREADS_MAX];

static void post(uint32_t to, void **batch) {
    void **none = NULL;
    while (!__atomic_compare_exchange_n(&mail[to], &none, batch, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
        none = NULL;
        sched_yield();
    }
}

static void **fetch(uint32_t at) {
    void **batch;
    while ((batch = __atomic_exchange_n(&mail[at], NULL, __ATOMIC_ACQ_REL)) == NULL) sched_yield();
    return batch;
}

static void *remote(void *argument) {
    uint32_t id = (uint32_t)(uintptr_t)argument, state = id;
    // Three: one is in the mail, and one may still be being freed.
    static void *batches[THREADS_MAX][3][BATCH];
    pthread_barrier_wait(&start);
    for (uint32_t i = 0; i < rounds * SLOTS / BATCH; i++) {
        void **batch = batches[id][i % 3];
        for (uint32_t b = 0; b < BATCH; b++) batch[b] = take(&state);
        post((id + 1) % threads, batch);
        batch = fetch(id);
        for (uint32_t b = 0; b < BATCH; b++) free(batch[b]);
    }
    return NULL;
}

static const struct {
    const char *name;
    void *(*run)(void *argument);
} modes[] = {{"pairs", pairs}, {"remote", remote}, {"larson", larson}, {"beside", beside}};

int main(int argc, char **argv) {
    if (argc < 3 || argc > 4) fail("usage: threads pairs|remote|larson|beside THREADS [ROUNDS]");
    void *(*run)(void *argument) = NULL;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(argv[1], modes[i].name) == 0) run = modes[i].run;
    }
    threads = (uint32_t)strtoul(argv[2], NULL, 10);
    if (!run) fail("%s: no such mode", argv[1]);
    if (threads == 0 || threads > THREADS_MAX)
        fail("%s: not 1 to %u threads", argv[2], THREADS_MAX);
    if (argc == 4) rounds = (uint32_t)strtoul(argv[3], NULL, 10);
    if (rounds == 0 || rounds > 100000) fail("%s: not 1 to 100000 rounds", argv[3]);
    if (run == beside) took = pages((size_t)rounds * SLOTS * sizeof *took);
    pthread_t thread[THREADS_MAX];
    pthread_barrier_init(&start, NULL, threads);
    uint64_t cpu = cpu_ns(), wall = wall_ns();
    uint32_t working = run == beside ? 1 : threads;
    for (uint32_t i = 0; i < threads; i++) {
        if (pthread_create(&thread[i], NULL, run, (void *)(uintptr_t)i) != 0) fail("no thread");
    }
    for (uint32_t i = 0; i < working; i++) pthread_join(thread[i], NULL);
    double count = (double)rounds * SLOTS * working;
    printf("mode=%s threads=%u pairs=%.0f ns=%.2f wall_ns=%.2f", argv[1], threads, count,
           (double)(cpu_ns() - cpu) / count, (double)(wall_ns() - wall) / count);
    if (took) {
        qsort(took, rounds * SLOTS, sizeof *took, by_value);
        printf(" p99_ns=%u", took[rounds * SLOTS / 100 * 99]);
    }
    printf("\n");
    return 0;
}
