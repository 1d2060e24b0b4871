// port.h - all that memory.c and pool.c need of their surroundings, in one place.
//
// To lift the heap into another kernel, take memory.[ch], pool.[ch], runs.h, heap.h, frames.h,
// hints.h, size_tables.h, lib/page.h, lib/list.[ch], lib/string.[ch], lib/print.h, lib/format.h and
// this header with other bodies: compile with -DGRANARY_PORT='"myport.h"'. The host's tests do just
// that (tests/host/host_port.h).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/heap.h"

// Memory for one pool. The records are zeroed and stay the pool's for good.
struct port_run {
    uint32_t first; // number of the first frame
    uint32_t count; // frames
};
struct port_pool {
    uint64_t phys;        // physical address of frame 0
    uintptr_t base;       // address of frame 0 where the pool is a heap's, a multiple of PG_SIZE
    uint32_t frames;      // frames in the window, holes included; at most ARENA_LARGE - 1
    struct frame *frame;  // `frames` records
    struct arena *arena;  // `frames` records where the pool is a heap's, else NULL
    uint32_t *anchor;     // POOL_ANCHOR_WORDS(frames) words
    struct port_run *run; // the frames that are memory, as runs in rising order
    size_t runs;
};

#ifdef GRANARY_PORT
#include GRANARY_PORT
#else

#include "kernel/ask.h"
#include "kernel/interrupt.h"
#include "kernel/layout.h"
#include "kernel/local.h"
#include "kernel/spinlock.h"

// Of k_heap the compiler knows it, which saves an instruction in each sys_free().
#define PORT_BASE(heap) ((heap) == &k_heap ? HEAP_BASE : (heap)->base)
// The total memory in bytes, where the loader left it.
#define PORT_TOTAL_MEMORY (*(const volatile uint32_t *)P2V(TOTAL_MEM_ADDR))

typedef uint32_t port_state; // EFLAGS as they were

// Keeps everything else off the heap until port_unlock(). Short: never held over a copy or a
// clearing. What the lock of k_heap keeps is the pools, too (frame_alloc()).
static inline port_state port_lock(const struct heap *heap) {
    (void)heap; // one lock for all; with one processor it is interrupts off
    return spin_save(&heap_lock);
}
static inline void port_unlock(const struct heap *heap, port_state state) {
    (void)heap;
    spin_restore(&heap_lock, state);
}

// The same where several processors cannot be, or the lock is held already (port_special()).
static inline port_state port_lock_alone(const struct heap *heap) {
    (void)heap;
    return irq_save();
}
static inline void port_unlock_alone(const struct heap *heap, port_state state) {
    (void)heap;
    irq_restore(state);
}
#define PORT_LOCK_ALONE

// For what looks at more than a record: all other processors stand still, too, and none is in the
// middle of a call. Nothing that is called meanwhile may wait for another processor.
static inline port_state port_freeze(const struct heap *heap) {
    port_state state = port_lock(heap);
    if (processors_many) processors_hold();
    return state;
}
static inline void port_thaw(const struct heap *heap, port_state state) {
    if (processors_many) processors_release();
    port_unlock(heap, state);
}
// The same for what looks at one address: only the processor whose own arena is there.
struct port_look {
    port_state state;
    uint32_t held;
};
static inline struct port_look port_lock_at(const struct heap *heap, uintptr_t address) {
    struct port_look look = {port_lock(heap), PROCESSORS_MAX};
    if (processors_many && heap == &k_heap) look.held = local_hold(address);
    return look;
}
static inline void port_unlock_at(const struct heap *heap, struct port_look look) {
    processor_release(look.held);
    port_unlock(heap, look.state);
}
#define PORT_FREEZE

// The lock of the fast paths, without a state to keep: true if interrupts were on and are off now,
// until port_leave(). Interrupts on also proves that no handler is running, since handlers run
// with interrupts off; false leaves all that to the slow path.
static inline bool port_enter(const struct heap *heap) {
    (void)heap;
    if (!irq_enabled()) return false;
    irq_disable();
    return true;
}
static inline void port_leave(const struct heap *heap) {
    (void)heap;
    irq_enable();
}

static inline bool port_in_interrupt(void) { return interrupt_depth != 0; }

