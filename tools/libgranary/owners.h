// owners.h - a heap of several owners: its records, and its fast paths.
//
// An owner is what allocates without a lock: a processor, or on the host a thread. An arena belongs
// to one owner, who works on it with plain instructions; everyone else may do one thing to it,
// which is to free a block, and does that in a bitmap of its own. How, and why it is exact, is said
// at the head of owners.c. With one processor a reader may skip both files.
#pragma once

#include "kernel/memory.h"
#include "kernel/port.h"

#define OWNERS_MAX 1024u // of a process, one for threads that have none of their own (thread.c)

// A word of an arena's map, as its owner reads and writes it: as many blocks as the machine's words
// have bits, a bit each. (On a little-endian machine, two words of arena.map with 64 bits.)
typedef uintptr_t block_bits;
#define WORD_SHIFT (sizeof(block_bits) == 8 ? 6 : 5)
#define WORD_BLOCKS (1u << WORD_SHIFT)
#define WORDS (ARENA_BLOCKS_MAX / WORD_BLOCKS)
#define ALL_BLOCKS UINTPTR_MAX
_Static_assert(offsetof(struct arena, map) % sizeof(block_bits) == 0, "words of the map");

// What others free in the arena that starts at a frame: a record for each frame of the pool. 128
// bytes: a multiple of an arena's record (share_of()), and no other arena's frees write to the same
// cache lines.
struct share {
    // One for each 32 blocks. Low half: those that others have freed since the owner last collected
    // them. High half: how often it has.
    _Alignas(128) uint64_t away[ARENA_BLOCKS_MAX / 32];
    struct share *next; // of the owner's news
};

// One size of one owner: the word of a map in hand, and the arenas that there are.
struct front {
    // Where sys_malloc takes the lowest bit of `mask`: the word in hand, or a word that is 0. Of
    // others, only who makes the front foreign writes it, and only the last.
    _Alignas(64) block_bits *take;
    uintptr_t base;      // address of block 0 of the word in hand
    block_bits mask;     // its blocks that may be handed out when they are at home
    uint32_t block_size; // the descriptor's
    bool foreign;        // others free blocks of this size: its words are claimed
    bool claimed;        // the word in hand is: a block that has left the mask does not come back
    bool used;           // since ends_cut() looked
    bool fresh;          // a page of `young` is none of the process's yet, or may be
    uint8_t words;       // of an arena's map that stand for blocks
    block_bits *word;    // the word in hand, NULL for none
    struct arena *arena; // whose word is in hand
    struct arena *young; // the arena that has blocks to carve, or NULL
    uint32_t opened;     // arenas, ever
    uint16_t young_end;  // blocks of `young`
    uint8_t chunk;       // blocks that are carved at once
    struct arena *spare; // an arena that was last seen all at home, or NULL
    struct list waiting; // full arenas in which others have freed, or may
    struct memory_block_desc desc;
};

struct owner {
    uintptr_t seal;     // shared_sum() of its arenas
    uint32_t look;      // the size that homes_close() is to look at next
    uint32_t page_look; // and ends_cut()
    bool watches;       // its arenas are watched: see watch_look()
    uintptr_t block_max;
    struct heap *heap;
    struct share *news; // arenas in which others freed for the first time, under the heap's lock
    struct owner *next_idle; // of the idle ones
    // Bytes from here to the front that serves a size: [(size - 1) / BLOCK_ALIGN]. Its own, or a
    // larger size's as long as it is a guest there (guest_leaves()).
    uint16_t front_at[BLOCK_SIZE_MAX / BLOCK_ALIGN];
    struct front front[DESC_MAX];
};

// The owners of a heap.
struct owners {
    bool marks;          // there is no port_barrier(): every arena is ARENA_EVER from its opening
    struct owner *owner; // OWNERS_MAX at most
    struct share *share; // one for each frame of the pool
    uintptr_t to_share;  // from an arena's record to its share: see share_of()
    uint32_t count;
    struct owner *idle; // a list, by next_idle
};

