// panic.h - the kernel's last words.
//
// For what must not happen: an invariant of the kernel's own that does not hold, an exception that
// has no handler. Not for a caller's wrong argument (a report, and the call changes nothing), nor
// for memory that has run out (NULL): both leave a kernel that can go on.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

struct interrupt_frame;

// Prints "panic: ..." with the thread's name, the registers if `frame` is not NULL, and a call
// trace with function names, then power_off(EXIT_PANIC). Any context; a panic inside a panic prints
// one line and halts.
noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));
noreturn void panic_at(const struct interrupt_frame *frame, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// How to ask whether an address can be read without a fault: kernel/paging.c's answer, which a call
// trace needs. Before it, a trace is one line. Boot only.
void panic_set_reader(bool (*readable)(uintptr_t address));

// Prints one line a call, "  at function+0x12 [0x80101234]", following the frame pointers from
// `ebp`. `eip` is the first line's address, and where ebp's chain starts. Reads nothing that is not
// mapped, goes upwards only, and ends after 24 lines: any two numbers are safe. Equal lines after
// each other are one, and a line with their number. Any context.
void stack_trace(uintptr_t ebp, uintptr_t eip);

// A broken invariant of ours is a panic; a caller's mistake is a report, never this. Always
// compiled in: what is tested is what runs. The condition must have no effect, all the same.
#define ASSERT(condition)                                                                       \
    do {                                                                                        \
        if (!(condition)) panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #condition); \
    } while (0)
