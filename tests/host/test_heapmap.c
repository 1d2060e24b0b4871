// test_heapmap.c - kernel/inspect/heapmap.c: what the cells show, at every scale, of sound heaps
// and of broken ones.
//
// The cells have a guard after them: however wrong the records, none may be written past `count`,
// and the walk must end.
#include "tests/host/heap_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/size_tables.h"
#include "kernel/inspect/heapmap.h"

#define FRAMES 128u
#define GUARD 0xa5
#define PAGE ((size_t)PG_SIZE)
#define TEST(name) static void name(void **state __attribute__((unused)))

static struct map_cell cells[FRAMES + 1];
static uint32_t each, count; // of the last fill()

static void fill(enum pool_id id, uint32_t most) {
    memset(cells, GUARD, sizeof cells);
    count = heapmap_fill(id, 0, UINT32_MAX, cells, most);
    each = (mem_pool[id]->frames + most - 1) / most;
    assert_in_range(count, 1, most);
    assert_int_equal(cells[count].kind, GUARD);
    assert_int_equal(count, (mem_pool[id]->frames + each - 1) / each); // every frame is in a cell
    for (uint32_t i = 0; i < count; i++) {
        assert_in_range(cells[i].kind, 0, MAP_KINDS - 1);
        assert_in_range(cells[i].eighths, 0, 8);
    }
}

static uint32_t cells_of(enum map_kind kind) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) found += cells[i].kind == kind;
    return found;
}

static uint32_t frame_of(const void *p) {
    return (uint32_t)(((uintptr_t)p - k_heap.base) >> PG_SHIFT);
}

static struct map_cell cell_with(const void *p) { return cells[frame_of(p) / each]; }

static void start_runs(const struct port_run *run, size_t runs, const char *table) {
    uint32_t sizes[DESC_MAX], size_count;
    host_heap_start_runs(FRAMES, run, runs);
    assert_null(size_table_parse(table, sizes, &size_count));
    assert_int_equal(block_desc_set(&k_heap, sizes, size_count), 0);
}

static int start(void **state) {
    const struct port_run all = {0, FRAMES};
    (void)state;
    start_runs(&all, 1, "seed");
    return 0;
}

// ---- sound heaps --------------------------------------------------------------------------------

TEST(a_cell_for_each_frame_names_its_use) {
    void *small = sys_malloc(64), *large = sys_malloc(3 * PAGE);
    uint32_t other = frame_alloc(POOL_KERNEL, 2);
    fill(POOL_KERNEL, FRAMES);
    assert_int_equal(each, 1);
    assert_int_equal(cell_with(small).kind, MAP_SMALL);
    assert_int_equal(cell_with(large).kind, MAP_LARGE);
    assert_int_equal(cells_of(MAP_SMALL), 1);
    assert_int_equal(cells_of(MAP_LARGE), 3);
    assert_int_equal(cells_of(MAP_OTHER), 2);
    assert_int_equal(cells[other + 1].kind, MAP_OTHER);
    assert_int_equal(cells_of(MAP_FREE), FRAMES - 6);
    frame_free(POOL_KERNEL, other, 2);
    sys_free(large);
    sys_free(small);
    host_heap_end();
}

TEST(small_arenas_show_how_full_they_are) {
    void *block[256];
    for (int i = 0; i < 256; i++) block[i] = sys_malloc(16);
    fill(POOL_KERNEL, FRAMES);
    assert_int_equal(cell_with(block[0]).eighths, 8);
    for (int i = 0; i < 128; i++) sys_free(block[i]);
    fill(POOL_KERNEL, FRAMES);
    assert_int_equal(cell_with(block[255]).eighths, 4);
    for (int i = 128; i < 255; i++) sys_free(block[i]);
    fill(POOL_KERNEL, FRAMES);
    assert_int_equal(cell_with(block[255]).eighths, 1);
    sys_free(block[255]); // the arena is kept
    fill(POOL_KERNEL, FRAMES);
    assert_int_equal(cell_with(block[255]).kind, MAP_SMALL);
    assert_int_equal(cell_with(block[255]).eighths, 0);
    host_heap_end();
}

