// demo.c - see demo.h. Four threads, three priorities, one heap.
//
//   1  Each thread allocates blocks of several sizes, a tick apart, prints the addresses it got,
//      and holds them.
//   2  While all hold, the descriptors are looked at: this is the heap "at work".
//   3  Each checks and frees, and then goes on for ROUNDS rounds with random sizes, preempted by
//      the others.
//   4  All have ended: every block must have kept its bytes, and every frame must be back in its
//      pool.
//
// A block is filled with its owner's own pattern. If two live blocks shared memory, or one thread's
// free gave another's block away, a pattern would break.
//
// What the verdict rests on: (1) each block is read back whole before it is freed; (2) the free
// frames of both pools are counted before the first and after the last thread; (3) heap_check()
// walks every invariant at the end. Nothing is printed as a success that was not compared.
//
// Two semaphores make the moment at which the table's middle is taken. Each worker goes up on
// `holding` when it has its blocks, and down on `go_on` before it frees any; main does the same the
// other way round. With naps instead the table would show whatever the emulator's speed made of it.
//
// Everything but the interrupts' times is the same at every boot: sizes are in a table, random
// numbers come from a generator with a fixed start. A failure can so be looked for again.
//
// Shortcomings: two blocks with the same pattern that overlap exactly are not told apart; the tests
// in tests/kernel look closer.
#include "kernel/museum/demo.h"

#include <stddef.h>
#include <stdint.h>

#include "kernel/checked/checked.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/inspect/heapwalk.h"
#include "kernel/bochs_break.h"
#include "kernel/memory.h"
#include "lib/print.h"
#include "thread/sync.h"
#include "thread/thread.h"

#define WORKERS 4
#define SHOWN 4        // blocks that a worker prints and holds in part 1
#define HELD 16        // blocks that a worker has at the most in part 3
#define ROUNDS 1500    // of part 3
#define NAP_ROUNDS 100 // a worker sleeps a tick after so many, and lets lower priorities run
#define USER_FRAMES 3  // a worker's run of frames of the user pool, parts 1 to 3

// A block that a worker holds. Its worker's own.
struct block {
    uint8_t *at; // NULL: none
    uint32_t bytes;
    uint8_t tag; // byte i is tag + i
};

// A thread and what became of its work. Written by that thread alone; main reads it after the join.
struct worker {
    const char *name;
    unsigned priority;
    uint32_t bytes[SHOWN]; // sizes for part 1
    struct thread *thread; // NULL: could not be made
    uint32_t random;       // state of the generator
    uint32_t blocks;       // allocated so far
    uint32_t asked;        // bytes, in all of them
    uint32_t spoiled;      // blocks that did not keep what was written to them
    uint32_t refused;      // allocations that returned NULL
};

// Sizes on both sides of a descriptor's end (1024 is the last that is a block of the default table,
// 1025 the first that is a frame), some of several frames. The two of equal priority take turns;
// thread_d comes first whenever it wakes, thread_a runs only while all others sleep.
static struct worker workers[WORKERS] = {
    {.name = "thread_a", .priority = 8, .bytes = {16, 100, 1000, 5000}},
    {.name = "thread_b", .priority = 16, .bytes = {24, 200, 1024, 9000}},
    {.name = "thread_c", .priority = 16, .bytes = {33, 300, 1025, 4096}},
    {.name = "thread_d", .priority = 24, .bytes = {63, 500, 12, 12289}},
};

static struct semaphore holding; // up once by each worker that holds its blocks of part 1
static struct semaphore go_on;   // up once for each worker when the descriptors have been looked at

// ---- what a worker does -------------------------------------------------------------------------

// A linear congruential generator: the same numbers at every boot. The low bits are poor and left
// out.
static uint32_t random_below(struct worker *worker, uint32_t limit) {
    worker->random = worker->random * 1664525u + 1013904223u;
    return (worker->random >> 8) % limit;
}

