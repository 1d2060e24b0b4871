// owners.h - a heap of several owners: its records, and its fast paths.
//
// An owner is what allocates without a lock: a processor, or on the host a thread. An arena belongs
// to one owner, who works on it with plain instructions; everyone else may do one thing to it,
// which is to free a block, and does that in a bitmap of its own. How, and why it is exact, is said
// at the head of owners.c. With one processor a reader may skip both files.
#pragma once

#include "kernel/memory.h"
#include "kernel/port.h"

#define OWNERS_MAX 1024u

// What others free in the arena that starts at a frame: a record for each frame of the pool.
struct share {
    // One for each word of the arena's map. Low half: the blocks that others have freed since the
    // owner last collected them. High half: how often it has.
    uint64_t away[ARENA_WORDS];
    struct share *next; // of the owner's news
    bool known;         // the owner has seen them
};

// One size of one owner: the word of a map in hand, and the arenas that there are.
struct front {
    // Where sys_malloc takes the lowest bit: the word in hand itself, or `claimed`, or a word that
    // is 0. Of others, only who makes the front foreign writes it, and only the last.
    uint32_t *take;
    uintptr_t base;      // address of block 0 of the word in hand
    uint32_t block_size; // the descriptor's
    uint32_t *word;      // the word in hand, NULL for none
    uint32_t claimed;    // blocks of that word that left the map and are not handed out
    bool foreign;        // others free blocks of this size: its words are exchanged when claimed
    bool fresh;          // `claimed` was never handed out
    uint8_t words;       // of an arena's map that stand for blocks
    uint8_t chunk;       // blocks that are carved at once
    struct arena *arena; // whose word is in hand
    struct arena *young; // the arena that has blocks to carve, or NULL
    struct arena *spare; // an arena that was last seen all at home, or NULL
    struct list waiting; // full arenas in which others have freed, or may
    struct memory_block_desc desc;
};

struct owner {
    uint32_t seal; // shared_sum() of its arenas
    uint32_t look; // the size that hand_look() is to look at
    uintptr_t block_max;
    struct heap *heap;
    struct share *news; // arenas in which others freed for the first time, under the heap's lock
    struct owner *next_idle; // of the idle ones
    // Bytes from here to the front of a size: [(size - 1) / BLOCK_ALIGN].
    uint16_t front_at[BLOCK_SIZE_MAX / BLOCK_ALIGN];
    struct front front[DESC_MAX];
};

// The owners of a heap.
struct owners {
    bool marks;          // there is no port_barrier(): every arena is ARENA_EVER from its opening
    struct owner *owner; // OWNERS_MAX at most
    struct share *share; // one for each frame of the pool
    uint32_t count;
    struct owner *idle; // a list, by next_idle
};

// In arena.head of a shared arena, beside `large`; a byte each. No power of two: what one bit that
// flips elsewhere in the record adds to its sum is none of them.
#define ARENA_FULL 0x00a6u // no bit of the map is set, or `claimed` has them: in no free list
#define ARENA_EVER 0xa600u // others have freed here, or may: its front is foreign, and all know
#define ARENA_FLAGS (ARENA_FULL | ARENA_EVER)

static inline bool head_sound(uint32_t head) {
    return head == 0 || head == ARENA_EVER || head == ARENA_FULL || head == ARENA_FLAGS;
}

// From one owner's seal to the next. No two of them differ by a power of two or by ARENA_FLAGS, so
// that no bit that flips leads from one to another.
#define SHARED_SEAL 0x7d5ea100u
#define SHARED_STEP 0x3ad1f96bu
#define SHARED_STEP_INVERSE 0xbe646b43u

// Everyone reads the map and what is in hand; only the owner writes.
#define LOOK(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

