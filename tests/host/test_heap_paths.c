// test_heap_paths.c - the paths of kernel/memory.c that few calls take: with interrupts off, beside
// holes of the memory map, through records of every kind of damage.
//
// What only it can find: a fault in a line that no other test runs: `make coverage` names such
// lines, and each has a test here.
//
// `make coverage` says which these are: what the other tests leave open is here. Each runs with
// the seed's table of block sizes and with the fine one.
#include "tests/host/heap_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/size_tables.h"
#include "kernel/inspect/heapcheck.h"

#define FRAMES 256u
#define PAGE ((size_t)PG_SIZE)
#define TEST(name) static void name(void **state __attribute__((unused)))

static struct { uint32_t size[DESC_MAX], count; } table; // of the heap under test

static void heap_start_runs(uint32_t frames, const struct port_run *run, size_t runs) {
    host_heap_start_runs(frames, run, runs);
    assert_int_equal(block_desc_set(&k_heap, table.size, table.count), 0);
}

static int start(void **state) {
    const struct port_run all = {0, FRAMES};
    (void)state;
    heap_start_runs(FRAMES, &all, 1);
    return 0;
}

static int end(void **state) {
    (void)state;
    host_heap_end();
    return 0;
}

static uint32_t frame_of(const void *p) {
    return (uint32_t)(((uintptr_t)p - k_heap.base) >> PG_SHIFT);
}

static void assert_all_home(void) {
    sys_trim();
    assert_int_equal(frames_free(POOL_KERNEL), frames_total(POOL_KERNEL));
    assert_int_equal(heap_check(), 0);
}

// A port whose window grows: what the pool does not have yet is a run that this test holds.
static uint32_t grown, held_first, held_count;

static bool give_held(struct pool *pool, uint32_t count) {
    assert_ptr_equal(pool, &k_heap.pool);
    grown++;
    if (count > held_count) return false;
    port_unlock(&k_heap, 0x10c); // nothing is changed yet: another's frames may come home
    frame_free(POOL_KERNEL, held_first, held_count);
    held_count = 0;
    (void)port_lock(&k_heap);
    return true;
}

static bool promise(struct pool *pool, uint32_t count) {
    (void)pool, (void)count;
    grown++;
    return true;
}

TEST(a_pool_that_can_grow_is_asked_when_it_has_nothing_and_only_then) {
    grown = 0;
    held_count = frames_free(POOL_KERNEL);
    held_first = frame_alloc(POOL_KERNEL, held_count);
    assert_null(sys_malloc(100)); // a window that does not grow
    host_grow = promise;          // one that says so and does not
    assert_null(sys_malloc(3 * PAGE));
    uint32_t asked = grown;
    assert_true(asked > 0);
    host_grow = give_held;
    assert_null(sys_malloc((FRAMES + 1) * PAGE)); // more than there will ever be
    assert_int_equal(grown, asked);
    void *p = sys_malloc(3 * PAGE);
    assert_non_null(p);
    assert_int_equal(grown, asked + 1);
    void *q = sys_malloc(100);
    assert_non_null(q);
    assert_int_equal(grown, asked + 1);
    sys_free(p);
    sys_free(q);
    assert_all_home();
}

// The fault of the call just made is named, and the heap as it was saved.
static void assert_was_refused(uintptr_t p, enum heap_fault fault) {
    host_state_assert_unchanged();
    struct host_report report = host_report_take();
    assert_int_equal(report.fault, fault);
    assert_ptr_equal((void *)report.pointer, (void *)p);
}

// Every call that takes a pointer refuses this one.
static void assert_refused(uintptr_t p, enum heap_fault fault) {
    host_state_save();
    sys_free((void *)p);
    assert_was_refused(p, fault);
    assert_null(sys_realloc((void *)p, 10));
    assert_was_refused(p, fault);
    assert_int_equal(sys_usable_size((void *)p), 0);
    assert_was_refused(p, fault);
}

// ---- interrupts off -----------------------------------------------------------------------------

static void every_call_works(void) {
    unsigned char *block = sys_malloc(100), *next = sys_malloc(100), *area = sys_malloc(3 * PAGE);
    assert_non_null(block);
    assert_non_null(next);
    assert_non_null(area);
    memset(block, 1, 100);
    memset(area, 2, 3 * PAGE);
    size_t room = sys_usable_size(block);
    assert_ptr_equal(sys_realloc(block, room), block);
    unsigned char *before = block;
    block = sys_realloc(block, room + 1);
    assert_ptr_not_equal(block, before);
    assert_int_equal(block[99], 1);
    block = sys_realloc(block, 3 * PAGE);
    assert_int_equal(block[99], 1);
    area = sys_realloc(area, 2 * PAGE); // stays
    assert_int_equal(area[2 * PAGE - 1], 2);
    assert_null(sys_realloc(next, 0)); // frees
    sys_free(block);
    sys_free(area);
    assert_null(sys_malloc(0));
}

TEST(every_call_works_with_interrupts_off) {
    host_irqs_off = true;
    every_call_works();
    host_irqs_off = false;
    assert_all_home();
}

