// fault.c - see fault.h. Source: Intel SDM volume 3, chapter 6; 4.7 for a page fault's error code.
#include "kernel/fault.h"

#include <stddef.h>

#include "kernel/interrupt.h"
#include "kernel/layout.h"
#include "kernel/inspect/who.h"
#include "kernel/panic.h"
#include "kernel/processor.h"
#include "lib/page.h"
#include "lib/print.h"
#include "thread/thread.h"

#define FAULT_PROTECTION 0x1u // page fault's error code (SDM volume 3, 4.7): the page is present
#define FAULT_WRITE 0x2u
#define FAULT_IDT 0x2u   // other exceptions' error code (6.13): it names an entry of the IDT
#define FAULT_PUSHED 16u // bytes the CPU pushes for an exception: eflags, cs, eip, error code

static void (*user_hook)(const struct interrupt_frame *frame); // fault_set_user()
static bool (*mender)(const struct interrupt_frame *frame);    // fault_set_mender()

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

// There is no user bit above KERNEL_BASE, so a page there that is present says nothing to a
// program.
static const char *page_fault_why(const struct interrupt_frame *frame, uint32_t address) {
    if (frame_from_user(frame) && address >= KERNEL_BASE) return "which is the kernel's";
    if (frame->error & FAULT_PROTECTION) return "which is write-protected";
    if (address < PG_SIZE) return "which is not mapped (a null pointer?)";
    return "which is not mapped";
}

static char *page_fault_text(char *to, size_t room, const struct interrupt_frame *frame) {
    uint32_t address = fault_address();
    // There is no execute bit without PAE: a fault at the instruction's own address was its fetch.
    const char *access = address == frame->eip        ? "execution of"
                         : frame->error & FAULT_WRITE ? "write to"
                                                      : "read of";
    const char *why = page_fault_why(frame, address);
    const struct thread *owner = thread_of_guard(address);
    if (owner && !frame_from_user(frame)) guard_panic(frame, owner, access, address);
    if (address - HEAP_BASE < HEAP_WINDOW_BYTES && !frame_from_user(frame)) {
        char who[HEAP_WHO_MAX]; // what it belongs to, as everywhere
        ksnprintf(to, room, "page fault: %s %p, %s: %s", access, (void *)address, why,
                  heap_who(who, sizeof who, address));
    } else {
        ksnprintf(to, room, "page fault: %s %p, %s", access, (void *)address, why);
    }
    return to;
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
char *fault_text(char *to, size_t room, const struct interrupt_frame *frame) {
    const char *name = exception_name(frame->vector);
    if (frame->vector == VECTOR_PAGE_FAULT) return page_fault_text(to, room, frame);
    if (frame->error & FAULT_IDT) {
        ksnprintf(to, room, "%s: interrupt %u", name, frame->error >> 3);
    } else if (frame->error) {
        ksnprintf(to, room, "%s: selector %#x", name, frame->error & 0xfffc);
    } else {
        ksnprintf(to, room, "%s", name);
    }
    return to;
}

// What a fault is said with, the lists of threads and the heap's records, may be what is broken: a
// fault on the way is said without them. Else each one would lead to the next until the stack is
// full.
noreturn void fault_panic(const struct interrupt_frame *frame) {
    static PER_PROCESSOR bool describing;
    char text[FAULT_TEXT_MAX];
    if (describing) {
        panic_at(frame, "%s at %p, while a fault was described", exception_name(frame->vector),
                 (void *)fault_address());
    }
    describing = true;
    if (frame->vector == VECTOR_DOUBLE_FAULT) double_fault_panic(frame);
    panic_at(frame, "%s", fault_text(text, sizeof text, frame));
}

// Once mended, the instruction runs again.
static void fault_unhandled(const struct interrupt_frame *frame) {
    if (user_hook && frame_from_user(frame)) {
        user_hook(frame);
        return;
    }
    if (!mender || !mender(frame)) fault_panic(frame);
}

void fault_init(void) { interrupt_set_unhandled(fault_unhandled); }

void fault_set_user(void (*user)(const struct interrupt_frame *frame)) { user_hook = user; }

void fault_set_mender(bool (*mend)(const struct interrupt_frame *frame)) { mender = mend; }
