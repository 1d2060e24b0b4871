// measure.c - traces, clocks and resident memory for the programs of `make bench`. See measure.h.
//
// Theory. What is measured must not be disturbed by the measuring. So memory for the books comes
// from the kernel and is touched before the measurement begins, text goes out through write(2), and
// /proc is read into a static buffer: the allocator under test sees the trace's calls and no other.
//
// Invariants:
//   B1  No function here calls malloc(), directly or through stdio, between main() and the last
//       measurement; ticks_per_ns() and the printing of results come after it.
//   B2  After trace_open() every operation may be replayed without a check: the slot exists and is
//       in the state that the operation wants.
//
// Shortcoming: Linux only (/proc/self/smaps_rollup, MAP_POPULATE).
#include "bench/measure.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <x86intrin.h>
#endif

#define HEADER_BYTES 32
#define MAGIC "MTRACE1"

// Before main(): the stream that results go to would ask the allocator under test for its buffer,
// and a block that is live to the end holds an arena.
__attribute__((constructor)) static void own_buffer(void) {
    static char buffer[BUFSIZ];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
}

void fail(const char *format, ...) {
    char text[400];
    va_list rest;
    va_start(rest, format);
    int length = vsnprintf(text, sizeof text, format, rest);
    va_end(rest);
    // dprintf and not stdio: a stream would ask the allocator under test for its buffer.
    if (length > 0) dprintf(STDERR_FILENO, "%s: %s\n", program_invocation_short_name, text);
    _exit(2);
}

// ---- Traces
// --------------------------------------------------------------------------------------

// MAP_POPULATE: a page fault in the middle would be counted as the allocator's.
void *pages(size_t bytes) {
    // One byte more, so that no bytes at all are no special case: mmap() refuses a length of 0.
    void *memory = mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) fail("no memory for %zu bytes", bytes);
    return memory;
}

// Walks the operations once with a size for each slot, so that the timed loops need no checks.
static void trace_check(struct trace *trace, const char *path) {
    uint32_t *size = pages((size_t)trace->slots * sizeof *size);
    uint64_t live = 0;
    for (uint32_t i = 0; i < trace->count; i++) {
        const struct operation *op = &trace->op[i];
        uint32_t slot = OPERATION_SLOT(op);
        enum kind kind = OPERATION_KIND(op);
        if (slot >= trace->slots) fail("%s: operation %u: no slot %u", path, i, slot);
        bool allocates = kind == KIND_MALLOC || kind == KIND_CALLOC;
        if (allocates && size[slot]) fail("%s: operation %u: slot %u is in use", path, i, slot);
        if (!allocates && !size[slot]) fail("%s: operation %u: slot %u is empty", path, i, slot);
        if ((kind == KIND_FREE) != (op->size == 0)) fail("%s: operation %u: wrong size", path, i);
        trace->left += allocates ? 1u : kind == KIND_FREE ? -1u : 0u;
        // A realloc's old size goes and its new one comes; for the others one of the two is 0.
        live = live - size[slot] + op->size;
        size[slot] = op->size;
        if (live > trace->live_peak) trace->live_peak = live;
    }
    munmap(size, (size_t)trace->slots * sizeof *size + 1);
}

void trace_open(struct trace *trace, const char *path) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) fail("%s: %s", path, strerror(errno));
    struct stat status;
    if (fstat(file, &status) != 0) fail("%s: %s", path, strerror(errno));
    if (status.st_size < HEADER_BYTES) fail("%s: not a trace (too short)", path);
    const char *map =
        mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (map == MAP_FAILED) fail("%s: %s", path, strerror(errno));
    close(file); // the mapping holds the file
    if (memcmp(map, MAGIC, sizeof MAGIC) != 0) fail("%s: not a trace (no MTRACE1)", path);
    memset(trace, 0, sizeof *trace);
    // The header's fields lie where the file has them, aligned or not; x86 and the file agree on
    // the order of bytes.
    memcpy(&trace->count, map + 8, sizeof trace->count);
    memcpy(&trace->slots, map + 12, sizeof trace->slots);
    trace->op = (const struct operation *)(map + HEADER_BYTES);
    // In 64 bits: a count of 2^32 - 1 must not wrap into a length that fits.
    uint64_t wanted = HEADER_BYTES + (uint64_t)trace->count * sizeof *trace->op;
    if ((uint64_t)status.st_size < wanted) fail("%s: cut off", path);
    if (trace->count == 0) fail("%s: no operations", path);
    trace_check(trace, path);
}

