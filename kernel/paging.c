// paging.c - the page tables of the three windows of kernel/layout.h.
//
// Tables lie in early memory, inside the low map, so a table's entry is reached by P2V() and needs
// no mapping of the table into itself.
//
// How the CPU finds a byte (Intel SDM volume 3, 4.3): CR3 holds the physical address of the page
// directory, a page of 1024 entries. Both steps take the entry's upper 20 bits for the address of
// the next page:
//
//   virtual address   | 31 .. 22: which of the      | 21 .. 12: which of the   | 11 .. 0: which
//                     | directory's entries (4 MiB) | table's entries (4 KiB)  | byte of the frame
//
// Rights are the AND of both levels (4.6): directory entries here allow writing, the page's own
// entry decides.
//
// The TLB keeps what the CPU has found, and is not told when memory changes. Which change needs
// what (4.10.4):
//   - absent to present:        nothing: the CPU keeps no "absent"
//   - present to absent:        invlpg, or the old frame can still be read and written there
//   - other frame, fewer rights: the same; here a page goes through absent, which covers both
//   - everything:               a load of CR3, since no page is marked global (CR4.PGE is clear)
// Each processor has a TLB of its own: processors_flush() tells the others. A program's pages are
// its one thread's, and a processor that leaves a program loads CR3: nothing of it stays there.
//
// Why 4 KiB pages everywhere, when one entry could map 4 MiB (CR4.PSE): guard pages, holes of the
// memory map and the ends of text and constants do not come in 4 MiB. The price is a table of 4 KiB
// for each 4 MiB of the heap window, 0.1 %.
//
// Invariants:
//   P1  No entry above KERNEL_BASE has the user bit: user mode reads nothing of the kernel's.
//   P2  Text and constants are mapped once, without the write bit; CR0.WP makes that bind the
//       kernel too, but for the few instructions of paging_text_write().
//   P3  An entry that changes from present to anything else is followed by invlpg of its own page's
//       address before the frame can be used for something else. From absent to present needs none
//       (Intel SDM volume 3, 4.10.4.3).
//   P4  The page directory does not change after paging_init(). So a program's directory, which is
//       a copy of its upper half, shows the same kernel.
//   P5  With several processors each has a directory, which differs from the first one's in one
//       entry: that of the table for KERNEL_BASE's 4 MiB, which leads to the processor's own pages
//       (kernel/processor.h). paging_load() puts that entry into a program's directory, which is in
//       use on one processor at a time.
#include "kernel/paging.h"

#include "kernel/ask.h"
#include "kernel/layout.h"
#include "kernel/panic.h"
#include "kernel/memory_plan.h"
#include "kernel/processor.h"
#include "lib/string.h"
#include "lib/x86.h"

#define TABLE_ENTRIES 1024u     // of 4 bytes: a page
#define ENTRY_FRAME 0xfffff000u // a frame is aligned to its size, which leaves 12 bits for flags
#define CR0_WP 0x00010000u
#define CR0_PG 0x80000000u

// From kernel.ld; only the addresses mean something.
extern char kernel_start[], kernel_text_end[], kernel_rodata_end[], kernel_end[];
// From start.asm: the page below the boot stack, which stays unmapped.
extern char boot_stack_guard[];
extern char processor_start[], processor_end[]; // from kernel.ld: the PER_PROCESSOR variables

static uint32_t directory_pa; // physical address of the first processor's page directory
static PER_PROCESSOR uint32_t own_directory; // of this processor's
static PER_PROCESSOR uint32_t own_entry;     // its entry for KERNEL_BASE (P5)
static uint32_t pool_start;                  // physical address of the heap window's first page
static uint32_t next_table;                  // boot only: next unused page of the plan's tables
static uint32_t tables_end;                  // boot only: physical, the end of the last

