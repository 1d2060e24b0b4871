// test_memmap.c - kernel/memmap.c: what the firmware says, and what may be believed of it.
//
// The first half is a table: a map, and the ranges it must come to. Each line is a test of its own,
// and each is tried with its entries in several orders, for no order may matter. The second half
// tests the calls.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/memmap.h"
#include "lib/page.h"
#include "tests/host/maps/real_maps.h"

#define KIB 0x400ull
#define MIB 0x100000ull
#define GIB 0x40000000ull
#define TOP UINT64_MAX // the last byte there is

// Entries by kind. E: usable; R: reserved; T: any type; OFF: usable, but ACPI bit 0 is clear.
// clang-format off
#define E(base, length)       {(base), (length), 1, 1}
#define R(base, length)       {(base), (length), 2, 1}
#define T(type, base, length) {(base), (length), (type), 1}
#define OFF(base, length)     {(base), (length), 1, 0}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE ((size_t)PG_SIZE)
#define LIST(type, ...) (const type[]){__VA_ARGS__}, COUNT(((const type[]){__VA_ARGS__}))
#define RAW(...)  LIST(struct e820_entry, __VA_ARGS__)
#define WANT(...) LIST(struct mem_range, __VA_ARGS__)
#define REAL(map) map, COUNT(map)
#define NOTHING   NULL, 0
// clang-format on

struct map_case {
    const char *name;
    const struct e820_entry *raw;
    size_t count;
    const struct mem_range *want; // none: the map is refused
    size_t want_count;
    uint64_t beyond;
};

