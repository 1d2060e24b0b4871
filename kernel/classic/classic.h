// classic.h - the seed's own heap, beside ours: the one that the chapter describes.
//
// For a reader of the chapter who wants to step through that design, and for everybody who wants to
// compare: `classic` at the prompt, the tours classic-malloc and classic-free, the museum, the
// column `classic` of the bench. Nothing else calls it: the kernel lives on sys_malloc(). Each of
// them begins with classic_init() and gives back what it took.
//
// Context: threads, interrupts on or off (left as they were). A wrong pointer is not refused: what
// it does is what the museum shows.
#pragma once

#include <stddef.h>
#include <stdint.h>

void classic_init(void);           // the heap holds nothing
void *classic_malloc(size_t size); // NULL: size 0, or no memory. Not cleared
void classic_free(void *ptr);      // of classic_malloc(), once; NULL: nothing

// ---- for those who show what is inside ----------------------------------------------------------

// What the header of the arena says that a pointer belongs to, or would, if it does not.
struct classic_header {
    const void *desc;
    int cnt;
    int large;
};
struct classic_header classic_header_of(const void *ptr);
int classic_block_size(int desc_idx); // 0 after the last
int classic_blocks_per_arena(int desc_idx);

// What `classic` at the prompt shows: the sizes and what they cost, and a few calls, one by one.
void classic_show(void);
