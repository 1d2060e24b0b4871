// fault.h - exceptions in words: what the processor says went wrong, as a panic that a reader
// understands.
//
// The top of the kernel, with main.c: it looks into the heap and at the threads to say what the
// memory was. Lower parts register with it or are registered by main.c, and do not include it,
// except the measuring tools, which pass on an exception that is not theirs.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

struct interrupt_frame;

void fault_init(void); // exceptions without a handler come here. Boot, after interrupt_init()

// Asked about every exception that has no handler, before it becomes a panic: true if it has mended
// what was wrong, and the instruction can be tried again. Runs as the thread that caused it,
// interrupts off. One; NULL: none.
void fault_set_mender(bool (*mend)(const struct interrupt_frame *frame));

// Panics with what the frame's exception means in words. Any context, the double-fault task too.
noreturn void fault_panic(const struct interrupt_frame *frame);

// CR2: the address of the last page fault. A second fault overwrites it, so a handler asks before
// it touches memory that may fault.
uint32_t fault_address(void);
