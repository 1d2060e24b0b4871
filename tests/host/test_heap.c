// test_heap.c - kernel/memory.c over stand-in frames: each promise of memory.h, each wrong call.
//
// Groups: what memory_init() leaves; frames; blocks and areas; the other calls; wrong calls, which
// must name the fault and change nothing; no memory, which must change nothing either; what is in
// the frames.
//
// All but the first groups run once for each table of block sizes, seed and fine: what a size must
// come to is worked out from `table`, which is what was asked for, never from what the heap has.
#include "tests/host/heap_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/size_tables.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/runs.h"

#define FRAMES 256u // of the kernel pool in most tests
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE ((size_t)PG_SIZE)

// Block sizes of the heap under test, rising.
static struct {
    uint32_t size[DESC_MAX], count;
    uint32_t filled; // of the frames that hold random blocks, per cent that are data: at least
} table;

static void heap_start(uint32_t frames) {
    host_heap_start(frames);
    assert_int_equal(block_desc_set(&k_heap, table.size, table.count), 0);
}

// As memory_init() leaves it.
static int start_bare(void **state) {
    (void)state;
    host_heap_start(FRAMES);
    return 0;
}

static int start(void **state) {
    (void)state;
    heap_start(FRAMES);
    return 0;
}

static int end(void **state) {
    (void)state;
    host_heap_end();
    return 0;
}

static struct arena *arena_of(const void *p) {
    struct arena *arena = &k_heap.arena[((uintptr_t)p - k_heap.base) >> PG_SHIFT];
    return arena - arena->back / sizeof *arena;
}

static size_t block_max(void) { return table.size[table.count - 1]; }

// The smallest size of the table that holds `size` bytes; table.count: whole frames.
static uint32_t class_of(size_t size) {
    uint32_t i = 0;
    while (i < table.count && table.size[i] < size) i++;
    return i;
}

static size_t usable_for(size_t size) {
    uint32_t i = class_of(size);
    return i < table.count ? table.size[i] : (size + PAGE - 1) / PAGE * PAGE;
}

// Frames of an arena of such blocks: one up to 1024 bytes, else the fewest whose rest after the
// last block is an eighth at most.
static uint32_t arena_frames(uint32_t i) {
    uint32_t frames = 1;
    while (table.size[i] > 1024 && frames * PAGE % table.size[i] > frames * PAGE / 8) frames++;
    return frames;
}

static uint32_t arena_blocks(uint32_t i) {
    return (uint32_t)(arena_frames(i) * PAGE / table.size[i]);
}

// Frames that a request for `size` takes where an arena must be opened.
static size_t frames_for(size_t size) {
    uint32_t i = class_of(size);
    return i < table.count ? arena_frames(i) : (size + PAGE - 1) / PAGE;
}

// The fewest that serve: where an arena's frames cannot be had, a block has some of its own.
static size_t frames_enough(size_t size) {
    uint32_t i = class_of(size);
    return ((i < table.count ? table.size[i] : size) + PAGE - 1) / PAGE;
}

// `count` blocks of a size, none of them refused.
static void take_blocks(void **p, uint32_t count, size_t size) {
    for (uint32_t i = 0; i < count; i++) assert_non_null(p[i] = sys_malloc(size));
}

static void free_blocks(void *const *p, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) sys_free(p[i]);
}

// All blocks given back and reserves trimmed: the heap must be as it was at the start.
static void assert_all_home(void) {
    sys_trim();
    assert_int_equal(frames_free(POOL_KERNEL), frames_total(POOL_KERNEL));
    assert_int_equal(k_heap.small_frames, 0);
    assert_int_equal(k_heap.large_frames, 0);
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        assert_int_equal(k_heap.block_descs[i].arenas, 0);
        assert_true(list_empty(&k_heap.block_descs[i].free_list));
    }
}

static void fill(void *p, size_t bytes, unsigned tag) {
    for (size_t i = 0; i < bytes; i++) ((unsigned char *)p)[i] = (unsigned char)(tag + i * 7);
}

static void assert_filled(const void *p, size_t bytes, unsigned tag) {
    for (size_t i = 0; i < bytes; i++) {
        assert_int_equal(((const unsigned char *)p)[i], (unsigned char)(tag + i * 7));
    }
}

// ---- memory_init -------------------------------------------------------------------------------

static void init_prints_the_seeds_words(void **state) {
    (void)state;
    assert_ptr_equal(strstr(host_printed(), "mem_init start\n"), host_printed());
    const char *done = strstr(host_printed(), "mem_init done\n");
    assert_non_null(done);
    assert_string_equal(done, "mem_init done\n"); // the last line
    const char *pools = strstr(host_printed(), "mem_pool_init start\n");
    assert_non_null(pools);
    assert_true(pools < strstr(host_printed(), "mem_pool_init done\n"));
    char total[64];
    snprintf(total, sizeof total, "total %zu bytes", (FRAMES + HOST_USER_FRAMES) * PAGE);
    assert_non_null(strstr(host_printed(), total));
}

static void init_makes_the_seeds_seven(void **state) {
    static const uint32_t seed[] = {16, 32, 64, 128, 256, 512, 1024};
    (void)state;
    assert_int_equal(k_heap.desc_count, COUNT(seed));
    assert_int_equal(k_heap.block_max, 1024);
    for (uint32_t i = 0; i < COUNT(seed); i++) {
        assert_int_equal(k_heap.block_descs[i].block_size, seed[i]);
        assert_int_equal(k_heap.block_descs[i].blocks_per_arena, PAGE / seed[i]);
        assert_int_equal(k_heap.block_descs[i].frames_per_arena, 1);
    }
}

static void tables_make_their_descriptors(void **state) {
    (void)state;
    assert_int_equal(k_heap.desc_count, table.count);
    assert_int_equal(k_heap.block_max, block_max());
    for (uint32_t i = 0; i < table.count; i++) {
        assert_int_equal(k_heap.block_descs[i].block_size, table.size[i]);
        assert_int_equal(k_heap.block_descs[i].blocks_per_arena, arena_blocks(i));
        assert_int_equal(k_heap.block_descs[i].frames_per_arena, arena_frames(i));
    }
}

static void init_takes_every_frame(void **state) {
    (void)state;
    assert_int_equal(frames_total(POOL_KERNEL), FRAMES);
    assert_int_equal(frames_free(POOL_KERNEL), FRAMES);
    assert_int_equal(frames_total(POOL_USER), HOST_USER_FRAMES);
    assert_int_equal(host_longest_run(POOL_KERNEL), FRAMES);
    assert_int_equal(frame_address(POOL_KERNEL, 3), HOST_PHYS + 3 * PAGE);
    assert_int_equal(frame_address(POOL_USER, 0), HOST_PHYS + FRAMES * PAGE);
}

