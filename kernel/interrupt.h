// interrupt.h - the interrupt descriptor table, the two 8259 PICs, exceptions.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

// What entry.asm pushes, lowest address first (Intel SDM volume 3, 6.12 for the CPU's part).
struct interrupt_frame {
    uint32_t edi, esi, ebp; // pushad, eight registers
    uint32_t esp; // when it happened: interrupt_dispatch() puts it here, popad leaves it alone
    uint32_t ebx, edx, ecx, eax;
    uint32_t gs, fs, es, ds;
    uint32_t vector;
    uint32_t error; // the CPU's error code, 0 where it pushes none
    uint32_t eip, cs, eflags;
};

typedef void interrupt_handler(struct interrupt_frame *frame);

#define VECTOR_DOUBLE_FAULT 8
#define VECTOR_PAGE_FAULT 14
#define VECTOR_COUNT 48
#define IRQ_BASE 0x20 // vector of IRQ 0 after the PICs are remapped
#define IRQ_TIMER 0
#define IRQ_KEYBOARD 1
#define IRQ_COM1 4

void interrupt_init(void); // IDT, exceptions that panic, PICs remapped with every line masked
// Handlers run with interrupts off; the PIC has its end-of-interrupt before the handler is called.
// NULL: none, so an exception panics again.
void interrupt_register(unsigned vector, interrupt_handler *handler);
void irq_unmask(unsigned irq);

// Called on the way out of every hardware interrupt, when interrupt_depth is 0 again: thread/
// switches threads here.
void interrupt_set_exit_hook(void (*hook)(void));

// How many interrupt handlers are running, one inside the other: 0 in a thread. Exceptions do not
// count.
extern volatile uint32_t interrupt_depth;

uint32_t fault_address(void); // CR2: the address of the last page fault

// Panic with what the frame's exception means in words.
noreturn void exception_panic(const struct interrupt_frame *frame);
