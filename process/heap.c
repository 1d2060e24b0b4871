// heap.c - see heap.h.
//
// Theory. memory.c deals in frames of a window and never looks into one, except to clear or copy a
// block. So its window can be the program's addresses, most of them without a page: memory.c says
// which blocks exist, and this file sees to it that a block that was handed out has its pages, and
// that frames which became free have none. Clearing and copying are done here, where pages are
// known to be there.
//
// Why a block gets its pages here and not when it is touched: a page fault cannot say "no memory",
// malloc() can.
//
// Invariants:
//   U1  All pages of a large area that a program has been given are there, and all pages of a small
//       arena that is open: a block of it needs no look at the pages.
//   U2  A frame of the window that is free has no page, between two calls.
//   U3  The records below `zeroed` are zero or in use; heap.frames <= zeroed <= window.
//   U4  back_count is 0 between two calls.
//
// The window grows at its end, so that a program that allocates little has few records to clear.
//
// Shortcomings: a large area's pages go back at once, and come back cleared, which costs more than
// the area itself; one that cannot grow in place is copied.
#include "process/heap.h"

#include "kernel/memory.h"
#include "kernel/panic.h"
#include "kernel/port.h"
#include "lib/print.h"
#include "lib/string.h"
#include "process/layout.h"

#define NO_CALLER 0u    // a report of a program names the program's own instruction
#define GROW_FRAMES 32u // the window grows by at least so many: 128 KiB

static uintptr_t window_page(uint32_t frame) { return USER_HEAP_BASE + (frame << PG_SHIFT); }

// ---- what memory.c asks, with the heap locked ---------------------------------------------------

// The free frames at the window's end count: the new ones join them.
static bool more(struct heap *heap, uint32_t count) {
    const struct user_heap *user = (const struct user_heap *)heap;
    uint32_t last = heap->frames > 0 ? heap->pool.end[-1].run : 0;
    uint32_t there = last & FRAME_FREE ? FRAME_RUN(last) : 0;
    uint32_t need = count > there ? count - there : 0, left = user->zeroed - heap->frames;
    if (need > left) return false;
    heap_grow(heap, need > GROW_FRAMES || left < GROW_FRAMES ? need : GROW_FRAMES);
    return true;
}

// Frames without a page were never handed out: the window has just grown, or they were cut off an
// aligned area. An arena's pages go at once; a large area's could be any number.
static void back(struct heap *heap, uint32_t first, uint32_t count) {
    struct user_heap *user = (struct user_heap *)heap;
    if (!space_has(user->space, window_page(first))) return;
    if (count > ARENA_FRAMES_MAX) {
        ASSERT(user->back_count == 0);
        user->back_first = first;
        user->back_count = count;
        return;
    }
    for (uint32_t i = 0; i < count; i++) space_drop(user->space, window_page(first + i));
}

static const struct heap_backing backing = {more, back};

// ---- beginning and end --------------------------------------------------------------------------

static void heap_start(struct user_heap *user) {
    struct port_pool from = {.base = USER_HEAP_BASE,
                             .frames = user->window,
                             .frame = user->frame,
                             .arena = user->arena,
                             .anchor = user->anchor};
    heap_init(&user->heap, user->name, &from);
    user->heap.frames = 0; // the window is all to come
    heap_fast_paths(&user->heap);
    user->heap.pool.end = user->heap.pool.frame;
    user->heap.backing = &backing;
}

struct user_heap *user_heap_make(struct space *space, uint32_t window, const char *name) {
    ASSERT(window <= (USER_HEAP_END - USER_HEAP_BASE) >> PG_SHIFT);
    size_t anchors = POOL_ANCHOR_WORDS(window) * sizeof(uint32_t);
    struct user_heap *user = sys_malloc(sizeof *user + anchors);
    if (!user) return NULL;
    memset(user, 0, sizeof *user + anchors);
    user->space = space;
    user->window = window;
    strlcpy(user->name, name, sizeof user->name);
    user->frame = sys_malloc(window * sizeof *user->frame);
    user->arena = sys_malloc(window * sizeof *user->arena);
    if (!user->frame || !user->arena) {
        user_heap_end(user);
        return NULL;
    }
    heap_start(user);
    return user;
}

void user_heap_end(struct user_heap *user) {
    if (!user) return;
    sys_free(user->frame);
    sys_free(user->arena);
    sys_free(user);
}

// ---- around each call ---------------------------------------------------------------------------