// In arena.head of a shared arena, beside `large`; a byte each. No bit that flips leads from one of
// them to another, or to none.
#define ARENA_FULL 0x00a6u    // no bit of the map is set but of the word in hand: in no free list
#define ARENA_WATCHED 0x0035u // or: in a free list, and to be closed as soon as all is at home
#define ARENA_EVER 0xa600u    // others have freed here, or may: its front is foreign, and all know
#define ARENA_KNOWN 0xa60000u // and its owner has looked there since

// Each byte is 0, or one of its flags.
static inline bool head_sound(uint32_t head) {
    if ((head & 0xff) == ARENA_WATCHED) head ^= ARENA_WATCHED;
    return (head >> 1 & 0x010101u) * ARENA_FULL == head;
}

static inline bool is_full(const struct arena *arena) { return arena->full == ARENA_FULL; }

// From one owner's seal to the next. No two of them differ by a power of two, so that no bit that
// flips leads from one to another.
#if UINTPTR_MAX > UINT32_MAX
#define SHARED_SEAL 0x7d5ea1007d5ea100u
#define SHARED_STEP 0x9e3779b97f4a7c15u
#define SHARED_STEP_INVERSE 0xf1de83e19937733du
#else
#define SHARED_SEAL 0x7d5ea100u
#define SHARED_STEP 0x3ad1f96bu
#define SHARED_STEP_INVERSE 0xbe646b43u
#endif

// LOOK() where an expression has the field once: compilers make no operand of what is atomic.
#ifdef __SANITIZE_THREAD__
#define LOOK_ONCE(field) LOOK(field)
#else
#define LOOK_ONCE(field) (field)
#endif

// A shared arena's seal is as long as a pointer: with 64 bits it goes on in map_words, which is not
// needed here.
static inline uintptr_t *seal_of(const struct arena *arena) { return (uintptr_t *)&arena->seal; }
_Static_assert(offsetof(struct arena, seal) % sizeof(uintptr_t) == 0 &&
                   offsetof(struct arena, seal) + sizeof(uintptr_t) <= offsetof(struct arena, map),
               "room for the seal");

// What the record of a shared arena adds up to: its owner's seal. The map and `carved`, which its
// owner changes all the time, are not in it, nor is the head: see head_sound().
static inline uintptr_t shared_sum(const struct arena *arena) {
    return (uintptr_t)LOOK(arena->desc) + LOOK(arena->base) + LOOK(*seal_of(arena));
}

static inline struct front *front_of(const struct memory_block_desc *desc) {
    return (struct front *)((uintptr_t)desc - offsetof(struct front, desc));
}

static inline struct front *front_for(struct owner *me, size_t size) {
    return (struct front *)((uintptr_t)me + me->front_at[(size - 1) / BLOCK_ALIGN]);
}

// The record that an address `off` bytes into the pool leads to, not proved yet: if `back` was
// overwritten, what it leads to has another sum.
static inline struct arena *record_of(const struct heap *heap, uintptr_t off) {
    struct arena *arena = &heap->arena[off >> PG_SHIFT];
    return (struct arena *)((uintptr_t)arena - LOOK(arena->back));
}

static inline uint32_t lowest(block_bits bits) { return (uint32_t)__builtin_ctzl(bits); }

// A block of those in hand, the lowest. False if there is none.
static inline bool front_lowest(struct front *front, void **p) {
    block_bits *take = LOOK(front->take), map = *take, bits = map & front->mask;
    if (__builtin_expect(bits == 0, 0)) return false;
    if (__builtin_expect(!front->claimed, 1)) {
        STORE(*take, map & (map - 1)); // what is not in hand is above all that is
    } else {
        block_bits left = bits & (bits - 1);
        STORE(*take, map ^ bits ^ left);
        front->mask = left;
    }
    *p = (void *)(front->base + lowest(bits) * front->block_size);
    return true;
}