// clang-format off
static const struct map_case cases[] = {
    // ---- plain
    {"one range", RAW(E(0, 4 * MIB)), WANT({0, 4 * MIB}), 0},
    {"one frame", RAW(E(0x5000, 0x1000)), WANT({0x5000, 0x6000}), 0},
    {"a hole between two", RAW(E(0, 0x9f000), E(MIB, MIB)), WANT({0, 0x9f000}, {MIB, 2 * MIB}), 0},
    {"unsorted", RAW(E(8 * MIB, MIB), E(0, MIB), E(4 * MIB, MIB)),
     WANT({0, MIB}, {4 * MIB, 5 * MIB}, {8 * MIB, 9 * MIB}), 0},
    {"the same entry twice", RAW(E(MIB, MIB), E(MIB, MIB)), WANT({MIB, 2 * MIB}), 0},
    {"the same entry five times",
     RAW(E(MIB, MIB), E(MIB, MIB), E(MIB, MIB), E(MIB, MIB), E(MIB, MIB)),
     WANT({MIB, 2 * MIB}), 0},

    // ---- joining
    {"two that touch", RAW(E(0, MIB), E(MIB, MIB)), WANT({0, 2 * MIB}), 0},
    {"three that touch, backwards", RAW(E(2 * MIB, MIB), E(MIB, MIB), E(0, MIB)),
     WANT({0, 3 * MIB}), 0},
    {"two that overlap", RAW(E(0, 3 * MIB), E(MIB, 3 * MIB)), WANT({0, 4 * MIB}), 0},
    {"one inside another", RAW(E(0, 8 * MIB), E(MIB, MIB)), WANT({0, 8 * MIB}), 0},
    {"same start, other lengths", RAW(E(MIB, MIB), E(MIB, 3 * MIB)), WANT({MIB, 4 * MIB}), 0},
    {"same end, other starts", RAW(E(MIB, 3 * MIB), E(3 * MIB, MIB)), WANT({MIB, 4 * MIB}), 0},
    {"a bridge joins two", RAW(E(0, MIB), E(2 * MIB, MIB), E(MIB / 2, 2 * MIB)),
     WANT({0, 3 * MIB}), 0},

    // ---- usable against everything else
    {"reserved inside usable", RAW(E(0, 4 * MIB), R(MIB, MIB)),
     WANT({0, MIB}, {2 * MIB, 4 * MIB}), 0},
    {"reserved over the start", RAW(E(MIB, 3 * MIB), R(0, 2 * MIB)), WANT({2 * MIB, 4 * MIB}), 0},
    {"reserved over the end", RAW(E(0, 4 * MIB), R(3 * MIB, 2 * MIB)), WANT({0, 3 * MIB}), 0},
    {"reserved over all", RAW(E(MIB, MIB), R(0, 4 * MIB)), NOTHING, 0},
    {"reserved over all, exactly", RAW(E(MIB, MIB), R(MIB, MIB)), NOTHING, 0},
    {"two reserved leave a gap", RAW(E(0, 4 * MIB), R(0, MIB), R(2 * MIB, 2 * MIB)),
     WANT({MIB, 2 * MIB}), 0},
    {"reserved entries overlap", RAW(E(0, 8 * MIB), R(MIB, 3 * MIB), R(2 * MIB, 4 * MIB)),
     WANT({0, MIB}, {6 * MIB, 8 * MIB}), 0},
    {"reserved over a join", RAW(E(0, 2 * MIB), E(2 * MIB, 2 * MIB), R(MIB, 2 * MIB)),
     WANT({0, MIB}, {3 * MIB, 4 * MIB}), 0},
    {"twice usable, once reserved", RAW(E(0, MIB), E(0, MIB), R(0, 0x1000)),
     WANT({0x1000, MIB}), 0},
    {"one reserved byte", RAW(E(0, 4 * MIB), R(MIB + 0x123, 1)),
     WANT({0, MIB}, {MIB + 0x1000, 4 * MIB}), 0},
    {"ACPI tables, types 3 and 4", RAW(E(0, 4 * MIB), T(3, 2 * MIB, 0x1000), T(4, 3 * MIB, 0x1000)),
     WANT({0, 2 * MIB}, {2 * MIB + 0x1000, 3 * MIB}, {3 * MIB + 0x1000, 4 * MIB}), 0},
    {"bad memory, type 5", RAW(E(0, 2 * MIB), T(5, MIB, 0x2000)),
     WANT({0, MIB}, {MIB + 0x2000, 2 * MIB}), 0},
    {"unknown types take",
     RAW(E(0, 4 * MIB), T(0, 0, MIB), T(12, 2 * MIB, MIB), T(0xffffffff, 3 * MIB, 0x1000)),
     WANT({MIB, 2 * MIB}, {3 * MIB + 0x1000, 4 * MIB}), 0},
    {"unknown types do not give",
     RAW(T(0, 0, MIB), T(6, MIB, MIB), T(7, 2 * MIB, MIB), T(0x80000001, 3 * MIB, MIB)),
     NOTHING, 0},

    // ---- entries that say nothing
    {"length zero", RAW(E(MIB, 0), E(2 * MIB, MIB)), WANT({2 * MIB, 3 * MIB}), 0},
    {"length zero, reserved", RAW(E(MIB, 2 * MIB), R(2 * MIB, 0)), WANT({MIB, 3 * MIB}), 0},
    {"length zero at both ends", RAW(E(0, 0), R(0, 0), E(TOP, 0), R(TOP, 0), E(MIB, MIB)),
     WANT({MIB, 2 * MIB}), 0},
    {"only length zero", RAW(E(0, 0), E(MIB, 0)), NOTHING, 0},
    {"ACPI bit 0 clear, usable", RAW(OFF(0, 8 * MIB), E(MIB, MIB)), WANT({MIB, 2 * MIB}), 0},
    {"ACPI bit 0 clear, reserved", RAW(E(MIB, MIB), {0, 8 * MIB, 2, 0}), WANT({MIB, 2 * MIB}), 0},
    {"ACPI bit 0 clear, others set", RAW({0, MIB, 1, 0xfffffffe}, E(MIB, MIB)),
     WANT({MIB, 2 * MIB}), 0},
    {"ACPI other bits beside bit 0", RAW({0, MIB, 1, 0x9}), WANT({0, MIB}), 0},
    {"only switched off", RAW(OFF(0, 8 * MIB)), NOTHING, 0},
    {"empty list", NULL, 0, NOTHING, 0},

    // ---- frames
    {"rounded inwards", RAW(E(0x9fc01, 0x2000)), WANT({0xa0000, 0xa1000}), 0},
    {"low memory to 0x9fc00", RAW(E(0, 0x9fc00)), WANT({0, 0x9f000}), 0},
    {"less than a frame", RAW(E(0x1200, 0x800)), NOTHING, 0},
    {"a frame's size across two", RAW(E(0x1800, 0x1000)), NOTHING, 0},
    {"one byte short of a frame", RAW(E(0x1000, 0xfff), E(0x3001, 0xfff)), NOTHING, 0},
    {"fragments make a frame", RAW(E(0x1000, 0x7ff), E(0x17ff, 0x1), E(0x1800, 0x800)),
     WANT({0x1000, 0x2000}), 0},
    {"fragments but for a byte", RAW(E(0x1000, 0x7ff), E(0x1800, 0x800)), NOTHING, 0},
    {"a range's tail and a fragment", RAW(E(0, MIB + 0x400), E(MIB + 0x400, 0xc00)),
     WANT({0, MIB + 0x1000}), 0},
    {"reserved bytes round outwards", RAW(E(0, MIB), R(0x3ffe, 4)),
     WANT({0, 0x3000}, {0x5000, MIB}), 0},
    {"islands too small to count", RAW(E(0, MIB), R(0x1000, 0x10), R(0x2010, 0x10), R(0x2fff, 1)),
     WANT({0, 0x1000}, {0x3000, MIB}), 0},

    // ---- 4 GiB
    {"up to 4 GiB", RAW(E(3 * GIB, GIB)), WANT({3 * GIB, 4 * GIB}), 0},
    {"the last frame below 4 GiB", RAW(E(4 * GIB - 0x1000, 0x1000)),
     WANT({4 * GIB - 0x1000, 4 * GIB}), 0},
    {"astride 4 GiB", RAW(E(3 * GIB, 3 * GIB)), WANT({3 * GIB, 4 * GIB}), 2 * GIB},
    {"astride by half frames", RAW(E(4 * GIB - 0x1800, 0x3000)),
     WANT({4 * GIB - 0x1000, 4 * GIB}), 0x1000},
    {"above, touching", RAW(E(0, 4 * GIB), E(4 * GIB, GIB)), WANT({0, 4 * GIB}), GIB},
    {"above, and below", RAW(E(MIB, MIB), E(16 * GIB, 64 * GIB)), WANT({MIB, 2 * MIB}), 64 * GIB},
    {"above, reserved in it", RAW(E(MIB, MIB), E(8 * GIB, GIB), R(8 * GIB + 1, 1)),
     WANT({MIB, 2 * MIB}), GIB - 0x1000},
    {"above, twice", RAW(E(MIB, MIB), E(8 * GIB, 2 * GIB), E(9 * GIB, 2 * GIB)),
     WANT({MIB, 2 * MIB}), 3 * GIB},
    {"above, two with a hole", RAW(E(MIB, MIB), E(8 * GIB, GIB), E(10 * GIB, GIB)),
     WANT({MIB, 2 * MIB}), 2 * GIB},
    {"above, less than a frame", RAW(E(MIB, MIB), E(8 * GIB + 0x200, 0x400)),
     WANT({MIB, 2 * MIB}), 0},
    {"above only", RAW(E(8 * GIB, GIB)), NOTHING, 0},
    {"base + length is 2^32", RAW(E(0, MIB), R(0xfffc0000, 0x40000), E(0xfff00000, MIB)),
     WANT({0, MIB}, {0xfff00000, 0xfffc0000}), 0},
    {"length is 2^32", RAW(E(MIB, 4 * GIB)), WANT({MIB, 4 * GIB}), MIB},
    {"low words alike", RAW(E(MIB, MIB), E(4 * GIB + MIB, MIB), R(8 * GIB + MIB, MIB)),
     WANT({MIB, 2 * MIB}), MIB},

    // ---- 2^64
    {"usable wraps past 2^64", RAW(E(TOP - 0xffff, 0x20000), E(MIB, MIB)),
     WANT({MIB, 2 * MIB}), 0x10000},
    {"reserved wraps past 2^64", RAW(E(0, MIB), R(TOP - 0xffff, 0x20000)), WANT({0, MIB}), 0},
    {"ends at 2^64 exactly", RAW(E(0, MIB), E(TOP - 0x1fff, 0x2000)), WANT({0, MIB}), 0x2000},
    {"the last byte alone", RAW(E(0, MIB), E(TOP, 1)), WANT({0, MIB}), 0},
    {"the last byte reserved", RAW(E(0, MIB), E(TOP - 0x1fff, 0x2000), R(TOP, 1)),
     WANT({0, MIB}), 0x1000},
    {"everything, by wrapping", RAW(E(0, TOP), E(1, TOP)), WANT({0, 4 * GIB}), 0 - 4 * GIB},
    {"everything but a byte", RAW(E(0, TOP)), WANT({0, 4 * GIB}), TOP - 4 * GIB - 0xfff},
    {"everything reserved", RAW(E(0, TOP), R(0, TOP), R(TOP, TOP)), NOTHING, 0},
    {"everything but a frame reserved", RAW(E(0, TOP), R(0, 0x7000), R(0x8000, TOP)),
     WANT({0x7000, 0x8000}), 0},
    {"largest length, high base", RAW(E(3 * GIB, TOP)), WANT({3 * GIB, 4 * GIB}), 0 - 4 * GIB},

    // ---- what firmware really says (maps/real_maps.h); QEMU's low memory ends inside a frame
    {"QEMU 4 MiB", REAL(qemu_4), WANT({0, 0x9f000}, {MIB, 0x3e0000}), 0},
    {"QEMU 8 MiB", REAL(qemu_8), WANT({0, 0x9f000}, {MIB, 0x7e0000}), 0},
    {"QEMU 32 MiB", REAL(qemu_32), WANT({0, 0x9f000}, {MIB, 0x1fe0000}), 0},
    {"QEMU 128 MiB", REAL(qemu_128), WANT({0, 0x9f000}, {MIB, 0x7fe0000}), 0},
    {"QEMU 512 MiB", REAL(qemu_512), WANT({0, 0x9f000}, {MIB, 0x1ffe0000}), 0},
    {"QEMU 2048 MiB", REAL(qemu_2048), WANT({0, 0x9f000}, {MIB, 0x7ffe0000}), 0},
    {"QEMU 3072 MiB", REAL(qemu_3072), WANT({0, 0x9f000}, {MIB, 0xbffe0000}), 0},
    {"QEMU 3584 MiB", REAL(qemu_3584), WANT({0, 0x9f000}, {MIB, 0xbffe0000}), 512 * MIB},
    {"QEMU 4096 MiB", REAL(qemu_4096), WANT({0, 0x9f000}, {MIB, 0xbffe0000}), GIB},
    {"QEMU 6144 MiB", REAL(qemu_6144), WANT({0, 0x9f000}, {MIB, 0xbffe0000}), 3 * GIB},
    {"Bochs 4 MiB", REAL(bochs_4), WANT({0, 0x9f000}, {MIB, 0x3f0000}), 0},
    {"Bochs 8 MiB", REAL(bochs_8), WANT({0, 0x9f000}, {MIB, 0x7f0000}), 0},
    {"Bochs 32 MiB", REAL(bochs_32), WANT({0, 0x9f000}, {MIB, 0x1ff0000}), 0},
    {"Bochs 256 MiB", REAL(bochs_256), WANT({0, 0x9f000}, {MIB, 0xfff0000}), 0},
    {"Bochs 512 MiB", REAL(bochs_512), WANT({0, 0x9f000}, {MIB, 0x1fff0000}), 0},
    {"Bochs 2048 MiB", REAL(bochs_2048), WANT({0, 0x9f000}, {MIB, 0x7fff0000}), 0},
    {"v86 32 MiB", REAL(v86_32), WANT({0, 0x9f000}, {MIB, 0x1ff0000}), 0},
    {"v86 128 MiB", REAL(v86_128), WANT({0, 0x9f000}, {MIB, 0x7ff0000}), 0},
    // What the loader writes when there is no E820; some E801s have a hole at 15 MiB.
    {"from E801 with a hole", RAW(E(0, 640 * KIB), E(MIB, 14 * MIB), E(16 * MIB, 16 * MIB)),
     WANT({0, 0xa0000}, {MIB, 15 * MIB}, {16 * MIB, 32 * MIB}), 0},
    {"from 88h, 64 MiB at most", RAW(E(0, 639 * KIB), E(MIB, 0xffff * KIB)),
     WANT({0, 0x9f000}, {MIB, 65 * MIB - 0x1000}), 0},
};
// clang-format on

