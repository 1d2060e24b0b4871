// fpu.h - the registers of floating point and SSE, kept for each program.
//
// The kernel itself uses none of them (-mgeneral-regs-only), so they change hands only when another
// program's thread is switched to (process/process.c).
#pragma once

#include <stdint.h>

struct fpu_state {
    uint8_t bytes[512]; // as fxsave has it, or fnsave's 108 bytes
} __attribute__((aligned(16)));

void fpu_init(void); // looks what the processor has and lets programs use it. Boot only
// What a program starts with: the processor's defaults, every register zero.
void fpu_fresh(struct fpu_state *state);
void fpu_save(struct fpu_state *state); // interrupts off, both: the registers are one thread's
void fpu_load(const struct fpu_state *state);
