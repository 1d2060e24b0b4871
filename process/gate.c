// gate.c - see gate.h; the code is gate.asm. Sources: Intel SDM volume 2 (SYSENTER, SYSEXIT,
// CPUID); volume 3, 5.8.7.
#include "process/gate.h"

#include "kernel/gdt.h"
#include "kernel/interrupt.h"
#include "kernel/processor.h"
#include "lib/x86.h"

#define CPUID_SEP 0x800u
#define MSR_SYSENTER_CS 0x174u
#define MSR_SYSENTER_ESP 0x175u
#define MSR_SYSENTER_EIP 0x176u

// `sysenter` takes cs from a register and adds 8 for ss, `sysexit` 16 and 24 for ring 3's.
_Static_assert(SELECTOR_DATA == SELECTOR_CODE + 8 && SELECTOR_USER_CODE == SELECTOR_CODE + 16 + 3 &&
                   SELECTOR_USER_DATA == SELECTOR_CODE + 24 + 3,
               "the order of sysenter and sysexit");

extern const char gate_int[], gate_sysenter[], gate_debug[]; // gate.asm

static bool has_sysenter;

// A Pentium Pro has the bit and not the instruction (SDM volume 2, SYSENTER): family 6, model and
// stepping below 3.
static bool sysenter_usable(void) {
    uint32_t features, signature = cpuid_1(&features);
    uint32_t family = signature >> 8 & 15, model = signature >> 4 & 15, stepping = signature & 15;
    return (features & CPUID_SEP) && !(family == 6 && model < 3 && stepping < 3);
}

static uint32_t code_address(const char *code) { return (uint32_t)(uintptr_t)code; }

// Each processor has these for itself.
static void registers_set(void) {
    wrmsr(MSR_SYSENTER_CS, SELECTOR_CODE);
    wrmsr(MSR_SYSENTER_EIP, code_address(gate_sysenter));
}

void gate_init(void) {
    interrupt_open_gate(code_address(gate_int));
    has_sysenter = sysenter_usable();
    if (!has_sysenter) return;
    interrupt_set_entry(VECTOR_DEBUG, code_address(gate_debug));
    registers_set();
    processor_on_start(registers_set);
}

bool gate_has_sysenter(void) { return has_sysenter; }

void gate_set_stack(uintptr_t top) {
    gdt_set_kernel_stack(top);
    if (has_sysenter) wrmsr(MSR_SYSENTER_ESP, (uint32_t)top);
}