// True if a handler is running or there are several processors: one look for both.
static inline bool port_special(void) { return interrupt_special != 0; }
static inline bool port_several(void) { return processors_many; }
#define PORT_FAST_FRAMES(heap) ((heap)->fast_frames)

// With several processors each has arenas of its own in k_heap: kernel/local.h. With one these two
// are the heap's own, and what follows does nothing.
#define PORT_DESC_OF(heap) ((heap) == &k_heap ? local_desc_of : (heap)->desc_of)
#define PORT_SEAL(heap) ((heap) == &k_heap ? local_seal : SMALL_SEAL)
#define port_local(heap) ((heap) == &k_heap && local_begun)
static inline void port_sizes(const struct heap *heap) {
    if (heap == &k_heap) local_sizes();
}
// *desc has no arena with room: true if another descriptor of that size has, which *desc is then.
// Locked.
#define port_bring(desc) (port_several() && (*(desc))->heap == &k_heap && local_bring(desc))
// True if desc is this processor's own and has an arena with room, opened on kept frames if need
// be. Interrupts off, no lock.
#define port_open(desc) ((desc)->heap == &k_heap && local_open(desc))
// True if the processor keeps frames for an arena of this size now, got from the pool. Takes the
// lock.
#define port_fill(heap, slot) (port_local(heap) && local_fill((heap)->desc_of[slot]))
// As port_bring(), where the pool has no frames either.
#define port_gather(desc) (port_several() && (*(desc))->heap == &k_heap && local_gather(desc))
// Locked for what is at p: its arena is this processor's own, or else only the lock's holder works
// on it. Sets *none, which was false, where there was no arena at p: one that is there by now was
// opened since. Where interrupts were on, they are while another's arena is asked for.
static inline port_state port_lock_for(const struct heap *heap, uintptr_t p, bool *none) {
    port_state state = irq_save();
    if (!port_several()) return state;
    if (heap == &k_heap && (state & EFLAGS_IF)) {
        if (local_own(p)) return state;
        local_ask(p); // may turn interrupts on: from here on, whose it is is a guess
        irq_window();
    }
    state = spin_enter(&heap_lock, state);
    *none = heap == &k_heap && !local_share(p);
    return state;
}
#define port_lock_for port_lock_for
// arena_close() for a caller that may have no lock, and then had interrupts on before it turned
// them off: the last that it does.
#define port_close(arena) (port_several() ? local_close(arena) : arena_close(arena))
// Closes processors' empty arenas and gives back the frames that they keep; frames given back.
static inline uint32_t port_trim(const struct heap *heap) {
    return port_several() && heap == &k_heap ? local_trim() : 0;
}
// The descriptors of a heap: table 0 is heap->block_descs, table n + 1 processor n's. NULL: no such
// table.
static inline const struct memory_block_desc *port_descs(const struct heap *heap, uint32_t table) {
    if (table == 0) return heap->block_descs;
    return heap == &k_heap ? local_descs(table - 1) : NULL;
}
#define PORT_TABLES SEALS
// The pools whose free runs are among a pool's frames, and their tag: for table 0 the pool itself,
// for table n + 1 what processor n keeps of it. NULL: no such pool.
static inline const struct pool *port_kept(const struct pool *pool, uint32_t table, uint32_t *tag) {
    *tag = table == 0 ? FRAME_FREE : FRAME_KEPT(table - 1);
    if (table == 0) return pool;
    return pool == &k_heap.pool ? local_kept(table - 1) : NULL;
}

// `count` frames of a heap's pool from number `first` on are about to become free: a port whose
// frames are pages of something else gives them back there. Called locked. k_heap's frames are its
// own: where the compiler knows the pool, nothing of this is left.
static inline void port_frames_back(struct heap *heap, uint32_t first, uint32_t count) {
    if (heap->backing) heap->backing->back(heap, first, count);
}
#define PORT_TELLS_BACK(pool) ((pool) != &k_heap.pool && (pool)->heap)

static inline bool port_grow(struct heap *heap, uint32_t count) {
    return heap && heap->backing && heap->backing->more(heap, count);
}
#define port_more_frames(pool, count)                             \
    ((pool) == &k_heap.pool ? port_several() && local_need(count) \
                            : port_grow((pool)->heap, (count)))

