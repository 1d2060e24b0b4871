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

static bool panicking;

// True if the dword at `address` can be read.
static bool readable(uintptr_t address) {
    uint32_t entry;
    return address % 4 == 0 && paging_lookup(address & ~(PG_SIZE - 1), &entry);
}

// The frame of a function compiled with a frame pointer: [ebp] is the caller's ebp, [ebp + 4] the return address.
void call_trace(uintptr_t ebp, uintptr_t eip) {
    char text[SYMBOL_TEXT_MAX];
    for (int line = 0; line < TRACE_MAX; line++) {
        kprintf("  at %s [%p]\n", symbol_text(text, sizeof text, eip), (void *)eip);
        if (ebp == 0 || !readable(ebp) || !readable(ebp + 4)) return;
        const uintptr_t *frame = (const uintptr_t *)ebp;
        eip = frame[1];
        if (eip == 0) return;
        ebp = frame[0] > ebp ? frame[0] : 0; // frames lie higher and higher, or the chain is broken
    }
}

static void registers_print(const struct interrupt_frame *frame) {
    kprintf("  eax %08x ebx %08x ecx %08x edx %08x\n", frame->eax, frame->ebx, frame->ecx, frame->edx);
    kprintf("  esi %08x edi %08x ebp %08x eip %08x eflags %08x\n", frame->esi, frame->edi, frame->ebp,
            frame->eip, frame->eflags);
}

// A panic inside a panic says so and stops: what it would print is what failed.
static void enter(void) {
    irq_disable();
    if (panicking) {
        put_str("panic: again, inside a panic\n");
        power_off(EXIT_PANIC);
    }
    panicking = true;
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
