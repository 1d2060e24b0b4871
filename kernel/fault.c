// fault.c - see fault.h. Source: Intel SDM volume 3, chapter 6; 4.7 for a page fault's error code.
#include "kernel/fault.h"

#include <stddef.h>

#include "kernel/interrupt.h"
#include "kernel/layout.h"
#include "kernel/panic.h"
#include "kernel/inspect/who.h"
#include "lib/page.h"
#include "thread/thread.h"

#define FAULT_PROTECTION 0x1u // page fault's error code (SDM volume 3, 4.7): the page is present
#define FAULT_WRITE 0x2u
#define FAULT_IDT 0x2u   // other exceptions' error code (6.13): it names an entry of the IDT
#define FAULT_PUSHED 16u // bytes the CPU pushes for an exception: eflags, cs, eip, error code

static bool (*mender)(const struct interrupt_frame *frame); // fault_set_mender()

// CR2 keeps it until the next page fault (SDM volume 3, 2.5).
uint32_t fault_address(void) {
    uint32_t address;
    __asm__ volatile("movl %%cr2, %0" : "=r"(address));
    return address;
}

// As the processor's manual calls them (SDM volume 3, table 6-1), so that a reader can look them
// up.
static const char *exception_name(uint32_t vector) {
    static const char *const names[] = {"divide error",
                                        "debug",
                                        "non-maskable interrupt",
                                        "breakpoint",
                                        "overflow",
                                        "bound range exceeded",
                                        "invalid opcode",
                                        "device not available",
                                        "double fault",
                                        "coprocessor segment overrun",
                                        "invalid TSS",
                                        "segment not present",
                                        "stack-segment fault",
                                        "general protection fault",
                                        "page fault",
                                        "reserved",
                                        "floating-point error",
                                        "alignment check",
                                        "machine check",
                                        "SIMD floating-point error"};
    return vector < sizeof names / sizeof names[0] ? names[vector] : "reserved exception";
}

// A guard page says more than an address: the stack was too small. panic_at() names the running
// thread, so only another one's guard page needs a name: no overflow, but a pointer gone astray.
static noreturn void guard_panic(const struct interrupt_frame *frame, const struct thread *owner,
                                 const char *access, uint32_t address) {
    const char *fault = exception_name(frame->vector);
    if (owner == thread_current()) {
        panic_at(frame, "%s: stack overflow: %s %p", fault, access, (void *)address);
    }
    panic_at(frame, "%s: %s %p, the guard page of thread %s", fault, access, (void *)address,
             thread_name(owner));
}

static noreturn void page_fault_panic(const struct interrupt_frame *frame) {
    uint32_t address = fault_address();
    const struct thread *owner = thread_of_guard(address);
    // There is no execute bit without PAE: a fault at the instruction's own address was its fetch.
    const char *access = address == frame->eip        ? "execution of"
                         : frame->error & FAULT_WRITE ? "write to"
                                                      : "read of";
    const char *why = frame->error & FAULT_PROTECTION ? "which is write-protected"
                      : address < PG_SIZE             ? "which is not mapped (a null pointer?)"
                                                      : "which is not mapped";
    if (owner) guard_panic(frame, owner, access, address);
    if (address - HEAP_BASE < HEAP_WINDOW_BYTES) { // what it belongs to, as everywhere
        char who[HEAP_WHO_MAX];
        panic_at(frame, "page fault: %s %p, %s: %s", access, (void *)address, why,
                 heap_who(who, sizeof who, address));
    }
    panic_at(frame, "page fault: %s %p, %s", access, (void *)address, why);
}

// The CPU could not push an interrupt's frame: its first bytes would lie in the guard page, or esp
// is there already.
static noreturn void double_fault_panic(const struct interrupt_frame *frame) {
    const struct thread *owner = thread_of_guard(frame->esp - FAULT_PUSHED);
    if (!owner) owner = thread_of_guard(frame->esp);
    if (owner) guard_panic(frame, owner, "esp is", frame->esp);
    panic_at(frame, "double fault, last page fault at %p", (void *)fault_address());
}

// An error code, where there is one, names a segment selector or an entry of the IDT.
noreturn void fault_panic(const struct interrupt_frame *frame) {
    const char *name = exception_name(frame->vector);
    switch (frame->vector) {
    case VECTOR_DOUBLE_FAULT: double_fault_panic(frame);
    case VECTOR_PAGE_FAULT: page_fault_panic(frame);
    default: break;
    }
    if (frame->error & FAULT_IDT) panic_at(frame, "%s: interrupt %u", name, frame->error >> 3);
    if (frame->error) panic_at(frame, "%s: selector %#x", name, frame->error & 0xfffc);
    panic_at(frame, "%s", name);
}

// Once mended, the instruction runs again.
static void fault_unhandled(const struct interrupt_frame *frame) {
    if (!mender || !mender(frame)) fault_panic(frame);
}

void fault_init(void) { interrupt_set_unhandled(fault_unhandled); }

void fault_set_mender(bool (*mend)(const struct interrupt_frame *frame)) { mender = mend; }