// Filled with rubbish before each use: nothing may be left as it was found.
static struct memmap map, before;

// Invariants (1) to (5) of memmap.h.
static void assert_invariants(const struct memmap *m) {
    uint64_t total = 0;
    assert_true(m->count <= MEMMAP_MAX);
    for (size_t i = 0; i < m->count; i++) {
        const struct mem_range *r = &m->range[i];
        assert_true(r->start < r->end);
        if (i + 1 < m->count) assert_true(r->end < m->range[i + 1].start); // (1), (2)
        assert_int_equal(r->start % PAGE, 0);                              // (3)
        assert_int_equal(r->end % PAGE, 0);
        assert_true(r->end <= 4 * GIB); // (4)
        total += r->end - r->start;
    }
    assert_int_equal(m->total, total); // (5)
}

static void assert_ranges(const struct memmap *m, const struct mem_range *want, size_t count) {
    assert_invariants(m);
    assert_int_equal(m->count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(m->range[i].start, want[i].start);
        assert_int_equal(m->range[i].end, want[i].end);
    }
}

static void assert_case(const struct map_case *c, const struct e820_entry *raw) {
    memset(&map, 0xa5, sizeof map);
    assert_int_equal(memmap_normalize(raw, c->count, &map), c->want ? 0 : -1);
    assert_ranges(&map, c->want, c->want_count);
    assert_int_equal(map.beyond, c->beyond);
}

