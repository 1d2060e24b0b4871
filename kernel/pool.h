// pool.h - page-frame pools: frames of 4 KiB, taken and given back as runs.
//
// A pool is a window of frames. Each heap has one of its own, and the kernel a second for pages of
// programs. The records are struct frame and struct pool (heap.h). What a large area or an arena
// needs on its way is inlined from here, as calls would cost instructions; the rest is in pool.c.
// For these two and memory.c: everything here is locked by its caller. Others take frames by the
// calls of frames.h.
//
// Theory. Free frames are kept as runs, each as long as it can be, in bins by length: a request
// takes from the shortest bin that surely serves, a returned run joins its neighbours first. All
// steps are bounded, whatever the pool's size: this is the two-level segregated fit of M. Masmano
// and others (TLSF, 2004) on frames. Nothing is written into a free frame: a run's length stands in
// the records of its first and last frame.
//
// Invariants (kernel/inspect/heapcheck.c walks them by these numbers; memory.c has A1 to A6):
//   F1  The first and last record of a free run hold FRAME_FREE | length, the first record of a run
//       handed out holds FRAME_USED | length, all other records hold 0 in `run`.
//   F2  No two free runs touch.
//   F3  A free run is, by its last record, in the one bin of its length; nonempty's bit is set
//       exactly where a bin holds a run, and nonempty_words' exactly where nonempty is not 0.
//   F4  pool.free is the sum of the free runs' lengths.
//   F5  The bits of pool.anchor are those of the anchors of runs handed out, and `bin` there leads
//       to the run's first frame; anchor_words has bit w exactly where anchor[w] is not 0.
//
// Who protects what: a heap's pool port_lock(heap), the user pool port_lock(&k_heap).
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

// A free run is known by its last frame. Frames are taken from a run's low end, so what is left of
// it stays where it is in its bin, and so does a run that grows at its low end when those frames
// come back: a large area taken and given back moves nothing from bin to bin.

#define BIN_EXACT 31u // bins 0 .. 30 hold runs of exactly 1 .. 31 frames
#define BIN_LOOK 8u   // runs looked at in a bin whose runs differ in length

_Static_assert(32 * BIT_WORDS == POOL_BINS, "pool.nonempty is an array of bits");
_Static_assert(ARENA_FRAMES_MAX < ANCHOR_STEP, "only frame_alloc() and large areas have anchors");

static inline uint32_t floor_log2(uint32_t n) { return 31 - (uint32_t)__builtin_clz(n); }

// The bin for runs of `count` frames: exact up to 31, then eight bins for each power of two.
static inline uint32_t bin_of(uint32_t count) {
    if (count <= BIN_EXACT) return count - 1;
    uint32_t log = floor_log2(count);
    return BIN_EXACT + (log - 5) * 8 + ((count >> (log - 3)) & 7);
}

// ---- in pool.c ---------------------------------------------------------------------------------

extern uint32_t bin_floor[POOL_BINS]; // shortest run of each bin, frames
void bin_floors_init(void);           // before the first pool_init()
// Makes a pool of the memory `from`.
void pool_init(struct pool *pool, const char *name, const struct port_pool *from);

// The free run that ends at `tail` has another length now: moves it to its bin.
HEAP_QUICK void run_rebin(struct pool *pool, struct frame *tail);
// The run handed out that starts at `first`, of ANCHOR_STEP frames or more, has its anchor from
// here on; has it no longer.
HEAP_QUICK void anchor_set(struct pool *pool, const struct frame *first);
HEAP_QUICK void anchor_clear(struct pool *pool, const struct frame *first);

// ---- inlined -----------------------------------------------------------------------------------

// Puts the free run that ends at `tail` into its bin.
static inline void run_link(struct pool *pool, struct frame *tail) {
    uint32_t bin = bin_of(FRAME_RUN(tail->run));
    struct frame *next = pool->bin[bin];
    tail->bin = bin;
    tail->next = next;
    tail->link = &pool->bin[bin];
    pool->bin[bin] = tail;
    if (next) {
        next->link = &tail->next;
    } else {
        bit_set(pool->nonempty, bin);
        pool->nonempty_words |= 1u << bin / 32;
    }
}