static void wrong_size_tables_are_refused(void **state) {
    (void)state;
    static uint32_t many[DESC_MAX + 1];
    for (uint32_t i = 0; i < COUNT(many); i++) many[i] = (i + 1) * BLOCK_ALIGN;
    const uint32_t falling[] = {32, 16}, twice[] = {16, 16}, odd[] = {16, 24}, zero[] = {0, 16};
    const uint32_t above[] = {16, BLOCK_SIZE_MAX + BLOCK_ALIGN};
    host_state_save();
    assert_int_equal(block_desc_set(&k_heap, many, 0), -1);
    assert_int_equal(block_desc_set(&k_heap, many, COUNT(many)), -1);
    assert_int_equal(block_desc_set(&k_heap, falling, 2), -1);
    assert_int_equal(block_desc_set(&k_heap, twice, 2), -1);
    assert_int_equal(block_desc_set(&k_heap, odd, 2), -1);
    assert_int_equal(block_desc_set(&k_heap, zero, 2), -1);
    assert_int_equal(block_desc_set(&k_heap, above, 2), -1);
    host_state_assert_unchanged();
    assert_int_equal(block_desc_set(&k_heap, many, DESC_MAX), 0);
    assert_int_equal(k_heap.block_max, DESC_MAX * BLOCK_ALIGN);
}

// For every block size there may be: which distances from an arena's start are blocks, by division.
static void every_block_size_finds_its_blocks(void **state) {
    (void)state;
    for (uint32_t size = BLOCK_ALIGN; size <= BLOCK_SIZE_MAX; size += BLOCK_ALIGN) {
        host_heap_start(32);
        assert_int_equal(block_desc_set(&k_heap, &size, 1), 0);
        const struct memory_block_desc *desc = &k_heap.block_descs[0];
        uint32_t bytes = desc->frames_per_arena * PAGE;
        assert_in_range(desc->frames_per_arena, 1, ARENA_FRAMES_MAX);
        assert_int_equal(desc->blocks_per_arena, bytes / size);
        assert_in_range(desc->blocks_per_arena, 1, ARENA_BLOCKS_MAX);
        bool wasteful = bytes % size > bytes / 8;
        assert_true(!wasteful || size <= 1024 || desc->frames_per_arena == ARENA_FRAMES_MAX);
        unsigned char *base = sys_malloc(size);
        for (uint32_t i = 1; i < desc->blocks_per_arena; i++) {
            assert_ptr_equal(sys_malloc(size), base + (size_t)i * size);
        }
        for (uint32_t off = 0; off < bytes; off++) {
            struct arena *arena;
            uint32_t block;
            bool is_block = off % size == 0 && off / size < desc->blocks_per_arena;
            enum heap_fault fault = heap_classify(&k_heap, (uintptr_t)base + off, &arena, &block);
            assert_int_equal(fault, is_block ? HEAP_OK : HEAP_INTERIOR_POINTER);
            if (is_block) assert_int_equal(block, off / size);
        }
        assert_int_equal(heap_check(), 0);
    }
}

// ---- frames ------------------------------------------------------------------------------------

static void frames_come_and_go(void **state) {
    (void)state;
    uint32_t first = frame_alloc(POOL_USER, 1), rest = frame_alloc(POOL_USER, HOST_USER_FRAMES - 1);
    assert_true(first != FRAME_NONE && rest != FRAME_NONE && first != rest);
    assert_int_equal(frames_free(POOL_USER), 0);
    host_state_save();
    assert_int_equal(frame_alloc(POOL_USER, 1), FRAME_NONE);
    host_state_assert_unchanged();
    frame_free(POOL_USER, rest, HOST_USER_FRAMES - 1);
    frame_free(POOL_USER, first, 1);
    assert_int_equal(host_longest_run(POOL_USER), HOST_USER_FRAMES); // joined again
}

static void frame_counts_out_of_range(void **state) {
    (void)state;
    host_state_save();
    assert_int_equal(frame_alloc(POOL_KERNEL, 0), FRAME_NONE);
    assert_int_equal(frame_alloc(POOL_KERNEL, FRAMES + 1), FRAME_NONE);
    assert_int_equal(frame_alloc(POOL_KERNEL, 0x40000000), FRAME_NONE);
    assert_int_equal(frame_alloc(POOL_KERNEL, UINT32_MAX), FRAME_NONE);
    host_state_assert_unchanged();
    assert_int_equal(frame_alloc(POOL_KERNEL, FRAMES), 0);
}

// frame_free() of something else: reported, nothing changed.
static void assert_frame_refused(uint32_t first, uint32_t count, enum heap_fault fault) {
    host_state_save();
    frame_free(POOL_KERNEL, first, count);
    struct host_report report = host_report_take();
    assert_int_equal(report.fault, fault);
    assert_int_equal(report.pointer, host_heap_base + ((uintptr_t)first << PG_SHIFT));
    host_state_assert_unchanged();
}

static void wrong_frames_are_refused(void **state) {
    (void)state;
    uint32_t run = frame_alloc(POOL_KERNEL, 4);
    assert_frame_refused(run, 3, HEAP_NOT_ALLOCATED);     // not the whole run
    assert_frame_refused(run, 5, HEAP_NOT_ALLOCATED);     // more than the run
    assert_frame_refused(run, 0, HEAP_NOT_ALLOCATED);     // nothing
    assert_frame_refused(run + 1, 3, HEAP_NOT_ALLOCATED); // from its middle
    assert_frame_refused(run + 8, 1, HEAP_NOT_ALLOCATED); // free
    assert_frame_refused(FRAMES, 1, HEAP_OUTSIDE);
    assert_frame_refused(UINT32_MAX, 1, HEAP_OUTSIDE);
    frame_free(POOL_KERNEL, run, 4);
    assert_frame_refused(run, 4, HEAP_NOT_ALLOCATED); // twice
    uintptr_t block = (uintptr_t)sys_malloc(16), area = (uintptr_t)sys_malloc(3 * PG_SIZE);
    assert_frame_refused((uint32_t)((block - host_heap_base) >> PG_SHIFT), 1,
                         HEAP_NOT_ALLOCATED); // an arena
    assert_frame_refused((uint32_t)((area - host_heap_base) >> PG_SHIFT), 3, HEAP_NOT_ALLOCATED);
    sys_free((void *)block);
    sys_free((void *)area);
}

// A hole of the memory map has no owner: runs on its two sides never become one.
static void holes_stay_holes(void **state) {
    (void)state;
    const struct port_run runs[] = {{2, 10}, {16, 1}, {20, 44}};
    host_heap_start_runs(64, runs, COUNT(runs));
    assert_int_equal(frames_total(POOL_KERNEL), 55);
    assert_int_equal(host_longest_run(POOL_KERNEL), 44);
    bool taken[64] = {false};
    for (int i = 0; i < 55; i++) {
        uint32_t frame = frame_alloc(POOL_KERNEL, 1);
        assert_true(frame < 64 && !taken[frame]);
        assert_true((frame >= 2 && frame < 12) || frame == 16 || frame >= 20);
        taken[frame] = true;
    }
    assert_int_equal(frame_alloc(POOL_KERNEL, 1), FRAME_NONE);
    for (uint32_t i = 0; i < 64; i++) {
        if (taken[i]) frame_free(POOL_KERNEL, i, 1);
    }
    assert_int_equal(host_longest_run(POOL_KERNEL), 44);
    assert_frame_refused(12, 1, HEAP_NOT_ALLOCATED); // in a hole
}

