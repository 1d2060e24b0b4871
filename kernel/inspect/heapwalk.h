// heapwalk.h - every block that the heap has handed out, one after the other.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernel/memory.h"

struct heap_block {
    const struct arena *arena;
    uint32_t block;  // number in its arena; 0 for a large area
    uintptr_t start; // address of the first byte
    size_t bytes;    // of the block, or of the area's frames
};

// Which heaps there are: k_heap, and those that were added, until they are removed. A heap is added
// once, by its maker, and before its first call; it is removed while no thread looks at heaps:
// this list is read without a lock.
void heap_add(struct heap *heap);
void heap_remove(struct heap *heap);
// The heap in whose window an address lies, the one added last if it is another one's area; or
// NULL.
const struct heap *heap_of(uintptr_t address);

// The table of a heap's descriptors that `desc` is in (port_descs()); HEAP_NO_TABLE: in none.
#define HEAP_NO_TABLE UINT32_MAX
uint32_t heap_desc_table(const struct heap *heap, const struct memory_block_desc *desc);
bool heap_desc_known(const struct heap *heap, const struct memory_block_desc *desc);

// Calls `visit` for each live block and large area, in the order of addresses. Records that are not
// sound are passed over: heap_check() tells of them. The heap must stand still meanwhile: the
// caller has locked it, or is alone; `visit` must not call the heap.
void heap_for_each(const struct heap *heap,
                   void (*visit)(const struct heap_block *block, void *argument), void *argument);

// How many free runs a pool has, and the frames of the longest: what one large area could still
// get. Works when the records are broken. Interrupts are off meanwhile. Any context.
void pool_free_runs(enum pool_id pool, uint32_t *runs, uint32_t *longest);

// The block or large area, live or not, that `address` lies in; false if none does, or if the
// record that should tell is not sound. Reads records only, a bounded number.
bool heap_block_at(uintptr_t address, struct heap_block *out);
// The same of a record of that heap that is known, or of a copy of it.
bool heap_block_in(const struct heap *heap, const struct arena *arena, uintptr_t address,
                   struct heap_block *out);
