// arenas.c - an owner's arenas: opened and closed, their words claimed and collected. The theory,
// and the invariants S1 to S9, are at the head of owners.c.
#include "tools/libgranary/owners.h"

// From an address to its record by shifts; 64 bytes have no room for pointers of 64 bits.
_Static_assert((sizeof(struct arena) & (sizeof(struct arena) - 1)) == 0, "-DARENA_PADDED");
_Static_assert(sizeof(struct share) % sizeof(struct arena) == 0, "SHARE_RATIO is a whole number");

// What a front takes from is a word that is 0: its next call looks further.
static inline void take_away(struct front *front) {
    static const block_bits nothing; // never written to, as no bit of it is set
    STORE(front->take, (block_bits *)&nothing);
}

// Blocks that a front's arena of so many frames has.
static inline uint32_t blocks_in(const struct front *front, uint32_t frames) {
    uint32_t most = front->desc.blocks_per_arena, blocks = frames * PG_SIZE / front->block_size;
    return blocks < most ? blocks : most;
}

// Frames of an arena of an owner's: those whose records lead to it.
uint32_t owners_frames(const struct heap *heap, const struct arena *arena) {
    uint32_t most = PORT_FRAMES(heap) - (uint32_t)(arena - heap->arena), frames = 1;
    if (most > ARENA_FRAMES_MAX) most = ARENA_FRAMES_MAX;
    while (frames < most && LOOK(arena[frames].back) == frames * sizeof *arena) frames++;
    return frames;
}

uint32_t owners_blocks(const struct heap *heap, const struct arena *arena) {
    return blocks_in(front_of(LOOK(arena->desc)), owners_frames(heap, arena));
}

static inline uintptr_t arena_base(const struct heap *heap, const struct arena *arena) {
    return frame_base(heap, (uint32_t)(arena - heap->arena)); // arena->base, sound or not
}

// Frames of an arena from its first to the last with a carved block.
static uint32_t frames_reached(const struct front *front, const struct arena *arena) {
    return ((uint32_t)LOOK(arena->carved) * front->block_size + PG_SIZE - 1) / PG_SIZE;
}

// The blocks of a word that are below `end`.
static inline block_bits below(uint32_t end, uint32_t word) {
    uint32_t first = word * WORD_BLOCKS;
    return end >= first + WORD_BLOCKS ? ALL_BLOCKS : ~(ALL_BLOCKS << (end - first));
}

// ---- collecting and claiming --------------------------------------------------------------------

#define PARTS (WORD_BLOCKS / 32) // of a word: one of `away` for each

