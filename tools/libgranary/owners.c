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
// word is claimed, its blocks leave the map before the first of them is handed out. So a block that
// was freed is handed out again only after its word was claimed, and that is what makes the rest
// exact.
//
// Another owner reads the map and what is in hand (a bit set there: a double free, refused) and
// then sets the block's bit in `away`, by one compare-and-exchange that also compares how often the
// word was collected. The owner collects a word whenever it claims it, by an exchange that raises
// that count. So if the exchange of a free succeeds, the word was not claimed since the free read
// that the block is live: it is live still, unless its owner has freed it meanwhile. In that case
// the bit is in the map and in `away` when the word is collected, before the block can be handed
// out again; that is a double free, reported then, and the block is free once.
//
// A front of which no other owner has ever freed a block thus needs no exchange (an instruction
// that locks the bus or the cache line). Who is the first makes it `foreign`, and waits until every
// processor has passed a barrier: an owner that takes a word into hand afterwards knows, and who
// was about to will look again. Then it takes the word in hand away (front.take) and waits for a
// second barrier: after that no block comes from anything but a claimed word. Who frees a block of
// that front meanwhile waits for the same lock. An arena is marked, ARENA_EVER, when another owner
// first frees there, when it is opened in a foreign front, or when its owner first claims a word of
// it: so in one that is not marked the map alone says what is live, which sys_free rests on.
//
// Words are taken in turn, of all arenas in turn (front_turn()): by the time that it is a word's
// turn again, as many of its blocks have come home as can be, and it gives several. The one just
// used up is taken once more if several have come home already: those are in the cache. A word that
// would give a few blocks only has to wait while there are blocks to carve.
//
// Invariants:
//   S1  A record's desc, base, seal and `ever`, and a front's `foreign`, change under the heap's
//       lock only; map, carved and `full` by the owner only (an idle one: by who holds the lock).
//   S2  No block is in two of these: the map; claimed; live.
//   S3  A bit of `away` is set only for a block that was live since its word was last collected.
//   S4  A foreign front's blocks come from claimed words of marked arenas, which are collected when
//       they are claimed, and a marked arena's after its record is blanked; a marked arena's front
//       is foreign.
//   S5  An arena is in its front's free_list exactly if it is not ARENA_FULL; in `waiting`, if it
//       is and was marked or refused, or in its owner's news until the owner has looked there.
//   S6  Bits of blocks that do not exist are 1 in the map, as are those of blocks that are not
//       carved yet, from `carved` on. Only front.young may have such blocks.
//   S7  With 64 bits, each frame of an arena has a proof, which adds up to the owner's seal; all
//       other frames' are 0. It changes when the arena is opened and closed, under the heap's lock.
//
// What is not kept: arena.cnt and desc->arenas' free blocks; who wants them counts.
//
// Shortcomings:
//   - Blocks that others freed come home when their owner wants more of their size, or when the
//     pool is out of frames; an owner that allocates nothing more leaves them where they are.
//   - A block that was carved and never handed out, of the word in hand, is as free as one that
//     was: a wrong free of it is called a double free.
//   - That an arena's own record was overwritten is noticed by its owner when the arena's last
//     block comes home, or when it is its turn to give blocks. From then on each free there is
//     refused, and its frames are lost.
#include "tools/libgranary/owners.h"

// From an address to its record by shifts; 64 bytes have no room for pointers of 64 bits.
_Static_assert((sizeof(struct arena) & (sizeof(struct arena) - 1)) == 0, "-DARENA_PADDED");
_Static_assert(sizeof(struct share) % sizeof(struct arena) == 0, "SHARE_RATIO is a whole number");

#define WORD_LEAST 4u // blocks that a carve, or a word taken again, should give

// What a front takes from is a word that is 0: its next call looks further.
static inline void take_away(struct front *front) {
    static const block_bits nothing; // never written to, as no bit of it is set
    STORE(front->take, (block_bits *)&nothing);
}

static inline uint32_t blocks_of(const struct arena *arena) {
    return arena->desc->blocks_per_arena;
}

static inline uintptr_t arena_base(const struct heap *heap, const struct arena *arena) {
    return frame_base(heap, (uint32_t)(arena - heap->arena)); // arena->base, sound or not
}

// The blocks of a word that are below `end`.
static inline block_bits below(uint32_t end, uint32_t word) {
    uint32_t first = word * WORD_BLOCKS;
    return end >= first + WORD_BLOCKS ? ALL_BLOCKS : ~(ALL_BLOCKS << (end - first));
}

