// heapcheck.c - see heapcheck.h. One function for each group of invariants, in the order of
// pool.h and memory.c.
#include "kernel/inspect/heapcheck.h"

#include "kernel/inspect/heapwalk.h"
#include "kernel/inspect/history.h"
#include "kernel/inspect/who.h"
#include "kernel/port.h"
#include "lib/print.h"
#include "lib/string.h"

#define LINES_MAX 8 // lines printed by one walk

static uint32_t broken;

void heap_complain(const char *invariant, const char *what, uint32_t at) {
    if (broken++ < LINES_MAX) kprintf("heap check: %s broken: %s (%u)\n", invariant, what, at);
}

#define REQUIRE HEAP_REQUIRE

// ---- F1 .. F5: the pools' runs -----------------------------------------------------------------

static uint32_t bits_count(const uint32_t *word, uint32_t words) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < words; i++) {
        for (uint32_t bits = word[i]; bits != 0; bits &= bits - 1) count++;
    }
    return count;
}

static uint32_t anchors_due; // runs seen that have one

// F5 for a run handed out that has an anchor.
static void check_anchor(const struct pool *pool, uint32_t first) {
    uint32_t bit = anchor_of(first), anchor = bit * ANCHOR_STEP;
    bool set = (pool->anchor[bit / 32] >> bit % 32 & 1) != 0;
    REQUIRE(set && pool->frame[anchor].bin == anchor - first, "F5", "the anchor of a run, frame",
            first);
    anchors_due++;
}

// F5: no other anchors, and each is found.
static void check_anchors(const struct pool *pool) {
    uint32_t words = pool->frames / ANCHOR_STEP / 32 + 1;
    REQUIRE(bits_count(pool->anchor, words) == anchors_due, "F5", "anchors; runs that have one",
            anchors_due);
    for (uint32_t word = 0; word < words; word++) {
        bool bit = (pool->anchor_words[word / 32] >> word % 32 & 1) != 0;
        REQUIRE(bit == (pool->anchor[word] != 0), "F5", "anchor_words' bit for word", word);
    }
}

// Frames that have a record: all of the pool's, but where its window is still growing.
static uint32_t frames_in(const struct pool *pool) { return (uint32_t)(pool->end - pool->frame); }

// Free frames of the runs seen, by pool (port_kept()).
static uint32_t free_seen[PORT_TABLES];

// The pool that has such a tag (port_kept()), or PORT_TABLES.
static uint32_t table_of_tag(const struct pool *pool, uint32_t tag) {
    uint32_t known;
    for (uint32_t table = 0; table < PORT_TABLES; table++) {
        if (port_kept(pool, table, &known) && known == tag) return table;
    }
    return PORT_TABLES;
}

static bool tag_known(const struct pool *pool, uint32_t tag) {
    return tag == FRAME_USED || tag == (FRAME_USED | FRAME_LENT) ||
           table_of_tag(pool, tag) < PORT_TABLES;
}

// F1 for the run that starts at `at`: its length, or 1 to go on with the next record where there is
// no run. *before: the tag of the free run that ends there, or 0.
static uint32_t check_run(const struct pool *pool, uint32_t at, uint32_t *before) {
    uint32_t run = pool->frame[at].run, length = FRAME_RUN(run), tag = run & ~FRAME_LENGTH;
    if (run == 0) { // a hole of the memory map: it has no owner
        *before = 0;
        return 1;
    }
    if (length == 0 || length > frames_in(pool) - at || !tag_known(pool, tag)) {
        heap_complain("F1", "a run leaves its pool, frame", at);
        return 1;
    }
    bool is_free = !(tag & FRAME_USED);
    if (is_free) {
        REQUIRE(*before != tag, "F2", "two free runs touch at frame", at);
        REQUIRE(pool->frame[at + length - 1].run == run, "F1", "last tag differs, frame", at);
        free_seen[table_of_tag(pool, tag)] += length;
    } else if (length >= ANCHOR_STEP) {
        check_anchor(pool, at);
    }
    uint32_t inner_end = is_free ? length - 1 : length;
    for (uint32_t i = 1; i < inner_end; i++) {
        REQUIRE(pool->frame[at + i].run == 0, "F1", "a tag inside a run, frame", at + i);
    }
    *before = is_free ? tag : 0;
    return length;
}

// A bin's list holds last frames only: true if `tail` is one of this pool's.
static bool tail_valid(const struct pool *pool, const struct frame *tail, uint32_t tag) {
    if (tail < pool->frame || tail >= pool->end) return false;
    if ((tail->run & ~FRAME_LENGTH) != tag) return false;
    return FRAME_RUN(tail->run) <= (uint32_t)(tail - pool->frame) + 1;
}