// The fast paths know nothing of other processors: they take no call.
TEST(every_call_works_with_several_processors) {
    host_several = true;
    heap_fast_paths(&k_heap);
    host_fast_entries = 0;
    every_call_works();
    void *p = sys_malloc(64);
    sys_free(p);
    assert_refused((uintptr_t)p, HEAP_DOUBLE_FREE);
    assert_int_equal(host_fast_entries, 0);
    host_several = false;
    heap_fast_paths(&k_heap);
    sys_free(sys_malloc(64));
    assert_int_not_equal(host_fast_entries, 0);
    assert_all_home();
}

// With arenas of their own they take the fast paths for blocks, and for nothing else.
TEST(own_arenas_have_the_fast_paths_with_several_processors) {
    host_several = host_local = true;
    heap_fast_paths(&k_heap);
    sys_free(sys_malloc(64)); // opens an arena
    host_fast_entries = host_slow_entries = 0;
    sys_free(sys_malloc(64));
    assert_int_equal(host_fast_entries, 2);
    assert_int_equal(host_slow_entries, 0);
    sys_free(sys_malloc(3 * PAGE));
    assert_int_equal(host_slow_entries, 2);
    every_call_works();
    host_several = host_local = false;
    heap_fast_paths(&k_heap);
    assert_all_home();
}

// Another descriptor's arena serves before one is opened; or only if there are no frames.
TEST(another_descriptors_arena_serves) {
    void *p = sys_malloc(64);
    host_several = true;
    heap_fast_paths(&k_heap);
    host_bring = k_heap.desc_of[(64 - 1) / BLOCK_ALIGN];
    void *brought = sys_malloc(32);
    assert_int_equal(frame_of(brought), frame_of(p));
    host_gather = host_bring;
    host_bring = NULL;
    uint32_t rest = frames_free(POOL_KERNEL);
    void *all = sys_malloc((size_t)rest * PAGE);
    assert_non_null(all);
    void *gathered = sys_malloc(32);
    assert_int_equal(frame_of(gathered), frame_of(p));
    host_gather = NULL;
    assert_null(sys_malloc(32));
    sys_free(all);
    sys_free(gathered);
    sys_free(brought);
    sys_free(p);
    host_several = false;
    heap_fast_paths(&k_heap);
    assert_all_home();
}

// An arena of frames that a processor keeps: opened and closed without the lock.
TEST(an_arena_is_opened_without_the_lock) {
    host_several = host_local = true;
    heap_fast_paths(&k_heap);
    host_kept = 1;
    host_slow_entries = 0;
    void *p = sys_malloc(64);
    assert_non_null(p);
    assert_int_equal(host_slow_entries, 1); // its frame's, of the pool
    host_fill = 1;
    void *q = sys_malloc(128);
    assert_non_null(q);
    assert_int_equal(host_slow_entries, 2);
    host_fill = 0;
    sys_free(q);
    sys_free(p);
    assert_int_equal(heap_check(), 0);
    for (uint32_t size = 64; size <= 128; size += 64) {
        struct memory_block_desc *desc = k_heap.desc_of[(size - 1) / BLOCK_ALIGN];
        struct frame *first = arena_unmake(desc->reserve);
        desc->reserve = NULL;
        k_heap.small_frames--;
        assert_int_equal(desc->arenas, 0);
        first->run |= FRAME_LENT;
        frame_free(POOL_KERNEL, (uint32_t)(first - k_heap.pool.frame), 1);
    }
    assert_refused((uintptr_t)p, HEAP_NOT_ALLOCATED);
    host_several = host_local = false;
    heap_fast_paths(&k_heap);
    assert_all_home();
}

// A pointer that was no block's when another processor opened an arena there stays refused.
TEST(what_was_no_arena_when_looked_at_is_not_looked_at_again) {
    void *p = sys_malloc(64), *area = sys_malloc(3 * PAGE);
    host_several = true;
    heap_fast_paths(&k_heap);
    host_none = true;
    assert_refused((uintptr_t)p, HEAP_NOT_ALLOCATED);
    assert_refused((uintptr_t)area + PAGE, HEAP_INTERIOR_POINTER);
    assert_null(sys_realloc(p, 100));
    assert_int_equal(host_report_take().fault, HEAP_NOT_ALLOCATED);
    host_none = false;
    sys_free(p);
    sys_free(area);
    host_several = false;
    heap_fast_paths(&k_heap);
    assert_all_home();
}

TEST(a_wrong_free_with_interrupts_off_is_refused) {
    void *p = sys_malloc(64), *q = sys_malloc(64);
    sys_free(p);
    host_irqs_off = true;
    assert_refused((uintptr_t)p, HEAP_DOUBLE_FREE);
    assert_refused((uintptr_t)q + 8, HEAP_INTERIOR_POINTER);
    assert_refused(k_heap.base - 1, HEAP_OUTSIDE);
    sys_free(NULL);
    sys_free(q);
    host_irqs_off = false;
    assert_all_home();
}

// ---- holes of the memory map --------------------------------------------------------------------