// Blocks of a word that are not handed out, by the map and by what is in hand. The map is read
// first: a claim writes what it has in hand before it clears the map.
static inline block_bits word_home(const struct front *front, const block_bits *at) {
    for (;;) {
        block_bits map = __atomic_load_n(at, __ATOMIC_ACQUIRE);
        const block_bits *hand = __atomic_load_n(&front->word, __ATOMIC_ACQUIRE);
        if (hand != at) return map;
        block_bits bits = __atomic_load_n(&front->claimed, __ATOMIC_ACQUIRE);
        if (LOOK(front->word) == at) return map | bits; // else the bits may be another word's
    }
}

// ---- collecting and claiming --------------------------------------------------------------------

#define PARTS (WORD_BLOCKS / 32) // of a word: one of `away` for each

// Puts what others have freed of a word into the map. They are in the map before they leave `away`,
// so that who frees one again finds it in either; from then on a free that read the word before
// fails. Returns the blocks that were in both: freed twice.
static block_bits word_collect(struct heap *heap, struct arena *arena, uint32_t word) {
    uint64_t *away = &share_of(heap, arena)->away[word * PARTS];
    block_bits *at = &map_of(arena)[word], twice = 0;
    for (uint32_t part = 0; part < PARTS; part++) {
        uint64_t seen = __atomic_load_n(&away[part], __ATOMIC_RELAXED), next;
        block_bits map = *at, home;
        do {
            home = (block_bits)(uint32_t)seen << part * 32;
            STORE(*at, map | home);
            next = ((seen >> 32) + 1) << 32;
        } while (!__atomic_compare_exchange_n(&away[part], &seen, next, false, __ATOMIC_SEQ_CST,
                                              __ATOMIC_RELAXED));
        twice |= map & home;
    }
    return twice;
}

static bool any_away(const struct share *share, uint32_t word) {
    uint32_t any = 0;
    for (uint32_t part = 0; part < PARTS; part++)
        any |= (uint32_t)LOOK(share->away[word * PARTS + part]);
    return any != 0;
}

// Two owners freed these blocks of the word at `base` at about the same time: neither could know.
// No lock may be held.
static SLOW_PATH void twice_report(const struct heap *heap, uintptr_t base, uint32_t block_size,
                                   block_bits twice) {
    for (; twice != 0; twice &= twice - 1) {
        port_report(heap, HEAP_DOUBLE_FREE, base + lowest(twice) * block_size, 0);
    }
}

// Takes blocks of a word of the map into hand: out of the map, into `claimed`. In this order for
// who reads without a lock: see word_home().
static inline void hand_claim(struct front *front, block_bits *word, block_bits blocks) {
    block_bits map = *word & ~blocks;
    front->mask = ALL_BLOCKS;
    __atomic_store_n(&front->word, NULL, __ATOMIC_RELEASE);
    __atomic_store_n(&front->claimed, blocks, __ATOMIC_RELEASE);
    __atomic_store_n(&front->word, word, __ATOMIC_RELEASE);
    __atomic_store_n(word, map, __ATOMIC_RELEASE);
    STORE(front->take, &front->claimed);
}

// Takes a word into hand where it is: its lowest blocks, those of `mask`.
static inline void hand_take(struct front *front, block_bits *word, block_bits mask) {
    front->mask = mask;
    STORE(front->word, word);
    STORE(front->take, word);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    // It may have become foreign meanwhile: mark_ever() waits for just this.
    if (UNLIKELY(LOOK(front->foreign))) take_away(front);
}

static inline void hand_turn(struct front *front, struct arena *arena, uint32_t word) {
    struct heap *heap = front->desc.heap;
    front->base = arena_base(heap, arena) + (uintptr_t)word * WORD_BLOCKS * front->block_size;
    front->arena = arena;
}

// An arena of a foreign front in which no other owner has freed: its words are to be claimed.
static SLOW_PATH void mark_own(struct front *front, struct arena *arena) {
    struct heap *heap = front->desc.heap;
    port_state state = port_lock(heap);
    if (!arena->ever) {
        STORE(arena->ever, ARENA_EVER >> 8);
        share_of(heap, arena)->known = true; // no news, then
        if (arena->full) list_append(&front->waiting, &arena->elem);
    }
    port_unlock(heap, state);
}

// Whether a word that has these blocks at home gives enough of them.
static INLINE_ALWAYS bool worth_taking(block_bits bits) {
    for (uint32_t bit = 1; bit < WORD_LEAST; bit++) bits &= bits - 1;
    return bits != 0;
}

