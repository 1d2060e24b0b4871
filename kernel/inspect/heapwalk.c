// heapwalk.c - see heapwalk.h.
//
// The walk goes by the arenas' records, from frame to frame of the kernel pool: a record says how
// many frames it holds, and the next one follows them. Nothing in a frame is read.
#include "kernel/inspect/heapwalk.h"

#include "kernel/port.h"

// Block `block` of a small arena was handed out and has not come back.
static bool block_live(const struct heap *heap, const struct arena *arena, uint32_t block) {
    if (port_owners(heap)) return owners_block(heap, arena, block) == HEAP_OK;
    return block < arena->carved && (arena->map[block / 32] >> block % 32 & 1) == 0;
}

static void visit_blocks(const struct heap *heap, const struct arena *arena,
                         void (*visit)(const struct heap_block *block, void *argument),
                         void *argument) {
    const struct memory_block_desc *desc = arena->desc;
    for (uint32_t block = 0; block < desc->blocks_per_arena && block < ARENA_BLOCKS_MAX; block++) {
        if (!block_live(heap, arena, block)) continue;
        struct heap_block found = {arena, block, arena->base + block * desc->block_size,
                                   desc->block_size};
        visit(&found, argument);
    }
}

// Frames that the record holds, 1 for one that starts nothing.
static uint32_t frames_held(const struct heap *heap, const struct arena *arena) {
    if (!arena_sound(heap, arena)) return 1;
    if (arena->large) return arena->cnt;
    return port_owners(heap) ? owners_frames(heap, arena) : arena->desc->frames_per_arena;
}

// k_heap is the first, so there is no other head. Locked like a pool: no reader sees half a change.
void heap_add(struct heap *heap) {
    port_state state = port_lock(&k_heap);
    heap->next = k_heap.next;
    k_heap.next = heap;
    port_unlock(&k_heap, state);
}

void heap_remove(struct heap *heap) {
    port_state state = port_lock(&k_heap);
    struct heap *before = &k_heap;
    while (before->next && before->next != heap) before = before->next;
    if (before->next) before->next = heap->next;
    port_unlock(&k_heap, state);
}

// A wild pointer into a table must not be followed either.
uint32_t heap_desc_table(const struct heap *heap, const struct memory_block_desc *desc) {
    uint32_t table = 0;
    for (; table < PORT_TABLES && port_descs(heap, table); table++) {
        uintptr_t into = (uintptr_t)desc - (uintptr_t)port_descs(heap, table);
        if (into < heap->desc_count * sizeof *desc && into % sizeof *desc == 0) return table;
    }
    return HEAP_NO_TABLE;
}

bool heap_desc_known(const struct heap *heap, const struct memory_block_desc *desc) {
    return heap_desc_table(heap, desc) != HEAP_NO_TABLE;
}

static bool in_window(const struct heap *heap, uintptr_t address) {
    return address - heap->base < (uintptr_t)PORT_FRAMES(heap) << PG_SHIFT;
}

// k_heap last: a heap may lie in one of its areas.
const struct heap *heap_of(uintptr_t address) {
    const struct heap *heap = k_heap.next;
    while (heap && !in_window(heap, address)) heap = heap->next;
    return heap ? heap : in_window(&k_heap, address) ? &k_heap : NULL;
}

void heap_for_each(const struct heap *heap,
                   void (*visit)(const struct heap_block *block, void *argument), void *argument) {
    for (uint32_t frame = 0; frame < heap->frames;) {
        const struct arena *arena = &heap->arena[frame];
        if (arena_sound(heap, arena)) {
            struct heap_block area = {arena, 0, arena->base, (size_t)arena->cnt * PG_SIZE};
            if (arena->large) visit(&area, argument);
            else visit_blocks(heap, arena, visit, argument);
        }
        uint32_t held = frames_held(heap, arena);
        frame += held > 0 ? held : 1;
    }
}

void pool_free_runs(enum pool_id id, uint32_t *runs, uint32_t *longest) {
    const struct pool *pool = mem_pool[id];
    *runs = *longest = 0;
    port_state state = port_freeze(&k_heap);
    for (uint32_t at = 0; at < pool->frames;) {
        uint32_t tag = pool->frame[at].run, length = FRAME_RUN(tag);
        if (tag & FRAME_FREE) {
            *runs += 1;
            if (length > *longest) *longest = length;
        }
        at += length > 0 && length <= pool->frames - at ? length : 1; // a hole, or broken
    }
    port_thaw(&k_heap, state);
}

// The record of the arena or large area that holds `frame`, or NULL.
static const struct arena *arena_at(const struct heap *heap, uint32_t frame) {
    const struct arena *arena = record_at(heap, frame);
    if (!arena || arena_sound(heap, arena)) return arena;
    // A further frame of a large area: its run's first frame has the record (F1 and A1).
    uint32_t first = pool_run_at(&heap->pool, frame);
    if (first == FRAME_NONE) return NULL;
    arena = &heap->arena[first];
    return arena->large && arena_sound(heap, arena) ? arena : NULL;
}

bool heap_block_at(uintptr_t address, struct heap_block *out) {
    const struct heap *heap = heap_of(address);
    if (!heap) return false;
    const struct arena *arena = arena_at(heap, (uint32_t)((address - heap->base) >> PG_SHIFT));
    return arena && heap_block_in(heap, arena, address, out);
}

bool heap_block_in(const struct heap *heap, const struct arena *arena, uintptr_t address,
                   struct heap_block *out) {
    if (!arena_sound(heap, arena)) return false;
    bool large = arena->large; // else `cnt` is its owner's, where a port has owners
    *out = (struct heap_block){arena, 0, arena->base, large ? (size_t)arena->cnt * PG_SIZE : 0};
    if (large) return true;
    out->bytes = arena->desc->block_size;
    if (out->bytes == 0) return false; // the descriptor was overwritten
    out->block = (uint32_t)(address - arena->base) / arena->desc->block_size;
    out->start = arena->base + (uintptr_t)out->block * out->bytes;
    return out->block < arena->desc->blocks_per_arena;
}