// A line of the table: unchanged, backwards, and each rotation of both.
static void map_comes_out_right(void **state) {
    const struct map_case *c = *state;
    static struct e820_entry raw[16];
    assert_true(c->count <= COUNT(raw));
    assert_case(c, c->raw);
    for (size_t turn = 0; turn < c->count; turn++) {
        for (size_t i = 0; i < c->count; i++) raw[i] = c->raw[(i + turn) % c->count];
        assert_case(c, raw);
        for (size_t i = 0; i < c->count; i++) raw[i] = c->raw[(turn + c->count - i) % c->count];
        assert_case(c, raw);
    }
}

// ---- as many entries as there may be -----------------------------------------------------------

static struct e820_entry many[MAP_MAX + 1];

// Fills `count` entries with single frames, each second frame of memory.
static void fill_checkerboard(size_t count) {
    for (size_t i = 0; i < count; i++) many[i] = (struct e820_entry)E(2 * i * PAGE, PAGE);
}

static void full_list_of_single_frames(void **state) {
    (void)state;
    fill_checkerboard(MAP_MAX);
    assert_int_equal(memmap_normalize(many, MAP_MAX, &map), 0);
    assert_invariants(&map);
    assert_int_equal(map.count, MAP_MAX);
    assert_int_equal(map.total, MAP_MAX * PAGE);
    for (size_t i = 0; i < MAP_MAX; i++) assert_int_equal(map.range[i].start, 2 * i * PAGE);
}