// Allocates and fills. The tag differs from block to block, so that a block that got its
// neighbour's bytes is found, though all were written by the same rule. Running out of memory is
// not an error of the heap, but this demonstration asks for so little that it counts as one.
static void block_take(struct worker *worker, struct block *block, uint32_t bytes) {
    *block =
        (struct block){sys_malloc(bytes), bytes, (uint8_t)(worker->random + worker->blocks * 7)};
    if (!block->at) {
        worker->refused++;
        return;
    }
    worker->blocks++;
    worker->asked += bytes;
    for (uint32_t i = 0; i < bytes; i++) block->at[i] = (uint8_t)(block->tag + i);
}

// Checks and frees. Every byte is looked at, since an overlap may be one byte at an end; and the
// check comes before the free, after which the bytes have no owner.
static void block_give(struct worker *worker, struct block *block) {
    bool kept = true;
    if (!block->at) return;
    for (uint32_t i = 0; i < block->bytes; i++) {
        if (block->at[i] != (uint8_t)(block->tag + i)) kept = false;
    }
    worker->spoiled += !kept;
    sys_free(block->at);
    block->at = NULL;
}

// The seed's way to see malloc at work. What the block really holds comes from the heap itself.
static void address_print(const struct worker *worker, const struct block *block) {
    char holder[24];
    struct heap_block holds;
    if (!heap_block_at((uintptr_t)block->at, &holds)) return; // allocated: there is one
    uint32_t room = (uint32_t)holds.bytes;
    if (!holds.arena->large) ksnprintf(holder, sizeof holder, "a block of %u", room);
    else ksnprintf(holder, sizeof holder, "whole frames: %u", room / PG_SIZE);
    kprintf("%s (priority %2u) malloc addr: %p, %5u bytes in %s\n", worker->name, worker->priority,
            (void *)block->at, block->bytes, holder);
}

// Part 1, and 2 between the semaphores. The tick between two allocations is what mixes the threads:
// addresses that follow each other then belong to different ones.
static void work_in_turns(struct worker *worker) {
    struct block block[SHOWN];
    for (int i = 0; i < SHOWN; i++) {
        block_take(worker, &block[i], worker->bytes[i]);
        address_print(worker, &block[i]);
        thread_sleep(1);
    }
    sema_up(&holding);
    sema_down(&go_on);
    for (int i = 0; i < SHOWN; i++) block_give(worker, &block[i]);
}

// Part 3: mostly blocks, now and then a large area. A place that is drawn again gives its block
// back first, so blocks live for random times, and arenas are emptied in no order. The nap every
// NAP_ROUNDS lets lower priorities in: they would else start when the higher ones have ended.
static void work_at_random(struct worker *worker) {
    struct block block[HELD] = {{0}};
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        struct block *one = &block[random_below(worker, HELD)];
        block_give(worker, one);
        block_take(worker, one,
                   1 + random_below(worker, random_below(worker, 16) == 0 ? 9000 : 700));
        if (round % NAP_ROUNDS == 0) thread_sleep(1);
    }
    for (int i = 0; i < HELD; i++) block_give(worker, &block[i]);
}

// A worker's whole life. The run of frames of the user pool shows that the pools are kept apart:
// nothing of it is mapped anywhere.
static int work(void *argument) {
    struct worker *worker = argument;
    uint32_t frames = frame_alloc(POOL_USER, USER_FRAMES);
    if (frames == FRAME_NONE) worker->refused++;
    work_in_turns(worker);
    work_at_random(worker);
    if (frames != FRAME_NONE) frame_free(POOL_USER, frames, USER_FRAMES);
    return 0;
}

// ---- what main looks at -------------------------------------------------------------------------

// The heap at one moment.
struct moment {
    struct desc_state desc[DESC_MAX];
    uint32_t free[POOL_COUNT]; // frames
};
static struct moment before, at_work, after;

// Other threads may run meanwhile, but at the moments that are looked at they sleep or have ended.
// Static, the three of them: a moment has a state for each of 32 descriptors.
static void look(struct moment *moment) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) heap_desc_state(&k_heap, i, &moment->desc[i]);
    for (int id = 0; id < POOL_COUNT; id++) moment->free[id] = frames_free((enum pool_id)id);
}

