// soak.h - the boot option soak=OPS[,THREADS[,SEED]]: a long run of random heap calls.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/limits.h"

#define SOAK_CHECK_OPS 10000u // calls of a stream between two walks over all invariants

// Makes `ops` calls: with `threads` 0 in the calling thread, and the hash then has every address in
// it; else each of that many threads makes ops / threads (rounded up), preempted by the others, and
// the hash has what does not depend on when. Prints one line,
//
//     soak: seed=… threads=… ops=… checks=… spoilt=… refused=… broken=… leaked=… hash=…
//
// and a verdict; *hash is the last of them. True if no block was spoilt, no invariant broken,
// nothing refused and every frame came back. Threads only.
bool soak_run(uint32_t ops, uint32_t threads, uint32_t seed, uint32_t *hash);
