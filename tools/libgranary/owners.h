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
    uintptr_t unused;   // as long as an arena's record, in 64 bits: from one to the other is a sum
};

// One size of one owner: the blocks in hand, and the arenas that there are.
struct front {
    uint32_t bits;       // blocks of the word in hand that are not handed out
    uint32_t block_size; // the descriptor's
    uintptr_t base;      // address of that word's block 0
    uint32_t *word;      // the word in hand, NULL for none
    struct arena *arena; // whose word it is
    bool foreign;        // others free blocks of this size: its words are exchanged when claimed
    struct list waiting; // full arenas in which others have freed, or may
    struct memory_block_desc desc;
};

struct owner {
    uint32_t seal; // shared_sum() of its arenas, when there is nothing special about them
    struct heap *heap;
    struct share *news; // arenas in which others freed for the first time, under the heap's lock
    struct owner *next_idle; // of the idle ones
    uint16_t *front_at;      // bytes from here to the front of a size: [(size - 1) / BLOCK_ALIGN]
    uint32_t block_max;
    uint32_t look; // the size that hand_look() is to look at
    struct front front[DESC_MAX];
};

// The owners of a heap.
struct owners {
    bool marks;          // there is no port_barrier(): every arena is ARENA_EVER from its opening
    struct owner *owner; // OWNERS_MAX at most
    struct share *share; // one for each frame of the pool
    uint32_t count;
    struct owner *idle; // a list, by next_idle
    uint16_t front_at[BLOCK_SIZE_MAX / BLOCK_ALIGN];
};

// In arena.head of a shared arena, beside `large`.
#define ARENA_FULL 0x001u // no bit of the map is set, or the word in hand has them: in no free list
#define ARENA_EVER 0x100u // others have freed here, or may: its front is foreign, and all know
#define ARENA_FLAGS (ARENA_FULL | ARENA_EVER)
#define SHARED_SEAL 0x7d5ea100u
#define SHARED_STEP 0x200u // from one owner's seal to the next

// Everyone reads the map and what is in hand; only the owner writes.
#define LOOK(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

// What the record of a shared arena adds up to: its owner's seal. The map and `carved`, which its
// owner changes all the time, are not in it, nor is the head: that is ARENA_FLAGS.
static inline uint32_t shared_sum(const struct arena *arena) {
    return (uint32_t)(uintptr_t)LOOK(arena->desc) + (uint32_t)LOOK(arena->base) +
           LOOK(arena->blocks) + LOOK(arena->seal);
}

static inline struct front *front_of(const struct memory_block_desc *desc) {
    return (struct front *)((uintptr_t)desc - offsetof(struct front, desc));
}

static inline struct front *front_for(struct owner *me, size_t size) {
    return (struct front *)((uintptr_t)me + me->front_at[(size - 1) / BLOCK_ALIGN]);
}

// The record that a frame leads to, not proved yet: if `back` was overwritten, what it leads to
// has another sum.
static inline struct arena *record_of(const struct heap *heap, uintptr_t frame) {
    struct arena *arena = &heap->arena[frame];
    return (struct arena *)((uintptr_t)arena - LOOK(arena->back));
}

// A block of the word in hand, the lowest; NULL if there is none, or the size is none of a block.
static inline void *shared_take_fast(struct owner *me, size_t size) {
    if (__builtin_expect(size - 1 >= me->block_max, 0)) return NULL;
    struct front *front = front_for(me, size);
    uint32_t bits = front->bits;
    if (__builtin_expect(bits == 0, 0)) return NULL;
    STORE(front->bits, bits & (bits - 1));
    return (void *)(front->base + (uintptr_t)__builtin_ctz(bits) * front->block_size);
}

static inline struct share *share_of(const struct heap *heap, const struct arena *arena) {
    return &heap->owners->share[arena - heap->arena];
}

// Whether another owner has freed a block since its word was last collected.
static inline bool shared_away(const struct heap *heap, const struct arena *arena, uint32_t block) {
    const uint64_t *away = &share_of(heap, arena)->away[block / 32];
    return __atomic_load_n(away, __ATOMIC_RELAXED) >> block % 32 & 1;
}

// Frees a block of an arena of this owner that nothing is special about. False, with nothing
// changed, for all else.
static inline bool shared_give_fast(struct owner *me, const struct heap *heap, uintptr_t p) {
    uintptr_t frame = (p - PORT_BASE(heap)) >> PG_SHIFT;
    if (__builtin_expect(frame >= PORT_FRAMES(heap), 0)) return false;
    struct arena *arena = record_of(heap, frame);
    if (__builtin_expect(shared_sum(arena) != me->seal, 0)) return false;
    uint32_t head = LOOK(arena->head);
    const struct memory_block_desc *desc = arena->desc;
    uint32_t block = block_index(desc, (uint32_t)(p - arena->base));
    if (__builtin_expect(block >= arena->blocks, 0)) return false;
    if (head && (head != ARENA_EVER || shared_away(heap, arena, block))) return false;
    const struct front *front = front_of(desc);
    uint32_t *word = &arena->map[block / 32], map = *word, hand = front->bits;
    // No predictor knows whether the word is the one in hand: no branch.
    hand = __builtin_expect_with_probability(front->word == word, 1, 0.5) ? hand : 0;
    __asm__("" : "+r"(hand));
    if (__builtin_expect((map | hand) >> block % 32 & 1, 0)) return false;
    map |= 1u << block % 32;
    if (__builtin_expect(map == UINT32_MAX, 0)) return false;
    STORE(*word, map);
    return true;
}

// Bytes that the live block at p holds, if it is in an arena of this owner that nothing is special
// about; 0 otherwise.
static inline size_t shared_room(struct owner *me, const struct heap *heap, uintptr_t p) {
    uintptr_t frame = (p - PORT_BASE(heap)) >> PG_SHIFT;
    if (frame >= PORT_FRAMES(heap)) return 0;
    const struct arena *arena = record_of(heap, frame);
    if (shared_sum(arena) != me->seal || LOOK(arena->head) != 0) return 0;
    const struct front *front = front_of(arena->desc);
    uint32_t block = block_index(arena->desc, (uint32_t)(p - arena->base));
    if (block >= arena->blocks) return 0;
    const uint32_t *word = &arena->map[block / 32];
    uint32_t home = *word | (front->word == word ? front->bits : 0);
    return home >> block % 32 & 1 ? 0 : front->block_size;
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
