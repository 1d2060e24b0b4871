// bench.c - see bench.h.
//
// Every pattern is a function that does its work `pairs` times over the blocks in `slot`. A pattern
// that draws random numbers is measured twice: with the heap's calls, and with calls of functions
// that do nothing in their place, so that only the heap's share is left.
#include "kernel/measure/bench.h"

#include "kernel/inspect/heapcheck.h"
#include "kernel/memory.h"
#include "lib/print.h"
#include "lib/x86.h"

#define ORDER_BLOCKS 1000u
#define RANDOM_BLOCKS 10000u
#define PAIRS 20000u

// What the patterns call: the heap, or nothing.
struct heap_calls {
    void *(*take)(size_t size);
    void (*give)(void *p);
};

// noinline, and the argument is used: what is left is a call as the heap's caller makes it.
static __attribute__((noinline)) void *take_nothing(size_t size) {
    __asm__ volatile("" : : "r"(size));
    return (void *)size;
}

static __attribute__((noinline)) void give_nothing(void *p) { __asm__ volatile("" : : "r"(p)); }

static const struct heap_calls the_heap = {sys_malloc, sys_free};
static const struct heap_calls nothing = {take_nothing, give_nothing};

static void **slot; // blocks of the pattern that runs, NULL: none
static uint32_t slots;

// A linear congruential generator (Numerical Recipes, 7.1): cheap, and good enough in its high
// bits, which are the ones taken.
static uint32_t random_state;
static uint32_t bench_random(uint32_t bound) {
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)random_state * bound) >> 32);
}

// ---- the patterns -------------------------------------------------------------------------------

static void pair(const struct heap_calls *calls, uint32_t pairs, uint32_t size) {
    for (uint32_t i = 0; i < pairs; i++) calls->give(calls->take(size));
}

static void order(const struct heap_calls *calls, uint32_t pairs, uint32_t size) {
    for (uint32_t done = 0; done < pairs; done += ORDER_BLOCKS) {
        for (uint32_t i = 0; i < ORDER_BLOCKS; i++) slot[i] = calls->take(size);
        for (uint32_t i = 0; i < ORDER_BLOCKS; i++) calls->give(slot[i]);
    }
}

// One of the live blocks freed, another taken in its place, of 1 to `size` bytes.
static void replace_any(const struct heap_calls *calls, uint32_t pairs, uint32_t size) {
    for (uint32_t i = 0; i < pairs; i++) {
        uint32_t at = bench_random(slots);
        calls->give(slot[at]);
        slot[at] = calls->take(1 + bench_random(size));
    }
}

// Likewise with 16 to 48 bytes.
static void replace_small(const struct heap_calls *calls, uint32_t pairs, uint32_t size) {
    (void)size;
    for (uint32_t i = 0; i < pairs; i++) {
        uint32_t at = bench_random(slots);
        calls->give(slot[at]);
        slot[at] = calls->take(16 + bench_random(33));
    }
}

typedef void pattern(const struct heap_calls *calls, uint32_t pairs, uint32_t size);

// ---- measuring ----------------------------------------------------------------------------------

static uint64_t ticks_of(pattern *run, const struct heap_calls *calls, uint32_t size) {
    uint64_t start = rdtsc();
    run(calls, PAIRS, size);
    return rdtsc() - start;
}

// What a pair costs, in tenths; `own`: ticks that are the pattern's.
static void bench_report(const char *name, uint32_t live, uint64_t ticks, uint64_t own) {
    uint32_t tenths = (uint32_t)(ticks - own) / (PAIRS / 10);
    kprintf("bench: name=%s ", name);
    if (live) kprintf("live=%u ", live);
    kprintf("pairs=%u insn=%u.%u\n", PAIRS, tenths / 10, tenths % 10);
}