// A block of a size. False if its word in hand has none, or it is no size of a block.
static inline bool shared_take_fast(struct owner *me, size_t size, void **p) {
    if (__builtin_expect(size - 1 >= me->block_max, 0)) return false;
    return front_lowest(front_for(me, size), p);
}

// Both arrays have an element for each frame: a product and a sum lead from one to the other.
#define SHARE_RATIO (sizeof(struct share) / sizeof(struct arena))

static inline struct share *share_of(const struct heap *heap, const struct arena *arena) {
    return (struct share *)((uintptr_t)arena * SHARE_RATIO + heap->owners->to_share);
}

// The owner whose seal this is, or NULL.
static inline struct owner *owner_by(const struct heap *heap, uintptr_t seal) {
    const struct owners *all = heap->owners;
    uintptr_t number = (seal - SHARED_SEAL) * SHARED_STEP_INVERSE;
    return number < __atomic_load_n(&all->count, __ATOMIC_ACQUIRE) ? &all->owner[number] : NULL;
}

// Whether a descriptor, which may be overwritten, is one of an owner's fronts.
static inline bool front_is(const struct owner *owner, const struct memory_block_desc *desc) {
    uintptr_t into = (uintptr_t)front_of(desc) - (uintptr_t)owner->front;
    return into < sizeof owner->front && (uint32_t)into % sizeof *owner->front == 0;
}

// Where a block is.
struct place {
    struct arena *arena;
    uintptr_t block; // its number; ARENA_BLOCKS_MAX or more if none starts there
    uintptr_t word;  // of the map, where the block's bit is
};

#ifdef ARENA_PROOFS
_Static_assert(offsetof(struct arena, desc) == 64 && sizeof(struct arena) == 128,
               "a line for a frame's proof, and one for an arena's own record");

// proof.factor of a size: see place_find().
static inline uint64_t factor_of(const struct memory_block_desc *desc) {
    return ((uint64_t)desc->inverse << 32) >> desc->shift;
}

// An owner's seal, if the frame is one of an arena of that owner.
static inline uintptr_t proof_sum(const struct proof *proof) {
    return LOOK(proof->factor) + LOOK(proof->start) + (uintptr_t)LOOK(proof->arena) +
           LOOK(proof->seal);
}

// Looks up the frame at p, which is one of the heap's. Returns its owner's seal and where the block
// is; if it is in no shared arena, no owner's seal, and nothing that may be followed.
//
// A free waits for a line of the cache that has the proof, and for one that has the arena's head
// and map. The rest of the arena's own record is proved where it is followed: front_sound().
//
// A multiple q * size of the block's size times `factor`, which is desc.inverse * 2^32 / (size's
// power of two), is q * 2^32, and no other offset gives any q below ARENA_BLOCKS_MAX. That is
// block_index() without a rotation by a variable number, which takes as long as the rest. The word
// is known before the block is: the next malloc may be waiting for it.
static inline uintptr_t place_look(const struct heap *heap, uintptr_t p, struct place *place) {
    const struct proof *proof = &PORT_RECORD(heap, p)->proof;
    uint64_t factor = LOOK(proof->factor), start = LOOK(proof->start);
    struct arena *arena = LOOK(proof->arena);
    uint64_t product = p * factor - start;
    *place = (struct place){arena, product >> 32 | product << 32, product >> 32 >> WORD_SHIFT};
    return factor + start + (uintptr_t)arena + LOOK_ONCE(proof->seal);
}

// Looks up a block of the owner with this seal. False, with nothing that may be followed, if it is
// in no arena of that owner.
static inline bool place_find(const uintptr_t *seal, const struct heap *heap, uintptr_t p,
                              struct place *place) {
    return __builtin_expect(place_look(heap, p, place) == *seal, 1);
}
#else
// The same with 32 bits, where the arena's own record proves a block.
static inline uintptr_t place_look(const struct heap *heap, uintptr_t p, struct place *place) {
    struct arena *arena = record_of(heap, p - PORT_BASE(heap));
    const struct memory_block_desc *desc = LOOK(arena->desc);
    uintptr_t base = LOOK(arena->base), sum = (uintptr_t)desc + base + LOOK(*seal_of(arena));
    *place = (struct place){arena, ARENA_BLOCKS_MAX, 0};
    const struct owner *owner = owner_by(heap, sum);
    if (!owner || !front_is(owner, desc)) return 0;
    uint32_t block = block_index(desc, p - base);
    *place = (struct place){arena, block, block / WORD_BLOCKS};
    return sum;
}

