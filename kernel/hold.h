// hold.h - other processors, kept still for a moment: between two instructions of theirs, at a place
// where interrupts are on or where they wait for a lock. Nothing that is done with interrupts off,
// and does not wait, is then half done.
#pragma once

#include <stdint.h>

// Processor n, or all others, stand still from here on, until released. The caller holds heap_lock,
// so only one holds. For the calling processor, and for one that does not run, nothing happens.
// Holds of all may be nested.
void processor_hold(uint32_t n);
void processor_release(uint32_t n);
void processors_hold(void);
void processors_release(void);

// What others ask of this processor: to stand still, and to forget what it knows of the page tables
// (paging_flush_answer()). For whoever waits with interrupts off, and the interrupt that asks.
// Interrupts off.
void processor_answer(void);
