// memory.c - arenas, sys_malloc and sys_free.
//
// Three layers, each standing on the one before. The first has files of its own, pool.h and pool.c;
// a learner who steps through one sys_malloc of a block stays in this file from the first line to
// the last.
//
//   I    Frame pools   hand out runs of 4 KiB frames, and join them again when they come back.
//   II   Arenas        a storehouse of blocks of one size: a run of frames cut into equal blocks,
//                      and a record beside the pool that says which are free. Or one large area.
//   III  sys_ calls    the one entrance for every size: blocks up to the largest of the table of
//                      sizes (of the seed's, 1024 bytes), whole frames above.
//
// A heap is a struct heap, and there may be any number: each has its own pool, records, descriptors
// and table of sizes, and shares nothing with another but `bin_floor`, which never changes. k_heap
// is the kernel's; sys_malloc(size) is heap_malloc() of k_heap with k_heap's addresses known to
// the compiler, so that the choice costs no instruction.
//
// Theory. Nothing the heap relies on lies in memory it hands out: no header before a block, no link
// inside a free one. A bitmap in the arena's record holds what is free, so that
//   - a wrong pointer is refused exactly: the record knows each block's state, whatever the block's
//     bytes say;
//   - an overflow may spoil a neighbour's data, never the heap;
//   - a frame of 256-byte blocks holds 16 of them, not 15 and a header.
// The cost is 64 bytes of record for each 4096-byte frame (1.6 %), and a find-first-set where other
// heaps pop a list.
//
// From pointer to block, without a division: the distance `off` of a pointer from its arena's start
// is a multiple q * size only if off * inverse(odd part), rotated right by size's power of two, is
// that q; for any other `off` the result is larger than every block number (T. Granlund, P.
// Montgomery, "Division by Invariant Integers using Multiplication", 1994, section 9). One
// multiplication thus finds the block's number and proves that the pointer is at a block's start.
//
// Invariants (kernel/inspect/heapcheck.c walks them by these numbers; F1 to F5 are the pools', at
// the head of pool.h):
//   A1  An arena's or large area's frames are one run handed out, whose first frame's record it is.
//   A2  arena_sum(arena) is its descriptor's seal, or LARGE_SEAL for a large area.
//   A3  cnt is the number of set bits in map and of blocks not carved; no bit at or above carved is
//       set; carved is at most blocks_per_arena; map_words has bit w set wherever map[w] != 0.
//   A4  A small arena is in its descriptor's free_list exactly if cnt != 0.
//   A5  At most one arena of a descriptor is empty, and that one is desc->reserve.
//   A6  All records but those of arenas' and large areas' first frames are zero, apart from `elem`,
//       which is never read, and `back`, which leads from the further frames of a small arena to
//       its first. (And `proof`, where there is one: S7 in tools/libgranary/owners.c.)
//
// Who protects what: everything here by port_lock(heap), in the kernel interrupts off, and a
// spinlock where there are several processors; but an arena that is one processor's own, and the
// frames that it keeps, by that processor's interrupts off alone (kernel/local.c). Every locked
// stretch is a bounded number of steps, of a call that is refused, too; clearing and copying happen
// outside. No decision outlives its lock: what acts on a record has judged it under the same lock.
//
// Shortcomings:
//   - A large area needs frames in a row: with every second frame taken, nothing above 4096 bytes
//     can be had.
//   - Lowest block first means that a freed block is soon used again: a use after free is more
//     likely to do harm (the checked build is the answer to that, not the order).
#include "kernel/memory.h"

#include "kernel/hints.h"
#include "kernel/pool.h"
#include "kernel/port.h"
#include "kernel/size_tables.h"
#include "lib/print.h"
#include "lib/string.h"

struct heap k_heap;

// The seed's seven sizes.
static const uint32_t seed_sizes[DESC_CNT] = {SIZES_SEED};

_Static_assert(BIT_WORDS == ARENA_WORDS, "arena.map is an array of bits");
_Static_assert(ARENA_WORDS % 2 == 0, "arena_unmake() clears the map in pairs");

// ================================================================================================
// II  Arenas and block descriptors
// ================================================================================================

// The record of an arena's or large area's first frame.
static inline struct frame *arena_frame(const struct heap *heap, const struct arena *arena) {
    return heap->pool.frame + (arena - heap->arena);
}

// Makes an arena for `desc` of frames taken for it: nothing carved yet, front of the free list.
HEAP_QUICK INLINE_ALWAYS void arena_make(struct memory_block_desc *desc,
                                         const struct frame *first) {
    const struct heap *heap = desc->heap;
    uint32_t frame = (uint32_t)(first - heap->pool.frame);
    struct arena *arena = &heap->arena[frame];
    arena->desc = desc;
    arena->head = desc->blocks_per_arena;
    arena->base = frame_base(heap, frame);
    // arena_sum() by hand: carving and seal of a blank record are 0. Three instructions less.
    arena->seal =
        desc->seal - (uint32_t)(uintptr_t)desc - (uint32_t)arena->base - desc->blocks_per_arena;
    for (uint32_t i = 1; i < desc->frames_per_arena; i++) {
        arena[i].back = (uint16_t)(i * sizeof *arena);
    }
    list_push(&desc->free_list, &arena->elem);
    desc->arenas++;
}

