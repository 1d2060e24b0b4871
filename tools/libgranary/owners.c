// owners.c - a heap of several owners: each takes and frees in arenas of its own without a lock,
// and what another owner frees comes home exactly. See owners.h for the records.
//
// Theory. An owner has, for each size, one word of an arena's map in hand, and sys_malloc takes its
// lowest bit. As long as no other owner frees blocks of that size, that is all: sys_free sets the
// bit again. The bits of blocks that were never handed out are set as well. They are carved, a page
// of them at a time or a few: from then on they are among those that may be taken (front.mask).
//
// With 64 bits, sys_free proves a block of its own by what stands beside its frame's record (struct
// proof), and looks at the arena's record for head and map only. The rest of that record is proved
// where it is followed.
//
// When another owner frees, the front of that size becomes foreign, for good: from then on each
// word is claimed. What is at home of it then may be handed out; what comes home later waits until
// it is claimed again. So a block that was freed is handed out again only after its word was
// claimed, and that is what makes the rest exact.
//
// Another owner reads the map (a bit set there: a double free, refused) and then sets the block's
// bit in `away`, by one compare-and-exchange that also compares how often the word was collected.
// The owner collects a word whenever it claims it, by an exchange that raises that count. So if the
// exchange of a free succeeds, the word was not claimed since the free read that the block is live:
// it is live still, unless its owner has freed it meanwhile. In that case the bit is in the map and
// in `away` when the word is collected, before the block can be handed out again; that is a double
// free, reported then, and the block is free once.
//
// A front of which no other owner has ever freed a block thus needs no exchange (an instruction
// that locks the bus or the cache line). Who is the first makes it `foreign`, and waits until every
// processor has passed a barrier: an owner that takes a word into hand afterwards knows, and who
// was about to will look again. Then it takes the word in hand away (front.take) and waits for a
// second barrier: after that no block comes from anything but a claimed word. Who frees a block of
// that front meanwhile waits for the same lock. An arena is marked, ARENA_EVER, when another owner
// first frees there, or when it is opened in a foreign front: in one that is not marked the map
// alone says what is live, which sys_free rests on.
//
// Words are taken in turn, of all arenas in turn (front_turn()): by the time that it is a word's
// turn again, as many of its blocks have come home as can be, and it gives several. A word that
// would give a single block has to wait while there are blocks to carve.
//
// An arena that is all at home stays open until its frames are wanted: by a size before it takes
// fresh ones, by the process before it has more pages than ever (pages.c), before the pool grows.
// So sys_free need not look for it, and who frees everything and takes it again does not open and
// close all arenas each time. But nothing may be held for good: once small arenas hold more than
// 16 MiB, and until it is 8 MiB, an owner's arenas are watched, and each is closed with its last
// block, but for a spare one of each size and the one in hand.
//
// Most sizes of a program have a few blocks. They have no page of their own: a size begins as a
// guest of a larger one (host_of()), and gets its own front when its host has no blocks left.
//
// Invariants:
//   S1  A record's desc, base, seal and `ever`, and a front's `foreign`, change under the heap's
//       lock only; map, carved and `full` by the owner only (an idle one: by who holds the lock).
//   S2  A block is live exactly if its bit is set neither in the map nor in `away`. It is handed
//       out only of front.mask, and in a claimed word only once: what comes home meanwhile is not
//       in the mask.
//   S3  A bit of `away` is set only for a block that was live since its word was last collected.
//   S4  A foreign front's blocks come from claimed words, which are collected when they are
//       claimed, a marked arena's also after its record is blanked. A marked arena's front is
//       foreign.
//   S5  An arena is in its front's free_list exactly if it is not ARENA_FULL; in `waiting`, if it
//       is and was marked or refused, or in its owner's news until the owner has looked there.
//   S6  Bits of blocks that do not exist are 1 in the map, as are those of blocks that are not
//       carved yet, from `carved` on. Only front.young may have such blocks.
//   S7  With 64 bits, each frame of an arena has a proof, which adds up to the owner's seal; all
//       other frames' are 0. It changes when the arena is opened, cut and closed, under the heap's
//       lock.
//   S8  The pages of carved blocks are the process's (resident.c). Where `fresh` is not set, the
//       further pages of `young` are, too.
//   S9  An arena of a free list that is not marked is ARENA_WATCHED exactly if its owner watches.
//
// What is not kept: arena.cnt and desc->arenas' free blocks; who wants them counts.
//
// Shortcomings:
//   - Blocks that others freed come home when their owner wants more of their size, or when the
//     pool is out of frames; an owner that allocates nothing more leaves them where they are.
//   - A block that was carved and never handed out, of the word in hand, is as free as one that
//     was: a wrong free of it is called a double free.
//   - That an arena's own record was overwritten is noticed by its owner when it is its turn to
//     give blocks, or to be looked at; in one that is watched, with its last block. From then on
//     each free there is refused, and its frames are lost.
//   - Arenas that were all at home before their owner began to watch, of 16 MiB in all, stay so
//     until the pool grows, or a trim call; those of other threads that run, until these want
//     frames.
//   - A guest that has left does not come back. A block of a guest's that another thread frees
//     makes the host's front foreign.
#include "tools/libgranary/owners.h"

