// port.c - the kernel's answers to what kernel/port.h asks.
#include "kernel/port.h"

#include "kernel/heapcheck.h"
#include "kernel/panic.h"
#include "kernel/port_kernel.h"
#include "kernel/report.h"
#include "kernel/symbol.h"
#include "lib/print.h"
#include "lib/string.h"
#include "thread/thread.h"

struct heap_report heap_last_report;
uint32_t heap_report_count;
static bool report_panics;

static const struct memory_plan *plan;
static struct port_run runs[MEMMAP_MAX];

void port_plan_set(const struct memory_plan *from) { plan = from; }

void heap_report_panics(bool panics) { report_panics = panics; }

// The usable ranges inside a pool's window, as frame numbers.
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

// One line: the fault in its fixed words, the pointer, what that belongs to, the caller, the
// thread.
void port_report(enum heap_fault fault, uintptr_t pointer, uintptr_t caller) {
    char who[HEAP_WHO_MAX], from[SYMBOL_TEXT_MAX];
    heap_last_report = (struct heap_report){fault, pointer, caller};
    heap_report_count++;
    kprintf("heap: %s: %p: %s; called from %s, thread %s\n", heap_fault_text(fault),
            (void *)pointer, heap_who(who, sizeof who, pointer),
            symbol_text(from, sizeof from, caller), thread_name(thread_current()));
    if (report_panics) panic("heap misuse: %s", heap_fault_text(fault));
}