static inline bool place_find(const uintptr_t *seal, const struct heap *heap, uintptr_t p,
                              struct place *place) {
    struct arena *arena = record_of(heap, p - PORT_BASE(heap));
    if (__builtin_expect(shared_sum(arena) != *seal, 0)) return false;
    uint32_t block = block_index(LOOK(arena->desc), p - LOOK(arena->base));
    *place = (struct place){arena, block, block / WORD_BLOCKS};
    return true;
}
#endif

// Whether an arena's own record is as the owner with this seal wrote it. What may have been
// overwritten is not to be followed.
static inline bool record_sound(const struct arena *arena, uintptr_t seal) {
    return __builtin_expect(shared_sum(arena) == seal, 1);
}

// The front of an arena that place_find() has found; NULL if its own record is not sound.
static inline struct front *front_sound(const struct arena *arena, uintptr_t seal) {
    return record_sound(arena, seal) ? front_of(LOOK(arena->desc)) : NULL;
}

// Whether another owner has freed a block since its word was last collected.
static inline bool shared_away(const struct heap *heap, const struct arena *arena,
                               uintptr_t block) {
    const uint64_t *away = &share_of(heap, arena)->away[block / 32];
    return (uint32_t)__atomic_load_n(away, __ATOMIC_RELAXED) >> block % 32 & 1;
}

// Sets a bit of a word, by its number modulo the word's bits. True if it was set: then the word is
// of no use afterwards. (One instruction, bts, takes longer, and the next call may be waiting for
// the word.)
static inline bool set_bit(block_bits *word, uintptr_t bit) {
    block_bits mask = (block_bits)1 << bit % WORD_BLOCKS, before = *word;
    *word = before + mask;
    return (before & mask) != 0;
}

static inline bool is_set(block_bits word, uintptr_t block) {
    return word >> block % WORD_BLOCKS & 1;
}

static inline block_bits *map_of(const struct arena *arena) { return (block_bits *)arena->map; }

static inline block_bits *word_of(const struct arena *arena, uintptr_t block) {
    return map_of(arena) + block / WORD_BLOCKS;
}

// All blocks that exist are in the map.
static inline bool arena_home(const struct arena *arena) {
    block_bits home = ALL_BLOCKS;
#pragma GCC unroll 8
    for (uint32_t word = 0; word < WORDS; word++) home &= LOOK(map_of(arena)[word]);
    return home == ALL_BLOCKS;
}

// A heap whose small arenas have no more than so many frames, 16 MiB, keeps those that are all at
// home until it wants their frames. In a larger one they go back as soon as that is so, for which
// each free has to look: with 4 MiB, programs of 5 to 7 MiB took 6 to 15 % longer.
#ifndef HOME_FRAMES // a test has fewer
#define HOME_FRAMES 4096u
#endif

static inline bool heap_is_large(const struct heap *heap) {
    return LOOK(heap->small_frames) > HOME_FRAMES;
}

// A block of an arena of this owner's comes home. False, with nothing changed, if it is no live
// one; if the arena is watched, also if it is the arena's last, and the arena not in hand.
static inline bool shared_comes(const uintptr_t *seal, const struct place *at, bool watched) {
    block_bits *word = map_of(at->arena) + at->word, map = *word;
    if (__builtin_expect(set_bit(&map, at->block), 0)) return false;
    STORE(*word, map);
    if (watched && __builtin_expect(map == ALL_BLOCKS, 0) && arena_home(at->arena)) {
        const struct front *front = front_sound(at->arena, *seal);
        if (front && front->arena == at->arena) return true;
        STORE(*word, ~((block_bits)1 << at->block % WORD_BLOCKS)); // as it was
        return false;
    }
    return true;
}