TEST(a_frame_after_a_run_in_use_is_not_in_it) {
    const struct port_run runs[] = {{0, 4}, {8, 8}};
    heap_start_runs(16, runs, 2);
    void *area = sys_malloc(4 * PAGE); // the first four frames, up to the hole
    assert_int_equal(frame_of(area), 0);
    assert_refused(k_heap.base + 4 * PAGE, HEAP_NOT_ALLOCATED);
    assert_refused(k_heap.base + 5 * PAGE, HEAP_NOT_ALLOCATED);
    assert_refused(k_heap.base + 3 * PAGE, HEAP_INTERIOR_POINTER);
    sys_free(area);
    assert_all_home();
}

// Where bins of one length end and those of several begin, a run of 32 frames was left in the bin
// of 33 (found by fuzz_heap).
TEST(a_run_that_shrinks_to_32_frames_is_in_its_bin) {
    const struct port_run runs[] = {{0, 33}};
    heap_start_runs(33, runs, 1);
    void *frame = sys_malloc(PAGE);
    assert_int_equal(heap_check(), 0);
    sys_free(frame);
    assert_all_home();
}

// Each length the pool's own way: cut from a longer run, and grown from a shorter one.
TEST(every_length_of_run_is_in_its_bin) {
    for (uint32_t length = 1; length < 200; length++) {
        const struct port_run runs[] = {{0, length + 1}};
        heap_start_runs(length + 1, runs, 1);
        void *frame = sys_malloc(PAGE), *rest = sys_malloc(length * PAGE);
        assert_non_null(rest);
        sys_free(rest); // its bin is found anew
        assert_int_equal(heap_check(), 0);
        sys_free(frame); // and grows by one at its low end
        assert_all_home();
    }
}

TEST(a_hole_at_the_bottom_has_no_owner) {
    const struct port_run runs[] = {{3, 8}};
    heap_start_runs(11, runs, 1);
    assert_refused(k_heap.base + PAGE, HEAP_NOT_ALLOCATED);
    assert_refused(k_heap.base, HEAP_NOT_ALLOCATED);
    assert_all_home();
}

// Eight runs of 33 are looked at and none serves; one of 37 is in a bin of its own.
TEST(a_long_run_is_found_after_shorter_ones_of_another_bin) {
    struct port_run runs[9] = {{0, 37}};
    for (uint32_t i = 1; i < 9; i++) runs[i] = (struct port_run){40 * i, 33};
    heap_start_runs(40 * 9, runs, 9);
    assert_int_equal(frame_alloc(POOL_KERNEL, 37), 0);
    assert_int_equal(heap_check(), 0);
}

// The bins of the second word of the map are looked for there, not among the short runs.
TEST(a_long_run_is_not_taken_from_a_short_one) {
    const struct port_run runs[] = {{0, 2}, {10, 60}};
    for (uint32_t length = 30; length <= 60; length++) {
        heap_start_runs(70, runs, 2);
        assert_int_equal(frame_alloc(POOL_KERNEL, length), 10);
        assert_int_equal(heap_check(), 0);
    }
}

// ---- pointers into long runs --------------------------------------------------------------------

// Every frame of it has its own answer, however far away the run's first frame is.
static void assert_frames_are(uint32_t first, uint32_t count, enum heap_fault fault) {
    for (uint32_t i = 0; i < count; i++) {
        struct arena *arena;
        uint32_t block;
        uintptr_t p = k_heap.base + (first + i) * PAGE + (i == 0 ? 16 : 0);
        assert_int_equal(heap_classify(&k_heap, p, &arena, &block), fault);
    }
}

static void assert_area_is_known(uint32_t before, uint32_t length) {
    uint32_t held = frame_alloc(POOL_KERNEL, before);
    unsigned char *area = sys_malloc(length * PAGE);
    uint32_t first = frame_of(area);
    assert_int_equal(heap_check(), 0);
    assert_frames_are(first, length, HEAP_INTERIOR_POINTER);
    assert_frames_are(first + length, 4, HEAP_NOT_ALLOCATED);
    assert_refused((uintptr_t)area + (length - 1) * PAGE, HEAP_INTERIOR_POINTER);
    assert_true(pool_run_at(&k_heap.pool, first + length - 1) == first);
    sys_free(area);
    assert_frames_are(first, length, HEAP_NOT_ALLOCATED);
    frame_free(POOL_KERNEL, held, before);
    assert_all_home();
}

TEST(every_frame_of_an_area_is_inside_it) {
    static const uint32_t lengths[] = {3, 30, 31, 32, 33, 63, 64, 65, 96, 200};
    for (uint32_t before = 1; before <= 33; before++) {
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            assert_area_is_known(before, lengths[i]);
        }
    }
}

// Words of the bitmap lie between the area and what is asked about.
TEST(an_area_is_found_far_below) {
    const struct port_run runs[] = {{0, 3}, {40, 4000}};
    for (uint32_t length = 100; length < 3900; length += 500) {
        heap_start_runs(4040, runs, 2);
        unsigned char *area = sys_malloc(length * PAGE);
        uint32_t rest = frame_alloc(POOL_KERNEL, 4000 - length);
        assert_int_equal(heap_check(), 0);
        assert_frames_are(40, length, HEAP_INTERIOR_POINTER);
        assert_frames_are(40 + length, 4000 - length, HEAP_NOT_ALLOCATED);
        assert_frames_are(3, 37, HEAP_NOT_ALLOCATED); // a hole, nothing but which lies below
        sys_free(area);
        assert_frames_are(40, 4000, HEAP_NOT_ALLOCATED);
        frame_free(POOL_KERNEL, rest, 4000 - length);
        assert_all_home();
    }
}