// Takes the first word from `word` on that is worth taking (`any`: that has a block at home), or of
// which others have freed blocks, into hand; those come home first. False if there is none.
static INLINE_ALWAYS bool word_claim(struct front *front, struct arena *arena, uint32_t word,
                                     bool any) {
    struct heap *heap = front->desc.heap;
    bool foreign = LOOK(front->foreign);
    for (uint32_t carved = arena->carved; word * WORD_BLOCKS < carved; word++) {
        block_bits *map = &map_of(arena)[word], blocks = below(carved, word), twice = 0;
        bool away = UNLIKELY(foreign) && any_away(share_of(heap, arena), word);
        bool enough = any ? (*map & blocks) != 0 : worth_taking(*map & blocks);
        if (!enough && !away) continue;
        hand_turn(front, arena, word);
        if (LIKELY(!foreign)) {
            hand_take(front, map, blocks);
            return true;
        }
        if (UNLIKELY(!LOOK(arena->ever))) mark_own(front, arena);
        twice = word_collect(heap, arena, word);
        hand_claim(front, map, *map & blocks);
        if (UNLIKELY(twice)) twice_report(heap, front->base, front->block_size, twice);
        return true;
    }
    return false;
}

// Blocks that were never handed out are to be had: those that follow, of the same word, front.chunk
// of them at most. Takes their word into hand. False if there are none.
static inline bool front_carve(const struct owner *me, struct front *front) {
    struct arena *arena = front->young;
    if (UNLIKELY(!arena)) return false;
    if (UNLIKELY(!record_sound(arena, me->seal))) {
        front->young = NULL;
        return false;
    }
    uint32_t first = arena->carved, word = first / WORD_BLOCKS, end = first + front->chunk;
    if (end > (word + 1) * WORD_BLOCKS) end = (word + 1) * WORD_BLOCKS;
    if (end >= front->desc.blocks_per_arena) {
        end = front->desc.blocks_per_arena;
        front->young = NULL;
    }
    STORE(arena->carved, (uint16_t)end);
    hand_turn(front, arena, word);
    if (LIKELY(!LOOK(front->foreign))) {
        hand_take(front, &map_of(arena)[word], below(end, word));
        return true;
    }
    if (UNLIKELY(!LOOK(arena->ever))) mark_own(front, arena);
    hand_claim(front, &map_of(arena)[word], below(end, word) & ~below(first, word));
    return true;
}

// The arena of the free list whose turn it is: the one after the one in hand, so that as many
// blocks as can be have come home by then. NULL if the list is empty.
static inline struct arena *arena_next(const struct front *front) {
    const struct list *list = &front->desc.free_list;
    const struct arena *hand = front->arena;
    struct list_elem *next = hand && !hand->full ? hand->elem.next : list_front(list);
    if (next == &list->head) next = list_front(list);
    return next == &list->head ? NULL : list_entry(next, struct arena, elem);
}

// ---- opening and closing, under the heap's lock -------------------------------------------------

#ifdef ARENA_PROOFS
// S7, when the arena's own record is written.
static inline void proofs_write(struct arena *arena, const struct front *front, uintptr_t seal) {
    uint64_t factor = factor_of(&front->desc), start = arena->base * factor;
    seal -= factor + start + (uintptr_t)arena;
    for (uint32_t i = 0; i < front->desc.frames_per_arena; i++) {
        struct proof *proof = &arena[i].proof;
        STORE(proof->factor, factor);
        STORE(proof->start, start);
        STORE(proof->arena, arena);
        __atomic_store_n(&proof->seal, seal, __ATOMIC_RELEASE);
    }
}

static inline void proofs_clear(struct arena *arena, uint32_t frames) {
    for (uint32_t i = 0; i < frames; i++) {
        struct proof *proof = &arena[i].proof;
        STORE(proof->seal, 0);
        STORE(proof->factor, 0);
        STORE(proof->start, 0);
        STORE(proof->arena, NULL);
    }
}

// Whether a frame is, by its proof, one of a sound arena whose record adds up to `sum`.
static inline bool frame_proved(const struct heap *heap, uintptr_t frame, const struct arena *arena,
                                uintptr_t sum) {
    const struct proof *proof = &heap->arena[frame].proof;
    return LOOK(proof->arena) == arena && proof_sum(proof) == sum;
}
#else
#define proofs_write(arena, front, seal) ((void)0)
#define proofs_clear(arena, frames) ((void)0)
#define frame_proved(heap, frame, arena, sum) true
#endif