// Opens an arena for `desc`. False if there are no frames.
static INLINE_ALWAYS bool arena_open(struct memory_block_desc *desc) {
    struct frame *first = run_take(&desc->heap->pool, desc->frames_per_arena);
    if (!first) return false;
    arena_make(desc, first);
    desc->heap->small_frames += desc->frames_per_arena;
    return true;
}

// Makes blank records of an arena whose blocks are all free; returns its first frame.
HEAP_QUICK INLINE_ALWAYS struct frame *arena_unmake(struct arena *arena) {
    struct memory_block_desc *desc = arena->desc;
    uint32_t frames = desc->frames_per_arena, carved = arena->carved;
    list_remove(&arena->elem);
    for (uint32_t i = 1; i < frames; i++) arena[i].back = 0;
    // Two at a time: four instructions less for each pair, interrupts off.
    for (uint32_t i = 0; i * 32 < carved; i += 2) arena->map[i] = arena->map[i + 1] = 0;
    arena->desc = NULL;
    arena->head = arena->carving = arena->seal = arena->map_words = 0;
    arena->base = 0;
    desc->arenas--;
    return arena_frame(desc->heap, arena);
}

HEAP_QUICK void arena_close(struct arena *arena) {
    struct heap *heap = arena->desc->heap;
    uint32_t frames = arena->desc->frames_per_arena;
    struct frame *first = arena_unmake(arena);
    heap->small_frames -= frames;
    run_give(&heap->pool, first, frames);
}

// The arena that serves; desc->end, which is full, where none has room.
static inline struct arena *arena_first(const struct memory_block_desc *desc) {
    return list_entry(list_front(&desc->free_list), struct arena, elem);
}

// Takes a block of the arena that serves: the lowest of those that came back, or else carves the
// next. False if no arena has room.
static inline bool arena_take(struct memory_block_desc *desc, void **p) {
    struct arena *arena = arena_first(desc);
    uint32_t word, block;
again:
    if (LIKELY(lowest_bit(&arena->map_words, &word))) {
        if (UNLIKELY(!lowest_bit(&arena->map[word], &block))) { // its blocks have all been taken
            arena->map_words &= arena->map_words - 1;
            KEEP(arena);
            goto again;
        }
        block += word * 32;
        bit_clear(arena->map, block);
        arena->seal++;
    } else {
        if (UNLIKELY(arena->head == 0)) return false; // desc->end
        block = arena->carving++;                     // with head--: the seal's sum stays
    }
    *p = (void *)(arena->base + block * arena->desc->block_size);
    if (UNLIKELY(decrement_is_zero(&arena->head))) list_remove_front(&arena->desc->free_list);
    return true;
}

// An arena's last block came home. One empty arena of each descriptor stays open, at the back of
// the list, so that a pair at an arena's edge does not open and close it each time; a second one's
// frames go back.
static void arena_emptied(struct arena *arena) {
    struct memory_block_desc *desc = arena->desc;
    struct arena *reserve = desc->reserve;
    if (reserve && reserve != arena && reserve->cnt == desc->blocks_per_arena) {
        port_close(arena);
        return;
    }
    desc->reserve = arena;
    if (arena->elem.next == &desc->free_list.head) return;
    list_remove(&arena->elem);
    list_append(&desc->free_list, &arena->elem);
}

// An arena that was full has room again, or its last block came home.
static void arena_at_edge(struct arena *arena) {
    struct memory_block_desc *desc = arena->desc;
    if (arena->head == 1) list_push(&desc->free_list, &arena->elem);
    if (arena->head == desc->blocks_per_arena) arena_emptied(arena);
}

// Puts a block back into its arena: false, and nothing changed, if it is there already.
static inline bool arena_put(struct arena *arena, uint32_t block) {
    if (UNLIKELY(bit_set(arena->map, block))) return false;
    bit_set(&arena->map_words, block / 32);
    uint32_t before = arena->head;
    FORGET_REGISTERS();
    arena->head++;
    arena->seal--;
    // One comparison for both ends: before - 1 is huge for a full arena, and for one whose last
    // block this is, blocks_per_arena - 2.
    if (UNLIKELY(before - 1 >= arena->desc->inner_max)) arena_at_edge(arena);
    return true;
}

// A large area of `count` frames handed out; returns its address.
static inline void *large_make(struct heap *heap, const struct frame *first, uint32_t count) {
    uint32_t frame = (uint32_t)(first - heap->pool.frame);
    struct arena *arena = &heap->arena[frame];
    arena->head = ARENA_LARGE | count;
    arena->base = frame_base(heap, frame);
    arena->seal = LARGE_SEAL - arena->head - (uint32_t)arena->base; // desc and carving are 0
    heap->large_frames += count;
    return (void *)arena->base;
}

