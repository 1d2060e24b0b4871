// operation.h - one operation of a trace done to the heap: the call, counted, and marks at both
// ends of every block, so that one that lies over another shows.
//
// Context of all: threads, or the boot; interrupts on.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/measure/trace_format.h"

// What a slot of the trace holds. An empty one, and one whose malloc failed, has a null pointer:
// the next free or realloc of it is then the call that a program would make.
struct slot {
    uint8_t *p;
    uint32_t size;
};

struct operation_result {
    uint8_t *p;    // what the call returned; NULL: nothing, or a free
    uint32_t cost; // ticks of the call by rdtsc, as insn_* of replay.h
    bool whole;    // the block's contents were as they must be
};

void operation_calibrate(void); // what reading the counter costs, on this processor; first of all

// Does an operation that trace_check() has found good. A call that fails leaves the slot as it was.
// `counted`: the cost is wanted without clearing and copying, for which a realloc is preceded by a
// sys_usable_size().
struct operation_result operation_run(struct slot *slots, struct trace_operation operation,
                                      bool counted);
// Frees what a slot holds, at the end; false if its contents are not as they must be.
bool operation_end(struct slot *slots, uint32_t slot);
