// interrupt.h - the interrupt descriptor table, the two 8259 PICs, exceptions.
//
// Two kinds of vectors, and two kinds of handlers. An exception is caused by the instruction that
// runs: its handler acts for the thread. A hardware interrupt has nothing to do with the thread it
// interrupts: its handler borrows that thread's stack, must not wait, and must not allocate.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/interrupt_frame.h"

// Runs with interrupts off, on the interrupted thread's stack: short, and never waiting. The frame
// is good until it returns.
typedef void interrupt_handler(struct interrupt_frame *frame);

#define VECTOR_COUNT 64 // 32 exceptions, 16 lines, 16 local; entry.asm has a stub for each
#define IRQ_BASE 0x20   // vector of IRQ 0 after the PICs are remapped
#define IRQ_TIMER 0
#define IRQ_KEYBOARD 1
#define IRQ_COM1 4
// The local ones: what the processors' own interrupt controllers raise (processor/apic.c). Their
// handlers end the interrupt there themselves.
#define LOCAL_BASE 0x30
#define VECTOR_LOCAL_TIMER 0x30
#define VECTOR_KICK 0x31     // look at the queue, processor_answer(), local_answer()
#define VECTOR_SPURIOUS 0x3f // the low four bits must be set: SDM volume 3, 10.9

void interrupt_init(void); // IDT, exceptions that panic, PICs remapped with every line masked
void interrupt_load(void); // on a further processor: the same IDT
// Handlers run with interrupts off; the PIC has its end-of-interrupt before the handler is called.
// NULL: none, so an exception panics again. An exception in ring 3 goes to the unhandled hook, and
// never to a handler. vector < VECTOR_COUNT, else panics. Any context.
void interrupt_register(unsigned vector, interrupt_handler *handler);
// Lets a line's interrupts through, 0 .. 15. Last of what a driver's start does: the first
// interrupt may come before this returns. Interrupts off, or boot: the mask is read and written
// back.
void irq_unmask(unsigned irq);

// Called on the way out of every hardware interrupt, when interrupt_depth is 0 again: thread/
// switches threads here. The hook runs with interrupts off and may return much later, when the
// interrupted thread is chosen again. One hook; NULL: none.
void interrupt_set_exit_hook(void (*hook)(void));

// Called for every exception that has no handler (kernel/fault.c): if it returns, the instruction
// is tried again. Runs as the thread that caused it, interrupts off. One hook; NULL: a panic.
void interrupt_set_unhandled(void (*hook)(const struct interrupt_frame *frame));

// Opens VECTOR_SYSCALL to programs: `int` of ring 3 goes on at `entry`, which is written in
// assembly and does all that entry.asm does. Boot only.
void interrupt_open_gate(uint32_t entry);
// Another entry for an exception, in assembly, which goes on at interrupt_stubs[vector] (entry.asm)
// where it is not concerned. Boot only.
void interrupt_set_entry(unsigned vector, uint32_t entry);

// Called on the way back to ring 3, after an interrupt or an exception, interrupts off: process/
// ends a program here that was killed. May not return. One hook; NULL: none.
void interrupt_set_user_hook(void (*hook)(void));

// How many interrupt handlers are running here, one inside the other: 0 in a thread. Exceptions do
// not count. Written by interrupt.c alone. A function that only threads may call asks here: the
// interrupt flag does not say, since a thread may have interrupts off as well.
extern volatile uint32_t interrupt_depth;
// The same, and INTERRUPT_SEVERAL beside it once there are several processors: one test for the
// heap, where either is rare. Written by interrupt.c alone.
extern volatile uint32_t interrupt_special;
#define INTERRUPT_SEVERAL 0x80000000u
void interrupt_several(void); // on each processor, when there are several. Interrupts off
