// malloc.c - the face that C's allocation functions show, over the kernel's own kernel/memory.c and
// kernel/pool.c.
//
// Theory. The heap is not linked but included: malloc() and sys_malloc() become one function, with
// no call between. Everything here is the difference between what the kernel promises and what ISO
// C, POSIX and the habits of glibc want: a size of 0 gives a pointer of its own, errno is set, an
// alignment may be any power of two.
//
// Invariants:
//   L1  Nothing here allocates through itself: window and records come from mmap().
//   L2  free() leaves errno as it was (as glibc's does since 2.33).
//   L3  No lazy binding, and thread-local storage only where it is there from the start (the model
//       is initial-exec): the first call of malloc() may come from the dynamic loader.
//
// Shortcomings:
//   - Large areas, and arenas that are opened and closed, have one lock for all threads. The
//     checked library has one for everything.
//   - mallinfo(), mallopt() and malloc_info() remain glibc's, and speak of a heap nobody uses.
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// Rare, and long: a function that is flattened would else hold it, and save five registers in each
// call for its sake (free(): 11 instructions of 68).
struct arena;
static __attribute__((noinline)) void arena_at_edge(struct arena *arena);

// NOLINTBEGIN(bugprone-suspicious-include): one translation unit, see above
#ifdef HEAP_CHECKED
#include "kernel/checked/checked_names.h" // what memory.c's calls are called there
#endif
#include "kernel/memory.c"
#include "kernel/pool.c"
#ifdef HEAP_CHECKED
// From here on the public names are checked.c's.
#undef sys_malloc
#undef sys_free
#undef sys_aligned_alloc
#undef sys_trim
#undef sys_calloc
#undef sys_realloc
#undef sys_usable_size
#undef sys_malloc_for
#undef sys_free_for
#undef sys_calloc_for
#undef sys_realloc_for
#undef sys_aligned_alloc_for
#undef CALLER
#include "kernel/checked/checked.c"
#endif
#include "lib/list.c"
#ifndef HEAP_CHECKED
#include "tools/libgranary/arenas.c"
#include "tools/libgranary/pages.c"
#include "tools/libgranary/owners.c"
#endif
// NOLINTEND(bugprone-suspicious-include)

// What programs see; every other name of the library is hidden (-fvisibility=hidden).
#define PUBLIC __attribute__((visibility("default")))
// The whole of the heap's function becomes part of this one, and CALLER in it the program's own
// address. At the start of a line of the cache: five traces took 1 to 3 % less.
#define ENTRANCE PUBLIC __attribute__((flatten, aligned(64)))

// Here, where the pools' runs are (kernel/pool.h).
bool granary_more_frames(struct pool *pool, uint32_t count) {
    uint32_t first = (uint32_t)(pool->end - pool->frame), behind = 0;
    if (first > 0 && (pool->end[-1].run & FRAME_FREE)) behind = FRAME_RUN(pool->end[-1].run);
    uint32_t more = granary_open(&first, behind, count);
    if (more == 0) return false;
    pool->end = pool->frame + first + more;
    pool->usable += more;
    __atomic_store_n(&k_heap.frames, first + more, __ATOMIC_RELAXED);
    __atomic_store_n(&granary_bytes, (uintptr_t)(first + more) << PG_SHIFT, __ATOMIC_RELAXED);
    run_give(pool, pool->frame + first, more);
    return true;
}

static void *no_memory(void) {
    errno = ENOMEM;
    return NULL;
}

#ifdef HEAP_CHECKED

ENTRANCE void free(void *p) { sys_free(p); }

// The sites that are recorded are the program's own: nothing may stand between its call and CALLER.
static __attribute__((always_inline)) inline void *checked_malloc(size_t size, uintptr_t caller) {
    if (!granary_ready) granary_start();
    void *p = take_fresh(BLOCK_ALIGN, size, caller); // of 0 bytes, none is the caller's
    return p ? p : no_memory();
}

PUBLIC void *malloc(size_t size) { return checked_malloc(size, CALLER); }

PUBLIC void *calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return no_memory();
    void *p = checked_malloc(bytes, CALLER);
    if (p) memset(p, 0, bytes);
    return p;
}

#else

// All but the fast path: that may have been missing only because nothing is initialised, or because
// the size is 0, for which the kernel's call gives NULL.
static __attribute__((noinline)) void *malloc_slow(size_t size) {
    if (!granary_ready) granary_start();
    void *p = owners_malloc(&k_heap, size > 0 ? size : 1);
    return p ? p : no_memory();
}

// The next word is claimed, or blocks are carved; or all that malloc_slow() is for.
static __attribute__((noinline)) void *malloc_turn(size_t size) {
    struct front *front = front_for(granary_me, size);
    void *p;
    bool turn = front_turn(granary_me, front);
    return LIKELY(turn) && LIKELY(front_lowest(front, &p)) ? p : malloc_slow(size);
}

// The word in hand has none left.
static __attribute__((noinline)) void *malloc_next(size_t size) {
    struct owner *me = granary_me;
    void *p;
    if (LIKELY(size - 1 < me->block_max)) {
        struct front *front = front_for(me, size);
        if (LIKELY(front_quick(me, front)) && LIKELY(front_lowest(front, &p))) return p;
        return malloc_turn(size);
    }
    return malloc_slow(size);
}

static __attribute__((noinline)) void free_slow(void *p, uintptr_t caller) {
    shared_free(&k_heap, granary_me, (uintptr_t)p, caller);
}