// In a pool of 512 MiB, where words of the upper level lie between, too.
TEST(a_run_is_found_below_everything) {
    host_heap_start_user(FRAMES, HOST_USER_FRAMES_MAX);
    const struct pool *pool = mem_pool[POOL_USER];
    uint32_t low = frame_alloc(POOL_USER, 40), long_run = frame_alloc(POOL_USER, 100000);
    uint32_t single = frame_alloc(POOL_USER, 1), last = HOST_USER_FRAMES_MAX - 1;
    assert_int_equal(heap_check(), 0);
    assert_int_equal(pool_run_at(pool, low + 39), low);
    assert_int_equal(pool_run_at(pool, long_run + 99999), long_run);
    assert_int_equal(pool_run_at(pool, single), single);
    assert_int_equal(pool_run_at(pool, last), FRAME_NONE);
    frame_free(POOL_USER, long_run, 100000);
    assert_int_equal(pool_run_at(pool, last), FRAME_NONE); // the search ends at the lowest run
    frame_free(POOL_USER, low, 40);
    assert_int_equal(pool_run_at(pool, last), FRAME_NONE); // and where there is none at all
    frame_free(POOL_USER, single, 1);
    assert_int_equal(heap_check(), 0);
}

// What was damaged is put back, so that the heap can be checked whole at the end.
TEST(a_wrong_anchor_leads_nowhere) {
    unsigned char *area = sys_malloc(100 * PAGE);
    uint32_t first = frame_of(area);
    struct frame *anchor = &k_heap.pool.frame[ANCHOR_STEP * anchor_of(first)];
    uint32_t good = anchor->bin;
    anchor->bin = 1000000; // before the first record
    assert_refused((uintptr_t)area + 90 * PAGE, HEAP_NOT_ALLOCATED);
    anchor->bin = good;
    assert_refused((uintptr_t)area + 90 * PAGE, HEAP_INTERIOR_POINTER);
    sys_free(area);
    assert_all_home();
}

TEST(an_area_that_grows_or_shrinks_is_known_as_before) {
    static const uint32_t lengths[] = {20, 31, 32, 100, 33, 32, 31, 64, 3, 90, 1};
    void *held = sys_malloc(5 * PAGE), *area = sys_malloc(4 * PAGE);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_ptr_equal(sys_realloc(area, (lengths[i] - 1) * PAGE + 3000), area);
        if (lengths[i] * PAGE > table.size[table.count - 1]) assert_int_equal(heap_check(), 0);
        assert_frames_are(frame_of(area), lengths[i], HEAP_INTERIOR_POINTER);
        assert_frames_are(frame_of(area) + lengths[i], 100, HEAP_NOT_ALLOCATED);
        if (lengths[i] == 3) break; // less may be a block
    }
    sys_free(area);
    sys_free(held);
    assert_all_home();
}

TEST(an_aligned_area_is_known_from_its_own_start) {
    for (size_t alignment = 2 * PAGE; alignment <= 64 * PAGE; alignment *= 2) {
        void *held = sys_malloc(3 * PAGE), *area = sys_aligned_alloc(alignment, 50 * PAGE);
        assert_int_equal(heap_check(), 0);
        assert_frames_are(frame_of(area), 50, HEAP_INTERIOR_POINTER);
        assert_frames_are(frame_of(area) + 50, 2, HEAP_NOT_ALLOCATED);
        sys_free(area);
        sys_free(held);
        assert_all_home();
    }
}

TEST(frames_of_others_are_not_the_heaps_to_free) {
    uint32_t first = frame_alloc(POOL_KERNEL, 100);
    assert_frames_are(first, 100, HEAP_NOT_ALLOCATED);
    assert_true(pool_run_at(&k_heap.pool, first + 99) == first);
    void *area = sys_malloc(40 * PAGE);
    host_state_save();
    frame_free(POOL_KERNEL, frame_of(area), 40);
    host_state_assert_unchanged();
    assert_int_equal(host_report_take().fault, HEAP_NOT_ALLOCATED);
    sys_free(area);
    frame_free(POOL_KERNEL, first, 100);
    assert_all_home();
}

// ---- no decision outlives its lock --------------------------------------------------------------
//
// Each time a call lets go of the lock, another thread may free the block it works on, and open
// arenas of other sizes where it was.

static struct {
    void *victim; // what it frees, a block of `size` bytes
    size_t size;
    uint32_t wait; // unlocks to let pass before
    bool ran;
    void *taken[8];
} rival;

static void rival_turn(void) {
    if (rival.wait-- > 0) return;
    host_unlocked = NULL;
    rival.ran = true;
    sys_free(rival.victim);
    sys_trim();
    for (size_t i = 0, at = 0; i < 8; at++) {
        uint32_t size = table.size[at % table.count];
        if (size < rival.size || size >= 2 * rival.size) rival.taken[i++] = sys_malloc(size);
    }
    // A block at the same address would be what sys_realloc() then frees.
    for (size_t i = 0; i < 8; i++) {
        if (rival.taken[i] != rival.victim) continue;
        sys_free(rival.taken[i]);
        rival.taken[i] = NULL;
    }
}