// F3 for one bin; returns the frames of all runs in it.
static uint32_t check_bin(const struct pool *pool, uint32_t bin, uint32_t tag) {
    struct frame *const *link = &pool->bin[bin];
    uint32_t frames = 0, steps = 0;
    for (const struct frame *tail = *link; tail; tail = tail->next) {
        if (!tail_valid(pool, tail, tag) || ++steps > frames_in(pool)) {
            heap_complain("F3", "a bin's list is not sound, bin", bin);
            return frames;
        }
        REQUIRE(tail->link == link, "F3", "a link back is wrong, bin", bin);
        uint32_t length = FRAME_RUN(tail->run);
        bool right = tail->bin == bin && pool_bin_of(length) == bin;
        REQUIRE(right, "F3", "a run in the wrong bin, of frames", length);
        frames += length;
        link = &tail->next;
    }
    return frames;
}

static uint32_t check_bins(const struct pool *pool, uint32_t tag) {
    uint32_t frames = 0;
    for (uint32_t bin = 0; bin < POOL_BINS; bin++) {
        bool bit = (pool->nonempty[bin / 32] >> bin % 32 & 1) != 0;
        REQUIRE(bit == (pool->bin[bin] != NULL), "F3", "nonempty's bit for bin", bin);
        frames += check_bin(pool, bin, tag);
    }
    for (uint32_t word = 0; word < POOL_BINS / 32; word++) {
        bool bit = (pool->nonempty_words >> word & 1) != 0;
        REQUIRE(bit == (pool->nonempty[word] != 0), "F3", "nonempty_words' bit for word", word);
    }
    return frames;
}

static void check_pool(const struct pool *pool) {
    uint32_t before = 0, tag;
    anchors_due = 0;
    memset(free_seen, 0, sizeof free_seen);
    for (uint32_t at = 0; at < frames_in(pool);) at += check_run(pool, at, &before);
    for (uint32_t table = 0; table < PORT_TABLES; table++) {
        const struct pool *kept = port_kept(pool, table, &tag);
        if (!kept) continue;
        bool same = kept->frame == pool->frame && kept->end == pool->end;
        REQUIRE(same, "F1", "a pool of other frames, table", table);
        uint32_t free = free_seen[table];
        REQUIRE(free == kept->free, "F4", "free frames counted", free);
        REQUIRE(check_bins(kept, tag) == free, "F3", "a free run is in no bin; free frames", free);
    }
    check_anchors(pool);
}

// ---- A1 .. A6: arenas --------------------------------------------------------------------------

static uint32_t map_count(const struct arena *arena) { return bits_count(arena->map, ARENA_WORDS); }

// True if block `block` was handed out and is free again; false outside the bitmap.
static bool block_free(const struct arena *arena, uint32_t block) {
    return block < ARENA_BLOCKS_MAX && (arena->map[block / 32] >> block % 32 & 1) != 0;
}

// A3 for a small arena whose seal is right.
static void check_map(const struct arena *arena, uint32_t frame) {
    const struct memory_block_desc *desc = arena->desc;
    REQUIRE(arena->carved <= desc->blocks_per_arena, "A3", "carved past the end, frame", frame);
    uint32_t free = map_count(arena) + desc->blocks_per_arena - arena->carved;
    REQUIRE(free == arena->cnt, "A3", "cnt is not the free blocks, frame", frame);
    for (uint32_t block = arena->carved; block < ARENA_BLOCKS_MAX; block++) {
        REQUIRE(!block_free(arena, block), "A3", "a bit at or above carved, frame", frame);
    }
    for (uint32_t word = 0; word < ARENA_WORDS; word++) {
        bool marked = (arena->map_words >> word & 1) != 0;
        REQUIRE(marked || arena->map[word] == 0, "A3", "map_words' bit is missing, frame", frame);
    }
}

// Arenas with room, by table of descriptors and descriptor: counted by check_arena(), compared with
// the lists by check_list().
static uint32_t with_room[PORT_TABLES][DESC_MAX];

// A4: a descriptor's list holds arenas of its own with room, as many as there are.
static void check_list(const struct heap *heap, uint32_t table, uint32_t index) {
    const struct memory_block_desc *desc = port_descs(heap, table) + index;
    const struct list_elem *head = &desc->free_list.head, *before = head;
    uint32_t count = 0;
    for (const struct list_elem *e = head->next; e != head; before = e, e = e->next) {
        const struct arena *arena = list_entry(e, const struct arena, elem);
        bool record = arena >= heap->arena && arena < heap->arena + heap->frames;
        if (!record || e->prev != before || ++count > heap->frames) {
            heap_complain("A4", "a free list is not sound, block size", desc->block_size);
            return;
        }
        bool belongs = arena->desc == desc && arena->cnt != 0;
        REQUIRE(belongs, "A4", "a stranger in the free list, block size", desc->block_size);
    }
    bool full = !desc->end.desc && desc->end.head == 0 && desc->end.map_words == 0;
    REQUIRE(full, "A4", "the list's end is written to, block size", desc->block_size);
    const struct arena *reserve = desc->reserve;
    REQUIRE(!reserve || reserve->desc == desc, "A5", "the reserve is another's, block size",
            desc->block_size);
    REQUIRE(count == with_room[table][index], "A4", "arenas in the free list, block size",
            desc->block_size);
}

