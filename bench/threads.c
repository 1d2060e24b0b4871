// threads.c - malloc and free by several threads at once.
//
//   threads MODE THREADS
//
//   pairs    each thread replaces blocks of its own: nothing is shared
//   remote   each block is freed by another thread than took it
//   larson   each thread replaces blocks of a set that it hands on after a while (P. Larson and
//            M. Krishnan, "Memory Allocation for Long-Running Server Applications", 1998)
//   asleep   one thread works, and the others sleep
//
// Which allocator: LD_PRELOAD's. One line, `mode=pairs threads=2 pairs=N ns=... wall_ns=...`: the
// process's own time for a pair of malloc and free, and what passed on the clock for one.
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
#define ROUNDS 200u    // times that a set is gone through
#define BATCH 100u     // blocks that are handed over at once
#define SIZE_MOST 400u // bytes

static uint32_t threads;
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
    replace(set[id], &state, ROUNDS * SLOTS);
    return NULL;
}

// Sets go round: thread `id` has set id, then the next one, when all have done their part.
static void *larson(void *argument) {
    uint32_t id = (uint32_t)(uintptr_t)argument, state = id;
    for (uint32_t round = 0; round < ROUNDS / 10; round++) {
        pthread_barrier_wait(&start);
        replace(set[(id + round) % threads], &state, 10 * SLOTS);
    }
    return NULL;
}

static void *asleep(void *argument) {
    if (argument == NULL) return pairs(argument);
    pthread_barrier_wait(&start);
    pause();
    return NULL;
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
    for (uint32_t i = 0; i < ROUNDS * SLOTS / BATCH; i++) {
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
} modes[] = {{"pairs", pairs}, {"remote", remote}, {"larson", larson}, {"asleep", asleep}};

int main(int argc, char **argv) {
    if (argc != 3) fail("usage: threads pairs|remote|larson|asleep THREADS");
    void *(*run)(void *argument) = NULL;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(argv[1], modes[i].name) == 0) run = modes[i].run;
    }
    threads = (uint32_t)strtoul(argv[2], NULL, 10);
    if (!run) fail("%s: no such mode", argv[1]);
    if (threads == 0 || threads > THREADS_MAX)
        fail("%s: not 1 to %u threads", argv[2], THREADS_MAX);
    pthread_t thread[THREADS_MAX];
    pthread_barrier_init(&start, NULL, threads);
    uint64_t cpu = cpu_ns(), wall = wall_ns();
    uint32_t working = run == asleep ? 1 : threads;
    for (uint32_t i = 0; i < threads; i++) {
        if (pthread_create(&thread[i], NULL, run, (void *)(uintptr_t)i) != 0) fail("no thread");
    }
    for (uint32_t i = 0; i < working; i++) pthread_join(thread[i], NULL);
    double count = (double)ROUNDS * SLOTS * working;
    printf("mode=%s threads=%u pairs=%.0f ns=%.2f wall_ns=%.2f\n", argv[1], threads, count,
           (double)(cpu_ns() - cpu) / count, (double)(wall_ns() - wall) / count);
    return 0;
}
