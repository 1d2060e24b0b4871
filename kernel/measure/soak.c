// soak.c - see soak.h.
//
// Alone, a stream's addresses are the same in every run, on every emulator: nothing else allocates.
// With threads they depend on when the timer comes; what each thread asks for and gets back does
// not, as long as there is memory for all. The streams' hashes are made of that, and it is the
// reason why a refused call is a failure: there is enough for SOAK_THREADS_MAX threads with
// BLOCKS blocks each, at twice SIZE_MAX.
//
// Every SOAK_CHECK_OPS calls of a stream its thread checks all invariants, with interrupts off.
#include "kernel/measure/soak.h"

#include <stddef.h>

#include "kernel/inspect/heapcheck.h"
#include "kernel/memory.h"
#include "kernel/panic.h"
#include "kernel/measure/random_calls.h"
#include "lib/print.h"
#include "lib/x86.h"
#include "thread/thread.h"

#define BLOCKS_ALONE 1024 // places of a single stream
#define SIZE_ALONE 20000  // bytes
#define BLOCKS 24         // of one stream among many
#define SIZE_MAX_MANY 3000

static struct stream_block blocks[SOAK_THREADS_MAX * BLOCKS];
_Static_assert(BLOCKS_ALONE <= SOAK_THREADS_MAX * BLOCKS, "one stream uses the same places");

// A thread and its stream. Written by that thread alone; read when it has ended.
struct worker {
    struct stream soak;
    uint32_t ops;    // to make
    uint32_t checks; // walks over the invariants
    uint32_t broken; // that they found
    struct thread *thread;
};
static struct worker soak_workers[SOAK_THREADS_MAX];

static int soak_work(void *argument) {
    struct worker *worker = argument;
    while (worker->ops > 0) {
        uint32_t ops = worker->ops < SOAK_CHECK_OPS ? worker->ops : SOAK_CHECK_OPS;
        stream_calls(&worker->soak, ops);
        worker->ops -= ops;
        worker->broken += heap_check();
        worker->checks++;
    }
    stream_end(&worker->soak);
    return 0;
}

static void worker_set(uint32_t i, uint32_t ops, uint32_t seed, bool alone) {
    soak_workers[i] = (struct worker){.ops = ops};
    stream_begin(&soak_workers[i].soak, &blocks[i * BLOCKS], alone ? BLOCKS_ALONE : BLOCKS,
                 alone ? SIZE_ALONE : SIZE_MAX_MANY, seed + i * 7919);
    soak_workers[i].soak.addresses = alone;
}

// All are made before the first makes a call: it waits for main, whose priority is higher.
static uint32_t workers_run(uint32_t threads) {
    uint32_t missing = 0;
    for (uint32_t i = 0; i < threads; i++) {
        char name[THREAD_NAME_MAX];
        ksnprintf(name, sizeof name, "soak%u", i);
        soak_workers[i].thread =
            thread_create(name, PRIORITY_DEFAULT - 1, soak_work, &soak_workers[i]);
        missing += !soak_workers[i].thread;
    }
    for (uint32_t i = 0; i < threads; i++) {
        if (soak_workers[i].thread) thread_join(soak_workers[i].thread);
    }
    return missing;
}

// One number for all streams, in the threads' order.
static struct worker sum(uint32_t streams) {
    struct worker all = {.soak = {.hash = 0}};
    for (uint32_t i = 0; i < streams; i++) {
        const struct worker *one = &soak_workers[i];
        all.soak.hash = all.soak.hash * 31 + one->soak.hash;
        all.soak.ops += one->soak.ops;
        all.soak.refused += one->soak.refused;
        all.soak.spoilt += one->soak.spoilt;
        all.checks += one->checks;
        all.broken += one->broken;
    }
    return all;
}

bool soak_run(uint32_t ops, uint32_t threads, uint32_t seed, uint32_t *hash) {
    ASSERT(threads <= SOAK_THREADS_MAX);
    uint32_t streams = threads > 0 ? threads : 1, missing = 0;
    sys_trim();
    uint32_t before = frames_free(POOL_KERNEL);
    uint32_t each = ops / streams + (ops % streams != 0);
    for (uint32_t i = 0; i < streams; i++) worker_set(i, each, seed, threads == 0);
    if (threads == 0) soak_work(&soak_workers[0]);
    else missing = workers_run(threads);
    struct worker all = sum(streams);
    all.broken += heap_check();
    sys_trim();
    uint32_t leaked = before - frames_free(POOL_KERNEL);
    kprintf("soak: seed=%u threads=%u ops=%u checks=%u spoilt=%u refused=%u broken=%u leaked=%d "
            "hash=%08x\n",
            seed, threads, all.soak.ops, all.checks, all.soak.spoilt, all.soak.refused, all.broken,
            (int)leaked, all.soak.hash);
    *hash = all.soak.hash;
    bool good = all.soak.ops >= ops && all.soak.spoilt == 0 && all.soak.refused == 0 &&
                all.broken == 0 && leaked == 0 && missing == 0;
    kprintf("soak: %s\n", good ? "passed" : "failed");
    return good;
}