// A record that starts an arena or large area. Returns the frames it holds.
static uint32_t check_arena(const struct heap *heap, const struct arena *arena, uint32_t frame) {
    const struct pool *pool = &heap->pool;
    bool sound = arena_sealed(arena) && (arena->large || heap_desc_known(heap, arena->desc));
    if (!sound) {
        heap_complain("A2", "the seal is wrong, frame", frame);
        return 1;
    }
    uint32_t frames = arena->large ? arena->cnt : arena->desc->frames_per_arena;
    REQUIRE(pool->frame[frame].run == (FRAME_USED | frames), "A1", "the frames' run, frame", frame);
    REQUIRE(arena->base == heap->base + ((uintptr_t)frame << PG_SHIFT), "A1", "base, frame", frame);
    if (arena->large) return frames;
    check_map(arena, frame);
    uint32_t table = heap_desc_table(heap, arena->desc);
    if (arena->cnt != 0) with_room[table][arena->desc - port_descs(heap, table)]++;
    bool spare = arena->cnt == arena->desc->blocks_per_arena && arena->desc->reserve != arena;
    REQUIRE(!spare, "A5", "an empty arena too many, frame", frame);
    return frames;
}

// A6: the record of a frame that starts nothing; `into` frames after the start of what holds it, 0
// if nothing does.
static void check_blank(const struct arena *arena, uint32_t into, bool small, uint32_t frame) {
    bool blank = arena_blank(arena) && arena->carved == 0 && arena->base == 0 &&
                 arena->map_words == 0 && map_count(arena) == 0;
    REQUIRE(blank, "A6", "a record that should be blank, frame", frame);
    REQUIRE(arena->back == (small ? into * sizeof *arena : 0), "A6", "back, frame", frame);
}

static void check_arenas(const struct heap *heap) {
    uint32_t small = 0, large = 0;
    memset(with_room, 0, sizeof with_room);
    for (uint32_t frame = 0; frame < heap->frames;) {
        const struct arena *arena = &heap->arena[frame];
        if (!arena->desc && !arena->large) {
            check_blank(arena, 0, false, frame++);
            continue;
        }
        uint32_t frames = check_arena(heap, arena, frame);
        if (frames == 0 || frames > heap->frames - frame)
            frames = 1; // the walk goes on in any case
        for (uint32_t i = 1; i < frames; i++) check_blank(arena + i, i, !arena->large, frame + i);
        *(arena->large ? &large : &small) += frames;
        frame += frames;
    }
    for (uint32_t table = 1; table < PORT_TABLES; table++) small += free_seen[table];
    REQUIRE(small == heap->small_frames, "A1", "frames in small arenas, or kept for them", small);
    REQUIRE(large == heap->large_frames, "A1", "frames in large areas", large);
    for (uint32_t table = 0; table < PORT_TABLES && port_descs(heap, table); table++) {
        for (uint32_t i = 0; i < heap->desc_count; i++) check_list(heap, table, i);
    }
}

// ---- C1, C2: what only the checked build knows --------------------------------------------------

#ifdef HEAP_CHECKED
// The first byte that was written over, and whose it is.
static void complain_of_byte(const char *invariant, const char *what, uintptr_t at) {
    char who[HEAP_WHO_MAX];
    if (broken++ >= LINES_MAX) return;
    kprintf("heap check: %s broken: %s, %p: %s\n", invariant, what, (void *)at,
            heap_who(who, sizeof who, at));
}

static void check_blocks(void) { checked_check(complain_of_byte); }
#else
static void check_blocks(void) {}
#endif

static void check_heap(const struct heap *heap) {
    port_state state = port_freeze(heap);
    check_pool(&heap->pool);
    if (port_owners(heap)) owners_check(heap);
    else check_arenas(heap);
    port_thaw(heap, state);
}

uint32_t heap_check(void) {
    broken = 0;
    check_blocks(); // outside the heap's lock, which it takes for itself
    port_state state = port_lock(&k_heap);
    check_pool(mem_pool[POOL_USER]);
    port_unlock(&k_heap, state);
    for (const struct heap *heap = &k_heap; heap; heap = heap->next) check_heap(heap);
    return broken;
}

// ---- one descriptor, counted -------------------------------------------------------------------

static void desc_add(const struct memory_block_desc *desc, struct desc_state *out) {
    out->arenas += desc->arenas;
    out->live_blocks += desc->arenas * desc->blocks_per_arena;
    for (struct list_elem *e = list_first(&desc->free_list); e;
         e = list_next(&desc->free_list, e)) {
        out->free_blocks += list_entry(e, struct arena, elem)->cnt;
        out->live_blocks -= list_entry(e, struct arena, elem)->cnt;
    }
}

void heap_desc_state(const struct heap *heap, uint32_t index, struct desc_state *out) {
    port_state state = port_freeze(heap);
    if (port_owners(heap)) {
        owners_desc_state(heap, index, out);
        port_thaw(heap, state);
        return;
    }
    *out = (struct desc_state){.block_size = heap->block_descs[index].block_size,
                               .blocks_per_arena = heap->block_descs[index].blocks_per_arena};
    for (uint32_t table = 0; table < PORT_TABLES && port_descs(heap, table); table++) {
        desc_add(port_descs(heap, table) + index, out);
    }
    port_thaw(heap, state);
}
