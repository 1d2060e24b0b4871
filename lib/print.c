// print.c - see print.h.
//
// A line is made in full before anything is shown: it goes to the sink in one piece, with
// interrupts off, so another thread's line cannot tear it apart. So kprintf() works in a handler
// and in a panic.
//
// Invariant L2: the sink is called with interrupts off, on each processor by one caller at a time;
// between processors it is the sink that has a lock.
//
// Shortcoming: interrupts are off while the sink works. On a real serial line a full line takes
// 44 ms, and ticks get lost; emulators take no time for it.
#include "lib/print.h"

#include <stdint.h>

#include "lib/string.h"
#include "lib/x86.h"

// On the stack of the caller, handlers included: a stack has 12 KiB.
#define LINE_MAX 512 // characters of one kprintf(), and its NUL

static print_sink *sink; // NULL until print_sink_set(); a pointer is written in one step

void print_sink_set(print_sink *to) { sink = to; }

// One piece for the sink (L2): no other text comes in between. The host's tests have no
// interrupts, and may not execute `cli`.
static void sink_write(const char *text, size_t bytes) {
    if (!sink) return;
#ifdef __i386__
    uint32_t state = irq_save();
    sink(text, bytes);
    irq_restore(state);
#else
    sink(text, bytes);
#endif
}

// A line that was cut says so, and still ends: the next one must not be glued to it.
void kprintf(const char *format, ...) {
    char line[LINE_MAX];
    va_list args;
    va_start(args, format);
    size_t length = (size_t)kvsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length >= sizeof line) {
        length = sizeof line - 1;
        for (size_t i = 0; i < 4; i++) line[length - 4 + i] = "...\n"[i];
    }
    sink_write(line, length);
}

void put_str(const char *text) { sink_write(text, strlen(text)); }