static void rival_end(void) {
    host_unlocked = NULL;
    for (size_t i = 0; i < 8; i++) sys_free(rival.taken[i]);
}

// What sys_realloc() returns if its block is freed at one of its unlocks: that block or a new one,
// whole, or NULL with a report. False when there is no such unlock any more.
static bool realloc_meets_a_free(size_t from, size_t to, uint32_t unlock) {
    memset(&rival, 0, sizeof rival);
    rival.victim = sys_malloc(rival.size = from);
    rival.wait = unlock;
    host_unlocked = rival_turn;
    void *result = sys_realloc(rival.victim, to);
    host_unlocked = NULL;
    bool moved = result && result != rival.victim;
    struct host_report report = host_report_take();
    assert_int_equal(heap_check(), 0);
    if (rival.ran) assert_true(result == rival.victim || report.fault != HEAP_OK);
    else assert_int_equal(report.fault, HEAP_OK);
    if (report.fault != HEAP_OK) assert_ptr_equal((void *)report.pointer, rival.victim);
    if (moved || !rival.ran) sys_free(result);
    rival_end();
    assert_all_home();
    return rival.ran;
}

TEST(realloc_of_a_block_that_is_freed_meanwhile_does_no_harm) {
    static const size_t sizes[] = {24, 100, 600, 3 * PAGE, 6 * PAGE, 20 * PAGE, 40 * PAGE};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
            uint32_t unlock = 0;
            while (realloc_meets_a_free(sizes[i], sizes[j], unlock)) unlock++;
            assert_true(unlock >= 1);
        }
    }
}

// No memory for the smaller block, and the larger one freed meanwhile: it is not handed out again.
TEST(without_memory_a_block_that_was_freed_meanwhile_is_not_kept) {
    memset(&rival, 0, sizeof rival);
    void *area = rival.victim = sys_malloc(rival.size = 3 * PAGE);
    uint32_t rest = frames_free(POOL_KERNEL), first = frame_alloc(POOL_KERNEL, rest);
    rival.wait = 4; // two looks at the area, two at the blocks, the fast way first, one for frames
    host_unlocked = rival_turn;
    assert_null(sys_realloc(area, 24));
    assert_true(rival.ran);
    assert_ptr_equal((void *)host_report_take().pointer, area);
    rival_end();
    frame_free(POOL_KERNEL, first, rest);
    assert_all_home();
}

// ---- what the fast paths do ---------------------------------------------------------------------

// Calls that need nothing new go the short way, each with the lock taken once.
static void assert_fast(void *(*call)(size_t size), size_t size) {
    host_fast_entries = host_slow_entries = 0;
    void *p = call(size);
    assert_non_null(p);
    sys_free(p);
    assert_int_equal(host_fast_entries, 2);
    assert_int_equal(host_slow_entries, 0);
}

TEST(warm_pairs_take_the_fast_path) {
    static const uint32_t sizes[] = {16, 2048, 5120};
    assert_int_equal(block_desc_set(&k_heap, sizes, 3), 0);
    void *keep[] = {sys_malloc(16), sys_malloc(2000), sys_malloc(5000)};
    assert_fast(sys_malloc, 16);
    assert_fast(sys_malloc, 2000);
    assert_fast(sys_malloc, 5000); // in a later frame of its arena
    assert_fast(sys_malloc, 3 * PAGE);
    host_fast_entries = host_slow_entries = 0;
    assert_int_equal(sys_usable_size(keep[1]), 2048);
    assert_ptr_equal(sys_realloc(keep[2], 5120), keep[2]);
    assert_int_equal(host_fast_entries, 2);
    assert_int_equal(host_slow_entries, 0);
    sys_free(keep[0]);
    sys_free(keep[1]);
    sys_free(keep[2]);
    assert_all_home();
}

TEST(descriptors_are_made_from_nothing) {
    static const uint32_t sizes[] = {16, 704, 1792, 2048};
    static const uint32_t frames[] = {1, 1, 1, 1}; // 704: as the seed; 1792: an eighth is left over
    memset(k_heap.block_descs, 0x5a, sizeof k_heap.block_descs);
    assert_int_equal(block_desc_set(&k_heap, sizes, 4), 0);
    for (int i = 0; i < 4; i++) {
        const struct memory_block_desc *desc = &k_heap.block_descs[i];
        assert_int_equal(desc->frames_per_arena, frames[i]);
        assert_int_equal(desc->inner_max, desc->blocks_per_arena - 2);
        assert_int_equal(desc->arenas, 0);
        assert_null(desc->reserve);
        assert_true(!desc->end.desc && desc->end.head == 0 && desc->end.map_words == 0);
    }
    sys_free(sys_malloc(700));
    assert_all_home();
}

// ---- an arena given back leaves nothing in its records ------------------------------------------

TEST(a_closed_arena_leaves_no_bit) {
    for (size_t blocks = 1; blocks <= 128; blocks++) {
        void *p[128];
        for (size_t i = 0; i < blocks; i++) p[i] = sys_malloc(32);
        for (size_t i = 0; i < blocks; i++) sys_free(p[i]);
        assert_all_home();
    }
}

