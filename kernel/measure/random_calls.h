// random_calls.h - a stream of random heap calls that knows what must come of each.
//
// The same seed gives the same calls. Used for long runs in the kernel (kernel/measure/soak.h), for
// storms of interrupts (tests/kernel/test_storm.c) and on the host (tests/host/soak_heap.c).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A block that a stream holds.
struct stream_block {
    uint8_t *p;    // NULL: none
    uint32_t size; // bytes asked for
    uint32_t tag;  // its pattern: see random_calls.c
};

// One stream. Belongs to one thread; nothing of it is shared.
struct stream {
    struct stream_block *block; // the caller's, `blocks` of them
    uint32_t blocks;
    uint32_t size_max; // bytes; sizes are drawn up to here, small ones as often as large ones
    bool addresses;    // fold addresses into `hash`: only if nothing else uses the heap
    uint32_t random;   // state of the generator
    uint32_t hash;     // of every call so far and, with `addresses`, of every pointer returned
    uint32_t ops;      // calls so far
    uint32_t live;     // blocks held
    uint32_t refused;  // calls that found no memory
    uint32_t spoilt;   // blocks that did not keep what was written to them, or were not cleared,
                       // or not aligned
};

// Clears *soak. `block` has room for `blocks` blocks and stays the caller's.
void stream_begin(struct stream *soak, struct stream_block *block, uint32_t blocks,
                  uint32_t size_max, uint32_t seed);
// Makes `ops` calls more. Threads only; takes no lock, and never sleeps.
void stream_calls(struct stream *soak, uint32_t ops);
// Checks and frees all that is held. The figures stay.
void stream_end(struct stream *soak);
