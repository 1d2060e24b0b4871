// fuzz_memmap.c - kernel/memmap.c against two oracles that know nothing of sweeps.
//
// What only it can find: a firmware's map that ends in memory which is none, or in none where
// there is some; no list of known maps has it.
//
// libFuzzer calls LLVMFuzzerTestOneInput() (make fuzz-memmap); tests/host/test_memmap_random.c
// calls it with random bytes where there is no libFuzzer. A wrong answer ends the program with a
// message.
//
// The first byte of an input chooses among four readings of the rest:
//
//   0, 1, 2  Byte map. All bounds fall into one of four windows, on cells of 1, 64 or 1024 bytes:
//
//              0         64 Ki cells          2^32 - 8 Ki | 2^32 + 8 Ki          2^64 - 8 Ki   2^64
//              |== low ==|......... gap .........|= below =|= above =|..... gap .....|== top ==|
//
//            The oracle has a byte for each cell of the windows, and one for each gap: nothing
//            starts or ends in a gap, so all of it has one fate. It paints the entries cell by
//            cell, then looks at each frame: a complete answer, which the map must match to the
//            byte. With cells of 1024 bytes the low window is 64 MiB; with cells of one byte it
//            is 16 frames, and every rounding is seen. What is left of the input are ranges to
//            reserve, painted in the same way.
//   3        Any 64-bit numbers. No byte map is large enough, so single frames are asked about:
//            those around every bound of every entry. The oracle reckons in 128 bits, where
//            nothing wraps.
//
// Every result must keep invariants (1) to (5) of memmap.h as well. The entries and the map lie in
// memory from malloc(), the entries in just as much as they need, so that ASan sees a step outside.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/memmap.h"
#include "lib/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define REQUIRE(condition)                                                                 \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

typedef unsigned __int128 wide; // where 2^64 is a number like any other

#define PAGE ((wide)PG_SIZE)
#define FOUR_GIB ((wide)1 << 32)
#define ALL ((wide)1 << 64)

// ---- the input, read from front to back; past its end it is all zeros ------------------------

struct input {
    const uint8_t *at;
    size_t left;
};

static uint64_t take(struct input *in, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes && in->left > 0; i++, in->left--) {
        value |= (uint64_t)*in->at++ << (8 * i);
    }
    return value;
}

// ---- entries as they are meant ------------------------------------------------------------------

// One past the last byte; what wraps is cut at 2^64.
static wide end_of(const struct e820_entry *entry) {
    wide end = (wide)entry->base + entry->length;
    return end < ALL ? end : ALL;
}

static bool entry_speaks(const struct e820_entry *entry) {
    return (entry->acpi & 1) != 0 && entry->length != 0;
}

// ---- what is tested -----------------------------------------------------------------------------

static struct e820_entry *raw; // `raw_count` entries
static size_t raw_count;
static struct memmap *map;

static void allocate(size_t count) {
    raw_count = count;
    raw = count > 0 ? calloc(count, sizeof *raw) : NULL;
    map = malloc(sizeof *map);
    REQUIRE(map != NULL && (raw != NULL || count == 0));
    memset(map, 0xa5, sizeof *map);
}

static void release(void) {
    free(raw);
    free(map);
}

// ---- invariants --------------------------------------------------------------------------------

static void check_invariants(void) {
    uint64_t total = 0;
    REQUIRE(map->count <= MEMMAP_MAX);
    for (size_t i = 0; i < map->count; i++) {
        const struct mem_range *range = &map->range[i];
        REQUIRE(range->start < range->end);
        REQUIRE(i == 0 || map->range[i - 1].end < range->start);     // (1), (2)
        REQUIRE(range->start % PAGE == 0 && range->end % PAGE == 0); // (3)
        REQUIRE(range->end <= FOUR_GIB);                             // (4)
        total += range->end - range->start;
    }
    REQUIRE(map->total == total); // (5)
}

// Every range's edges, as memmap_find() sees them.
static void check_find(void) {
    for (size_t i = 0; i < map->count; i++) {
        const struct mem_range *range = &map->range[i];
        REQUIRE(memmap_find(map, range->start) == (int)i);
        REQUIRE(memmap_find(map, range->end - 1) == (int)i);
        REQUIRE(memmap_find(map, range->end) == -1);
        REQUIRE(range->start == 0 || memmap_find(map, range->start - 1) == -1);
    }
}

// ---- the byte map ------------------------------------------------------------------------------

#define LOW_CELLS 65536u
#define EDGE_CELLS \
    8192u // of the windows at 2^32 and 2^64; even a cell of one byte makes it two frames

// Windows and gaps in the order of their addresses: together all 2^64 bytes.
enum { LOW, GAP_BELOW, BELOW, ABOVE, GAP_ABOVE, WINDOW_TOP, PARTS };

