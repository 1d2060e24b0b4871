// ktest_fault.c - one access to memory that may be a page fault, and what the fault said.
//
// The access is a single instruction with a label after it. While it is under way, on_fault()
// replaces the panic: it notes the fault and moves the saved eip to the label, so that the
// interrupted code goes on there.
#include <stddef.h>

#include "kernel/fault.h"
#include "kernel/interrupt.h"
#include "kernel/panic.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"

// Both are written by the handler and read after the access, with interrupts off in between.
static struct ktest_fault seen;
static uint32_t resume; // where to go on after a fault; 0: none is expected

static void on_fault(struct interrupt_frame *frame) {
    uint32_t address = fault_address();
    if (resume == 0) panic_at(frame, "page fault at %#x, outside the access under test", address);
    seen = (struct ktest_fault){true, address, frame->error};
    frame->eip = resume;
    resume = 0;
}

// Interrupts stay off for the one instruction, so that no other thread runs into the handler.
static uint32_t begin(void) {
    uint32_t state = irq_save();
    seen = (struct ktest_fault){false, 0, 0};
    interrupt_register(VECTOR_PAGE_FAULT, on_fault);
    return state;
}

static struct ktest_fault end(uint32_t state) {
    struct ktest_fault result = seen;
    resume = 0;
    interrupt_register(VECTOR_PAGE_FAULT, NULL);
    irq_restore(state);
    return result;
}

// The label's address goes to `resume` first; the access is the only instruction before the label.
static uint8_t read_byte(uintptr_t address) {
    uint8_t value = 0;
    __asm__ volatile("movl $1f, %1\n\t"
                     "movb (%2), %0\n"
                     "1:"
                     : "+q"(value), "=m"(resume)
                     : "r"(address)
                     : "memory");
    return value;
}

static void write_byte(uintptr_t address, uint8_t value) {
    __asm__ volatile("movl $1f, %0\n\t"
                     "movb %1, (%2)\n"
                     "1:"
                     : "=m"(resume)
                     : "q"(value), "r"(address)
                     : "memory");
}

struct ktest_fault ktest_try_read(uintptr_t address) {
    uint32_t state = begin();
    read_byte(address);
    return end(state);
}

struct ktest_fault ktest_try_write(uintptr_t address) {
    uint32_t state = begin();
    uint8_t value = read_byte(address);
    seen.faulted = false; // only the write counts
    write_byte(address, value);
    return end(state);
}

struct ktest_fault ktest_try_store(uintptr_t address, uint8_t value) {
    uint32_t state = begin();
    write_byte(address, value);
    return end(state);
}
