// irqwatch.c - see irqwatch.h. Sources: Intel SDM volume 3, 2.5 (CR0.WP), 6.15 (#BP), 8.1.3
// (self-modifying code).
//
// Theory. A counter in irq_disable() and irq_enable() would be what it measures: a part of every
// call of the heap. Instead each cli and sti leaves its address in the section .irq_sites
// (lib/x86.h), and the watch puts a breakpoint over those in the watched code (kernel.ld):
// memory.c's, pool.c's, their port's, and inspect/who.c's, which looks at the records for a report:
//
//     cli   becomes   int3      the handler clears IF in the frame it returns to, and looks at the
//     ...             ...       time as the last thing it does
//     sti             int3      the handler looks at the time first, then sets IF in the frame
//
// Between the two looks lie the stretch and the way out of one handler and into the other. That way
// is always the same one; site_pair() below is an adjacent cli and sti, and says how long it is.
//
// Invariants:
//   W1  Both handlers' ways between the look at the time and the watched code have no branch that
//       depends on anything but cli or sti: which of the two is one bit for each byte of code.
//   W2  Text is read-only (kernel/paging.c, P2) but for the moment of patching, with interrupts
//       off.
//
// Shortcomings: only sites that lib/x86.h made are seen, so a cli written by hand or a popf in
// them escapes (the tests look at the code for such); a cli where interrupts are off already
// adds its breakpoint to the stretch (the heap has none that a thread with interrupts on can
// reach); the emulated sti has no shadow of one instruction, which only matters where an interrupt
// comes.
#include "kernel/measure/irqwatch.h"

#include <stddef.h>

#include "kernel/fault.h"
#include "kernel/interrupt.h"
#include "kernel/panic.h"
#include "kernel/processor.h"
#include "lib/string.h"
#include "lib/x86.h"

#define VECTOR_BREAKPOINT 3
#define CODE_CLI 0xfa
#define CODE_STI 0xfb
#define CODE_INT3 0xcc
#define CR0_WP 0x00010000u // ring 0, too, may not write to a read-only page

// From kernel.ld: where the watched code lies, and the addresses of all sites in the kernel.
extern const uint8_t irq_watch_start[], irq_watch_end[];
extern const uint32_t irq_sites_start[], irq_sites_end[];

static uint32_t turns_on[IRQWATCH_BYTES_MAX / 32]; // bit: the byte there is a sti, else a cli

// Written by the breakpoint's handler. Volatile, because no compiler can see that an irq_disable()
// calls it.
static PER_PROCESSOR volatile uint32_t off_since; // rdtsc_low() after the last cli
static PER_PROCESSOR volatile bool counting;      // no sti has ended that stretch yet
static PER_PROCESSOR volatile uint32_t longest;   // with the handlers' way in it

static uint32_t cr0_read(void) {
    uint32_t cr0;
    __asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
    return cr0;
}

// Serialises: code that was written before it is what runs after it.
static void cr0_write(uint32_t cr0) { __asm__ volatile("movl %0, %%cr0" : : "r"(cr0) : "memory"); }

static uint32_t watch_bytes(void) {
    return (uint32_t)((uintptr_t)irq_watch_end - (uintptr_t)irq_watch_start);
}

static uint32_t site_count(void) {
    return (uint32_t)((uintptr_t)irq_sites_end - (uintptr_t)irq_sites_start) / sizeof(uint32_t);
}

// Where an address lies in the watched code; watch_bytes() or more if it does not.
static uint32_t watch_offset(uint32_t address) {
    return address - (uint32_t)(uintptr_t)irq_watch_start;
}

static volatile uint8_t *site_byte(uint32_t address) { return (volatile uint8_t *)address; }

static bool is_sti(uint32_t offset) { return turns_on[offset / 32] >> offset % 32 & 1; }

// A breakpoint's saved eip is that of the next instruction. Counts the stretch that ends here,
// or starts one; interrupts that are off already, or on, stay what they are. A sti of the heap's
// may end a stretch that others began, a report's for one, which gives back a lock: not counted.
static void on_breakpoint(struct interrupt_frame *frame) {
    uint32_t now = rdtsc_low();
    uint32_t offset = watch_offset(frame->eip - 1);
    if (offset >= watch_bytes()) fault_panic(frame);
    bool on = (frame->eflags & EFLAGS_IF) != 0;
    if (is_sti(offset)) {
        if (!on && counting && now - off_since > longest) longest = now - off_since;
        counting = false;
        frame->eflags |= EFLAGS_IF;
    } else if (on) {
        frame->eflags &= ~EFLAGS_IF;
        counting = true;
        off_since = rdtsc_low();
    }
}

// The shortest stretch there is: of one instruction, the sti itself. Lies with the watched code.
static __attribute__((noinline, section(".text.irqwatch"))) void site_pair(void) {
    irq_disable();
    irq_enable();
}

// True if every site in the watched code holds a cli or sti; notes which.
static bool sites_read(void) {
    if (watch_bytes() > IRQWATCH_BYTES_MAX) return false;
    memset(turns_on, 0, sizeof turns_on);
    for (uint32_t i = 0; i < site_count(); i++) {
        uint32_t offset = watch_offset(irq_sites_start[i]);
        if (offset >= watch_bytes()) continue;
        uint8_t code = *site_byte(irq_sites_start[i]);
        if (code != CODE_CLI && code != CODE_STI) return false;
        if (code == CODE_STI) turns_on[offset / 32] |= 1u << offset % 32;
    }
    return true;
}

// Writes every watched site: breakpoints, or the original bytes.
static void patch(bool breakpoints) {
    uint32_t state = irq_save(), cr0 = cr0_read();
    cr0_write(cr0 & ~CR0_WP);
    for (uint32_t i = 0; i < site_count(); i++) {
        uint32_t offset = watch_offset(irq_sites_start[i]);
        if (offset >= watch_bytes()) continue;
        uint8_t code = is_sti(offset) ? CODE_STI : CODE_CLI;
        *site_byte(irq_sites_start[i]) = breakpoints ? CODE_INT3 : code;
    }
    cr0_write(cr0);
    irq_restore(state);
}

bool irqwatch_start(void) {
    ASSERT(irq_enabled());
    if (!sites_read()) return false;
    longest = 0;
    interrupt_register(VECTOR_BREAKPOINT, on_breakpoint);
    patch(true);
    return true;
}

uint32_t irqwatch_here(void) {
    uint32_t measured = longest;
    longest = 0;
    site_pair();
    uint32_t way = longest - 1; // site_pair()'s sti is one instruction
    longest = 0;
    return measured > way ? measured - way : 0;
}

uint32_t irqwatch_stop(void) {
    uint32_t measured = irqwatch_here();
    patch(false);
    interrupt_register(VECTOR_BREAKPOINT, NULL);
    return measured;
}