// Records for `frames` more, as far as the window goes: memory.c may open them under its lock.
static void prepare(struct user_heap *user, uint32_t frames) {
    uint32_t from = user->zeroed, left = user->window - user->heap.frames;
    uint32_t to = user->heap.frames + (frames < left ? frames : left);
    if (to <= from) return;
    memset(user->frame + from, 0, (to - from) * sizeof *user->frame);
    memset(user->arena + from, 0, (to - from) * sizeof *user->arena);
    user->zeroed = to;
}

static void before(struct user_heap *user, uint32_t bytes) {
    uint32_t frames = (bytes >> PG_SHIFT) + 1 + GROW_FRAMES;
    if (user->zeroed - user->heap.frames < frames) prepare(user, frames);
}

static void after(struct user_heap *user) {
    for (; user->back_count > 0; user->back_count--, user->back_first++) {
        space_drop(user->space, window_page(user->back_first));
    }
}

static void give(struct user_heap *user, uintptr_t p) {
    heap_free(&user->heap, (void *)p, NO_CALLER);
    if (user->back_count > 0) after(user);
}

// Bytes that a block for `size` has.
static uint32_t room_for(const struct user_heap *user, uint32_t size) {
    if (size > user->heap.block_max) return (size + PG_SIZE - 1) & ~(PG_SIZE - 1);
    return user->heap.desc_of[(size - 1) / BLOCK_ALIGN]->block_size;
}

// All pages of the arena or large area that p is in.
static bool pages_add(struct user_heap *user, uintptr_t p) {
    const struct arena *arena = record_guess(&user->heap, (p - USER_HEAP_BASE) >> PG_SHIFT);
    uint32_t frames = arena->large ? arena->cnt : arena->desc->frames_per_arena;
    return space_add_range(user->space, arena->base, frames << PG_SHIFT);
}

// What memory.c has handed out, with its pages. Without them it goes back, and so do all arenas
// that are empty: the one opened for it (U1), and others, whose pages may be what is missing.
static uint32_t with_pages(struct user_heap *user, uintptr_t p) {
    if (!p || pages_add(user, p)) return (uint32_t)p;
    give(user, p);
    heap_trim(&user->heap);
    return 0;
}

// Most blocks come from an arena that is open: gate.asm has tried that already. The second time
// the empty arenas are gone.
uint32_t user_malloc(struct user_heap *user, uint32_t size) {
    uint32_t p = 0;
    for (int tries = 0; !p && tries < 2; tries++) {
        before(user, size);
        uintptr_t taken = (uintptr_t)heap_malloc(&user->heap, size, NO_CALLER);
        if (!taken) return 0;
        p = with_pages(user, taken);
    }
    return p;
}

void user_free(struct user_heap *user, uint32_t p) { give(user, p); }

uint32_t user_calloc(struct user_heap *user, uint32_t count, uint32_t size) {
    uint32_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return 0;
    uint32_t p = user_malloc(user, bytes);
    if (p) memset((void *)(uintptr_t)p, 0, bytes);
    return p;
}

// Where it is: true if it now holds `size` bytes, pages and all. If the pages cannot be had, the
// area is as long as before.
static bool resized(struct user_heap *user, uint32_t p, uint32_t old, uint32_t size) {
    before(user, size);
    if (!heap_extend(&user->heap, p, size)) return false;
    after(user); // a shorter one gives frames back
    if (size <= old || space_add_range(user->space, p, room_for(user, size))) return true;
    heap_extend(&user->heap, p, old);
    after(user);
    return false;
}

static uint32_t moved(struct user_heap *user, uint32_t p, uint32_t old, uint32_t size) {
    uint32_t to = user_malloc(user, size);
    if (!to) return size <= old ? p : 0; // too large serves
    memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)p, size < old ? size : old);
    give(user, p);
    return to;
}

uint32_t user_realloc(struct user_heap *user, uint32_t p, uint32_t size) {
    if (p == 0) return user_malloc(user, size);
    if (size == 0) {
        give(user, p);
        return 0;
    }
    uint32_t old = user_usable_size(user, p);
    if (old == 0) return 0; // reported
    return resized(user, p, old, size) ? p : moved(user, p, old, size);
}

uint32_t user_aligned_alloc(struct user_heap *user, uint32_t alignment, uint32_t size) {
    if (alignment > user->window << PG_SHIFT || size > user->window << PG_SHIFT) return 0;
    before(user, size + alignment);
    void *p = heap_aligned_alloc(&user->heap, alignment, size, NO_CALLER);
    return with_pages(user, (uintptr_t)p);
}

uint32_t user_usable_size(struct user_heap *user, uint32_t p) {
    return (uint32_t)heap_usable_size(&user->heap, (void *)(uintptr_t)p, NO_CALLER);
}
