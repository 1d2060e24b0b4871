// apic.h - a processor's local interrupt controller: interrupts between processors, and a timer.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Maps the registers, which are at physical `pa`. Once, before all else.
void apic_map(uint32_t pa);
uint32_t apic_id(void); // of the processor that calls. Interrupts off, or boot
// Lets interrupts through; `first`: the processor that has the machine's lines.
void apic_enable(bool first);
void apic_end_of_interrupt(void);

// Counts how far the timer gets in `ticks` ticks of the machine's timer. On the first processor,
// interrupts on. 0: it does not count.
uint32_t apic_timer_measure(uint32_t ticks);
void apic_timer_start(uint32_t count); // an interrupt each time it has counted so far

// To the processor with this id. Interrupts off. False: the last message was never delivered.
bool apic_send(uint32_t id, uint32_t vector);   // an interrupt
bool apic_send_nmi(uint32_t id);                // one that cannot be turned off
bool apic_send_init(uint32_t id);               // a reset: it waits for the next one
bool apic_send_start(uint32_t id, uint32_t pa); // begin in real mode at physical `pa`