static void full_list_of_holes(void **state) {
    (void)state;
    fill_checkerboard(MAP_MAX);
    for (size_t i = 0; i < MAP_MAX; i++) many[i].type = 2;
    many[MAP_MAX / 2] =
        (struct e820_entry)E(0, 4 * MIB); // its frame becomes part of its neighbours
    assert_int_equal(memmap_normalize(many, MAP_MAX, &map), 0);
    assert_invariants(&map);
    assert_int_equal(map.count, MAP_MAX - 1);
    assert_int_equal(map.total, 4 * MIB - (MAP_MAX - 1) * PAGE);
}

static void full_list_that_joins(void **state) {
    (void)state;
    for (size_t i = 0; i < MAP_MAX; i++) {
        size_t place = (i * 37) % MAP_MAX; // 37 and 128 share no factor: each place once
        many[i] = (struct e820_entry)E(place * 0x1100ull, 0x1100);
    }
    assert_int_equal(memmap_normalize(many, MAP_MAX, &map), 0);
    assert_ranges(&map, (struct mem_range[]){{0, MAP_MAX * 0x1100ull}}, 1);
}

static void list_too_long_is_refused(void **state) {
    (void)state;
    fill_checkerboard(MAP_MAX + 1);
    memset(&map, 0xa5, sizeof map);
    assert_int_equal(memmap_normalize(many, MAP_MAX + 1, &map), -1);
    assert_ranges(&map, NULL, 0);
    assert_int_equal(map.beyond, 0);
    assert_int_equal(memmap_normalize(many, SIZE_MAX, &map), -1); // not one entry is looked at
    assert_int_equal(map.count, 0);
}

