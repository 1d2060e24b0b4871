// memory_plan.c - see memory_plan.h for the picture.
//
// Everything that needs memory before there is a heap is placed here, in one go: page tables, and
// the records in which the pools keep their books. Their size depends on how much memory there is,
// so no array of the image could hold them; and the pools cannot give it, as they are not there
// yet. So they are laid behind the kernel's image, and what is left is the pools'.
//
// Three things depend on each other in a ring: the pools' lengths on the memory that is left, that
// on the records' length, and that on the pools' lengths. It is cut by taking the halves before the
// records: the kernel pool's half then pays for them all.
//
// Pure: what it is told is what it uses, and it writes *plan alone. The host's tests run it on maps
// that no machine here has (tests/host/test_memory_plan.c).
//
// Invariants of a plan that was accepted:
//   L1  Tables and records lie in a row behind the kernel, in usable memory, below 128 MiB.
//   L2  The tables end below 4 MiB.
//   L3  Nothing in use is left in plan.map, so in neither pool.
//   L4  The kernel pool's window fits the heap window; the user pool's begins where it ends.
//
// Shortcomings: the records are counted for holes too, as a window's frames are numbered without
// gaps; a map with a wide hole pays for it. A small range behind the kernel is refused, though the
// records could lie elsewhere.
#include "kernel/memory_plan.h"

#include "kernel/layout.h"

#define TABLE_SPAN 0x400000u // one page table maps 1024 pages: 4 MiB

// No argument comes near 4 GiB: what is rounded are lengths of records and tables.
static uint32_t round_up(uint32_t value, uint32_t unit) { return (value + unit - 1) / unit * unit; }

static uint32_t tables_for(uint64_t bytes) {
    return (uint32_t)((bytes + TABLE_SPAN - 1) / TABLE_SPAN);
}

// The address below which `frames` usable frames lie, and no more than the heap window holds. With
// more than 3.5 GiB, or a wide hole, the window is what cuts: the user pool gets the rest, since
// its frames are mapped nowhere and need no window.
static uint32_t cut_address(const struct memmap *map, uint32_t frames) {
    uint64_t window_end = map->range[0].start + HEAP_WINDOW_BYTES;
    for (size_t i = 0; i < map->count; i++) {
        const struct mem_range *range = &map->range[i];
        if (range->start >= window_end) return (uint32_t)window_end;
        uint32_t here = (uint32_t)((range->end - range->start) >> PG_SHIFT);
        if (here < frames) {
            frames -= here;
            continue;
        }
        uint64_t cut = range->start + ((uint64_t)frames << PG_SHIFT);
        return (uint32_t)(cut < window_end ? cut : window_end);
    }
    return (uint32_t)window_end;
}

// Counts what is memory in a window; the difference to its length is holes.
static uint32_t usable_between(const struct memmap *map, uint64_t start, uint64_t end) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < map->count; i++) {
        uint64_t from = map->range[i].start > start ? map->range[i].start : start;
        uint64_t to = map->range[i].end < end ? map->range[i].end : end;
        if (from < to) bytes += to - from;
    }
    return (uint32_t)(bytes >> PG_SHIFT);
}

// The next piece of early memory, whole pages, so that each array starts a page of its own.
static uint32_t take(uint32_t *end, uint64_t bytes) {
    uint32_t start = *end;
    *end += round_up((uint32_t)bytes, PG_SIZE);
    return start;
}

// Windows of the two pools on both sides of `cut`, from the first usable byte to the last. Frames
// of the kernel, of the tables and of holes are inside a window as well; they are in no run that
// the pool is given.
static void place_windows(struct memory_plan *plan, uint32_t cut) {
    const struct memmap *map = &plan->map;
    struct plan_pool *kernel = &plan->pool[POOL_KERNEL], *user = &plan->pool[POOL_USER];
    kernel->start = (uint32_t)map->range[0].start;
    kernel->frames = (cut - kernel->start) >> PG_SHIFT;
    user->start = cut;
    user->frames = (uint32_t)((map->range[map->count - 1].end - cut) >> PG_SHIFT);
}

// Places tables and records behind the kernel. The tables come first: they are written while only
// the loader's first 4 MiB are mapped.
static void place_early(struct memory_plan *plan, uint32_t kernel_end) {
    struct plan_pool *kernel = &plan->pool[POOL_KERNEL], *user = &plan->pool[POOL_USER];
    uint64_t records = (uint64_t)kernel->frames * (sizeof(struct frame) + sizeof(struct arena)) +
                       (uint64_t)user->frames * sizeof(struct frame);
    // What the low map must reach is not known before the tables are counted: count for more. 4 MiB
    // are enough for the tables and for rounding, because tables that pass 4 MiB are refused.
    uint32_t low = tables_for(kernel_end + records + TABLE_SPAN);
    plan->table_count = 1 + low + tables_for((uint64_t)kernel->frames << PG_SHIFT) +
                        tables_for(STACK_END - STACK_BASE);
    uint32_t end = kernel_end;
    plan->tables = take(&end, (uint64_t)plan->table_count << PG_SHIFT);
    kernel->frame_records = take(&end, (uint64_t)kernel->frames * sizeof(struct frame));
    kernel->arena_records = take(&end, (uint64_t)kernel->frames * sizeof(struct arena));
    user->frame_records = take(&end, (uint64_t)user->frames * sizeof(struct frame));
    plan->early_end = end;
}

// The order of the steps: the range behind the kernel's end is looked up in the map as it came, for
// what is reserved next is gone from it. Then the halves, the pieces, and the checks of what came
// out of them; only then early memory is reserved and the pools are counted.
//
// The two limits of early memory: tables are written through the loader's mapping of the first
// 4 MiB, before the new ones are in use (L2); records are written through the low map, which is as
// long as its window (L1), and may not run into a hole of the memory map.
//
// Text instead of a number for a refusal: the one caller can only print it (kernel/main.c).
const char *memory_plan_make(struct memory_plan *plan, const struct memmap *map,
                             uint32_t kernel_end) {
    plan->map = *map;
    int at = memmap_find(&plan->map, kernel_end);
    if (at < 0) return "no memory after the kernel";
    uint64_t range_end = plan->map.range[at].end;
    if (memmap_reserve(&plan->map, 0, PLAN_LOW_END) != 0 ||
        memmap_reserve(&plan->map, KERNEL_PHYS, kernel_end) != 0) {
        return "the memory map has too many holes";
    }
    uint32_t usable = (uint32_t)(plan->map.total >> PG_SHIFT);
    if (usable < 2 * PLAN_POOL_FRAMES_MIN) return "too little memory";
    uint32_t cut = cut_address(&plan->map, usable / 2);
    place_windows(plan, cut);
    place_early(plan, kernel_end);
    if (plan->tables + (plan->table_count << PG_SHIFT) > TABLE_SPAN) {
        return "the page tables would not fit below 4 MiB";
    }
    if (plan->early_end > range_end || plan->early_end > LOW_MAP_BYTES) {
        return "no room for the page tables and records after the kernel";
    }
    if (memmap_reserve(&plan->map, kernel_end, plan->early_end) != 0) {
        return "the memory map has too many holes";
    }
    for (int id = 0; id < POOL_COUNT; id++) {
        struct plan_pool *pool = &plan->pool[id];
        uint64_t end = pool->start + ((uint64_t)pool->frames << PG_SHIFT);
        pool->usable = usable_between(&plan->map, pool->start, end);
        if (pool->usable < PLAN_POOL_FRAMES_MIN) return "too little memory";
    }
    return NULL;
}