// True if a record is that of a sound large area that starts at p.
static INLINE_ALWAYS bool large_at(const struct arena *arena, uintptr_t p) {
    if (UNLIKELY(!arena->large || arena->base != p || arena->desc)) return false;
    return LIKELY(arena_sum(arena) == LARGE_SEAL);
}

// Frees the large area that starts at p. False, and nothing changed, if none does.
static INLINE_ALWAYS bool large_give(struct heap *heap, struct arena *arena, uintptr_t p) {
    if (!large_at(arena, p)) return false;
    uint32_t count = arena->cnt;
    arena->head = arena->seal = 0;
    arena->base = 0;
    heap->large_frames -= count;
    struct frame *first = arena_frame(heap, arena);
    if (UNLIKELY(count >= ANCHOR_STEP)) anchor_clear(&heap->pool, first);
    run_give(&heap->pool, first, count);
    return true;
}

// ================================================================================================
// III  sys_malloc, sys_free and their kin
// ================================================================================================
//
// Which function calls which, down to the arenas and the pool:
//
//   sys_malloc > take_fast > arena_take                 a block of the arena that serves
//                          > k_large_take > large_take  a large area: run_take(), large_make()
//              > take_slow > small_take > arena_open    no arena has room: run_take(), arena_take()
//                          > large_take_slow            a large area, called with interrupts off
//   sys_free   > give_fast > small_give > arena_put     a block; arena_at_edge(): first, last one
//                          > k_large_give > large_give  a large area: run_give()
//              > give_slow > look_begin > classify      called with interrupts off; a wrong pointer
//                          > look_end > port_report     the latter: nothing has been changed

// Whole frames for `size` bytes, size > 0. Not by rounding up a sum, which wraps near the largest
// size.
static inline size_t frames_of(size_t size) { return ((size - 1) >> PG_SHIFT) + 1; }

// A large area that has an anchor, or NULL.
static void *large_take_long(struct heap *heap, size_t count) {
    struct pool *pool = &heap->pool;
    if (count > pool->frames) return NULL; // so for size 0, too
    struct frame *first = run_take(pool, (uint32_t)count);
    if (!first) return NULL;
    anchor_set(pool, first);
    return large_make(heap, first, (uint32_t)count);
}

// A large area of frames, or NULL. Locked by its caller.
static INLINE_ALWAYS void *large_take(struct heap *heap, size_t size) {
    size_t count = frames_of(size);
    if (UNLIKELY(count >= ANCHOR_STEP)) return large_take_long(heap, count);
    struct frame *first = run_take(&heap->pool, (uint32_t)count);
    return LIKELY(first) ? large_make(heap, first, (uint32_t)count) : NULL;
}

static INLINE_ALWAYS void *large_take_fast(struct heap *heap, size_t size) {
    if (UNLIKELY(!port_enter(heap))) return NULL;
    void *p = large_take(heap, size);
    port_leave(heap);
    return p;
}

// Of the kernel's heap the compiler knows where each field lies. These two tell it so, which saves
// a pair of large areas 13 instructions; sys_malloc() and sys_free() call them.
static SLOW_PATH void *k_large_take(size_t size) { return large_take_fast(&k_heap, size); }
static SLOW_PATH bool k_large_give(struct arena *arena, uintptr_t p) {
    return large_give(&k_heap, arena, p);
}

// Whatever the interrupts are.
static SLOW_PATH void *large_take_slow(struct heap *heap, size_t size) {
    port_state state = port_lock(heap);
    void *p = large_take(heap, size);
    port_unlock(heap, state);
    return p;
}

// A block of an arena that must perhaps be opened first, or NULL. Locked by its caller.
static SLOW_PATH void *small_take_locked(struct memory_block_desc *desc) {
    void *p = NULL;
    bool room = arena_first(desc)->head != 0;
    if (!room) room = port_bring(&desc) || arena_open(desc) || port_gather(&desc);
    if (room) arena_take(desc, &p);
    return p;
}

// The same with one processor. Takes the lock.
static SLOW_PATH void *small_take(struct memory_block_desc *desc) {
    struct heap *heap = desc->heap;
    port_state state = port_lock_alone(heap);
    void *p = small_take_locked(desc);
    port_unlock_alone(heap, state);
    return LIKELY(p) ? p : large_take_slow(heap, desc->block_size); // fewer frames than an arena's
}

// ---- with several processors, or a handler running: a reader with one may go on at take_slow() --

// A block of an arena that needs no lock to be opened, or NULL.
static void *small_take_own(const struct heap *heap, size_t slot) {
    void *p = NULL;
    port_state state = port_lock_alone(heap);
    struct memory_block_desc *desc = PORT_DESC_OF(heap)[slot];
    if (port_open(desc)) arena_take(desc, &p);
    port_unlock_alone(heap, state);
    return p;
}