// False: no frames.
static bool shared_open(struct owner *me, struct front *front) {
    struct memory_block_desc *desc = &front->desc;
    struct heap *heap = me->heap;
    uint32_t frames = desc->frames_per_arena;
    struct frame *first = run_take(&heap->pool, frames);
    if (!first) return false;
    uint32_t frame = (uint32_t)(first - heap->pool.frame);
    struct arena *arena = &heap->arena[frame];
    STORE(arena->base, frame_base(heap, frame));
    STORE(arena->carving, 0);
    STORE(arena->head, ARENA_FULL | (front->foreign ? ARENA_EVER : 0));
    for (uint32_t word = 0; word < WORDS; word++) STORE(map_of(arena)[word], ALL_BLOCKS);
    STORE(arena->desc, desc);
    STORE(*seal_of(arena), 0);
    __atomic_store_n(seal_of(arena), me->seal - shared_sum(arena), __ATOMIC_RELEASE);
    for (uint32_t i = 1; i < frames; i++) STORE(arena[i].back, (uint16_t)(i * sizeof *arena));
    proofs_write(arena, front, me->seal);
    // A record that is not written to takes no memory.
    if (share_of(heap, arena)->known != front->foreign)
        share_of(heap, arena)->known = front->foreign;
    if (front->foreign) list_append(&front->waiting, &arena->elem);
    front->young = arena;
    desc->arenas++;
    heap->small_frames += frames;
    return true;
}

// An arena that is all at home, is not in hand, and is in no list any more.
// twice[w]: blocks of word w that were freed twice.
static void shared_close(struct front *front, struct arena *arena, block_bits *twice) {
    struct memory_block_desc *desc = &front->desc;
    struct heap *heap = desc->heap;
    uint32_t frames = desc->frames_per_arena, words = arena->ever ? front->words : 0;
    proofs_clear(arena, frames);
    STORE(*seal_of(arena), 0);
    STORE(arena->desc, NULL);
    STORE(arena->head, 0);
    STORE(arena->carving, 0);
    STORE(arena->base, 0);
    for (uint32_t word = 0; word < words; word++) { // the record is blank by now: S4
        twice[word] = word_collect(heap, arena, word);
    }
    for (uint32_t word = 0; word < WORDS; word++) STORE(map_of(arena)[word], 0);
    for (uint32_t i = 1; i < frames; i++) STORE(arena[i].back, 0);
    desc->arenas--;
    heap->small_frames -= frames;
    run_give(&heap->pool, arena_frame(heap, arena), frames);
}

// The owner's news: arenas in which others have freed for the first time. True if one is full and
// of this front.
static bool news_take(struct owner *me, const struct front *wanted) {
    bool found = false;
    struct share *next;
    for (struct share *share = me->news; share; share = next) {
        struct arena *arena = &me->heap->arena[share - me->heap->owners->share];
        next = share->next;
        if (UNLIKELY(!record_sound(arena, me->seal))) continue; // its turn comes, and it is refused
        struct front *front = front_of(arena->desc);
        share->known = true;
        if (!arena->full) continue; // in its free list
        list_append(&front->waiting, &arena->elem);
        found = found || front == wanted;
    }
    me->news = NULL;
    return found;
}

// A full arena has blocks at home again: it is its turn after all others.
static void unfull(struct front *front, struct arena *arena) {
    if (share_of(front->desc.heap, arena)->known) list_remove(&arena->elem);
    const struct arena *hand = front->arena;
    bool turn = hand && !hand->full;
    STORE(arena->full, 0);
    list_insert_before(turn ? &front->arena->elem : &front->desc.free_list.head, &arena->elem);
}

// Closes an arena of this owner that is all at home, its last words included, and not in hand.
// Returns the frames given back.
static SLOW_PATH uint32_t home_close(struct owner *me, struct front *front, struct arena *arena) {
    block_bits twice[WORDS];
    uint32_t words;
    uintptr_t base = arena_base(me->heap, arena),
              word_bytes = (uintptr_t)WORD_BLOCKS * front->block_size;
    port_state state = port_lock(me->heap);
    if (me->news) news_take(me, NULL); // it must not be among them
    words = arena->ever ? front->words : 0;
    list_remove(&arena->elem);
    shared_close(front, arena, twice);
    port_unlock(me->heap, state);
    if (front->spare == arena) front->spare = NULL;
    if (front->young == arena) front->young = NULL;
    for (uint32_t word = 0; word < words; word++) {
        twice_report(me->heap, base + word * word_bytes, front->block_size, twice[word]);
    }
    return front->desc.frames_per_arena;
}