// Runs of 32 to 35 frames share a bin, and eight of them are looked at: pool.h, shortcomings.
// `shorter` runs of 33 come before the one of 35 that would serve.
static uint32_t find_after(uint32_t shorter) {
    struct port_run runs[HOST_RUNS_MAX] = {{0, 35}};
    for (uint32_t i = 1; i <= shorter; i++) runs[i] = (struct port_run){40 * i, 33};
    host_heap_start_runs(40 * (shorter + 1), runs, shorter + 1);
    return frame_alloc(POOL_KERNEL, 35);
}

static void long_runs_are_looked_for_eight_deep(void **state) {
    (void)state;
    assert_int_equal(find_after(7), 0);
    assert_int_equal(find_after(8), FRAME_NONE);
    assert_null(sys_malloc(35 * PAGE));
    assert_int_equal(frame_alloc(POOL_KERNEL, 33), 40 * 8); // and with one out of the way
    assert_int_equal(frame_alloc(POOL_KERNEL, 35), 0);
}

// What two processors keep, frame beside frame, stays theirs.
static void neighbours_of_another_pool_are_not_joined(void **state) {
    (void)state;
    struct pool pools[2] = {0};
    uint32_t before = frames_free(POOL_KERNEL);
    struct frame *first = &k_heap.pool.frame[frame_alloc(POOL_KERNEL, 3)];
    for (uint32_t i = 0; i < 3; i++) {
        pools[i % 2].frame = k_heap.pool.frame;
        pools[i % 2].end = k_heap.pool.end;
        run_join(&pools[i % 2], first + i, 1, FRAME_KEPT(i % 2));
    }
    assert_int_equal(pools[0].free, 2);
    assert_null(run_find(&pools[0], 2));
    assert_ptr_equal(run_cut(&pools[1], run_find(&pools[1], 1), 1, FRAME_KEPT(1)), first + 1);
    run_join(&pools[0], first + 1, 1, FRAME_KEPT(0));
    assert_ptr_equal(run_find(&pools[0], 3), first + 2);
    run_join(&k_heap.pool, run_cut(&pools[0], first + 2, 3, FRAME_KEPT(0)), 3, FRAME_FREE);
    assert_int_equal(frames_free(POOL_KERNEL), before);
    assert_int_equal(heap_check(), 0);
}

// Three runs side by side, given back in each of the six orders.
static void neighbours_join_in_any_order(void **state) {
    (void)state;
    static const int order[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int i = 0; i < 6; i++) {
        void *p[3];
        for (int k = 0; k < 3; k++) assert_non_null(p[k] = sys_malloc((3 + (size_t)k) * PAGE));
        for (int k = 0; k < 3; k++) sys_free(p[order[i][k]]);
        assert_int_equal(host_longest_run(POOL_KERNEL), FRAMES);
        assert_int_equal(heap_check(), 0);
    }
}

// ---- blocks and areas --------------------------------------------------------------------------

static void size_zero_gives_null(void **state) {
    (void)state;
    host_state_save();
    assert_null(sys_malloc(0));
    assert_null(sys_calloc(0, 16));
    assert_null(sys_calloc(16, 0));
    assert_null(sys_calloc(0, SIZE_MAX));
    assert_null(sys_realloc(NULL, 0));
    assert_null(sys_aligned_alloc(16, 0));
    assert_null(sys_aligned_alloc(4096, 0));
    host_state_assert_unchanged();
}

// Around each block size: the smallest descriptor that serves, or frames.
static void sizes_meet_their_descriptor(void **state) {
    (void)state;
    for (size_t size = 1; size <= block_max() + 100; size++) {
        void *p = sys_malloc(size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % BLOCK_ALIGN, 0);
        const struct arena *arena = arena_of(p);
        uint32_t i = class_of(size);
        assert_int_equal(arena->large, i == table.count);
        assert_ptr_equal(arena->desc, i < table.count ? &k_heap.block_descs[i] : NULL);
        assert_int_equal(sys_usable_size(p), usable_for(size));
        sys_free(p);
    }
    assert_all_home();
}

static void assert_area_takes(size_t size, size_t want) {
    void *p = sys_malloc(size);
    assert_non_null(p);
    assert_int_equal(arena_of(p)->cnt, want);
    assert_int_equal(arena_of(p)->large, 1);
    assert_int_equal(sys_usable_size(p), want * PAGE);
    assert_int_equal(frames_free(POOL_KERNEL), FRAMES - want);
    assert_int_equal(k_heap.large_frames, want);
    fill(p, size, (unsigned)want);
    sys_free(p);
    assert_int_equal(frames_free(POOL_KERNEL), FRAMES);
}

static void large_sizes_take_exact_frames(void **state) {
    (void)state;
    uint32_t least = (uint32_t)(block_max() / PAGE + 1);
    assert_area_takes(block_max() + 1, least);
    for (uint32_t pages = least; pages <= 40; pages++) {
        for (int off = -32; off <= 32; off++) {
            size_t size = pages * PAGE + (size_t)off;
            if (size > block_max()) assert_area_takes(size, pages + (off > 0));
        }
    }
}

static void all_of_the_pool_in_one_area(void **state) {
    (void)state;
    void *p = sys_malloc(FRAMES * PAGE);
    assert_ptr_equal(p, k_heap.base);
    assert_null(sys_malloc(1));
    sys_free(p);
    host_state_save();
    assert_null(sys_malloc(FRAMES * PAGE + 1));
    host_state_assert_unchanged();
    assert_all_home();
}

// The sizes whose rounding up wraps: near 2^32, and near this machine's own end.
static void sizes_near_the_end_give_null(void **state) {
    (void)state;
    void *p = sys_malloc(100);
    host_state_save();
    for (size_t less = 1; less <= 8192; less++) {
        const size_t sizes[] = {((size_t)UINT32_MAX + 1) - less, SIZE_MAX - less + 1};
        for (size_t i = 0; i < COUNT(sizes); i++) {
            assert_null(sys_malloc(sizes[i]));
            assert_null(sys_calloc(1, sizes[i]));
            assert_null(sys_calloc(sizes[i], 1));
            assert_null(sys_realloc(p, sizes[i]));
            assert_null(sys_aligned_alloc(64, sizes[i]));
            assert_null(sys_aligned_alloc(PAGE, sizes[i]));
            assert_null(sys_aligned_alloc(4 * PAGE, sizes[i]));
        }
    }
    host_state_assert_unchanged();
    sys_free(p);
}

