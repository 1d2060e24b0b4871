// pool.h - page-frame pools: frames of 4 KiB, taken and given back as runs.
//
// A pool is a window of frames. Each heap has one of its own, and the kernel a second for pages of
// programs. The records are struct frame and struct pool (heap.h). What a large area or an arena
// needs on its way is inlined from here and runs.h, as calls would cost instructions; the rest is
// in pool.c. For these and memory.c: everything here is locked by its caller. Others take frames by
// the calls of frames.h.
//
// Theory. Free frames are kept as runs, each as long as it can be, in bins by length: a request
// takes from the shortest bin that surely serves, a returned run joins its neighbours first. All
// steps are bounded, whatever the pool's size: this is the two-level segregated fit of M. Masmano
// and others (TLSF, 2004) on frames. Nothing is written into a free frame: a run's length stands in
// the records of its first and last frame, and with it a tag that tells in which pool it is free:
// FRAME_FREE, or FRAME_KEPT(n) where a processor keeps frames (kernel/local.c).
//
// Invariants (kernel/inspect/heapcheck.c walks them by these numbers; memory.c has A1 to A6):
//   F1  The first and last record of a free run hold its pool's tag | length, the first record of a
//       run handed out holds FRAME_USED | length, with FRAME_LENT if frame_alloc() did that; all
//       other records hold 0 in `run`.
//   F2  No two free runs of one pool touch.
//   F3  A free run is, by its last record, in the one bin of its length; nonempty's bit is set
//       exactly where a bin holds a run, and nonempty_words' exactly where nonempty is not 0.
//   F4  pool.free is the sum of the free runs' lengths.
//   F5  The bits of pool.anchor are those of the anchors of runs handed out, and `bin` there leads
//       to the run's first frame; anchor_words has bit w exactly where anchor[w] is not 0.
//
// Who protects what: a heap's pool port_lock(heap), the user pool port_lock(&k_heap), what a
// processor keeps that processor's interrupts off (kernel/local.c).
//
// Shortcomings:
//   - A request longer than 31 frames looks at 8 runs of its own bin at most before it goes to
//     larger bins, so it can fail while the ninth would have served.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/frames.h"
#include "kernel/hints.h"
#include "kernel/port.h"
#include "kernel/runs.h"

_Static_assert(ARENA_FRAMES_MAX < ANCHOR_STEP, "only frame_alloc() and large areas have anchors");

// ---- in pool.c ---------------------------------------------------------------------------------

void bin_floors_init(void); // before the first pool_init()
// Makes a pool of the memory `from`.
void pool_init(struct pool *pool, const char *name, const struct port_pool *from);

// The run handed out that starts at `first`, of ANCHOR_STEP frames or more, has its anchor from
// here on; has it no longer.
HEAP_QUICK void anchor_set(struct pool *pool, const struct frame *first);
HEAP_QUICK void anchor_clear(struct pool *pool, const struct frame *first);

// ---- inlined -----------------------------------------------------------------------------------

// Takes `count` frames in a row; returns the first one's record, or NULL.
static INLINE_ALWAYS struct frame *run_take(struct pool *pool, uint32_t count) {
    struct frame *tail = run_find(pool, count);
    if (UNLIKELY(!tail)) {
        if (!port_more_frames(pool, count)) return NULL;
        tail = run_find(pool, count);
        if (!tail) return NULL;
    }
    struct frame *first = run_cut(pool, tail, count, FRAME_FREE);
    first->run = FRAME_USED | count;
    return first;
}

// Gives back `count` frames, joined with the free runs on both sides. No tag but the first one's is
// left in them.
static INLINE_ALWAYS void run_give(struct pool *pool, struct frame *first, uint32_t count) {
    if (PORT_TELLS_BACK(pool)) port_frames_back(pool->heap, (uint32_t)(first - pool->frame), count);
    run_join(pool, first, count, FRAME_FREE);
}

// Makes a run handed out shorter or longer at its end; false if the frames after it are not free.
static inline bool run_resize(struct pool *pool, struct frame *first, uint32_t from, uint32_t to) {
    if (to > from) {
        struct frame *after = first + from;
        if (after >= pool->end || !(after->run & FRAME_FREE)) return false;
        uint32_t length = FRAME_RUN(after->run);
        if (length < to - from) return false;
        run_cut(pool, after + length - 1, to - from, FRAME_FREE);
        after->run = 0;
    }
    first->run = FRAME_USED | to;
    if (from < ANCHOR_STEP && to >= ANCHOR_STEP) anchor_set(pool, first);
    if (from >= ANCHOR_STEP && to < ANCHOR_STEP) anchor_clear(pool, first);
    if (to < from) run_give(pool, first + to, from - to);
    return true;
}

// Where a frame of a heap's pool lies.
static inline uintptr_t frame_base(const struct heap *heap, uint32_t frame) {
    return heap->base + ((uintptr_t)frame << PG_SHIFT);
}
