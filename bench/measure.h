// measure.h - what the programs of `make bench` share: traces, clocks, resident memory, messages.
//
// Nothing here calls malloc: the programs run with an allocator preloaded, and what they
// count must be the trace's calls alone. Context of all functions: one thread, a Linux process.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Prints `PROGRAM: text` on standard error and ends the process with status 2.
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// ---- Traces (docs/bench.md names the format)
// -----------------------------------------------------

enum kind { KIND_MALLOC, KIND_FREE, KIND_REALLOC, KIND_CALLOC };

// One operation as the file holds it, little-endian.
struct operation {
    uint32_t word; // kind << 30 | slot
    uint32_t size; // bytes asked for, 0 for a free
};

#define OPERATION_KIND(op) ((enum kind)((op)->word >> 30))
#define OPERATION_SLOT(op) ((op)->word & 0x3fffffffu)

// A trace, read-only in memory, every page of it present.
struct trace {
    const struct operation *op;
    uint32_t count;     // operations
    uint32_t slots;     // every slot number is below
    uint32_t left;      // blocks still live after the last operation
    uint64_t live_peak; // bytes as asked for
};

// Maps a trace and checks all of it: lengths, slots, no allocation in a slot in use, no free of an
// empty one. Ends the process with a message if it is wrong.
void trace_open(struct trace *trace, const char *path);

// `bytes` of zeros straight from the kernel, present; never given back. Ends the process on
// failure.
void *pages(size_t bytes);

// ---- Clocks
// --------------------------------------------------------------------------------------

// Processor time of this process, nanoseconds: what other processes do meanwhile does not count.
uint64_t cpu_ns(void);
uint64_t wall_ns(void);

// Finest clock there is, in ticks; serialised, so that what is written between two readings is
// between them. ticks_per_ns() measures its rate once (10 ms).
uint64_t ticks(void);
double ticks_per_ns(void);

// ---- Resident memory
// -----------------------------------------------------------------------------

// Bytes of anonymous memory resident now, exact: the kernel walks the page tables for
// /proc/self/smaps_rollup (the counters of VmRSS and VmHWM lag by up to 64 pages a CPU).
uint64_t anonymous_bytes(void);
// Page faults of this process so far that needed no disk. Anonymous memory grows by one page in
// each of them at most, if huge pages are off.
uint64_t page_faults(void);
void huge_pages_off(void); // in this process and its children

// Asks the allocator to give back what it can, by the function it has for that.
// Returns that function's name, or "-" where it has none.
const char *trim_heap(void);