struct part {
    wide start, end;  // bytes; whole frames
    uint32_t cells;   // a gap is one cell
    uint8_t *usable;  // a byte a cell: some usable entry covers it
    uint8_t *refused; // some other entry does, or it is reserved
};

static uint8_t usable_cell[LOW_CELLS + 3 * EDGE_CELLS + 2];
static uint8_t refused_cell[LOW_CELLS + 3 * EDGE_CELLS + 2];
static struct part part[PARTS];
static uint32_t cell_bytes;

static void lay_out(uint32_t bytes) {
    const uint32_t cells[PARTS] = {LOW_CELLS, 1, EDGE_CELLS, EDGE_CELLS, 1, EDGE_CELLS};
    const wide edge = (wide)EDGE_CELLS * bytes;
    const wide start[PARTS + 1] = {
        0, (wide)LOW_CELLS * bytes, FOUR_GIB - edge, FOUR_GIB, FOUR_GIB + edge, ALL - edge, ALL};
    uint32_t first = 0;
    cell_bytes = bytes;
    for (int i = 0; i < PARTS; i++) {
        part[i] = (struct part){start[i], start[i + 1], cells[i], usable_cell + first,
                                refused_cell + first};
        first += cells[i];
    }
    memset(usable_cell, 0, sizeof usable_cell);
    memset(refused_cell, 0, sizeof refused_cell);
}

// An address on a cell of some window: three bytes of the input.
static uint64_t take_address(struct input *in) {
    static const int window[4] = {LOW, BELOW, ABOVE, WINDOW_TOP};
    const struct part *in_part = &part[window[take(in, 1) % 4]];
    uint64_t cell = take(in, 2) % in_part->cells;
    return (uint64_t)(in_part->start + (wide)cell * cell_bytes);
}

// Marks all cells of [start, end), which begins and ends on cells or is wider than a gap.
static void paint(wide start, wide end, bool refuse) {
    for (int i = 0; i < PARTS; i++) {
        const struct part *p = &part[i];
        wide from = start > p->start ? start : p->start, to = end < p->end ? end : p->end;
        if (from >= to) continue;
        wide cell = p->cells == 1 ? p->end - p->start : cell_bytes;
        size_t first = (size_t)((from - p->start) / cell);
        size_t count = (size_t)((to - p->start) / cell) - first;
        memset((refuse ? p->refused : p->usable) + first, 1, count);
    }
}

static bool cells_usable(const struct part *p, size_t first, size_t count) {
    for (size_t i = first; i < first + count; i++) {
        if (!p->usable[i] || p->refused[i]) return false;
    }
    return true;
}

// The ranges that the painted map comes to.
struct answer {
    struct mem_range range[2 * MEMMAP_MAX];
    size_t count;
    uint64_t beyond;
};

static void answer_add(struct answer *answer, wide start, wide end) {
    if (start >= FOUR_GIB) {
        answer->beyond += (uint64_t)(end - start);
        return;
    }
    struct mem_range *last = answer->count > 0 ? &answer->range[answer->count - 1] : NULL;
    if (last && last->end == start) {
        last->end = (uint64_t)end;
        return;
    }
    REQUIRE(answer->count < sizeof answer->range / sizeof answer->range[0]);
    answer->range[answer->count++] = (struct mem_range){(uint64_t)start, (uint64_t)end};
}

static void read_off(struct answer *answer) {
    answer->count = 0;
    answer->beyond = 0;
    for (int i = 0; i < PARTS; i++) {
        const struct part *p = &part[i];
        if (p->cells == 1) {
            if (cells_usable(p, 0, 1)) answer_add(answer, p->start, p->end);
            continue;
        }
        size_t cells = PG_SIZE / cell_bytes; // of a frame
        for (size_t at = 0; at < p->cells; at += cells) {
            wide start = p->start + (wide)at * cell_bytes;
            if (cells_usable(p, at, cells)) answer_add(answer, start, start + PAGE);
        }
    }
}

static void check_ranges(const struct answer *answer) {
    check_invariants();
    check_find();
    REQUIRE(map->count == answer->count);
    for (size_t i = 0; i < map->count; i++) {
        REQUIRE(map->range[i].start == answer->range[i].start);
        REQUIRE(map->range[i].end == answer->range[i].end);
    }
}

// What the header says of the result, given what the oracle found.
static void check_map(int result, struct answer *answer) {
    if (answer->count == 0) answer->beyond = 0;
    REQUIRE(result == (answer->count == 0 ? -1 : 0));
    check_ranges(answer);
    REQUIRE(map->beyond == answer->beyond);
}

