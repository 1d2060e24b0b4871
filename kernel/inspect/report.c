// report.c - see report.h: what becomes of a wrong call, the kernel's answer to kernel/port.h.
//
// Shortcomings: a report ends up on the console and in one struct; there is no list of them. A
// wrong frame of the user pool comes here as its physical address; with more than 2.2 GiB of memory
// that may be an address of the heap's window too, and then the line names both frames.
#include "kernel/inspect/report.h"

#include "kernel/bochs_break.h"
#include "kernel/inspect/heapwalk.h"
#include "kernel/inspect/who.h"
#include "kernel/layout.h"
#include "kernel/panic.h"
#include "kernel/port.h"
#include "kernel/running.h"
#include "kernel/spinlock.h"
#include "kernel/symbol.h"
#include "lib/print.h"
#include "lib/string.h"

struct heap_report heap_last_report;
uint32_t heap_report_count;
static bool report_panics; // heap=panic on the command line
static report_place_hook *place_hook;

report_place_hook *heap_report_set_place(report_place_hook *hook) {
    report_place_hook *before = place_hook;
    place_hook = hook;
    return before;
}

// The instruction in words, symbolic where it is the kernel's own. False: nothing is to be printed.
static bool place_text(char *to, size_t room, const struct heap *heap, uintptr_t from) {
    enum report_place place = PLACE_UNKNOWN;
    if (place_hook) place = place_hook(to, room, heap);
    if (place == PLACE_UNKNOWN) symbol_text(to, room, from);
    return place != PLACE_QUIET;
}

void heap_report_panics(bool panics) { report_panics = panics; }

// The user pool's frame at a physical address; false if none starts there.
static bool user_frame_at(uintptr_t address, uint32_t *frame) {
    const struct pool *pool = mem_pool[POOL_USER];
    uint64_t off = address - pool->phys; // below the pool: huge
    *frame = (uint32_t)(off >> PG_SHIFT);
    return off % PG_SIZE == 0 && off >> PG_SHIFT < pool->frames;
}

// What a refused call's pointer belongs to. frame_free() of the user pool gives a physical address,
// every other call one of the heap's window, and which it was shows in two ways: "outside the heap"
// is no frame of either, or one of another heap, and only frame_free() finds a fault with what is
// not in the window.
static char *pointer_who(char *to, size_t room, const struct heap *heap, enum heap_fault fault,
                         uintptr_t pointer) {
    uint32_t frame;
    size_t used = 0;
    const struct heap *holder = heap_of(pointer);
    if (heap != &k_heap && pointer - heap->base < (uintptr_t)heap->frames << PG_SHIFT) {
        heap_who_in(to, room, heap, pointer);
    } else if (fault == HEAP_OUTSIDE && holder && holder != heap) {
        heap_who(to, room, pointer);
        used = strlen(to);
        ksnprintf(to + used, room - used, ", not of %s", heap->pool.name);
    } else if (fault == HEAP_OUTSIDE) { // or a frame's number, too large for its pool
        ksnprintf(to, room, "no frame of a pool");
    } else if (fault == HEAP_NOT_ALLOCATED && user_frame_at(pointer, &frame)) {
        if ((pointer - HEAP_BASE) >> PG_SHIFT < k_heap.frames) {
            heap_who(to, room, pointer);
            strlcpy(to + strlen(to), " or ", room - strlen(to));
            used = strlen(to);
        }
        heap_user_frame_who(to + used, room - used, frame);
    } else {
        heap_who(to, room, pointer);
    }
    return to;
}

// One line: the fault in its fixed words, the pointer, what that belongs to, the instruction, the
// thread. In this order, for tests and users look for the words (kernel/memory.h). The heap is
// unlocked and as it was before the call, so heap_who() may walk it, and a panic is not needed to
// go on safely: the call has changed nothing.
static void report(const struct heap *heap, enum heap_fault fault, uintptr_t pointer,
                   const char *verb, uintptr_t from) {
    char who[HEAP_WHO_MAX], place[SYMBOL_TEXT_MAX];
    uint32_t state = spin_save(&console_lock); // several processors may report at a time
    heap_last_report = (struct heap_report){fault, pointer, from};
    heap_report_count++;
    spin_restore(&console_lock, state);
    if (!place_text(place, sizeof place, heap, from)) return;
    kprintf("heap: %s: %p: %s; %s from %s, thread %s\n", heap_fault_text(fault), (void *)pointer,
            pointer_who(who, sizeof who, heap, fault, pointer), verb, place, running_name());
    bochs_stop(); // the wrong call's frames are still on the stack
    if (report_panics) panic("heap misuse: %s", heap_fault_text(fault));
}

void port_report(const struct heap *heap, enum heap_fault fault, uintptr_t pointer,
                 uintptr_t caller) {
    report(heap, fault, pointer, "called", caller);
}

void port_report_access(enum heap_fault fault, uintptr_t pointer, uintptr_t eip) {
    report(&k_heap, fault, pointer, "accessed", eip);
}