// An arena is at home perhaps: closes it, or, with `spare`, keeps it and closes the one that was
// kept. Who frees an arena's blocks and takes them again is not to open and close it each time.
static inline uint32_t close_if_home(struct owner *me, struct front *front, struct arena *arena,
                                     bool spare) {
    if (front->arena == arena || arena->full || !arena_home(arena)) return 0;
    struct arena *before = front->spare;
    if (!spare) return home_close(me, front, arena);
    if (before == arena) return 0;
    front->spare = arena;
    if (!before || front->arena == before || !arena_home(before)) return 0;
    return home_close(me, front, before);
}

// Puts into the map what others have freed in an arena; true if it was anything.
static bool arena_collect(const struct front *front, struct arena *arena) {
    struct heap *heap = front->desc.heap;
    uint32_t block_size = front->block_size;
    bool any = false;
    for (uint32_t word = 0; word < front->words; word++) {
        if (!any_away(share_of(heap, arena), word)) continue;
        block_bits twice = word_collect(heap, arena, word);
        uintptr_t base = arena_base(heap, arena) + (uintptr_t)word * WORD_BLOCKS * block_size;
        twice_report(heap, base, block_size, twice);
        any = true;
    }
    return any;
}

#define WAITING_LOOKS 8u // arenas looked at before another is opened

// Looks through full arenas for blocks that others have freed; true if some came home.
static bool waiting_look(struct owner *me, struct front *front) {
    for (uint32_t looks = WAITING_LOOKS; looks > 0; looks--) {
        struct list_elem *first = list_first(&front->waiting);
        if (!first) return false;
        struct arena *arena = list_entry(first, struct arena, elem);
        if (LIKELY(record_sound(arena, me->seal)) && arena_collect(front, arena)) {
            unfull(front, arena);
            return true;
        }
        list_remove(first);
        list_append(&front->waiting, first);
    }
    return false;
}

// Everything of a list that others have freed comes home, and arenas that are all at home are
// closed. These return the frames given back.
static uint32_t gather_list(struct owner *me, struct front *front, struct list *list) {
    struct list_elem *next;
    uint32_t frames = 0;
    for (struct list_elem *e = list_first(list); e; e = next) {
        struct arena *arena = list_entry(e, struct arena, elem);
        next = list_next(list, e);
        if (UNLIKELY(!record_sound(arena, me->seal))) continue;
        bool any = arena_collect(front, arena);
        if (any && arena->full) unfull(front, arena);
        if (!arena->full) frames += close_if_home(me, front, arena, false);
    }
    return frames;
}

static uint32_t gather(struct owner *me) {
    uint32_t frames = 0;
    port_state state = port_lock(me->heap);
    news_take(me, NULL);
    port_unlock(me->heap, state);
    for (uint32_t i = 0; i < me->heap->desc_count; i++) {
        struct front *front = &me->front[i];
        frames += gather_list(me, front, &front->desc.free_list);
        frames += gather_list(me, front, &front->waiting);
    }
    return frames;
}

// ---- owners -------------------------------------------------------------------------------------

// What it costs to open an arena, and to look for one, does not depend on how many blocks it gives,
// and a page that no block was carved of takes no memory. So arenas are as long as their map and
// the pool allow, where the kernel has one frame.
static void widen(struct memory_block_desc *desc) {
    uint32_t frames = (ARENA_BLOCKS_MAX * desc->block_size + PG_SIZE - 1) / PG_SIZE;
    desc->frames_per_arena = frames < ARENA_FRAMES_MAX ? frames : ARENA_FRAMES_MAX;
    desc->blocks_per_arena = desc->frames_per_arena * PG_SIZE / desc->block_size;
    if (desc->blocks_per_arena > ARENA_BLOCKS_MAX) desc->blocks_per_arena = ARENA_BLOCKS_MAX;
}