#define WORD_LEAST 2u // blocks that a carve, or a word while there are blocks to carve, should give

// ---- owners -------------------------------------------------------------------------------------

_Static_assert((BLOCK_ALIGN * ARENA_BLOCKS_MAX) % PG_SIZE == 0, "as many blocks are whole frames");

// What it costs to open an arena, and to look for one, does not depend on how many blocks it gives,
// and a page that no block was carved of takes no memory. So arenas may be as long as their map and
// the pool allow, where the kernel has one frame.
static void widen(struct memory_block_desc *desc) {
    uint32_t frames = ARENA_BLOCKS_MAX * desc->block_size / PG_SIZE;
    desc->frames_per_arena = frames < ARENA_FRAMES_MAX ? frames : ARENA_FRAMES_MAX;
    desc->blocks_per_arena = desc->frames_per_arena * PG_SIZE / desc->block_size;
}

// A size that is seldom asked for is not to have a page of its own, most of it unused. So each size
// begins as a guest: its blocks are those of the next power of two, or of what the table has from
// there on, if that is at most twice as much. They must be aligned as the size's own are: who
// aligns a block goes by these. Otherwise the size has its own front from the start.
static const struct memory_block_desc *host_of(const struct heap *heap, size_t slot) {
    const struct memory_block_desc *own = heap->desc_of[slot], *host;
    uint32_t size = own->block_size;
    slot = size / BLOCK_ALIGN - 1;
    for (uint32_t shift = 1; shift < 16; shift *= 2) slot |= slot >> shift; // 16 bits are enough
    if (slot >= heap->block_max / BLOCK_ALIGN) return own;
    host = heap->desc_of[slot];
    bool aligned = host->block_size % (size & -size) == 0;
    return aligned && host->block_size <= 2 * size ? host : own;
}

static void front_set(struct owner *me, size_t slot, const struct memory_block_desc *desc) {
    size_t index = (size_t)(desc - me->heap->block_descs);
    me->front_at[slot] = (uint16_t)(offsetof(struct owner, front) + index * sizeof(struct front));
}

// The front of a size has no blocks left. True if it was a guest there and gets a front of its own.
static SLOW_PATH bool guest_leaves(struct owner *me, const struct front *front, size_t size) {
    const struct heap *heap = me->heap;
    const struct memory_block_desc *own = heap->desc_of[(size - 1) / BLOCK_ALIGN];
    if (front->block_size == own->block_size || front->desc.arenas == 0) return false;
    for (size_t slot = 0; slot < heap->block_max / BLOCK_ALIGN; slot++) {
        if (heap->desc_of[slot] == own) front_set(me, slot, own);
    }
    return true;
}

static void owner_init(struct owner *me, struct heap *heap, uint32_t number) {
    me->seal = SHARED_SEAL + number * SHARED_STEP;
    me->heap = heap;
    me->block_max = heap->block_max;
    for (uint32_t slot = 0; slot < heap->block_max / BLOCK_ALIGN; slot++) {
        front_set(me, slot, host_of(heap, slot));
    }
    for (uint32_t i = 0; i < heap->desc_count; i++) {
        struct front *front = &me->front[i];
        take_away(front);
        front->desc = heap->block_descs[i];
        front->block_size = front->desc.block_size;
        widen(&front->desc);
        front->words = (uint8_t)((front->desc.blocks_per_arena + WORD_BLOCKS - 1) / WORD_BLOCKS);
        uint32_t chunk = PG_SIZE / front->block_size;
        front->chunk = (uint8_t)(chunk > WORD_BLOCKS  ? WORD_BLOCKS
                                 : chunk > WORD_LEAST ? chunk
                                                      : WORD_LEAST);
        front->foreign = heap->owners->marks;
        list_init(&front->desc.free_list);
        list_init(&front->waiting);
    }
}

