// panic.c - see panic.h.
//
// A panic trusts as little as it can: interrupts go off first and other processors are stopped, it
// takes no lock and no memory, and before it follows a pointer it asks the page tables. What it
// prints is in the order of use: what happened, in which thread; the registers; who called whom.
//
// Why a stack trace works: the kernel is compiled with frame pointers, so the two words at ebp are
// the caller's ebp and the address to return to, and those at the caller's ebp are its caller's:
//
//        higher addresses        +----------------+
//                                | return address | -> in the caller's caller
//      the caller's ebp -------> | ebp before     | -> further up, at last 0
//                                | ...            |
//                                | return address | -> in the caller
//      ebp --------------------> | caller's ebp   |
//                                +----------------+
//
// Shortcomings: a function that was inlined, or left by a jump (a tail call), has no frame and is
// not shown.
#include "kernel/panic.h"

#include <stdarg.h>
#include <stddef.h>

#include "kernel/bochs_break.h"
#include "kernel/interrupt_frame.h"
#include "kernel/power.h"
#include "kernel/processor.h"
#include "kernel/running.h"
#include "kernel/symbol.h"
#include "lib/print.h"
#include "lib/x86.h"

#define TRACE_MAX 24     // lines of a stack trace
#define FRAMES_MAX 20000 // frames followed: more than the largest stack has

// Counted with interrupts off, and never taken back: there is no way out of a panic.
static unsigned panics;  // how many were begun: one, unless reporting it fails
static char reason[512]; // of the first, until it is on the console

static bool (*page_readable)(uintptr_t address); // panic_set_reader()

void panic_set_reader(bool (*readable)(uintptr_t address)) { page_readable = readable; }

// True if the dword at `address` can be read. Aligned, it lies in one page, so one look is enough;
// and a frame pointer that is not aligned is none.
static bool readable(uintptr_t address) {
    return address % 4 == 0 && page_readable && page_readable(address);
}

// `back` is 1 for a return address: the call is the instruction before it, which may be the last of
// its function if it does not return (panic() itself), and then the address belongs to the next
// function already.
static void trace_line(uintptr_t eip, uint32_t back) {
    uint32_t offset;
    const char *name = symbol_find(eip - back, &offset);
    if (name) kprintf("  at %s+%#x [%p]\n", name, offset + back, (void *)eip);
    else kprintf("  at %p\n", (void *)eip);
}

// From a frame to its caller's; false at the end of the chain. The frame of a function compiled
// with a frame pointer: [ebp] is the caller's ebp, [ebp + 4] the return address.
static bool frame_up(uintptr_t *ebp, uintptr_t *eip) {
    if (*ebp == 0 || !readable(*ebp) || !readable(*ebp + 4)) return false;
    const uintptr_t *frame = (const uintptr_t *)*ebp;
    *eip = frame[1];
    *ebp = frame[0] > *ebp ? frame[0] : 0; // frames lie higher and higher, or the chain is broken
    return *eip != 0;
}

// A recursion is one line and a count, so that what called it is still seen.
static void repeated_print(uint32_t times) {
    if (times > 0) kprintf("  (the same %u more times)\n", times);
}

void stack_trace(uintptr_t ebp, uintptr_t eip) {
    uint32_t lines = 0, frames = 0, repeated = 0;
    uintptr_t before = 0;
    do {
        if (frames > 0 && eip == before) {
            repeated++;
            continue;
        }
        repeated_print(repeated);
        trace_line(eip, frames > 0);
        before = eip;
        repeated = 0;
        lines++;
    } while (++frames < FRAMES_MAX && lines < TRACE_MAX && frame_up(&ebp, &eip));
    repeated_print(repeated);
}

// All of them: the reader of a report cannot ask again.
static void registers_print(const struct interrupt_frame *frame) {
    kprintf("  eax %08x ebx %08x ecx %08x edx %08x\n", frame->eax, frame->ebx, frame->ecx,
            frame->edx);
    kprintf("  esi %08x edi %08x ebp %08x esp %08x\n", frame->esi, frame->edi, frame->ebp,
            frame->esp);
    kprintf("  eip %08x eflags %08x\n", frame->eip, frame->eflags);
}

// A panic inside a panic says so and stops: what it would print is what failed. But what the first
// was about is said, if its thread's name is what it failed at. One inside that has nothing left to
// try: it would come back here until the stack is full.
static void enter(void) {
    irq_disable();
    processors_stop();
    switch (panics++) {
    case 0: return;
    case 1:
        if (reason[0]) kprintf("panic: %s\n", reason);
        put_str("panic: again, inside a panic\n");
        power_off(EXIT_PANIC);
    default: power_cut(EXIT_PANIC);
    }
}

// The line that a runner looks for. In one piece, so that nothing comes between.
static void headline(const char *format, va_list args) {
    kvsnprintf(reason, sizeof reason, format, args);
    kprintf("panic: %s (thread %s)\n", reason, running_name());
    reason[0] = '\0';
    bochs_stop(); // what is wrong is known, and the machine is still as it was
}

// The trace starts in panic() itself, at its caller's address.
noreturn void panic(const char *format, ...) {
    va_list args;
    enter();
    va_start(args, format);
    headline(format, args);
    va_end(args);
    stack_trace((uintptr_t)__builtin_frame_address(0), (uintptr_t)panic);
    power_off(EXIT_PANIC);
}

// The trace starts where the frame was interrupted, not in the handler.
noreturn void panic_at(const struct interrupt_frame *frame, const char *format, ...) {
    va_list args;
    enter();
    va_start(args, format);
    headline(format, args);
    va_end(args);
    registers_print(frame);
    stack_trace(frame->ebp, frame->eip);
    power_off(EXIT_PANIC);
}
