// memmap.c - the firmware's memory map turned into usable ranges. Pure: no hardware, no globals.
//
// Why it takes a file. The firmware promises little: entries come in any order, overlap, are empty,
// repeat, end in the middle of a frame or wrap past the end of the address space. Real ones do all
// of that. A kernel that believes the largest entry, or adds base to length, hands out memory that
// is not there.
//
// Theory: a sweep over boundaries. What covers a byte can only change where some entry starts or
// after its last byte. Between two such boundaries all bytes are covered alike, so it is enough to
// ask about one byte of each segment:
//
//   entry 1, usable     |------------------------|
//   entry 2, reserved           |-----|
//   entry 3, usable                        |------------|
//   segments            |       |     |    |     |      |
//   the first byte      yes     no    yes  yes   yes     no
//   usable runs         [------)      [-----------------)
//
// The next boundary is found by looking at all entries again. With n entries that is at most 2n + 1
// segments of 2n looks each: 66,000 looks for the largest map, once, at boot. In return nothing
// is sorted, nothing is stored on the way, and the order of the entries cannot matter.
//
// No sum here can wrap. Bytes are named by the first and the *last* of a range, so that 2^64 is
// never needed as a number; after the sweep all is counted in frames, of which there are 2^52.
// Bytes are made into frames by shifts: a 64-bit division would call the compiler's library.
//
// Invariants (1) to (5) are in memmap.h, at the struct.
//
// Shortcomings: memory above 4 GiB is counted, not listed. Entries whose meaning is unknown take
// memory away and never give any. memmap_find() is linear: a map has few ranges, and it is asked
// rarely.
#include "kernel/memmap.h"

#include "lib/page.h"

#define E820_USABLE 1u
#define E820_ACPI_ENABLED 1u // bit 0 of the extended attributes (ACPI 6.5, chapter 15)

#define FRAMES_BELOW_4G (1ull << (32 - PG_SHIFT))

// The comments that begin with @ are contracts, for `make formal`.

// Entries that say nothing: switched off by the firmware, or without a byte.
/*@ requires \valid_read(entry);
    assigns \nothing;
    ensures \result ==> entry->length != 0; */
static bool entry_counts(const struct e820_entry *entry) {
    return (entry->acpi & E820_ACPI_ENABLED) != 0 && entry->length != 0;
}

// An entry's last byte; a range that wraps is cut at the end of the address space.
/*@ requires \valid_read(entry) && entry->length > 0;
    assigns \nothing;
    ensures \result == \min(entry->base + entry->length - 1, 0xffffffffffffffff);
    ensures \result >= entry->base; */
static uint64_t entry_last(const struct e820_entry *entry) {
    uint64_t more = entry->length - 1;
    return more > UINT64_MAX - entry->base ? UINT64_MAX : entry->base + more;
}

// True if some usable entry covers byte `at` and no other kind does. One entry against it decides:
// memory left unused costs little, a device's registers used as memory cost everything.
/*@ requires \valid_read(raw + (0 .. count - 1));
    assigns \nothing; */
static bool byte_usable(const struct e820_entry *raw, size_t count, uint64_t at) {
    bool usable = false;
    /*@ loop invariant 0 <= i <= count;
        loop assigns i, usable;
        loop variant count - i; */
    for (size_t i = 0; i < count; i++) {
        if (!entry_counts(&raw[i]) || at < raw[i].base || at > entry_last(&raw[i])) continue;
        if (raw[i].type != E820_USABLE) return false;
        usable = true;
    }
    return usable;
}

// Last byte of the segment that starts at `at`: after it the next entry starts or one ends. Not
// before `at`, so the sweep comes to its end.
/*@ requires \valid_read(raw + (0 .. count - 1));
    assigns \nothing;
    ensures \result >= at; */
