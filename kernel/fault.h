// fault.h - exceptions in words: what the processor says went wrong, as a panic that a reader
// understands.
//
// The top of the kernel, with main.c: it looks into the heap and at the threads to say what the
// memory was. Lower parts register with it or are registered by main.c, and do not include it,
// except the measuring tools, which pass on an exception that is not theirs.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

struct interrupt_frame;

void fault_init(void); // exceptions without a handler come here. Boot, after interrupt_init()

// Asked about every exception that has no handler, before it becomes a panic: true if it has mended
// what was wrong, and the instruction can be tried again. Runs as the thread that caused it,
// interrupts off. One; NULL: none.
void fault_set_mender(bool (*mend)(const struct interrupt_frame *frame));

// Asked about every exception of a program before it is the kernel's: must not return unless the
// instruction can be tried again. Interrupts off. One hook.
void fault_set_user(void (*user)(const struct interrupt_frame *frame));

// What an exception means, in words: "page fault: write to 0x00000000, which is not mapped (a null
// pointer?)". Returns `to`. Any context, before the next page fault.
#define FAULT_TEXT_MAX 448
char *fault_text(char *to, size_t room, const struct interrupt_frame *frame);

// Panics with what the frame's exception means in words. Any context, the double-fault task too.
noreturn void fault_panic(const struct interrupt_frame *frame);

// CR2: the address of the last page fault. A second fault overwrites it, so a handler asks before
// it touches memory that may fault.
uint32_t fault_address(void);
