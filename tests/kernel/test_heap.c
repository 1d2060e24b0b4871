// test_heap.c - the heap as its users know it: sizes, contents, alignment, and what it refuses with
// NULL.
//
// Whatever table of block sizes was booted: what a size must come to is asked of ktest_heap.h. What
// a wrong pointer gets is in test_heap_misuse.c, the edge of memory in test_heap_limits.c.
#include "kernel/size_tables.h"
#include "kernel/cmdline.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/layout.h"
#include "kernel/memory.h"
#include "lib/string.h"
#include "tests/kernel/ktest.h"
#include "tests/kernel/ktest_heap.h"

// A pattern that differs from byte to byte and from block to block.
static void pattern_fill(void *p, size_t bytes, uint32_t seed) {
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)p)[i] = (uint8_t)(i * 31 + seed);
}

static bool pattern_holds(const void *p, size_t bytes, uint32_t seed) {
    for (size_t i = 0; i < bytes; i++) {
        if (((const uint8_t *)p)[i] != (uint8_t)(i * 31 + seed)) return false;
    }
    return true;
}

static bool all_zero(const void *p, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        if (((const uint8_t *)p)[i] != 0) return false;
    }
    return true;
}

// The table that the command line asks for; the seed's seven where it names none.
static uint32_t booted_sizes(uint32_t sizes[DESC_MAX]) {
    static const uint32_t seed[] = {16, 32, 64, 128, 256, 512, 1024};
    static struct options options; // too long for a stack
    uint32_t count = 0;
    cmdline_parse(P2V(CMDLINE_ADDR), &options);
    KCHECK(size_table_parse(options.classes, sizes, &count) == NULL);
    if (strcmp(options.classes, "seed") == 0) {
        KCHECK_EQ(count, sizeof seed / sizeof seed[0]);
        KCHECK_EQ(memcmp(sizes, seed, sizeof seed), 0);
    }
    return count;
}

// A frame, if the block is small enough, or the fewest frames that leave no more than an eighth
// after the last block.
static uint32_t arena_frames(uint32_t size) {
    uint32_t frames = 1;
    while (size > 1024 && frames * PG_SIZE - frames * PG_SIZE / size * size > frames * PG_SIZE / 8)
        frames++;
    return frames;
}

// What boots is the table that was asked for, and every block that fits an arena is a block. All
// other tests believe the descriptors because of this one.
KTEST(heap_descriptors) {
    uint32_t sizes[DESC_MAX];
    KCHECK_EQ(k_heap.desc_count, booted_sizes(sizes));
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        struct desc_state state;
        heap_desc_state(&k_heap, i, &state);
        KCHECK_EQ(state.block_size, sizes[i]);
        KCHECK_EQ(k_heap.block_descs[i].frames_per_arena, arena_frames(sizes[i]));
        KCHECK_EQ(state.blocks_per_arena, arena_frames(sizes[i]) * PG_SIZE / sizes[i]);
    }
    KCHECK_EQ(k_heap.block_max, sizes[k_heap.desc_count - 1]);
}

// Case 1: malloc(0) is NULL in every form, and changes nothing.
KTEST(heap_zero) {
    uint32_t free = frames_free(POOL_KERNEL);
    KCHECK_EQ(sys_malloc(0), NULL);
    KCHECK_EQ(sys_calloc(0, 5), NULL);
    KCHECK_EQ(sys_calloc(5, 0), NULL);
    KCHECK_EQ(sys_realloc(NULL, 0), NULL);
    KCHECK_EQ(sys_aligned_alloc(64, 0), NULL);
    KCHECK_EQ(sys_usable_size(NULL), 0);
    KCHECK_EQ(frames_free(POOL_KERNEL), free);
}

// Case 2: sizes that wrap when something is added to them.
KTEST(heap_sizes_near_the_end) {
    uint32_t given = 0;
    for (uint32_t less = 1; less <= 8192; less++) {
        given += sys_malloc(0 - less) != NULL;
        given += sys_calloc(1, 0 - less) != NULL;
        given += sys_aligned_alloc(PG_SIZE, 0 - less) != NULL;
        given += sys_aligned_alloc(2 * PG_SIZE, 0 - less) != NULL;
        given += sys_realloc(NULL, 0 - less) != NULL;
    }
    KCHECK_EQ(given, 0);
    KCHECK_EQ(sys_malloc(0x80000000u), NULL);
    KCHECK_EQ(sys_malloc(0x7fffffffu), NULL);
}

// Case 3: each size up to the table's largest goes to the smallest descriptor that holds it, and
// one byte more goes to frames.
KTEST(heap_size_to_descriptor) {
    for (uint32_t size = 1; size <= k_heap.block_max + 1; size++) {
        void *p = sys_malloc(size);
        KCHECK(p != NULL && (uintptr_t)p % BLOCK_ALIGN == 0);
        KCHECK_EQ(sys_usable_size(p), ktest_usable(size));
        sys_free(p);
    }
}