// Locked by its caller.
static struct owner *owner_pop(struct owners *all) {
    struct owner *owner = all->idle;
    if (owner) all->idle = owner->next_idle;
    return owner;
}

struct owner *owner_take(struct heap *heap, uint32_t most) {
    struct owners *all = heap->owners;
    port_state state = port_lock(heap);
    struct owner *owner = owner_pop(all);
    struct owner *next = !owner && all->count < most ? &all->owner[all->count] : NULL;
    if (next && port_owner_open(next)) {
        owner = next;
        owner_init(owner, heap, all->count);
        __atomic_store_n(&all->count, all->count + 1, __ATOMIC_RELEASE);
    }
    port_unlock(heap, state);
    return owner;
}

static void owner_push(struct owner *owner) {
    struct owners *all = owner->heap->owners;
    port_state state = port_lock(owner->heap);
    owner->next_idle = all->idle;
    all->idle = owner;
    port_unlock(owner->heap, state);
}

// Nothing that is free is kept.
static uint32_t tidy(struct owner *me) {
    uint32_t frames = owner_gather(me);
    for (uint32_t i = 0; i < me->heap->desc_count; i++) {
        uint32_t looks = UINT32_MAX;
        frames += front_cut(me, &me->front[i], UINT32_MAX, &looks);
    }
    return frames;
}

uint32_t owners_trim_idle(struct heap *heap) {
    struct owner *done = NULL, *owner;
    uint32_t frames = 0;
    for (;;) {
        port_state state = port_lock(heap);
        owner = owner_pop(heap->owners);
        port_unlock(heap, state);
        if (!owner) break;
        frames += tidy(owner); // it is ours while it is out of the list
        owner->next_idle = done;
        done = owner;
    }
    while ((owner = done)) {
        done = owner->next_idle;
        owner_push(owner);
    }
    return frames;
}

uint32_t shared_trim(struct owner *me) { return tidy(me); }

void owner_leave(struct owner *me) {
    tidy(me);
    owner_push(me);
}

// ---- blocks into hand ---------------------------------------------------------------------------
//
// malloc()                           the lowest block in hand
//   malloc_next()                    if there is none:
//     front_quick()                    the next word with blocks at home
//     malloc_turn()                    or, in a foreign front or while there are blocks to carve,
//       front_turn()
//         word_claim()                   a word's blocks that are at home
//         front_carve()                  blocks that were never handed out
//       malloc_slow(), front_take()    or
//         front_renew()                  an arena, another's frees, more frames

// Whether a word that has these blocks at home gives enough of them.
_Static_assert(WORD_LEAST == 2, "more than one bit");
static INLINE_ALWAYS bool worth_taking(block_bits bits) { return (bits & (bits - 1)) != 0; }

// Takes the first word from `word` on that is worth taking (`any`: that has a block at home), or of
// which others have freed blocks, into hand; those come home first. False if there is none.
static INLINE_ALWAYS bool word_claim(struct front *front, struct arena *arena, uint32_t word,
                                     bool any) {
    struct heap *heap = front->desc.heap;
    bool foreign = LOOK(front->foreign);
    for (uint32_t carved = arena->carved; word * WORD_BLOCKS < carved; word++) {
        block_bits *map = &map_of(arena)[word], blocks = below(carved, word);
        bool enough = any ? (*map & blocks) != 0 : worth_taking(*map & blocks);
        if (!enough && !(foreign && any_away(heap, arena, word))) continue;
        if (LIKELY(!foreign)) {
            hand_take(front, arena, word, blocks);
            return true;
        }
        block_bits twice = word_collect(heap, arena, word, *map & blocks);
        hand_claim(front, arena, word, *map & blocks);
        if (UNLIKELY(twice)) twice_report(heap, front->base, front->block_size, twice);
        return true;
    }
    return false;
}

