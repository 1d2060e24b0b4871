// memmap.h - the firmware's memory map turned into usable ranges. Pure: knows only lib.
//
// Any context; the caller owns every struct and nothing is kept between two calls. Too large for a
// stack: a struct memmap has 4 KiB.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bootinfo.h"

// At most MAP_MAX raw entries make at most MAP_MAX usable ranges; reserving may split some.
#define MEMMAP_MAX ((size_t)2 * MAP_MAX)

struct mem_range {
    uint64_t start; // first byte, multiple of 4096
    uint64_t end;   // one past the last byte, multiple of 4096, > start
};

// Invariants: (1) sorted by start, (2) disjoint and not touching: range[i].end < range[i+1].start,
// (3) every bound a multiple of 4096, (4) end <= 2^32, (5) total = sum of the lengths.
struct memmap {
    struct mem_range range[MEMMAP_MAX];
    size_t count;
    uint64_t total;  // usable bytes below 4 GiB, whole frames only
    uint64_t beyond; // usable bytes at or above 4 GiB: out of reach of 32-bit paging without PAE
};

// Turns `count` raw entries (any order, overlapping, wrapping, empty, unknown types) into usable
// ranges. A byte is usable when some type-1 entry covers it and no entry of another type does.
// Entries whose ACPI attribute bit 0 is clear are ignored. A range that wraps past 2^64 is cut
// there. Bounds are rounded inwards to frames. Returns 0, or -1 with *out empty: nothing usable, or
// count > MAP_MAX. Any context.
int memmap_normalize(const struct e820_entry *raw, size_t count, struct memmap *out);

// Takes [start, end) out of the usable ranges, rounded outwards to frames; `beyond` stays. Returns
// 0, or -1 with the map unchanged: more than MEMMAP_MAX ranges would be needed, or start > end.
int memmap_reserve(struct memmap *map, uint64_t start, uint64_t end);

// Index of the range that holds address `at`, or -1.
int memmap_find(const struct memmap *map, uint64_t at);

const char *memmap_type_name(uint32_t type); // "usable", "reserved", ...; never NULL
