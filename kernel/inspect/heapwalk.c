// heapwalk.c - see heapwalk.h.
//
// The walk goes by the arenas' records, from frame to frame of the kernel pool: a record says how
// many frames it holds, and the next one follows them. Nothing in a frame is read.
#include "kernel/inspect/heapwalk.h"

#include "kernel/port.h"

// Block `block` of a small arena was handed out and has not come back.
static bool block_live(const struct arena *arena, uint32_t block) {
    return block < arena->carved && (arena->map[block / 32] >> block % 32 & 1) == 0;
}

static void visit_blocks(const struct arena *arena,
                         void (*visit)(const struct heap_block *block, void *argument),
                         void *argument) {
    const struct memory_block_desc *desc = arena->desc;
    for (uint32_t block = 0; block < desc->blocks_per_arena && block < ARENA_BLOCKS_MAX; block++) {
        if (!block_live(arena, block)) continue;
        struct heap_block found = {arena, block, arena->base + block * desc->block_size,
                                   desc->block_size};
        visit(&found, argument);
    }
}

// Frames that the record holds, 1 for one that starts nothing.
static uint32_t frames_held(const struct arena *arena) {
    if (!arena_sealed(arena)) return 1;
    return arena->large ? arena->cnt : arena->desc->frames_per_arena;
}

void heap_for_each(void (*visit)(const struct heap_block *block, void *argument), void *argument) {
    for (uint32_t frame = 0; frame < heap.frames;) {
        const struct arena *arena = &heap.arena[frame];
        if (arena_sealed(arena)) {
            struct heap_block area = {arena, 0, arena->base, (size_t)arena->cnt * PG_SIZE};
            if (arena->large) visit(&area, argument);
            else visit_blocks(arena, visit, argument);
        }
        uint32_t held = frames_held(arena);
        frame += held > 0 ? held : 1;
    }
}

void pool_free_runs(enum pool_id id, uint32_t *runs, uint32_t *longest) {
    const struct pool *pool = &mem_pool[id];
    *runs = *longest = 0;
    port_state state = port_lock();
    for (uint32_t at = 0; at < pool->frames;) {
        uint32_t tag = pool->frame[at].run, length = FRAME_RUN(tag);
        if (tag & FRAME_FREE) {
            *runs += 1;
            if (length > *longest) *longest = length;
        }
        at += length > 0 && length <= pool->frames - at ? length : 1; // a hole, or broken
    }
    port_unlock(state);
}

// The record of the arena or large area that holds `frame`, or NULL.
static const struct arena *arena_at(uint32_t frame) {
    const struct arena *arena = &heap.arena[frame];
    uint32_t back = arena->back / (uint32_t)sizeof *arena;
    if (back > frame) return NULL;
    arena -= back;
    if (arena_sealed(arena)) return arena;
    // A further frame of a large area: its run's first frame has the record (memory.c, F1 and A1).
    uint32_t first = pool_run_at(&mem_pool[POOL_KERNEL], frame);
    if (first == FRAME_NONE) return NULL;
    arena = &heap.arena[first];
    return arena->large && arena_sealed(arena) ? arena : NULL;
}

bool heap_block_at(uintptr_t address, struct heap_block *out) {
    uintptr_t off = address - PORT_HEAP_BASE;
    if (off >= (uintptr_t)heap.frames << PG_SHIFT) return false;
    const struct arena *arena = arena_at((uint32_t)(off >> PG_SHIFT));
    return arena && heap_block_in(arena, address, out);
}

bool heap_block_in(const struct arena *arena, uintptr_t address, struct heap_block *out) {
    if (!arena_sealed(arena)) return false;
    *out = (struct heap_block){arena, 0, arena->base, (size_t)arena->cnt * PG_SIZE};
    if (arena->large) return true;
    out->bytes = arena->desc->block_size;
    if (out->bytes == 0) return false; // the descriptor was overwritten
    out->block = (uint32_t)(address - arena->base) / arena->desc->block_size;
    out->start = arena->base + (uintptr_t)out->block * out->bytes;
    return out->block < arena->desc->blocks_per_arena;
}
