// who.c - see who.h.
//
// A sentence is put together from left to right: which byte of what, in which frame, in what state;
// in the checked build then what is known of its history. Everything comes from records beside the
// frames, and a record that is not sound is not believed: the sentence says so.
//
// The records are copied under the heap's locks, so that no sentence is made of two states, and the
// sentence is made of the copy: printing is long, and where the names of threads and places come
// from (a dynamic loader, in libgranary) a thread may be waiting for the heap.
//
// Shortcoming: the fast build does not record what size was asked for, and by which caller.
#include "kernel/inspect/who.h"

#include <stdbool.h>

#include "kernel/inspect/heapwalk.h"
#include "kernel/inspect/history.h"
#include "kernel/memory.h"
#include "kernel/port.h"
#include "lib/print.h"
#include "lib/string.h"

// ---- the history of a block, in the checked build ----------------------------------------------

#ifdef HEAP_CHECKED

// Adds to a sentence; what does not fit is cut.
static void add(char *to, size_t room, const char *text) {
    size_t used = strlen(to);
    ksnprintf(to + used, room - used, "%s", text);
}

// ", 24 bytes from 0x88000020 for thread main at demo_run+0x12, freed by thread b at worker+0x33"
static void add_history(char *to, size_t room, const struct checked_record *record) {
    char text[PORT_TEXT_MAX * 2 + 64], site[PORT_TEXT_MAX], thread[PORT_TEXT_MAX];
    ksnprintf(text, sizeof text, ", %u bytes from %p for %s at %s", (uint32_t)record->size,
              (void *)record->p, port_thread_text(thread, sizeof thread, record->allocator),
              port_caller_text(site, sizeof site, record->allocated));
    add(to, room, text);
    if (!record->freed) return;
    ksnprintf(text, sizeof text, ", freed by %s at %s",
              port_thread_text(thread, sizeof thread, record->freer),
              port_caller_text(site, sizeof site, record->freed));
    add(to, room, text);
}

static bool history_of(uintptr_t address, struct checked_record *record) {
    return checked_facts(address, record);
}

// Before the heap's own lock, as everywhere.
static uint32_t history_lock(void) { return port_checked_lock(); }
static void history_unlock(uint32_t state) { port_checked_unlock(state); }

#else

// It is not recorded.
static void add_history(char *to, size_t room, const struct checked_record *record) {
    (void)to, (void)room, (void)record;
}

static bool history_of(uintptr_t address, struct checked_record *record) {
    (void)address;
    record->freed = 0;
    return false;
}

static uint32_t history_lock(void) { return 0; }
static void history_unlock(uint32_t state) { (void)state; }

#endif

// What is live to memory.c and yet has been freed waits in the checked build's quarantine.
static const char *live_text(bool known, const struct checked_record *record) {
    return known && record->freed ? "in quarantine" : "live";
}

// ---- which byte of what ------------------------------------------------------------------------

// What there is to say of an address, as it was at one moment.
struct sight {
    const struct heap *heap;
    struct arena arena;   // the record that the address's frame leads to
    uint32_t first;       // the frame it is of
    bool held;            // the frame is handed out
    enum heap_fault free; // where the heap has owners: what a free of the block would be
    bool known;           // there is a history
    struct checked_record history;
};

static uint32_t frame_of(const struct heap *heap, uintptr_t address) {
    return (uint32_t)((address - heap->base) >> PG_SHIFT);
}

// Locked by its caller, for as long as sys_free() may take: no more than is needed.
static void sight_take(struct sight *sight, const struct heap *heap, uintptr_t address) {
    uint32_t frame = frame_of(heap, address);
    uint32_t first = pool_run_at(&heap->pool, frame);
    const struct arena *arena = record_at(heap, frame);
    if (!arena) arena = &heap->arena[frame];
    if (arena_blank(arena) && first != FRAME_NONE) arena = &heap->arena[first];
    memcpy(&sight->arena, arena, sizeof *arena); // by `=` the compiler's loop is longer
    sight->heap = heap;
    sight->first = (uint32_t)(arena - heap->arena);
    sight->held = first != FRAME_NONE;
    struct heap_block at;
    if (port_owners(heap) && heap_block_in(heap, arena, address, &at) && !arena->large)
        sight->free = owners_block(heap, arena, at.block);
    sight->known = history_of(address, &sight->history);
}

