// heapmap.h - the pools as a picture of coloured cells, for `map` and `watch`.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/memory.h"

enum map_kind {
    MAP_HOLE,    // no memory: a hole of the memory map
    MAP_FREE,    // not in use
    MAP_SMALL,   // an arena of blocks
    MAP_LARGE,   // a large area
    MAP_OTHER,   // handed out by frame_alloc(): stacks and others
    MAP_CORRUPT, // a record that is not sound
    MAP_KINDS
};

// What some frames in a row are used for. Where several kinds share a cell it shows the one with
// the most frames of those in which something lives, so that nothing that lives is hidden by what
// is free or kept empty.
struct map_cell {
    uint8_t kind;    // enum map_kind
    uint8_t eighths; // 0 .. 8: of its blocks that live (small arenas), or of its frames in use
};

// Fills cells[0 .. count - 1] with the pool's frames from `first` on, `frames` of them or as many
// as there are, each cell for the same number of frames (the last one for the rest): as few as it
// can be. Returns how many cells that takes, at most `count` (count > 0). Reads records only, each
// once: works when they are broken. Interrupts are off meanwhile. Any context.
uint32_t heapmap_fill(enum pool_id pool, uint32_t first, uint32_t frames, struct map_cell *cells,
                      uint32_t count);

// The picture of one heap, a program's as well, in two steps: what its frames are used for is
// remembered (locked by the caller), then printed. Threads only, one caller at a time.
void heapmap_take(const struct heap *heap);
void heapmap_show(bool (*more)(void));

// Prints both pools, at most 20 lines of 64 cells and text, in colours of ANSI (ECMA-48, 8.3.117):
// a terminal and the screen show the same. Threads only: it uses 2 KiB that are not on the stack,
// one caller at a time.
void heapmap_print(void);
// Prints frames `first` to first + frames - 1, as many as there are, in cells of one frame; rows
// that are all free, or all no memory, once. Before each row it asks whether more are wanted.
// Threads only, one caller at a time, like the other.
void heapmap_frames(enum pool_id pool, uint32_t first, uint32_t frames, bool (*more)(void));