// What a pattern needs beyond the calls and the loop of pair(), whose figures its own then compare
// with. The random numbers are drawn over slots of their own, so that no block is lost.
static uint64_t own_ticks(pattern *run, uint32_t size) {
    uint32_t state = random_state;
    void **blocks = slot;
    slot = sys_calloc(slots, sizeof *slot);
    uint64_t ticks = slot ? ticks_of(run, &nothing, size) : 0;
    uint64_t calls = ticks_of(pair, &nothing, size);
    sys_free(slot);
    slot = blocks;
    random_state = state;
    return ticks > calls ? ticks - calls : 0;
}

static void slots_free(void) {
    for (uint32_t i = 0; slot && i < slots; i++) sys_free(slot[i]);
    sys_free(slot);
    slot = NULL;
}

// `count` slots, with a block of 1 to `most` bytes in each if most is not 0. False, with nothing
// taken, if this memory is too small.
static bool slots_fill(const char *name, uint32_t count, uint32_t most) {
    slots = count;
    slot = sys_calloc(count, sizeof *slot);
    bool enough = slot != NULL;
    for (uint32_t i = 0; enough && most && i < count; i++) {
        slot[i] = sys_malloc(1 + bench_random(most));
        enough = slot[i] != NULL;
    }
    if (enough) return true;
    slots_free();
    kprintf("bench: name=%s live=%u skipped: too little memory, MEM=%u will do\n", name, count,
            256);
    return false;
}

static void bench_pair(const char *name, uint32_t size, bool warm) {
    void *other[4];
    for (int i = 0; i < 4; i++) other[i] = warm ? sys_malloc(size) : NULL;
    sys_free(other[1]); // a block that came back is what the pair will find
    ticks_of(pair, &the_heap, size);
    bench_report(name, 0, ticks_of(pair, &the_heap, size), 0);
    sys_free(other[0]);
    sys_free(other[2]);
    sys_free(other[3]);
}

static void bench_order(void) {
    if (!slots_fill("order_64", ORDER_BLOCKS, 0)) return;
    bench_report("order_64", 0, ticks_of(order, &the_heap, 64), own_ticks(order, 64));
    for (uint32_t i = 0; i < slots; i++) slot[i] = NULL; // freed by the pattern
    slots_free();
}

static void bench_replace(const char *name, pattern *run, uint32_t live, uint32_t most) {
    if (!slots_fill(name, live, most)) return;
    ticks_of(run, &the_heap, most);
    uint64_t own = own_ticks(run, most);
    bench_report(name, live, ticks_of(run, &the_heap, most), own);
    slots_free();
}

// Every second of 2 * live mixed blocks is freed: the pattern then works in the holes.
static void bench_fragmented(uint32_t live) {
    if (!slots_fill("fragmented", 2 * live, 200)) return;
    for (uint32_t i = 0; i < live; i++) {
        sys_free(slot[2 * i + 1]);
        slot[i] = slot[2 * i];
    }
    slots = live;
    ticks_of(replace_small, &the_heap, 0);
    uint64_t own = own_ticks(replace_small, 0);
    bench_report("fragmented", live, ticks_of(replace_small, &the_heap, 0), own);
    slots_free();
}

bool bench_run(void) {
    random_state = 1;
    uint32_t before = frames_free(POOL_KERNEL) + sys_trim();
    bench_pair("pair_32", 32, true);
    bench_pair("empty_16", 16, false);
    bench_order();
    bench_replace("random_1024", replace_any, RANDOM_BLOCKS, 1024);
    bench_pair("pair_4096", 4096, true);
    bench_pair("pair_5000", 5000, true);
    bench_pair("pair_65536", 65536, true);
    for (uint32_t live = 1000; live <= 1000000; live *= 10) {
        bench_replace("live", replace_small, live, 48);
    }
    bench_fragmented(100000);
    uint32_t broken = heap_check();
    sys_trim();
    if (broken || frames_free(POOL_KERNEL) != before) {
        kprintf("bench: failed: the heap is not as it was before\n");
        return false;
    }
    return true;
}
