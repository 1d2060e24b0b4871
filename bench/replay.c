// replay.c - replays a trace through malloc, free, realloc and calloc, and measures one thing.
//
//   replay speed TRACE MILLISECONDS    nanoseconds for an operation
//   replay asleep TRACE MILLISECONDS   the same beside a thread that sleeps
//   replay loop TRACE MILLISECONDS     the same loop over calls that do nothing: what it costs
//                                      itself
//   replay footprint TRACE             memory: peak, left after everything is freed, left after a
//                                      trim
//   replay worst TRACE PASSES          the slowest single calls
//
// Which allocator: LD_PRELOAD's. The answer is one line of key=value. One thing a process, because
// each would disturb the other: a clock read around each call costs as much as a call, and memory
// is only at its peak once.
//
// Theory.
//   speed      The whole trace and the frees of what is left, again and again in one process, until
//              the time is used. The first round pays for fresh memory (`cold_ns`), the others find
//              the heap as a long-running program finds it (`ns`, their median). Processor time, so
//              that other processes do not count. The first and last byte of each block is
//              written: an allocator that touches a block itself gets no worse a figure than one
//              that leaves the cache misses to its user.
//   footprint  Every page of every block is written, because a program does so in the end and
//              untouched memory is not resident. Resident memory grows by page faults alone; after
//              every few of them the exact figure is read, so the peak is at most that many pages
//              low.
//   worst      Interrupts and other processes make any single call look slow, but never the
//              same one in every pass. So the trace is replayed in several children forked from one
//              parent, each from the same fresh heap, and every call counts with its fastest time.
//
// Shortcomings: one thread; nothing works on the blocks between the calls, so caches are warmer
// than in the recorded program; a fork's first write to a page is a copy, which `worst` sees.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"

#define PAGE 4096u
#define ROUNDS_MIN 3u      // one cold, two warm
#define ROUNDS_MAX 400u    // more tell nothing
#define SAMPLES_ABOUT 200u // readings of the exact size while the heap grows to its peak

// Calls through pointers, the same way for the real ones and for those that do nothing, so that
// what `loop` measures is in `speed` too.
struct calls {
    void *(*malloc)(size_t size);
    void (*free)(void *p);
    void *(*realloc)(void *p, size_t size);
    void *(*calloc)(size_t count, size_t size);
};

static const struct calls real_calls = {malloc, free, realloc, calloc};

// The calls that do nothing: one block for everything, large enough for any size (an untouched
// page of it takes no memory).
static char *nothing_block;
static void *nothing_malloc(size_t size) { return (void)size, nothing_block; }
static void nothing_free(void *p) { (void)p; }
static void *nothing_realloc(void *p, size_t size) { return (void)size, p; }
static void *nothing_calloc(size_t count, size_t size) {
    return (void)count, (void)size, nothing_block;
}
static const struct calls nothing_calls = {nothing_malloc, nothing_free, nothing_realloc,
                                           nothing_calloc};

static _Noreturn void out_of_memory(uint32_t index, uint32_t size) {
    fail("operation %u: no memory for %u bytes", index, size);
}

// ---- speed
// ---------------------------------------------------------------------------------------

// The least that every program does with a block. One byte at each end: a cache line for small
// blocks, two for the others, and no more work for a large one.
static void touch(char *p, uint32_t size) {
    p[0] = 1;
    p[size - 1] = 1;
}

