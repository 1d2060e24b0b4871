// fuzz_trace.c - kernel/measure/trace_format.c on any bytes: reads none outside them, and what it
// takes is sound.
//
// What only it can find: a file that is read past its end, or taken although a slot is used
// wrongly.
//
// The oracle is a second reading, straight from the format in trace_format.h: a trace that passes
// must have each slot filled and emptied in turn, and the peak that a plain count gives.
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "kernel/measure/trace_format.h"

#define SLOTS_MAX 100000u // a header may promise more than any machine has memory for

static uint32_t word(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

// True if the operation fits what `live` says, by the words of the format.
static int fits(uint32_t kind, uint32_t live, uint32_t size) {
    if (kind == TRACE_FREE) return live != 0 && size == 0;
    return size != 0 && (kind == TRACE_REALLOC) == (live != 0);
}

static void follow(struct trace *trace, const uint8_t *data, uint32_t *live, uint32_t *mine) {
    uint64_t bytes = 0, peak = 0;
    for (uint32_t i = 0; i < trace->operations; i++) {
        const uint8_t *at = data + TRACE_HEADER_BYTES + (size_t)i * TRACE_OPERATION_BYTES;
        uint32_t raw[2] = {word(at), word(at + 4)};
        uint32_t slot = raw[0] & 0x3fffffff, kind = raw[0] >> 30;
        struct trace_operation operation = trace_decode(raw);
        REQUIRE(operation.kind == kind && operation.slot == slot && operation.size == raw[1]);
        int good = slot < trace->slots && fits(kind, mine[slot < trace->slots ? slot : 0], raw[1]);
        REQUIRE(trace_check(trace, operation) == (good != 0));
        if (!good) {
            REQUIRE(memchr(trace->fault, '\0', TRACE_FAULT_BYTES) != NULL &&
                    trace->fault[0] != '\0');
            return;
        }
        bytes += raw[1];
        bytes -= mine[slot];
        mine[slot] = raw[1];
        if (bytes > peak) peak = bytes;
        (void)live;
    }
    REQUIRE(trace->live_bytes == bytes && trace->live_peak == peak);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct trace trace;
    memset(&trace, 0xa5, sizeof trace);
    uint8_t *copy =
        malloc(bytes ? bytes : 1); // of just that length, so that ASan sees a step outside
    REQUIRE(copy != NULL);
    memcpy(copy, data, bytes);
    if (trace_open(&trace, copy, bytes)) {
        REQUIRE(trace_bytes(&trace) <= bytes);
        if (trace.slots > 0 && trace.slots <= SLOTS_MAX) {
            uint32_t *live = malloc(trace.slots * sizeof *live);
            uint32_t *mine = calloc(trace.slots, sizeof *mine);
            REQUIRE(live && mine);
            trace_start(&trace, live);
            follow(&trace, copy, live, mine);
            free(live);
            free(mine);
        }
    } else {
        REQUIRE(memchr(trace.fault, '\0', TRACE_FAULT_BYTES) != NULL && trace.fault[0] != '\0');
    }
    free(copy);
    return 0;
}