static void owner_init(struct owner *me, struct heap *heap, uint32_t number) {
    me->seal = SHARED_SEAL + number * SHARED_STEP;
    me->heap = heap;
    me->block_max = heap->block_max;
    for (uint32_t slot = 0; slot < heap->block_max / BLOCK_ALIGN; slot++) {
        size_t index = (size_t)(heap->desc_of[slot] - heap->block_descs);
        me->front_at[slot] =
            (uint16_t)(offsetof(struct owner, front) + index * sizeof(struct front));
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

struct owner *owner_take(struct heap *heap) {
    struct owners *all = heap->owners;
    port_state state = port_lock(heap);
    struct owner *owner = owner_pop(all);
    if (!owner && all->count < OWNERS_MAX && port_owner_open(&all->owner[all->count])) {
        owner = &all->owner[all->count];
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

// What is in hand goes back into the map.
static uint32_t hand_back(struct owner *me, struct front *front) {
    struct arena *arena = front->arena;
    block_bits *word = front->word;
    if (!word) return 0;
    take_away(front);
    STORE(*word, *word | front->claimed);
    STORE(front->word, NULL);
    STORE(front->claimed, 0);
    front->arena = NULL;
    if (arena->full && record_sound(arena, me->seal)) unfull(front, arena);
    return close_if_home(me, front, arena, false);
}

// Nothing that is free is kept.
static uint32_t tidy(struct owner *me) {
    uint32_t frames = gather(me);
    for (uint32_t i = 0; i < me->heap->desc_count; i++) frames += hand_back(me, &me->front[i]);
    return frames;
}

// The same for idle owners: one is ours while it is out of the list.
static uint32_t tidy_idle(struct heap *heap) {
    struct owner *done = NULL, *owner;
    uint32_t frames = 0;
    for (;;) {
        port_state state = port_lock(heap);
        owner = owner_pop(heap->owners);
        port_unlock(heap, state);
        if (!owner) break;
        frames += tidy(owner);
        owner->next_idle = done;
        done = owner;
    }
    while ((owner = done)) {
        done = owner->next_idle;
        owner_push(owner);
    }
    return frames;
}

uint32_t shared_trim(struct owner *me) {
    uint32_t frames = tidy(me);
    return frames + tidy_idle(me->heap);
}

void owner_leave(struct owner *me) {
    tidy(me);
    owner_push(me);
}

// An arena of the free list has no blocks at home.
static void front_full(struct front *front, struct arena *arena) {
    list_remove(&arena->elem);
    if (share_of(front->desc.heap, arena)->known) list_append(&front->waiting, &arena->elem);
    STORE(arena->full, ARENA_FULL);
}

// The record of an arena of the free list was overwritten: nothing is taken from it any more.
static SLOW_PATH void front_refuse(struct front *front, struct arena *arena) {
    const struct heap *heap = front->desc.heap;
    share_of(heap, arena)->known = true; // so that it is among those that wait
    front_full(front, arena);
    port_report(heap, HEAP_CORRUPT_ARENA, arena_base(heap, arena), 0);
}

// Takes blocks into hand: of the same word, the next one of the arena in hand, or one of the arena
// whose turn it is; while there are blocks to carve, only words that are worth taking. False if
// there are none.
static INLINE_ALWAYS bool front_turn(struct owner *me, struct front *front) {
    struct arena *left = front->arena, *arena = left;
    uint32_t word = 0;
    bool done = false, any = !front->young;
    if (left && UNLIKELY(!record_sound(left, me->seal)))
        left = NULL; // its turn comes, and it is refused
    if (LIKELY(left != NULL)) {
        word = (uint32_t)(front->word - map_of(left));
        if (!worth_taking(*front->word & below(left->carved, word))) word++;
        done = word_claim(front, left, word, any);
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
    if (!done && !front_carve(me, front)) return false;
    if (left && UNLIKELY(*map_of(left) == ALL_BLOCKS)) close_if_home(me, front, left, true);
    return true;
}

// No arena has blocks at home: takes them from one in which others have freed, or from a new one.
// Before the pool grows, all that was freed comes home. False: no memory.
static SLOW_PATH bool front_renew(struct owner *me, struct front *front) {
    struct heap *heap = me->heap;
    bool gathered = false;
    do {
        if (UNLIKELY(!list_empty(&front->waiting)) && waiting_look(me, front)) continue;
        port_state state = port_lock(heap);
        bool news = UNLIKELY(me->news != NULL) && news_take(me, front);
        bool grows = !gathered && !run_find(&heap->pool, front->desc.frames_per_arena);
        bool opened = !news && !grows && shared_open(me, front);
        port_unlock(heap, state);
        if (LIKELY(news || opened)) continue;
        if (!grows) return false;
        gathered = true;
        gather(me);
        tidy_idle(heap);
    } while (!front_turn(me, front));
    return true;
}

// ---- sys_malloc and sys_free --------------------------------------------------------------------

// A block of a size's front, or NULL.
static INLINE_ALWAYS void *front_take(struct owner *me, struct front *front) {
    block_bits *take, bits;
    while (((bits = *(take = LOOK(front->take))) & front->mask) == 0) {
        if (UNLIKELY(front->claimed)) STORE(front->take, &front->claimed); // it became foreign
        else if (UNLIKELY(!front_turn(me, front)) && !front_renew(me, front)) return NULL;
    }
    STORE(*take, bits & (bits - 1));
    return (void *)(front->base + lowest(bits) * front->block_size);
}

void *shared_malloc(struct owner *me, size_t size) {
    if (UNLIKELY(size - 1 >= me->block_max))
        return size != 0 ? large_take_slow(me->heap, size) : NULL;
    return front_take(me, front_for(me, size));
}

// A block at home was handed out before unless it is to be carved. (Or was carved and its turn has
// not come yet: that cannot be told.)
static enum heap_fault home_fault(const struct arena *arena, uint32_t block) {
    return block >= LOOK(arena->carved) ? HEAP_NOT_ALLOCATED : HEAP_DOUBLE_FREE;
}

// What a free of a block would be: HEAP_OK, HEAP_DOUBLE_FREE, HEAP_NOT_ALLOCATED.
enum heap_fault owners_block(const struct heap *heap, const struct arena *arena, uint32_t block) {
    const struct front *front = front_of(arena->desc);
    if (is_set(word_home(front, word_of(arena, block)), block)) return home_fault(arena, block);
    return shared_away(heap, arena, block) ? HEAP_DOUBLE_FREE : HEAP_OK;
}

// An arena was closed: looks whether the one in hand of another size is all at home, the next size
// each time. Who has freed everything is not to keep an arena of each.
static void hand_look(struct owner *me) {
    struct front *front = &me->front[me->look++ % me->heap->desc_count];
    const struct arena *arena = front->arena;
    if (!arena) return;
    for (uint32_t word = 0; word < front->words; word++) {
        const block_bits *at = &map_of(arena)[word];
        if ((*at | in_hand(front, at)) != ALL_BLOCKS) return;
    }
    hand_back(me, front);
}

// Frees a block of an arena of this owner. False, and nothing changed, if it is no live block.
static inline bool put_home(struct owner *me, struct arena *arena, uintptr_t p) {
    struct front *front = front_of(arena->desc);
    uint32_t block = block_index(arena->desc, (uint32_t)(p - arena->base));
    if (UNLIKELY(block >= ARENA_BLOCKS_MAX)) return false;
    block_bits *word = word_of(arena, block), map = *word;
    if (set_bit(&map, block) || is_set(in_hand(front, word), block)) return false;
    if (UNLIKELY(LOOK(arena->ever)) && shared_away(me->heap, arena, block)) return false;
    STORE(*word, map);
    if (arena->full) unfull(front, arena);
    if (map == ALL_BLOCKS && close_if_home(me, front, arena, true) > 0) hand_look(me);
    return true;
}

static enum heap_fault home_block(const struct heap *heap, const struct arena *arena, uintptr_t p) {
    uint32_t block = block_index(arena->desc, (uint32_t)(p - arena->base));
    if (block >= blocks_of(arena)) return HEAP_INTERIOR_POINTER;
    return owners_block(heap, arena, block);
}

// The owner of the sound shared arena that a record is of, which adds up to `sum`; or NULL.
static INLINE_ALWAYS struct owner *owner_by(const struct heap *heap, const struct arena *arena,
                                            uintptr_t sum) {
    const struct owners *all = heap->owners;
    uintptr_t number = (sum - SHARED_SEAL) * SHARED_STEP_INVERSE;
    if (UNLIKELY(!head_sound(LOOK(arena->head)))) return NULL;
    if (UNLIKELY(number >= __atomic_load_n(&all->count, __ATOMIC_ACQUIRE))) return NULL;
    struct owner *owner = &all->owner[number];
    uintptr_t into = (uintptr_t)front_of(LOOK(arena->desc)) - (uintptr_t)owner->front;
    bool front = into < sizeof owner->front && (uint32_t)into % sizeof *owner->front == 0;
    return LIKELY(front) ? owner : NULL;
}

static struct owner *owner_of(const struct heap *heap, const struct arena *arena) {
    return owner_by(heap, arena, shared_sum(arena));
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

// Frees a block of another owner's arena, whose record adds up to `sum`. HEAP_CORRUPT_ARENA: it
// changed meanwhile, look again. `quick`: and also if anything is unusual, so that no call is left.
static INLINE_ALWAYS enum heap_fault put_away(struct heap *heap, struct arena *arena, uintptr_t sum,
                                              uintptr_t p, bool quick) {
    const struct memory_block_desc *desc = LOOK(arena->desc);
    if (UNLIKELY(!desc)) return HEAP_CORRUPT_ARENA;
    uint32_t block = block_index(desc, (uint32_t)(p - LOOK(arena->base)));
    bool inside = block < desc->blocks_per_arena;
    if (quick && UNLIKELY(!inside)) return HEAP_CORRUPT_ARENA;
    if (UNLIKELY(!inside)) block = 0;
    uint32_t bit = 1u << block % 32;
    uint64_t *away = &share_of(heap, arena)->away[block / 32];
    uint64_t seen = __atomic_load_n(away, __ATOMIC_ACQUIRE);
    // What was collected before `seen` was read is in the record now.
    if (UNLIKELY(shared_sum(arena) != sum || LOOK(arena->desc) != desc)) return HEAP_CORRUPT_ARENA;
    if (UNLIKELY(!inside)) return HEAP_INTERIOR_POINTER;
    block_bits home = word_home(front_of(desc), word_of(arena, block));
    bool free = ((uint32_t)seen & bit) || is_set(home, block);
    if (quick && UNLIKELY(free)) return HEAP_CORRUPT_ARENA;
    enum heap_fault fault = LIKELY(!free)          ? HEAP_OK
                            : (uint32_t)seen & bit ? HEAP_DOUBLE_FREE
                                                   : home_fault(arena, block);
    // A fault changes nothing: but is the word what it was?
    uint64_t next = LIKELY(!free) ? seen | bit : seen;
    if (!__atomic_compare_exchange_n(away, &seen, next, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return HEAP_CORRUPT_ARENA;
    return fault;
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
    if (*block >= blocks_of(at)) return HEAP_INTERIOR_POINTER;
    return owners_block(heap, at, *block);
}

// No shared arena: a large area, or a wrong pointer. False if it is one by now.
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
        struct arena *arena = record_at(heap, (uint32_t)frame);
        uintptr_t sum = arena ? shared_sum(arena) : 0;
        bool proved = arena && frame_proved(heap, frame, arena, sum);
        struct owner *owner = proved ? owner_by(heap, arena, sum) : NULL;
        if (!owner) {
            if (put_locked(heap, p, &fault)) break;
            continue;
        }
        if (owner == me) fault = home_block(heap, arena, p); // shared_free() has tried
        else if (LOOK(arena->head) & ARENA_EVER) fault = put_away(heap, arena, sum, p, false);
        else mark_ever(owner, arena), fault = HEAP_CORRUPT_ARENA;
        if (fault != HEAP_CORRUPT_ARENA) break;
    }
    if (fault == HEAP_OK) return true;
    port_report(heap, fault, p, caller);
    return false;
}

// What shared_give_fast() leaves.
bool shared_free(struct heap *heap, struct owner *me, uintptr_t p, uintptr_t caller) {
    uintptr_t into = p - PORT_BASE(heap);
    if (LIKELY(into < PORT_BYTES(heap))) {
        struct arena *arena = record_of(heap, into);
        uintptr_t sum = shared_sum(arena);
        uint32_t head = LOOK(arena->head);
        if (sum == me->seal && LIKELY(head_sound(head))) {
            bool proved = frame_proved(heap, into >> PG_SHIFT, arena, sum);
            if (LIKELY(proved) && LIKELY(put_home(me, arena, p))) return true;
        } else if (LIKELY(head & ARENA_EVER) && LIKELY(owner_by(heap, arena, sum) != NULL) &&
                   LIKELY(put_away(heap, arena, sum, p, true) == HEAP_OK)) {
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
    block_bits home = word_home(front_of(arena->desc), at) &
                      below(blocks_of(arena), (uint32_t)(at - map_of(arena)));
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
        // Nothing is in hand. Wherever it was cut off, what was claimed and is not handed out is
        // in `claimed`, or in the map still.
        if (front->word) *front->word |= front->claimed;
        take_away(front);
        front->claimed = 0;
        front->word = NULL;
        front->arena = NULL;
    }
    owner->news = NULL;
}

static void arena_recover(struct owner *owner, struct arena *arena) {
    struct front *front = front_of(arena->desc);
    struct share *share = share_of(owner->heap, arena);
    front->desc.arenas++;
    share->known = arena->ever;
    if (arena->carved < blocks_of(arena)) front->young = arena;
    arena->full = 0;
    list_append(&front->desc.free_list, &arena->elem);
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
