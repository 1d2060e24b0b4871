// trace_format.c - see trace_format.h.
//
// Why every operation is checked before any is replayed: a trace that frees an empty slot would
// otherwise show up as a misuse of the heap, and the heap would get the blame.
//
// Invariants, from trace_start() on:
//   R1  live[s] is the size that slot s holds, 0 if it is empty; live_count counts those not 0.
//   R2  live_bytes is the sum of live[], at most 2^30 * 2^32: no 64-bit sum here wraps.
//   R3  live_peak is the largest live_bytes since the start.
#include "kernel/measure/trace_format.h"

#include <stddef.h>

#include "lib/print.h"
#include "lib/string.h"

#define SLOT_BITS 30

static const char magic[8] = "MTRACE1"; // with its NUL

// As it lies in the file: two 64-bit numbers, each as its halves, so that nothing is aligned to
// more than four bytes.
struct header {
    char magic[8];
    uint32_t operations, slots;
    uint32_t peak_low, peak_high;
    uint32_t zero_low, zero_high;
};
_Static_assert(sizeof(struct header) == TRACE_HEADER_BYTES, "the format's header");

// No figures to give. False, for `return`.
static bool opened_wrong(struct trace *trace, const char *text) {
    strlcpy(trace->fault, text, sizeof trace->fault);
    return false;
}

// Nothing of the header is believed before the bytes that there are hold it: a figure made up by a
// damaged disk must not become a length.
bool trace_open(struct trace *trace, const void *header, uint64_t bytes) {
    memset(trace, 0, sizeof *trace);
    if (bytes < TRACE_HEADER_BYTES) return opened_wrong(trace, "cut off inside the header");
    struct header from;
    memcpy(&from, header, sizeof from);
    if (memcmp(from.magic, magic, sizeof magic) != 0) {
        return opened_wrong(trace, "not a trace: it does not start with MTRACE1");
    }
    // Room for what a later version may want to say: what this one does not know it must not
    // ignore.
    if (from.zero_low != 0 || from.zero_high != 0) {
        return opened_wrong(trace, "not a trace of this version: the header's last word is not 0");
    }
    trace->operations = from.operations;
    trace->slots = from.slots;
    trace->peak = (uint64_t)from.peak_high << 32 | from.peak_low;
    if (trace_bytes(trace) <= bytes) return true;
    ksnprintf(trace->fault, sizeof trace->fault,
              "cut off: %u operations make %llu bytes, and there are %llu", trace->operations,
              (unsigned long long)trace_bytes(trace), (unsigned long long)bytes);
    return false;
}

// 2^32 operations are 2^35 bytes: not in 32 bits.
uint64_t trace_bytes(const struct trace *trace) {
    return TRACE_HEADER_BYTES + (uint64_t)trace->operations * TRACE_OPERATION_BYTES;
}

void trace_start(struct trace *trace, uint32_t *live) {
    trace->live = live;
    trace->done = 0;
    trace->live_count = 0;
    trace->live_bytes = trace->live_peak = 0;
    memset(live, 0, (size_t)trace->slots * sizeof *live);
}

struct trace_operation trace_decode(const uint32_t raw[2]) {
    return (struct trace_operation){(enum trace_kind)(raw[0] >> SLOT_BITS),
                                    raw[0] & ((1u << SLOT_BITS) - 1), raw[1]};
}

// "operation 7: free of slot 3 which is empty". False, for `return`.
static bool trace_wrong(struct trace *trace, const char *what, uint32_t figure, const char *why) {
    ksnprintf(trace->fault, sizeof trace->fault, "operation %u: %s %u %s", trace->done, what,
              figure, why);
    return false;
}

// The operation as such, before the slots are looked at.
static bool form_good(struct trace *trace, struct trace_operation operation) {
    if (operation.slot >= trace->slots) {
        return trace_wrong(trace, "slot", operation.slot,
                           "is not below the header's number of slots");
    }
    if (operation.kind == TRACE_FREE && operation.size != 0) {
        return trace_wrong(trace, "a free with a size of", operation.size, "(it has none: 0)");
    }
    if (operation.kind != TRACE_FREE && operation.size == 0) {
        static const char *const name[] = {"malloc", "", "realloc", "calloc"};
        ksnprintf(trace->fault, sizeof trace->fault, "operation %u: %s of 0 bytes", trace->done,
                  name[operation.kind]);
        return false;
    }
    return true;
}

// Whether the slot is live or empty as the kind wants it. R1: a live slot's size is not 0.
static bool slot_good(struct trace *trace, struct trace_operation operation) {
    bool live = trace->live[operation.slot] != 0;
    switch (operation.kind) {
    case TRACE_FREE:
        return live || trace_wrong(trace, "free of slot", operation.slot, "which is empty");
    case TRACE_REALLOC:
        return live || trace_wrong(trace, "realloc of slot", operation.slot, "which is empty");
    case TRACE_MALLOC:
        return !live || trace_wrong(trace, "malloc into slot", operation.slot, "which is live");
    case TRACE_CALLOC:
        return !live || trace_wrong(trace, "calloc into slot", operation.slot, "which is live");
    }
    return false;
}

// Checks first and counts then. The differences below may be negative; modulo 2^64 and 2^32 they
// come out right, by R1 and R2.
bool trace_check(struct trace *trace, struct trace_operation operation) {
    if (!form_good(trace, operation) || !slot_good(trace, operation)) return false;
    uint32_t *live = &trace->live[operation.slot];
    trace->live_bytes += (uint64_t)operation.size - *live;
    trace->live_count += (operation.size != 0) - (uint32_t)(*live != 0);
    *live = operation.size;
    if (trace->live_bytes > trace->live_peak) trace->live_peak = trace->live_bytes;
    trace->done++;
    return true;
}