// Blocks that were never handed out are to be had: those that follow, of the same word, front.chunk
// of them at most. Takes their word into hand. False if there are none, or if there are pages to be
// had that need not be taken from the system.
static inline bool front_carve(struct owner *me, struct front *front) {
    struct arena *arena = front->young;
    if (UNLIKELY(!arena)) return false;
    if (UNLIKELY(!record_sound(arena, me->seal))) {
        front->young = NULL;
        return false;
    }
    uint32_t first = arena->carved, word = first / WORD_BLOCKS, more = 0;
    uint32_t end = first + front->chunk;
    if (end > (word + 1) * WORD_BLOCKS) end = (word + 1) * WORD_BLOCKS;
    if (end > front->young_end) end = front->young_end;
    if (UNLIKELY(front->fresh)) {
        end = carve_there(me, front, arena, end);
        if (end == first) return false;
        uintptr_t size = front->block_size;
        more = granary_touch(arena_base(me->heap, arena) + first * size, (end - first) * size);
    }
    if (end == front->young_end) front->young = NULL;
    STORE(arena->carved, (uint16_t)end);
    if (LIKELY(!LOOK(front->foreign))) hand_take(front, arena, word, below(end, word));
    else hand_claim(front, arena, word, below(end, word) & ~below(first, word));
    if (UNLIKELY(more) && granary_over()) owner_pages_back(me, front);
    return true;
}

// The arena after this one in its free list, after the last the first; of one alone, itself.
static inline struct arena *arena_after(const struct front *front, const struct arena *arena) {
    const struct list *list = &front->desc.free_list;
    struct list_elem *next = arena->elem.next;
    return list_entry(next != &list->head ? next : list_front(list), struct arena, elem);
}

// The arena of the free list whose turn it is: the one after the one in hand, so that as many
// blocks as can be have come home by then. NULL if the list is empty.
static inline struct arena *arena_next(const struct front *front) {
    const struct list *list = &front->desc.free_list;
    const struct arena *hand = front->arena;
    if (hand && !is_full(hand)) return arena_after(front, hand);
    return list_empty(list) ? NULL : list_entry(list_front(list), struct arena, elem);
}

// An arena of the free list has no blocks at home.
static void front_full(struct front *front, struct arena *arena) {
    list_remove(&arena->elem);
    if (arena->known) list_append(&front->waiting, &arena->elem);
    STORE(arena->full, ARENA_FULL);
}

// The record of an arena of the free list was overwritten: nothing is taken from it any more.
static SLOW_PATH void front_refuse(struct front *front, struct arena *arena) {
    const struct heap *heap = front->desc.heap;
    STORE(arena->known, ARENA_KNOWN >> 16); // so that it is among those that wait
    front_full(front, arena);
    port_report(heap, HEAP_CORRUPT_ARENA, arena_base(heap, arena), 0);
}

// Whether blocks of the word in hand are left: the size became foreign, the word was taken away.
static SLOW_PATH bool hand_left(const struct front *front) {
    uint32_t word = (uint32_t)(front->word - map_of(front->arena));
    return (*front->word & below(front->arena->carved, word)) != 0;
}

// Takes blocks into hand: of the next word of the arena in hand, or one of the arena whose turn it
// is; while there are blocks to carve, only words that are worth taking. False if there are none.
static INLINE_ALWAYS bool front_turn(struct owner *me, struct front *front) {
    struct arena *left = front->arena, *arena = left;
    front->used = true;
    bool done = false, any = !front->young || (UNLIKELY(front->fresh) && granary_full());
    if (left && UNLIKELY(!record_sound(left, me->seal)))
        left = NULL; // its turn comes, and it is refused
    if (LIKELY(left != NULL)) {
        if (UNLIKELY(is_full(left)) && hand_left(front)) unfull(me, front, left);
        done = word_claim(front, left, (uint32_t)(front->word - map_of(left)) + 1, any);
    }
    while (!done && (arena = arena_next(front)) != NULL) {
        if (UNLIKELY(!record_sound(arena, me->seal))) {
            front_refuse(front, arena);
            continue;
        }
        done = word_claim(front, arena, 0, any);
        if (done || !any) break;
        front_full(front, arena); // the one in hand, too, after all others
    }
    return done || front_carve(me, front);
}

// Looks from *word on for a word with a carved block at home; *word is that word then, and *mask
// its carved blocks. False if there is none.
static inline bool word_find(const struct arena *arena, uint32_t *word, block_bits *mask) {
    for (uint32_t carved = arena->carved; *word * WORD_BLOCKS < carved; ++*word) {
        *mask = below(carved, *word);
        if (map_of(arena)[*word] & *mask) return true;
    }
    return false;
}

#define QUICK_LOOKS 8u // arenas that are passed over