static uint64_t segment_last(const struct e820_entry *raw, size_t count, uint64_t at) {
    uint64_t nearest = UINT64_MAX;
    /*@ loop invariant 0 <= i <= count && nearest >= at;
        loop assigns i, nearest;
        loop variant count - i; */
    for (size_t i = 0; i < count; i++) {
        if (!entry_counts(&raw[i])) continue;
        uint64_t last = entry_last(&raw[i]);
        if (raw[i].base > at && raw[i].base - 1 < nearest) nearest = raw[i].base - 1;
        if (last >= at && last < nearest) nearest = last;
    }
    return nearest;
}

// Adds the whole frames of a usable run, given by its first and last byte. There is room: every run
// starts where a usable entry starts or after another one's last byte, so n entries make n runs at
// most.
//
// Runs that are two before the rounding are two after it, and do not touch (2): the byte between
// them is not usable, and its frame is in neither.
/*@ requires \valid(map) && map->count < MEMMAP_MAX;
    assigns *map;
    ensures map->count == \old(map->count) || map->count == \old(map->count) + 1; */
static void add_run(struct memmap *map, uint64_t first, uint64_t last) {
    const uint64_t offset = PG_SIZE - 1; // bits of an address inside its frame
    uint64_t from = (first >> PG_SHIFT) + ((first & offset) != 0);
    uint64_t to = (last >> PG_SHIFT) + ((last & offset) == offset); // one past the last whole frame
    if (to > FRAMES_BELOW_4G) {
        uint64_t above = from > FRAMES_BELOW_4G ? from : FRAMES_BELOW_4G;
        if (above < to) map->beyond += (to - above) << PG_SHIFT;
        to = FRAMES_BELOW_4G;
    }
    if (from >= to) return;
    struct mem_range *range = &map->range[map->count++];
    range->start = from << PG_SHIFT;
    range->end = to << PG_SHIFT;
    map->total += range->end - range->start;
}

/*@ requires \valid(map);
    assigns map->count, map->total, map->beyond;
    ensures map->count == 0 && map->total == 0 && map->beyond == 0; */
static void map_clear(struct memmap *map) {
    map->count = 0;
    map->total = 0;
    map->beyond = 0;
}

/*@ requires \valid(out) && (count <= MAP_MAX ==> \valid_read(raw + (0 .. count - 1)));
    requires \separated(out, raw + (0 .. count - 1));
    assigns *out;
    ensures count > MAP_MAX ==> \result == -1 && out->count == 0;
    ensures \result == -1 || (\result == 0 && out->count > 0);
    ensures \result == -1 ==> out->count == 0 && out->total == 0 && out->beyond == 0; */
int memmap_normalize(const struct e820_entry *raw, size_t count, struct memmap *out) {
    map_clear(out);
    if (count > MAP_MAX) return -1;
    uint64_t at = 0, last, first = 0; // `first`: of the run we are in, if we are in one
    bool inside = false;
    //@ loop assigns at, last, first, inside, *out;
    do {
        bool usable = byte_usable(raw, count, at);
        if (usable && !inside) first = at;
        if (!usable && inside) add_run(out, first, at - 1);
        inside = usable;
        last = segment_last(raw, count, at);
        at = last + 1; // wraps only where the loop ends
    } while (last != UINT64_MAX);
    if (inside) add_run(out, first, UINT64_MAX);
    if (out->count != 0) return 0;
    map_clear(out); // memory beyond 4 GiB alone is no memory to us
    return -1;
}

// Opens a hole inside range `at`: the only way to need one range more.
/*@ requires \valid(map) && map->count <= MEMMAP_MAX && at < map->count;
    assigns *map;
    ensures \old(map->count) == MEMMAP_MAX ==> \result == -1 && map->count == \old(map->count);
    ensures \old(map->count) < MEMMAP_MAX ==>
      \result == 0 && map->count == \old(map->count) + 1 && map->range[at].end == start &&
      map->range[at + 1].start == end; */
