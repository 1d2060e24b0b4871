// interrupt.c - see interrupt.h. Sources: Intel SDM volume 3, chapter 6; Intel 8259A data sheet.
//
// The way of an interrupt: the CPU finds the vector's gate in the IDT, turns interrupts off, pushes
// where it was, and jumps to a stub (entry.asm); that makes a struct interrupt_frame of it and
// calls interrupt_dispatch(). Vectors 0 .. 31 are the CPU's own: exceptions. IRQ_BASE .. IRQ_BASE +
// 15 are the lines of the two PICs, which interrupt the first processor. LOCAL_BASE and on are each
// processor's own. Above them is one gate, for programs (process/gate.asm); all other vectors are a
// general protection fault.
//
// The PICs. Fifteen lines share the CPU's one interrupt pin. Each 8259A has, with a bit for each of
// its eight lines: IRR, what was raised; IMR, what is masked; ISR, what is in service. The second
// hangs on line 2 of the first, so the order of priority is 0, 1, 8 .. 15, 3 .. 7.
//
//   line rises -> bit in IRR -> not masked, nothing as urgent in ISR -> INT pin
//     -> CPU acknowledges, interrupts on -> bit moves to ISR, the PIC says which vector
//     -> end-of-interrupt clears the highest bit of ISR -> the next one may come
//
// Until its end-of-interrupt a line keeps itself and all below it out. So it must be sent before
// the way out: after exit_hook() it would wait for this thread's next turn, the timer would be
// silent until then, and that turn may depend on a tick. Before the handler or right after it is
// the same to the CPU, where interrupts are off until `iret`; a line that rises meanwhile waits in
// IRR. Here it is beside the test that says whether there is one to send (spurious()). The
// PIC's priorities thus decide only between lines that wait at the same moment.
//
// Why vectors are moved: at power-on IRQ 0 is vector 8, where the CPU has its double fault (the
// 8086 had no such thing). A handler could not tell a tick from a catastrophe.
//
// Invariants:
//   N1  Handlers run with interrupts off, so interrupt_depth is 0 or 1 unless one turns them on.
//   N2  A hardware interrupt's end-of-interrupt is sent before its handler is called, because the
//       way out may be a switch to another thread, which comes back much later.
//   N3  Threads are switched only when interrupt_depth is 0 again.
//   N4  Handlers of hardware interrupts run under kernel_lock: what they touch is protected by it
//       from the threads and handlers of other processors (with one, by interrupts off).
//
// Shortcomings: an IRQ without a handler is dropped silently; the lines' priorities are the
// PIC's.
#include "kernel/interrupt.h"

#include <stddef.h>

#include "kernel/gdt.h"
#include "kernel/layout.h"
#include "kernel/panic.h"
#include "kernel/spinlock.h"
#include "lib/x86.h"

#define GATE_INTERRUPT 0x8e // present, ring 0, 32-bit interrupt gate: interrupts go off
#define GATE_USER 0xee      // the same, for `int n` of ring 3
#define GATE_TASK 0x85      // present, ring 0, task gate

#define IDT_COUNT (VECTOR_SYSCALL + 1)

#define PIC1_COMMAND 0x20
#define PIC1_DATA 0x21
#define PIC2_COMMAND 0xa0
#define PIC2_DATA 0xa1
#define PIC_EOI 0x20      // OCW2, non-specific: clears the most urgent bit of ISR
#define PIC_READ_ISR 0x0b // OCW3: the next read of this port gives ISR
#define IRQ_CASCADE 2

extern const uint32_t interrupt_stubs[VECTOR_COUNT];    // entry.asm
void interrupt_dispatch(struct interrupt_frame *frame); // called from there

// Where a vector's handler is. Offsets in two halves, as the 80286 left them.
struct gate {
    uint16_t offset_low, selector;
    uint8_t zero, type;
    uint16_t offset_high;
};
_Static_assert(sizeof(struct gate) == 8, "the CPU's format");

// Written at boot and by interrupt_register(), a word at a time; read by the CPU and in handlers.
static struct gate idt[IDT_COUNT];
static interrupt_handler *handlers[VECTOR_COUNT];              // NULL: none
static void (*exit_hook)(void);                                // interrupt_set_exit_hook()
static void (*unhandled)(const struct interrupt_frame *frame); // interrupt_set_unhandled()
static void (*user_hook)(void);                                // interrupt_set_user_hook()
PER_PROCESSOR volatile uint32_t interrupt_depth;
PER_PROCESSOR volatile uint32_t interrupt_special;

// An interrupt gate turns interrupts off on the way in; a trap gate would not, and a tick could
// come before the handler of an exception has read CR2 or its data. Ring 0 in the type: `int n` by
// a program is a general protection fault.
static void gate_set(unsigned vector, uint16_t selector, uint32_t offset, uint8_t type) {
    idt[vector] = (struct gate){(uint16_t)offset, selector, 0, type, (uint16_t)(offset >> 16)};
}