// With a handler running, or several processors.
static SLOW_PATH void *take_special(struct heap *heap, size_t size, uintptr_t caller) {
    if (port_in_interrupt()) {
        port_report(heap, HEAP_FROM_INTERRUPT, 0, caller);
        return NULL;
    }
    if (size == 0) return NULL;
    bool small = size <= heap->block_max;
    size_t slot = (size - 1) / BLOCK_ALIGN;
    void *p = small ? small_take_own(heap, slot) : NULL;
    if (!p && small && port_fill(heap, slot)) p = small_take_own(heap, slot);
    if (p) return p;
    port_state state = port_lock(heap);
    if (small) p = small_take_locked(PORT_DESC_OF(heap)[slot]);
    if (!p) p = large_take(heap, size); // fewer frames than an arena's
    port_unlock(heap, state);
    return p;
}

// large_give(), with a lock of its own.
static SLOW_PATH bool large_give_several(struct heap *heap, struct arena *arena, uintptr_t p) {
    if (!arena->large) return false; // a lock less for what is none; large_give() looks again
    port_state state = port_lock(heap);
    bool done = large_give(heap, arena, p);
    port_unlock(heap, state);
    return done;
}

// -------------------------------------------------------------------------------------------------

// What take_fast() has refused: no arena has room, the caller has interrupts off, size is 0, a
// handler runs, there is no memory.
static SLOW_PATH void *take_slow(struct heap *heap, size_t size, uintptr_t caller) {
    if (UNLIKELY(port_special())) return take_special(heap, size, caller);
    size_t slot = (size - 1) / BLOCK_ALIGN;
    // Not PORT_DESC_OF(): with one processor that is the same.
    if (size - 1 < heap->block_max) return small_take(heap->desc_of[slot]);
    return size != 0 ? large_take_slow(heap, size) : NULL;
}

// From the size to the descriptor, from there to the arena that serves, from its bitmap to the
// block. False, with nothing changed, for all that needs more.
static inline bool take_fast(struct heap *heap, size_t size, void **p) {
    if (UNLIKELY(size - 1 >= heap->fast_max)) {
        if (UNLIKELY(port_several())) return false;
        *p = heap == &k_heap ? k_large_take(size) : large_take_fast(heap, size);
        return *p != NULL;
    }
    if (UNLIKELY(!port_enter(heap))) return false;
    bool taken = arena_take(PORT_DESC_OF(heap)[(size - 1) / BLOCK_ALIGN], p);
    port_leave(heap);
    return taken;
}

// A block or large area for `size`, or NULL. Functions that end in `_body` are inlined twice: into
// heap_...() for any heap, and into sys_...(), where the compiler knows k_heap's address: without
// it each step asks which heap this is. (sys_malloc() and sys_free() are written out, as they want
// fewer registers still.)
static INLINE_ALWAYS void *malloc_body(struct heap *heap, size_t size, uintptr_t caller) {
    void *p;
    if (port_owners(heap)) return owners_malloc(heap, size);
    return take_fast(heap, size, &p) ? p : take_slow(heap, size, caller);
}

void *heap_malloc(struct heap *heap, size_t size, uintptr_t caller) {
    return malloc_body(heap, size, caller);
}

void *sys_malloc(size_t size) {
    void *p;
    if (LIKELY(take_fast(&k_heap, size, &p))) return p;
    FORGET_REGISTER_OF(size);
    return take_slow(&k_heap, size, CALLER);
}

// What is wrong with a pointer into a frame whose record starts nothing: a large area begins
// further down, or the frame is not the heap's.
static enum heap_fault classify_frame(const struct heap *heap, uint32_t frame) {
    uint32_t first = pool_run_at(&heap->pool, frame);
    bool area = first != FRAME_NONE && heap->arena[first].large;
    return area ? HEAP_INTERIOR_POINTER : HEAP_NOT_ALLOCATED;
}

static enum heap_fault classify_block(const struct arena *arena, uintptr_t p, uint32_t *block) {
    *block = block_index(arena->desc, (uint32_t)(p - arena->base));
    if (*block >= arena->desc->blocks_per_arena) return HEAP_INTERIOR_POINTER;
    if (*block >= arena->carved) return HEAP_NOT_ALLOCATED;
    return arena->map[*block / 32] >> *block % 32 & 1 ? HEAP_DOUBLE_FREE : HEAP_OK;
}

bool arena_sound(const struct heap *heap, const struct arena *arena) {
    if (port_owners(heap) && !arena->large) return owners_sound(heap, arena);
    return arena_sealed(arena);
}