#endif

// A pool has no free run of `count` frames: a port whose window can grow adds frames at its end,
// one that keeps some gives them back; true if there are more now. Called locked. PORT_FRAMES() is
// the number of frames that have a record, read where it may be growing.
#ifndef port_more_frames
#define port_more_frames(pool, count) false
#endif
// Whether port_frames_back() wants to hear of a pool's frames.
#ifndef PORT_TELLS_BACK
#define PORT_TELLS_BACK(pool) ((pool)->heap)
#endif
// Where frame 0 is; a port that has k_heap at a fixed address may say so.
#ifndef PORT_BASE
#define PORT_BASE(heap) ((heap)->base)
#endif
#ifndef PORT_FRAMES
#define PORT_FRAMES(heap) ((heap)->frames)
#endif

#ifndef PORT_LOCK_ALONE
#define port_lock_alone port_lock
#define port_unlock_alone port_unlock
#define port_special port_in_interrupt
#define port_several() false
#endif
#ifndef PORT_FREEZE
#define port_freeze port_lock
#define port_thaw port_unlock
struct port_look {
    port_state state;
};
#define port_lock_at(heap, address) ((struct port_look){port_lock(heap)})
#define port_unlock_at(heap, look) port_unlock((heap), (look).state)
#endif
// What a fast path compares with.
#ifndef PORT_FAST_FRAMES
#define PORT_FAST_FRAMES PORT_FRAMES
#endif
#ifndef port_lock_for
#define port_lock_for(heap, p, none) port_lock(heap)
#endif
// Arenas of a processor's own: a port need not have any.
#ifndef port_local
#define port_local(heap) false
#define port_open(desc) false
#define port_fill(heap, slot) false
#define port_bring(desc) false
#define port_gather(desc) false
#endif
#ifndef PORT_DESC_OF
#define PORT_DESC_OF(heap) ((heap)->desc_of)
#define PORT_SEAL(heap) SMALL_SEAL
#define port_sizes(heap) ((void)0)
#define port_close arena_close
#define port_trim(heap) 0u
static inline const struct memory_block_desc *port_descs(const struct heap *heap, uint32_t table) {
    return table == 0 ? heap->block_descs : NULL;
}
#define PORT_TABLES 1u
static inline const struct pool *port_kept(const struct pool *pool, uint32_t table, uint32_t *tag) {
    *tag = FRAME_FREE;
    return table == 0 ? pool : NULL;
}
#endif

// A port may have a heap of several owners (libgranary: a thread each), who take and free blocks in
// its own way; then these are asked instead of the arenas' records, and only then.
#ifndef port_owners
#define port_owners(heap) false
#endif
struct desc_state;
void *owners_malloc(struct heap *heap, size_t size);
bool owners_free(struct heap *heap, uintptr_t p, uintptr_t caller); // false after a report
// Bytes of the live block at p, without a lock; 0 is no answer.
size_t owners_room(const struct heap *heap, uintptr_t p);
uint32_t owners_trim(struct heap *heap);
enum heap_fault owners_classify(const struct heap *heap, uintptr_t p, struct arena **arena,
                                uint32_t *block);                      // as heap_classify(), locked
bool owners_sound(const struct heap *heap, const struct arena *arena); // a record or a copy of it
// What a free of a block would be: HEAP_OK, HEAP_DOUBLE_FREE, HEAP_NOT_ALLOCATED.
enum heap_fault owners_block(const struct heap *heap, const struct arena *arena, uint32_t block);
// Frames, and blocks, of a sound arena of an owner's: no two of a size need be of one length.
uint32_t owners_frames(const struct heap *heap, const struct arena *arena);
uint32_t owners_blocks(const struct heap *heap, const struct arena *arena);
void owners_check(const struct heap *heap); // for heap_check()
void owners_desc_state(const struct heap *heap, uint32_t index, struct desc_state *out);

void port_pool(enum pool_id id, struct port_pool *out); // once for each pool, from memory_init()
// A wrong call of this heap: `fault`, the pointer, the caller's address. Called with the heap
// unlocked and unchanged; may not return.
void port_report(const struct heap *heap, enum heap_fault fault, uintptr_t pointer,
                 uintptr_t caller);
