// test_paging.c - what the page tables promise (kernel/layout.h, kernel/paging.h), tried on the
// processor.
//
// The tables are read for what they say, and the memory is touched for what the processor does: WP
// off, or a translation that is stale, shows only there.
#include "kernel/layout.h"
#include "kernel/memory.h"
#include "kernel/paging.h"
#include "tests/kernel/ktest.h"
#include "thread/thread.h"

extern char kernel_start[], kernel_text_end[], kernel_rodata_end[], kernel_end[]; // kernel.ld
extern char boot_stack_guard[], boot_stack_bottom[], boot_stack_top[];            // start.asm

#define ENTRY_USER 0x004u
#define ENTRY_FRAME 0xfffff000u

// The last stack slot, that no thread has while so few run: a place to map pages at.
#define SPARE (STACK_BASE + (STACK_SLOTS - 1) * STACK_SLOT_BYTES + PG_SIZE)

static uint32_t constant = 0x600df00d; // non-zero: in .data
static const uint32_t rodata[4] = {1, 2, 3, 4};

static uintptr_t page_of(const volatile void *p) {
    return (uintptr_t)p & ~(uintptr_t)(PG_SIZE - 1);
}

// Checks that a write to `address` faults as one to a present, read-only page.
static void check_read_only(uintptr_t address) {
    KCHECK(!ktest_try_read(address).faulted);
    struct ktest_fault fault = ktest_try_write(address);
    KCHECK(fault.faulted);
    KCHECK_EQ(fault.address, address);
    KCHECK_EQ(fault.error, FAULT_PRESENT | FAULT_WRITING);
}

static void check_unmapped(uintptr_t address) {
    uint32_t entry;
    KCHECK(!paging_lookup(address & ~(uintptr_t)(PG_SIZE - 1), &entry));
    struct ktest_fault fault = ktest_try_read(address);
    KCHECK(fault.faulted);
    KCHECK_EQ(fault.address, address);
    KCHECK_EQ(fault.error, 0);
    fault = ktest_try_store(address, 0);
    KCHECK(fault.faulted);
    KCHECK_EQ(fault.error, FAULT_WRITING);
}

KTEST(paging_null_page) {
    check_unmapped(0);
    check_unmapped(7);
    check_unmapped(PG_SIZE - 1);
}

// The loader had physical memory at address 0 too: gone, with all the user half.
KTEST(paging_identity_is_gone) {
    static const uintptr_t places[] = {MBR_ADDR, LOADER_ADDR, BOOT_INFO,
                                       0xb8000,  KERNEL_PHYS, 0x3ff000};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) check_unmapped(places[i]);
    const uint32_t *directory = P2V(paging_directory());
    uint32_t present = 0;
    for (uint32_t i = 0; i < KERNEL_BASE >> 22; i++) present |= directory[i] & PAGE_PRESENT;
    KCHECK_EQ(present, 0);
}

KTEST(paging_text_is_read_only) {
    check_read_only((uintptr_t)kernel_start);
    check_read_only((uintptr_t)sys_malloc);
    check_read_only((uintptr_t)kernel_text_end - 1);
    uint32_t entry;
    for (uintptr_t va = (uintptr_t)kernel_start; va < (uintptr_t)kernel_text_end; va += PG_SIZE) {
        KCHECK(paging_lookup(va, &entry) && !(entry & PAGE_WRITE));
    }
}

KTEST(paging_constants_are_read_only) {
    check_read_only((uintptr_t)&rodata[2]);
    check_read_only((uintptr_t) "a string");
    check_read_only((uintptr_t)kernel_rodata_end - 1);
    KCHECK_EQ(*(const volatile uint32_t *)&rodata[2], 3);
    check_read_only((uintptr_t)P2V(BOOT_INFO)); // what the loader left is evidence
    check_read_only((uintptr_t)P2V(TOTAL_MEM_ADDR));
}

KTEST(paging_data_is_writable) {
    KCHECK(!ktest_try_write((uintptr_t)&constant).faulted);
    KCHECK(!ktest_try_write((uintptr_t)kernel_end - 1).faulted);
    KCHECK(!ktest_try_store((uintptr_t)&constant, 0x11).faulted);
    KCHECK_EQ(*(volatile uint32_t *)&constant, 0x600df011);
    constant = 0x600df00d;
}

// P1: no entry anywhere lets user mode in. And whatever is mapped lies in one of the three windows.
KTEST(paging_no_user_access) {
    const uint32_t *directory = P2V(paging_directory());
    uint32_t users = 0, strangers = 0;
    for (uint32_t i = KERNEL_BASE >> 22; i < 1024; i++) {
        if (!(directory[i] & PAGE_PRESENT)) continue;
        const uint32_t *table = P2V(directory[i] & ENTRY_FRAME);
        for (uint32_t j = 0; j < 1024; j++) {
            if (!(table[j] & PAGE_PRESENT)) continue;
            users += (table[j] & ENTRY_USER) != 0;
            strangers += (i << 22 | j << PG_SHIFT) >= STACK_END;
        }
    }
    KCHECK_EQ(users, 0);
    KCHECK_EQ(strangers, 0);
}

