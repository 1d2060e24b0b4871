// interrupt.c - see interrupt.h. Sources: Intel SDM volume 3, chapter 6; Intel 8259A data sheet.
#include "kernel/interrupt.h"

#include <stddef.h>

#include "kernel/gdt.h"
#include "kernel/layout.h"
#include "kernel/panic.h"
#include "lib/x86.h"

#define GATE_INTERRUPT 0x8e // present, ring 0, 32-bit interrupt gate: interrupts go off
#define GATE_TASK 0x85      // present, ring 0, task gate
#define VECTOR_DOUBLE_FAULT 8

#define PIC1_COMMAND 0x20
#define PIC1_DATA 0x21
#define PIC2_COMMAND 0xa0
#define PIC2_DATA 0xa1
#define PIC_EOI 0x20
#define PIC_READ_ISR 0x0b
#define IRQ_CASCADE 2

#define FAULT_PROTECTION 0x1u // page fault's error code (SDM volume 3, 4.7): the page is present
#define FAULT_WRITE 0x2u

extern const uint32_t interrupt_stubs[VECTOR_COUNT]; // entry.asm
void interrupt_dispatch(struct interrupt_frame *frame); // called from there

struct gate {
    uint16_t offset_low, selector;
    uint8_t zero, type;
    uint16_t offset_high;
};
_Static_assert(sizeof(struct gate) == 8, "the CPU's format");

static struct gate idt[VECTOR_COUNT];
static interrupt_handler *handlers[VECTOR_COUNT];
static void (*exit_hook)(void);
volatile uint32_t interrupt_depth;

static void gate_set(unsigned vector, uint16_t selector, uint32_t offset, uint8_t type) {
    idt[vector] = (struct gate){(uint16_t)offset, selector, 0, type, (uint16_t)(offset >> 16)};
}

// Moves the PICs' interrupts from vectors 8 .. 15, where the CPU's exceptions are, to IRQ_BASE.
static void pic_init(void) {
    outb(PIC1_COMMAND, 0x11); // ICW1: edge triggered, cascade, ICW4 follows
    outb(PIC2_COMMAND, 0x11);
    outb(PIC1_DATA, IRQ_BASE);
    outb(PIC2_DATA, IRQ_BASE + 8);
    outb(PIC1_DATA, 1 << IRQ_CASCADE);
    outb(PIC2_DATA, IRQ_CASCADE);
    outb(PIC1_DATA, 1); // ICW4: 8086 mode
    outb(PIC2_DATA, 1);
    outb(PIC1_DATA, (uint8_t)~(1u << IRQ_CASCADE)); // all masked but the second PIC
    outb(PIC2_DATA, 0xff);
}

void interrupt_init(void) {
    for (unsigned vector = 0; vector < VECTOR_COUNT; vector++) {
        gate_set(vector, SELECTOR_CODE, interrupt_stubs[vector], GATE_INTERRUPT);
    }
    gate_set(VECTOR_DOUBLE_FAULT, SELECTOR_DOUBLE_FAULT, 0, GATE_TASK);
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) pointer = {sizeof idt - 1, (uint32_t)(uintptr_t)idt};
    __asm__ volatile("lidt %0" : : "m"(pointer));
    pic_init();
}

void interrupt_register(unsigned vector, interrupt_handler *handler) {
    ASSERT(vector < VECTOR_COUNT);
    handlers[vector] = handler;
}

void interrupt_set_exit_hook(void (*hook)(void)) { exit_hook = hook; }

void irq_unmask(unsigned irq) {
    uint16_t port = irq < 8 ? PIC1_DATA : PIC2_DATA;
    outb(port, inb(port) & (uint8_t)~(1u << irq % 8));
}

// A line that was raised and dropped again shows up as IRQ 7 or 15 that is not in service; the PIC
// wants no end-of-interrupt for it.
static bool spurious(unsigned irq) {
    if (irq % 8 != 7) return false;
    uint16_t port = irq < 8 ? PIC1_COMMAND : PIC2_COMMAND;
    outb(port, PIC_READ_ISR);
    if (inb(port) & 0x80) return false;
    if (irq >= 8) outb(PIC1_COMMAND, PIC_EOI); // the first PIC did see its cascade line
    return true;
}

static void irq_dispatch(struct interrupt_frame *frame) {
    unsigned irq = frame->vector - IRQ_BASE;
    if (spurious(irq)) return;
    if (irq >= 8) outb(PIC2_COMMAND, PIC_EOI);
    outb(PIC1_COMMAND, PIC_EOI);
    interrupt_depth++;
    if (handlers[frame->vector]) handlers[frame->vector](frame);
    interrupt_depth--;
    if (interrupt_depth == 0 && exit_hook) exit_hook();
}

void interrupt_dispatch(struct interrupt_frame *frame) {
    if (frame->vector >= IRQ_BASE) {
        irq_dispatch(frame);
    } else if (handlers[frame->vector]) {
        handlers[frame->vector](frame);
    } else {
        exception_panic(frame, (uint32_t)(uintptr_t)(frame + 1));
    }
}

uint32_t fault_address(void) {
    uint32_t address;
    __asm__ volatile("movl %%cr2, %0" : "=r"(address));
    return address;
}

static const char *exception_name(uint32_t vector) {
    static const char *const names[] = {
        "divide error", "debug", "non-maskable interrupt", "breakpoint", "overflow", "bound range exceeded",
        "invalid opcode", "device not available", "double fault", "coprocessor segment overrun", "invalid TSS",
        "segment not present", "stack-segment fault", "general protection fault", "page fault", "reserved",
        "floating-point error", "alignment check", "machine check", "SIMD floating-point error"};
    return vector < sizeof names / sizeof names[0] ? names[vector] : "reserved exception";
}

extern char boot_stack_guard[], boot_stack_bottom[]; // start.asm

// True if the address lies in the unmapped page below a stack.
static bool in_guard(uint32_t address) {
    if (address >= STACK_BASE && address < STACK_END) {
        return (address - STACK_BASE) % STACK_SLOT_BYTES < PG_SIZE;
    }
    return address - (uint32_t)(uintptr_t)boot_stack_guard < PG_SIZE;
}

noreturn void exception_panic(const struct interrupt_frame *frame, uint32_t esp) {
    uint32_t address = fault_address();
    // A push moves esp only when it succeeds: at the stack's very end it still points to the first good byte.
    bool overflow = in_guard(esp) || in_guard(esp - 4);
    if (frame->vector == VECTOR_DOUBLE_FAULT) {
        panic_at(frame, "double fault%s at %#x", overflow ? ": stack overflow" : "", address);
    }
    if (frame->vector != VECTOR_PAGE_FAULT) {
        panic_at(frame, "%s, error code %#x", exception_name(frame->vector), frame->error);
    }
    panic_at(frame, "page fault: %s%s %#x, %s",
             in_guard(address) ? "stack overflow: " : "", frame->error & FAULT_WRITE ? "write to" : "read of",
             address, frame->error & FAULT_PROTECTION ? "which is write-protected" : "which is not mapped");
}
