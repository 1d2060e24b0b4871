// owners_check.c - see heapcheck.h: the arenas of a heap of several owners, checked and counted.
//
// The heap's lock keeps arenas from being opened and closed; their owners go on allocating in them.
// So what is checked of every arena is what its owner does not change; lists only where the owner
// is idle or the caller.
#include "kernel/inspect/heapcheck.h"
#include "kernel/port.h"
#include "tools/libgranary/owners.h"

#define REQUIRE HEAP_REQUIRE

static uint32_t popcount(uint32_t bits) {
    uint32_t count = 0;
    for (; bits != 0; bits &= bits - 1) count++;
    return count;
}

// S7 of a frame.
static void check_proof(const struct heap *heap, const struct arena *arena, uint32_t frame) {
#ifdef ARENA_PROOFS
    const struct proof *proof = &heap->arena[frame].proof;
    bool right = LOOK(proof->arena) == arena;
    if (arena) {
        uint64_t factor = factor_of(arena->desc);
        right = right && LOOK(proof->factor) == factor &&
                LOOK(proof->start) == arena->base * factor && proof_sum(proof) == shared_sum(arena);
    } else right = right && (LOOK(proof->factor) | LOOK(proof->start) | LOOK(proof->seal)) == 0;
    REQUIRE(right, "S7", "the proof is wrong, frame", frame);
#else
    (void)heap, (void)arena, (void)frame;
#endif
}

// A1, A2 and A6 of an arena or large area. Returns the frames it holds.
static uint32_t check_record(const struct heap *heap, const struct arena *arena, uint32_t frame) {
    uint32_t run = heap->pool.frame[frame].run, frames = FRAME_RUN(run);
    if (!arena_sound(heap, arena)) {
        heap_complain("A2", "the seal is wrong, frame", frame);
        return 1;
    }
    REQUIRE((run & FRAME_USED) && frames <= heap->frames - frame, "A1", "the frames' run, frame",
            frame);
    REQUIRE(arena->base == heap->base + ((uintptr_t)frame << PG_SHIFT), "A1", "base, frame", frame);
    if (!(run & FRAME_USED) || frames > heap->frames - frame) return 1;
    for (uint32_t i = 0; i < frames; i++) {
        check_proof(heap, arena->large ? NULL : arena, frame + i);
    }
    for (uint32_t i = 1; i < frames; i++) {
        const struct arena *further = arena + i;
        uint32_t back = arena->large ? 0 : i * (uint32_t)sizeof *arena;
        REQUIRE(further->back == back, "A6", "back, frame", frame + i);
        REQUIRE(arena_blank(further), "A6", "a record that should be blank, frame", frame + i);
    }
    return frames;
}

// S6: blocks from `first` on are in the map.
static void check_map(const struct arena *arena, uint32_t first, uint32_t where) {
    for (uint32_t block = first; block < ARENA_BLOCKS_MAX; block++) {
        uint32_t bits = __atomic_load_n(&arena->map[block / 32], __ATOMIC_RELAXED);
        REQUIRE(bits >> block % 32 & 1, "S6", "no bit above the last block", where);
    }
}

// S5 and S9 for one list of an owner's front: `full` is what its arenas are.
static uint32_t check_list(const struct owner *owner, const struct front *front,
                           const struct list *list, bool full) {
    const struct heap *heap = owner->heap;
    uint32_t count = 0;
    const struct list_elem *before = &list->head;
    for (const struct list_elem *e = before->next; e != &list->head; before = e, e = e->next) {
        const struct arena *arena = list_entry(e, const struct arena, elem);
        bool record = arena >= heap->arena && arena < heap->arena + heap->frames;
        if (!record || e->prev != before || ++count > heap->frames) {
            heap_complain("S5", "a list is not sound, block size", front->block_size);
            return count;
        }
        bool right = arena->desc == &front->desc && is_full(arena) == full;
        REQUIRE(right, "S5", "a stranger in a list, block size", front->block_size);
        bool watched = arena->full == ARENA_WATCHED;
        REQUIRE(full || arena->ever || watched == owner->watches, "S9",
                "an arena is not watched as its owner's others are, block size", front->block_size);
    }
    return count;
}

