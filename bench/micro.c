// micro.c - small patterns of allocation, timed one by one or counted in instructions.
//
//   micro time [LIVE_MAX]    nanoseconds for a pair of malloc and free
//   micro count [LIVE_MAX]   instructions for a pair: under `valgrind --tool=callgrind` only
//   micro loop [LIVE_MAX]    as `count`, over calls that do nothing: what the patterns cost
//                            themselves
//
// Which allocator: LD_PRELOAD's. One line a pattern, `pattern=NAME pairs=N ns=...`; counts stand in
// the files that callgrind writes, one for each dump, with the pattern's name as its cause.
//
// LIVE_MAX bounds the patterns that keep many blocks live (default 1,000,000).
//
// Theory. Every pattern first brings the heap into its state (not measured), then repeats its
// pairs. A time is the median of SAMPLES stretches, each long enough for the clock; a count needs
// one stretch, being the same every time. Callgrind runs the program's own malloc: unlike memcheck
// it puts nothing in its place, so the preloaded allocator's instructions are what is counted.
//
// The names are those of the kernel's own patterns (kernel/measure/bench.h), which do the same.
//
// Shortcoming: "one block in an empty heap" has the blocks in it that the C library took before
// main.
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/measure.h"

#if defined(__has_include) && __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#define CAN_COUNT 1
#else
#define CAN_COUNT 0
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(name) (void)(name)
#define RUNNING_ON_VALGRIND 0
#endif

#define SAMPLES 7u
#define SAMPLE_NS 4000000u // 4 ms: a hundred thousand times the clock's own cost
#define COUNT_PAIRS 10000u // at least, in a counted stretch
#define LIVE_LEAST 1000u
#define LIVE_MOST 1000000u

// Volatile pointers: what the compiler knows of malloc() it must not use, and the same call serves
// the functions that do nothing.
static void *(*volatile heap_malloc)(size_t size) = malloc;
static void (*volatile heap_free)(void *p) = free;

static char nothing_block[65536];
static void *nothing_malloc(size_t size) { return (void)size, nothing_block; }
static void nothing_free(void *p) { (void)p; }

// xorshift (G. Marsaglia, "Xorshift RNGs", 2003): the same sizes for every allocator.
static uint32_t random_state;
static uint32_t random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

// Both ends written, as replay.c does: allocators that touch blocks themselves get no worse a
// figure.
static char *take(size_t size) {
    char *p = heap_malloc(size);
    if (p == NULL) fail("no memory for %zu bytes", size);
    p[0] = 1;
    p[size - 1] = 1;
    return p;
}

// ---- the patterns
// --------------------------------------------------------------------------------

struct pattern {
    const char *name;
    void (*prepare)(const struct pattern *pattern);
    void (*run)(const struct pattern *pattern, uint32_t repeats);
    uint32_t pairs; // pairs of one repeat
    uint32_t size;  // bytes, or the largest of random ones
    uint32_t live;  // blocks live meanwhile
};

static char **block; // LIVE_MOST pointers

// ---- the heap's state before a pattern

static void prepare_empty(const struct pattern *pattern) { (void)pattern; }

static void prepare_live(const struct pattern *pattern) {
    random_state = 2463534242u;
    for (uint32_t i = 0; i < pattern->live; i++) {
        block[i] = take(1 + random_next() % pattern->size);
    }
}

static void prepare_same(const struct pattern *pattern) {
    for (uint32_t i = 0; i < pattern->live; i++) {
        block[i] = take(pattern->size);
    }
}

static void clean_up(const struct pattern *pattern) {
    for (uint32_t i = 0; i < pattern->live; i++) {
        heap_free(block[i]);
    }
}

// ---- what is measured

static void run_pairs(const struct pattern *pattern, uint32_t repeats) {
    for (uint32_t i = 0; i < repeats; i++) {
        heap_free(take(pattern->size));
    }
}

// `pairs` blocks taken, then freed in the order of their age: the opposite of a stack.
static void run_order(const struct pattern *pattern, uint32_t repeats) {
    for (uint32_t i = 0; i < repeats; i++) {
        for (uint32_t k = 0; k < pattern->pairs; k++) {
            block[k] = take(pattern->size);
        }
        for (uint32_t k = 0; k < pattern->pairs; k++) {
            heap_free(block[k]);
        }
    }
}