static inline enum heap_fault classify(const struct heap *heap, uintptr_t p, struct arena **arena,
                                       uint32_t *block) {
    if (port_owners(heap)) return owners_classify(heap, p, arena, block);
    *arena = NULL;
    *block = 0;
    uintptr_t off = p - heap->base;
    if (off >= (uintptr_t)heap->frames << PG_SHIFT) return HEAP_OUTSIDE;
    uint32_t frame = (uint32_t)(off >> PG_SHIFT);
    struct arena *at = record_at(heap, frame);
    if (!at) return HEAP_CORRUPT_ARENA;
    if (arena_blank(at)) return classify_frame(heap, frame);
    *arena = at;
    if (!arena_sealed(at)) return HEAP_CORRUPT_ARENA;
    if (!at->large) return classify_block(at, p, block);
    return p == at->base ? HEAP_OK : HEAP_INTERIOR_POINTER;
}

enum heap_fault heap_classify(const struct heap *heap, uintptr_t p, struct arena **arena,
                              uint32_t *block) {
    return classify(heap, p, arena, block);
}

const char *heap_fault_text(enum heap_fault fault) {
    static const char *const text[] = {
        [HEAP_OK] = "no fault",
        [HEAP_DOUBLE_FREE] = "double free",
        [HEAP_NOT_ALLOCATED] = "not allocated",
        [HEAP_INTERIOR_POINTER] = "interior pointer",
        [HEAP_OUTSIDE] = "outside the heap",
        [HEAP_CORRUPT_ARENA] = "corrupt arena",
        [HEAP_OVERFLOW] = "overflow",
        [HEAP_USE_AFTER_FREE] = "use after free",
        [HEAP_FROM_INTERRUPT] = "from interrupt",
    };
    return text[fault];
}

// What a pointer is, and the lock under which it is that.
struct look {
    enum heap_fault fault;
    struct arena *arena;
    uint32_t block;
    port_state state;
};

// Locked from here to look_end(), but for a handler. True if p is a block or large area: its caller
// acts on it before look_end(), as it may be something else behind that.
static inline bool look_begin(struct heap *heap, struct look *look, uintptr_t p) {
    bool none = false;
    look->fault = HEAP_FROM_INTERRUPT;
    if (UNLIKELY(port_special())) {
        if (port_in_interrupt()) return false;
        look->state = port_lock_for(heap, p, &none);
    } else {
        look->state = port_lock_alone(heap);
    }
    if (UNLIKELY(none)) {
        look->fault = classify_frame(heap, (uint32_t)((p - heap->base) >> PG_SHIFT));
        return false;
    }
    look->fault = classify(heap, p, &look->arena, &look->block);
    return look->fault == HEAP_OK && look->arena; // never without: the analyzer cannot know
}

// Reports what was wrong with p; true if nothing was.
static inline bool look_end(struct heap *heap, const struct look *look, uintptr_t p,
                            uintptr_t caller) {
    if (look->fault != HEAP_FROM_INTERRUPT) port_unlock(heap, look->state);
    if (look->fault != HEAP_OK) port_report(heap, look->fault, p, caller);
    return look->fault == HEAP_OK;
}

// What give_fast() has refused: the caller has interrupts off, the arena is another processor's, or
// the pointer is wrong.
static SLOW_PATH bool give_slow(struct heap *heap, uintptr_t p, uintptr_t caller) {
    struct look look;
    if (look_begin(heap, &look, p)) {
        if (look.arena->large) large_give(heap, look.arena, p);
        else arena_put(look.arena, look.block);
    }
    return look_end(heap, &look, p, caller);
}

// Frees the block at p of a small arena that is sound. False, with nothing changed, if it is none,
// or none that is live.
static inline bool small_give(struct arena *arena, uintptr_t p) {
    FORGET_REGISTERS();
    uint32_t block = block_index(arena->desc, (uint32_t)(p - arena->base));
    return LIKELY(block < arena->carving) && arena_put(arena, block);
}

// The fast path: one range check, one sum for the record (a large area's differs), one
// multiplication for the block, one bit. False, with nothing changed, for all that fails one of
// them.
static inline bool give_fast(struct heap *heap, uintptr_t p) {
    uintptr_t frame = (p - PORT_BASE(heap)) >> PG_SHIFT;
    if (UNLIKELY(frame >= PORT_FAST_FRAMES(heap) || !port_enter(heap))) return false;
    struct arena *arena = record_guess(heap, frame);
    bool done;
    if (LIKELY(arena_sum(arena) == PORT_SEAL(heap))) {
        done = small_give(arena, p);
    } else if (UNLIKELY(port_several())) {
        port_leave(heap);
        return large_give_several(heap, arena, p);
    } else {
        done = heap == &k_heap ? k_large_give(arena, p) : large_give(heap, arena, p);
    }
    port_leave(heap);
    return done;
}

// False, after a report, if p is wrong.
static INLINE_ALWAYS bool free_body(struct heap *heap, void *p, uintptr_t caller) {
    if (port_owners(heap)) return !p || owners_free(heap, (uintptr_t)p, caller);
    return !p || give_fast(heap, (uintptr_t)p) || give_slow(heap, (uintptr_t)p, caller);
}

