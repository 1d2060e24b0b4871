// memory_plan.c - see memory_plan.h for the picture.
//
// Everything that needs memory before there is a heap is placed here, in one go: page tables, and
// the records in which the pools keep their books. Their size depends on how much memory there is,
// so no array of the image could hold them; and the pools cannot give it, as they are not there
// yet. So they are taken out of the memory map, and what is left is the pools'.
//
// Three things depend on each other in a ring: the pools' lengths on the memory that is left, that
// on the records' length, and that on the pools' lengths. It is cut by taking the halves before the
// records: the kernel pool's half then pays for them all.
//
// Two limits make a plan fail on memory that would do for another one. Tables are written through
// the loader's mapping of the first 4 MiB, before the new ones are in use (L2); records are written
// through the low map, 128 MiB long (L1), and no array may have a hole in it. So, where a map has
// holes in awkward places, plans are tried one after the other, each giving up more than the last:
//
//   1. halves, the low map as short as it is when tables and records follow the kernel in a row
//   2. halves, the low map in full length
//   3. less for the kernel pool, by a quarter each time: one of its frames needs 80 bytes of
//      records and 4 of tables, one of the user pool's 16
//   4. the same without the uppermost range, and so on; one that holds less than the records for
//      the hole below it would take is left out from the start
//
// Pure: what it is told is what it uses, and it writes *plan alone. The host's tests run it on maps
// that no machine here has (tests/host/test_memory_plan.c).
//
// Invariants of a plan that was accepted:
//   L1  Tables and records lie in usable memory between 1 MiB and 128 MiB, each array in one range.
//   L2  The tables end below 4 MiB.
//   L3  Nothing in use is left in plan.map, so in neither pool; nor is anything from 640 KiB to
//       1 MiB, whatever the firmware says: what answers there is video memory and ROMs.
//   L4  The kernel pool's window fits the heap window; the user pool's begins where it ends.
//
// Shortcoming: the records are counted for holes too, as a window's frames are numbered without
// gaps; a map with a wide hole pays for it, up to a 256th of the hole's length.
#include "kernel/memory_plan.h"

#include "kernel/layout.h"

#define TABLE_SPAN 0x400000u // one page table maps 1024 pages: 4 MiB

// What a plan is tried with.
struct attempt {
    const struct memmap *map;
    uint32_t kernel_end;
    uint64_t memory_end; // memory from here on is left out
    uint32_t share;      // frames for the kernel pool, records included
    bool full_low_map;
};

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

