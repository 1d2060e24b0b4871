// pages.c - pages on which nothing lives, before one is taken from the system: the ends of an
// owner's arenas become free frames, and arenas are opened on these.
//
// Theory. Blocks of a size share their pages with no other size. So what one size no longer needs
// is of no use to the next, unless whole arenas come home. But an arena need not stay as long as it
// was opened. Beyond its last live block it can be cut, at a page, and is as if it had been shorter
// from the first; the frames that are cut off are free, and their pages are the process's already.
//
// Before the process has more pages than ever (resident.c), as many are looked for as are wanted,
// first in arenas that are all at home, then in those of sizes that were not asked for lately. And
// a size that would carve a page which the process does not have yet cuts the rest of that arena
// off, too, and opens another on free frames whose pages are "there".
//
// Shortcomings:
//   - Other owners' arenas stay as they are. Those of sizes in which others free are cut only when
//     all that is free goes back (tidy()): a word of a long arena gives more blocks.
//   - A page without a live block that is not at an arena's end stays: of 40 there is about one.
//   - Frames that are cut off lie apart: for large areas they are of use only after their pages
//     went back to the system, which costs a fault each if they are wanted again.
#include "tools/libgranary/owners.h"

// The arena keeps its first `keep` frames of `frames`; beyond them no block is live or in hand. As
// if it had been opened so: bits of blocks that do not exist are 1, as are those of blocks that are
// at home. What another owner frees wrongly there at this moment may still set a bit of `away`: it
// is a double free, and is reported as one when its word is next collected. Under the heap's lock.
static void arena_cut(struct front *front, struct arena *arena, uint32_t frames, uint32_t keep) {
    struct heap *heap = front->desc.heap;
    uint32_t frame = (uint32_t)(arena - heap->arena), blocks = blocks_in(front, keep);
    uint32_t reached = frames_reached(front, arena);
    heap->pool.frame[frame].run = FRAME_USED | keep;
    for (uint32_t i = keep; i < frames; i++) STORE(arena[i].back, 0);
    proofs_clear(arena + keep, frames - keep);
    if (arena->carved > blocks) STORE(arena->carved, (uint16_t)blocks);
    if (front->young == arena) {
        front->young_end = (uint16_t)blocks;
        if (arena->carved == blocks) front->young = NULL;
    }
    STORE(heap->small_frames, heap->small_frames - (frames - keep));
    port_frames_back(heap, frame + keep, reached > keep ? reached - keep : 0);
    run_join(&heap->pool, &heap->pool.frame[frame + keep], frames - keep, FRAME_FREE);
}

// Frames of an arena up to the last with a live block.
static uint32_t frames_lived(const struct front *front, const struct arena *arena) {
    for (uint32_t word = front->words; word-- > 0;) {
        block_bits live = ~map_of(arena)[word];
        if (live == 0) continue;
        uint32_t blocks = (word + 1) * WORD_BLOCKS - (uint32_t)__builtin_clzl(live);
        return (uint32_t)frames_of(blocks * front->block_size);
    }
    return 0;
}

// Cuts off the end of a sound arena of the free list on which nothing lives; nothing of its size is
// in hand. Returns how many pages are free by that.
static uint32_t end_cut(struct owner *me, struct front *front, struct arena *arena) {
    struct heap *heap = me->heap;
    uint32_t frame = (uint32_t)(arena - heap->arena), keep = frames_lived(front, arena);
    uint32_t frames = FRAME_RUN(heap->pool.frame[frame].run), pages;
    if (keep == 0) return close_if_home(me, front, arena, false);
    if (keep >= frames) return 0; // more: the map was overwritten
    port_state state = port_lock(heap);
    arena_cut(front, arena, frames, keep);
    pages = granary_pages_give(frame + keep, frames - keep, 1, PAGE_TOUCHED);
    port_unlock(heap, state);
    return pages;
}

// Cuts arenas of one size, until `wish` pages are free or *looks arenas were looked at; what is in
// hand goes back first. Their order is as before, but that the next time begins with others.
// Returns how many pages are free by that.
static uint32_t front_cut(struct owner *me, struct front *front, uint32_t wish, uint32_t *looks) {
    struct list *list = &front->desc.free_list;
    uint32_t pages = hand_back(me, front);
    struct list_elem *e = NULL, *last = list->head.prev;
    for (; e != last && pages < wish && *looks != 0 && !list_empty(list); --*looks) {
        struct arena *arena = list_rotate(list);
        e = &arena->elem;
        if (LIKELY(record_sound(arena, me->seal))) pages += end_cut(me, front, arena);
    }
    return pages;
}