static void free_of_null_does_nothing(void **state) {
    (void)state;
    host_state_save();
    sys_free(NULL);
    assert_int_equal(sys_usable_size(NULL), 0);
    host_state_assert_unchanged();
}

// Every block of every descriptor at once: none overlaps another.
static void live_blocks_never_overlap(void **state) {
    (void)state;
    static void *p[DESC_MAX][2 * ARENA_BLOCKS_MAX + 1];
    for (uint32_t d = 0; d < table.count; d++) {
        uint32_t blocks = 2 * arena_blocks(d) + 1; // two arenas full and one block more
        take_blocks(p[d], blocks, table.size[d]);
        for (uint32_t i = 0; i < blocks; i++) fill(p[d][i], table.size[d], d * 100 + i);
    }
    for (uint32_t d = 0; d < table.count; d++) {
        for (uint32_t i = 0; i < 2 * arena_blocks(d) + 1; i++) {
            assert_filled(p[d][i], table.size[d], d * 100 + i);
            sys_free(p[d][i]);
        }
    }
    assert_all_home();
}

static void assert_edge_is_quiet(uint32_t class) {
    static void *full[ARENA_BLOCKS_MAX];
    const struct memory_block_desc *desc = &k_heap.block_descs[class];
    uint32_t frames = arena_frames(class), blocks = arena_blocks(class);
    take_blocks(full, blocks, table.size[class]);
    assert_int_equal(desc->arenas, 1);
    assert_true(list_empty(&desc->free_list));
    for (int i = 0; i < 100; i++) {
        void *p = sys_malloc(table.size[class]);
        assert_int_equal(desc->arenas, 2);
        assert_int_equal(frames_free(POOL_KERNEL), FRAMES - 2 * frames);
        sys_free(p);
        assert_int_equal(desc->arenas, 2);
        assert_int_equal(frames_free(POOL_KERNEL), FRAMES - 2 * frames);
    }
    assert_int_equal(sys_trim(), frames);
    assert_int_equal(desc->arenas, 1);
    free_blocks(full, blocks);
    assert_all_home();
}

// A pair at the edge of an arena opens one arena, once.
static void edge_of_an_arena_does_not_flap(void **state) {
    (void)state;
    for (uint32_t i = 0; i < table.count; i++) assert_edge_is_quiet(i);
}

static void one_empty_arena_is_kept_at_most(void **state) {
    (void)state;
    static void *p[10 * ARENA_BLOCKS_MAX];
    for (uint32_t i = 0; i < table.count; i++) {
        uint32_t frames = arena_frames(i), blocks = 10 * arena_blocks(i);
        take_blocks(p, blocks, table.size[i]);
        assert_int_equal(frames_free(POOL_KERNEL), FRAMES - 10 * frames);
        free_blocks(p, blocks);
        assert_int_equal(frames_free(POOL_KERNEL), FRAMES - frames);
        assert_int_equal(sys_trim(), frames);
        assert_int_equal(sys_trim(), 0);
        assert_all_home();
    }
}

// As long as another arena has room, an empty one can stay empty, and be given back. (An arena of
// one block has no room while it is in use.)
static void empty_arena_serves_last(void **state) {
    (void)state;
    static void *first[ARENA_BLOCKS_MAX], *second[ARENA_BLOCKS_MAX];
    for (uint32_t i = 0; i < table.count; i++) {
        uint32_t blocks = arena_blocks(i);
        if (blocks == 1) continue;
        take_blocks(first, blocks, table.size[i]);
        take_blocks(second, blocks, table.size[i]);
        sys_free(first[0]); // now both have room, and then the second nothing else
        free_blocks(second, blocks);
        void *more = sys_malloc(table.size[i]);
        assert_ptr_equal(more, first[0]);
        assert_int_equal(sys_trim(), arena_frames(i));
        free_blocks(first, blocks);
        assert_all_home();
    }
}

static void trim_leaves_live_blocks_alone(void **state) {
    (void)state;
    for (uint32_t i = 0; i < table.count; i++) {
        void *p = sys_malloc(table.size[i]);
        fill(p, table.size[i], 9);
        assert_int_equal(sys_trim(), 0);
        assert_filled(p, table.size[i], 9);
        assert_int_equal(sys_usable_size(p), table.size[i]);
        sys_free(p);
        assert_int_equal(sys_trim(), arena_frames(i));
        assert_all_home();
    }
}

// ---- calloc, realloc, aligned ------------------------------------------------------------------

static void calloc_clears_reused_memory(void **state) {
    (void)state;
    const size_t sizes[] = {1, 16, 100, 1024, 1025, 5000, 70000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *p = sys_malloc(sizes[i]);
        memset(p, 0xff, sys_usable_size(p));
        sys_free(p);
        unsigned char *q = sys_calloc(1, sizes[i]);
        assert_ptr_equal(q, p); // the same memory: else this shows nothing
        for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(q[k], 0);
        sys_free(q);
    }
    assert_all_home();
}

static void calloc_products_that_overflow(void **state) {
    (void)state;
    const size_t half = (size_t)1 << (sizeof(size_t) * 4); // half * half is 2^32 or 2^64
    host_state_save();
    assert_null(sys_calloc(0x10001, 0x10001)); // the trap of 32 bits
    assert_null(sys_calloc(half, half));
    assert_null(sys_calloc(half + 1, half + 1));
    assert_null(sys_calloc(SIZE_MAX / 2 + 1, 2));
    assert_null(sys_calloc(2, SIZE_MAX / 2 + 1));
    assert_null(sys_calloc(SIZE_MAX, SIZE_MAX));
    assert_null(sys_calloc(SIZE_MAX / 16 + 1, 16)); // 0 if it wrapped
    host_state_assert_unchanged();
    void *p = sys_calloc(12, 12);
    assert_int_equal(sys_usable_size(p), usable_for(144));
    sys_free(p);
}

static void realloc_of_null_allocates(void **state) {
    (void)state;
    void *p = sys_realloc(NULL, 100);
    assert_non_null(p);
    assert_int_equal(sys_usable_size(p), usable_for(100));
    assert_null(sys_realloc(p, 0)); // and this frees
    sys_free(p);
    assert_int_equal(host_report_take().fault, HEAP_DOUBLE_FREE);
    assert_all_home();
}

// From each size to each other, over every descriptor and the page boundary.
static void realloc_keeps_contents(void **state) {
    (void)state;
    size_t sizes[2 * DESC_MAX + 10] = {1, 15, PAGE - 1, PAGE, PAGE + 1, 8192, 8193, 20000, 40960};
    size_t count = 9;
    for (uint32_t i = 0; i < table.count; i++) {
        sizes[count++] = table.size[i];
        sizes[count++] = table.size[i] + 1;
    }
    for (size_t a = 0; a < count; a++) {
        for (size_t b = 0; b < count; b++) {
            void *p = sys_malloc(sizes[a]);
            fill(p, sizes[a], (unsigned)a);
            void *q = sys_realloc(p, sizes[b]);
            assert_non_null(q);
            assert_filled(q, sizes[a] < sizes[b] ? sizes[a] : sizes[b], (unsigned)a);
            assert_true(sys_usable_size(q) >= sizes[b]);
            sys_free(q);
        }
    }
    assert_all_home();
}