// The last run of a bin was taken out.
static inline void bin_emptied(struct pool *pool, uint32_t bin) {
    bit_clear(pool->nonempty, bin);
    if (pool->nonempty[bin / 32] == 0) pool->nonempty_words &= ~(1u << bin / 32);
}

static inline void run_unlink(struct pool *pool, struct frame *tail) {
    struct frame *next = tail->next;
    *tail->link = next;
    if (next) next->link = tail->link;
    else if (!pool->bin[tail->bin]) bin_emptied(pool, tail->bin);
}

// The last frame of a free run of at least `count` frames, or NULL.
static inline struct frame *run_find(const struct pool *pool, uint32_t count) {
    uint32_t bin = count - 1;
    if (UNLIKELY(count > BIN_EXACT)) {
        bin = bin_of(count);
        struct frame *tail = pool->bin[bin];
        for (uint32_t looked = 0; tail && looked < BIN_LOOK; looked++, tail = tail->next) {
            if (FRAME_RUN(tail->run) >= count) return tail;
        }
        bin++; // there is one: no pool is so long that its runs reach the last bin
    }
    uint32_t word = bin / 32, bits = pool->nonempty[word] & UINT32_MAX << bin % 32;
    if (bits == 0) {
        uint32_t words = pool->nonempty_words & (~1u << word);
        if (UNLIKELY(words == 0)) return NULL;
        word = (uint32_t)__builtin_ctz(words);
        bits = pool->nonempty[word];
    }
    return pool->bin[word * 32 + (uint32_t)__builtin_ctz(bits)];
}

// Cuts `count` frames off the low end of the free run that ends at `tail`. Sets no tag in them but
// the last one's where that is the run's: to 0.
static inline void run_cut(struct pool *pool, struct frame *tail, uint32_t count) {
    uint32_t rest = FRAME_RUN(tail->run) - count;
    pool->free -= count;
    if (rest == 0) {
        run_unlink(pool, tail);
        tail->run = 0;
    } else {
        tail[1 - (int32_t)rest].run = tail->run = FRAME_FREE | rest;
        if (UNLIKELY(rest < bin_floor[tail->bin])) run_rebin(pool, tail);
    }
}

// Takes `count` frames in a row; returns the first one's record, or NULL.
static INLINE_ALWAYS struct frame *run_take(struct pool *pool, uint32_t count) {
    struct frame *tail = run_find(pool, count);
    if (UNLIKELY(!tail)) {
        if (!port_more_frames(pool, count)) return NULL;
        tail = run_find(pool, count);
        if (!tail) return NULL;
    }
    struct frame *first = tail + 1 - FRAME_RUN(tail->run);
    run_cut(pool, tail, count);
    first->run = FRAME_USED | count;
    return first;
}

// Gives back `count` frames, joined with the free runs on both sides. No tag but the first one's is
// left in them.
static INLINE_ALWAYS void run_give(struct pool *pool, struct frame *first, uint32_t count) {
    struct frame *after = first + count, *tail = after - 1;
    if (PORT_TELLS_BACK(pool)) port_frames_back(pool->heap, (uint32_t)(first - pool->frame), count);
    pool->free += count;
    bool linked = after < pool->end && (after->run & FRAME_FREE);
    if (linked) {
        uint32_t more = FRAME_RUN(after->run);
        count += more;
        tail += more;
        after->run = 0;
    }
    if (first > pool->frame && (first[-1].run & FRAME_FREE)) {
        struct frame *before = first - 1;
        run_unlink(pool, before);
        first->run = 0;
        count += FRAME_RUN(before->run);
        first -= FRAME_RUN(before->run);
        before->run = 0;
    }
    first->run = tail->run = FRAME_FREE | count;
    if (!linked) run_link(pool, tail);
    else if (count >= bin_floor[tail->bin + 1]) run_rebin(pool, tail);
}

// Makes a run handed out shorter or longer at its end; false if the frames after it are not free.
static inline bool run_resize(struct pool *pool, struct frame *first, uint32_t from, uint32_t to) {
    if (to > from) {
        struct frame *after = first + from;
        if (after >= pool->end || !(after->run & FRAME_FREE)) return false;
        uint32_t length = FRAME_RUN(after->run);
        if (length < to - from) return false;
        run_cut(pool, after + length - 1, to - from);
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