TEST(an_arena_of_several_frames_is_as_full_in_each) {
    const struct port_run all = {0, FRAMES};
    start_runs(&all, 1, "fine");
    void *p = sys_malloc(5000);
    uint32_t frames = k_heap.small_frames;
    assert_true(frames > 1);
    fill(POOL_KERNEL, FRAMES);
    assert_int_equal(cells_of(MAP_SMALL), frames);
    struct map_cell first = cell_with(p);
    for (uint32_t i = 0; i < frames; i++) {
        assert_memory_equal(&cells[frame_of(p) + i], &first, sizeof first);
    }
    sys_free(p);
    host_heap_end();
}

// Nothing in use is hidden by what is free, nor by what is no memory.
TEST(what_is_in_use_shows_at_every_scale) {
    void *p = sys_malloc(64);
    for (uint32_t most = 1; most <= FRAMES; most++) {
        fill(POOL_KERNEL, most);
        assert_int_equal(cell_with(p).kind, MAP_SMALL);
    }
    sys_free(p);
    host_heap_end();
    const struct port_run islands[] = {{0, 1}, {50, 2}, {127, 1}};
    start_runs(islands, 3, "seed");
    fill(POOL_KERNEL, FRAMES);
    assert_int_equal(cells_of(MAP_HOLE), FRAMES - 4);
    p = sys_malloc(2 * PAGE);
    for (uint32_t most = 1; most <= FRAMES; most++) {
        fill(POOL_KERNEL, most);
        assert_int_equal(cell_with(p).kind, MAP_LARGE);
    }
    sys_free(p);
    host_heap_end();
}

TEST(the_kind_with_most_frames_shows) {
    void *small = sys_malloc(64), *large = sys_malloc(3 * PAGE);
    fill(POOL_KERNEL, 1);
    assert_int_equal(each, FRAMES);
    assert_int_equal(cells[0].kind, MAP_LARGE);
    assert_int_equal(cells[0].eighths, 1); // 4 of 128 frames, rounded up
    sys_free(large);
    fill(POOL_KERNEL, 1);
    assert_int_equal(cells[0].kind, MAP_SMALL);
    sys_free(small);
    host_heap_end();
}

// An arena that is kept empty is more than free frames, and less than anything that lives.
TEST(what_lives_shows_before_an_empty_arena) {
    const struct port_run all = {0, FRAMES};
    start_runs(&all, 1, "fine");
    void *p = sys_malloc(5000), *block = sys_malloc(16);
    assert_true(k_heap.small_frames > 2);
    sys_free(p);
    fill(POOL_KERNEL, 1);
    assert_int_equal(cells[0].kind, MAP_SMALL);
    assert_int_equal(cells[0].eighths, 1); // the block
    sys_free(block);
    uint32_t other = frame_alloc(POOL_KERNEL, 1);
    fill(POOL_KERNEL, 1);
    assert_int_equal(cells[0].kind, MAP_OTHER);
    frame_free(POOL_KERNEL, other, 1);
    fill(POOL_KERNEL, 1);
    assert_int_equal(cells[0].kind, MAP_SMALL);
    assert_int_equal(cells[0].eighths, 0);
    host_heap_end();
}

// Wherever it begins, in the middle of a run as well, a stretch is that part of the whole.
TEST(a_stretch_shows_what_the_whole_shows) {
    const struct port_run islands[] = {{3, 60}, {70, 50}};
    start_runs(islands, 2, "fine");
    void *large = sys_malloc(9 * PAGE), *small = sys_malloc(5000), *more = sys_malloc(64);
    struct map_cell whole[FRAMES], part[FRAMES];
    assert_int_equal(heapmap_fill(POOL_KERNEL, 0, FRAMES, whole, FRAMES), FRAMES);
    for (uint32_t first = 0; first < FRAMES; first++) {
        for (uint32_t frames = 1; frames <= FRAMES - first; frames++) {
            assert_int_equal(heapmap_fill(POOL_KERNEL, first, frames, part, FRAMES), frames);
            assert_memory_equal(part, &whole[first], frames * sizeof *part);
        }
    }
    assert_int_equal(heapmap_fill(POOL_KERNEL, FRAMES - 1, UINT32_MAX, part, FRAMES), 1);
    assert_int_equal(heapmap_fill(POOL_KERNEL, FRAMES, 1, part, FRAMES), 0);
    assert_int_equal(heapmap_fill(POOL_KERNEL, UINT32_MAX, UINT32_MAX, part, FRAMES), 0);
    sys_free(large);
    sys_free(small);
    sys_free(more);
    host_heap_end();
}