// Frees a block of an arena of this owner that has a place in its free list. False, with nothing
// changed, for all else. *seal: the owner's.
static inline bool shared_give_fast(const uintptr_t *seal, const struct heap *heap, uintptr_t p) {
    uintptr_t into = p - PORT_BASE(heap);
    if (__builtin_expect(into >= PORT_BYTES(heap), 0)) return false;
    struct place at;
    if (__builtin_expect(!place_find(seal, heap, p, &at), 0)) return false;
    if (__builtin_expect(at.block >= ARENA_BLOCKS_MAX, 0)) return false;
    if (__builtin_expect(LOOK_ONCE(at.arena->head) != 0, 0)) {
        uint32_t head = LOOK(at.arena->head);
        if (head == ARENA_WATCHED) return shared_comes(seal, &at, true);
        bool listed = head == (ARENA_EVER | ARENA_KNOWN) || head == ARENA_EVER;
        if (!listed || shared_away(heap, at.arena, at.block)) return false;
        return shared_comes(seal, &at, heap_is_large(heap));
    }
    return shared_comes(seal, &at, false);
}

// Bytes that the live block at p holds, if it is in an arena of this owner; 0 otherwise.
static inline size_t shared_room(struct owner *me, const struct heap *heap, uintptr_t p) {
    uintptr_t off = p - PORT_BASE(heap);
    if (off >= PORT_BYTES(heap)) return 0;
    struct place at;
    if (!place_find(&me->seal, heap, p, &at) || at.block >= ARENA_BLOCKS_MAX) return 0;
    const struct front *front = front_sound(at.arena, me->seal);
    if (!front || is_set(map_of(at.arena)[at.word], at.block)) return 0;
    bool ever = (LOOK(at.arena->head) & ARENA_EVER) != 0;
    return ever && shared_away(heap, at.arena, at.block) ? 0 : front->block_size;
}

// Makes a heap that holds nothing one of several owners: `owners` is its caller's to keep, with
// `marks` set, and arrays that are zeroed and may be mapped as they are needed.
void owners_init(struct heap *heap, struct owners *owners);
// An owner for the caller, until owner_leave(): an idle one, or a new one while there are fewer
// than `most`. NULL: neither, or no memory.
struct owner *owner_take(struct heap *heap, uint32_t most);
// What is empty goes back; the arenas wait for the next who takes an owner. Blocks of theirs may be
// freed meanwhile.
void owner_leave(struct owner *me);
// After fork(): all owners but `me` may have been in the middle of a call, and are idle now; but
// for `kept`, which stays its caller's (NULL: none).
void owners_recover(struct heap *heap, struct owner *me, struct owner *kept);

// A block or large area, or NULL.
void *shared_malloc(struct owner *me, size_t size);
// False, after a report, if p is wrong. Who has no owner gives one that owns nothing.
bool shared_free(struct heap *heap, struct owner *me, uintptr_t p, uintptr_t caller);
// Everything that others have freed comes home, and arenas that are all at home go back to the
// pool. Returns their frames.
uint32_t owner_gather(struct owner *me);
// The same, and also the ends of other arenas on which nothing lives; what they return is not 0 if
// there were any. The second is about all idle owners.
uint32_t shared_trim(struct owner *me);
uint32_t owners_trim_idle(struct heap *heap);
// The process has more pages than ever: gives the system as many as are wanted of frames that are
// free, if that is worth it, and frees some for it. For its owner, between two calls, or where only
// the size `busy` is in the middle of one.
void owner_pages_back(struct owner *me, const struct front *busy);

// Which blocks of a sound arena, from `first` on, are not live: 32 of them, and `first` is a
// multiple of that. Any context; what its owner does meanwhile may or may not be in it.
uint32_t shared_home(const struct heap *heap, const struct arena *arena, uint32_t first);
