// processor.h - what the core knows of there being several processors.
//
// A variable that each processor has for itself is PER_PROCESSOR. All of these lie in a few pages
// of the kernel's image, and each processor's page directory leads there to frames of its own
// (processor/start.c): the address is the same everywhere, the memory is not. So the code that
// reads one is what it would be with a single processor, to the instruction. The price is a page
// directory and a page table for each processor, and a pointer to such a variable means something
// on its own processor only. (Plan 9 keeps its MACHADDR so.)
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/limits.h"

#define PROCESSORS_MAX CPUS_MAX

// No initialiser: a further processor's start as zeros.
#define PER_PROCESSOR __attribute__((section(".bss.processor")))

// 0: the one that booted. A thread may be on another processor by the next instruction, unless
// interrupts are off.
extern volatile uint32_t processor_number;
// More than one runs: locks are locks (kernel/spinlock.h). False until the second one is about to
// start, and again when a panic has stopped the others.
extern bool processors_many;
extern volatile uint32_t processors_online; // that were started, numbered from 0

// Sends a processor the interrupt that makes it look at its queue, and at what others ask of it.
// Nothing for the one that calls. Any context.
void processor_kick(uint32_t number);
// Halts all the others for good: what follows has the machine to itself, and no lock keeps it out.
// The first to call wins; a second processor that calls never returns. Any context.
void processors_stop(void);

// What processor/ sets, once, before the second processor starts.
void processors_set(void (*kick)(uint32_t number), void (*stop)(void));
// What a further processor has to do before it runs threads, in the order of the calls. Boot only.
void processor_on_start(void (*hook)(void));
void processor_started(void); // runs them, on that processor