TEST(the_user_pool_has_no_arenas) {
    uint32_t frame = frame_alloc(POOL_USER, 5);
    fill(POOL_USER, HOST_USER_FRAMES);
    assert_int_equal(cells_of(MAP_OTHER), 5);
    assert_int_equal(cells_of(MAP_FREE), HOST_USER_FRAMES - 5);
    frame_free(POOL_USER, frame, 5);
    host_heap_end();
}

TEST(looking_changes_nothing) {
    void *p = sys_malloc(64);
    host_state_save();
    host_window_close(); // records only
    fill(POOL_KERNEL, 7);
    host_window_open();
    host_state_assert_unchanged();
    sys_free(p);
    host_heap_end();
}

// ---- broken ones --------------------------------------------------------------------------------

TEST(a_broken_seal_shows_among_much_else) {
    void *p = sys_malloc(64), *large = sys_malloc(20 * PAGE);
    k_heap.arena[frame_of(p)].cnt++;
    fill(POOL_KERNEL, 1);
    assert_int_equal(cells[0].kind, MAP_CORRUPT);
    k_heap.arena[frame_of(p)].cnt--;
    sys_free(large);
    sys_free(p);
    host_heap_end();
}

// The sum is right, but the descriptor is none: it must not be looked into.
TEST(a_wild_descriptor_is_not_followed) {
    void *p = sys_malloc(64);
    struct arena *arena = &k_heap.arena[frame_of(p)], was = *arena;
    arena->desc = (struct memory_block_desc *)(uintptr_t)0x1000;
    arena->seal += SMALL_SEAL - arena_sum(arena);
    fill(POOL_KERNEL, FRAMES);
    assert_int_equal(cell_with(p).kind, MAP_CORRUPT);
    *arena = was;
    sys_free(p);
    host_heap_end();
}

TEST(a_run_that_leaves_its_pool_is_corrupt) {
    static const uint32_t wrong[] = {FRAME_USED | FRAMES, FRAME_FREE | 0x3fffffff, FRAME_USED};
    void *p = sys_malloc(2 * PAGE);
    struct frame *frame = &k_heap.pool.frame[frame_of(p)];
    uint32_t was = frame->run;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        frame->run = frame_of(p) == 0 && i == 0 ? FRAME_USED | (FRAMES + 1) : wrong[i];
        fill(POOL_KERNEL, FRAMES);
        assert_int_equal(cell_with(p).kind, MAP_CORRUPT);
    }
    frame->run = was;
    sys_free(p);
    host_heap_end();
}

// Records full of rubbish: the checks are fill()'s. The same numbers in every run.
TEST(rubbish_is_drawn_within_bounds) {
    uint32_t random = 1;
    for (uint32_t round = 0; round < 2000; round++) {
        for (uint32_t i = 0; i < FRAMES; i++) {
            random = random * 1664525 + 1013904223;
            k_heap.pool.frame[i].run = random & (random >> 3 & 1 ? 0xc00000ff : ~0u);
            memset(&k_heap.arena[i], (int)(random >> 24 & 7 ? 0 : random >> 16),
                   sizeof(struct arena));
        }
        fill(POOL_KERNEL, 1 + round % FRAMES);
        heapmap_fill(POOL_KERNEL, random % FRAMES, random >> 8, cells, 1 + round % FRAMES);
    }
}

int main(void) {
#define RUN(name) cmocka_unit_test_setup(name, start)
    const struct CMUnitTest tests[] = {
        RUN(a_cell_for_each_frame_names_its_use),
        RUN(small_arenas_show_how_full_they_are),
        RUN(an_arena_of_several_frames_is_as_full_in_each),
        RUN(what_is_in_use_shows_at_every_scale),
        RUN(the_kind_with_most_frames_shows),
        RUN(what_lives_shows_before_an_empty_arena),
        RUN(a_stretch_shows_what_the_whole_shows),
        RUN(the_user_pool_has_no_arenas),
        RUN(looking_changes_nothing),
        RUN(a_broken_seal_shows_among_much_else),
        RUN(a_wild_descriptor_is_not_followed),
        RUN(a_run_that_leaves_its_pool_is_corrupt),
        RUN(rubbish_is_drawn_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