// Puts what others have freed of a word into the map. They are in the map before they leave `away`,
// so that who frees one again finds it in either. In each part with such a block, or with one of
// `wanted`, the count is raised: a free that read it before fails. Returns the blocks that were in
// both: freed twice.
static inline block_bits word_collect(struct heap *heap, struct arena *arena, uint32_t word,
                                      block_bits wanted) {
    uint64_t *away = &share_of(heap, arena)->away[word * PARTS];
    block_bits *at = &map_of(arena)[word], twice = 0;
    for (uint32_t part = 0; part < PARTS; part++) {
        uint64_t seen = __atomic_load_n(&away[part], __ATOMIC_RELAXED), next;
        block_bits map = *at, home;
        if ((uint32_t)seen == 0 && (uint32_t)(wanted >> part * 32) == 0) continue;
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

// Whether others have freed blocks of a word.
static inline bool any_away(const struct heap *heap, const struct arena *arena, uint32_t word) {
    if (!LOOK(arena->ever)) return false;
    const struct share *share = share_of(heap, arena);
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

// It is the turn of a word of a sound arena: of its blocks, those of `mask` may be handed out.
static inline void hand_turn(struct front *front, struct arena *arena, uint32_t word,
                             block_bits mask) {
    front->base = LOOK(arena->base) + (uintptr_t)word * WORD_BLOCKS * front->block_size;
    front->arena = arena;
    front->word = &map_of(arena)[word];
    front->mask = mask;
}

// Takes a word into hand where it is: its carved blocks, and what comes home of them meanwhile.
static inline void hand_take(struct front *front, struct arena *arena, uint32_t word,
                             block_bits carved) {
    hand_turn(front, arena, word, carved);
    front->claimed = false;
    STORE(front->take, front->word);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    // It may have become foreign meanwhile: mark_ever() waits for just this.
    if (UNLIKELY(LOOK(front->foreign))) take_away(front);
}

// Claims these blocks of a word, which was collected: what comes home later is not in hand.
static inline void hand_claim(struct front *front, struct arena *arena, uint32_t word,
                              block_bits blocks) {
    hand_turn(front, arena, word, blocks);
    front->claimed = true;
    STORE(front->take, front->word);
}

// ---- opening and closing, under the heap's lock -------------------------------------------------

#ifdef ARENA_PROOFS
// S7, when the arena's own record is written.
static inline void proofs_write(struct arena *arena, const struct front *front, uint32_t frames,
                                uintptr_t seal) {
    uint64_t factor = factor_of(&front->desc), start = arena->base * factor;
    seal -= factor + start + (uintptr_t)arena;
    for (uint32_t i = 0; i < frames; i++) {
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
#define proofs_write(arena, front, frames, seal) ((void)0)
#define proofs_clear(arena, frames) ((void)0)
#define frame_proved(heap, frame, arena, sum) true
#endif

#define LENGTH_STEP 3u // arenas that are opened before the next are twice as long

static inline uint32_t frames_least(const struct front *front) {
    return (uint32_t)frames_of(front->block_size);
}

// Frames of the next arena. A size that is seldom asked for is to have few: what is not carved
// takes no memory, but its records do. And what is short is soon all at home, and then another
// size's. Where others free, long ones give more blocks a word.
static uint32_t arena_length(const struct front *front) {
    uint32_t twice = front->opened / LENGTH_STEP, most = front->desc.frames_per_arena;
    uint32_t least = frames_least(front);
    return !front->foreign && twice < 4 && least << twice < most ? least << twice : most;
}

static void shared_open(struct owner *me, struct front *front, const struct frame *first,
                        uint32_t frames) {
    struct memory_block_desc *desc = &front->desc;
    struct heap *heap = me->heap;
    uint32_t frame = (uint32_t)(first - heap->pool.frame), touched = frames;
    struct arena *arena = &heap->arena[frame];
    STORE(arena->base, frame_base(heap, frame));
    STORE(arena->carving, 0);
    STORE(arena->head, ARENA_FULL | (front->foreign ? ARENA_EVER | ARENA_KNOWN : 0));
    for (uint32_t word = 0; word < WORDS; word++) STORE(map_of(arena)[word], ALL_BLOCKS);
    STORE(arena->desc, desc);
    STORE(*seal_of(arena), 0);
    __atomic_store_n(seal_of(arena), me->seal - shared_sum(arena), __ATOMIC_RELEASE);
    for (uint32_t i = 1; i < frames; i++) STORE(arena[i].back, (uint16_t)(i * sizeof *arena));
    proofs_write(arena, front, frames, me->seal);
    if (front->foreign) list_append(&front->waiting, &arena->elem);
    front->young = arena;
    front->young_end = (uint16_t)blocks_in(front, frames);
    granary_touched_run(frame, frames, frames, &touched);
    front->fresh = touched == 0;
    front->opened++;
    desc->arenas++;
    STORE(heap->small_frames, heap->small_frames + frames);
}

// All arenas of the free lists are watched, or none is: a free that has to tell them apart takes
// longer than either. So they change all at once, and not back soon.
static void watch_look(struct owner *me) {
    uint32_t frames = LOOK(me->heap->small_frames);
    if (LIKELY(me->watches ? frames > HOME_FRAMES / 2 : frames <= HOME_FRAMES)) return;
    me->watches = !me->watches;
    for (uint32_t i = 0; i < me->heap->desc_count; i++) {
        struct list *list = &me->front[i].desc.free_list;
        for (struct list_elem *e = list_first(list); e; e = list_next(list, e)) {
            struct arena *arena = list_entry(e, struct arena, elem);
            if (!LOOK(arena->ever)) STORE(arena->full, me->watches ? ARENA_WATCHED : 0);
        }
    }
}

// An arena that is all at home, is not in hand, and is in no list any more. Returns its frames.
// twice[w]: blocks of word w that were freed twice.
static uint32_t shared_close(struct front *front, struct arena *arena, block_bits *twice) {
    struct memory_block_desc *desc = &front->desc;
    struct heap *heap = desc->heap;
    uint32_t frames = owners_frames(heap, arena), words = arena->ever ? front->words : 0;
    uint32_t reached = frames_reached(front, arena);
    proofs_clear(arena, frames);
    STORE(*seal_of(arena), 0);
    STORE(arena->desc, NULL);
    STORE(arena->head, 0);
    STORE(arena->carving, 0);
    STORE(arena->base, 0);
    for (uint32_t word = 0; word < words; word++) { // the record is blank by now: S4
        twice[word] = word_collect(heap, arena, word, ALL_BLOCKS);
    }
    for (uint32_t word = 0; word < WORDS; word++) STORE(map_of(arena)[word], 0);
    for (uint32_t i = 1; i < frames; i++) STORE(arena[i].back, 0);
    desc->arenas--;
    STORE(heap->small_frames, heap->small_frames - frames);
    // Beyond the last block that was carved nothing was written.
    port_frames_back(heap, (uint32_t)(arena - heap->arena), reached);
    run_join(&heap->pool, arena_frame(heap, arena), frames, FRAME_FREE);
    return frames;
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
        STORE(arena->known, ARENA_KNOWN >> 16);
        if (!is_full(arena)) continue; // in its free list
        list_append(&front->waiting, &arena->elem);
        found = found || front == wanted;
    }
    me->news = NULL;
    return found;
}

// The first arena of a list, which is its last from now on.
static inline struct arena *list_rotate(struct list *list) {
    struct list_elem *first = list_first(list);
    list_remove(first);
    list_append(list, first);
    return list_entry(first, struct arena, elem);
}

// A full arena has blocks at home again: it is its turn after all others.
static void unfull(const struct owner *me, struct front *front, struct arena *arena) {
    if (arena->known) list_remove(&arena->elem);
    const struct arena *hand = front->arena;
    bool turn = hand && !is_full(hand);
    STORE(arena->full, me->watches && !LOOK(arena->ever) ? ARENA_WATCHED : 0);
    list_insert_before(turn ? &front->arena->elem : &front->desc.free_list.head, &arena->elem);
}

// Closes an arena of this owner that is all at home, its last words included, and not in hand.
// Returns the frames given back.
static SLOW_PATH uint32_t home_close(struct owner *me, struct front *front, struct arena *arena) {
    block_bits twice[WORDS];
    uint32_t words, frames;
    uintptr_t base = arena_base(me->heap, arena),
              word_bytes = (uintptr_t)WORD_BLOCKS * front->block_size;
    port_state state = port_lock(me->heap);
    if (me->news) news_take(me, NULL); // it must not be among them
    words = arena->ever ? front->words : 0;
    list_remove(&arena->elem);
    frames = shared_close(front, arena, twice);
    port_unlock(me->heap, state);
    if (front->spare == arena) front->spare = NULL;
    if (front->young == arena) front->young = NULL;
    watch_look(me);
    for (uint32_t word = 0; word < words; word++) {
        twice_report(me->heap, base + word * word_bytes, front->block_size, twice[word]);
    }
    return frames;
}

// An arena is at home perhaps: closes it, or, with `spare`, keeps it and closes the one that was
// kept. Who frees an arena's blocks and takes them again is not to open and close it each time.
static inline uint32_t close_if_home(struct owner *me, struct front *front, struct arena *arena,
                                     bool spare) {
    if (front->arena == arena || is_full(arena) || !arena_home(arena)) return 0;
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
        if (!any_away(heap, arena, word)) continue;
        block_bits twice = word_collect(heap, arena, word, 0);
        uintptr_t base = arena_base(heap, arena) + (uintptr_t)word * WORD_BLOCKS * block_size;
        twice_report(heap, base, block_size, twice);
        any = true;
    }
    return any;
}

#define WAITING_LOOKS 8u // arenas looked at before another is opened

// Looks through full arenas, of which there are some, for blocks that others have freed; true if
// some came home.
static bool waiting_look(struct owner *me, struct front *front) {
    for (uint32_t looks = WAITING_LOOKS; looks > 0; looks--) {
        struct arena *arena = list_rotate(&front->waiting);
        if (LIKELY(record_sound(arena, me->seal)) && arena_collect(front, arena)) {
            unfull(me, front, arena);
            return true;
        }
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
        if (any && is_full(arena)) unfull(me, front, arena);
        frames += close_if_home(me, front, arena, false);
    }
    return frames;
}

uint32_t owner_gather(struct owner *me) {
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

#define ARENA_LOOKS 256u // arenas looked at in one call

// Looks at arenas, of one size after the other but for `busy`, and closes those that are all at
// home, all but one of each size. Returns the frames given back. In a large heap that is watched
// there is little to be found.
static SLOW_PATH uint32_t homes_close(struct owner *me, const struct front *busy) {
    uint32_t frames = 0, looks = ARENA_LOOKS, count = me->heap->desc_count;
    if (me->watches && heap_is_large(me->heap)) return 0;
    for (uint32_t i = 0; i < count && looks > 0; i++) {
        struct front *front = &me->front[me->look++ % count];
        struct list *list = &front->desc.free_list;
        uint32_t arenas = front == busy ? 0 : front->desc.arenas;
        for (; arenas > 0 && looks > 0 && !list_empty(list); arenas--, looks--) {
            struct arena *arena = list_rotate(list);
            if (UNLIKELY(!record_sound(arena, me->seal))) continue;
            frames += close_if_home(me, front, arena, true);
        }
    }
    return frames;
}

// Nothing of the front is in hand any more.
static uint32_t hand_back(struct owner *me, struct front *front) {
    struct arena *arena = front->arena;
    if (!arena) return 0;
    take_away(front);
    front->word = NULL;
    front->arena = NULL;
    if (is_full(arena) && record_sound(arena, me->seal)) unfull(me, front, arena);
    return close_if_home(me, front, arena, false);
}