// S8 for one arena of a front.
static void check_pages(const struct front *front, const struct arena *arena) {
    uintptr_t reached = (uintptr_t)arena->carved * front->block_size;
    for (uintptr_t at = 0; at < reached; at += PG_SIZE) {
        REQUIRE(granary_touched(arena->base + at), "S8", "a carved block's page, block size",
                front->block_size);
    }
}

// S2, S4, S5 and S8 for an owner that does nothing meanwhile.
static void check_owner(const struct heap *heap, const struct owner *owner) {
    for (uint32_t i = 0; i < heap->desc_count; i++) {
        const struct front *front = &owner->front[i];
        uint32_t listed = check_list(owner, front, &front->desc.free_list, false) +
                          check_list(owner, front, &front->waiting, true);
        REQUIRE(listed <= front->desc.arenas, "S5", "more arenas than are open, block size",
                front->block_size);
        bool claimed = front->word && front->claimed;
        REQUIRE(!claimed || !(front->mask & ~*front->word), "S2",
                "a block is claimed and not in the map, block size", front->block_size);
        bool taken = front->word && *front->take != 0 && !front->claimed;
        REQUIRE(!taken || !front->foreign, "S4",
                "a word of a foreign front was not claimed, block size", front->block_size);
        if (front->young) check_map(front->young, front->young->carved, front->block_size);
    }
    for (uint32_t frame = 0; frame < heap->frames; frame++) {
        const struct arena *arena = &heap->arena[frame];
        if (record_sound(arena, owner->seal)) check_pages(front_of(arena->desc), arena);
    }
}

void owners_check(const struct heap *heap) {
    uint32_t small = 0, large = 0;
    for (uint32_t frame = 0; frame < heap->frames;) {
        const struct arena *arena = &heap->arena[frame];
        if (arena_blank(arena)) {
            REQUIRE(arena->back == 0 && arena->base == 0, "A6",
                    "a record that should be blank, frame", frame);
            check_proof(heap, NULL, frame);
            frame++;
            continue;
        }
        uint32_t frames = check_record(heap, arena, frame);
        if (!arena->large) check_map(arena, owners_blocks(heap, arena), frame);
        *(arena->large ? &large : &small) += frames;
        frame += frames;
    }
    REQUIRE(small == heap->small_frames, "A1", "frames in small arenas", small);
    REQUIRE(large == heap->large_frames, "A1", "frames in large areas", large);
    for (const struct owner *owner = heap->owners->idle; owner; owner = owner->next_idle) {
        check_owner(heap, owner);
    }
    const struct owner *me = granary_me;
    if (me && me->heap == heap) check_owner(heap, me);
}

// Blocks of a sound arena that are not live.
static uint32_t blocks_home(const struct heap *heap, const struct arena *arena, uint32_t blocks) {
    uint32_t home = 0;
    for (uint32_t first = 0; first < blocks; first += 32)
        home += popcount(shared_home(heap, arena, first));
    return home;
}

uint32_t owners_home(const struct heap *heap) {
    uint32_t frames = 0;
    for (uint32_t frame = 0; frame < heap->frames; frame++) {
        const struct arena *arena = &heap->arena[frame];
        if (!arena->desc || !arena_sound(heap, arena)) continue;
        uint32_t blocks = owners_blocks(heap, arena);
        bool hand = LOOK(front_of(arena->desc)->arena) == arena;
        if (!hand && blocks_home(heap, arena, blocks) == blocks)
            frames += owners_frames(heap, arena);
    }
    return frames;
}

void owners_desc_state(const struct heap *heap, uint32_t index, struct desc_state *out) {
    *out = (struct desc_state){.block_size = heap->block_descs[index].block_size,
                               .blocks_per_arena = heap->block_descs[index].blocks_per_arena};
    for (uint32_t frame = 0; frame < heap->frames; frame++) {
        const struct arena *arena = &heap->arena[frame];
        if (!arena->desc || !arena_sound(heap, arena)) continue;
        if (arena->desc->block_size != out->block_size) continue;
        uint32_t blocks = owners_blocks(heap, arena), home = blocks_home(heap, arena, blocks);
        out->arenas++;
        out->free_blocks += home;
        out->live_blocks += blocks - home;
    }
}
