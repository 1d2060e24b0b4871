// heaplog.h - every heap call written down: what was asked, what came back, who asked.
//
// Off, it costs nothing: the processor's debug registers stop at the calls' first instructions, and
// no line of the heap knows of it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum call_kind { CALL_MALLOC, CALL_FREE, CALL_REALLOC, CALL_CALLOC };

struct call_record {
    uint32_t number;   // 1, 2, ... since the first `trace on`
    uint32_t kind;     // enum call_kind
    uint32_t tid;      // thread
    uint32_t size;     // bytes; of CALL_CALLOC the product, cut to 32 bits; 0 of CALL_FREE
    uintptr_t pointer; // argument of CALL_FREE and CALL_REALLOC
    uintptr_t result;  // 0 until the call has returned
    uintptr_t caller;  // address it returns to
};

// The last calls: the newest is call_ring[(call_count - 1) % CALL_RING]. Written in the debug
// exception's handler, interrupts off; for debuggers too.
#define CALL_RING 256u
extern struct call_record call_ring[CALL_RING];
extern uint32_t call_count; // ever written

// Starts writing down, and printing a line for each call if `print`; false if it is on already.
// Threads only.
bool heaplog_start(bool print);
void heaplog_stop(void); // nothing if it is off
bool heaplog_on(void);
void heaplog_print(uint32_t most); // the last `most` calls, oldest first. Threads only