// The usual case of front_turn(), when nothing is in hand any more: no other owner frees blocks of
// this size, none are to be carved, and the records looked at are sound. True: a word is in hand
// (but the size may have become foreign just now). False: nothing has changed.
//
// Arenas that are passed over, as no block of theirs is at home, stay in the free list: the next
// free in one that is full takes long.
static INLINE_ALWAYS bool front_quick(const struct owner *me, struct front *front) {
    struct arena *hand = front->arena, *arena = hand;
    if (UNLIKELY(LOOK(front->foreign) || !hand || is_full(hand) || front->young)) return false;
    if (UNLIKELY(!record_sound(hand, me->seal))) return false;
    block_bits mask;
    uint32_t word = (uint32_t)(front->word - map_of(hand)) + 1, looks = QUICK_LOOKS;
    for (; !word_find(arena, &word, &mask); looks--) {
        bool around = arena == hand && looks < QUICK_LOOKS;
        if (around || looks == 0) return false;
        arena = arena_after(front, arena);
        if (UNLIKELY(!record_sound(arena, me->seal))) return false;
        word = 0;
    }
    front->used = true;
    hand_take(front, arena, word, mask);
    return true;
}

// No arena has blocks at home: takes them from one in which others have freed, or from a new one, a
// shorter one where the pages are the process's already, or where frames were used once. Before the
// pool grows, all that was freed comes home; where it cannot grow, a shorter arena will do. False:
// no memory.
static SLOW_PATH bool front_renew(struct owner *me, struct front *front) {
    struct heap *heap = me->heap;
    bool gathered = false;
    do {
        if (UNLIKELY(!list_empty(&front->waiting)) && waiting_look(me, front)) continue;
        if (!LOOK(front->foreign)) there_ready(me, front);
        watch_look(me);
        struct frame *first = NULL;
        port_state state = port_lock(heap);
        uint32_t frames = arena_length(front), least = frames_least(front);
        // Where others free, a word is to give many blocks.
        if (UNLIKELY(front->foreign)) least = frames;
        bool news = UNLIKELY(me->news != NULL) && news_take(me, front), grows = false;
        if (!news) first = there_take(&heap->pool, least, &frames, THERE_LOOKS);
        if (!news && !first) frames = used_length(&heap->pool, least, frames);
        if (!news && !first) grows = !gathered && !run_find(&heap->pool, frames);
        if (!news && !first && !grows)
            first = run_take_most(&heap->pool, frames_least(front), &frames);
        if (first) shared_open(me, front, first, frames);
        port_unlock(heap, state);
        if (LIKELY(news || first)) continue;
        if (!grows) return false;
        gathered = true;
        owner_gather(me);
        owners_trim_idle(heap);
    } while (!front_turn(me, front));
    return true;
}

// ---- sys_malloc and sys_free --------------------------------------------------------------------

// A block, or NULL. It is one of the front that the size is a guest of, if that has one.
static INLINE_ALWAYS void *front_take(struct owner *me, size_t size) {
    struct front *front = front_for(me, size);
    void *p;
    while (!front_lowest(front, &p)) {
        if (LIKELY(front_turn(me, front))) continue; // or it has just become foreign
        if (guest_leaves(me, front, size)) front = front_for(me, size);
        else if (!front_renew(me, front)) return NULL;
    }
    return p;
}

#define LARGE_LOOKS 8u // free runs looked at for a large area

// A large area of free frames, or NULL: where the pages are the process's already, if that is soon
// found. (The pages of one that is long enough for an anchor are seldom all there.) Locked.
static void *large_there(struct heap *heap, size_t size) {
    struct pool *pool = &heap->pool;
    uint32_t count = (uint32_t)frames_of(size);
    struct frame *tail = run_find(pool, count), *first = NULL;
    if (!tail) return NULL;
    // An area that was just freed lies at its run's low end, which large_take() takes.
    if (count < ANCHOR_STEP && !granary_touched_all(run_first(pool, tail), count))
        first = there_take(pool, count, &count, LARGE_LOOKS);
    return first ? large_make(heap, first, count) : large_take(heap, size);
}

// A large area, or NULL. Before the pool grows, all that was freed comes home.
static SLOW_PATH void *large_or_grow(struct owner *me, size_t size) {
    if (frames_of(size) > me->heap->pool.frames) return NULL; // so for size 0, too
    port_state state = port_lock(me->heap);
    void *p = large_there(me->heap, size);
    port_unlock(me->heap, state);
    if (LIKELY(p)) return p;
    owner_gather(me);
    owners_trim_idle(me->heap);
    return large_take_slow(me->heap, size);
}