// Three arenas side by side; the first is given back while the second is in its list.
TEST(a_closed_arena_leaves_its_neighbour_alone) {
    enum { BLOCKS = PG_SIZE / 16 };
    static void *p[3 * BLOCKS];
    for (size_t i = 0; i < 3 * BLOCKS; i++) p[i] = sys_malloc(16);
    assert_int_equal(frame_of(p[BLOCKS]), frame_of(p[0]) + 1);
    sys_free(p[BLOCKS]);                                             // the second has room
    for (size_t i = 2 * BLOCKS; i < 3 * BLOCKS; i++) sys_free(p[i]); // the third is kept empty
    for (size_t i = 0; i < BLOCKS; i++) sys_free(p[i]);              // so the first goes back
    assert_int_equal(k_heap.arena[frame_of(p[0])].seal, 0);
    assert_int_equal(heap_check(), 0);
    for (size_t i = BLOCKS + 1; i < 2 * BLOCKS; i++) sys_free(p[i]);
    assert_all_home();
}

// ---- what is said -------------------------------------------------------------------------------

TEST(classify_says_nothing_of_an_arena_where_there_is_none) {
    struct arena *arena = &k_heap.arena[1];
    uint32_t block = 7;
    assert_int_equal(heap_classify(&k_heap, k_heap.base - 1, &arena, &block), HEAP_OUTSIDE);
    assert_null(arena);
    assert_int_equal(block, 0);
    void *area = sys_malloc(2 * PAGE);
    block = 7;
    assert_int_equal(heap_classify(&k_heap, (uintptr_t)area, &arena, &block), HEAP_OK);
    assert_ptr_equal(arena, &k_heap.arena[frame_of(area)]);
    assert_int_equal(block, 0);
    sys_free(area);
    assert_all_home();
}

TEST(a_request_from_an_interrupt_names_no_pointer) {
    host_in_interrupt = true;
    assert_null(sys_malloc(16));
    struct host_report report = host_report_take();
    assert_int_equal(report.fault, HEAP_FROM_INTERRUPT);
    assert_int_equal(report.pointer, 0);
    assert_null(sys_aligned_alloc(2 * PAGE, PAGE));
    report = host_report_take();
    assert_int_equal(report.fault, HEAP_FROM_INTERRUPT);
    assert_int_equal(report.pointer, 0);
    host_in_interrupt = false;
    assert_all_home();
}

TEST(an_area_resized_to_the_largest_block_becomes_one) {
    void *p = sys_malloc(2 * PAGE);
    size_t largest = table.size[table.count - 1];
    p = sys_realloc(p, largest);
    assert_int_equal(k_heap.large_frames, 0);
    assert_int_equal(sys_usable_size(p), largest);
    sys_free(p);
    assert_all_home();
}

TEST(an_alignment_that_every_block_has_takes_the_smallest) {
    for (uint32_t i = 0; i < table.count; i++) {
        size_t least = i > 0 ? table.size[i - 1] + 1 : 1;
        void *p = sys_aligned_alloc(BLOCK_ALIGN, least);
        assert_int_equal(sys_usable_size(p), table.size[i]);
        sys_free(p);
    }
    assert_all_home();
}

// ---- damaged records ----------------------------------------------------------------------------

// Asked of heap_classify(): sys_free() follows `back` before anything has proved it, up to 64 KiB
// down, which in the kernel is memory and for the sanitizers a fault.
static void assert_classified(uintptr_t p, enum heap_fault fault) {
    struct arena *arena;
    uint32_t block;
    assert_int_equal(heap_classify(&k_heap, p, &arena, &block), fault);
}

// What was damaged is put back, so that the heap can be checked whole at the end.
TEST(a_wrong_back_is_a_corrupt_arena) {
    static const uint32_t sizes[] = {16, 2048, 5120};
    assert_int_equal(block_desc_set(&k_heap, sizes, 3), 0);
    unsigned char *p = sys_malloc(5120), *q = sys_malloc(5120);
    struct arena *inner = &k_heap.arena[frame_of(q)];
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
    void *area = sys_malloc(3 * PAGE);
    struct arena *second = &k_heap.arena[frame_of(area) + 1];
    second->seal = 7;
    assert_refused((uintptr_t)area + PAGE, HEAP_CORRUPT_ARENA);
    second->seal = 0;
    sys_free(area);
    assert_all_home();
}

TEST(a_large_area_with_one_field_damaged_is_corrupt) {
    void *area = sys_malloc(3 * PAGE);
    struct arena *arena = &k_heap.arena[frame_of(area)], good = *arena;
    arena->desc = &k_heap.block_descs[0];
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

// ---- exact answers ------------------------------------------------------------------------------

// The size of the block that an aligned request gets, 0 if it gets frames of its own.
static size_t aligned_block(size_t alignment, size_t size) {
    for (uint32_t i = 0; i < table.count && alignment <= PAGE; i++) {
        if (table.size[i] >= size && table.size[i] % alignment == 0) return table.size[i];
    }
    return 0;
}

static void assert_aligned_requests(void) {
    static const size_t sizes[] = {1, 32, 33, 64, 65, 512, 1000, 1024, 1025, 4095, 4096, 4097};
    for (size_t alignment = 32; alignment <= 4 * PAGE; alignment *= 2) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t block = aligned_block(alignment, sizes[i]);
            size_t pages = (sizes[i] + PAGE - 1) / PAGE * PAGE;
            void *p = sys_aligned_alloc(alignment, sizes[i]);
            assert_int_equal((uintptr_t)p % alignment, 0);
            assert_int_equal(sys_usable_size(p), block ? block : pages);
            assert_int_equal(k_heap.large_frames, block ? 0 : pages / PAGE);
            sys_free(p);
        }
    }
    assert_all_home();
}