static void raw_list_is_left_alone(void **state) {
    (void)state;
    static struct e820_entry copy[COUNT(qemu_4096)];
    memcpy(copy, qemu_4096, sizeof copy);
    assert_int_equal(memmap_normalize(copy, COUNT(copy), &map), 0);
    assert_memory_equal(copy, qemu_4096, sizeof copy);
}

// ---- memmap_reserve ----------------------------------------------------------------------------

// Two ranges, 1 to 4 MiB and 8 to 16 MiB, and a GiB above.
static void make_two(void) {
    const struct e820_entry raw[] = {E(MIB, 3 * MIB), E(8 * MIB, 8 * MIB), E(4 * GIB, GIB)};
    assert_int_equal(memmap_normalize(raw, COUNT(raw), &map), 0);
}

struct reserve_case {
    const char *name;
    uint64_t start, end;
    const struct mem_range *want;
    size_t want_count;
};

// clang-format off
static const struct reserve_case reserves[] = {
    {"reserve: the middle of a range", 2 * MIB, 3 * MIB,
     WANT({MIB, 2 * MIB}, {3 * MIB, 4 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: a range's start", MIB, 2 * MIB, WANT({2 * MIB, 4 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: over a range's start", 0, 2 * MIB, WANT({2 * MIB, 4 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: a range's end", 3 * MIB, 4 * MIB, WANT({MIB, 3 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: over a range's end", 3 * MIB, 5 * MIB, WANT({MIB, 3 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: a whole range", MIB, 4 * MIB, WANT({8 * MIB, 16 * MIB})},
    {"reserve: more than a range", 0, 7 * MIB, WANT({8 * MIB, 16 * MIB})},
    {"reserve: the last range", 8 * MIB, 16 * MIB, WANT({MIB, 4 * MIB})},
    {"reserve: across two", 3 * MIB, 9 * MIB, WANT({MIB, 3 * MIB}, {9 * MIB, 16 * MIB})},
    {"reserve: everything", 0, TOP, NOTHING},
    {"reserve: a hole", 5 * MIB, 6 * MIB, WANT({MIB, 4 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: beside the ranges", 4 * MIB, 8 * MIB, WANT({MIB, 4 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: nothing", 2 * MIB, 2 * MIB, WANT({MIB, 4 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: nothing, inside a frame", 2 * MIB + 1, 2 * MIB + 1,
     WANT({MIB, 4 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: one byte takes a frame", 2 * MIB + 1, 2 * MIB + 2,
     WANT({MIB, 2 * MIB}, {2 * MIB + 0x1000, 4 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: two bytes, two frames", 2 * MIB - 1, 2 * MIB + 1,
     WANT({MIB, 2 * MIB - 0x1000}, {2 * MIB + 0x1000, 4 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: a range's last byte", 4 * MIB - 1, 4 * MIB,
     WANT({MIB, 4 * MIB - 0x1000}, {8 * MIB, 16 * MIB})},
    {"reserve: just after a range", 4 * MIB, 4 * MIB + 1,
     WANT({MIB, 4 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: above 4 GiB", 4 * GIB, 5 * GIB, WANT({MIB, 4 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: the last byte there is", TOP - 1, TOP, WANT({MIB, 4 * MIB}, {8 * MIB, 16 * MIB})},
    {"reserve: from below to above", 12 * MIB, 5 * GIB, WANT({MIB, 4 * MIB}, {8 * MIB, 12 * MIB})},
};
// clang-format on

static void reserve_takes_what_it_should(void **state) {
    const struct reserve_case *c = *state;
    for (int again = 0; again < 2; again++) { // the second time there is nothing left to take
        if (again == 0) make_two();
        assert_int_equal(memmap_reserve(&map, c->start, c->end), 0);
        assert_ranges(&map, c->want, c->want_count);
        assert_int_equal(map.beyond, GIB);
    }
}

static void reserve_refuses_end_before_start(void **state) {
    (void)state;
    make_two();
    before = map;
    assert_int_equal(memmap_reserve(&map, 3 * MIB, 2 * MIB), -1);
    assert_int_equal(memmap_reserve(&map, TOP, 0), -1);
    assert_memory_equal(&map, &before, sizeof map);
}

static void reserve_on_an_empty_map(void **state) {
    (void)state;
    assert_int_equal(memmap_normalize(NULL, 0, &map), -1);
    assert_int_equal(memmap_reserve(&map, 0, 4 * GIB), 0);
    assert_ranges(&map, NULL, 0);
}

// Makes MEMMAP_MAX ranges of a page each out of one, by reserving every second frame.
static void make_full(void) {
    const struct e820_entry raw[] = {E(0, (2 * MEMMAP_MAX + 2) * PAGE)};
    assert_int_equal(memmap_normalize(raw, 1, &map), 0);
    for (uint64_t i = 1; i < MEMMAP_MAX; i++) {
        uint64_t frame = (2 * i - 1) * PAGE;
        assert_int_equal(memmap_reserve(&map, frame, frame + PAGE), 0);
        assert_invariants(&map);
    }
    assert_int_equal(map.count, MEMMAP_MAX);
}

static void reserve_without_room_changes_nothing(void **state) {
    (void)state;
    make_full();
    const struct mem_range *last = &map.range[MEMMAP_MAX - 1];
    uint64_t inside = last->start + PAGE;
    assert_true(inside + PAGE < last->end);
    before = map;
    assert_int_equal(memmap_reserve(&map, inside, inside + PAGE), -1);
    assert_memory_equal(&map, &before, sizeof map);
}

static void reserve_that_splits_nothing_needs_no_room(void **state) {
    (void)state;
    make_full();
    uint64_t start = map.range[MEMMAP_MAX - 1].start, total = map.total;
    assert_int_equal(memmap_reserve(&map, start, start + PAGE), 0); // off one end
    assert_int_equal(map.count, MEMMAP_MAX);
    assert_int_equal(map.total, total - PAGE);
    assert_int_equal(memmap_reserve(&map, 0, PAGE), 0); // all of the first range
    assert_int_equal(map.count, MEMMAP_MAX - 1);
    assert_int_equal(memmap_reserve(&map, start + 2 * PAGE, start + 3 * PAGE),
                     0); // room for one
    assert_invariants(&map);
    assert_int_equal(map.count, MEMMAP_MAX);
}

// ---- memmap_find, memmap_type_name -------------------------------------------------------------

static void find_knows_every_edge(void **state) {
    (void)state;
    make_two();
    assert_int_equal(memmap_find(&map, 0), -1);
    assert_int_equal(memmap_find(&map, MIB - 1), -1);
    assert_int_equal(memmap_find(&map, MIB), 0);
    assert_int_equal(memmap_find(&map, 4 * MIB - 1), 0);
    assert_int_equal(memmap_find(&map, 4 * MIB), -1);
    assert_int_equal(memmap_find(&map, 8 * MIB), 1);
    assert_int_equal(memmap_find(&map, 16 * MIB - 1), 1);
    assert_int_equal(memmap_find(&map, 16 * MIB), -1);
    assert_int_equal(memmap_find(&map, 4 * GIB + MIB), -1); // not by its low word
    assert_int_equal(memmap_find(&map, TOP), -1);
}

static void find_in_an_empty_and_a_full_map(void **state) {
    (void)state;
    assert_int_equal(memmap_normalize(NULL, 0, &map), -1);
    assert_int_equal(memmap_find(&map, 0), -1);
    make_full();
    for (size_t i = 0; i < MEMMAP_MAX; i++) {
        assert_int_equal(memmap_find(&map, map.range[i].start), i);
    }
}

static void types_have_names(void **state) {
    (void)state;
    assert_string_equal(memmap_type_name(1), "usable");
    assert_string_equal(memmap_type_name(2), "reserved");
    assert_string_equal(memmap_type_name(3), "ACPI reclaimable");
    assert_string_equal(memmap_type_name(4), "ACPI NVS");
    assert_string_equal(memmap_type_name(5), "bad memory");
    const uint32_t unknown[] = {0, 8, 12, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < COUNT(unknown); i++) {
        assert_string_equal(memmap_type_name(unknown[i]), "unknown");
    }
}

static const struct CMUnitTest calls[] = {
    cmocka_unit_test(full_list_of_single_frames),
    cmocka_unit_test(full_list_of_holes),
    cmocka_unit_test(full_list_that_joins),
    cmocka_unit_test(list_too_long_is_refused),
    cmocka_unit_test(raw_list_is_left_alone),
    cmocka_unit_test(reserve_refuses_end_before_start),
    cmocka_unit_test(reserve_on_an_empty_map),
    cmocka_unit_test(reserve_without_room_changes_nothing),
    cmocka_unit_test(reserve_that_splits_nothing_needs_no_room),
    cmocka_unit_test(find_knows_every_edge),
    cmocka_unit_test(find_in_an_empty_and_a_full_map),
    cmocka_unit_test(types_have_names),
};

// cmocka hands a test its line through the state, which is not const: the tests only read it.
static struct CMUnitTest table_test(const char *name, CMUnitTestFunction test, const void *line) {
    return (struct CMUnitTest){name, test, NULL, NULL, (void *)(uintptr_t)line};
}

int main(void) {
    static struct CMUnitTest tests[COUNT(cases) + COUNT(reserves) + COUNT(calls)];
    size_t n = 0;
    for (size_t i = 0; i < COUNT(cases); i++) {
        tests[n++] = table_test(cases[i].name, map_comes_out_right, &cases[i]);
    }
    for (size_t i = 0; i < COUNT(reserves); i++) {
        tests[n++] = table_test(reserves[i].name, reserve_takes_what_it_should, &reserves[i]);
    }
    memcpy(&tests[n], calls, sizeof calls);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