static int split(struct memmap *map, size_t at, uint64_t start, uint64_t end) {
    if (map->count == MEMMAP_MAX) return -1;
    /*@ loop invariant at <= i < MEMMAP_MAX;
        loop assigns i, map->range[0 .. MEMMAP_MAX - 1];
        loop variant i - at; */
    for (size_t i = map->count++; i > at; i--) map->range[i] = map->range[i - 1];
    map->range[at].end = start;
    map->range[at + 1].start = end;
    map->total -= end - start;
    return 0;
}

// Cuts [start, end) off a range that does not reach out on both sides of it; true if something is
// left.
/*@ requires \valid(range) && range->start < range->end;
    requires !(range->start < start && range->end > end);
    assigns range->start, range->end;
    ensures \result ==> range->start < range->end && \old(range->start) <= range->start &&
      range->end <= \old(range->end) && (range->end <= start || range->start >= end);
    ensures !\result ==> \old(range->start) >= start && \old(range->end) <= end; */
static bool trim(struct mem_range *range, uint64_t start, uint64_t end) {
    if (range->end <= start || range->start >= end) return true;
    if (range->start < start) {
        range->end = start;
    } else if (range->end > end) {
        range->start = end;
    } else {
        return false;
    }
    return true;
}

/*@ requires \valid(map) && map->count <= MEMMAP_MAX;
    requires \forall integer k; 0 <= k < map->count ==> map->range[k].start < map->range[k].end;
    assigns *map;
    ensures map->count <= MEMMAP_MAX;
    ensures start > end ==> \result == -1 && map->count == \old(map->count); */
int memmap_reserve(struct memmap *map, uint64_t start, uint64_t end) {
    if (start >= end) return start == end ? 0 : -1;
    // Outwards to frames. All ranges end at 4 GiB, so an end beyond it means the same.
    uint64_t to = (end >> PG_SHIFT) + ((end & (PG_SIZE - 1)) != 0);
    start = start >> PG_SHIFT << PG_SHIFT;
    end = (to < FRAMES_BELOW_4G ? to : FRAMES_BELOW_4G) << PG_SHIFT;
    uint64_t total = 0;
    size_t kept = 0;
    /*@ loop invariant 0 <= kept <= i <= map->count;
        loop invariant map->count == \at(map->count, LoopEntry);
        loop invariant \forall integer k; i <= k < map->count ==>
          map->range[k].start < map->range[k].end;
        loop assigns i, kept, total, map->range[0 .. MEMMAP_MAX - 1];
        loop variant map->count - i; */
    for (size_t i = 0; i < map->count; i++) {
        struct mem_range range = map->range[i];
        // No other range can be touched then: they are disjoint, and this one holds all of [start,
        // end).
        if (range.start < start && range.end > end) return split(map, i, start, end);
        if (!trim(&range, start, end)) continue;
        map->range[kept++] = range; // kept <= i: never ahead of what is read
        total += range.end - range.start;
    }
    map->count = kept;
    map->total = total;
    return 0;
}

/*@ requires \valid_read(map) && map->count <= MEMMAP_MAX;
    assigns \nothing;
    ensures \result == -1 || (0 <= \result < map->count &&
      map->range[\result].start <= at < map->range[\result].end); */
int memmap_find(const struct memmap *map, uint64_t at) {
    /*@ loop invariant 0 <= i <= map->count;
        loop assigns i;
        loop variant map->count - i; */
    for (size_t i = 0; i < map->count; i++) {
        if (at >= map->range[i].start && at < map->range[i].end) return (int)i;
    }
    return -1;
}

const char *memmap_type_name(uint32_t type) {
    // ACPI 6.5, chapter 15. Type 0 and what has no name here is unknown.
    static const char *const name[] = {
        [1] = "usable",     [2] = "reserved", [3] = "ACPI reclaimable",  [4] = "ACPI NVS",
        [5] = "bad memory", [6] = "disabled", [7] = "persistent memory",
    };
    bool known = type < sizeof name / sizeof name[0] && name[type] != NULL;
    return known ? name[type] : "unknown";
}