// What the record of a shared arena adds up to: its owner's seal. The map and `carved`, which its
// owner changes all the time, are not in it, nor is the head: that is ARENA_FLAGS.
static inline uint32_t shared_sum(const struct arena *arena) {
    return (uint32_t)(uintptr_t)LOOK(arena->desc) + (uint32_t)LOOK(arena->base) + LOOK(arena->seal);
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

// A block of the word in hand, the lowest. False if there is none, or the size is none of a block.
static inline bool shared_take_fast(struct owner *me, size_t size, void **p) {
    if (__builtin_expect(size - 1 >= me->block_max, 0)) return false;
    struct front *front = front_for(me, size);
    uint32_t *take = LOOK(front->take), bits = *take;
    if (__builtin_expect(bits == 0, 0)) return false;
    STORE(*take, bits & (bits - 1));
    *p = (void *)(front->base + (uint32_t)__builtin_ctz(bits) * front->block_size);
    return true;
}

static inline struct share *share_of(const struct heap *heap, const struct arena *arena) {
    return &heap->owners->share[arena - heap->arena];
}

// Whether another owner has freed a block since its word was last collected.
static inline bool shared_away(const struct heap *heap, const struct arena *arena, uint32_t block) {
    const uint64_t *away = &share_of(heap, arena)->away[block / 32];
    return __atomic_load_n(away, __ATOMIC_RELAXED) >> block % 32 & 1;
}

// Sets a bit of a word, by its number modulo 32: one instruction, but compilers do not know that
// the processor takes the number so.
static inline uint32_t with_bit(uint32_t word, uint32_t bit) {
#if defined(__x86_64__) || defined(__i386__)
    __asm__("btsl %1, %0" : "+r"(word) : "r"(bit) : "cc");
    return word;
#else
    return word | 1u << bit % 32;
#endif
}

static inline uint32_t *word_of(struct arena *arena, uint32_t block) {
    return arena->map + (size_t)(block / 32);
}

// *map: what becomes of a word of the map of an arena of this owner when a block of it comes home.
// False if that is no live block.
static inline bool shared_comes(const uint32_t *word, const struct front *front, uint32_t block,
                                uint32_t *map) {
    uint32_t home = *word, hand = front->claimed;
    // No predictor knows whether the word is the one in hand: no branch.
    hand = __builtin_expect_with_probability(front->word == word, 1, 0.5) ? hand : 0;
    __asm__("" : "+r"(hand));
    *map = with_bit(home, block);
    return __builtin_expect(!((home | hand) >> block % 32 & 1), 1);
}

// Frees a block of an arena of this owner that has a place in its free list. False, with nothing
// changed, for all else.
static inline bool shared_give_fast(uint32_t seal, const struct heap *heap, uintptr_t p) {
    uintptr_t into = p - PORT_BASE(heap);
    if (__builtin_expect(into >= PORT_BYTES(heap), 0)) return false;
    struct arena *arena = record_of(heap, into);
    const struct memory_block_desc *desc = LOOK(arena->desc);
    uint32_t base = (uint32_t)LOOK(arena->base), off = (uint32_t)p - base;
    uint32_t odd = (uint32_t)(uintptr_t)desc + base + LOOK(arena->seal) + LOOK(arena->head) - seal;
    if (__builtin_expect(odd != 0, 0)) {
        if (odd != ARENA_EVER) return false; // not sound, then: nothing of it may be followed
        uint32_t block = block_index(desc, off);
        if (block >= ARENA_BLOCKS_MAX || shared_away(heap, arena, block)) return false;
    }
    uint32_t block = block_index(desc, off), map;
    if (__builtin_expect(block >= ARENA_BLOCKS_MAX, 0)) return false;
    const struct front *front = front_of(desc);
    uint32_t *word = word_of(arena, block);
    if (!shared_comes(word, front, block, &map)) return false;
    if (__builtin_expect(map == UINT32_MAX, 0) && word != front->take) return false;
    STORE(*word, map);
    return true;
}

// Bytes that the live block at p holds, if it is in an arena of this owner that nothing is special
// about; 0 otherwise.
static inline size_t shared_room(struct owner *me, const struct heap *heap, uintptr_t p) {
    uintptr_t off = p - PORT_BASE(heap);
    if (off >= PORT_BYTES(heap)) return 0;
    struct arena *arena = record_of(heap, off);
    if (shared_sum(arena) != me->seal || LOOK(arena->head) & ARENA_EVER) return 0;
    const struct front *front = front_of(arena->desc);
    uint32_t block = block_index(arena->desc, (uint32_t)(p - arena->base));
    uint32_t map;
    if (block >= ARENA_BLOCKS_MAX) return 0;
    return shared_comes(word_of(arena, block), front, block, &map) ? front->block_size : 0;
}

// Makes a heap that holds nothing one of several owners: `owners` is its caller's to keep, with
// `marks` set, and arrays that are zeroed and may be mapped as they are needed.
void owners_init(struct heap *heap, struct owners *owners);
// An owner for the caller, until owner_leave(); NULL if there are OWNERS_MAX, or no memory.
struct owner *owner_take(struct heap *heap);
// What is empty goes back; the arenas wait for the next who takes an owner. Blocks of theirs may be
// freed meanwhile.
void owner_leave(struct owner *me);
// After fork(): all owners but `me` may have been in the middle of a call, and are idle now; but
// for `kept`, which stays its caller's.
void owners_recover(struct heap *heap, struct owner *me, struct owner *kept);

// A block or large area, or NULL.
void *shared_malloc(struct owner *me, size_t size);
// False, after a report, if p is wrong. Who has no owner gives one that owns nothing.
bool shared_free(struct heap *heap, struct owner *me, uintptr_t p, uintptr_t caller);
uint32_t shared_trim(struct owner *me); // frames given back

// Which blocks of a word of a sound arena are not live. Any context; what its owner does meanwhile
// may or may not be in it.
uint32_t shared_home(const struct heap *heap, const struct arena *arena, uint32_t word);
