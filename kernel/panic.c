// panic.c - see panic.h.
#include "kernel/panic.h"

#include <stdarg.h>
#include <stddef.h>

#include "kernel/interrupt.h"
#include "kernel/paging.h"
#include "kernel/power.h"
#include "kernel/symbol.h"
#include "lib/page.h"
#include "lib/print.h"
#include "lib/x86.h"
#include "thread/thread.h"

#define TRACE_MAX 24 // lines of a call trace

static unsigned panics; // how many were begun: one, unless reporting it fails

// True if the dword at `address` can be read.
static bool readable(uintptr_t address) {
    uint32_t entry;
    return address % 4 == 0 && paging_lookup(address & ~(PG_SIZE - 1), &entry);
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

// The frame of a function compiled with a frame pointer: [ebp] is the caller's ebp, [ebp + 4] the
// return address.
void call_trace(uintptr_t ebp, uintptr_t eip) {
    for (uint32_t line = 0; line < TRACE_MAX; line++) {
        trace_line(eip, line > 0);
        if (ebp == 0 || !readable(ebp) || !readable(ebp + 4)) return;
        const uintptr_t *frame = (const uintptr_t *)ebp;
        eip = frame[1];
        if (eip == 0) return;
        ebp = frame[0] > ebp ? frame[0] : 0; // frames lie higher and higher, or the chain is broken
    }
}

static void registers_print(const struct interrupt_frame *frame) {
    kprintf("  eax %08x ebx %08x ecx %08x edx %08x\n", frame->eax, frame->ebx, frame->ecx,
            frame->edx);
    kprintf("  esi %08x edi %08x ebp %08x esp %08x\n", frame->esi, frame->edi, frame->ebp,
            frame->esp);
    kprintf("  eip %08x eflags %08x\n", frame->eip, frame->eflags);
}

// A panic inside a panic says so and stops: what it would print is what failed. One inside that has
// nothing left to try: it would come back here until the stack is full.
static void enter(void) {
    irq_disable();
    switch (panics++) {
    case 0: return;
    case 1: put_str("panic: again, inside a panic\n"); power_off(EXIT_PANIC);
    default: power_cut(EXIT_PANIC);
    }
}

static void headline(const char *format, va_list args) {
    char text[256];
    kvsnprintf(text, sizeof text, format, args);
    kprintf("panic: %s (thread %s)\n", text, thread_name(thread_current()));
}

noreturn void panic(const char *format, ...) {
    va_list args;
    enter();
    va_start(args, format);
    headline(format, args);
    va_end(args);
    call_trace((uintptr_t)__builtin_frame_address(0), (uintptr_t)panic);
    power_off(EXIT_PANIC);
}

noreturn void panic_at(const struct interrupt_frame *frame, const char *format, ...) {
    va_list args;
    enter();
    va_start(args, format);
    headline(format, args);
    va_end(args);
    registers_print(frame);
    call_trace(frame->ebp, frame->eip);
    power_off(EXIT_PANIC);
}