// One of the live blocks, whichever, makes room for one of another size.
static void run_replace(const struct pattern *pattern, uint32_t repeats) {
    for (uint32_t i = 0; i < repeats; i++) {
        uint32_t at = random_next() % pattern->live;
        heap_free(block[at]);
        block[at] = take(1 + random_next() % pattern->size);
    }
}

// "empty_16" comes first, before anything else has been asked for. The lived-in ones have blocks of
// up to 128 bytes, so that a million of them fit everywhere.
static const struct pattern patterns[] = {
    {"empty_16", prepare_empty, run_pairs, 1, 16, 0},
    {"pair_32", prepare_same, run_pairs, 1, 32, 1},
    {"order_64", prepare_empty, run_order, 1000, 64, 0},
    {"random_1024", prepare_live, run_replace, 1, 1024, 10000},
    {"pair_4096", prepare_empty, run_pairs, 1, 4096, 0},
    {"pair_5000", prepare_empty, run_pairs, 1, 5000, 0},
    {"pair_65536", prepare_empty, run_pairs, 1, 65536, 0},
    {"live_1000", prepare_live, run_replace, 1, 128, 1000},
    {"live_10000", prepare_live, run_replace, 1, 128, 10000},
    {"live_100000", prepare_live, run_replace, 1, 128, 100000},
    {"live_1000000", prepare_live, run_replace, 1, 128, 1000000},
};

// ---- measuring
// -----------------------------------------------------------------------------------

// Processor time of so many repeats.
static double stretch_ns(const struct pattern *pattern, uint32_t repeats) {
    uint64_t start = cpu_ns();
    pattern->run(pattern, repeats);
    return (double)(cpu_ns() - start);
}

// Finds how many repeats fill a stretch (which warms up, too), then takes the samples.
static void time_pattern(const struct pattern *pattern) {
    double sample[SAMPLES];
    uint32_t repeats = 1;
    while (stretch_ns(pattern, repeats) < SAMPLE_NS / 2.0 && repeats < 1u << 30) {
        repeats *= 2;
    }
    for (uint32_t i = 0; i < SAMPLES; i++) {
        double ns = stretch_ns(pattern, repeats) / ((double)repeats * pattern->pairs);
        uint32_t at = i;
        // Kept in order as they come; qsort() could allocate.
        for (; at > 0 && sample[at - 1] > ns; at--) {
            sample[at] = sample[at - 1];
        }
        sample[at] = ns;
    }
    printf("pattern=%s pairs=%u ns=%.3f\n", pattern->name, repeats * pattern->pairs,
           sample[SAMPLES / 2]);
}

// Once around to warm up (a tenth), once counted.
static void count_pattern(const struct pattern *pattern) {
    uint32_t repeats = (COUNT_PAIRS + pattern->pairs - 1) / pattern->pairs;
    pattern->run(pattern, repeats / 10 + 1);
    // Off until here: under instrumentation a million blocks would take a minute to prepare.
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
    pattern->run(pattern, repeats);
    CALLGRIND_DUMP_STATS_AT(pattern->name);
    CALLGRIND_STOP_INSTRUMENTATION;
    printf("pattern=%s pairs=%u\n", pattern->name, repeats * pattern->pairs);
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    unsigned long most = argc > 2 ? strtoul(argv[2], NULL, 10) : LIVE_MOST;
    bool counting = strcmp(mode, "count") == 0 || strcmp(mode, "loop") == 0;
    if (argc > 3 || (!counting && strcmp(mode, "time") != 0) || most < LIVE_LEAST)
        fail("usage: micro time|count|loop [LIVE_MAX]   (LIVE_MAX 1000 at least)");
    if (counting && !CAN_COUNT)
        fail("built without valgrind's headers: `sh tools/setup.sh --only bench` installs them");
    if (counting && !RUNNING_ON_VALGRIND) fail("counts come from valgrind --tool=callgrind");
    if (strcmp(mode, "loop") == 0) {
        heap_malloc = nothing_malloc;
        heap_free = nothing_free;
    }
    block = pages(LIVE_MOST * sizeof *block);
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        const struct pattern *pattern = &patterns[i];
        if (pattern->live > most && strncmp(pattern->name, "live_", 5) == 0) continue;
        pattern->prepare(pattern);
        if (counting) {
            count_pattern(pattern);
        } else {
            time_pattern(pattern);
        }
        clean_up(pattern);
    }
    return 0;
}