// Moves the PICs' interrupts from vectors 8 .. 15, where the CPU's exceptions are, to IRQ_BASE.
// Four "initialisation command words" to each; the second is the vector of its first line, a
// multiple of 8: the PIC puts the line's number into the low three bits. The first word starts the
// sequence and clears IMR, so the masks are the last to be written; interrupts are off in the CPU
// until the boot's end, so nothing comes through before that.
static void pic_init(void) {
    outb(PIC1_COMMAND, 0x11); // ICW1: edge triggered, cascade, ICW4 follows
    outb(PIC2_COMMAND, 0x11);
    outb(PIC1_DATA, IRQ_BASE);
    outb(PIC2_DATA, IRQ_BASE + 8);
    outb(PIC1_DATA, 1 << IRQ_CASCADE); // ICW3: the second PIC hangs on this line of the first
    outb(PIC2_DATA, IRQ_CASCADE);
    outb(PIC1_DATA, 1); // ICW4: 8086 mode
    outb(PIC2_DATA, 1);
    outb(PIC1_DATA, (uint8_t) ~(1u << IRQ_CASCADE)); // all masked but the second PIC
    outb(PIC2_DATA, 0xff);
}

// The double fault's gate is a task gate: it needs no offset, the task knows where it starts
// (kernel/gdt.c). The limit is the last byte's offset, hence the - 1. A vector beyond the table is
// a general protection fault, not a jump to whatever lies there.
void interrupt_init(void) {
    for (unsigned vector = 0; vector < VECTOR_COUNT; vector++) {
        gate_set(vector, SELECTOR_CODE, interrupt_stubs[vector], GATE_INTERRUPT);
    }
    gate_set(VECTOR_DOUBLE_FAULT, SELECTOR_DOUBLE_FAULT, 0, GATE_TASK);
    interrupt_load();
    pic_init();
}

void interrupt_several(void) { interrupt_special |= INTERRUPT_SEVERAL; }

void interrupt_load(void) {
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) pointer = {sizeof idt - 1, (uint32_t)(uintptr_t)idt};
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

void interrupt_register(unsigned vector, interrupt_handler *handler) {
    ASSERT(vector < VECTOR_COUNT);
    handlers[vector] = handler;
}

void interrupt_set_exit_hook(void (*hook)(void)) { exit_hook = hook; }

void interrupt_set_unhandled(void (*hook)(const struct interrupt_frame *frame)) {
    unhandled = hook;
}

void interrupt_open_gate(uint32_t entry) {
    gate_set(VECTOR_SYSCALL, SELECTOR_CODE, entry, GATE_USER);
}

void interrupt_set_entry(unsigned vector, uint32_t entry) {
    gate_set(vector, SELECTOR_CODE, entry, GATE_INTERRUPT);
}

void interrupt_set_user_hook(void (*hook)(void)) { user_hook = hook; }

// A set bit of the mask keeps a line quiet.
void irq_unmask(unsigned irq) {
    uint16_t port = irq < 8 ? PIC1_DATA : PIC2_DATA;
    outb(port, inb(port) & (uint8_t) ~(1u << irq % 8));
}

// A line that was raised and dropped again, before the CPU acknowledged it, shows up as IRQ 7 or 15
// that is not in service: the PIC must answer something (8259A data sheet, "default IR7"). It wants
// no end-of-interrupt for it: that would clear the bit of another line, which is in service.
static bool spurious(unsigned irq) {
    if (irq % 8 != 7) return false;
    uint16_t port = irq < 8 ? PIC1_COMMAND : PIC2_COMMAND;
    outb(port, PIC_READ_ISR);
    if (inb(port) & 0x80) return false;
    if (irq >= 8) outb(PIC1_COMMAND, PIC_EOI); // the first PIC did see its cascade line
    return true;
}

// The second PIC's lines need both ends of interrupt, as both have a bit in ISR. From the last line
// on another thread may go on: exit_hook() then returns only when this one is chosen again.
// interrupt_depth is counted down before that: the next thread is in no handler (N3).
static void irq_dispatch(struct interrupt_frame *frame) {
    unsigned irq = frame->vector - IRQ_BASE;
    if (frame->vector < LOCAL_BASE) {
        if (spurious(irq)) return;
        if (irq >= 8) outb(PIC2_COMMAND, PIC_EOI);
        outb(PIC1_COMMAND, PIC_EOI);
    }
    interrupt_depth++;
    interrupt_special++;
    uint32_t state = spin_save(&kernel_lock);
    if (handlers[frame->vector]) handlers[frame->vector](frame);
    spin_restore(&kernel_lock, state);
    interrupt_special--;
    interrupt_depth--;
    if (interrupt_depth == 0 && exit_hook) exit_hook();
}

// Called by entry.asm, interrupts off. An exception is the running thread's own doing, so its
// handler counts as the thread: it may do what the thread may.
void interrupt_dispatch(struct interrupt_frame *frame) {
    // Without a change of privilege the CPU pushes no stack pointer: what lies above the frame is
    // what was there.
    bool user = frame_from_user(frame);
    frame->esp = user ? ((struct user_frame *)frame)->esp : (uint32_t)(uintptr_t)(frame + 1);
    if (frame->vector >= IRQ_BASE) {
        irq_dispatch(frame);
    } else if (handlers[frame->vector] && (!user || frame->vector == VECTOR_NMI)) {
        handlers[frame->vector](frame);
    } else if (unhandled) { // a program's go there past the handlers, which are for kernel code
        unhandled(frame);
    } else {
        panic_at(frame, "exception %u, before there are words for it", frame->vector);
    }
    if (user && user_hook) user_hook();
}
