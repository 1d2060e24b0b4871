// trace_format.h - the format of allocation traces: what a header and an operation say, and what is
// wrong with one.
//
// Pure: knows only lib, reads no disk and takes no memory. All numbers are little-endian, as on
// every machine this is compiled for.
//
//   bytes 0 .. 31    "MTRACE1\0"  u32 operations  u32 slots  u64 peak of live bytes  u64 0
//   then 8 bytes     u32 kind << 30 | slot   u32 size            for each operation
//
// A slot is the name of a pointer of the recorded program: malloc and calloc fill an empty one,
// realloc changes a live one, free empties it. Sizes are in bytes, at least 1, and 0 for a free.
// What is live at the end is the replayer's to free. Operations are numbered from 0.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TRACE_HEADER_BYTES 32
#define TRACE_OPERATION_BYTES 8
#define TRACE_FAULT_BYTES 128 // longest message, NUL included

enum trace_kind { TRACE_MALLOC, TRACE_FREE, TRACE_REALLOC, TRACE_CALLOC };

struct trace_operation {
    enum trace_kind kind;
    uint32_t slot;
    uint32_t size; // bytes; 0 for TRACE_FREE
};

// A trace that is being checked, operation by operation.
struct trace {
    uint32_t operations;           // the header's figures
    uint32_t slots;                //
    uint64_t peak;                 // bytes, as the recorder counted them
    uint32_t *live;                // `slots` sizes, 0 for an empty slot; the caller's memory
    uint32_t done;                 // operations checked
    uint32_t live_count;           // slots that are live now
    uint64_t live_bytes;           // in them, as asked for
    uint64_t live_peak;            // the most there ever was at the end of an operation
    char fault[TRACE_FAULT_BYTES]; // what is wrong, in words, once one of the functions said false
};

// Reads the header, TRACE_HEADER_BYTES at `header`, of a trace in a file or disk of `bytes`. False
// if it is none, or if the operations it promises do not fit in: trace->fault says why. If bytes is
// less than a header, `header` is not looked at. Any context.
bool trace_open(struct trace *trace, const void *header, uint64_t bytes);
uint64_t trace_bytes(const struct trace *trace); // of the whole trace, header included

// Starts the check with every slot empty. `live` has room for trace->slots numbers, and stays the
// caller's; it must not go away before the last trace_check(). Any context.
void trace_start(struct trace *trace, uint32_t *live);

// Splits the 8 bytes of an operation. Every pattern of bits is some operation. Any context.
struct trace_operation trace_decode(const uint32_t raw[2]);

// Checks the next operation against the slots and counts it in. False, with the counts as they
// were, if it cannot be: trace->fault has its number. Any context.
bool trace_check(struct trace *trace, struct trace_operation operation);
