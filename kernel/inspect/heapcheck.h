// heapcheck.h - every invariant of the heap walked, and in the checked build checked.c's.
//
// Reads the heap's structures and nothing else: works when they are broken (each walk is bounded),
// and on the host as in the kernel. Context: any; interrupts are off for the whole walk, so not for
// every day.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/memory.h"

// Walks every invariant numbered at the heads of pool.h and memory.c, of all heaps that are known
// (heapwalk.h) and the user pool; prints a line "heap check: A3 broken: ..." for each of the first
// few that do not hold. Returns how many do not: 0 is a sound heap.
uint32_t heap_check(void);

// For the parts of it that have a file of their own: counts and says one that does not hold.
void heap_complain(const char *invariant, const char *what, uint32_t at);
#define HEAP_REQUIRE(condition, invariant, what, at)                \
    do {                                                            \
        if (!(condition)) heap_complain((invariant), (what), (at)); \
    } while (0)

// The blocks and frames of one descriptor, for `mem`, the demonstration and tests.
struct desc_state {
    uint32_t block_size, blocks_per_arena;
    uint32_t arenas;      // open
    uint32_t free_blocks; // in them
    uint32_t live_blocks;
};
// index < heap->desc_count
void heap_desc_state(const struct heap *heap, uint32_t index, struct desc_state *out);
