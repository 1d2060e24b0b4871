// test_classic.c - the seed's own heap does what its chapter says, and gives back what it took.
#include "kernel/classic/classic.h"
#include "kernel/memory.h"
#include "lib/string.h"
#include "tests/kernel/ktest.h"

// (4096 - 12) / block size.
KTEST(classic_descriptors) {
    static const int blocks[] = {255, 127, 63, 31, 15, 7, 3};
    classic_init();
    for (int i = 0; i < 7; i++) {
        KCHECK_EQ(classic_block_size(i), 16 << i);
        KCHECK_EQ(classic_blocks_per_arena(i), blocks[i]);
    }
    KCHECK_EQ(classic_block_size(7), 0);
}

// Every size up to 1024 gets the first block that holds it, 12 bytes from its frame's start.
KTEST(classic_sizes_meet_their_descriptors) {
    classic_init();
    KCHECK_EQ(classic_malloc(0), NULL);
    for (uint32_t size = 1; size <= 1024; size++) {
        int desc_idx = 0;
        while ((uint32_t)classic_block_size(desc_idx) < size) desc_idx++;
        uint8_t *p = classic_malloc(size);
        KNEED(p != NULL);
        memset(p, 0x5a, size);
        KCHECK_EQ((uintptr_t)p % PG_SIZE, 12);
        KCHECK_EQ(classic_header_of(p).cnt, classic_blocks_per_arena(desc_idx) - 1);
        KCHECK_EQ(classic_header_of(p).large, 0);
        classic_free(p);
    }
}

// The arena's pages are the request's and the header's.
KTEST(classic_large_areas) {
    static const uint32_t sizes[] = {1025, 4084, 4085, 8180, 8181, 100000};
    static const int pages[] = {1, 1, 2, 2, 3, 25};
    classic_init();
    for (int i = 0; i < 6; i++) {
        uint32_t before = frames_free(POOL_KERNEL);
        uint8_t *p = classic_malloc(sizes[i]);
        KNEED(p != NULL);
        memset(p, 0x5a, sizes[i]);
        KCHECK_EQ(before - frames_free(POOL_KERNEL), (uint32_t)pages[i]);
        KCHECK_EQ(classic_header_of(p).desc, NULL);
        KCHECK_EQ(classic_header_of(p).cnt, pages[i]);
        KCHECK_EQ(classic_header_of(p).large, 1);
        classic_free(p);
        KCHECK_EQ(frames_free(POOL_KERNEL), before);
    }
}

// The list is a queue over all arenas of a size; the frames go back with their last block.
KTEST(classic_list_and_arenas) {
    static uint8_t *p[64];
    uint32_t before = frames_free(POOL_KERNEL);
    classic_init();
    for (int i = 0; i < 64; i++) {
        p[i] = classic_malloc(64);
        KNEED(p[i] != NULL);
        memset(p[i], i, 64);
    }
    KCHECK_EQ(p[1], p[0] + 64);
    KCHECK_EQ(before - frames_free(POOL_KERNEL), 2); // 63 blocks, and one
    classic_free(p[0]);
    uint8_t *next = classic_malloc(64);
    KCHECK(next != p[0]);
    classic_free(next);
    for (int i = 1; i < 64; i++) {
        KCHECK(p[i][0] == i && p[i][63] == i);
        classic_free(p[i]);
    }
    KCHECK_EQ(frames_free(POOL_KERNEL), before);
}

// What docs/memory.md says of it: 58 of 100 bytes in its frames are data.
KTEST(classic_random_blocks_fill_their_frames) {
    enum { BLOCKS = 10000 };
    void **p = sys_calloc(BLOCKS, sizeof *p);
    KNEED(p != NULL);
    uint32_t before = frames_free(POOL_KERNEL), random = 1, data = 0, taken = 0;
    classic_init();
    for (; taken < BLOCKS; taken++) {
        random = random * 1664525u + 1013904223u;
        uint32_t size = 1 + (random >> 16) % 1024;
        p[taken] = classic_malloc(size);
        if (!p[taken]) break;
        data += size;
    }
    uint32_t frames = before - frames_free(POOL_KERNEL);
    KCHECK_EQ(taken, BLOCKS);
    KCHECK_EQ((data + frames * PG_SIZE / 200) / (frames * PG_SIZE / 100), 58);
    while (taken > 0) classic_free(p[--taken]);
    KCHECK_EQ(frames_free(POOL_KERNEL), before);
    sys_free(p);
}