// One function is left to call where the fast way ends: one jump, and no register to save.
static inline void *take(size_t size) {
    void *p;
    return LIKELY(shared_take_fast(granary_me, size, &p)) ? p : malloc_next(size);
}

ENTRANCE void free(void *p) {
    if (LIKELY(shared_give_fast(&granary_seal, &k_heap, (uintptr_t)p))) return;
    if (p) free_slow(p, CALLER);
}

ENTRANCE void *malloc(size_t size) { return take(size); }

// Frames that no one has written to since the process got them are zero: a large area is cleared
// only where it is not.
static __attribute__((noinline)) void *calloc_slow(size_t bytes) {
    if (!granary_ready) granary_start();
    void *p = granary_zeroed(bytes > 0 ? bytes : 1);
    return p ? p : no_memory();
}

ENTRANCE void *calloc(size_t count, size_t size) {
    size_t bytes;
    void *p;
    if (__builtin_mul_overflow(count, size, &bytes)) return no_memory();
    return LIKELY(shared_take_fast(granary_me, bytes, &p)) ? memset(p, 0, bytes)
                                                           : calloc_slow(bytes);
}

#endif

#ifndef HEAP_CHECKED
// heap_realloc() for a block of this thread's own that becomes one of another size: no lock.
static __attribute__((noinline)) void *realloc_own(void *p, size_t size, size_t room) {
    void *to = take(size);
    if (!to) return size <= room ? p : NULL; // too large serves; errno is set
    memcpy(to, p, size < room ? size : room);
    if (!shared_give_fast(&granary_seal, &k_heap, (uintptr_t)p)) free_slow(p, CALLER);
    return to;
}
#endif

// A size of 0 frees, as in glibc; so NULL says "no memory" only for other sizes.
static __attribute__((noinline)) void *realloc_any(void *p, size_t size, uintptr_t caller) {
#ifdef HEAP_CHECKED
    void *to = sys_realloc_for(p, size, caller);
#else
    void *to = heap_realloc(&k_heap, p, size, caller);
    if (to && size > k_heap.block_max) granary_area(to, size); // if it grew where it was
#endif
    return to || size == 0 ? to : no_memory();
}

ENTRANCE void *realloc(void *p, size_t size) {
    if (!p) return malloc(size);
#ifndef HEAP_CHECKED
    size_t room = shared_room(granary_me, &k_heap, (uintptr_t)p);
    if (room != 0 && size - 1 < k_heap.block_max) {
        bool stays = size <= room && front_for(granary_me, size)->block_size == room;
        return stays ? p : realloc_own(p, size, room);
    }
#endif
    return realloc_any(p, size, CALLER);
}

PUBLIC void *reallocarray(void *p, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return no_memory();
    return realloc(p, bytes);
}

ENTRANCE size_t malloc_usable_size(void *p) { return sys_usable_size(p); }

// ---- the aligned ones ---------------------------------------------------------------------------

static bool power_of_two(size_t n) { return n != 0 && (n & (n - 1)) == 0; }

// `alignment` is a power of two. NULL: no memory, errno untouched.
static __attribute__((always_inline)) inline void *aligned_take(size_t alignment, size_t size,
                                                                uintptr_t caller) {
    if (!granary_ready) granary_start();
#ifdef HEAP_CHECKED
    return take_fresh(alignment > BLOCK_ALIGN ? alignment : BLOCK_ALIGN, size, caller);
#else
    (void)caller; // never reported: no call of a process comes from an interrupt
    if (size == 0) size = 1;
    void *p = sys_aligned_alloc(alignment, size);
    if (UNLIKELY(!p) && granary_all_home() > 0) p = sys_aligned_alloc(alignment, size);
    if (p) granary_area(p, size); // a block's pages are the process's already
    return p;
#endif
}

static __attribute__((always_inline)) inline void *aligned(size_t alignment, size_t size,
                                                           uintptr_t caller) {
    if (!power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    void *p = aligned_take(alignment, size, caller);
    return p ? p : no_memory();
}

// The reason is what it returns; errno stays as it was, as POSIX has it since 2024. (glibc sets it
// where there is no memory.)
PUBLIC int posix_memalign(void **to, size_t alignment, size_t size) {
    if (!power_of_two(alignment) || alignment % sizeof(void *) != 0) return EINVAL;
    void *p = aligned_take(alignment, size, CALLER);
    if (!p) return ENOMEM;
    *to = p;
    return 0;
}

PUBLIC void *aligned_alloc(size_t alignment, size_t size) {
    return aligned(alignment, size, CALLER);
}

// Older than the standards and laxer: an alignment between two powers of two means the next one.
PUBLIC void *memalign(size_t alignment, size_t size) {
    size_t power = 1;
    while (power < alignment && power <= SIZE_MAX / 2) power *= 2;
    return aligned(power < alignment ? 0 : power, size, CALLER);
}

PUBLIC void *valloc(size_t size) { return aligned(PG_SIZE, size, CALLER); }

PUBLIC void *pvalloc(size_t size) {
    if (size > SIZE_MAX - (PG_SIZE - 1)) return no_memory();
    return aligned(PG_SIZE, (size + PG_SIZE - 1) / PG_SIZE * PG_SIZE, CALLER);
}

// `pad` is what glibc would leave at its heap's end: nothing to leave here. 1: something was given
// back.
PUBLIC int malloc_trim(size_t pad) {
    (void)pad;
    uint32_t frames = sys_trim();
    return granary_give_back() + frames != 0;
}