bool heap_free(struct heap *heap, void *p, uintptr_t caller) { return free_body(heap, p, caller); }

void sys_free(void *p) {
    if (LIKELY(give_fast(&k_heap, (uintptr_t)p))) return;
    FORGET_REGISTER_OF(p);
    if (p) give_slow(&k_heap, (uintptr_t)p, CALLER);
}

// Bytes of the live block at p, proved as in give_fast(). 0 is no answer: the slow way decides.
static inline size_t room_fast(const struct heap *heap, uintptr_t p) {
    if (port_owners(heap)) return owners_room(heap, p);
    uintptr_t frame = (p - PORT_BASE(heap)) >> PG_SHIFT;
    if (UNLIKELY(frame >= PORT_FAST_FRAMES(heap) || !port_enter(heap))) return 0;
    size_t room = 0;
    const struct arena *arena = record_guess(heap, frame);
    if (LIKELY(arena_sum(arena) == PORT_SEAL(heap))) {
        uint32_t block = block_index(arena->desc, (uint32_t)(p - arena->base));
        bool live = block < arena->carving && !(arena->map[block / 32] >> block % 32 & 1);
        if (live) room = arena->desc->block_size;
    }
    port_leave(heap);
    return room;
}

HEAP_QUICK void *heap_take_block(struct heap *heap, size_t size) {
    void *p;
    if (UNLIKELY(size - 1 >= heap->block_max)) return NULL;
    return LIKELY(arena_take(heap->desc_of[(size - 1) / BLOCK_ALIGN], &p)) ? p : NULL;
}

HEAP_QUICK bool heap_give_block(struct heap *heap, uintptr_t p) {
    uintptr_t frame = (p - heap->base) >> PG_SHIFT;
    if (UNLIKELY(frame >= heap->frames)) return false;
    struct arena *arena = record_guess(heap, frame);
    return LIKELY(arena_sum(arena) == SMALL_SEAL) && small_give(arena, p);
}

static INLINE_ALWAYS void *calloc_body(struct heap *heap, size_t count, size_t size,
                                       uintptr_t caller) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    void *p = malloc_body(heap, bytes, caller);
    if (p) memset(p, 0, bytes);
    return p;
}

void *heap_calloc(struct heap *heap, size_t count, size_t size, uintptr_t caller) {
    return calloc_body(heap, count, size, caller);
}

static size_t arena_room(const struct arena *arena) {
    return arena->large ? (size_t)arena->cnt * PG_SIZE : arena->desc->block_size;
}

// Bytes that the block or area at p holds; 0 with a report if p is wrong.
size_t heap_usable_size(struct heap *heap, void *p, uintptr_t caller) {
    struct look look;
    if (!p) return 0;
    size_t room = room_fast(heap, (uintptr_t)p);
    if (LIKELY(room != 0)) return room;
    if (look_begin(heap, &look, (uintptr_t)p)) room = arena_room(look.arena);
    look_end(heap, &look, (uintptr_t)p, caller);
    return room;
}

// Whether a block of `room` bytes is what sys_malloc(size) would give.
static bool room_fits(const struct heap *heap, size_t room, size_t size) {
    return size <= heap->block_max && heap->desc_of[(size - 1) / BLOCK_ALIGN]->block_size == room;
}

// Makes a large area hold `size` bytes where it is; false if it cannot, or should be a block.
// Locked by its caller.
static bool large_resize_locked(struct heap *heap, struct arena *arena, size_t size) {
    size_t count = frames_of(size);
    if (size <= heap->block_max || count > heap->pool.frames) return false;
    uint32_t from = arena->cnt, to = (uint32_t)count;
    if (!run_resize(&heap->pool, arena_frame(heap, arena), from, to)) return false;
    arena->cnt = to;
    arena->seal -= to - from;
    heap->large_frames += to - from;
    return true;
}

// The same of the area that starts at p, and *room: bytes it holds, 0 if there is none.
static bool large_resize(struct heap *heap, uintptr_t p, size_t size, size_t *room) {
    uintptr_t frame = (p - heap->base) >> PG_SHIFT;
    bool done = false;
    *room = 0;
    if (frame >= PORT_FRAMES(heap) || port_in_interrupt()) return false;
    struct arena *arena = &heap->arena[frame];
    if (!arena->large) return false;
    port_state state = port_lock(heap);
    if (large_at(arena, p)) {
        done = large_resize_locked(heap, arena, size);
        *room = arena_room(arena);
    }
    port_unlock(heap, state);
    return done;
}

static SLOW_PATH bool resize_slow(struct heap *heap, uintptr_t p, size_t size, size_t *room,
                                  uintptr_t caller) {
    struct look look;
    bool done = large_resize(heap, p, size, room);
    if (*room != 0) return done;
    if (look_begin(heap, &look, p)) *room = arena_room(look.arena);
    look_end(heap, &look, p, caller);
    return *room != 0 && room_fits(heap, *room, size);
}

