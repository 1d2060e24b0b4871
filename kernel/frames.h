// frames.h - whole frames of a pool: the calls of pool.c that are for everybody.
//
// A header of its own, so that those who take frames need not see how pools are made (pool.h).
#pragma once

#include <stdint.h>

#include "kernel/heap.h"

#define FRAME_NONE UINT32_MAX // frame_alloc(): not that many frames in a row

// Takes `count` frames in a row from a pool; returns the first one's number in the pool, or
// FRAME_NONE with nothing taken (count 0, or no such run). Frames are not cleared. O(1). Any
// context, interrupts on or off.
uint32_t frame_alloc(enum pool_id pool, uint32_t count);
// Gives a run back, whole. Refused with a report if it is not a run that frame_alloc() handed out
// and that was not freed yet.
void frame_free(enum pool_id pool, uint32_t first, uint32_t count);
uint64_t frame_address(enum pool_id pool, uint32_t frame); // physical address, bytes
uint32_t frames_total(enum pool_id pool);                  // usable frames of the pool
uint32_t frames_free(enum pool_id pool); // of them, neither handed out nor kept by a processor

// ---- for what looks at a pool, tests and debuggers ---------------------------------------------

uint32_t pool_bin_of(uint32_t count); // the bin for runs of `count` frames, count > 0
// First frame of the run handed out that holds `frame`, FRAME_NONE if none does. Locked by its
// caller. `pure`: what asks it under the lock is shorter.
__attribute__((pure)) uint32_t pool_run_at(const struct pool *pool, uint32_t frame);