// The timed loop: no checks, trace_open() has made them.
static void replay_once(const struct trace *trace, const struct calls *calls, char **block) {
    const struct operation *end = trace->op + trace->count;
    for (const struct operation *op = trace->op; op != end; op++) {
        char **slot = &block[OPERATION_SLOT(op)];
        char *p;
        switch (OPERATION_KIND(op)) {
        case KIND_FREE:
            calls->free(*slot);
            *slot = NULL;
            continue;
        case KIND_MALLOC: p = calls->malloc(op->size); break;
        case KIND_REALLOC: p = calls->realloc(*slot, op->size); break;
        case KIND_CALLOC:
        default: p = calls->calloc(1, op->size); break;
        }
        if (p == NULL) out_of_memory((uint32_t)(op - trace->op), op->size);
        touch(p, op->size);
        *slot = p;
    }
    // What is left, so that the next round starts with nothing live. NULL in the slots matters here
    // and nowhere above.
    for (uint32_t slot = 0; slot < trace->slots; slot++) {
        if (block[slot] == NULL) continue;
        calls->free(block[slot]);
        block[slot] = NULL;
    }
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

// Rounds until `budget` nanoseconds are used. The median of the warm ones: a round in which an
// interrupt's work was charged to us is one of many.
static void measure_speed(const struct trace *trace, const struct calls *calls, uint64_t budget) {
    static double round_ns[ROUNDS_MAX];
    char **block = pages((size_t)trace->slots * sizeof *block);
    double operations = (double)trace->count + trace->left;
    uint64_t begin = cpu_ns();
    uint32_t rounds = 0;
    while (rounds < ROUNDS_MIN || (rounds < ROUNDS_MAX && cpu_ns() - begin < budget)) {
        uint64_t start = cpu_ns();
        replay_once(trace, calls, block);
        round_ns[rounds++] = (double)(cpu_ns() - start) / operations;
    }
    // From here on the allocator may be called by the library: nothing is timed any more.
    qsort(round_ns + 1, rounds - 1, sizeof round_ns[0], by_value);
    printf("mode=speed ops=%.0f rounds=%u cold_ns=%.3f ns=%.3f min_ns=%.3f\n", operations, rounds,
           round_ns[0], round_ns[1 + (rounds - 1) / 2], round_ns[1]);
}

// An allocator may go other ways in a process of several threads.
static void *sleeps(void *unused) {
    for (;;) pause();
    return unused;
}

static void start_sleeper(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, sleeps, NULL) != 0) fail("no thread");
}