// Takes `bytes` out of the map, whole pages, so that each array starts a page of its own: from the
// first range above 1 MiB that holds them below `limit`. Returns their address, 0 if none does.
static uint32_t take(struct memory_plan *plan, uint64_t bytes, uint32_t limit) {
    uint32_t size = round_up((uint32_t)bytes, PG_SIZE);
    for (size_t i = 0; i < plan->map.count; i++) {
        const struct mem_range *range = &plan->map.range[i];
        uint64_t start = range->start > KERNEL_PHYS ? range->start : KERNEL_PHYS;
        uint64_t end = range->end < limit ? range->end : limit;
        if (start >= end || end - start < size) continue;
        if (memmap_reserve(&plan->map, start, start + size) != 0) return 0;
        if (start + size > plan->early_end) plan->early_end = (uint32_t)start + size;
        return (uint32_t)start;
    }
    return 0;
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

// Places tables and records. What the low map must reach is not known before the tables are
// counted: in a row, 4 MiB more than the records are enough for the tables and for rounding.
static const char *place_early(struct memory_plan *plan, const struct attempt *try) {
    struct plan_pool *kernel = &plan->pool[POOL_KERNEL], *user = &plan->pool[POOL_USER];
    uint64_t frames = (uint64_t)kernel->frames * sizeof(struct frame);
    uint64_t arenas = (uint64_t)kernel->frames * sizeof(struct arena);
    uint64_t user_frames = (uint64_t)user->frames * sizeof(struct frame);
    uint64_t reach = try->kernel_end + frames + arenas + user_frames + TABLE_SPAN;
    if (try->full_low_map || reach > LOW_MAP_BYTES) reach = LOW_MAP_BYTES;
    plan->table_count = 1 + tables_for(reach) + tables_for((uint64_t)kernel->frames << PG_SHIFT) +
                        tables_for(STACK_END - STACK_BASE);
    plan->tables = take(plan, (uint64_t)plan->table_count << PG_SHIFT, TABLE_SPAN);
    if (!plan->tables) return "no room for the page tables below 4 MiB";
    kernel->frame_records = take(plan, frames, (uint32_t)reach);
    kernel->arena_records = take(plan, arenas, (uint32_t)reach);
    user->frame_records = take(plan, user_frames, (uint32_t)reach);
    bool placed = kernel->frame_records && kernel->arena_records && user->frame_records;
    return placed ? NULL : "no room for the frame and arena records below 128 MiB";
}

// What is memory to us: not the boot information, video memory, ROMs, the kernel, or what is left
// out of this attempt.
static const char *memory_choose(struct memory_plan *plan, const struct attempt *try) {
    plan->map = *try->map;
    if (memmap_reserve(&plan->map, 0, PLAN_LOW_END) != 0 ||
        memmap_reserve(&plan->map, PLAN_ROMS, KERNEL_PHYS) != 0 ||
        memmap_reserve(&plan->map, KERNEL_PHYS, try->kernel_end) != 0 ||
        memmap_reserve(&plan->map, try->memory_end, 1ull << 32) != 0) {
        return "the memory map has too many holes";
    }
    return plan->map.total >> PG_SHIFT < 2 * PLAN_POOL_FRAMES_MIN ? "too little memory" : NULL;
}

static const char *plan_try(struct memory_plan *plan, const struct attempt *try) {
    const char *why = memory_choose(plan, try);
    if (why) return why;
    plan->early_end = try->kernel_end;
    place_windows(plan, cut_address(&plan->map, try->share));
    why = place_early(plan, try);
    if (why) return why;
    for (int id = 0; id < POOL_COUNT; id++) {
        struct plan_pool *pool = &plan->pool[id];
        uint64_t end = pool->start + ((uint64_t)pool->frames << PG_SHIFT);
        pool->usable = usable_between(&plan->map, pool->start, end);
        if (pool->usable < PLAN_POOL_FRAMES_MIN) return "too little memory";
    }
    return NULL;
}

// Steps 1 to 3 of the head: the first plan that holds, or why the first one does not.
static const char *plan_shares(struct memory_plan *plan, struct attempt *try) {
    const char *first = memory_choose(plan, try);
    if (first) return first;
    try->share = (uint32_t)(plan->map.total >> PG_SHIFT) / 2;
    for (; try->share >= PLAN_POOL_FRAMES_MIN; try->share -= try->share / 4) {
        for (int full = 0; full <= 1; full++) {
            try->full_low_map = full;
            const char *why = plan_try(plan, try);
            if (!why) return NULL;
            if (!first) first = why;
        }
    }
    return first;
}

// How many of the ranges, from the lowest on, are worth having: records for a hole can cost more
// than the range above it holds.
static size_t ranges_worthwhile(const struct memmap *map) {
    size_t ranges = map->count;
    for (; ranges > 1; ranges--) {
        const struct mem_range *last = &map->range[ranges - 1];
        uint64_t frames = (last->end - map->range[ranges - 2].end) >> PG_SHIFT;
        if (frames * sizeof(struct frame) < last->end - last->start) break;
    }
    return ranges;
}

// Text instead of a number for a refusal: the one caller can only print it (kernel/main.c). What is
// told is why all of the memory would not do, not what the last attempt met.
const char *memory_plan_make(struct memory_plan *plan, const struct memmap *map,
                             uint32_t kernel_end) {
    struct attempt try = {.map = map, .kernel_end = kernel_end};
    const char *first = NULL;
    for (size_t ranges = ranges_worthwhile(map); ranges > 0; ranges--) {
        try.memory_end = map->range[ranges - 1].end;
        const char *why = plan_shares(plan, &try);
        if (!why) return NULL;
        if (!first) first = why;
    }
    return first ? first : "too little memory";
}
