// test_heap_random.c - long random runs of every heap call against a shadow that knows what must
// be.
//
// What only it can find: a fault that takes thousands of calls to come up, and any compiler can
// build it: fuzz_heap.c needs clang, and its runs are short.
//
// The shadow remembers each live block: where, how long, which pattern. After every step the
// pattern of the block in hand is checked whole; a null return must have its reason in the free
// runs; a freed pointer, tried again now and then, must be refused. At the end all goes back and
// nothing may be missing.
//
// The same numbers in every run: what fails once fails again.
#include "tests/host/heap_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/size_tables.h"
#include "kernel/inspect/heapcheck.h"

#define SLOTS 300
#define STEPS 40000
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct block {
    unsigned char *p; // NULL: slot is empty
    size_t size;
    unsigned char tag;
};

// A table of block sizes and the load put on it. Small heaps run out often, large ones seldom.
struct load {
    const char *name;
    size_t size_max;
    uint32_t frames;
    const char *classes; // as size_table_parse() takes it
};

// clang-format off
static const struct load loads[] = {
    {"small blocks, seed", 1100, 12, "seed"},
    {"small blocks, fine", 1100, 12, "fine"},
    {"all sizes, seed", 20000, 256, "seed"},
    {"all sizes, fine", 20000, 256, "fine"},
    {"large areas, seed", 300000, 1024, "seed"},
    {"large areas, fine", 300000, 1024, "fine"},
    {"a heap always full, seed", 3000, 24, "seed"},
    {"a heap always full, fine", 6000, 40, "fine"},
    {"odd sizes, arenas of several frames", 4200, 40, "48,144,400,1040,1360,2736,3600"},
    {"one size only", 5000, 64, "4096"},
    {"one size only, the largest", 20000, 64, "8192"},
};
// clang-format on

static struct block block[SLOTS];
static uint64_t random_state;
static unsigned refused; // null returns, each with its reason checked

// G. Marsaglia's xorshift (Xorshift RNGs, 2003). Below `limit`.
static size_t random_below(size_t limit) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state >> 11) % limit;
}

// Small sizes as likely as large ones: a random number of bits first.
static size_t random_size(size_t max) {
    size_t limit = (size_t)2 << random_below(20);
    return 1 + random_below(limit < max ? limit : max);
}

static void paint(struct block *b) {
    b->tag = (unsigned char)random_below(256);
    for (size_t i = 0; i < b->size; i++) b->p[i] = (unsigned char)(b->tag + i);
}

static void assert_painted(const struct block *b, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        if (b->p[i] != (unsigned char)(b->tag + i)) {
            fail_msg("byte %zu of %zu at %p", i, b->size, (void *)b->p);
        }
    }
}

// The descriptor that serves `size`, or NULL: whole frames.
static const struct memory_block_desc *desc_for(size_t size) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        if (k_heap.block_descs[i].block_size >= size) return &k_heap.block_descs[i];
    }
    return NULL;
}

// A null return for `size` bytes is right only if no free run would have served. Runs of more than
// 32 frames may be overlooked (pool.h, shortcomings): no promise to check.
static void assert_no_memory_for(size_t size) {
    const struct memory_block_desc *desc = desc_for(size);
    size_t frames = desc ? desc->frames_per_arena : (size + PG_SIZE - 1) / PG_SIZE;
    if (desc) assert_true(list_empty(&desc->free_list));
    if (frames <= 32) assert_true(host_longest_run(POOL_KERNEL) < frames);
    refused++;
}

static void took(struct block *b, void *p, size_t size) {
    if (!p) {
        assert_no_memory_for(size);
        return;
    }
    *b = (struct block){.p = p, .size = size};
    assert_int_equal((uintptr_t)p % BLOCK_ALIGN, 0);
    assert_true(sys_usable_size(p) >= size);
    paint(b);
}

static void step_calloc(struct block *b, size_t size) {
    size_t count = 1 + random_below(8), each = size / count + 1;
    unsigned char *p = sys_calloc(count, each);
    for (size_t i = 0; p && i < count * each; i++) assert_int_equal(p[i], 0);
    took(b, p, count * each);
}

static void step_aligned(struct block *b, size_t size) {
    size_t alignment = (size_t)1 << random_below(15);
    void *p = sys_aligned_alloc(alignment, size);
    if (!p) return; // how many frames in a row it needed is its own affair
    assert_int_equal((uintptr_t)p % alignment, 0);
    took(b, p, size);
}

static void step_realloc(struct block *b, size_t size) {
    unsigned char *p = sys_realloc(b->p, size);
    if (!p) {
        assert_true(size > b->size);
        assert_no_memory_for(size);
        assert_painted(b, b->size); // as it was
        return;
    }
    b->p = p;
    assert_painted(b, size < b->size ? size : b->size);
    b->size = size;
    assert_true(sys_usable_size(p) >= size);
    paint(b);
}

// Freed, and now and then freed again: that must be seen and named.
static void step_free(struct block *b) {
    assert_painted(b, b->size);
    sys_free(b->p);
    if (random_below(4) == 0) {
        sys_free(b->p);
        struct host_report report = host_report_take();
        assert_true(report.fault == HEAP_DOUBLE_FREE || report.fault == HEAP_NOT_ALLOCATED);
        assert_int_equal(report.pointer, (uintptr_t)b->p);
    }
    b->p = NULL;
}