// The largest size of the trace, reserved only.
static void prepare_nothing(const struct trace *trace) {
    uint32_t largest = 1;
    for (uint32_t i = 0; i < trace->count; i++) {
        if (trace->op[i].size > largest) largest = trace->op[i].size;
    }
    nothing_block = mmap(NULL, largest, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (nothing_block == MAP_FAILED) fail("no room for a block of %u bytes", largest);
}

// ---- footprint
// -----------------------------------------------------------------------------------

struct block {
    char *p;
    uint32_t size; // bytes
    char stamp;    // what its first and last byte hold
};

// Exact figures, read after every `step` page faults.
struct gauge {
    uint64_t step;
    uint64_t faults; // at the last reading
    uint64_t peak;   // bytes, the highest reading
};

static void gauge_read(struct gauge *gauge) {
    uint64_t bytes = anonymous_bytes();
    if (bytes > gauge->peak) gauge->peak = bytes;
    gauge->faults = page_faults();
}

// getrusage() costs a fraction of a microsecond, a walk of the page tables a hundred of them: so
// faults are asked for after every operation, and bytes only when they can have grown by a step.
static void gauge_poll(struct gauge *gauge) {
    if (page_faults() - gauge->faults >= gauge->step) gauge_read(gauge);
}

// A heap that hands out one block twice may have a fine footprint: the stamps would tell.
static void block_check(const struct block *block, uint32_t index) {
    if (block->p[0] != block->stamp ||
        (block->size > 1 && block->p[block->size - 1] != block->stamp))
        fail("operation %u: a block of %u bytes is not as it was left", index, block->size);
}

// Writes the whole block's pages, a page at a time: a block of megabytes must not hide a peak
// between two readings.
static void block_fill(struct block *block, char *p, uint32_t size, char stamp,
                       struct gauge *gauge) {
    *block = (struct block){p, size, stamp};
    for (uint32_t at = 0; at < size; at += PAGE) {
        p[at] = stamp;
        if (at % (64 * PAGE) == 0) gauge_poll(gauge);
    }
    p[size - 1] = stamp;
    gauge_poll(gauge);
}

static void footprint_step(const struct operation *op, uint32_t index, struct block *block,
                           struct gauge *gauge) {
    char *p = NULL;
    if (block->p) block_check(block, index);
    if (OPERATION_KIND(op) == KIND_FREE) {
        free(block->p);
        block->p = NULL;
        return;
    }
    if (OPERATION_KIND(op) == KIND_MALLOC) p = malloc(op->size);
    if (OPERATION_KIND(op) == KIND_CALLOC) p = calloc(1, op->size);
    if (OPERATION_KIND(op) == KIND_REALLOC) {
        p = realloc(block->p, op->size);
        // A live block was filled.
        // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult)
        if (p && p[0] != block->stamp) fail("operation %u: realloc lost the content", index);
    }
    if (p == NULL) out_of_memory(index, op->size);
    block_fill(block, p, op->size, (char)(1 + index % 127), gauge);
}

static void measure_footprint(const struct trace *trace) {
    struct block *block = pages((size_t)trace->slots * sizeof *block);
    uint64_t step = trace->live_peak / PAGE / SAMPLES_ABOUT;
    struct gauge gauge = {.step = step ? step : 1};
    gauge_read(&gauge); // faults in what the reading itself needs
    // The base comes after it, and before the first call of ours; what the library took on its way
    // to main is told as `start`.
    uint64_t base = anonymous_bytes();
    gauge.peak = base;
    for (uint32_t i = 0; i < trace->count; i++) {
        footprint_step(&trace->op[i], i, &block[OPERATION_SLOT(&trace->op[i])], &gauge);
    }
    for (uint32_t slot = 0; slot < trace->slots; slot++) {
        if (block[slot].p == NULL) continue;
        block_check(&block[slot], trace->count);
        free(block[slot].p);
    }
    gauge_read(&gauge);
    // Everything is free now. Twice: as the allocator leaves it by itself, and when it was asked.
    uint64_t held = anonymous_bytes() - base;
    const char *trim = trim_heap();
    uint64_t kept = anonymous_bytes();
    printf("mode=footprint live_peak=%llu start=%llu peak=%llu step=%llu held=%llu trimmed=%lld "
           "trim='%s'\n",
           (unsigned long long)trace->live_peak, (unsigned long long)base,
           (unsigned long long)(gauge.peak - base), (unsigned long long)gauge.step * PAGE,
           (unsigned long long)held, (long long)(kept - base), trim);
}

// ---- worst
// ---------------------------------------------------------------------------------------

#define TOP 10000u // the 99.99th percentile is the call that one in so many exceeds

// The clock right around the call: slot, switch and touch stay outside.
static uint64_t timed_call(const struct operation *op, char **slot) {
    char *p = *slot;
    uint64_t start = 0;
    uint64_t end = 0;
    switch (OPERATION_KIND(op)) {
    case KIND_FREE:
        start = ticks();
        free(p);
        end = ticks();
        *slot = NULL;
        return end - start;
    case KIND_MALLOC:
        start = ticks();
        p = malloc(op->size);
        end = ticks();
        break;
    case KIND_REALLOC:
        start = ticks();
        p = realloc(p, op->size);
        end = ticks();
        break;
    case KIND_CALLOC:
        start = ticks();
        p = calloc(1, op->size);
        end = ticks();
        break;
    }
    if (p == NULL) fail("no memory for %u bytes", op->size);
    touch(p, op->size);
    *slot = p;
    return end - start;
}

// One child: replays from the parent's fresh heap and lowers every call's time to its own, if less.
static void worst_pass(const struct trace *trace, uint32_t *fastest) {
    char **block = pages((size_t)trace->slots * sizeof *block);
    for (uint32_t i = 0; i < trace->count; i++) {
        uint64_t took = timed_call(&trace->op[i], &block[OPERATION_SLOT(&trace->op[i])]);
        if (took < fastest[i]) fastest[i] = (uint32_t)took;
    }
}

// What two readings with nothing between them differ by, at least.
static uint32_t reading_cost(void) {
    uint64_t least = UINT32_MAX;
    for (int i = 0; i < 1000; i++) {
        uint64_t start = ticks();
        uint64_t end = ticks();
        if (end - start < least) least = end - start;
    }
    return (uint32_t)least;
}

static int by_ticks(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

// The first call is apart: allocators that set themselves up there, or before main, differ in
// nothing that a user would notice.
static void print_worst(const struct trace *trace, uint32_t *fastest) {
    static const char *const names[] = {"malloc", "free", "realloc", "calloc"};
    uint32_t cost = reading_cost();
    double rate = ticks_per_ns();
    for (uint32_t i = 0; i < trace->count; i++) {
        fastest[i] -= fastest[i] < cost ? fastest[i] : cost;
    }
    uint32_t worst = trace->count > 1 ? 1 : 0;
    for (uint32_t i = worst; i < trace->count; i++) {
        if (fastest[i] > fastest[worst]) worst = i;
    }
    const struct operation *op = &trace->op[worst];
    printf("mode=worst first_ns=%.0f worst_ns=%.0f worst_call=%s worst_size=%u worst_at=%u",
           fastest[0] / rate, fastest[worst] / rate, names[OPERATION_KIND(op)], op->size, worst);
    qsort(fastest, trace->count, sizeof *fastest, by_ticks);
    uint32_t rank = trace->count - 1 - trace->count / TOP;
    printf(" p9999_ns=%.0f\n", fastest[rank] / rate);
}

static void measure_worst(const struct trace *trace, uint32_t passes) {
    size_t bytes = (size_t)trace->count * sizeof(uint32_t);
    uint32_t *fastest =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (fastest == MAP_FAILED) fail("no memory for %zu bytes", bytes);
    memset(fastest, 0xff, bytes); // slower than anything: every pass lowers it
    for (uint32_t pass = 0; pass < passes; pass++) {
        pid_t child = fork();
        if (child < 0) fail("cannot fork");
        if (child == 0) {
            worst_pass(trace, fastest);
            _exit(0); // no destructors: they would free
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status != 0) fail("a pass ended with status %d", status);
    }
    print_worst(trace, fastest);
}

// ---- the command
// ---------------------------------------------------------------------------------

static uint32_t number(const char *text, uint32_t most) {
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == 0 || *end != 0 || value == 0 || value > most) fail("`%s` is not a number", text);
    return (uint32_t)value;
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    // All modes but `footprint` take a number: there is no more than one peak in a trace.
    int words = strcmp(mode, "footprint") == 0 ? 3 : 4;
    if (argc != words)
        fail("usage: replay speed|asleep|loop|footprint|worst TRACE [MILLISECONDS|PASSES]");
    struct trace trace;
    trace_open(&trace, argv[2]);
    if (strcmp(mode, "speed") == 0 || strcmp(mode, "asleep") == 0) {
        if (strcmp(mode, "asleep") == 0) start_sleeper();
        measure_speed(&trace, &real_calls, number(argv[3], 600000) * 1000000ull);
    } else if (strcmp(mode, "loop") == 0) {
        prepare_nothing(&trace);
        measure_speed(&trace, &nothing_calls, number(argv[3], 600000) * 1000000ull);
    } else if (strcmp(mode, "footprint") == 0) {
        huge_pages_off();
        measure_footprint(&trace);
    } else if (strcmp(mode, "worst") == 0) {
        measure_worst(&trace, number(argv[3], 100));
    } else {
        fail("no mode `%s`", mode);
    }
    return 0;
}