// One entry of the input, seven or eight bytes, and its paint. An end before the start makes an
// entry that wraps.
static struct e820_entry take_entry(struct input *in) {
    uint64_t kind = take(in, 1);
    struct e820_entry entry = {.base = take_address(in), .type = 1, .acpi = 1};
    entry.length = take_address(in) - entry.base;
    if (kind & 1) entry.type = 2;
    if ((kind & 0x0e) == 0x0e) entry.type = (uint32_t)(kind >> 4); // 0, 1, 3 ... 15: seldom
    if ((kind & 0xf0) == 0xf0) entry.acpi = (uint32_t)(kind & 2);  // switched off: seldom
    if (entry_speaks(&entry)) paint(entry.base, end_of(&entry), entry.type != 1);
    return entry;
}

// Reserves [start, end) on both sides and compares.
static void check_reserve(uint64_t start, uint64_t end) {
    static struct memmap before;
    static struct answer answer;
    before = *map;
    int result = memmap_reserve(map, start, end);
    if (start > end) {
        REQUIRE(result == -1 && memcmp(map, &before, sizeof before) == 0);
        return;
    }
    static uint8_t saved[sizeof refused_cell];
    memcpy(saved, refused_cell, sizeof saved);
    if (start < end) paint(start, end, true);
    read_off(&answer);
    if (answer.count > MEMMAP_MAX) {
        REQUIRE(result == -1 && memcmp(map, &before, sizeof before) == 0);
        memcpy(refused_cell, saved, sizeof saved);
        return;
    }
    REQUIRE(result == 0 && map->beyond == before.beyond);
    check_ranges(&answer);
}

static void run_byte_map(struct input *in, uint32_t bytes) {
    static struct answer answer;
    lay_out(bytes);
    size_t reserves = take(in, 1) % 8;
    allocate(take(in, 1) % (MAP_MAX + 2));
    for (size_t i = 0; i < raw_count; i++) raw[i] = take_entry(in);
    int result = memmap_normalize(raw, raw_count, map);
    if (raw_count > MAP_MAX) {
        REQUIRE(result == -1 && map->count == 0 && map->total == 0 && map->beyond == 0);
        return;
    }
    read_off(&answer);
    check_map(result, &answer);
    for (size_t i = 0; i < reserves && result == 0; i++) {
        uint64_t start = take_address(in), end = take_address(in);
        check_reserve(start, end);
    }
}

// ---- any numbers -------------------------------------------------------------------------------

// True if some other kind of entry has a byte of [start, end).
static bool touched_by_other(wide start, wide end) {
    for (size_t i = 0; i < raw_count; i++) {
        if (!entry_speaks(&raw[i]) || raw[i].type == 1) continue;
        if (raw[i].base < end && end_of(&raw[i]) > start) return true;
    }
    return false;
}

// True if usable entries cover all of [start, end): goes on from where the last one ended.
static bool covered(wide start, wide end) {
    for (size_t round = 0; round < raw_count && start < end; round++) {
        for (size_t i = 0; i < raw_count; i++) {
            if (!entry_speaks(&raw[i]) || raw[i].type != 1) continue;
            if (raw[i].base <= start && end_of(&raw[i]) > start) start = end_of(&raw[i]);
        }
    }
    return start >= end;
}

// The frame that holds byte `at`, if it is below 4 GiB.
static void check_frame(wide at) {
    if (at >= FOUR_GIB) return;
    wide start = at / PAGE * PAGE, end = start + PAGE;
    bool usable = covered(start, end) && !touched_by_other(start, end);
    REQUIRE((memmap_find(map, (uint64_t)at) >= 0) == usable);
}

static void run_any_numbers(struct input *in) {
    allocate(take(in, 1) % (MAP_MAX + 1));
    for (size_t i = 0; i < raw_count; i++) {
        uint64_t kind = take(in, 1);
        raw[i].base = take(in, 8) >> (kind & 0x38); // 0 to 56 bits less: small numbers too
        raw[i].length = take(in, 8) >> (kind >> 2 & 0x38);
        raw[i].type = 1 + (kind & 1);
        raw[i].acpi = (kind & 6) != 6;
    }
    int result = memmap_normalize(raw, raw_count, map);
    check_invariants();
    check_find();
    REQUIRE(result == (map->count == 0 ? -1 : 0));
    for (size_t i = 0; i < raw_count; i++) {
        for (int frames = 0; frames < 3; frames++) { // one before, its own, one after
            check_frame((ALL - PAGE + raw[i].base + frames * PAGE) % ALL);
            check_frame((ALL - PAGE + end_of(&raw[i]) + frames * PAGE) % ALL);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct input in = {data, bytes};
    static const uint32_t cell[3] = {1, 64, 1024};
    uint64_t reading = take(&in, 1) % 4;
    if (reading < 3) run_byte_map(&in, cell[reading]);
    else run_any_numbers(&in);
    release();
    return 0;
}