// heap_realloc() without a move. True if p now holds `size` bytes as it should. *room: bytes it
// holds, 0 after a report if p is wrong.
static INLINE_ALWAYS bool resize_body(struct heap *heap, uintptr_t p, size_t size, size_t *room,
                                      uintptr_t caller) {
    *room = room_fast(heap, p);
    if (LIKELY(*room != 0)) return room_fits(heap, *room, size);
    return resize_slow(heap, p, size, room, caller);
}

bool heap_extend(struct heap *heap, uintptr_t p, size_t size) {
    size_t room;
    return resize_body(heap, p, size, &room, CALLER);
}

// A pointer that is freed meanwhile is a wrong one from then on: reported, and the new block given
// back. To copy from it does no harm, as the window stays mapped.
static INLINE_ALWAYS void *realloc_body(struct heap *heap, void *p, size_t size, uintptr_t caller) {
    uintptr_t from = (uintptr_t)p;
    size_t room;
    if (!p) return heap_malloc(heap, size, caller);
    if (size == 0) {
        heap_free(heap, p, caller);
        return NULL;
    }
    if (resize_body(heap, from, size, &room, caller)) return p;
    if (room == 0) return NULL;
    void *to = malloc_body(heap, size, caller);
    if (!to) { // one that is too large will do, unless it has been freed meanwhile
        return size <= room && heap_usable_size(heap, p, caller) >= size ? p : NULL;
    }
    memcpy(to, p, size < room ? size : room);
    if (free_body(heap, p, caller)) return to;
    heap_free(heap, to, caller);
    return NULL;
}

void *heap_realloc(struct heap *heap, void *p, size_t size, uintptr_t caller) {
    return realloc_body(heap, p, size, caller);
}

// A large area at a multiple of `alignment` (a power of two above PG_SIZE): takes enough frames
// that one such place is among them, gives back what stands before and behind.
static void *large_take_aligned(struct heap *heap, size_t alignment, size_t size) {
    struct pool *pool = &heap->pool;
    size_t count = frames_of(size), slack = (alignment >> PG_SHIFT) - 1;
    if (slack >= pool->frames || count > pool->frames - slack) return NULL;
    void *p = NULL;
    port_state state = port_lock(heap);
    struct frame *first = run_take(pool, (uint32_t)(count + slack));
    if (first) {
        uintptr_t base = frame_base(heap, (uint32_t)(first - pool->frame));
        uint32_t before = (uint32_t)(-base >> PG_SHIFT & slack);
        struct frame *start = first + before, *after = start + count;
        start->run = FRAME_USED | (uint32_t)count;
        if (before > 0) run_give(pool, first, before);
        if (before < slack) run_give(pool, after, (uint32_t)slack - before);
        if (count >= ANCHOR_STEP) anchor_set(pool, start);
        p = large_make(heap, start, (uint32_t)count);
    }
    port_unlock(heap, state);
    return p;
}

void *heap_aligned_alloc(struct heap *heap, size_t alignment, size_t size, uintptr_t caller) {
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) return NULL;
    if (alignment <= BLOCK_ALIGN || size == 0) return heap_malloc(heap, size, caller);
    // An arena starts at a frame, so every block of a size that is a multiple of the alignment is
    // aligned.
    for (uint32_t i = 0; i < heap->desc_count && alignment <= PG_SIZE; i++) {
        uint32_t block_size = heap->block_descs[i].block_size;
        if (block_size < size || block_size % alignment != 0) continue;
        return heap_malloc(heap, block_size, caller);
    }
    if (port_in_interrupt()) {
        port_report(heap, HEAP_FROM_INTERRUPT, 0, caller);
        return NULL;
    }
    if (alignment > PG_SIZE) return large_take_aligned(heap, alignment, size);
    return large_take_slow(heap, size);
}

uint32_t heap_trim(struct heap *heap) {
    if (port_owners(heap)) return owners_trim(heap);
    uint32_t frames = port_trim(heap);
    for (uint32_t i = 0; i < heap->desc_count; i++) {
        struct memory_block_desc *desc = &heap->block_descs[i];
        port_state state = port_lock(heap);
        struct arena *arena = desc->reserve;
        desc->reserve = NULL;
        if (arena && arena->cnt == desc->blocks_per_arena) {
            frames += desc->frames_per_arena;
            arena_close(arena);
        }
        port_unlock(heap, state);
    }
    return frames;
}

void *sys_calloc(size_t count, size_t size) { return calloc_body(&k_heap, count, size, CALLER); }
void *sys_realloc(void *p, size_t size) { return realloc_body(&k_heap, p, size, CALLER); }
void *sys_aligned_alloc(size_t alignment, size_t size) {
    return heap_aligned_alloc(&k_heap, alignment, size, CALLER);
}
size_t sys_usable_size(void *p) { return heap_usable_size(&k_heap, p, CALLER); }
uint32_t sys_trim(void) { return heap_trim(&k_heap); }

