// test_heap_paths.c - the paths of kernel/memory.c that few calls take: with interrupts off, beside
// holes of the memory map, through records of every kind of damage.
//
// `make coverage` says which these are: what the other tests leave open stands here.
#include "tests/host/heap_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/heapcheck.h"

#define FRAMES 256u
#define PAGE ((size_t)PG_SIZE)
#define TEST(name) static void name(void **state __attribute__((unused)))

static int start(void **state) {
    (void)state;
    host_heap_start(FRAMES);
    return 0;
}

static int end(void **state) {
    (void)state;
    host_heap_end();
    return 0;
}

static uint32_t frame_of(const void *p) {
    return (uint32_t)(((uintptr_t)p - PORT_HEAP_BASE) >> PG_SHIFT);
}

static void assert_all_home(void) {
    sys_trim();
    assert_int_equal(frames_free(POOL_KERNEL), frames_total(POOL_KERNEL));
    assert_int_equal(heap_check(), 0);
}

// A refused free: the fault named, the heap as before.
static void assert_refused(uintptr_t p, enum heap_fault fault) {
    host_state_save();
    sys_free((void *)p);
    host_state_assert_unchanged();
    struct host_report report = host_report_take();
    assert_int_equal(report.fault, fault);
    assert_ptr_equal((void *)report.pointer, (void *)p);
}

// ---- interrupts off ----------------------------------------------------------------------------

TEST(every_call_works_with_interrupts_off) {
    host_irqs_off = true;
    unsigned char *block = sys_malloc(100), *next = sys_malloc(100), *area = sys_malloc(3 * PAGE);
    assert_non_null(block);
    assert_non_null(next);
    assert_non_null(area);
    memset(block, 1, 100);
    memset(area, 2, 3 * PAGE);
    block = sys_realloc(block, 300); // moves
    assert_int_equal(block[99], 1);
    area = sys_realloc(area, 2 * PAGE); // stays
    assert_int_equal(area[2 * PAGE - 1], 2);
    assert_null(sys_realloc(next, 0)); // frees
    sys_free(block);
    sys_free(area);
    host_irqs_off = false;
    assert_all_home();
}

TEST(a_wrong_free_with_interrupts_off_is_refused) {
    void *p = sys_malloc(64), *q = sys_malloc(64);
    sys_free(p);
    host_irqs_off = true;
    assert_refused((uintptr_t)p, HEAP_DOUBLE_FREE);
    assert_refused((uintptr_t)q + 8, HEAP_INTERIOR_POINTER);
    assert_refused(PORT_HEAP_BASE - 1, HEAP_OUTSIDE);
    sys_free(NULL);
    sys_free(q);
    host_irqs_off = false;
    assert_all_home();
}

// ---- holes of the memory map -------------------------------------------------------------------

TEST(a_frame_behind_a_run_in_use_is_not_in_it) {
    const struct port_run runs[] = {{0, 4}, {8, 8}};
    host_heap_start_runs(16, runs, 2);
    void *area = sys_malloc(4 * PAGE); // the first four frames, up to the hole
    assert_int_equal(frame_of(area), 0);
    assert_refused(PORT_HEAP_BASE + 5 * PAGE, HEAP_NOT_ALLOCATED);
    assert_refused(PORT_HEAP_BASE + 3 * PAGE, HEAP_INTERIOR_POINTER);
    sys_free(area);
    assert_all_home();
}

// Where bins of one length end and those of several begin, a run of 32 frames was left in the bin
// of 33 (found by fuzz_heap).
TEST(a_run_that_shrinks_to_32_frames_is_in_its_bin) {
    const struct port_run runs[] = {{0, 33}};
    host_heap_start_runs(33, runs, 1);
    void *frame = sys_malloc(PAGE);
    assert_int_equal(heap_check(), 0);
    sys_free(frame);
    assert_all_home();
}