void *shared_malloc(struct owner *me, size_t size) {
    if (UNLIKELY(size - 1 >= me->block_max)) return large_or_grow(me, size);
    return front_take(me, size);
}

// A block at home was handed out before unless it is to be carved. (Or was carved and its turn has
// not come yet: that cannot be told.)
static enum heap_fault home_fault(const struct arena *arena, uint32_t block) {
    return block >= LOOK(arena->carved) ? HEAP_NOT_ALLOCATED : HEAP_DOUBLE_FREE;
}

// What a free of a block would be: HEAP_OK, HEAP_DOUBLE_FREE, HEAP_NOT_ALLOCATED.
enum heap_fault owners_block(const struct heap *heap, const struct arena *arena, uint32_t block) {
    if (is_set(LOOK(*word_of(arena, block)), block)) return home_fault(arena, block);
    // A share that was never written to takes no memory, unless it is read (on some systems).
    bool away = LOOK(arena->ever) && shared_away(heap, arena, block);
    return away ? HEAP_DOUBLE_FREE : HEAP_OK;
}

// Frees a block of an arena of this owner. False, and nothing changed, if it is no live block.
static inline bool put_home(struct owner *me, struct arena *arena, uintptr_t p) {
    struct front *front = front_of(arena->desc);
    uint32_t block = block_index(arena->desc, (uint32_t)(p - arena->base));
    if (UNLIKELY(block >= ARENA_BLOCKS_MAX)) return false;
    block_bits *word = word_of(arena, block), map = *word;
    if (set_bit(&map, block)) return false;
    if (UNLIKELY(LOOK(arena->ever)) && shared_away(me->heap, arena, block)) return false;
    STORE(*word, map);
    if (is_full(arena)) unfull(me, front, arena);
    bool ever = LOOK(arena->ever);
    if (ever && arena->full == ARENA_WATCHED) STORE(arena->full, 0); // heap_is_large() says it
    if (ever ? heap_is_large(me->heap) : arena->full == ARENA_WATCHED)
        close_if_home(me, front, arena, true);
    return true;
}

static enum heap_fault home_block(const struct heap *heap, const struct arena *arena, uintptr_t p) {
    uint32_t block = block_index(arena->desc, (uint32_t)(p - arena->base));
    if (block >= owners_blocks(heap, arena)) return HEAP_INTERIOR_POINTER;
    return owners_block(heap, arena, block);
}

// The owner of the sound shared arena that a record is of, or NULL.
static struct owner *owner_of(const struct heap *heap, const struct arena *arena) {
    struct owner *owner = head_sound(LOOK(arena->head)) ? owner_by(heap, shared_sum(arena)) : NULL;
    return owner && front_is(owner, LOOK(arena->desc)) ? owner : NULL;
}

// The first free in an arena by another owner.
static SLOW_PATH void mark_ever(struct owner *owner, struct arena *arena) {
    struct heap *heap = owner->heap;
    port_state state = port_lock(heap);
    if (owner_of(heap, arena) == owner && !arena->ever) { // else the record is another by now
        struct front *front = front_of(arena->desc);
        struct share *share = share_of(heap, arena);
        if (!front->foreign) {
            STORE(front->foreign, true);
            port_barrier(); // who takes a word into hand from here on knows
            take_away(front);
            port_barrier(); // and who takes a block does so of a claimed word
        }
        STORE(arena->ever, ARENA_EVER >> 8);
        share->next = owner->news;
        owner->news = share;
    }
    port_unlock(heap, state);
}

// What a free by another owner is of a block that is not live, in the map or in `away`.
static enum heap_fault away_fault(const struct heap *heap, const struct arena *arena,
                                  uint32_t block, bool away) {
    if (!LOOK(arena->desc)) return HEAP_CORRUPT_ARENA; // closed just now
    if (block >= owners_blocks(heap, arena)) return HEAP_INTERIOR_POINTER;
    return away ? HEAP_DOUBLE_FREE : home_fault(arena, block);
}

