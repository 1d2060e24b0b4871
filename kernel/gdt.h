// gdt.h - segments, and the task that a double fault switches to.
#pragma once

#include <stdint.h>

#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TSS 0x18
#define SELECTOR_DOUBLE_FAULT 0x20

void gdt_init(void);                         // boot only, interrupts off
void gdt_set_double_fault_cr3(uint32_t cr3); // after the kernel's own page tables are in use