// A pointer into a live block that is not its start.
static void step_interior(const struct block *b) {
    if (b->size < 2) return;
    sys_free(b->p + 1 + random_below(b->size - 1));
    assert_int_equal(host_report_take().fault, HEAP_INTERIOR_POINTER);
    assert_painted(b, b->size);
}

static void step(const struct load *load) {
    struct block *b = &block[random_below(SLOTS)];
    size_t what = random_below(16), size = random_size(load->size_max);
    if (!b->p) {
        if (what < 9) took(b, sys_malloc(size), size);
        else if (what < 12) step_calloc(b, size);
        else if (what < 14) step_aligned(b, size);
        else if (what < 15) took(b, sys_realloc(NULL, size), size);
        else sys_trim();
    } else {
        if (what < 9) step_free(b);
        else if (what < 14) step_realloc(b, size);
        else step_interior(b);
    }
}

static void check_books(void) {
    if (heap_check() != 0) fail_msg("%s", host_printed());
    uint32_t held = k_heap.small_frames + k_heap.large_frames;
    assert_int_equal(held + frames_free(POOL_KERNEL), frames_total(POOL_KERNEL));
    uint32_t live = 0, slots = 0;
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        struct desc_state desc;
        heap_desc_state(&k_heap, i, &desc);
        live += desc.live_blocks;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        if (!block[i].p) continue;
        slots += k_heap.arena[((uintptr_t)block[i].p - k_heap.base) >> PG_SHIFT].large == 0;
    }
    assert_int_equal(live, slots);
}

static void everything_goes_home(void) {
    for (size_t i = 0; i < SLOTS; i++) {
        if (block[i].p) step_free(&block[i]);
    }
    sys_trim();
    assert_int_equal(frames_free(POOL_KERNEL), frames_total(POOL_KERNEL));
    assert_int_equal(host_longest_run(POOL_KERNEL), frames_total(POOL_KERNEL));
}

static void random_calls(void **state) {
    const struct load *load = *state;
    random_state = 0x9e3779b97f4a7c15u;
    memset(block, 0, sizeof block);
    host_heap_start(load->frames);
    uint32_t sizes[DESC_MAX], count = 0;
    assert_null(size_table_parse(load->classes, sizes, &count));
    assert_int_equal(block_desc_set(&k_heap, sizes, count), 0);
    refused = 0;
    for (int i = 0; i < STEPS; i++) {
        step(load);
        if (i % 64 == 0) check_books();
    }
    check_books();
    everything_goes_home();
    host_heap_end();
    assert_true(refused > 0); // a load that never runs out leaves those paths untried
}

// ---- runs of frames against an array of who holds what -----------------------------------------

#define POOL_FRAMES 2048u
#define RUNS 400

static uint16_t holder[POOL_FRAMES]; // 0: free, else the run's number + 1
static uint32_t run_first[RUNS], run_count[RUNS];

static void hold(uint32_t run, uint16_t from, uint16_t to) {
    for (uint32_t i = 0; i < run_count[run]; i++) {
        assert_int_equal(holder[run_first[run] + i], from);
        holder[run_first[run] + i] = to;
    }
}

static uint32_t longest_by_holder(void) {
    uint32_t longest = 0, here = 0;
    for (uint32_t i = 0; i < POOL_FRAMES; i++) {
        here = holder[i] == 0 ? here + 1 : 0;
        if (here > longest) longest = here;
    }
    return longest;
}

static void random_runs_of_frames(void **state) {
    (void)state;
    random_state = 12345;
    host_heap_start(POOL_FRAMES);
    memset(holder, 0, sizeof holder);
    memset(run_count, 0, sizeof run_count);
    for (int i = 0; i < STEPS; i++) {
        uint32_t run = (uint32_t)random_below(RUNS);
        if (run_count[run] != 0) {
            hold(run, (uint16_t)(run + 1), 0);
            frame_free(POOL_KERNEL, run_first[run], run_count[run]);
            run_count[run] = 0;
            continue;
        }
        uint32_t count = (uint32_t)random_size(64);
        uint32_t first = frame_alloc(POOL_KERNEL, count);
        if (first != FRAME_NONE) {
            run_first[run] = first;
            run_count[run] = count;
            hold(run, 0, (uint16_t)(run + 1));
        } else if (count <= 32) {
            assert_true(longest_by_holder() < count);
        }
        if (i % 64 != 0) continue;
        assert_int_equal(heap_check(), 0);
        assert_int_equal(host_longest_run(POOL_KERNEL), longest_by_holder());
    }
    for (uint32_t run = 0; run < RUNS; run++) {
        if (run_count[run]) frame_free(POOL_KERNEL, run_first[run], run_count[run]);
    }
    assert_int_equal(host_longest_run(POOL_KERNEL), POOL_FRAMES);
    host_heap_end();
}

int main(void) {
    static struct CMUnitTest tests[COUNT(loads) + 1];
    for (size_t i = 0; i < COUNT(loads); i++) {
        // cmocka's state is not const; random_calls() only reads it.
        void *load = (void *)(uintptr_t)&loads[i];
        tests[i] = (struct CMUnitTest){loads[i].name, random_calls, NULL, NULL, load};
    }
    tests[COUNT(loads)] = (struct CMUnitTest)cmocka_unit_test(random_runs_of_frames);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