static void who_small(char *to, size_t room, const struct sight *sight, const struct heap_block *at,
                      uintptr_t address) {
    const struct arena *arena = &sight->arena;
    uint32_t block = at->block, into = (uint32_t)(address - at->start);
    char offset[24] = "";
    if (into != 0) ksnprintf(offset, sizeof offset, "byte %u of ", into);
    bool never = block >= arena->carved, free = !never && arena->map[block / 32] >> block % 32 & 1;
    if (port_owners(sight->heap)) {
        never = sight->free == HEAP_NOT_ALLOCATED;
        free = sight->free == HEAP_DOUBLE_FREE;
    }
    const char *state = never  ? "never handed out"
                        : free ? "free"
                               : live_text(sight->known, &sight->history);
    ksnprintf(to, room, "%sblock %u of the %u-byte arena %p, %s frame %u, %s", offset, block,
              arena->desc->block_size, (void *)arena->base, sight->heap->pool.name, sight->first,
              state);
}

static void who_large(char *to, size_t room, const struct sight *sight, uintptr_t address) {
    uintptr_t start = sight->arena.base;
    uint32_t frame = frame_of(sight->heap, address);
    ksnprintf(to, room, "byte %u of the large area %p of %u frames, %s frame %u, %s",
              (uint32_t)(address - start), (void *)start, sight->arena.cnt, sight->heap->pool.name,
              frame, live_text(sight->known, &sight->history));
}

// A frame in which no sound record has a block.
static void who_frame(char *to, size_t room, const struct sight *sight, uintptr_t address) {
    uint32_t frame = frame_of(sight->heap, address);
    const char *pool = sight->heap->pool.name;
    bool blank = arena_blank(&sight->arena);
    if (!blank && !arena_sound(sight->heap, &sight->arena)) {
        ksnprintf(to, room, "an arena whose record was overwritten, %s frame %u", pool, frame);
    } else if (!blank && !sight->arena.large) {
        ksnprintf(to, room, "after the last block of the %u-byte arena, %s frame %u",
                  sight->arena.desc->block_size, pool, sight->first);
    } else {
        ksnprintf(to, room, "%s frame %u, %s", pool, frame,
                  sight->held ? "held outside the heap" : "not handed out");
    }
}

char *heap_user_frame_who(char *to, size_t room, uint32_t frame) {
    const struct pool *pool = mem_pool[POOL_USER];
    port_state state = port_lock(&k_heap);
    uint32_t first = pool_run_at(pool, frame);
    uint32_t length = first != FRAME_NONE ? FRAME_RUN(pool->frame[first].run) : 0;
    port_unlock(&k_heap, state);
    if (length > 0) {
        ksnprintf(to, room, "%s frame %u, of the run of %u from frame %u", pool->name, frame,
                  length, first);
    } else {
        ksnprintf(to, room, "%s frame %u, not handed out", pool->name, frame);
    }
    return to;
}

char *heap_who_in(char *to, size_t room, const struct heap *heap, uintptr_t address) {
    struct sight sight;
    uint32_t outer = history_lock();
    struct port_look look = port_lock_at(heap, address);
    sight_take(&sight, heap, address);
    port_unlock_at(heap, look);
    if (!arena_blank(&sight.arena) && !arena_sound(heap, &sight.arena)) {
        // Overwritten, or another processor was just opening it: with that one still, it is told.
        port_state state = port_freeze(heap);
        sight_take(&sight, heap, address);
        port_thaw(heap, state);
    }
    history_unlock(outer);
    struct heap_block at;
    bool block = heap_block_in(heap, &sight.arena, address, &at);
    if (!block) who_frame(to, room, &sight, address);
    else if (sight.arena.large) who_large(to, room, &sight, address);
    else who_small(to, room, &sight, &at, address);
    bool once = block && (sight.arena.large || at.block < sight.arena.carved);
    if (once && sight.known) add_history(to, room, &sight.history);
    return to;
}

char *heap_who(char *to, size_t room, uintptr_t address) {
    const struct heap *heap = heap_of(address);
    if (heap) return heap_who_in(to, room, heap, address);
    ksnprintf(to, room, "no frame of kernel_pool");
    return to;
}