// A descriptor at one of the three moments.
static void cells_print(const struct desc_state *desc) {
    kprintf(" | %6u %5u %5u", desc->arenas, desc->live_blocks, desc->free_blocks);
}

static void descriptors_print(void) {
    put_str("block  blocks |       before       |      at work       |       after\n"
            " size  /arena | arenas  live  free | arenas  live  free | arenas  live  free\n");
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        kprintf("%5u %7u", before.desc[i].block_size, before.desc[i].blocks_per_arena);
        cells_print(&before.desc[i]);
        cells_print(&at_work.desc[i]);
        cells_print(&after.desc[i]);
        put_str("\n");
    }
#ifdef HEAP_CHECKED
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < CHECKED_QUARANTINE; i++) waiting += checked_quarantine[i].p != 0;
    kprintf("quarantine: %u blocks and large areas, freed; above they count as live\n", waiting);
#endif
}

// Starts the workers. Returns how many there are. One that could not be made must not be waited
// for: main would hang on a semaphore that is never raised, where it should say FAIL.
static uint32_t workers_start(void) {
    uint32_t started = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        struct worker *worker = &workers[i];
        worker->random = 2654435761u * (i + 1); // far apart, and the same at every boot
        worker->blocks = worker->asked = worker->spoiled = worker->refused = 0;
        worker->thread = thread_create(worker->name, worker->priority, work, worker);
        if (worker->thread) started++;
        else kprintf("demo: no memory for %s\n", worker->name);
    }
    return started;
}

// Waits for the workers' end. True if all there should be were there, and none has anything to
// complain of.
static bool workers_end(void) {
    bool good = true;
    for (uint32_t i = 0; i < WORKERS; i++) {
        struct worker *worker = &workers[i];
        if (worker->thread) thread_join(worker->thread);
        kprintf("%s: %u blocks, %u KiB, allocated and freed; %u spoiled, %u refused\n",
                worker->name, worker->blocks, worker->asked / 1024, worker->spoiled,
                worker->refused);
        good = good && worker->thread && worker->spoiled == 0 && worker->refused == 0;
    }
    return good;
}

// One line that says what was compared; returns its argument. Called first and combined afterwards,
// so that the second verdict is printed when the first was bad.
static bool verdict(bool good, const char *what) {
    kprintf("%s: %s\n", good ? "PASS" : "FAIL", what);
    return good;
}

// Part 4. An empty arena of each size stays open for the next allocation: sys_trim() asks for its
// frames.
static bool frames_came_back(void) {
    uint32_t trimmed = sys_trim();
    bool good = true;
    kprintf("empty arenas that were kept ready: %u frames, given back\n", trimmed);
    for (int id = 0; id < POOL_COUNT; id++) {
        uint32_t now = frames_free((enum pool_id)id);
        kprintf("%s: %u frames, free before %u, at work %u, after %u\n", mem_pool[id]->name,
                frames_total((enum pool_id)id), before.free[id], at_work.free[id], now);
        good = good && now == before.free[id] && at_work.free[id] < now;
    }
    return good;
}

// main's priority is that of thread_b and thread_c, so the workers above it run as soon as they are
// made, the one below when main waits.
bool demo_run(void) {
    put_str("demo: four threads allocate, fill, check and free at the same time\n");
    sema_init(&holding, 0);
    sema_init(&go_on, 0);
    sys_trim(); // empty arenas of earlier work would count as frames that are missing
    look(&before);
    bochs_stop(); // the first allocations, step by step
    uint32_t started = workers_start();
    for (uint32_t i = 0; i < started; i++) sema_down(&holding);
    look(&at_work);
    for (uint32_t i = 0; i < started; i++) sema_up(&go_on);
    bool kept = workers_end();
    look(&after);
    descriptors_print();
    bool back = frames_came_back();
    bool good = verdict(kept, "every block kept what was written to it");
    good = verdict(back, "every frame came back") && good;
    good = verdict(heap_check() == 0, "no invariant of the heap is broken") && good;
    kprintf("demo: %s\n", good ? "passed" : "failed");
    return good;
}