// Between the ends of one descriptor's sizes.
static void realloc_within_a_block(void **state) {
    (void)state;
    for (uint32_t i = 0; i < table.count; i++) {
        size_t least = i > 0 ? table.size[i - 1] + 1 : 1;
        void *p = sys_malloc(least);
        assert_ptr_equal(sys_realloc(p, table.size[i]), p);
        assert_ptr_equal(sys_realloc(p, least), p);
        sys_free(p);
    }
    assert_all_home();
}

static void realloc_in_place(void **state) {
    (void)state;
    void *p = sys_malloc(4 * PAGE);
    assert_ptr_equal(sys_realloc(p, 3 * PAGE), p); // the frames after it go back
    assert_int_equal(k_heap.large_frames, 3);
    assert_ptr_equal(sys_realloc(p, 9 * PAGE - 5), p); // and are taken again
    assert_int_equal(k_heap.large_frames, 9);
    assert_int_equal(sys_usable_size(p), 9 * PAGE);
    assert_ptr_equal(sys_realloc(p, FRAMES * PAGE), p); // to the pool's last frame
    assert_null(sys_realloc(p, FRAMES * PAGE + 1));
    sys_free(p);
    assert_all_home();
}

// A neighbour follows: the area has to move, or stay as it is.
static void realloc_that_must_move(void **state) {
    (void)state;
    void *p = sys_malloc(2 * PAGE), *wall = sys_malloc(PAGE);
    fill(p, 2 * PAGE, 3);
    void *q = sys_realloc(p, 4 * PAGE);
    assert_ptr_not_equal(q, p);
    assert_filled(q, 2 * PAGE, 3);
    sys_free(wall);
    sys_free(q);
    assert_all_home();
}

// What becomes small moves to a block, and its frames are free for others.
static void realloc_from_frames_to_a_block(void **state) {
    (void)state;
    void *p = sys_malloc(3 * PAGE);
    fill(p, 3 * PAGE, 4);
    p = sys_realloc(p, 100);
    assert_filled(p, 100, 4);
    assert_int_equal(sys_usable_size(p), usable_for(100));
    assert_int_equal(k_heap.large_frames, 0);
    sys_free(p);
    assert_all_home();
}

// Blocks or areas of `size` fill the pool's last frames, the last one of them to their end.
static void assert_copies_its_own(size_t size, size_t frames) {
    void *all = sys_malloc((FRAMES - frames) * PAGE), *p = NULL, *next;
    while ((next = sys_malloc(size))) p = next;
    assert_int_equal((uintptr_t)p + size, k_heap.base + FRAMES * PAGE);
    fill(p, size, 6);
    sys_free(all);
    p = sys_realloc(p, 20 * PAGE);
    assert_filled(p, size, 6);
    heap_start(FRAMES);
}

// Nothing is mapped after the pool's last frame: copying too much would be a fault.
static void realloc_copies_no_byte_too_many(void **state) {
    (void)state;
    assert_copies_its_own(PAGE, frames_for(PAGE));
    assert_copies_its_own(3 * PAGE, 3);
    for (uint32_t i = 0; i < table.count; i++) {
        bool filled = arena_blocks(i) * table.size[i] == arena_frames(i) * PAGE;
        if (filled) assert_copies_its_own(table.size[i], arena_frames(i));
    }
}

static void realloc_that_cannot_grow_keeps_all(void **state) {
    (void)state;
    void *p = sys_malloc(100), *q = sys_malloc(10000);
    fill(p, 100, 1);
    fill(q, 10000, 2);
    host_state_save();
    assert_null(sys_realloc(p, FRAMES * PAGE));
    assert_null(sys_realloc(q, FRAMES * PAGE));
    assert_null(sys_realloc(q, SIZE_MAX));
    host_state_assert_unchanged();
    sys_free(p);
    sys_free(q);
    assert_all_home();
}

// Shrinking can need a new block. If there is none, the old one serves on.
static void realloc_shrinks_without_memory(void **state) {
    (void)state;
    void *p = sys_malloc(1024), *q = sys_malloc(2000);
    while (frame_alloc(POOL_KERNEL, 1) != FRAME_NONE) {}
    fill(p, 1024, 5);
    host_state_save();
    assert_ptr_equal(sys_realloc(p, 16), p);
    assert_ptr_equal(sys_realloc(q, 16), q);
    host_state_assert_unchanged();
    assert_filled(p, 16, 5);
}

static void alignments_that_are_none(void **state) {
    (void)state;
    const size_t wrong[] = {0, 3, 24, 48, 4095, 4097, 12288, SIZE_MAX};
    host_state_save();
    for (size_t i = 0; i < COUNT(wrong); i++) assert_null(sys_aligned_alloc(wrong[i], 100));
    const size_t far[] = {0x80000000u, (size_t)1 << (sizeof(size_t) * 8 - 1)};
    for (size_t i = 0; i < COUNT(far); i++) {
        assert_null(sys_aligned_alloc(far[i], 1));
        assert_null(sys_aligned_alloc(far[i], SIZE_MAX));
    }
    host_state_assert_unchanged();
}

static void aligned_blocks_are_aligned(void **state) {
    (void)state;
    const size_t sizes[] = {1, 16, 17, 100, 512, 1000, 1024, 1025, 4096, 5000, 50000};
    heap_start(8 * FRAMES);
    for (size_t alignment = 1; alignment <= 32 * PAGE; alignment *= 2) {
        void *p[COUNT(sizes)];
        for (size_t i = 0; i < COUNT(sizes); i++) {
            assert_non_null(p[i] = sys_aligned_alloc(alignment, sizes[i]));
            assert_int_equal((uintptr_t)p[i] % alignment, 0);
            assert_int_equal((uintptr_t)p[i] % BLOCK_ALIGN, 0);
            assert_true(sys_usable_size(p[i]) >= sizes[i]);
            fill(p[i], sizes[i], (unsigned)i);
        }
        assert_int_equal(heap_check(), 0);
        for (size_t i = 0; i < COUNT(sizes); i++) {
            assert_filled(p[i], sizes[i], (unsigned)i);
            sys_free(p[i]);
        }
        assert_all_home();
    }
}

// Frames before and after an aligned area are free again at once.
static void aligned_areas_waste_no_frames(void **state) {
    (void)state;
    void *off = sys_malloc(PAGE);
    void *p = sys_aligned_alloc(16 * PAGE, 3 * PAGE);
    assert_int_equal((uintptr_t)p % (16 * PAGE), 0);
    assert_int_equal(frames_free(POOL_KERNEL), FRAMES - 4);
    assert_int_equal(arena_of(p)->cnt, 3);
    sys_free(off);
    sys_free(p);
    assert_all_home();
    assert_int_equal(host_longest_run(POOL_KERNEL), FRAMES);
}