static void check_frames(uint32_t size, uint32_t want) {
    uint32_t free = frames_free(POOL_KERNEL);
    void *p = sys_malloc(size);
    KCHECK(p != NULL && (uintptr_t)p % PG_SIZE == 0);
    KCHECK_EQ(free - frames_free(POOL_KERNEL), want);
    KCHECK_EQ(sys_usable_size(p), want * PG_SIZE);
    sys_free(p);
    KCHECK_EQ(frames_free(POOL_KERNEL), free);
}

// Case 4: above the table's largest block, around each page multiple, the exact number of frames.
KTEST(heap_large_sizes_take_exact_frames) {
    check_frames(k_heap.block_max + 1, k_heap.block_max / PG_SIZE + 1);
    for (uint32_t pages = k_heap.block_max / PG_SIZE + 1; pages <= 12; pages++) {
        for (int off = -32; off <= 32; off++) {
            uint32_t size = pages * PG_SIZE + (uint32_t)off;
            if (size <= k_heap.block_max) continue; // a block, if it is a few bytes below a page
            check_frames(size, off > 0 ? pages + 1 : pages);
        }
    }
}

// Case 5: products that overflow are refused; a block that was used before is cleared.
KTEST(heap_calloc) {
    KCHECK_EQ(sys_calloc(0x10001, 0x10001), NULL); // the product's low half is 0x20001
    KCHECK_EQ(sys_calloc(0x10000, 0x10000), NULL); // 0
    KCHECK_EQ(sys_calloc(UINT32_MAX, 2), NULL);
    KCHECK_EQ(sys_calloc(2, 0x80000001u), NULL); // 2
    static const uint32_t bytes[] = {1, 16, 24, 100, 1000, 1024, 1025, 5000, 20000};
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        void *p = sys_malloc(bytes[i]);
        KNEED(p != NULL);
        memset(p, 0xff, bytes[i]);
        sys_free(p);
        void *q = sys_calloc(bytes[i], 1);
        KCHECK_EQ(q, p); // the same block again, so that clearing it is seen
        KCHECK(q && all_zero(q, bytes[i]));
        sys_free(q);
    }
}

// Case 6: the ends of realloc.
KTEST(heap_realloc_ends) {
    void *p = sys_realloc(NULL, 100); // malloc
    KNEED(p != NULL);
    KCHECK_EQ(sys_usable_size(p), ktest_usable(100));
    pattern_fill(p, 100, 1);
    KCHECK_EQ(sys_realloc(p, 0xfffff000u), NULL); // fails: p is as it was
    KCHECK_EQ(sys_realloc(p, UINT32_MAX), NULL);
    KCHECK(pattern_holds(p, 100, 1));
    KCHECK_EQ(sys_usable_size(p), ktest_usable(100));
    KCHECK_EQ(sys_realloc(p, 0), NULL); // free
    KREPORT(HEAP_DOUBLE_FREE, p, sys_free(p));
    void *large = sys_realloc(NULL, KTEST_LARGE);
    KNEED(large != NULL);
    pattern_fill(large, KTEST_LARGE, 2);
    KCHECK_EQ(sys_realloc(large, 0x70000000u), NULL);
    KCHECK(pattern_holds(large, KTEST_LARGE, 2));
    KCHECK_EQ(sys_realloc(large, 0), NULL);
    KREPORT(HEAP_NOT_ALLOCATED, large, sys_free(large));
}

// Grows or shrinks p from `from` to `to` bytes and checks what must have come along.
static void *resize(void *p, uint32_t from, uint32_t to, uint32_t seed) {
    void *q = sys_realloc(p, to);
    if (!KCHECK(q != NULL)) return p;
    KCHECK(pattern_holds(q, from < to ? from : to, seed));
    KCHECK(sys_usable_size(q) >= to);
    pattern_fill(q, to, seed + 1);
    return q;
}

#define RESIZE_STEPS (2 * DESC_MAX + 6)

// Each descriptor's last byte and one more, then page boundaries.
static uint32_t resize_steps(uint32_t steps[RESIZE_STEPS]) {
    uint32_t count = 0;
    steps[count++] = 1;
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        steps[count++] = k_heap.block_descs[i].block_size;
        steps[count++] = k_heap.block_descs[i].block_size + 1;
    }
    steps[count++] = PG_SIZE;
    steps[count++] = PG_SIZE + 1;
    steps[count++] = BLOCK_SIZE_MAX + PG_SIZE; // above every table
    steps[count++] = BLOCK_SIZE_MAX + PG_SIZE + 1;
    steps[count++] = 40000;
    return count;
}

// Case 7: up and down across every descriptor and the page boundaries, in one step and in many.
KTEST(heap_realloc_keeps_contents) {
    static uint32_t steps[RESIZE_STEPS];
    uint32_t count = resize_steps(steps), seed = 0, size = 10;
    void *p = sys_malloc(size);
    KNEED(p != NULL);
    pattern_fill(p, size, seed);
    for (uint32_t i = 0; i < 2 * count; i++) { // up, then down
        uint32_t next = steps[i < count ? i : 2 * count - 1 - i];
        p = resize(p, size, next, seed++);
        size = next;
    }
    for (uint32_t i = 0; i < count; i++) { // from the smallest to each and back
        p = resize(p, size, steps[i], seed++);
        p = resize(p, steps[i], 1, seed++);
        size = 1;
    }
    sys_free(p);
}