TEST(an_aligned_request_takes_the_smallest_block_that_serves) { assert_aligned_requests(); }

// A table that begins and ends with sizes which are alignments themselves.
static int start_powers(void **state) {
    static const uint32_t sizes[] = {32, 64, 4096};
    memcpy(table.size, sizes, sizeof sizes);
    table.count = 3;
    return start(state);
}

TEST(an_alignment_may_be_the_first_or_the_largest_size) { assert_aligned_requests(); }

// One frame of its own, and no arena for that size: the area is large enough, so it stays.
TEST(without_memory_an_area_as_large_as_the_block_stays) {
    static void *held[FRAMES];
    uint32_t count = 0;
    void *area = sys_aligned_alloc(2 * PAGE, PAGE);
    while ((held[count] = sys_malloc(PAGE + 1))) count++;
    while (frames_free(POOL_KERNEL) > 0)
        assert_int_not_equal(frame_alloc(POOL_KERNEL, 1), FRAME_NONE);
    assert_ptr_equal(sys_realloc(area, PAGE), area);
    assert_int_equal(heap_check(), 0);
}

TEST(an_aligned_area_may_be_the_whole_pool_but_its_slack) {
    void *area = sys_aligned_alloc(2 * PAGE, (FRAMES - 1) * PAGE);
    assert_non_null(area);
    sys_free(area);
    assert_null(sys_aligned_alloc(2 * PAGE, FRAMES * PAGE));
    assert_all_home();
}

TEST(trim_counts_the_frames_of_every_size) {
    uint32_t frames = 0;
    for (uint32_t i = 0; i < table.count; i++) {
        sys_free(sys_malloc(table.size[i]));
        frames += k_heap.block_descs[i].frames_per_arena;
    }
    assert_int_equal(sys_trim(), frames);
    assert_int_equal(sys_trim(), 0);
}

TEST(an_arena_carved_to_its_end_closes) {
    static void *block[2 * ARENA_BLOCKS_MAX];
    uint32_t blocks = k_heap.block_descs[0].blocks_per_arena;
    for (uint32_t i = 0; i < 2 * blocks; i++) block[i] = sys_malloc(table.size[0]);
    assert_int_equal(k_heap.block_descs[0].arenas, 2);
    void *after = sys_malloc(table.size[1]); // its record follows the second arena's
    assert_int_equal(frame_of(after), frame_of(block[2 * blocks - 1]) + 1);
    for (uint32_t i = 0; i < 2 * blocks; i++) sys_free(block[i]);
    assert_int_equal(k_heap.block_descs[0].arenas, 1);
    assert_int_equal(heap_check(), 0);
    sys_free(after);
    assert_all_home();
}

TEST(the_pools_say_what_they_are) {
    char total[64];
    snprintf(total, sizeof total, "of them %u KiB in the pools\n", (FRAMES + HOST_USER_FRAMES) * 4);
    assert_non_null(strstr(host_printed(), total));
    assert_string_equal(k_heap.pool.name, "kernel_pool");
    assert_string_equal(mem_pool[POOL_USER]->name, "user_pool");
}

// What a system call tries first: blocks of open arenas, and for all else nothing changes.
TEST(the_quick_way_alone_serves_blocks_of_open_arenas) {
    struct heap before = k_heap;
    assert_null(heap_take_block(&k_heap, 32)); // no arena is open
    assert_null(heap_take_block(&k_heap, 0));
    assert_memory_equal(&before, &k_heap, sizeof before);
    char *first = sys_malloc(32), *large = sys_malloc(5 * PAGE);
    char *second = heap_take_block(&k_heap, 17);
    assert_ptr_equal(second, first + 32);
    assert_null(heap_take_block(&k_heap, 16)); // another size
    assert_null(heap_take_block(&k_heap, k_heap.block_max + 1));
    assert_null(heap_take_block(&k_heap, SIZE_MAX));
    char *last = sys_malloc(k_heap.block_max);
    uint32_t blocks = k_heap.block_descs[k_heap.desc_count - 1].blocks_per_arena;
    for (uint32_t i = 1; i < blocks; i++) {
        assert_non_null(heap_take_block(&k_heap, k_heap.block_max));
    }
    assert_null(heap_take_block(&k_heap, k_heap.block_max)); // the arena is full
    sys_free(last);
    assert_ptr_equal(heap_take_block(&k_heap, k_heap.block_max), last);

    assert_true(heap_give_block(&k_heap, (uintptr_t)second));
    before = k_heap;
    const char *wrong[] = {second, first + 1, first + 64, large, first - 1, first + FRAMES * PAGE};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(heap_give_block(&k_heap, (uintptr_t)wrong[i]));
    }
    assert_memory_equal(&before, &k_heap, sizeof before);
    assert_true(heap_give_block(&k_heap, (uintptr_t)first));
    assert_false(heap_give_block(&k_heap, (uintptr_t)first)); // of the arena in reserve
    assert_int_equal(heap_check(), 0);
}

