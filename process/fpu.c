// fpu.c - see fpu.h. Sources: Intel SDM volume 1, 10.5.1 (the area of fxsave), 8.1.10 (of fnsave);
// volume 3, 2.5 (CR0, CR4), 13.1.
//
// Three kinds of processors: with fxsave (Pentium II and later; SSE where CPUID says so), with x87
// alone (Pentium), with neither. On the last one CR0.EM stays set, and a program's first such
// instruction is a fault that says "device not available".
//
// Saved at every switch between two programs, not when the next one uses it (CR0.TS): what is left
// in the registers would be another program's, and lazy switching has leaked them before
// (CVE-2018-3665).
#include "process/fpu.h"

#include <stdbool.h>

#include "lib/string.h"
#include "lib/x86.h"

#define CPUID_FPU 0x00000001u // edx of leaf 1
#define CPUID_FXSR 0x01000000u
#define CPUID_SSE 0x02000000u
#define CR0_MP 0x2u
#define CR0_EM 0x4u
#define CR0_TS 0x8u
#define CR0_NE 0x20u
#define CR4_FXSR 0x200u
#define CR4_XMM_EXCEPTIONS 0x400u

#define CONTROL_WORD 0x037fu // all exceptions masked, 64-bit mantissas: what fninit sets
#define TAG_WORD 0xffffu     // fnsave's: every register empty. In fxsave's area that is 0
#define MXCSR 0x1f80u        // all exceptions masked
#define TAG_OFFSET 8         // in fnsave's area
#define MXCSR_OFFSET 24      // in fxsave's area

static bool has_x87, has_fxsave;

static void cr0_set(void) {
    uint32_t cr0;
    __asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
    cr0 = (cr0 & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE;
    if (!has_x87) cr0 |= CR0_EM;
    __asm__ volatile("movl %0, %%cr0" : : "r"(cr0));
}

static void cr4_add(uint32_t bits) {
    uint32_t cr4;
    __asm__ volatile("movl %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("movl %0, %%cr4" : : "r"(cr4 | bits));
}

void fpu_init(void) {
    uint32_t has;
    cpuid_1(&has);
    has_x87 = (has & CPUID_FPU) != 0;
    has_fxsave = has_x87 && (has & CPUID_FXSR);
    cr0_set();
    if (has_fxsave) cr4_add(CR4_FXSR | (has & CPUID_SSE ? CR4_XMM_EXCEPTIONS : 0));
    if (has_x87) __asm__ volatile("fninit");
}

void fpu_fresh(struct fpu_state *state) {
    uint32_t control = CONTROL_WORD, tag = TAG_WORD, mxcsr = MXCSR;
    memset(state, 0, sizeof *state);
    memcpy(state->bytes, &control, sizeof control);
    if (has_fxsave) memcpy(state->bytes + MXCSR_OFFSET, &mxcsr, sizeof mxcsr);
    else memcpy(state->bytes + TAG_OFFSET, &tag, sizeof tag);
}

// fnsave empties the registers as well; another program's follow at once.
void fpu_save(struct fpu_state *state) {
    if (has_fxsave) __asm__ volatile("fxsave %0" : "=m"(*state));
    else if (has_x87) __asm__ volatile("fnsave %0" : "=m"(*state));
}

void fpu_load(const struct fpu_state *state) {
    if (has_fxsave) __asm__ volatile("fxrstor %0" : : "m"(*state));
    else if (has_x87) __asm__ volatile("frstor %0" : : "m"(*state));
}