// Frees a block of another owner's arena: `at`, where place_look() found `sum`. HEAP_CORRUPT_ARENA:
// it changed meanwhile, or is not marked: look again. `quick`: and also if anything is unusual, so
// that no call is left.
static INLINE_ALWAYS enum heap_fault put_away(struct heap *heap, const struct place *at,
                                              uintptr_t sum, uintptr_t p, bool quick) {
    struct arena *arena = at->arena;
    bool inside = at->block < ARENA_BLOCKS_MAX;
    if (quick && UNLIKELY(!inside)) return HEAP_CORRUPT_ARENA;
    uint32_t block = inside ? (uint32_t)at->block : 0, bit = 1u << block % 32;
    uint64_t *away = &share_of(heap, arena)->away[block / 32];
    uint64_t seen = __atomic_load_n(away, __ATOMIC_ACQUIRE);
    // Only now: if the arena is closed after `seen` was read, the exchange fails. It may have been
    // before, and another opened there; block 0 of that has the same number, whatever its size.
    struct place now;
    bool same = place_look(heap, p, &now) == sum && now.arena == arena && now.block == at->block;
    uint32_t head = LOOK(arena->head);
    bool marked = (head & ARENA_EVER) && head_sound(head);
    if (UNLIKELY(!same || !marked || shared_sum(arena) != sum)) return HEAP_CORRUPT_ARENA;
    if (UNLIKELY(!inside)) return HEAP_INTERIOR_POINTER;
    block_bits home = __atomic_load_n(word_of(arena, block), __ATOMIC_ACQUIRE);
    bool free = ((uint32_t)seen & bit) || is_set(home, block);
    if (quick && UNLIKELY(free)) return HEAP_CORRUPT_ARENA;
    enum heap_fault fault = HEAP_OK;
    if (UNLIKELY(free)) fault = away_fault(heap, arena, block, (uint32_t)seen & bit);
    // A fault changes nothing: but is the word what it was?
    uint64_t next = LIKELY(!free) ? seen | bit : seen;
    bool same_word =
        __atomic_compare_exchange_n(away, &seen, next, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    return LIKELY(same_word) ? fault : HEAP_CORRUPT_ARENA;
}

enum heap_fault owners_classify(const struct heap *heap, uintptr_t p, struct arena **arena,
                                uint32_t *block) {
    uintptr_t frame = (p - heap->base) >> PG_SHIFT;
    *arena = NULL;
    *block = 0;
    if (frame >= heap->frames) return HEAP_OUTSIDE;
    struct arena *at = record_at(heap, (uint32_t)frame);
    if (!at) return HEAP_CORRUPT_ARENA;
    if (arena_blank(at)) return classify_frame(heap, (uint32_t)frame);
    *arena = at;
    if (at->large && arena_sealed(at)) return p == at->base ? HEAP_OK : HEAP_INTERIOR_POINTER;
    bool sound = owner_of(heap, at) && frame_proved(heap, frame, at, shared_sum(at));
    if (!sound) return HEAP_CORRUPT_ARENA;
    *block = block_index(at->desc, (uint32_t)(p - at->base));
    if (*block >= owners_blocks(heap, at)) return HEAP_INTERIOR_POINTER;
    return owners_block(heap, at, *block);
}

size_t owners_room(const struct heap *heap, uintptr_t p) {
    struct place at;
    if (p - PORT_BASE(heap) >= PORT_BYTES(heap)) return 0;
    const struct owner *owner = owner_by(heap, place_look(heap, p, &at));
    if (!owner || at.block >= ARENA_BLOCKS_MAX || owner_of(heap, at.arena) != owner) return 0;
    const struct memory_block_desc *desc = LOOK(at.arena->desc);
    bool live = desc && owners_block(heap, at.arena, (uint32_t)at.block) == HEAP_OK;
    return live ? desc->block_size : 0;
}

// No shared arena: a large area, or a wrong pointer. False, with nothing done, if it is in one by
// now.
static bool put_locked(struct heap *heap, uintptr_t p, enum heap_fault *fault) {
    struct arena *arena;
    uint32_t block;
    port_state state = port_lock(heap);
    *fault = owners_classify(heap, p, &arena, &block);
    bool shared = arena && !arena->large && *fault != HEAP_CORRUPT_ARENA;
    if (*fault == HEAP_OK && !shared) large_give(heap, arena, p);
    port_unlock(heap, state);
    return !shared;
}

// Frees whatever p is; false after a report.
static SLOW_PATH bool free_any(struct heap *heap, struct owner *me, uintptr_t p, uintptr_t caller) {
    enum heap_fault fault = HEAP_OUTSIDE;
    uintptr_t frame = (p - PORT_BASE(heap)) >> PG_SHIFT;
    while (frame < PORT_FRAMES(heap)) {
        struct place at;
        uintptr_t sum = place_look(heap, p, &at);
        struct owner *owner = owner_by(heap, sum);
        bool shared = owner && owner_of(heap, at.arena) == owner;
        if (!shared && put_locked(heap, p, &fault)) break;
        if (!shared) continue;
        if (owner == me) fault = home_block(heap, at.arena, p); // shared_free() has tried
        else if (LOOK(at.arena->head) & ARENA_EVER) fault = put_away(heap, &at, sum, p, false);
        else mark_ever(owner, at.arena), fault = HEAP_CORRUPT_ARENA;
        if (fault != HEAP_CORRUPT_ARENA) break;
    }
    if (fault == HEAP_OK) return true;
    port_report(heap, fault, p, caller);
    return false;
}

// What shared_give_fast() leaves.
bool shared_free(struct heap *heap, struct owner *me, uintptr_t p, uintptr_t caller) {
    if (LIKELY(p - PORT_BASE(heap) < PORT_BYTES(heap))) {
        struct place at;
        uintptr_t sum = place_look(heap, p, &at);
        const struct owner *owner = owner_by(heap, sum);
        if (!owner) {
            struct arena *arena = &heap->arena[(p - PORT_BASE(heap)) >> PG_SHIFT];
            if ((LOOK(arena->head) & ARENA_LARGE) && LIKELY(large_give_several(heap, arena, p)))
                return true;
        } else if (owner == me) {
            if (LIKELY(owner_of(heap, at.arena) == me) && LIKELY(put_home(me, at.arena, p)))
                return true;
        } else if (LIKELY(put_away(heap, &at, sum, p, true) == HEAP_OK)) {
            return true;
        }
    }
    return free_any(heap, me, p, caller);
}

// ---- for what looks at a heap -------------------------------------------------------------------

bool owners_sound(const struct heap *heap, const struct arena *arena) {
    return owner_of(heap, arena) != NULL;
}

uint32_t shared_home(const struct heap *heap, const struct arena *arena, uint32_t first) {
    uint32_t away = (uint32_t)LOOK(share_of(heap, arena)->away[first / 32]);
    const block_bits *at = word_of(arena, first);
    block_bits home = LOOK(*at) & below(owners_blocks(heap, arena), (uint32_t)(at - map_of(arena)));
    return (uint32_t)(home >> first % WORD_BLOCKS) | away;
}

// ---- the start, and fork() ----------------------------------------------------------------------

void owners_init(struct heap *heap, struct owners *owners) {
    owners->to_share = (uintptr_t)owners->share - (uintptr_t)heap->arena * SHARE_RATIO;
    heap->owners = owners;
}

// Puts the lists of an owner together again, from the records of its arenas.
static void owner_recover(struct owner *owner) {
    for (uint32_t i = 0; i < owner->heap->desc_count; i++) {
        struct front *front = &owner->front[i];
        list_init(&front->desc.free_list);
        list_init(&front->waiting);
        front->desc.arenas = 0;
        front->young = front->spare = NULL;
        take_away(front);
        front->word = NULL;
        front->arena = NULL;
    }
    owner->news = NULL;
}

static void arena_recover(struct owner *owner, struct arena *arena) {
    struct front *front = front_of(arena->desc);
    front->desc.arenas++;
    arena->known = arena->ever ? ARENA_KNOWN >> 16 : 0;
    uint32_t blocks = owners_blocks(owner->heap, arena);
    if (arena->carved < blocks) {
        front->young = arena;
        front->young_end = (uint16_t)blocks;
        front->fresh = true;
    }
    arena->full = owner->watches && !arena->ever ? ARENA_WATCHED : 0;
    list_append(&front->desc.free_list, &arena->elem);
    // What was just being collected may be in the map already.
    for (uint32_t part = 0; arena->ever && part < ARENA_BLOCKS_MAX / 32; part++) {
        share_of(owner->heap, arena)->away[part] &= ~(uint64_t)arena->map[part];
    }
}

void owners_recover(struct heap *heap, struct owner *me, struct owner *kept) {
    struct owners *all = heap->owners;
    all->idle = NULL;
    for (uint32_t i = 0; i < all->count; i++) {
        if (&all->owner[i] == me) continue;
        owner_recover(&all->owner[i]);
        if (&all->owner[i] == kept) continue;
        all->owner[i].next_idle = all->idle;
        all->idle = &all->owner[i];
    }
    for (uint32_t frame = 0; frame < heap->frames; frame++) {
        struct owner *owner = owner_of(heap, &heap->arena[frame]);
        if (owner && owner != me) arena_recover(owner, &heap->arena[frame]);
    }
}