static int run_surroundings(const char *classes) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_call_works_with_interrupts_off, start, end),
        cmocka_unit_test_setup_teardown(every_call_works_with_several_processors, start, end),
        cmocka_unit_test_setup_teardown(own_arenas_have_the_fast_paths_with_several_processors,
                                        start, end),
        cmocka_unit_test_setup_teardown(another_descriptors_arena_serves, start, end),
        cmocka_unit_test_setup_teardown(an_arena_is_opened_without_the_lock, start, end),
        cmocka_unit_test_setup_teardown(what_was_no_arena_when_looked_at_is_not_looked_at_again,
                                        start, end),
        cmocka_unit_test_setup_teardown(a_wrong_free_with_interrupts_off_is_refused, start, end),
    };
    return cmocka_run_group_tests_name(classes, tests, NULL, NULL);
}

static int run_with(const char *classes) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_frame_after_a_run_in_use_is_not_in_it, start, end),
        cmocka_unit_test(a_run_that_shrinks_to_32_frames_is_in_its_bin),
        cmocka_unit_test(every_length_of_run_is_in_its_bin),
        cmocka_unit_test(a_hole_at_the_bottom_has_no_owner),
        cmocka_unit_test(a_long_run_is_found_after_shorter_ones_of_another_bin),
        cmocka_unit_test(a_long_run_is_not_taken_from_a_short_one),
        cmocka_unit_test_setup_teardown(every_frame_of_an_area_is_inside_it, start, end),
        cmocka_unit_test(an_area_is_found_far_below),
        cmocka_unit_test(a_run_is_found_below_everything),
        cmocka_unit_test_setup_teardown(a_wrong_anchor_leads_nowhere, start, end),
        cmocka_unit_test_setup_teardown(an_area_that_grows_or_shrinks_is_known_as_before, start,
                                        end),
        cmocka_unit_test_setup_teardown(an_aligned_area_is_known_from_its_own_start, start, end),
        cmocka_unit_test_setup_teardown(frames_of_others_are_not_the_heaps_to_free, start, end),
        cmocka_unit_test_setup_teardown(realloc_of_a_block_that_is_freed_meanwhile_does_no_harm,
                                        start, end),
        cmocka_unit_test_setup_teardown(without_memory_a_block_that_was_freed_meanwhile_is_not_kept,
                                        start, end),
        cmocka_unit_test_setup_teardown(warm_pairs_take_the_fast_path, start, end),
        cmocka_unit_test_setup_teardown(descriptors_are_made_from_nothing, start, end),
        cmocka_unit_test_setup_teardown(a_closed_arena_leaves_no_bit, start, end),
        cmocka_unit_test_setup_teardown(a_closed_arena_leaves_its_neighbour_alone, start, end),
        cmocka_unit_test_setup_teardown(classify_says_nothing_of_an_arena_where_there_is_none,
                                        start, end),
        cmocka_unit_test_setup_teardown(a_request_from_an_interrupt_names_no_pointer, start, end),
        cmocka_unit_test_setup_teardown(an_area_resized_to_the_largest_block_becomes_one, start,
                                        end),
        cmocka_unit_test_setup_teardown(an_alignment_that_every_block_has_takes_the_smallest, start,
                                        end),
        cmocka_unit_test_setup_teardown(an_aligned_request_takes_the_smallest_block_that_serves,
                                        start, end),
        cmocka_unit_test_setup_teardown(an_aligned_area_may_be_the_whole_pool_but_its_slack, start,
                                        end),
        cmocka_unit_test_setup_teardown(trim_counts_the_frames_of_every_size, start, end),
        cmocka_unit_test_setup_teardown(an_arena_carved_to_its_end_closes, start, end),
        cmocka_unit_test_setup_teardown(the_pools_say_what_they_are, start, end),
        cmocka_unit_test_setup_teardown(a_wrong_back_is_a_corrupt_arena, start, end),
        cmocka_unit_test_setup_teardown(a_blank_record_with_a_seal_is_corrupt, start, end),
        cmocka_unit_test_setup_teardown(a_large_area_with_one_field_damaged_is_corrupt, start, end),
        cmocka_unit_test_setup_teardown(the_quick_way_alone_serves_blocks_of_open_arenas, start,
                                        end),
    };
    const struct CMUnitTest powers[] = {
        cmocka_unit_test_setup_teardown(an_alignment_may_be_the_first_or_the_largest_size,
                                        start_powers, end),
        cmocka_unit_test_setup_teardown(
            a_pool_that_can_grow_is_asked_when_it_has_nothing_and_only_then, start, end),
        cmocka_unit_test_setup_teardown(without_memory_an_area_as_large_as_the_block_stays,
                                        start_powers, end),
    };
    if (size_table_parse(classes, table.size, &table.count) != NULL) return 1;
    int failed = run_surroundings(classes);
    failed += cmocka_run_group_tests_name(classes, tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("32,64,4096", powers, NULL, NULL);
}

int main(void) { return run_with("seed") + run_with("fine"); }
