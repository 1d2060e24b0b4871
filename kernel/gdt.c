// gdt.c - see gdt.h. Sources: Intel SDM volume 3, 3.4.5 (segment descriptors), 7.2 (task
// management).
//
// Segments are flat: paging does the protecting. Why a task for double faults: when a thread's
// stack runs into its guard page, the CPU cannot push the page fault's frame there and raises a
// double fault; a handler on the same stack would fault a third time, and a third fault resets the
// machine. A task gate brings its own stack:
//
//   push on a full stack     page fault          double fault          this task
//   (guard page) ----------> its frame cannot -> IDT entry 8 is a  ->  own stack; the state that
//                            be pushed           task gate             failed is in main_tss
//
// The kernel's threads are not tasks of the CPU: they all run in the one task of main_tss, which
// exists only because a task switch must have somewhere to put the old state. CR3 is loaded from
// the new task's TSS and not saved in the old one (SDM volume 3, 7.3): each TSS must have its own.
//
// Why not the CPU's tasks for threads too: a switch by hardware saves all registers and checks all
// segments, where switch_to() moves four registers; and the table of descriptors would limit how
// many threads there are.
//
// Each processor has all of this for itself, at the same addresses (kernel/processor.h).
//
// Shortcomings: there is no way back from the double-fault task; it ends in a panic.
#include "kernel/gdt.h"

#include <stddef.h>

#include "kernel/interrupt_frame.h"
#include "kernel/layout.h"
#include "kernel/paging.h"
#include "kernel/processor.h"
#include "lib/string.h"
#include "lib/x86.h"

// 32-bit task state segment (SDM volume 3, figure 7-2). Selectors have 16 bits of a dword. esp0 to
// ss2 are the stacks for calls from a less privileged ring: esp0 is the kernel stack of the program
// that runs (gdt_set_kernel_stack()), the others are not used.
struct tss {
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3;
    uint32_t eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, io_map;
};
_Static_assert(sizeof(struct tss) == 104, "the CPU reads it at fixed offsets");

#define ACCESS_CODE 0x9a      // present, ring 0, code, readable
#define ACCESS_DATA 0x92      // present, ring 0, data, writable
#define ACCESS_USER_CODE 0xfa // the same for ring 3
#define ACCESS_USER_DATA 0xf2
#define ACCESS_TSS 0x89  // present, ring 0, 32-bit TSS, not busy
#define FLAGS_FLAT 0xcf  // limit in pages, 32-bit, limit's top four bits
#define EFLAGS_FIXED 0x2 // bit 1 is always set

// For the report: kprintf() alone has a line of 512 bytes there, and a call trace below it.
#define FAULT_STACK_BYTES 8192

void double_fault_entry(void);  // entry.asm
void double_fault_report(void); // called from there

// Not const: the CPU sets a TSS descriptor's busy bit, and "accessed" in the others. In a page that
// is write-protected (kernel/paging.c, P2) that would be a page fault.
static PER_PROCESSOR uint64_t gdt[7];
static PER_PROCESSOR struct tss main_tss;         // where the CPU saves the state that faulted
static PER_PROCESSOR struct tss double_fault_tss; // the state it loads instead
static double_fault_reporter *report;             // gdt_init()'s argument
static PER_PROCESSOR uint8_t fault_stack[FAULT_STACK_BYTES] __attribute__((aligned(16)));

// The base and the limit stand in pieces, as the 80286's descriptors grew into the 80386's.
static uint64_t descriptor(uint32_t base, uint32_t limit, uint8_t access, uint8_t flags) {
    uint64_t low = (limit & 0xffff) | base << 16;
    uint64_t high = (base >> 16 & 0xff) | (uint32_t)access << 8 | (limit & 0xf0000) |
                    (uint32_t)(flags & 0xf0) << 16 | (base & 0xff000000);
    return low | high << 32;
}

// A TSS needs a descriptor of its own, so that a selector can name it.
static uint64_t tss_descriptor(const struct tss *tss) {
    return descriptor((uint32_t)(uintptr_t)tss, sizeof *tss - 1, ACCESS_TSS, 0);
}