// ---- wrong calls -------------------------------------------------------------------------------

// Each of the calls that take a pointer refuses p with `fault` and changes nothing, not even with
// the window unreadable: what the heap says it knows from its records.
static void assert_refused(uintptr_t p, enum heap_fault fault) {
    host_window_close();
    host_state_save();
    for (int call = 0; call < 4; call++) {
        if (call == 0) sys_free((void *)p);
        if (call == 1) assert_null(sys_realloc((void *)p, 100));
        if (call == 2) assert_null(sys_realloc((void *)p, 0));
        if (call == 3) assert_int_equal(sys_usable_size((void *)p), 0);
        struct host_report report = host_report_take();
        assert_int_equal(report.fault, fault);
        assert_int_equal(report.pointer, p);
        host_state_assert_unchanged();
    }
    host_window_open();
}

static void fault_words_are_fixed(void **state) {
    (void)state;
    assert_string_equal(heap_fault_text(HEAP_DOUBLE_FREE), "double free");
    assert_string_equal(heap_fault_text(HEAP_NOT_ALLOCATED), "not allocated");
    assert_string_equal(heap_fault_text(HEAP_INTERIOR_POINTER), "interior pointer");
    assert_string_equal(heap_fault_text(HEAP_OUTSIDE), "outside the heap");
    assert_string_equal(heap_fault_text(HEAP_CORRUPT_ARENA), "corrupt arena");
    assert_string_equal(heap_fault_text(HEAP_OVERFLOW), "overflow");
    assert_string_equal(heap_fault_text(HEAP_USE_AFTER_FREE), "use after free");
    assert_string_equal(heap_fault_text(HEAP_FROM_INTERRUPT), "from interrupt");
}

static void double_free_in_a_live_arena(void **state) {
    (void)state;
    for (uint32_t i = 0; i < table.count; i++) {
        void *p = sys_malloc(table.size[i]), *q = sys_malloc(table.size[i]);
        bool one = arena_of(p) == arena_of(q); // else q's arena is not the one that is kept
        assert_int_equal(one, arena_blocks(i) > 1);
        sys_free(p);
        assert_refused((uintptr_t)p, HEAP_DOUBLE_FREE);
        sys_free(q);
        assert_refused((uintptr_t)p, HEAP_DOUBLE_FREE); // the arena is empty now, and kept
        assert_refused((uintptr_t)q, one ? HEAP_DOUBLE_FREE : HEAP_NOT_ALLOCATED);
        assert_int_equal(sys_trim(), arena_frames(i));
        assert_refused((uintptr_t)p, HEAP_NOT_ALLOCATED); // the arena is gone
    }
}

static void double_free_in_an_arena_given_back(void **state) {
    (void)state;
    static void *p[3 * ARENA_BLOCKS_MAX];
    for (uint32_t i = 0; i < table.count; i++) {
        uint32_t blocks = arena_blocks(i), gone = 0, kept = 0;
        take_blocks(p, 3 * blocks, table.size[i]);
        free_blocks(p, 3 * blocks);
        for (uint32_t k = 0; k < 3 * blocks; k++) {
            bool live = arena_of(p[k])->desc != NULL;
            assert_refused((uintptr_t)p[k], live ? HEAP_DOUBLE_FREE : HEAP_NOT_ALLOCATED);
            ++*(live ? &kept : &gone);
        }
        assert_int_equal(kept, blocks);
        assert_int_equal(gone, 2 * blocks);
        assert_all_home();
    }
}

static void large_area_freed_twice(void **state) {
    (void)state;
    void *p = sys_malloc(10000);
    sys_free(p);
    assert_refused((uintptr_t)p, HEAP_NOT_ALLOCATED);
    assert_refused((uintptr_t)p + PAGE, HEAP_NOT_ALLOCATED);
    void *q = sys_malloc(4 * PAGE); // its frames have another use
    sys_free(q);
    assert_refused((uintptr_t)p, HEAP_NOT_ALLOCATED);
}

static void interior_pointers_of_blocks(void **state) {
    (void)state;
    for (uint32_t i = 0; i < table.count; i++) {
        uint32_t size = table.size[i];
        uintptr_t p = (uintptr_t)sys_malloc(size);
        assert_refused(p + 1, HEAP_INTERIOR_POINTER);
        assert_refused(p + 8, HEAP_INTERIOR_POINTER);
        assert_refused(p + size - 1, HEAP_INTERIOR_POINTER);
        assert_refused(p + arena_frames(i) * PAGE - 1, HEAP_INTERIOR_POINTER); // the arena's end
        if (size > 16) assert_refused(p + 16, HEAP_INTERIOR_POINTER); // aligned as a block is
        if (size > PAGE) assert_refused(p + PAGE, HEAP_INTERIOR_POINTER);
        sys_free((void *)p);
    }
}

static void interior_pointers_of_areas(void **state) {
    (void)state;
    uintptr_t p = (uintptr_t)sys_malloc(3 * PAGE);
    assert_refused(p + 1, HEAP_INTERIOR_POINTER);
    assert_refused(p + 16, HEAP_INTERIOR_POINTER);
    assert_refused(p + PAGE, HEAP_INTERIOR_POINTER);
    assert_refused(p + PAGE + 16, HEAP_INTERIOR_POINTER);
    assert_refused(p + 3 * PAGE - 1, HEAP_INTERIOR_POINTER);
    assert_refused(p + 3 * PAGE, HEAP_NOT_ALLOCATED); // just after it
    sys_free((void *)p);
}

// Users write what they like into their memory, a copy of an arena's record too.
static void faked_records_are_not_believed(void **state) {
    (void)state;
    struct arena *large = sys_malloc(2 * PAGE);
    unsigned char *second = (unsigned char *)large + PAGE;
    void *small = sys_malloc(64);
    memcpy(large, arena_of(small), sizeof *large);
    memcpy(second, arena_of(large), sizeof *large);
    struct arena *fake = (struct arena *)second;
    fake->base = (uintptr_t)second;
    fake->seal += (uint32_t)(uintptr_t)large - (uint32_t)(uintptr_t)second;
    assert_refused((uintptr_t)second, HEAP_INTERIOR_POINTER);
    assert_refused((uintptr_t)second + sizeof *fake, HEAP_INTERIOR_POINTER);
    assert_refused((uintptr_t)large + sizeof *fake, HEAP_INTERIOR_POINTER);
    sys_free(large);
    sys_free(small);
    assert_all_home();
}

static void block_never_handed_out(void **state) {
    (void)state;
    for (uint32_t i = 0; i < table.count; i++) {
        uintptr_t p = (uintptr_t)sys_malloc(table.size[i]);
        for (uint32_t block = 1; block < arena_blocks(i); block++) {
            assert_refused(p + (size_t)block * table.size[i], HEAP_NOT_ALLOCATED);
        }
        sys_free((void *)p);
    }
}

