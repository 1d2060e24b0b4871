// x86.h - the instructions that C cannot express, one inline function each.
//
// Sources: Intel SDM volume 2. Nothing here knows the kernel; any file may include it.
// Page tables, CR3 and invlpg are not here: kernel/paging.c alone owns those.
#pragma once

#include <stdbool.h>
#include <stdint.h>

static inline void outb(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void outl(uint16_t port, uint32_t value) {
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

// Reads `words` 16-bit words from `port` to `to` (`rep insw`).
static inline void insw(uint16_t port, void *to, uint32_t words) {
    __asm__ volatile("rep insw" : "+D"(to), "+c"(words) : "d"(port) : "memory");
}

// Time-stamp counter. Counts executed instructions exactly under QEMU's -icount shift=0.
static inline uint64_t rdtsc(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

// Its low half, where only a short distance matters: one instruction and a register less. Nothing
// that touches memory is moved across it.
static inline uint32_t rdtsc_low(void) {
    uint32_t low;
    __asm__ volatile("rdtsc" : "=a"(low) : : "edx", "memory");
    return low;
}

static inline uint64_t rdmsr(uint32_t number) {
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t number, uint32_t value) {
    __asm__ volatile("wrmsr" : : "c"(number), "a"(value), "d"(0) : "memory");
}

// Leaf 1 of CPUID: the processor's signature, and *features is what it has (edx).
static inline uint32_t cpuid_1(uint32_t *features) {
    uint32_t eax = 1, ebx, ecx;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(*features));
    return eax;
}

#define EFLAGS_IF 0x200u // interrupts enabled

// Every cli and sti below leaves its address in the section .irq_sites, at no cost where it runs:
// kernel/measure/irqwatch.c finds them there. The label 1 is the instruction; `inline` keeps the
// compiler from counting these lines as many instructions. Inlined even where nothing is optimised:
// a site belongs to the function that turns interrupts off.
#define IRQ_INLINE static inline __attribute__((always_inline))
#define IRQ_SITE "\n\t.pushsection .irq_sites, \"a\"\n\t.long 1b\n\t.popsection"

static inline uint32_t eflags_read(void) {
    uint32_t flags;
    __asm__ volatile("pushfl\n\tpopl %0" : "=r"(flags));
    return flags;
}

// Turns interrupts off and returns EFLAGS as they were; give that to irq_restore().
IRQ_INLINE uint32_t irq_save(void) {
    uint32_t flags;
    // cppcheck-suppress uninitvar
    __asm__ inline volatile("pushfl\n\tpopl %0\n1:\tcli" IRQ_SITE : "=r"(flags) : : "memory");
    return flags;
}

static inline bool irq_enabled(void) { return (eflags_read() & EFLAGS_IF) != 0; }

IRQ_INLINE void irq_enable(void) { __asm__ inline volatile("1:\tsti" IRQ_SITE : : : "memory"); }

IRQ_INLINE void irq_disable(void) { __asm__ inline volatile("1:\tcli" IRQ_SITE : : : "memory"); }

// Interrupts are off before and after; those that wait come in between. `sti` shields the
// instruction after it, and in QEMU 7.2, where that is a `pause`, the next one as well: a `nop`.
IRQ_INLINE void irq_window(void) {
    irq_enable();
    __asm__ volatile("nop" : : : "memory");
    irq_disable();
}

// Interrupts are off until here. A branch and sti, not popf: that one would turn interrupts on
// where no site tells of it.
IRQ_INLINE void irq_restore(uint32_t flags) {
    if (flags & EFLAGS_IF) irq_enable();
}

// Debug exceptions (Intel SDM volume 3, 17.2): single steps by TF, and breakpoints by registers.
// DR6 says which it was.
#define EFLAGS_TF 0x100u
#define DR6_BREAKPOINTS 0x000fu
#define DR6_SINGLE_STEP 0x4000u
#define DR6_NOTHING 0xffff0ff0u // as at power-on; the processor sets bits and clears none

static inline uint32_t dr6_read(void) {
    uint32_t value;
    __asm__ volatile("movl %%dr6, %0" : "=r"(value));
    return value;
}

static inline void dr6_write(uint32_t value) { __asm__ volatile("movl %0, %%dr6" : : "r"(value)); }

static inline void cr3_load(uint32_t pa) {
    __asm__ volatile("movl %0, %%cr3" : : "r"(pa) : "memory");
}

// The page directory's physical address, without CR3's flags.
static inline uint32_t cr3_read(void) {
    uint32_t value;
    __asm__ volatile("movl %%cr3, %0" : "=r"(value));
    return value & 0xfffff000u;
}

// Waits for the next interrupt with interrupts on; `sti` shields the `hlt` that follows it.
static inline void cpu_idle(void) { __asm__ volatile("sti\n\thlt" : : : "memory"); }

// Belongs in every loop that waits for another processor: where an emulator lets processors take
// turns (QEMU's -icount), it ends this one's; a processor saves power. (`rep nop` before SSE2.)
static inline void cpu_pause(void) { __asm__ volatile("pause" : : : "memory"); }

// `xchg %bx, %bx` does nothing, and Bochs's debugger stops at it if it was told to (magic_break in
// its configuration; Bochs user manual, "Magic Breakpoint").
static inline void magic_break(void) { __asm__ volatile("xchgw %%bx, %%bx" : : : "memory"); }
