// stack.c - see stack.h.
//
//   STACK_BASE + slot * STACK_SLOT_BYTES
//   |- guard page, unmapped -|- stack, grows down from the right -|
//
// Invariants:
//   K1  A slot's bit is set from before its first page is mapped until after its last is unmapped.
//   K2  A slot's first page is never mapped.
//   K3  A frame goes back to its pool only after its page is unmapped and flushed.
//
// A stack's frames come from the kernel pool one by one: they need not be in a row. Its memory is
// painted, so that the deepest place ever reached can be seen.
//
// Why a guard page: C does not check the stack. A thread that goes too deep would write over
// whatever lies below, and the fault would show much later, in another thread. With nothing mapped
// there the access is a page fault; where esp itself has reached that page the CPU cannot push its
// frame either and raises a double fault, which has a stack of its own (kernel/gdt.c). Both reports
// name the thread.
//
// The same frames stay mapped in the heap window, as all of the kernel pool's are: two addresses
// for one frame. The other one is not used while a stack holds the frame, and the processor's
// caches go by physical addresses, so both would show the same bytes.
//
// Shortcomings: a stack does not grow; an array larger than a page can jump over the guard page.
#include "thread/stack.h"

#include <stdbool.h>

#include "kernel/layout.h"
#include "kernel/memory.h"
#include "kernel/ask.h"
#include "kernel/paging.h"
#include "lib/bitmap.h"
#include "kernel/spinlock.h"

#define STACK_PAGES (STACK_SLOT_BYTES / PG_SIZE - 1) // without the guard page
#define PAINT 0x5afe57acu // no small number and no address of the kernel's: code seldom writes it

static uint32_t words[BITMAP_WORDS(STACK_SLOTS)];
static struct bitmap stack_slots = {words, STACK_SLOTS}; // bit set: the slot is taken

static uintptr_t slot_base(int slot) { return STACK_BASE + (uintptr_t)slot * STACK_SLOT_BYTES; }

// The boot stack has the same shape: a guard page, then the stack.
extern char boot_stack_bottom[], boot_stack_top[]; // start.asm

uintptr_t stack_bottom(int slot) {
    return slot == STACK_SLOT_NONE ? (uintptr_t)boot_stack_bottom : slot_base(slot) + PG_SIZE;
}

uintptr_t stack_top(int slot) {
    return slot == STACK_SLOT_NONE ? (uintptr_t)boot_stack_top : slot_base(slot) + STACK_SLOT_BYTES;
}

// A slot that is taken has one owner for its pages: only the bitmap needs a lock.
static int slot_take(void) {
    uint32_t state = spin_save(&kernel_lock);
    size_t slot = bitmap_scan(&stack_slots, 1);
    if (slot != BITMAP_NONE) bitmap_set(&stack_slots, slot, true);
    spin_restore(&kernel_lock, state);
    return slot == BITMAP_NONE ? STACK_SLOT_NONE : (int)slot;
}

static void slot_give(int slot) {
    uint32_t state = spin_save(&kernel_lock);
    bitmap_set(&stack_slots, (size_t)slot, false);
    spin_restore(&kernel_lock, state);
}

// Page tables know physical addresses, the pool frame numbers. The stack's frames are recorded only
// in the page tables: no second list can disagree with them.
static uint32_t frame_number(uint32_t pa) {
    return (uint32_t)((pa - frame_address(POOL_KERNEL, 0)) >> PG_SHIFT);
}

// The mapping goes first, on every processor: a frame that is back in its pool must not be
// reachable by its old address.
static void pages_give(int slot, uint32_t pages) {
    uint32_t pa[STACK_PAGES];
    for (uint32_t i = 0; i < pages; i++) pa[i] = paging_unmap(stack_bottom(slot) + i * PG_SIZE);
    if (processors_many) processors_flush();
    for (uint32_t i = 0; i < pages; i++) frame_free(POOL_KERNEL, frame_number(pa[i]), 1);
}

// One string instruction and no call: a call's frame could lie in what is being painted.
static void paint(uintptr_t from, uintptr_t to) {
    uint32_t left = (uint32_t)(to - from) / 4;
    __asm__ volatile("rep stosl" : "+D"(from), "+c"(left) : "a"(PAINT) : "memory");
}

// The stack in use is painted below its lowest word only. 256 bytes are more than the frames of
// this function and of paint() take together.
void stack_paint_boot(void) {
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    paint((uintptr_t)boot_stack_bottom, here - 256); // paint()'s own frame lies below this one
}

// Everything is taken before anything is written; what was taken goes back if the next is refused.
// paging_map() cannot fail: the window's page tables exist since boot (kernel/paging.h), so running
// out of memory has this one place. Painted once all is there, by addresses of the stack window: a
// mapping that was wrong would be a fault here, not in the new thread.
int stack_alloc(void) {
    int slot = slot_take();
    if (slot == STACK_SLOT_NONE) return slot;
    for (uint32_t i = 0; i < STACK_PAGES; i++) {
        uint32_t frame = frame_alloc(POOL_KERNEL, 1);
        if (frame == FRAME_NONE) {
            pages_give(slot, i);
            slot_give(slot);
            return STACK_SLOT_NONE;
        }
        paging_map(stack_bottom(slot) + i * PG_SIZE, (uint32_t)frame_address(POOL_KERNEL, frame),
                   PAGE_WRITE);
    }
    paint(stack_bottom(slot), stack_top(slot));
    return slot;
}

// The pages first, then the slot (K1): a slot that was free with pages still mapped could be taken
// again, and paging_map() would find a page there and panic.
void stack_free(int slot) {
    pages_give(slot, STACK_PAGES);
    slot_give(slot);
}

// Reads upwards to the first word that was overwritten. May look at a stack in use: that only
// grows meanwhile, and the answer was right at some moment.
uint32_t stack_used(int slot) {
    const uint32_t *at = (const uint32_t *)stack_bottom(slot);
    const uint32_t *end = (const uint32_t *)stack_top(slot);
    while (at < end && *at == PAINT) at++;
    return (uint32_t)((uintptr_t)end - (uintptr_t)at);
}