// Each length the pool's own way: cut from a longer run, and grown from a shorter one.
TEST(every_length_of_run_is_in_its_bin) {
    for (uint32_t length = 1; length < 200; length++) {
        const struct port_run runs[] = {{0, length + 1}};
        host_heap_start_runs(length + 1, runs, 1);
        void *frame = sys_malloc(PAGE), *rest = sys_malloc(length * PAGE);
        assert_non_null(rest);
        sys_free(rest); // its bin is found anew
        assert_int_equal(heap_check(), 0);
        sys_free(frame); // and grows by one at its low end
        assert_all_home();
    }
}

// ---- damaged records ---------------------------------------------------------------------------

// Asked of heap_classify(): sys_free() follows `back` before anything has proved it, up to 64 KiB
// down, which in the kernel is memory and for the sanitizers a fault.
static void assert_classified(uintptr_t p, enum heap_fault fault) {
    struct arena *arena;
    uint32_t block;
    assert_int_equal(heap_classify(p, &arena, &block), fault);
}

// What was damaged is put back, so that the heap can be checked whole at the end.
TEST(a_wrong_back_is_a_corrupt_arena) {
    static const uint32_t sizes[] = {16, 2048, 5120};
    assert_int_equal(block_desc_init(k_block_descs, sizes, 3), 0);
    unsigned char *p = sys_malloc(5120), *q = sys_malloc(5120);
    struct arena *inner = &heap.arena[frame_of(q)];
    uint16_t back = inner->back;
    assert_true(back != 0); // q starts in a later frame of the arena
    inner->back = (uint16_t)(back + 4);
    assert_classified((uintptr_t)q, HEAP_CORRUPT_ARENA);
    inner->back = (uint16_t)((frame_of(q) + 1) * sizeof *inner); // before the first record
    assert_classified((uintptr_t)q, HEAP_CORRUPT_ARENA);
    inner->back = back;
    sys_free(q);
    sys_free(p);
    assert_all_home();
}

TEST(a_blank_record_with_a_seal_is_corrupt) {
    void *area = sys_malloc(2 * PAGE);
    struct arena *second = &heap.arena[frame_of(area) + 1];
    second->seal = 7;
    assert_refused((uintptr_t)area + PAGE, HEAP_CORRUPT_ARENA);
    second->seal = 0;
    sys_free(area);
    assert_all_home();
}

TEST(a_large_area_with_one_field_damaged_is_corrupt) {
    void *area = sys_malloc(2 * PAGE);
    struct arena *arena = &heap.arena[frame_of(area)], good = *arena;
    arena->desc = &k_block_descs[0];
    assert_refused((uintptr_t)area, HEAP_CORRUPT_ARENA);
    *arena = good;
    arena->cnt++;
    assert_refused((uintptr_t)area, HEAP_CORRUPT_ARENA);
    *arena = good;
    arena->seal ^= 1;
    assert_refused((uintptr_t)area, HEAP_CORRUPT_ARENA);
    *arena = good;
    arena->large = 2;
    assert_refused((uintptr_t)area, HEAP_CORRUPT_ARENA);
    *arena = good;
    sys_free(area);
    assert_all_home();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_call_works_with_interrupts_off, start, end),
        cmocka_unit_test_setup_teardown(a_wrong_free_with_interrupts_off_is_refused, start, end),
        cmocka_unit_test_setup_teardown(a_frame_behind_a_run_in_use_is_not_in_it, start, end),
        cmocka_unit_test(a_run_that_shrinks_to_32_frames_is_in_its_bin),
        cmocka_unit_test(every_length_of_run_is_in_its_bin),
        cmocka_unit_test_setup_teardown(a_wrong_back_is_a_corrupt_arena, start, end),
        cmocka_unit_test_setup_teardown(a_blank_record_with_a_seal_is_corrupt, start, end),
        cmocka_unit_test_setup_teardown(a_large_area_with_one_field_damaged_is_corrupt, start, end),
    };
    return cmocka_run_group_tests_name("test_heap_paths", tests, NULL, NULL);
}