static void frames_held_by_others(void **state) {
    (void)state;
    uint32_t frame = frame_alloc(POOL_KERNEL, 2);
    uintptr_t at = k_heap.base + frame * PAGE;
    assert_refused(at, HEAP_NOT_ALLOCATED);
    assert_refused(at + PAGE + 16, HEAP_NOT_ALLOCATED);
    frame_free(POOL_KERNEL, frame, 2);
}

static char some_data[64];
static const char some_text[] = "read-only";

static void pointers_from_elsewhere(void **state) {
    (void)state;
    int on_the_stack = 0;
    const uintptr_t elsewhere[] = {
        (uintptr_t)&on_the_stack,
        (uintptr_t)some_data,
        (uintptr_t)some_text,
        (uintptr_t)pointers_from_elsewhere,
        (uintptr_t)k_heap.block_descs,
        (uintptr_t)k_heap.arena,
        0x7,
        0xffffffffu,
        UINTPTR_MAX,
        k_heap.base - 1,
        k_heap.base - 16,
        k_heap.base + FRAMES * PAGE, // just after the last frame
        k_heap.base + (uintptr_t)FRAMES * PAGE * 1024,
    };
    for (size_t i = 0; i < COUNT(elsewhere); i++) assert_refused(elsewhere[i], HEAP_OUTSIDE);
}

// One field of an arena's record overwritten: named, and its frames are not handed out.
static void overwritten_record_is_named(void **state) {
    (void)state;
    for (int field = 0; field < 7; field++) {
        heap_start(FRAMES);
        void *p = sys_malloc(64), *large = sys_malloc(3 * PAGE);
        struct arena *arena = field < 5 ? arena_of(p) : arena_of(large);
        if (field == 0) arena->desc = &k_heap.block_descs[0];
        if (field == 1) arena->cnt ^= 1;
        if (field == 2) arena->carved ^= 0x10;
        if (field == 3) arena->base += 16;
        if (field == 4) arena->seal ^= 0x80000000u;
        if (field == 5) arena->cnt += 100;
        if (field == 6) arena->large = 0;
        assert_refused((uintptr_t)(field < 5 ? p : large), HEAP_CORRUPT_ARENA);
        uint32_t was = frames_free(POOL_KERNEL);
        sys_trim();
        assert_int_equal(frames_free(POOL_KERNEL), was);
        heap_start(FRAMES); // end() wants a sound one
    }
}

static void from_an_interrupt_handler(void **state) {
    (void)state;
    void *p = sys_malloc(64), *large = sys_malloc(3 * PAGE);
    host_in_interrupt = true;
    assert_refused((uintptr_t)p, HEAP_FROM_INTERRUPT);
    assert_refused((uintptr_t)large, HEAP_FROM_INTERRUPT);
    host_state_save();
    const size_t sizes[] = {1, 64, 1024, 1025, 9000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (int call = 0; call < 4; call++) {
            if (call == 0) assert_null(sys_malloc(sizes[i]));
            if (call == 1) assert_null(sys_calloc(1, sizes[i]));
            if (call == 2) assert_null(sys_realloc(NULL, sizes[i]));
            if (call == 3) assert_null(sys_aligned_alloc(2 * PAGE, sizes[i]));
            assert_int_equal(host_report_take().fault, HEAP_FROM_INTERRUPT);
        }
    }
    sys_free(NULL); // frees nothing, so it is no fault anywhere
    host_state_assert_unchanged();
    host_in_interrupt = false;
    sys_free(p);
    sys_free(large);
    assert_all_home();
}

// The report names who called the heap, not a function of the heap.
static __attribute__((noinline)) void wrong_free(void *p) {
    sys_free(p);
    __asm__ volatile(""); // a call, not a jump: its return address lies here
}

static __attribute__((noinline)) void wrong_realloc(void *p) {
    void *q = sys_realloc(p, 10);
    __asm__ volatile("" : : "r"(q));
}

static void reports_name_the_caller(void **state) {
    (void)state;
    wrong_free(some_data);
    uintptr_t off = host_report_take().caller - (uintptr_t)wrong_free;
    assert_in_range(off, 1, 100);
    wrong_realloc(some_data);
    off = host_report_take().caller - (uintptr_t)wrong_realloc;
    assert_in_range(off, 1, 100);
}

// ---- no memory ---------------------------------------------------------------------------------

// Takes every frame singly, then gives `back` back; with that many free frames each size is tried.
// A failure must leave no trace, whichever step it was that failed.
static void failures_roll_back(void **state) {
    (void)state;
    const size_t sizes[] = {16, 100, 1024, 1025, 4097, 8193, 12289, 100000};
    for (uint32_t back = 0; back < 4; back++) {
        heap_start(64);
        void *p = sys_malloc(3000), *q = sys_malloc(200);
        uint32_t taken[64], count = 0;
        while ((taken[count] = frame_alloc(POOL_KERNEL, 1)) != FRAME_NONE) count++;
        for (uint32_t i = 0; i < back; i++) frame_free(POOL_KERNEL, taken[--count], 1);
        for (size_t i = 0; i < COUNT(sizes); i++) {
            host_state_save();
            void *r = sys_malloc(sizes[i]);
            assert_int_equal(r != NULL, frames_enough(sizes[i]) <= back);
            if (r) sys_free(r);
            else host_state_assert_unchanged();
            sys_trim();
            host_state_save();
            assert_null(sys_realloc(p, (back + 2) * PAGE + sizes[i]));
            assert_null(sys_realloc(q, (back + 1) * PAGE + sizes[i]));
            assert_null(sys_aligned_alloc(8 * PAGE, sizes[i])); // 8 frames in a row to choose from
            host_state_assert_unchanged();
        }
        assert_int_equal(heap_check(), 0);
        while (count > 0) frame_free(POOL_KERNEL, taken[--count], 1);
        sys_free(p);
        sys_free(q);
        assert_all_home();
    }
}

// To the last block, everything back, and the same again: the same addresses even.
static void exhaustion_twice_is_the_same(void **state) {
    (void)state;
    static void *p[2][FRAMES * 4];
    for (uint32_t i = 0; i < table.count; i++) {
        uint32_t count[2] = {0, 0}, limit = COUNT(p[0]), size = table.size[i];
        uint32_t room = FRAMES / arena_frames(i) * arena_blocks(i);
        room += FRAMES % arena_frames(i) / (uint32_t)frames_enough(size);
        for (int run = 0; run < 2; run++) {
            while (count[run] < limit && (p[run][count[run]] = sys_malloc(size))) count[run]++;
            free_blocks(p[run], count[run]);
            assert_all_home();
        }
        assert_int_equal(count[0], room < limit ? room : limit); // not a frame was lost
        assert_int_equal(count[0], count[1]);
        assert_memory_equal(p[0], p[1], count[0] * sizeof p[0][0]);
    }
}

