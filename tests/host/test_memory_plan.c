// test_memory_plan.c - kernel/memory_plan.c: who gets which memory, on maps from 1 MiB to 4 GiB.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernel/layout.h"
#include "kernel/memory_plan.h"

#define MIB (1024ull * 1024)
#define KERNEL_END 0x150000u

static struct memory_plan plan;

static void map_of(struct memmap *map, const struct e820_entry *raw, size_t count) {
    assert_int_equal(memmap_normalize(raw, count, map), 0);
}

// The usual two ranges: low memory up to 0x9fc00, and from 1 MiB to `end`.
static const char *plan_to(uint64_t end) {
    struct memmap map;
    struct e820_entry raw[2] = {{0, 0x9fc00, 1, 1}, {MIB, end - MIB, 1, 1}};
    map_of(&map, raw, 2);
    return memory_plan_make(&plan, &map, KERNEL_END);
}

// What every accepted plan must hold, whatever the map.
static void check_plan(void) {
    const struct plan_pool *kernel = &plan.pool[POOL_KERNEL], *user = &plan.pool[POOL_USER];
    assert_true(plan.tables >= KERNEL_END);
    assert_true(plan.tables + plan.table_count * PG_SIZE <=
                4 * MIB); // written in the loader's mapping
    assert_true(plan.tables + plan.table_count * PG_SIZE <= kernel->frame_records);
    assert_true(kernel->frame_records + kernel->frames * sizeof(struct frame) <=
                kernel->arena_records);
    assert_true(kernel->arena_records + kernel->frames * sizeof(struct arena) <=
                user->frame_records);
    assert_true(user->frame_records + user->frames * sizeof(struct frame) <= plan.early_end);
    assert_true(plan.early_end <= LOW_MAP_BYTES);
    assert_true((uint64_t)kernel->frames * PG_SIZE <= HEAP_WINDOW_BYTES);
    assert_int_equal(kernel->start + (uint64_t)kernel->frames * PG_SIZE, user->start);
    assert_int_equal((uint64_t)(kernel->usable + user->usable) * PG_SIZE, plan.map.total);
    // Enough tables for the three windows.
    uint64_t tables = 1 + (plan.early_end + 4 * MIB - 1) / (4 * MIB) + 2 +
                      ((uint64_t)kernel->frames * PG_SIZE + 4 * MIB - 1) / (4 * MIB);
    assert_true(plan.table_count >= tables);
    for (size_t i = 0; i < plan.map.count; i++) { // nothing that is in use is in a pool
        bool below = plan.map.range[i].end <= KERNEL_PHYS;
        assert_true(plan.map.range[i].start >= PLAN_LOW_END);
        assert_true(below || plan.map.range[i].start >= plan.early_end);
    }
}

static void plan_holds_at_every_size(void **state) {
    (void)state;
    for (uint64_t mib = 3; mib <= 3584; mib += mib < 300 ? 1 : 61) {
        const char *why = plan_to(mib * MIB - 0x20000);
        assert_null(why);
        check_plan();
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
    struct memmap map;
    struct e820_entry raw[] = {{MIB, 0x80000, 1, 1}};
    map_of(&map, raw, 1);
    assert_string_equal(memory_plan_make(&plan, &map, KERNEL_END), "too little memory");
    struct e820_entry elsewhere[] = {{16 * MIB, 64 * MIB, 1, 1}};
    map_of(&map, elsewhere, 1);
    assert_string_equal(memory_plan_make(&plan, &map, KERNEL_END), "no memory after the kernel");
}

// With the ISA hole at 2 MiB there is room for the image and not for 1 GiB's records.
static void records_must_fit_behind_the_kernel(void **state) {
    (void)state;
    struct memmap map;
    struct e820_entry raw[] = {{MIB, MIB, 1, 1}, {16 * MIB, 1024 * MIB, 1, 1}};
    map_of(&map, raw, 2);
    assert_string_equal(memory_plan_make(&plan, &map, KERNEL_END),
                        "no room for the page tables and records after the kernel");
}

// Memory far up, behind a hole wider than the heap window: the cut falls before the hole's end.
static void wide_hole_does_not_outgrow_the_window(void **state) {
    (void)state;
    struct memmap map;
    struct e820_entry raw[] = {{MIB, 63 * MIB, 1, 1}, {2048 * MIB, 1024 * MIB, 1, 1}};
    map_of(&map, raw, 2);
    assert_null(memory_plan_make(&plan, &map, KERNEL_END));
    check_plan();
    assert_true(plan.pool[POOL_USER].usable > plan.pool[POOL_KERNEL].usable);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_holds_at_every_size),
        cmocka_unit_test(both_pools_get_half),
        cmocka_unit_test(too_little_memory_is_refused),
        cmocka_unit_test(records_must_fit_behind_the_kernel),
        cmocka_unit_test(wide_hole_does_not_outgrow_the_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