// The task has what it needs even if all else is broken: a stack, segments, page tables. IF is
// clear in its flags, as a tick has no business in there. An io_map past the segment's end means
// that there is none.
static void double_fault_task_prepare(void) {
    struct tss *tss = &double_fault_tss;
    tss->eip = (uint32_t)(uintptr_t)double_fault_entry;
    tss->esp = (uint32_t)(uintptr_t)(fault_stack + sizeof fault_stack);
    tss->cr3 = paging_directory(); // the loader's, until gdt_set_double_fault_cr3()
    tss->eflags = EFLAGS_FIXED;
    tss->cs = SELECTOR_CODE;
    tss->ss = tss->ds = tss->es = tss->fs = tss->gs = SELECTOR_DATA;
    tss->io_map = sizeof *tss;
}

// The CPU keeps a copy of each descriptor in use, so the segment registers must be loaded anew; cs
// only by a far jump. Until then the copies of the loader's descriptors are in use, which is why it
// did not matter that their table was unmapped. `ltr` names the task that runs from here on; it has
// to run in some task before it can be switched to another.
static void gdt_load(void) {
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) pointer = {sizeof gdt - 1, (uint32_t)(uintptr_t)gdt};
    __asm__ volatile("lgdt %0\n\t"
                     "ljmp %1, $1f\n" // loads cs
                     "1:\tmovl %2, %%ds\n\t"
                     "movl %2, %%es\n\t"
                     "movl %2, %%fs\n\t"
                     "movl %2, %%gs\n\t"
                     "movl %2, %%ss\n\t"
                     "ltr %w3"
                     :
                     : "m"(pointer), "i"(SELECTOR_CODE), "r"(SELECTOR_DATA), "r"(SELECTOR_TSS)
                     : "memory");
}

void gdt_init(double_fault_reporter *reporter) {
    report = reporter;
    gdt[SELECTOR_CODE / 8] = descriptor(0, 0xfffff, ACCESS_CODE, FLAGS_FLAT);
    gdt[SELECTOR_DATA / 8] = descriptor(0, 0xfffff, ACCESS_DATA, FLAGS_FLAT);
    gdt[SELECTOR_USER_CODE / 8] = descriptor(0, 0xfffff, ACCESS_USER_CODE, FLAGS_FLAT);
    gdt[SELECTOR_USER_DATA / 8] = descriptor(0, 0xfffff, ACCESS_USER_DATA, FLAGS_FLAT);
    gdt[SELECTOR_TSS / 8] = tss_descriptor(&main_tss);
    gdt[SELECTOR_DOUBLE_FAULT / 8] = tss_descriptor(&double_fault_tss);
    main_tss.ss0 = SELECTOR_DATA;
    main_tss.io_map = sizeof main_tss; // no bitmap: every port is a general protection fault
    double_fault_task_prepare();
    gdt_load();
}

void gdt_set_double_fault_cr3(uint32_t cr3) { double_fault_tss.cr3 = cr3; }

void gdt_set_kernel_stack(uintptr_t top) { main_tss.esp0 = (uint32_t)top; }

// In the double-fault task. The state that faulted is in main_tss; it becomes a frame for the
// report. Here esp is real: the task switch has saved it, where an interrupt's frame would have
// been the thing that could not be pushed.
void double_fault_report(void) {
    struct interrupt_frame frame;
    memset(&frame, 0, sizeof frame);
    frame.vector = VECTOR_DOUBLE_FAULT;
    frame.eip = main_tss.eip;
    frame.cs = main_tss.cs;
    frame.eflags = main_tss.eflags;
    frame.eax = main_tss.eax;
    frame.ebx = main_tss.ebx;
    frame.ecx = main_tss.ecx;
    frame.edx = main_tss.edx;
    frame.esi = main_tss.esi;
    frame.edi = main_tss.edi;
    frame.ebp = main_tss.ebp;
    frame.esp = main_tss.esp;
    report(&frame);
}
