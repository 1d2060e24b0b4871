// port.c - the kernel's answers to what kernel/port.h asks.
//
// Two questions are answered here, which memory a pool has and what becomes of a wrong call; the
// short ones (the lock, the context) are inline in port.h, as they are on the fast path.
//
// The plan has the memory in physical addresses, as ranges; the pools count in frames of their own
// window, so that frame i of the kernel pool is page i of the heap window. The translation is here,
// so that memory.c need not know the plan.
//
// Order at boot: paging_init() before port_pool(), since the records lie behind 4 MiB, where the
// loader has mapped nothing; port_plan_set() before memory_init().
//
// Shortcomings: a report ends up on the console and in one struct; there is no list of them. A
// wrong frame of the user pool comes here as its physical address; with more than 2.2 GiB of memory
// that may be an address of the heap's window too, and then the line names both frames.
#include "kernel/port.h"

#include "kernel/checked/checked.h"
#include "kernel/layout.h"
#include "kernel/bochs_break.h"
#include "kernel/panic.h"
#include "kernel/port_kernel.h"
#include "kernel/inspect/report.h"
#include "kernel/symbol.h"
#include "kernel/inspect/who.h"
#include "lib/print.h"
#include "lib/string.h"
#include "thread/thread.h"

struct heap_report heap_last_report;
uint32_t heap_report_count;
static bool report_panics; // heap=panic on the command line

static const struct memory_plan *plan; // kernel/main.c's, kept for port_pool()
// For one pool at a time: memory.c has read them when it asks for the next pool.
static struct port_run runs[MEMMAP_MAX];

void port_plan_set(const struct memory_plan *from) { plan = from; }

void heap_report_panics(bool panics) { report_panics = panics; }

// The usable ranges inside a pool's window, as frame numbers. A range that the cut between the
// pools goes through gives a run to each. There is room: a window meets no more ranges than the map
// has.
static size_t runs_fill(const struct plan_pool *pool) {
    uint64_t end = pool->start + ((uint64_t)pool->frames << PG_SHIFT);
    size_t count = 0;
    for (size_t i = 0; i < plan->map.count; i++) {
        uint64_t from = plan->map.range[i].start, to = plan->map.range[i].end;
        if (from < pool->start) from = pool->start;
        if (to > end) to = end;
        if (from >= to) continue;
        runs[count].first = (uint32_t)((from - pool->start) >> PG_SHIFT);
        runs[count].count = (uint32_t)((to - from) >> PG_SHIFT);
        count++;
    }
    return count;
}

// The records are cleared here and not by the loader or paging: they lie in memory that may hold
// anything, and a bit that is left over would be a frame in use, or an arena. The user pool has no
// arenas, so no records for them.
void port_pool(enum pool_id id, struct port_pool *out) {
    ASSERT(plan != NULL);
    const struct plan_pool *pool = &plan->pool[id];
    out->phys = pool->start;
    out->frames = pool->frames;
    out->frame = P2V(pool->frame_records);
    memset(out->frame, 0, pool->frames * sizeof(struct frame));
    out->arena = NULL;
    if (id == POOL_KERNEL) {
        out->arena = P2V(pool->arena_records);
        memset(out->arena, 0, pool->frames * sizeof(struct arena));
    }
    out->run = runs;
    out->runs = runs_fill(pool);
}

// The user pool's frame at a physical address; false if none starts there.
static bool user_frame_at(uintptr_t address, uint32_t *frame) {
    const struct pool *pool = &mem_pool[POOL_USER];
    uint64_t off = address - pool->phys; // below the pool: huge
    *frame = (uint32_t)(off >> PG_SHIFT);
    return off % PG_SIZE == 0 && off >> PG_SHIFT < pool->frames;
}

// In the same words as heap_who(). A run has its length at its first frame, the others of a run
// handed out have nothing (kernel/memory.c, F1).
static void user_frame_who(char *to, size_t room, uint32_t frame) {
    const struct pool *pool = &mem_pool[POOL_USER];
    uint32_t first = frame;
    while (first > 0 && pool->frame[first].run == 0) first--;
    uint32_t tag = pool->frame[first].run, length = FRAME_RUN(tag);
    if ((tag & FRAME_USED) && frame - first < length) {
        ksnprintf(to, room, "%s frame %u, of the run of %u from frame %u", pool->name, frame,
                  length, first);
    } else {
        ksnprintf(to, room, "%s frame %u, free or no memory", pool->name, frame);
    }
}

// What a refused call's pointer belongs to. frame_free() of the user pool gives a physical address,
// every other call one of the heap's window, and which it was shows in two ways: "outside the heap"
// is no frame of either, and only frame_free() finds a fault with what is not in the window.
static char *pointer_who(char *to, size_t room, enum heap_fault fault, uintptr_t pointer) {
    uint32_t frame;
    size_t used = 0;
    if (fault == HEAP_OUTSIDE) {
        ksnprintf(to, room, "no frame of a pool");
    } else if (fault == HEAP_NOT_ALLOCATED && user_frame_at(pointer, &frame)) {
        if ((pointer - HEAP_BASE) >> PG_SHIFT < heap.frames) {
            heap_who(to, room, pointer);
            strlcpy(to + strlen(to), " or ", room - strlen(to));
            used = strlen(to);
        }
        user_frame_who(to + used, room - used, frame);
    } else {
        heap_who(to, room, pointer);
    }
    return to;
}

// One line: the fault in its fixed words, the pointer, what that belongs to, the instruction, the
// thread. In this order, for tests and users look for the words (kernel/memory.h). The heap is
// unlocked and as it was before the call, so heap_who() may walk it, and a panic is not needed to
// go on safely: the call has changed nothing.
static void report(enum heap_fault fault, uintptr_t pointer, const char *verb, uintptr_t from) {
    char who[HEAP_WHO_MAX], place[SYMBOL_TEXT_MAX];
    heap_last_report = (struct heap_report){fault, pointer, from};
    heap_report_count++;
    kprintf("heap: %s: %p: %s; %s from %s, thread %s\n", heap_fault_text(fault), (void *)pointer,
            pointer_who(who, sizeof who, fault, pointer), verb,
            symbol_text(place, sizeof place, from), thread_name(thread_current()));
    magic_stop(); // the wrong call's frames are still on the stack
    if (report_panics) panic("heap misuse: %s", heap_fault_text(fault));
}

void port_report(enum heap_fault fault, uintptr_t pointer, uintptr_t caller) {
    report(fault, pointer, "called", caller);
}

void port_report_access(enum heap_fault fault, uintptr_t pointer, uintptr_t eip) {
    report(fault, pointer, "accessed", eip);
}