// The same of all sizes but `busy` and foreign ones, at first of those that were not used lately.
static uint32_t ends_cut(struct owner *me, const struct front *busy, uint32_t wish) {
    uint32_t pages = 0, count = me->heap->desc_count, looks = ARENA_LOOKS;
    for (uint32_t i = 0; i < 2 * count && pages < wish; i++) {
        struct front *front = &me->front[me->page_look++ % count];
        if (front == busy || LOOK(front->foreign)) continue;
        if (!front->used) pages += front_cut(me, front, wish - pages, &looks);
        front->used = false;
    }
    return pages;
}

// Free runs, and frames of them, that are looked at in one call.
#define THERE_LOOKS 64u
#define THERE_FRAMES 1024u
#define GIVE_LOOKS 1024u
#define GIVE_FRAMES 65536u

// The number of a free run's first frame, by its last.
static inline uint32_t run_first(const struct pool *pool, const struct frame *tail) {
    return (uint32_t)(tail - pool->frame) + 1 - FRAME_RUN(tail->run);
}

// The first bin from `bin` on that is not empty, or POOL_BINS.
static uint32_t bin_next(const struct pool *pool, uint32_t bin) {
    for (uint32_t word = bin / 32; word < POOL_BINS / 32; word++, bin = word * 32) {
        uint32_t bits = pool->nonempty[word] & UINT32_MAX << bin % 32;
        if (bits != 0) return word * 32 + (uint32_t)__builtin_ctz(bits);
    }
    return POOL_BINS;
}

// Looks through free runs, short ones first, for at least `least` frames in a row whose pages are
// there. Returns the last frame of the run, and where in it they are: *count of them from *first
// on, no more than were in *count. NULL if there are none. Locked.
static const struct frame *there_find(const struct pool *pool, uint32_t least, uint32_t *first,
                                      uint32_t *count, uint32_t looks) {
    uint32_t left = THERE_FRAMES, most = *count;
    uint32_t bin = bin_next(pool, bin_of(least));
    for (; bin < POOL_BINS; bin = bin_next(pool, bin + 1)) {
        for (const struct frame *tail = pool->bin[bin]; tail; tail = tail->next, looks--) {
            if (looks == 0 || left == 0) return NULL;
            uint32_t length = FRAME_RUN(tail->run);
            uint32_t start = run_first(pool, tail);
            if (length > left) length = left;
            left -= length;
            *count = most;
            *first = granary_touched_run(start, length, least, count);
            if (*count > 0) return tail;
        }
    }
    return NULL;
}

// The first of *frames free frames whose pages are there, or of fewer, but of `least`; or NULL, and
// *frames is as it was. Locked.
static struct frame *there_take(struct pool *pool, uint32_t least, uint32_t *frames,
                                uint32_t looks) {
    uint32_t first, count = *frames;
    const struct frame *tail = there_find(pool, least, &first, &count, looks);
    if (!tail) return NULL;
    uint32_t length = FRAME_RUN(tail->run), end = (uint32_t)(tail - pool->frame) + 1;
    struct frame *start = run_cut(pool, pool->frame + end - 1, length, FRAME_FREE);
    uint32_t before = first - (uint32_t)(start - pool->frame), after = end - first - count;
    pool->frame[first].run = FRAME_USED | count;
    if (before > 0) run_join(pool, start, before, FRAME_FREE);
    if (after > 0) run_join(pool, pool->frame + first + count, after, FRAME_FREE);
    *frames = count;
    return pool->frame + first;
}

// Frames for an arena whose pages must come from the system. If the only free run that is long
// enough lies beyond all that was ever used, a shorter arena, of `least` or more, on frames that
// were used: frames beyond would want new records, too. Locked.
static uint32_t used_length(const struct pool *pool, uint32_t least, uint32_t frames) {
    for (uint32_t length = frames; length >= least; length /= 2) {
        const struct frame *tail = run_find(pool, length);
        if (!tail) continue;
        if (run_first(pool, tail) + length <= granary_touched_end) return length;
    }
    return frames;
}

