// pages.c - see pages.h. The same pools as ours, so that a comparison of the two heaps compares the
// heaps. frame_free() refuses what is no run of that length: a damaged header costs a report, where
// a pool with a bitmap would give away somebody's frames.
#include "kernel/classic/pages.h"

#include "kernel/layout.h"
#include "kernel/memory.h"

void *classic_pages(uint32_t count) {
    uint32_t frame = frame_alloc(POOL_KERNEL, count);
    return frame != FRAME_NONE ? F2V(frame) : NULL;
}

void classic_pages_free(void *pages, uint32_t count) {
    frame_free(POOL_KERNEL, (uint32_t)((uintptr_t)pages - HEAP_BASE) >> PG_SHIFT, count);
}
