// pages.c - pages of an owner's arenas on which no block is live: given back, and taken again.
//
// Theory. Blocks of a size share their pages with no other size. So what one size no longer needs
// is of no use to the next, unless whole arenas come home; and each size has a word in hand, of
// which many blocks may be free. Before the process has more pages than ever (port.c), its owners
// look for such pages, first of the sizes that were not asked for lately, and give them to the
// system: what a block holds is of no interest while it is free. There is no more to it than bits.
// An arena's record knows nothing of pages, and the blocks there remain as free as they were.
//
// As long as a size has such pages (front.gone), a word is not taken whole: its lowest blocks are,
// up to the first on a page that is gone. And while the process has as many pages as ever, blocks
// on other pages come first.
//
// Shortcomings:
//   - Pages of other owners' arenas stay as they are.
//   - A faulty program may write to a block that it has freed: its page is the process's again, and
//     is not counted. (calloc() clears it all the same: see shared_close().)
#include "tools/libgranary/owners.h"

// Of a word's blocks, those below the first that lies on a page that is gone. With `more` the pages
// of some are the process's again before: of as many as are carved at once, from the first on that
// is at `home`.
static SLOW_PATH block_bits blocks_there(struct front *front, const struct arena *arena,
                                         uint32_t word, block_bits home, bool more) {
    uintptr_t size = front->block_size, base = arena_base(front->desc.heap, arena);
    uintptr_t at = base + word * WORD_BLOCKS * size, end = at + WORD_BLOCKS * size;
    if (more && home != 0) {
        uint32_t first = word * WORD_BLOCKS + lowest(home), stop = first + front->chunk;
        if (stop > arena->carved) stop = arena->carved;
        front->gone -= granary_touch(base + first * size, (stop - first) * size);
    }
    while (at < end && granary_touched(at)) at = (at / PG_SIZE + 1) * PG_SIZE;
    return at < end ? below((uint32_t)((at - base) / size), word) : ALL_BLOCKS;
}

// Blocks first .. end - 1 of an arena are carved and handed out next, after those of the same word
// that are at home. Returns how many pages more the process has.
static uint32_t carve_touch(struct front *front, const struct arena *arena, uint32_t first,
                            uint32_t end) {
    uintptr_t size = front->block_size, base = arena_base(front->desc.heap, arena);
    uintptr_t before = base + first / WORD_BLOCKS * WORD_BLOCKS * size, at = base + first * size;
    // The page that `at` is in the middle of is one of those that were reached.
    uint32_t again = granary_touch(before, at - before + (at % PG_SIZE != 0));
    front->gone -= again;
    return again + granary_touch(at, (end - first) * size);
}

// Whether blocks first .. last are all in the map, and none of them is in hand.
static bool all_free(const struct front *front, const struct arena *arena, uint32_t first,
                     uint32_t last) {
    for (uint32_t word = first / WORD_BLOCKS; word <= last / WORD_BLOCKS; word++) {
        const block_bits *at = &map_of(arena)[word];
        block_bits these = below(last + 1, word);
        if (word == first / WORD_BLOCKS) these &= ~below(first, word);
        if ((these & ~*at) || (at == LOOK(front->take) && (these & front->mask))) return false;
    }
    return true;
}

// Whether no block on a page of a front's arena is live or in hand.
static bool page_dead(const struct front *front, const struct arena *arena, uint32_t blocks,
                      uint32_t page) {
    uint32_t first = page * PG_SIZE / front->block_size;
    uint32_t last = ((page + 1) * PG_SIZE - 1) / front->block_size;
    if (last >= blocks) last = blocks - 1;
    return first > last || all_free(front, arena, first, last);
}

static uint32_t arena_pages_back(struct heap *heap, struct front *front, struct arena *arena) {
    uint32_t frame = (uint32_t)(arena - heap->arena), frames = owners_frames(heap, arena);
    uint32_t reached = frames_reached(front, arena), blocks = blocks_in(front, frames);
    uint32_t pages = 0, further = granary_pages_give(frame + reached, frames - reached);
    for (uint32_t at = 0, end; at < reached; at = end + 1) {
        for (end = at; end < reached && page_dead(front, arena, blocks, end);) end++;
        pages += granary_pages_give(frame + at, end - at);
    }
    front->gone += pages;
    if (front->young == arena && further) front->fresh = true;
    return pages + further;
}

#define ARENA_LOOKS 256u // arenas looked at in one call

// Of one size: `wish` pages, or all that there are among *looks arenas. Their order is as before,
// but that the next time begins with others.
static uint32_t front_pages_back(struct owner *me, struct front *front, uint32_t wish,
                                 uint32_t *looks) {
    struct list *list = &front->desc.free_list;
    uint32_t pages = 0;
    hand_back(me, front);
    struct list_elem *e = NULL, *last = list->head.prev;
    for (; e != last && pages < wish && *looks != 0; --*looks) {
        e = list_first(list);
        if (!e) break;
        struct arena *arena = list_entry(e, struct arena, elem);
        list_remove(e);
        list_append(list, e);
        if (LIKELY(record_sound(arena, me->seal)))
            pages += arena_pages_back(me->heap, front, arena);
    }
    return pages;
}

SLOW_PATH void owner_pages_back(struct owner *me, const struct front *busy) {
    uint32_t wish = granary_high_wish(), count = me->heap->desc_count, looks = ARENA_LOOKS;
    uint32_t pages = wish ? granary_free_pages_give(wish) : 0;
    // Twice: at first those that were not used.
    for (uint32_t i = 0; i < 2 * count && pages < wish; i++) {
        struct front *front = &me->front[me->page_look++ % count];
        if (front == busy) continue;
        if (!front->used) pages += front_pages_back(me, front, wish - pages, &looks);
        front->used = false;
    }
    granary_high_next(wish, pages);
}

// For trimming: all of them.
static uint32_t pages_back(struct owner *me) {
    uint32_t pages = 0;
    for (uint32_t i = 0; i < me->heap->desc_count; i++) {
        uint32_t looks = UINT32_MAX;
        pages += front_pages_back(me, &me->front[i], UINT32_MAX, &looks);
    }
    return pages;
}
