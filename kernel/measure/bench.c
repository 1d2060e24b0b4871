// bench.c - see bench.h.
//
// Every pattern is a function that does its work `pairs` times over the blocks in `slot`. A pattern
// that draws random numbers is measured twice: with the heap's calls, and with calls of functions
// that do nothing in their place, so that only the heap's share is left.
#include "kernel/measure/bench.h"

#include "kernel/classic/classic.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/measure/hands.h"
#include "kernel/memory.h"
#include "kernel/processor.h"
#include "lib/print.h"
#include "lib/x86.h"

#define ORDER_BLOCKS 1000u
#define RANDOM_BLOCKS 10000u
#define PAIRS 20000u

// What the patterns call: the heap, the seed's own, or nothing.
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
static const struct heap_calls the_classic = {classic_malloc, classic_free};
static const struct heap_calls nothing = {take_nothing, give_nothing};

// Blocks of the pattern that runs, NULL: none. Each processor runs its own.
static PER_PROCESSOR void **slot;
static PER_PROCESSOR uint32_t slot_count;

// A linear congruential generator (Numerical Recipes, 7.1): cheap, and good enough in its high
// bits, which are the ones taken.
static PER_PROCESSOR uint32_t random_state;
static uint32_t bench_random(uint32_t bound) {
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)random_state * bound) >> 32);
}

// ---- the patterns -------------------------------------------------------------------------------

// noinline: a loop of six instructions, whatever is around it.
static __attribute__((noinline)) void pair(const struct heap_calls *calls, uint32_t pairs,
                                           uint32_t size) {
    for (; pairs > 0; pairs--) {
        void *p = calls->take(size);
        calls->give(p);
    }
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
        uint32_t at = bench_random(slot_count);
        calls->give(slot[at]);
        slot[at] = calls->take(1 + bench_random(size));
    }
}

