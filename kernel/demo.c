// demo.c - threads of several priorities that allocate, fill, check and free at the same time.
//
// The first part is the seed's: two threads allocate in turns and print the addresses they get. The second is quiet and hard: each
// worker keeps a few blocks of changing sizes alive, fills each with its own pattern, and looks at it again before it goes
// back. What one worker writes into another's block would be seen.
#include "kernel/demo.h"

#include <stddef.h>
#include <stdint.h>

#include "kernel/heapcheck.h"
#include "kernel/memory.h"
#include "lib/print.h"
#include "thread/thread.h"

#define WORKERS 4
#define ROUNDS 2000
#define BLOCKS 24 // alive at a time in each worker

struct worker {
    const char *name;
    unsigned priority;
    uint32_t seed;
    uint32_t allocations; // that succeeded
    uint32_t refused;     // that found no memory
    uint32_t damaged;     // blocks that did not hold their pattern
    struct thread *thread;
};

static struct worker workers[WORKERS] = {
    {.name = "ant", .priority = 8, .seed = 1},
    {.name = "bee", .priority = 12, .seed = 2},
    {.name = "crane", .priority = 12, .seed = 3},
    {.name = "dove", .priority = 15, .seed = 4},
};

// Numerical Recipes' linear congruential generator; the upper bits are the better ones.
static uint32_t random_next(uint32_t *seed) { return *seed = *seed * 1664525u + 1013904223u; }

// Mostly small, some large: one in sixteen is an area of whole frames.
static uint32_t random_size(uint32_t *seed) {
    uint32_t r = random_next(seed) >> 8;
    return r % 16 == 0 ? 1025 + r % 20000 : 1 + r % 1024;
}

struct piece {
    uint8_t *at;
    uint32_t size;
    uint8_t pattern;
};

static void piece_fill(const struct piece *piece) {
    for (uint32_t i = 0; i < piece->size; i++) piece->at[i] = (uint8_t)(piece->pattern + i);
}

static bool piece_intact(const struct piece *piece) {
    for (uint32_t i = 0; i < piece->size; i++) {
        if (piece->at[i] != (uint8_t)(piece->pattern + i)) return false;
    }
    return true;
}

static void piece_release(struct worker *worker, struct piece *piece) {
    if (!piece->at) return;
    if (!piece_intact(piece)) worker->damaged++;
    sys_free(piece->at);
    piece->at = NULL;
}

static void piece_acquire(struct worker *worker, struct piece *piece) {
    piece->size = random_size(&worker->seed);
    piece->pattern = (uint8_t)(random_next(&worker->seed) >> 16);
    piece->at = sys_malloc(piece->size);
    if (!piece->at) {
        worker->refused++;
        return;
    }
    worker->allocations++;
    piece_fill(piece);
}

static int work(void *argument) {
    struct worker *worker = argument;
    struct piece pieces[BLOCKS] = {{0}};
    for (int round = 0; round < ROUNDS; round++) {
        struct piece *piece = &pieces[(random_next(&worker->seed) >> 16) % BLOCKS];
        piece_release(worker, piece);
        piece_acquire(worker, piece);
        if (round % 500 == 499) thread_sleep(1); // lets the lower priorities in
    }
    for (int i = 0; i < BLOCKS; i++) piece_release(worker, &pieces[i]);
    return 0;
}

// The seed's part: one block of each size, addresses printed.
static int show(void *name) {
    static const uint32_t sizes[] = {16, 24, 100, 1024, 5000};
    void *blocks[sizeof sizes / sizeof sizes[0]];
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        blocks[i] = sys_malloc(sizes[i]);
        kprintf("  %s: sys_malloc(%u) = %p\n", (const char *)name, sizes[i], blocks[i]);
        thread_yield();
    }
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) sys_free(blocks[i]);
    return 0;
}

void demo_descs_print(void) {
    put_str("  block size  blocks/arena  arenas  live  free\n");
    for (uint32_t i = 0; i < heap.desc_count; i++) {
        struct desc_state d;
        heap_desc_state(i, &d);
        kprintf("  %10u  %12u  %6u  %4u  %4u\n", d.block_size, d.blocks_per_arena, d.arenas, d.live_blocks,
                d.free_blocks);
    }
}

static bool show_addresses(void) {
    static char a[] = "thread_a", b[] = "thread_b";
    put_str("two threads allocate in turns:\n");
    struct thread *first = thread_create(a, PRIORITY_DEFAULT, show, a);
    struct thread *second = thread_create(b, PRIORITY_DEFAULT, show, b);
    if (first) thread_join(first);
    if (second) thread_join(second);
    return first && second;
}

static bool workers_run(void) {
    bool good = true;
    for (int i = 0; i < WORKERS; i++) {
        struct worker *w = &workers[i];
        w->thread = thread_create(w->name, w->priority, work, w);
        if (!w->thread) good = false;
    }
    thread_sleep(1); // main's priority is higher: now they work
    put_str("block descriptors while four threads work:\n");
    demo_descs_print();
    for (int i = 0; i < WORKERS; i++) {
        struct worker *w = &workers[i];
        if (!w->thread) continue;
        thread_join(w->thread);
        kprintf("  %-5s priority %2u: %u blocks, %u refused, %u damaged\n", w->name, w->priority, w->allocations,
                w->refused, w->damaged);
        good = good && w->allocations > 0 && w->damaged == 0;
    }
    return good;
}

bool demo_run(void) {
    sys_trim();
    uint32_t before = frames_free(POOL_KERNEL);
    bool good = show_addresses();
    good = workers_run() && good;
    put_str("block descriptors afterwards:\n");
    demo_descs_print();
    uint32_t held = before - frames_free(POOL_KERNEL), broken = heap_check();
    uint32_t trimmed = sys_trim(), after = frames_free(POOL_KERNEL);
    kprintf("frames: %u free before, %u held by empty arenas, %u given back by a trim, %u free after\n", before, held,
            trimmed, after);
    good = good && before == after && broken == 0;
    kprintf("demonstration: %s\n", good ? "every frame came back, every block kept its contents" : "FAILED");
    return good;
}
