// runs.h - free runs of frames, in the bins of a pool: found, cut, and joined again.
//
// The part of a pool that knows nothing of what is around it: for pool.h, and for the pools that
// processors have of their own (kernel/local.c). What it keeps, F1 to F4, is said at the head of
// pool.h. Locked by its caller. `tag` is the pool's: FRAME_FREE, or FRAME_KEPT(n) of a processor's.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/heap.h"
#include "kernel/hints.h"

// A free run is known by its last frame. Frames are taken from a run's low end, so what is left of
// it stays where it is in its bin, and so does a run that grows at its low end when those frames
// come back: a large area taken and given back moves nothing from bin to bin.

#define BIN_EXACT 31u // bins 0 .. 30 hold runs of exactly 1 .. 31 frames
#define BIN_LOOK 8u   // runs looked at in a bin whose runs differ in length

_Static_assert(32 * BIT_WORDS == POOL_BINS, "pool.nonempty is an array of bits");

static inline uint32_t floor_log2(uint32_t n) { return 31 - (uint32_t)__builtin_clz(n); }

// The bin for runs of `count` frames: exact up to 31, then eight bins for each power of two.
static inline uint32_t bin_of(uint32_t count) {
    if (count <= BIN_EXACT) return count - 1;
    uint32_t log = floor_log2(count);
    return BIN_EXACT + (log - 5) * 8 + ((count >> (log - 3)) & 7);
}

extern uint32_t bin_floor[POOL_BINS]; // shortest run of each bin, frames. In pool.c

// The free run that ends at `tail` has another length now: moves it to its bin. In pool.c.
HEAP_QUICK void run_rebin(struct pool *pool, struct frame *tail);

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

// Cuts `count` frames off the low end of the free run that ends at `tail`; returns the first. Sets
// no tag in them but the last one's where that is the run's: to 0.
static INLINE_ALWAYS struct frame *run_cut(struct pool *pool, struct frame *tail, uint32_t count,
                                           uint32_t tag) {
    struct frame *first = tail + 1 - FRAME_RUN(tail->run);
    uint32_t rest = FRAME_RUN(tail->run) - count;
    pool->free -= count;
    if (rest == 0) {
        run_unlink(pool, tail);
        tail->run = 0;
    } else {
        tail[1 - (int32_t)rest].run = tail->run = tag | rest;
        if (UNLIKELY(rest < bin_floor[tail->bin])) run_rebin(pool, tail);
    }
    return first;
}

// What frame[].run says: a free run with this tag. One bit tells FRAME_FREE.
static INLINE_ALWAYS bool run_has_tag(uint32_t run, uint32_t tag) {
    return tag == FRAME_FREE ? (run & FRAME_FREE) != 0 : (run & ~FRAME_LENGTH) == tag;
}

// Makes `count` frames free, joined with the free runs on both sides. No tag but the first one's is
// left in them.
static INLINE_ALWAYS void run_join(struct pool *pool, struct frame *first, uint32_t count,
                                   uint32_t tag) {
    struct frame *after = first + count, *tail = after - 1;
    pool->free += count;
    bool linked = after < pool->end && run_has_tag(after->run, tag);
    if (LIKELY(linked)) {
        uint32_t more = FRAME_RUN(after->run);
        count += more;
        tail += more;
        after->run = 0;
    }
    if (first > pool->frame && run_has_tag(first[-1].run, tag)) {
        struct frame *before = first - 1;
        run_unlink(pool, before);
        first->run = 0;
        count += FRAME_RUN(before->run);
        first -= FRAME_RUN(before->run);
        before->run = 0;
    }
    first->run = tail->run = tag | count;
    if (!linked) run_link(pool, tail);
    else if (count >= bin_floor[tail->bin + 1]) run_rebin(pool, tail);
}
