// events.h - a record of each heap call, in binary, for a program outside that follows the heap.
//
// Off, it costs nothing: no instruction of the heap knows of it. On, the first instruction of each
// of the calls below is a jump into events.c, which makes the call itself and then writes a record.
//
// The format, little-endian. First a struct event_head, then a struct event for each call, in the
// order in which the calls had their effect. Both are EVENT_BYTES long, so a reader that was handed
// the end of a stream finds its place by `mark` and `number`. docs/events.md has the same table;
// tools/trace/eventlog.py and web/src/events.js read it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_BYTES 24u
#define EVENT_MARK 0xe7u
#define EVENT_MAGIC "HEVENTS1" // 8 bytes, no NUL

struct event_head {
    char magic[8];       // EVENT_MAGIC
    uint32_t bytes;      // of each record: EVENT_BYTES
    uint32_t heap_base;  // address of k_heap's frame 0
    uint32_t heap_bytes; // of its frames
    uint32_t zero;
};

// As enum call_kind of heaplog.h, and the kinds of the trace format (docs/traces.md), as far as
// they go.
enum event_kind { EVENT_MALLOC, EVENT_FREE, EVENT_REALLOC, EVENT_CALLOC, EVENT_ALIGNED };
#define EVENT_REFUSED 0x80u // in `kind`: the heap gave a report during the call

struct event {
    uint8_t mark;     // EVENT_MARK
    uint8_t kind;     // enum event_kind, and EVENT_REFUSED
    uint16_t number;  // 1, 2, ... since the boot, its low 16 bits
    uint32_t tid;     // thread, 0 before there are any
    uint32_t size;    // bytes asked for; of EVENT_CALLOC the product, UINT32_MAX if it overflows;
                      // 0 of EVENT_FREE
    uint32_t pointer; // argument of EVENT_FREE and EVENT_REALLOC; the alignment of EVENT_ALIGNED
    uint32_t result;  // pointer returned; 0 of EVENT_FREE
    uint32_t caller;  // address that the call returns to
};
_Static_assert(sizeof(struct event) == EVENT_BYTES, "the format");
_Static_assert(sizeof(struct event_head) == EVENT_BYTES, "the format");

// Starts: writes the head, then a record as each call ends. `write` is called with interrupts off
// and must not allocate. False, and nothing is done, if it is on already. No other thread may be
// inside a heap call, and no other processor may run: the calls' code is changed. Boot, and tests.
bool events_start(void (*write)(const void *data, size_t bytes));
void events_stop(void);      // nothing if it is off
uint32_t events_count(void); // records written since the boot