// So many free frames in a row; where the pool cannot grow any more, as many as there are in a row,
// and `least` or more. NULL if there are not. Locked.
static struct frame *run_take_most(struct pool *pool, uint32_t least, uint32_t *frames) {
    struct frame *first = run_take(pool, *frames);
    while (!first && *frames > least) {
        --*frames;
        if (*frames == least || run_find(pool, *frames)) first = run_take(pool, *frames);
    }
    return first;
}

// Whether there are `least` free frames in a row whose pages are there.
static bool there_now(struct heap *heap, uint32_t least) {
    uint32_t first, count = least;
    port_state state = port_lock(heap);
    bool now = there_find(&heap->pool, least, &first, &count, THERE_LOOKS) != NULL;
    port_unlock(heap, state);
    return now;
}

// Whether there are free frames for an arena of this size whose pages are there; if not, arenas
// that are at home are closed first, and while the process has as many pages as ever, others cut.
// For the owner, in the middle of a call for `front`.
static SLOW_PATH bool there_ready(struct owner *me, const struct front *front) {
    uint32_t least = frames_least(front);
    if (there_now(me->heap, least)) return true;
    if (homes_close(me, front) > 0 && there_now(me->heap, least)) return true;
    return granary_full() && ends_cut(me, front, granary_step()) > 0 && there_now(me->heap, least);
}

// Blocks of a front's young arena, from the first that is not carved to `end`, are to be carved.
// Returns the end of those that are: while the process has as many pages as ever, first those on
// pages that are there. If there are none, and frames elsewhere whose pages are there, the rest of
// the arena is cut off.
static SLOW_PATH uint32_t carve_there(struct owner *me, struct front *front, struct arena *arena,
                                      uint32_t end) {
    uintptr_t size = front->block_size, base = arena_base(me->heap, arena);
    uint32_t first = arena->carved;
    if (LOOK(front->foreign) || !granary_full()) return end;
    uintptr_t at = base + first * size, stop = base + end * size;
    while (at < stop && granary_touched(at)) at = (at / PG_SIZE + 1) * PG_SIZE;
    if (at >= stop) return end;
    uint32_t there = (uint32_t)((at - base) / size);
    if (there > first) return there;
    uint32_t frames = FRAME_RUN(arena_frame(me->heap, arena)->run);
    uint32_t reached = frames_reached(front, arena);
    if (reached >= frames) return end; // `carved` was overwritten
    if (first == 0 || !there_ready(me, front)) return end;
    port_state state = port_lock(me->heap);
    arena_cut(front, arena, frames, reached);
    port_unlock(me->heap, state);
    return first;
}

// Gives up to `wish` pages of free frames to the system, of long runs first: that takes the fewest
// system calls, and leaves the others for arenas. Returns how many.
static uint32_t free_pages_give(struct heap *heap, uint32_t wish) {
    uint32_t pages = 0, looks = GIVE_LOOKS, left = GIVE_FRAMES;
    port_state state = port_lock(heap);
    const struct pool *pool = &heap->pool;
    for (uint32_t bin = POOL_BINS; bin-- > 0;) {
        for (const struct frame *tail = pool->bin[bin]; tail && pages < wish; tail = tail->next) {
            if (looks == 0 || left == 0) break;
            looks--;
            uint32_t at = run_first(pool, tail), length = FRAME_RUN(tail->run);
            uint32_t end = at + (length < left ? length : left);
            left -= end - at;
            for (uint32_t found = 1; found > 0 && pages < wish; at += found) {
                found = wish - pages;
                at = granary_touched_run(at, end - at, 1, &found);
                pages += granary_pages_give(at, found, 1, PAGE_PAID);
            }
        }
    }
    port_unlock(heap, state);
    return pages;
}

// The process has more pages than ever, or would have. For its owner, between two calls, or where
// only the size `busy` is in the middle of one: some pages that are free go back.
SLOW_PATH void owner_pages_back(struct owner *me, const struct front *busy) {
    homes_close(me, busy);
    uint32_t wish = granary_step(), most = granary_worth(), pages = 0;
    uint32_t give = wish < most ? wish : most;
    if (give > 0) pages = free_pages_give(me->heap, give);
    if (pages < give && ends_cut(me, busy, give - pages) > 0)
        pages += free_pages_give(me->heap, give - pages);
    if (pages < wish) granary_rise();
}
