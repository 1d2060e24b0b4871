// test_memory_plan.c - kernel/memory_plan.c: who gets which memory, on maps from 1 MiB to 4 GiB.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/layout.h"
#include "kernel/memory_plan.h"
#include "tests/host/maps/logged_maps.h"

#define MIB (1024ull * 1024)
#define KERNEL_END 0x150000u

static struct memory_plan plan;
static struct memmap map;

// Plans for a map.
static const char *plan_for(const struct e820_entry *raw, size_t count) {
    assert_int_equal(memmap_normalize(raw, count, &map), 0);
    return memory_plan_make(&plan, &map, KERNEL_END);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// The usual two ranges: low memory up to 0x9fc00, and from 1 MiB to `end`.
static const char *plan_to(uint64_t end) {
    struct e820_entry raw[2] = {{0, 0x9fc00, 1, 1}, {MIB, end - MIB, 1, 1}};
    return plan_for(raw, 2);
}

// A piece of early memory: in one usable range of the map as it came, from 1 MiB to `limit`, and
// touching neither the kernel nor what is left for the pools.
static void check_piece(const struct memmap *map, uint32_t start, uint64_t bytes, uint64_t limit) {
    uint64_t end = start + bytes;
    int at = memmap_find(map, start);
    assert_true(at >= 0 && end <= map->range[at].end && end <= limit && end <= plan.early_end);
    assert_true(start >= KERNEL_END && start % PG_SIZE == 0);
    for (size_t i = 0; i < plan.map.count; i++) {
        assert_true(plan.map.range[i].end <= start || plan.map.range[i].start >= end);
    }
}

static void check_early(const struct memmap *map) {
    const struct plan_pool *kernel = &plan.pool[POOL_KERNEL], *user = &plan.pool[POOL_USER];
    uint64_t piece[][2] = {
        {plan.tables, plan.table_count * PG_SIZE},
        {kernel->frame_records, kernel->frames * sizeof(struct frame)},
        {kernel->arena_records, kernel->frames * sizeof(struct arena)},
        {user->frame_records, user->frames * sizeof(struct frame)},
    };
    for (size_t i = 0; i < 4; i++) {
        check_piece(map, (uint32_t)piece[i][0], piece[i][1], i == 0 ? 4 * MIB : LOW_MAP_BYTES);
        for (size_t j = 0; j < i; j++) {
            assert_true(piece[i][0] + piece[i][1] <= piece[j][0] ||
                        piece[j][0] + piece[j][1] <= piece[i][0]);
        }
    }
}

static bool overlaps(const struct mem_range *range, uint64_t start, uint64_t end) {
    return range->start < end && range->end > start;
}

// What every accepted plan must hold, whatever the map.
static void check_plan_of(const struct memmap *map) {
    const struct plan_pool *kernel = &plan.pool[POOL_KERNEL], *user = &plan.pool[POOL_USER];
    check_early(map);
    assert_true((uint64_t)kernel->frames * PG_SIZE <= HEAP_WINDOW_BYTES);
    assert_int_equal(kernel->start + (uint64_t)kernel->frames * PG_SIZE, user->start);
    assert_int_equal((uint64_t)(kernel->usable + user->usable) * PG_SIZE, plan.map.total);
    assert_true(kernel->usable >= PLAN_POOL_FRAMES_MIN && user->usable >= PLAN_POOL_FRAMES_MIN);
    // Enough tables for the three windows.
    uint64_t tables = 1 + (plan.early_end + 4 * MIB - 1) / (4 * MIB) + 2 +
                      ((uint64_t)kernel->frames * PG_SIZE + 4 * MIB - 1) / (4 * MIB);
    assert_true(plan.table_count >= tables);
    for (size_t i = 0; i < plan.map.count; i++) { // memory, and not in use
        const struct mem_range *range = &plan.map.range[i];
        int at = memmap_find(map, range->start);
        assert_true(at >= 0 && range->end <= map->range[at].end);
        assert_false(overlaps(range, 0, PLAN_LOW_END));
        assert_false(overlaps(range, 0xa0000, KERNEL_END));
    }
}

static void plan_holds_at_every_size(void **state) {
    (void)state;
    for (uint64_t mib = 3; mib <= 3584; mib += mib < 300 ? 1 : 61) {
        const char *why = plan_to(mib * MIB - 0x20000);
        assert_null(why);
        check_plan_of(&map);
    }
}

static void both_pools_get_half(void **state) {
    (void)state;
    assert_null(plan_to(64 * MIB));
    int64_t kernel = plan.pool[POOL_KERNEL].usable, user = plan.pool[POOL_USER].usable;
    int64_t early = (plan.early_end - KERNEL_END) / PG_SIZE;
    assert_in_range(user - kernel - early + 1, 0, 2);
}

static void too_little_memory_is_refused(void **state) {
    (void)state;
    struct e820_entry small[] = {{MIB, 0x80000, 1, 1}};
    assert_string_equal(plan_for(small, 1), "too little memory");
    struct e820_entry halves[] = {{0, 0x9fc00, 1, 1}, {MIB, 0x52000, 1, 1}};
    assert_string_equal(plan_for(halves, 2), "no room for the page tables below 4 MiB");
    struct e820_entry elsewhere[] = {{16 * MIB, 64 * MIB, 1, 1}};
    assert_string_equal(plan_for(elsewhere, 1), "no room for the page tables below 4 MiB");
    struct e820_entry far[] = {{MIB, MIB, 1, 1}, {512 * MIB, 512 * MIB, 1, 1}};
    assert_null(plan_for(far, 2)); // the range far up has too many frames: it is left out
    check_plan_of(&map);
    assert_true(plan.map.range[plan.map.count - 1].end <= 2 * MIB);
}

// Video memory and ROMs, whatever the firmware calls them.
static void roms_are_never_memory(void **state) {
    (void)state;
    struct e820_entry raw[][2] = {
        {{0, 0xf0000, 1, 1}, {MIB, 63 * MIB, 1, 1}},
        {{0, MIB, 1, 1}, {MIB, 63 * MIB, 1, 1}},
        {{0xc8000, 0x10000, 1, 1}, {MIB, 63 * MIB, 1, 1}},
    };
    for (size_t i = 0; i < COUNT(raw); i++) {
        assert_null(plan_for(raw[i], 2));
        check_plan_of(&map);
    }
}

// The hole that boards of the 1990s keep for ISA cards, with all the memory that there may be.
static void hole_at_15_mib(void **state) {
    (void)state;
    for (uint64_t mib = 17; mib <= 3584; mib += mib < 300 ? 1 : 61) {
        struct e820_entry raw[] = {
            {0, 0x9fc00, 1, 1}, {MIB, 14 * MIB, 1, 1}, {16 * MIB, (mib - 16) * MIB, 1, 1}};
        assert_null(plan_for(raw, 3));
        check_plan_of(&map);
        if (mib < 64)
            continue; // less than an eighth is lost to records: both pools have their half
        uint64_t half = (plan.map.total >> PG_SHIFT) / 2;
        if (mib <= 3000)
            assert_in_range(plan.pool[POOL_USER].usable, half - half / 8, half + half / 8);
    }
}

// A hole at any place below 16 MiB, of any size: the plan holds with every amount of memory.
static void hole_anywhere(void **state) {
    (void)state;
    for (uint64_t from = 2 * MIB; from < 16 * MIB; from += MIB / 2) {
        for (uint64_t to = from + MIB / 4; to <= 64 * MIB; to += 5 * MIB) {
            for (uint64_t end = 80 * MIB; end < 3584 * MIB; end *= 3) {
                struct e820_entry raw[] = {
                    {0, 0x9fc00, 1, 1}, {MIB, end - MIB, 1, 1}, {from, to - from, 2, 1}};
                assert_null(plan_for(raw, 3));
                check_plan_of(&map);
            }
        }
    }
}

// With 11 MiB in reach of the records, the kernel pool is what they have room for.
static void kernel_pool_is_smaller_where_records_have_no_room(void **state) {
    (void)state;
    struct e820_entry raw[] = {{MIB, 11 * MIB, 1, 1}, {256 * MIB, 768 * MIB, 1, 1}};
    assert_null(plan_for(raw, 2));
    check_plan_of(&map);
    assert_true(plan.pool[POOL_USER].usable > 3 * plan.pool[POOL_KERNEL].usable);
    assert_true(plan.map.total > 768 * MIB); // and none of the memory is lost
}

// A frame far up, in a hole's far end, would take 16 MiB of records.
static void range_that_costs_more_than_it_holds_is_left_out(void **state) {
    (void)state;
    struct e820_entry raw[] = {
        {0, 0x9fc00, 1, 1}, {MIB, 63 * MIB, 1, 1}, {0xfff00000, 0x10000, 1, 1}};
    assert_null(plan_for(raw, 3));
    check_plan_of(&map);
    assert_true(plan.map.total > 60 * MIB);
    assert_int_equal(plan.map.range[plan.map.count - 1].end, 64 * MIB);
    raw[2] = (struct e820_entry){0xf0000000, 128 * MIB, 1, 1}; // worth it
    assert_null(plan_for(raw, 3));
    check_plan_of(&map);
    assert_int_equal(plan.map.range[plan.map.count - 1].end, 0xf8000000);
}

// Memory far up, beyond a hole wider than the heap window: the cut falls before the hole's end.
static void wide_hole_does_not_outgrow_the_window(void **state) {
    (void)state;
    struct e820_entry raw[] = {{MIB, 63 * MIB, 1, 1}, {2048 * MIB, 1024 * MIB, 1, 1}};
    assert_null(plan_for(raw, 2));
    check_plan_of(&map);
    assert_true(plan.pool[POOL_USER].usable > plan.pool[POOL_KERNEL].usable);
}

// ---- machines that exist ------------------------------------------------------------------------

struct machine {
    const char *name;
    const struct e820_entry *raw;
    size_t count;
    uint32_t mib; // at least so much memory below 4 GiB is in the pools; 0: no plan
};

#define MACHINE(map, mib) \
    { #map, map, COUNT(map), mib }
static const struct machine machines[] = {
    MACHINE(acer_c720, 1940),  MACHINE(via_vt3075, 500),      MACHINE(hole_1_gib, 1000),
    MACHINE(tyan_board, 500),  MACHINE(asus_laptop, 485),     MACHINE(geode, 122),
    MACHINE(wide_hole, 1730),  MACHINE(poweredge_6300, 3960), MACHINE(tboot, 2955),
    MACHINE(ovmf_2_gib, 2005), MACHINE(optiplex_9020, 3440),  MACHINE(acrn_mrb, 0),
};

static void machine_is_planned(void **state) {
    const struct machine *machine = *state;
    const char *why = plan_for(machine->raw, machine->count);
    if (machine->mib == 0) { // the loader has refused it before: no memory at 1 MiB
        assert_int_equal(memmap_find(&map, KERNEL_PHYS), -1);
        return;
    }
    assert_null(why);
    check_plan_of(&map);
    assert_in_range(plan.map.total / MIB, machine->mib, machine->mib * 103ull / 100);
}

// ---- maps of any kind ---------------------------------------------------------------------------

static uint32_t random_state = 1;

static uint64_t random_below(uint64_t bound) { // Numerical Recipes, 7.1
    random_state = random_state * 1664525u + 1013904223u;
    return ((uint64_t)random_state * bound) >> 32;
}

// A plan that is accepted holds, and where there are 2 MiB after the kernel one is accepted.
static void random_maps(void **state) {
    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct e820_entry raw[12] = {{0, 0x9fc00, 1, 1}, {MIB, 3 * MIB, 1, 1}};
        size_t count = 2 + random_below(11);
        for (size_t i = 2; i < count; i++) {
            uint64_t base = 4 * MIB + (random_below(4092 * MIB) >> random_below(10));
            raw[i] = (struct e820_entry){base, random_below(2048 * MIB) >> random_below(16),
                                         1 + random_below(3) / 2, 1};
        }
        assert_null(plan_for(raw, count));
        check_plan_of(&map);
    }
}

static const struct CMUnitTest calls[] = {
    cmocka_unit_test(plan_holds_at_every_size),
    cmocka_unit_test(both_pools_get_half),
    cmocka_unit_test(too_little_memory_is_refused),
    cmocka_unit_test(roms_are_never_memory),
    cmocka_unit_test(hole_at_15_mib),
    cmocka_unit_test(hole_anywhere),
    cmocka_unit_test(kernel_pool_is_smaller_where_records_have_no_room),
    cmocka_unit_test(range_that_costs_more_than_it_holds_is_left_out),
    cmocka_unit_test(wide_hole_does_not_outgrow_the_window),
    cmocka_unit_test(random_maps),
};

int main(void) {
    static struct CMUnitTest tests[COUNT(calls) + COUNT(machines)];
    memcpy(tests, calls, sizeof calls);
    for (size_t i = 0; i < COUNT(machines); i++) {
        void *machine = (void *)(uintptr_t)&machines[i]; // only read
        tests[COUNT(calls) + i] =
            (struct CMUnitTest){machines[i].name, machine_is_planned, NULL, NULL, machine};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
