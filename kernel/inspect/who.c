// who.c - see who.h.
//
// A sentence is put together from left to right: which byte of what, in which frame, in what state;
// in the checked build then what is known of its history. Everything comes from records beside the
// frames, and a record that is not sound is not believed: the sentence says so.
//
// The records are read under the heap's locks, so that no sentence is made of two states. The names
// of threads and places are added after that: where they come from (a dynamic loader, in
// libgranary) a thread may be waiting for the heap.
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
//
// True: *record is the history that belongs after the sentence.

static bool who_small(char *to, size_t room, const struct heap_block *at, uintptr_t address,
                      struct checked_record *record) {
    const struct arena *arena = at->arena;
    const struct memory_block_desc *desc = arena->desc;
    uint32_t frame = (uint32_t)(arena - heap.arena), into = (uint32_t)(address - at->start);
    char offset[24] = "";
    bool known = history_of(address, record);
    if (into != 0) ksnprintf(offset, sizeof offset, "byte %u of ", into);
    bool free = at->block < arena->carved && (arena->map[at->block / 32] >> at->block % 32 & 1);
    const char *state = at->block >= arena->carved ? "never handed out"
                        : free                     ? "free"
                                                   : live_text(known, record);
    ksnprintf(to, room, "%sblock %u of the %u-byte arena %p, kernel_pool frame %u, %s", offset,
              at->block, desc->block_size, (void *)arena->base, frame, state);
    return known && at->block < arena->carved;
}

static bool who_large(char *to, size_t room, const struct heap_block *at, uintptr_t address,
                      struct checked_record *record) {
    bool known = history_of(address, record);
    uint32_t frame = (uint32_t)((address - PORT_HEAP_BASE) >> PG_SHIFT);
    ksnprintf(to, room, "byte %u of the large area %p of %u frames, kernel_pool frame %u, %s",
              (uint32_t)(address - at->start), (void *)at->start, at->arena->cnt, frame,
              live_text(known, record));
    return known;
}

// A frame in which no sound record has a block.
static bool who_frame(char *to, size_t room, uint32_t frame) {
    const struct arena *arena = &heap.arena[frame];
    if (arena->back / sizeof *arena <= frame) arena -= arena->back / sizeof *arena;
    bool blank = arena_blank(arena);
    bool held = pool_run_at(&mem_pool[POOL_KERNEL], frame) != FRAME_NONE;
    if (!blank && !arena_sealed(arena)) {
        ksnprintf(to, room, "an arena whose record was overwritten, kernel_pool frame %u", frame);
    } else if (!blank && !arena->large) {
        ksnprintf(to, room, "after the last block of the %u-byte arena, kernel_pool frame %u",
                  arena->desc->block_size, (uint32_t)(arena - heap.arena));
    } else {
        ksnprintf(to, room, "kernel_pool frame %u, %s", frame,
                  held ? "held outside the heap" : "not handed out");
    }
    return false;
}

static bool who_locked(char *to, size_t room, uintptr_t address, struct checked_record *record) {
    struct heap_block at;
    uint32_t frame = (uint32_t)((address - PORT_HEAP_BASE) >> PG_SHIFT);
    if (!heap_block_at(address, &at)) return who_frame(to, room, frame);
    return at.arena->large ? who_large(to, room, &at, address, record)
                           : who_small(to, room, &at, address, record);
}

char *heap_user_frame_who(char *to, size_t room, uint32_t frame) {
    const struct pool *pool = &mem_pool[POOL_USER];
    port_state state = port_lock();
    uint32_t first = pool_run_at(pool, frame);
    uint32_t length = first != FRAME_NONE ? FRAME_RUN(pool->frame[first].run) : 0;
    port_unlock(state);
    if (length > 0) {
        ksnprintf(to, room, "%s frame %u, of the run of %u from frame %u", pool->name, frame,
                  length, first);
    } else {
        ksnprintf(to, room, "%s frame %u, not handed out", pool->name, frame);
    }
    return to;
}

char *heap_who(char *to, size_t room, uintptr_t address) {
    struct checked_record record;
    if (address - PORT_HEAP_BASE >= (uintptr_t)PORT_HEAP_FRAMES << PG_SHIFT) {
        ksnprintf(to, room, "no frame of kernel_pool");
        return to;
    }
    uint32_t outer = history_lock();
    port_state state = port_lock();
    bool known = who_locked(to, room, address, &record);
    port_unlock(state);
    history_unlock(outer);
    if (known) add_history(to, room, &record);
    return to;
}
