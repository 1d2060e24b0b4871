// paging.h - sole owner of the kernel's page tables, of CR3 and invlpg.
//
// Two-level 32-bit paging without PAE (Intel SDM volume 3, 4.3). Every page table of the kernel's
// is made at boot, for the three windows of kernel/layout.h: mapping a page later needs no frame
// for a table, so it cannot fail for want of one, and there is nothing to roll back. Programs' page
// tables are process/space.c's.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory_plan;

#define PAGE_PRESENT 0x001u
#define PAGE_WRITE 0x002u
#define PAGE_USER 0x004u     // ring 3 may; only in the tables of process/space.c
#define PAGE_UNCACHED 0x010u // PCD: for device memory

// Called by start.asm before anything else in C: drops the loader's identity mapping.
void paging_drop_identity(void);

// Builds the kernel's own page tables where the plan says and switches to them: kernel text and
// constants read-only with CR0.WP set, boot information read-only, VGA memory uncached, tables and
// records, every usable frame of the kernel pool in the heap window, empty tables for the stack
// window. Nothing else is mapped, the null page least of all. Boot only, interrupts off.
void paging_init(const struct memory_plan *plan);
uint32_t paging_directory(void); // physical address of the page directory, as in CR3. Any context

// Maps one page of the stack window to the frame at physical `pa` / removes it and returns that
// address. Panic on a page outside the window, already mapped, or not mapped. Neither fails, and
// neither takes or gives a frame: that is the caller's. After paging_unmap() this processor's TLB
// has forgotten the page; with several, processors_flush() comes before the frame is used again.
// Each call changes one entry: the owner of the page's slot needs no lock (thread/stack.c). Any
// context.
void paging_map(uintptr_t va, uint32_t pa, uint32_t flags);
uint32_t paging_unmap(uintptr_t va);

// For process/space.c, which owns the tables of a program's addresses.
//
// Makes a page a directory: the kernel's half as in every other, the user half empty.
void paging_directory_fill(uint32_t *directory);
// Makes the directory at physical `pa` the one in use, unless it is. The kernel's addresses stay
// what they are. Interrupts off.
void paging_load(uint32_t pa);
void paging_flush(uintptr_t va); // forgets the page's translation. Any context

// Makes `pages` pages of the heap window from `va` on absent, or present again: the frames stay
// theirs. For the checked build, which lets late accesses fault; a page that has no frame (a hole
// of the memory map) stays absent. Panic on a page outside the window. Any context.
void paging_heap_protect(uintptr_t va, uint32_t pages, bool absent);

// ---- several processors -------------------------------------------------------------------------

#define PROCESSOR_PAGES 3u // that the PER_PROCESSOR variables take

// Fills a directory and its table for one more processor, whose own pages are the frames `own`: all
// physical addresses of frames of the kernel pool, which are its as long as it runs. Boot only.
void paging_processor_fill(uint32_t directory, uint32_t table, const uint32_t *own);
void paging_processor_begin(void); // on that processor, first of all

// Writes over what lies below PLAN_LOW_END, which is mapped read-only. Boot only.
void paging_low_write(uint32_t pa, const void *from, size_t bytes);

// Writes `bytes` bytes over the kernel's code: the one way to change what is mapped read-only.
// Other processors must not be running it. Panic outside the code. Any context.
void paging_text_write(uintptr_t va, const void *from, size_t bytes);

// True if a page table lies at physical `pa`; *start: the first address that it maps. Any context.
bool paging_table_at(uint32_t pa, uintptr_t *start);
// True and the page table entry if va is mapped, false otherwise. Never faults: a panic asks here
// before it follows a pointer. The entry is as the CPU has it, with the bits "accessed" and "dirty"
// that it sets by itself. Any context.
bool paging_lookup(uintptr_t va, uint32_t *entry);
