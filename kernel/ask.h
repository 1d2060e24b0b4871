// ask.h - what processors ask of each other: to stand still for a moment, to forget what they know
// of the page tables. The one that asks waits for the answer.
#pragma once

#include <stdint.h>

// Processor n, or all others, stand still from here on, until released: between two instructions of
// theirs, where interrupts are on, or where they wait for a lock. What is done with interrupts off
// and does not wait is then not half done. The caller holds heap_lock, so only one holds. For the
// calling processor, and for one that does not run, nothing happens. Holds of all may be nested.
void processor_hold(uint32_t n);
void processor_release(uint32_t n);
void processors_hold(void);
void processors_release(void);

// Every other processor forgets all it knows of the page tables before this returns. Any context: a
// processor that waits for a lock answers, too.
void processors_flush(void);

// Does what others have asked of this processor. For code that waits with interrupts off, and for
// the interrupt that asks (processor_kick()). Interrupts off.
void processor_answer(void);
