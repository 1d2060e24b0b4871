// memory_plan.h - who gets which physical memory: page tables, records, the two pools. Pure: no
// hardware, no globals.
//
//   0      64 KiB           640 KiB  1 MiB                                             end
//   |------|----------------|--------|--------|----------|--------------|--------------|
//    boot   kernel pool's    ROMs     kernel   tables,    kernel pool    user pool
//    info   first frames              image    records
//
// Each pool gets half of the usable frames, the kernel pool the lower half, as in the seed; the
// page tables and records come out of the kernel pool's half. A pool is a window: a stretch of
// physical addresses whose frames are numbered from 0, memory or not.
//
// That is the usual machine. Where the memory map has a hole near the kernel, records lie in the
// first ranges that hold them, or the kernel pool is smaller.
#pragma once

#include <stdint.h>

#include "kernel/heap.h"
#include "kernel/memmap.h"

#define PLAN_LOW_END 0x10000u    // boot information lies below; frames above it join the pool
#define PLAN_ROMS 0xa0000u       // video memory and ROMs up to 1 MiB: never memory, on any PC
#define PLAN_POOL_FRAMES_MIN 64u // a pool smaller than 256 KiB is refused

struct plan_pool {
    uint32_t start;         // physical address of the window's first frame
    uint32_t frames;        // frames in the window, holes included
    uint32_t usable;        // frames that are memory
    uint32_t frame_records; // physical address of `frames` struct frame
    uint32_t arena_records; // of `frames` struct arena, kernel pool only
};

struct memory_plan {
    struct memmap map;    // usable memory, without what the boot information and the kernel hold
    uint32_t tables;      // physical address of the page directory and the page tables after it
    uint32_t table_count; // page directory included
    uint32_t early_end;   // first byte after kernel, tables and records: the low map's length
    struct plan_pool pool[POOL_COUNT];
};

// Fills *plan from the usable ranges; kernel_end is the first physical byte after the kernel
// image, page aligned. Returns NULL, or in a few words why this memory will not do; *plan is then
// half filled and of no use. *map is copied. Any context; some thousand instructions, more where
// the map has awkward holes.
const char *memory_plan_make(struct memory_plan *plan, const struct memmap *map,
                             uint32_t kernel_end);