// Every frame of the kernel pool is at its place in the heap window, writable, and nothing else is
// there.
KTEST(paging_heap_window) {
    const struct pool *pool = &k_heap.pool;
    uint32_t mapped = 0, wrong = 0, entry;
    for (uint32_t i = 0; i < pool->frames; i++) {
        if (!paging_lookup(HEAP_BASE + i * PG_SIZE, &entry)) continue;
        mapped++;
        wrong += (entry & ENTRY_FRAME) != (uint32_t)frame_address(POOL_KERNEL, i) ||
                 !(entry & PAGE_WRITE);
    }
    KCHECK_EQ(mapped, pool->usable);
    KCHECK_EQ(wrong, 0);
    check_unmapped(HEAP_BASE + (pool->frames << PG_SHIFT));
}

static void check_own_stack(void) {
    volatile uint8_t here = 1;
    uintptr_t slot = (uintptr_t)&here & ~(uintptr_t)(STACK_SLOT_BYTES - 1);
    KCHECK((uintptr_t)&here >= STACK_BASE && (uintptr_t)&here < STACK_END);
    check_unmapped(slot);
    check_unmapped(slot + PG_SIZE - 1);
    for (uint32_t page = PG_SIZE; page < STACK_SLOT_BYTES; page += PG_SIZE) {
        KCHECK(!ktest_try_write(slot + page).faulted);
    }
}

static int stack_thread(void *argument) {
    check_own_stack();
    thread_sleep(1); // the three are alive at the same time
    return 0;
}

KTEST(paging_guard_under_each_stack) {
    struct thread *thread[3];
    for (int i = 0; i < 3; i++) {
        thread[i] = thread_create("stack", PRIORITY_DEFAULT, stack_thread, NULL);
        KCHECK(thread[i] != NULL);
    }
    uint32_t entry, guards = 0;
    for (uintptr_t va = STACK_BASE; va < DEVICE_PAGES; va += STACK_SLOT_BYTES) {
        guards += !paging_lookup(va, &entry);
    }
    KCHECK_EQ(guards, STACK_SLOTS);
    for (int i = 0; i < 3; i++) {
        if (thread[i]) thread_join(thread[i]);
    }
    check_unmapped((uintptr_t)boot_stack_guard); // thread "main" has the boot stack
    check_unmapped((uintptr_t)boot_stack_bottom - 1);
    KCHECK(!ktest_try_write((uintptr_t)boot_stack_bottom).faulted);
    KCHECK(page_of(__builtin_frame_address(0)) >= (uintptr_t)boot_stack_bottom &&
           page_of(__builtin_frame_address(0)) < (uintptr_t)boot_stack_top);
}

#define ROUNDS 64

// One address, again and again with another frame: what is read must always be the new one. A
// frame of the kernel pool can be written through the heap window, behind the back of the mapping
// under test.
KTEST(paging_no_stale_translation) {
    uint32_t frame[2] = {frame_alloc(POOL_KERNEL, 1), frame_alloc(POOL_KERNEL, 1)};
    KCHECK(frame[0] != FRAME_NONE && frame[1] != FRAME_NONE && frame[0] != frame[1]);
    volatile uint32_t *at = (volatile uint32_t *)SPARE;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t now = frame[round % 2];
        uint32_t pa = (uint32_t)frame_address(POOL_KERNEL, now);
        volatile uint32_t *window = (volatile uint32_t *)(HEAP_BASE + now * PG_SIZE);
        *window = 0xabc00000 + round;
        paging_map(SPARE, pa, PAGE_WRITE);
        KCHECK_EQ(*at, 0xabc00000 + round);
        *at = 0xdef00000 + round;
        KCHECK_EQ(*window, 0xdef00000 + round);
        KCHECK_EQ(paging_unmap(SPARE), pa);
        KCHECK(ktest_try_read(SPARE).faulted); // just read: the translation was surely cached
    }
    for (int i = 0; i < 2; i++) frame_free(POOL_KERNEL, frame[i], 1);
}

// A page that is mapped read-only after it was mapped writable is read-only at once.
KTEST(paging_flags_are_never_stale) {
    uint32_t frame = frame_alloc(POOL_USER, 1);
    KNEED(frame != FRAME_NONE);
    uint32_t pa = (uint32_t)frame_address(POOL_USER, frame);
    paging_map(SPARE, pa, PAGE_WRITE);
    KCHECK(!ktest_try_store(SPARE, 0x5a).faulted);
    paging_unmap(SPARE);
    paging_map(SPARE, pa, 0);
    check_read_only(SPARE);
    KCHECK_EQ(*(volatile uint8_t *)SPARE, 0x5a);
    paging_unmap(SPARE);
    check_unmapped(SPARE);
    frame_free(POOL_USER, frame, 1);
}