// Every second frame taken: single frames serve, two in a row cannot be had. docs/caveats.md says
// so.
static void checkerboard(void **state) {
    (void)state;
    static void *p[FRAMES];
    assert_int_equal(frames_for(PAGE), 1);
    for (uint32_t i = 0; i < FRAMES; i++) assert_non_null(p[i] = sys_malloc(PAGE));
    for (uint32_t i = 0; i < FRAMES; i += 2) sys_free(p[i]);
    sys_trim(); // where a page is a block, the last one's arena was kept
    assert_int_equal(frames_free(POOL_KERNEL), FRAMES / 2);
    assert_int_equal(host_longest_run(POOL_KERNEL), 1);
    host_state_save();
    assert_null(sys_malloc(PAGE + 1));
    assert_null(sys_malloc(block_max() + PAGE));
    host_state_assert_unchanged();
    for (uint32_t i = 0; i < FRAMES; i += 2) assert_non_null(p[i] = sys_malloc(PAGE));
    assert_null(sys_malloc(1));
    for (uint32_t i = 0; i < FRAMES; i++) sys_free(p[i]);
    assert_all_home();
}

// Every kind of step, with the frames out of reach: a block carved, taken again and given back,
// arenas and areas opened, resized and closed, wrong pointers refused. A heap with headers, with
// links in free blocks, or with a walk over an arena's blocks would fault.
static void calls_touch_no_frame(void **state) {
    (void)state;
    static void *p[300];
    host_window_close();
    for (int round = 0; round < 2; round++) {
        for (size_t size = 1; size <= 3 * PAGE; size = size * 3 + 1) {
            for (size_t i = 0; i < COUNT(p); i++) p[i] = sys_malloc(size);
            assert_non_null(p[0]);
            for (size_t i = 0; i < COUNT(p); i += 2) sys_free(p[i]);
            for (size_t i = 0; i < COUNT(p); i += 4) p[i] = sys_malloc(size);
            for (size_t i = 0; i < COUNT(p); i += 4) sys_free(p[i]);
            for (size_t i = 1; i < COUNT(p); i += 2) sys_free(p[i]);
        }
    }
    char *area = sys_aligned_alloc(4 * PAGE, 4 * PAGE);
    assert_ptr_equal(sys_realloc(area, 3 * PAGE), area);
    sys_free(area + PAGE);
    assert_int_equal(host_report_take().fault, HEAP_INTERIOR_POINTER);
    sys_free(area);
    sys_free(area);
    assert_int_equal(host_report_take().fault, HEAP_NOT_ALLOCATED);
    assert_all_home();
    assert_int_equal(heap_check(), 0);
    host_window_open();
}

// How much of the frames is data, with 10,000 live blocks of 1 to 1024 bytes. Sizes in powers of
// two cost a quarter, in any heap; with a header of 12 bytes at each arena's start, and so 3
// blocks of 1024 bytes in a frame and 7 of 512, 58 % are left (measured on other kernels). Finer
// steps get nearly half of that quarter back.
static void random_blocks_fill_their_frames(void **state) {
    (void)state;
    enum { BLOCKS = 10000 };
    static void *p[BLOCKS];
    uint64_t data = 0;
    uint32_t random = 1;
    heap_start(2048);
    for (size_t i = 0; i < BLOCKS; i++) {
        random = random * 1664525u + 1013904223u;
        size_t size = 1 + (random >> 22);
        assert_non_null(p[i] = sys_malloc(size));
        data += size;
    }
    uint64_t held = (uint64_t)k_heap.small_frames * PAGE;
    assert_true(data * 100 >= held * table.filled);
    for (size_t i = 0; i < BLOCKS; i++) sys_free(p[i]);
    assert_all_home();
}

#define BARE(function) cmocka_unit_test_setup_teardown(function, start_bare, end)
#define TEST(function) cmocka_unit_test_setup_teardown(function, start, end)

// The table has no say in these.
static const struct CMUnitTest once[] = {
    BARE(init_prints_the_seeds_words),
    BARE(init_makes_the_seeds_seven),
    BARE(init_takes_every_frame),
    BARE(wrong_size_tables_are_refused),
    BARE(every_block_size_finds_its_blocks),
    BARE(frames_come_and_go),
    BARE(frame_counts_out_of_range),
    BARE(holes_stay_holes),
    BARE(long_runs_are_looked_for_eight_deep),
    BARE(fault_words_are_fixed),
};

static const struct CMUnitTest with_each_table[] = {
    TEST(tables_make_their_descriptors),
    TEST(wrong_frames_are_refused),
    TEST(neighbours_of_another_pool_are_not_joined),
    TEST(neighbours_join_in_any_order),
    TEST(size_zero_gives_null),
    TEST(sizes_meet_their_descriptor),
    TEST(large_sizes_take_exact_frames),
    TEST(all_of_the_pool_in_one_area),
    TEST(sizes_near_the_end_give_null),
    TEST(free_of_null_does_nothing),
    TEST(live_blocks_never_overlap),
    TEST(edge_of_an_arena_does_not_flap),
    TEST(one_empty_arena_is_kept_at_most),
    TEST(empty_arena_serves_last),
    TEST(trim_leaves_live_blocks_alone),
    TEST(calloc_clears_reused_memory),
    TEST(calloc_products_that_overflow),
    TEST(realloc_of_null_allocates),
    TEST(realloc_keeps_contents),
    TEST(realloc_within_a_block),
    TEST(realloc_in_place),
    TEST(realloc_that_must_move),
    TEST(realloc_from_frames_to_a_block),
    TEST(realloc_copies_no_byte_too_many),
    TEST(realloc_that_cannot_grow_keeps_all),
    TEST(realloc_shrinks_without_memory),
    TEST(alignments_that_are_none),
    TEST(aligned_blocks_are_aligned),
    TEST(aligned_areas_waste_no_frames),
    TEST(double_free_in_a_live_arena),
    TEST(double_free_in_an_arena_given_back),
    TEST(large_area_freed_twice),
    TEST(interior_pointers_of_blocks),
    TEST(interior_pointers_of_areas),
    TEST(faked_records_are_not_believed),
    TEST(block_never_handed_out),
    TEST(frames_held_by_others),
    TEST(pointers_from_elsewhere),
    TEST(overwritten_record_is_named),
    TEST(from_an_interrupt_handler),
    TEST(reports_name_the_caller),
    TEST(failures_roll_back),
    TEST(exhaustion_twice_is_the_same),
    TEST(checkerboard),
    TEST(calls_touch_no_frame),
    TEST(random_blocks_fill_their_frames),
};

static int run_with(const char *classes, uint32_t filled) {
    if (size_table_parse(classes, table.size, &table.count) != NULL) return 1;
    table.filled = filled;
    return cmocka_run_group_tests_name(classes, with_each_table, NULL, NULL);
}

int main(void) {
    return cmocka_run_group_tests_name("any table", once, NULL, NULL) + run_with("seed", 74) +
           run_with("fine", 85);
}