// A large area that shrinks gives its frames back, and takes them again where it is.
KTEST(heap_realloc_in_place) {
    uint32_t free = frames_free(POOL_KERNEL);
    void *p = sys_malloc(8 * PG_SIZE);
    KNEED(p != NULL);
    KCHECK_EQ(sys_realloc(p, 3 * PG_SIZE), p);
    KCHECK_EQ(frames_free(POOL_KERNEL), free - 3);
    KCHECK_EQ(sys_realloc(p, 8 * PG_SIZE), p);
    KCHECK_EQ(frames_free(POOL_KERNEL), free - 8);
    sys_free(p);
    KCHECK_EQ(frames_free(POOL_KERNEL), free);
}

// Case 8: alignments. 2^31 is a power of two that no machine here has room for.
KTEST(heap_aligned) {
    static const uint32_t wrong[] = {0, 3, 5, 24, 4095, 0x80000001u, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        KCHECK_EQ(sys_aligned_alloc(wrong[i], 16), NULL);
    }
    KCHECK_EQ(sys_aligned_alloc(0x80000000u, 16), NULL);
    KCHECK_EQ(sys_aligned_alloc(0x80000000u, UINT32_MAX), NULL);
    static const uint32_t bytes[] = {1, 17, 100, 1024, 1025, 5000, 12289};
    for (uint32_t alignment = 1; alignment <= 65536; alignment *= 2) {
        for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
            void *p = sys_aligned_alloc(alignment, bytes[i]);
            KNEED(p != NULL);
            KCHECK_EQ((uintptr_t)p % alignment, 0);
            KCHECK(sys_usable_size(p) >= bytes[i]);
            pattern_fill(p, bytes[i], alignment);
            KCHECK(pattern_holds(p, bytes[i], alignment));
            sys_free(p);
        }
    }
}

// Case 9.
KTEST(heap_free_null) {
    uint32_t free = frames_free(POOL_KERNEL);
    sys_free(NULL);
    KCHECK_EQ(frames_free(POOL_KERNEL), free);
}

// Live blocks of every size never overlap and keep what was written to them.
KTEST(heap_blocks_are_disjoint) {
    enum { COUNT = 300 };
    static uint8_t *block[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t bytes = 1 + i * i % 1500;
        block[i] = sys_malloc(bytes);
        KCHECK(block[i] != NULL);
        if (block[i]) pattern_fill(block[i], sys_usable_size(block[i]), i);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        if (block[i]) KCHECK(pattern_holds(block[i], sys_usable_size(block[i]), i));
    }
    for (uint32_t i = 0; i < COUNT; i++)
        sys_free(block[i * 7 % COUNT]); // 7 and 300 have no common divisor
}

// Measured on other kernels: with a stale translation two live blocks share one frame after just
// these calls.
KTEST(heap_no_frame_serves_two) {
    uint8_t *first = sys_malloc(3000);
    KNEED(first != NULL);
    memset(first, 0x11, 3000);
    sys_free(first);
    uint8_t *wide = sys_malloc(5000), *narrow = sys_malloc(3000);
    KNEED(wide != NULL && narrow != NULL);
    memset(wide, 0x22, 5000);
    memset(narrow, 0x33, 3000);
    KCHECK(wide[0] == 0x22 && wide[4999] == 0x22 && wide[4096] == 0x22);
    KCHECK(narrow[0] == 0x33 && narrow[2999] == 0x33);
    KCHECK(narrow + 3000 <= wide || wide + 5000 <= narrow);
    sys_free(wide);
    sys_free(narrow);
}

// A pair of calls at an arena's edge: all others are full, and one more block opens the next.
static void check_edge(const struct memory_block_desc *desc) {
    struct chain blocks = {NULL};
    void *first = ktest_open_arena(desc, &blocks), *next = ktest_open_arena(desc, &blocks);
    KNEED(first != NULL && next != NULL);
    uint32_t free = frames_free(POOL_KERNEL);
    for (int i = 0; i < 100; i++) {
        sys_free(next);
        KCHECK_EQ(frames_free(POOL_KERNEL), free);
        next = sys_malloc(desc->block_size);
        KCHECK_EQ(frames_free(POOL_KERNEL), free);
    }
    sys_free(next);
    sys_free(first);
    ktest_give_all(&blocks);
    // Two arenas at least are empty now, and one of them was kept.
    KCHECK_EQ(sys_trim(), desc->frames_per_arena);
}

// It must not open and close the arena each time, whatever the block's size.
KTEST(heap_arena_edge_is_quiet) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) check_edge(&k_heap.block_descs[i]);
}
