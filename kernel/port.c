// port.c - which memory a pool has: the kernel's answer to one question of kernel/port.h.
//
// The short ones (the lock, the context) are inline in port.h, as they are on the fast path; what
// becomes of a wrong call is kernel/inspect/report.c.
//
// The plan has the memory in physical addresses, as ranges; the pools count in frames of their own
// window, so that frame i of the kernel pool is page i of the heap window. The translation is here,
// so that the heap need not know the plan.
//
// Order at boot: paging_init() before port_pool(), since the records may lie beyond 4 MiB, where
// the loader has mapped nothing; port_plan_set() before memory_init().
#include "kernel/port.h"

#include "kernel/layout.h"
#include "kernel/panic.h"
#include "kernel/port_kernel.h"
#include "lib/string.h"

static const struct memory_plan *pools_plan; // kernel/main.c's, kept for port_pool()
// For one pool at a time: the heap has read them when it asks for the next pool.
static struct port_run runs[MEMMAP_MAX];
// The pools' anchors, for 4 GiB each.
static uint32_t anchors[POOL_COUNT][POOL_ANCHOR_WORDS(1u << (32 - PG_SHIFT))];

void port_plan_set(const struct memory_plan *from) { pools_plan = from; }

// The usable ranges inside a pool's window, as frame numbers. A range that the cut between the
// pools goes through gives a run to each. There is room: a window meets no more ranges than the map
// has.
static size_t runs_fill(const struct plan_pool *pool) {
    uint64_t end = pool->start + ((uint64_t)pool->frames << PG_SHIFT);
    size_t count = 0;
    for (size_t i = 0; i < pools_plan->map.count; i++) {
        uint64_t from = pools_plan->map.range[i].start, to = pools_plan->map.range[i].end;
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
    ASSERT(pools_plan != NULL);
    const struct plan_pool *pool = &pools_plan->pool[id];
    out->phys = pool->start;
    out->frames = pool->frames;
    out->frame = P2V(pool->frame_records);
    memset(out->frame, 0, pool->frames * sizeof(struct frame));
    out->anchor = anchors[id];
    out->base = 0;
    out->arena = NULL;
    if (id == POOL_KERNEL) {
        out->base = HEAP_BASE;
        out->arena = P2V(pool->arena_records);
        memset(out->arena, 0, pool->frames * sizeof(struct arena));
    }
    out->run = runs;
    out->runs = runs_fill(pool);
}