// ================================================================================================
// Set-up and growth
// ================================================================================================

// The multiplicative inverse of an odd number modulo 2^32, by Newton's iteration: each step doubles
// the right bits.
static uint32_t inverse_of(uint32_t odd) {
    uint32_t inverse = odd; // right in three bits: odd * odd == 1 modulo 8
    for (int step = 0; step < 4; step++) inverse *= 2 - odd * inverse;
    return inverse;
}

// Frames for an arena of blocks of `size`: one up to 1024 bytes, as in the seed; above, the fewest
// whose rest behind the last block is at most an eighth. With ARENA_FRAMES_MAX of them it always
// is, being less than a block.
_Static_assert(BLOCK_SIZE_MAX <= ARENA_FRAMES_MAX * PG_SIZE / 8, "frames_for() ends");
static uint32_t frames_for(uint32_t size) {
    uint32_t frames = 1;
    if (size <= 1024) return frames;
    while (frames * PG_SIZE % size > frames * PG_SIZE / 8) frames++;
    return frames;
}

static bool sizes_valid(const uint32_t *sizes, uint32_t count) {
    if (count == 0 || count > DESC_MAX) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (sizes[i] == 0 || sizes[i] % BLOCK_ALIGN != 0 || sizes[i] > BLOCK_SIZE_MAX) return false;
        if (i > 0 && sizes[i] <= sizes[i - 1]) return false;
    }
    return true;
}

void heap_fast_paths(struct heap *heap) {
    bool fast = !port_several() || port_local(heap);
    heap->fast_max = fast ? heap->block_max : 0;
    heap->fast_frames = fast ? heap->frames : 0;
}

void block_desc_add(struct heap *heap, uint32_t size, uint32_t frames) {
    struct memory_block_desc *desc_array = heap->block_descs;
    struct memory_block_desc *desc = &desc_array[heap->desc_count++];
    memset(desc, 0, sizeof *desc);
    desc->heap = heap;
    desc->seal = SMALL_SEAL;
    desc->block_size = size;
    desc->frames_per_arena = frames;
    desc->blocks_per_arena = frames * PG_SIZE / size;
    desc->inner_max = desc->blocks_per_arena - 2;
    desc->shift = (uint32_t)__builtin_ctz(size);
    desc->inverse = inverse_of(size >> desc->shift);
    list_init(&desc->free_list);
    uint32_t slot = heap->block_max / BLOCK_ALIGN;
    while (slot < size / BLOCK_ALIGN) heap->desc_of[slot++] = desc;
    heap->block_max = size;
}

int block_desc_set(struct heap *heap, const uint32_t *sizes, uint32_t count) {
    if (!sizes_valid(sizes, count)) return -1;
    heap->desc_count = heap->block_max = 0;
    for (uint32_t i = 0; i < count; i++) block_desc_add(heap, sizes[i], frames_for(sizes[i]));
    port_sizes(heap);
    heap_fast_paths(heap);
    return 0;
}

void heap_grow(struct heap *heap, uint32_t count) {
    struct frame *first = heap->pool.end;
    heap->pool.end += count;
    heap->pool.usable += count;
    heap->frames += count;
    heap_fast_paths(heap);
    run_give(&heap->pool, first, count);
}

void block_desc_init(struct heap *heap) { block_desc_set(heap, seed_sizes, DESC_CNT); }

void heap_init(struct heap *heap, const char *name, const struct port_pool *from) {
    bin_floors_init();
    memset(heap, 0, sizeof *heap);
    heap->base = from->base;
    heap->arena = from->arena;
    heap->frames = from->frames;
    pool_init(&heap->pool, name, from);
    heap->pool.heap = heap;
    block_desc_init(heap);
}

static void pool_print(const struct pool *pool) {
    kprintf("    %s: %u frames of 4 KiB from %#llx\n", pool->name, pool->usable,
            (unsigned long long)pool->phys);
}

void mem_pool_init(uint32_t mem_bytes_total) {
    struct port_pool from;
    put_str("  mem_pool_init start\n");
    port_pool(POOL_KERNEL, &from);
    heap_init(&k_heap, "kernel_pool", &from);
    pool_print(&k_heap.pool);
    port_pool(POOL_USER, &from);
    pool_init(mem_pool[POOL_USER], "user_pool", &from);
    pool_print(mem_pool[POOL_USER]);
    uint64_t frames = (uint64_t)k_heap.pool.usable + mem_pool[POOL_USER]->usable;
    kprintf("    total %u bytes, of them %u KiB in the pools\n", mem_bytes_total,
            (uint32_t)(frames * (PG_SIZE / 1024)));
    put_str("  mem_pool_init done\n");
}

void memory_init(void) {
    put_str("mem_init start\n");
    uint32_t mem_bytes_total = PORT_TOTAL_MEMORY;
    mem_pool_init(mem_bytes_total);
    put_str("mem_init done\n");
}
