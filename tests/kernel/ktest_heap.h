// ktest_heap.h - what the table of block sizes in use promises; a kernel pool with nothing left.
//
// The table is the user's to choose (classes=NAME), so a test must not know the seed's seven by
// heart: it asks here what a size comes to. The answers are worked out from the descriptors'
// block sizes alone, not by the way the heap takes (a table of slots, an inverse); the descriptors
// themselves are held against the command line by the test heap_descriptors.
//
// Blocks and frames that a test takes by the thousand are chained through their first words: no
// other memory is needed to know them.
//
// Context of all of these: a test, in its thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/memory.h"
#include "kernel/port.h"

// No table has blocks of this size (bytes): it is whole frames whatever was booted.
#define KTEST_LARGE (BLOCK_SIZE_MAX + 1000u)

// The descriptor that serves `size` bytes, size > 0; NULL: whole frames.
const struct memory_block_desc *ktest_desc(size_t size);
// Bytes that the block or area for `size` holds, size > 0: what sys_usable_size() must say.
uint32_t ktest_usable(size_t size);
// Frames that such an area takes, or an arena of such blocks where one has to be opened.
uint32_t ktest_frames(size_t size);

// Taken memory, the last one first. Starts out zeroed.
struct chain {
    struct chain_link *first;
};
struct chain_link {
    struct chain_link *next; // in the memory's first word
};

// Takes blocks or areas of `size` bytes until there are no more. Returns how many.
uint32_t ktest_take_all(struct chain *chain, size_t size);
void ktest_give_all(struct chain *chain); // sys_free() of each

// Takes one frame of the kernel pool past the heap; false if there is none.
bool ktest_frame_take(struct chain *frames);
void ktest_frame_give(struct chain *frames); // the one taken last
void ktest_frames_give_all(struct chain *frames);

// Takes blocks of a descriptor until one opens an arena, and is alone in it: returns that one,
// its arena's block 0, or NULL with a failed check. Those taken on the way are in `others`.
void *ktest_open_arena(const struct memory_block_desc *desc, struct chain *others);

// The arena of a block; the table of its descriptor (port_descs()): 0, or 1 + the processor's whose
// own it is.
struct arena *ktest_arena(const void *block);
uint32_t ktest_table(const void *block);
// From here on the processor has an arena of its own with room for `size` bytes: 1024 at most.
// False if it gets none: with one processor, and in the checked build.
bool ktest_settle(size_t size);

// A heap that holds nothing, of so many frames, over memory of k_heap's; *from is what it was made
// of. NULL, with nothing taken, if there is no memory. ktest_second_end() gives it back, with all
// that is in it.
#define KTEST_SECOND_FRAMES 16u
struct heap *ktest_second_heap(struct port_pool *from);
void ktest_second_end(struct heap *heap, const struct port_pool *from);

// Frames of the kernel pool that thread_create() needs as things are: the stack's, and those of the
// record if no open arena has room for it.
uint32_t ktest_thread_frames(void);