// Forgets the translation of the page at va. The operand is the page itself, not the variable that
// holds its address: "invlpg" of that one leaves the stale translation in place.
static void translation_flush(uintptr_t va) {
    __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static bool paging_readable(uintptr_t va) {
    uint32_t entry;
    return paging_lookup(va, &entry);
}

// From here on a null pointer is a fault. One entry is enough: the loader has filled one table, and
// both the directory's entries for it lead there; the other one, at KERNEL_BASE, stays.
void paging_drop_identity(void) {
    directory_pa = own_directory = cr3_read();
    uint32_t *directory = P2V(directory_pa);
    directory[0] = 0;
    cr3_load(directory_pa); // flushes every translation: there are no global pages
    panic_set_reader(paging_readable);
}

// The plan has counted the tables (kernel/memory_plan.c); taking one more would write over the
// frame records after them. Cleared, because an entry of rubbish may be present. Reached by the
// loader's mapping, of physical 0 to 4 MiB: the plan sees to it that the tables lie there.
static uint32_t table_make(void) {
    ASSERT(next_table < tables_end);
    uint32_t pa = next_table;
    next_table += PG_SIZE;
    memset(P2V(pa), 0, PG_SIZE);
    return pa;
}

// The entry for va in the tables below `root`; NULL if the table is missing. `root` is not always
// what CR3 holds: while paging_init() builds a tree, the loader's is in use.
static uint32_t *entry_of(uint32_t root, uintptr_t va) {
    const uint32_t *directory = P2V(root);
    uint32_t table = directory[va >> 22];
    if (!(table & PAGE_PRESENT)) return NULL;
    return (uint32_t *)P2V(table & ENTRY_FRAME) + (va >> PG_SHIFT) % TABLE_ENTRIES;
}

// Makes the tables for a window, empty. `start` is a multiple of what a table maps (static asserts
// in kernel/layout.h), so no two windows share a table.
static void tables_add(uint32_t root, uintptr_t start, uint64_t bytes) {
    uint32_t *directory = P2V(root);
    for (uint64_t at = 0; at < bytes; at += (uint64_t)TABLE_ENTRIES * PG_SIZE) {
        uint32_t *slot = &directory[(start + (uintptr_t)at) >> 22];
        if (!(*slot & PAGE_PRESENT)) *slot = table_make() | PAGE_PRESENT | PAGE_WRITE;
    }
}

// Maps physical [start, end) at va, in tables that are there. Boot only.
static void range_map(uint32_t root, uintptr_t va, uint32_t start, uint32_t end, uint32_t flags) {
    for (uint32_t pa = start; pa < end; pa += PG_SIZE, va += PG_SIZE) {
        *entry_of(root, va) = pa | PAGE_PRESENT | flags;
    }
}

static void low_map(uint32_t root, uint32_t start, uint32_t end, uint32_t flags) {
    range_map(root, KERNEL_BASE + start, start, end, flags);
}

// An array of the plan's: it has whole pages to itself.
static void low_map_array(uint32_t root, uint32_t start, uint32_t count, uint32_t size) {
    low_map(root, start, start + count * size, PAGE_WRITE);
}

// What the kernel itself is made of, each part with the least rights that it works with: the
// loader's data is to be read, the image's text and constants are not to be changed by a wild
// pointer. What is not named stays absent: memory from 64 to 640 KiB belongs to the pool, which has
// its own window, and a second way to it would be one that no check of the heap sees.
//
// VGA memory is a device: cached, what was written would show some time later or never. The guard
// page lies inside the image's data, which was mapped in one piece, so its entry is taken out last.
static void low_map_fill(uint32_t root, const struct memory_plan *plan) {
    low_map(root, 0, PLAN_LOW_END, 0);
    low_map(root, VGA_TEXT, VGA_TEXT_END, PAGE_WRITE | PAGE_UNCACHED);
    low_map(root, V2P(kernel_start), V2P(kernel_rodata_end), 0);
    low_map(root, V2P(kernel_rodata_end), V2P(kernel_end), PAGE_WRITE);
    const struct plan_pool *kernel = &plan->pool[POOL_KERNEL], *user = &plan->pool[POOL_USER];
    low_map_array(root, plan->tables, plan->table_count, PG_SIZE);
    low_map_array(root, kernel->frame_records, kernel->frames, sizeof(struct frame));
    low_map_array(root, kernel->arena_records, kernel->frames, sizeof(struct arena));
    low_map_array(root, user->frame_records, user->frames, sizeof(struct frame));
    *entry_of(root, (uintptr_t)boot_stack_guard) = 0;
}

// Frame i of the pool is page i of the window: an address and a frame number are then one
// subtraction apart. The ranges of the map are the pool's memory; a hole between them stays absent,
// so a wrong frame number there is a fault. Past the pool's end begins the user pool, which is not
// mapped.
static void heap_window_fill(uint32_t root, const struct memory_plan *plan) {
    const struct plan_pool *pool = &plan->pool[POOL_KERNEL];
    uint64_t window_end = pool->start + ((uint64_t)pool->frames << PG_SHIFT);
    for (size_t i = 0; i < plan->map.count; i++) {
        const struct mem_range *range = &plan->map.range[i];
        if (range->start >= window_end) break;
        uint64_t end = range->end < window_end ? range->end : window_end;
        uint32_t start = (uint32_t)range->start;
        range_map(root, HEAP_BASE + (start - pool->start), start, (uint32_t)end, PAGE_WRITE);
    }
}

// Write protection binds ring 0 only with CR0.WP; the loader sets it, but this file relies on it.
static void write_protect_enable(void) {
    uint32_t cr0;
    __asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
    cr0 |= CR0_WP | CR0_PG;
    __asm__ volatile("movl %0, %%cr0" : : "r"(cr0) : "memory");
}

// The new tree is complete before CR3 names it: the instruction after cr3_load() is fetched
// through it, and the stack in use (the boot stack, part of the image) is reached through it.
// Loading CR3 flushes every old translation, and with them the right to write to the image's text.
void paging_init(const struct memory_plan *plan) {
    next_table = plan->tables;
    tables_end = plan->tables + (plan->table_count << PG_SHIFT);
    uint32_t root = table_make();
    tables_add(root, KERNEL_BASE, plan->early_end);
    tables_add(root, HEAP_BASE, (uint64_t)plan->pool[POOL_KERNEL].frames << PG_SHIFT);
    tables_add(root, STACK_BASE, STACK_END - STACK_BASE);
    low_map_fill(root, plan);
    heap_window_fill(root, plan);
    directory_pa = own_directory = root;
    own_entry = ((const uint32_t *)P2V(root))[KERNEL_BASE >> 22];
    pool_start = plan->pool[POOL_KERNEL].start;
    cr3_load(root);
    write_protect_enable();
}

uint32_t paging_directory(void) { return own_directory; }

void paging_directory_fill(uint32_t *directory) {
    const uint32_t *kernel = P2V(directory_pa);
    uint32_t half = KERNEL_BASE >> 22;
    memset(directory, 0, half * sizeof *directory);
    memcpy(directory + half, kernel + half, (TABLE_ENTRIES - half) * sizeof *directory);
}

// A directory of the kernel pool's, as the heap window shows it.
static uint32_t *pool_view(uint32_t pa) {
    return (uint32_t *)(uintptr_t)(HEAP_BASE + (pa - pool_start));
}

void paging_load(uint32_t pa) {
    if (pa == cr3_read()) return;
    if (processors_many && pa != own_directory) pool_view(pa)[KERNEL_BASE >> 22] = own_entry;
    cr3_load(pa);
}

// ---- further processors -------------------------------------------------------------------------

// Entry 0 as well, for the way from real mode: the trampoline runs where it lies (start.asm).
void paging_processor_fill(uint32_t directory, uint32_t table, const uint32_t *own) {
    paging_directory_fill(pool_view(directory));
    memcpy(pool_view(table), entry_of(directory_pa, KERNEL_BASE), PG_SIZE);
    uint32_t first = (uint32_t)(processor_start - (char *)KERNEL_BASE) >> PG_SHIFT;
    for (uint32_t i = 0; i < PROCESSOR_PAGES; i++) {
        pool_view(table)[first + i] = own[i] | PAGE_PRESENT | PAGE_WRITE;
    }
    pool_view(directory)[KERNEL_BASE >> 22] = table | PAGE_PRESENT | PAGE_WRITE;
    pool_view(directory)[0] = table | PAGE_PRESENT | PAGE_WRITE;
}

void paging_processor_begin(void) {
    own_directory = cr3_read();
    own_entry = pool_view(own_directory)[KERNEL_BASE >> 22];
    pool_view(own_directory)[0] = 0;
    cr3_load(own_directory);
}

void paging_flush(uintptr_t va) { translation_flush(va); }

// The low map never changes (P4 says so of the directory, and nothing writes its tables), and the
// heap window's pages only become absent and present again, below: no caller has a reason to come
// here with an address of theirs.
static uint32_t *stack_entry(uintptr_t va) {
    ASSERT(va >= STACK_BASE && va < STACK_END && va % PG_SIZE == 0);
    return entry_of(directory_pa, va);
}

// Absent to present needs no invlpg (P3). Over a page that is present it would: refused, since then
// two owners believe that they have this page.
void paging_map(uintptr_t va, uint32_t pa, uint32_t flags) {
    uint32_t *entry = stack_entry(va);
    ASSERT(pa % PG_SIZE == 0);
    ASSERT(!(*entry & PAGE_PRESENT));
    *entry = pa | flags | PAGE_PRESENT;
}

// The entry first, then the TLB: the other way round the CPU could read the old entry again in
// between, by itself, for it may fetch ahead.
uint32_t paging_unmap(uintptr_t va) {
    uint32_t *entry = stack_entry(va);
    ASSERT(*entry & PAGE_PRESENT);
    uint32_t pa = *entry & ENTRY_FRAME;
    *entry = 0;
    translation_flush(va);
    return pa;
}

// The frame's number stays in the entry, where the CPU ignores it while the page is absent (SDM
// volume 3, 4.3, figure 4-4).
void paging_heap_protect(uintptr_t va, uint32_t pages, bool absent) {
    ASSERT(va >= HEAP_BASE && va < STACK_BASE && va % PG_SIZE == 0);
    for (; pages > 0; pages--, va += PG_SIZE) {
        uint32_t *entry = entry_of(directory_pa, va);
        ASSERT(va < STACK_BASE);
        if (!entry || *entry == 0) continue; // past the pool's end, or a hole
        *entry = absent ? *entry & ~PAGE_PRESENT : *entry | PAGE_PRESENT;
        if (absent) translation_flush(va);
    }
    if (absent && processors_many) processors_flush();
}

// CR0.WP is off for the copy alone, with interrupts off, so that no other code runs without it. The
// write to CR0 afterwards serializes: the processor has fetched nothing of the old bytes ahead
// (Intel SDM volume 3, 9.1.3).
static void protected_write(uintptr_t va, const void *from, size_t bytes) {
    uint32_t cr0;
    uint32_t flags = irq_save();
    __asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("movl %0, %%cr0" : : "r"(cr0 & ~CR0_WP) : "memory");
    memcpy((void *)va, from, bytes);
    __asm__ volatile("movl %0, %%cr0" : : "r"(cr0) : "memory");
    irq_restore(flags);
}

void paging_text_write(uintptr_t va, const void *from, size_t bytes) {
    ASSERT(va >= (uintptr_t)kernel_start && va < (uintptr_t)kernel_text_end);
    ASSERT(bytes <= (uintptr_t)kernel_text_end - va);
    protected_write(va, from, bytes);
}

void paging_low_write(uint32_t pa, const void *from, size_t bytes) {
    ASSERT(pa < PLAN_LOW_END && bytes <= PLAN_LOW_END - pa);
    protected_write((uintptr_t)P2V(pa), from, bytes);
}

bool paging_table_at(uint32_t pa, uintptr_t *start) {
    const uint32_t *directory = P2V(directory_pa);
    for (uint32_t i = 0; i < TABLE_ENTRIES; i++) {
        *start = (uintptr_t)i << 22;
        if ((directory[i] & PAGE_PRESENT) && (directory[i] & ENTRY_FRAME) == pa) return true;
    }
    return false;
}

bool paging_lookup(uintptr_t va, uint32_t *entry) {
    const uint32_t *at = entry_of(directory_pa, va);
    if (!at || !(*at & PAGE_PRESENT)) return false;
    *entry = *at;
    return true;
}