// ---- Clocks
// --------------------------------------------------------------------------------------

// Both clocks are read without a system call or with a short one: never once for an operation, only
// around thousands of them.
static uint64_t clock_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }
uint64_t wall_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

uint64_t ticks(void) {
#if defined(__x86_64__) || defined(__i386__)
    _mm_lfence(); // rdtsc waits for nothing by itself (Intel SDM 2B, RDTSC)
    uint64_t now = __rdtsc();
    _mm_lfence();
    return now;
#else
    return wall_ns();
#endif
}

// Against the wall's clock and not the processor's: the counter of rdtsc runs on while others
// have the processor.
double ticks_per_ns(void) {
    uint64_t wall = wall_ns();
    uint64_t start = ticks();
    while (wall_ns() - wall < 10000000) {}
    return (double)(ticks() - start) / (double)(wall_ns() - wall);
}

// ---- Resident memory
// -----------------------------------------------------------------------------

// Anonymous memory, not all that is resident: pages of the program's file and of libraries come in
// as they are first run, and are not the heap's doing.
uint64_t anonymous_bytes(void) {
    // The report is some 25 lines of 30 characters, in one piece if read at once.
    static char text[4096];
    int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    if (file < 0) fail("cannot open /proc/self/smaps_rollup (Linux 4.14 or later has it)");
    ssize_t length = read(file, text, sizeof text - 1);
    if (length <= 0) fail("cannot read /proc/self/smaps_rollup");
    close(file);
    text[length] = 0;
    const char *line = strstr(text, "\nAnonymous:");
    if (line == NULL) fail("/proc/self/smaps_rollup has no line `Anonymous:`");
    return strtoull(line + strlen("\nAnonymous:"), NULL, 10) * 1024;
}

uint64_t page_faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_minflt;
}

// With huge pages a single touched byte may count as 2 MiB, whatever set the policy.
void huge_pages_off(void) {
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) fail("cannot turn huge pages off");
}

// The object that holds `symbol` is the one malloc comes from. dlsym() alone is not enough:
// glibc's malloc_trim() is there whatever is preloaded.
static void *beside_malloc(const char *symbol) {
    Dl_info heap;
    Dl_info found;
    void *function = dlsym(RTLD_DEFAULT, symbol);
    void *allocator = dlsym(RTLD_DEFAULT, "malloc");
    if (function == NULL || !dladdr(allocator, &heap) || !dladdr(function, &found)) return NULL;
    return heap.dli_fbase == found.dli_fbase ? function : NULL;
}

// Each allocator's own call first; the name says in the report what was asked.
const char *trim_heap(void) {
    void *function = beside_malloc("mi_collect");
    if (function) return ((void (*)(bool))function)(true), "mi_collect";
    function = beside_malloc("MallocExtension_ReleaseFreeMemory");
    if (function) return ((void (*)(void))function)(), "MallocExtension_ReleaseFreeMemory";
    function = beside_malloc("mallctl");
    if (function) {
        int (*mallctl)(const char *, void *, size_t *, void *, size_t) = function;
        // Blocks in the thread's cache would hold their pages back.
        mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
        // 4096 is jemalloc's MALLCTL_ARENAS_ALL.
        return mallctl("arena.4096.purge", NULL, NULL, NULL, 0), "mallctl arena.4096.purge";
    }
    function = beside_malloc("malloc_trim");
    if (function) return ((int (*)(size_t))function)(0), "malloc_trim";
    return "-";
}