// Likewise with 16 to 48 bytes.
static void replace_small(const struct heap_calls *calls, uint32_t pairs, uint32_t size) {
    (void)size;
    for (uint32_t i = 0; i < pairs; i++) {
        uint32_t at = bench_random(slot_count);
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

// What a pattern needs beyond the calls and the loop of pair(), whose figures its own then compare
// with. The random numbers are drawn over slots of their own, so that no block is lost.
static uint64_t own_ticks(pattern *run, uint32_t size) {
    uint32_t state = random_state;
    void **blocks = slot;
    slot = sys_calloc(slot_count, sizeof *slot);
    uint64_t ticks = slot ? ticks_of(run, &nothing, size) : 0;
    uint64_t calls = ticks_of(pair, &nothing, size);
    sys_free(slot);
    slot = blocks;
    random_state = state;
    return ticks > calls ? ticks - calls : 0;
}

// `count` slots, with a block of 1 to `most` bytes in each if most is not 0; false, with what there
// is, if this memory is too small.
static bool slots_fill(const struct heap_calls *calls, uint32_t count, uint32_t most) {
    slot_count = count;
    slot = sys_calloc(count, sizeof *slot);
    bool enough = slot != NULL;
    for (uint32_t i = 0; enough && most && i < count; i++) {
        slot[i] = calls->take(1 + bench_random(most));
        enough = slot[i] != NULL;
    }
    return enough;
}

static void slots_free(const struct heap_calls *calls) {
    for (uint32_t i = 0; slot && i < slot_count; i++) calls->give(slot[i]);
    sys_free(slot);
    slot = NULL;
}

// A line of the bench, and how it is come by.
struct figure {
    const char *name;
    uint32_t live;
    uint32_t size; // of the blocks, or the largest
    // Ticks for PAIRS pairs; SKIPPED: too little memory.
    uint64_t (*measure)(const struct heap_calls *calls, const struct figure *figure);
};
#define SKIPPED UINT64_MAX

static uint64_t measure_pair(const struct heap_calls *calls, const struct figure *figure) {
    ticks_of(pair, calls, figure->size);
    return ticks_of(pair, calls, figure->size);
}

// In an arena with room, where one block has come back: that is the one the pair will find.
static uint64_t measure_warm(const struct heap_calls *calls, const struct figure *figure) {
    void *other[4];
    for (int i = 0; i < 4; i++) other[i] = calls->take(figure->size);
    calls->give(other[1]);
    uint64_t ticks = measure_pair(calls, figure);
    calls->give(other[0]);
    calls->give(other[2]);
    calls->give(other[3]);
    return ticks;
}

static uint64_t measure_order(const struct heap_calls *calls, const struct figure *figure) {
    if (!slots_fill(calls, ORDER_BLOCKS, 0)) return SKIPPED;
    uint64_t ticks = ticks_of(order, calls, figure->size) - own_ticks(order, figure->size);
    for (uint32_t i = 0; i < slot_count; i++) slot[i] = NULL; // freed by the pattern
    slots_free(calls);
    return ticks;
}

static uint64_t replaced(pattern *run, const struct heap_calls *calls, uint32_t size) {
    ticks_of(run, calls, size);
    uint64_t own = own_ticks(run, size);
    return ticks_of(run, calls, size) - own;
}

static uint64_t measure_replace(const struct heap_calls *calls, const struct figure *figure) {
    bool enough = slots_fill(calls, figure->live, figure->size);
    pattern *run = figure->size > 48 ? replace_any : replace_small;
    uint64_t ticks = enough ? replaced(run, calls, figure->size) : SKIPPED;
    slots_free(calls);
    return ticks;
}

// Every second of 2 * live mixed blocks is freed: the pattern then works in the holes.
static uint64_t measure_fragmented(const struct heap_calls *calls, const struct figure *figure) {
    bool enough = slots_fill(calls, 2 * figure->live, figure->size);
    for (uint32_t i = 0; enough && i < figure->live; i++) {
        calls->give(slot[2 * i + 1]);
        slot[i] = slot[2 * i];
    }
    if (enough) slot_count = figure->live;
    uint64_t ticks = enough ? replaced(replace_small, calls, figure->size) : SKIPPED;
    slots_free(calls);
    return ticks;
}

static const struct figure figures[] = {
    {"pair_32", 0, 32, measure_warm},       {"empty_16", 0, 16, measure_pair},
    {"order_64", 0, 64, measure_order},     {"random_1024", RANDOM_BLOCKS, 1024, measure_replace},
    {"pair_4096", 0, 4096, measure_warm},   {"pair_5000", 0, 5000, measure_warm},
    {"pair_65536", 0, 65536, measure_warm}, {"live", 1000, 48, measure_replace},
    {"live", 10000, 48, measure_replace},   {"live", 100000, 48, measure_replace},
    {"live", 1000000, 48, measure_replace}, {"fragmented", 100000, 200, measure_fragmented},
};

// " insn=74.0"
static void print_ticks(const char *key, uint64_t ticks) {
    uint32_t tenths = (uint32_t)ticks / (PAIRS / 10);
    kprintf(" %s=%u.%u", key, tenths / 10, tenths % 10);
}

static void figure_run(const struct figure *figure) {
    uint32_t start = random_state;
    uint64_t ours = figure->measure(&the_heap, figure);
    uint32_t next = random_state;
    random_state = start;
    uint64_t classic = ours != SKIPPED ? figure->measure(&the_classic, figure) : SKIPPED;
    random_state = next;
    kprintf("bench: name=%s", figure->name);
    if (figure->live) kprintf(" live=%u", figure->live);
    if (ours == SKIPPED) {
        kprintf(" skipped: too little memory, MEM=%u will do\n", 256);
        return;
    }
    kprintf(" pairs=%u", PAIRS);
    print_ticks("insn", ours);
    if (classic != SKIPPED) print_ticks("classic", classic);
    put_str("\n");
}

// ---- on every processor at once -----------------------------------------------------------------

static const struct crowd {
    const char *name;
    pattern *run;
    uint32_t live, size; // slots, each with a block of 1 to `size` bytes at the start
} crowds[] = {
    {"pair_32", pair, 8, 32},
    {"random_1024", replace_any, RANDOM_BLOCKS, 1024},
    {"pair_5000", pair, 8, 5000},
    {"live_1000", replace_small, 1000, 48},
    {"live_10000", replace_small, 10000, 48},
};

static const struct crowd *crowd; // the one that runs
static uint64_t begun[PROCESSORS_MAX], ended[PROCESSORS_MAX];

// A processor's part. 0: done.
static int crowd_hand(void *argument) {
    uint32_t me = (uint32_t)(uintptr_t)argument;
    bool good = hands_apart(me);
    random_state = me + 1;
    good = slots_fill(&the_heap, crowd->live, crowd->size) && good;
    if (good) crowd->run(&the_heap, PAIRS, crowd->size);
    hands_meet(1);
    begun[me] = rdtsc();
    if (good) crowd->run(&the_heap, PAIRS, crowd->size);
    ended[me] = rdtsc();
    hands_meet(2);
    slots_free(&the_heap);
    return !good;
}

// The clock counts the instructions of all processors: between the first that began and the last
// that ended each made PAIRS pairs, and what the pattern itself needs.
static void crowd_run(const struct crowd *which) {
    crowd = which;
    int missing = hands_run(crowd_hand);
    kprintf("bench: name=%s processors=%u", which->name, processors_online);
    if (missing != 0) {
        kprintf(" skipped: too little memory, or processors that are not there\n");
        return;
    }
    uint64_t first = begun[0], last = ended[0];
    for (uint32_t i = 1; i < processors_online; i++) {
        if (begun[i] < first) first = begun[i];
        if (ended[i] > last) last = ended[i];
    }
    slot_count = which->live;
    uint64_t own = which->run == pair ? 0 : own_ticks(which->run, which->size);
    kprintf(" pairs=%u", PAIRS * processors_online);
    print_ticks("insn", (uint32_t)(last - first) / processors_online - own);
    put_str("\n");
}

bool bench_run(void) {
    random_state = 1;
    classic_init();
    uint32_t before = frames_free(POOL_KERNEL) + sys_trim();
    if (processors_online > 1) {
        for (size_t i = 0; i < sizeof crowds / sizeof crowds[0]; i++) crowd_run(&crowds[i]);
    } else {
        for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) figure_run(&figures[i]);
    }
    uint32_t broken = heap_check();
    sys_trim();
    if (broken || frames_free(POOL_KERNEL) != before) {
        kprintf("bench: failed: the heap is not as it was before\n");
        return false;
    }
    return true;
}
