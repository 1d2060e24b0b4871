// gdt.h - segments, and the task that a double fault switches to.
//
// A selector is an entry's offset in the table, 8 bytes an entry; its low three bits are 0: this
// table, and ring 0, or 3 for a program's two. Entry 0 is never used: the CPU takes a selector of 0
// for "none". entry.asm has SELECTOR_DATA as a constant of its own, process/gate.asm two more, and
// the loader's table the same code and data entries.
#pragma once

#include <stdint.h>

#define SELECTOR_CODE 0x08 // the first four in this order: `sysenter` and `sysexit` count on it
#define SELECTOR_DATA 0x10
#define SELECTOR_USER_CODE 0x1b // with ring 3 in the low bits, as programs have them
#define SELECTOR_USER_DATA 0x23
#define SELECTOR_TSS 0x28
#define SELECTOR_DOUBLE_FAULT 0x30

struct interrupt_frame;
// Says what happened, from a frame made of the task that failed; must not return.
typedef void double_fault_reporter(const struct interrupt_frame *frame);

// Loads the table and all segment registers, those of the processor that calls. Boot only,
// interrupts off, before interrupt_init(): the gates name these selectors.
void gdt_init(double_fault_reporter *reporter);
// After the kernel's own page tables are in use; `cr3` is their directory's physical address.
// Without it the double-fault task would run with the loader's tables, whose memory the pools hand
// out.
void gdt_set_double_fault_cr3(uint32_t cr3);
// Where the CPU begins to push when it comes from ring 3: the top of a kernel stack. Set whenever
// another program is about to run. Interrupts off.
void gdt_set_kernel_stack(uintptr_t top);
