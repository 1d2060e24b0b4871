// heap.h - the records of a heap: its pool, frames, descriptors, arenas.
//
// For memory.c, pool.c, their port, what looks at a heap (kernel/inspect), tests and debuggers. All
// others use the calls of memory.h and leave the records alone. Protected by port_lock().
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/list.h"
#include "lib/page.h"

// In registers, where the i386 ABI has arguments on the stack: between files, as the compiler has
// them inside one. Saves a pair of large areas 4 instructions of 196, or 13 from 32 frames on.
#ifdef __i386__
#define HEAP_QUICK __attribute__((regparm(2)))
#else
#define HEAP_QUICK
#endif

enum pool_id { POOL_KERNEL, POOL_USER, POOL_COUNT };

// A frame's record in its pool.
struct frame {
    uint32_t run;        // FRAME_FREE | length at the first and last frame of a free run,
                         // or FRAME_KEPT(n) in place of FRAME_FREE: processor n's (kernel/local.c);
                         // FRAME_USED | length at the first frame of a run handed out, and
                         // FRAME_LENT with it if frame_alloc() did that; else 0
    uint32_t bin;        // last frame of a free run only, like the two below: the bin it is in.
                         // Anchor of a run handed out: frames from the run's first to it
    struct frame *next;  // last frame of that bin's next run, or NULL
    struct frame **link; // what points here: the bin, or `next` of the run before
};
#define FRAME_FREE 0x80000000u
#define FRAME_USED 0x40000000u
#define FRAME_KEPT(n) (0x20000000u | (uint32_t)(n) << 24) // n up to 15
#define FRAME_LENT 0x10000000u
#define FRAME_LENGTH 0x00ffffffu // in frames: these bits
#define FRAME_RUN(run) ((run)&FRAME_LENGTH)

// A run of 32 frames or more has an anchor: its first frame whose number is a multiple of 32.
#define ANCHOR_STEP 32u
static inline uint32_t anchor_of(uint32_t first) { return (first + ANCHOR_STEP - 1) / ANCHOR_STEP; }

// Free runs of 1 .. 31 frames have a bin for each length, longer ones eight bins for each power of
// two.
#define POOL_BINS 256

// Words that the anchors of a pool of so many frames take: the bitmap, and which of its words are
// not 0.
#define POOL_ANCHOR_WORDS(frames) \
    ((frames) / ANCHOR_STEP / 32 + 1 + (frames) / ANCHOR_STEP / 32 / 32 + 1)

struct pool {
    const char *name;                  // "kernel_pool", "user_pool"
    struct heap *heap;                 // the one that takes its frames, NULL for the user pool
    struct frame *frame;               // `frames` records
    struct frame *end;                 // behind the last of them
    uint64_t phys;                     // physical address of frame 0, bytes
    uint32_t frames;                   // frames in the window, holes included
    uint32_t usable;                   // of them, frames that are memory
    uint32_t free;                     // of them, neither handed out nor kept by a processor
    uint32_t nonempty[POOL_BINS / 32]; // bit b of the array: bin b holds a run
    uint32_t nonempty_words;           // bit w: nonempty[w] is not 0
    uint32_t *anchor;                  // bit n: frame 32 * n is the anchor of a run handed out
    uint32_t *anchor_words;            // bit w: anchor[w] is not 0
    struct frame *bin[POOL_BINS];      // last frame of the bin's first run, or NULL
};

#define ARENA_WORDS 8                       // words of an arena's bitmap
#define ARENA_BLOCKS_MAX (32 * ARENA_WORDS) // 256: a frame of the smallest blocks
#define BLOCK_ALIGN 16                      // max_align_t of the i386 ABI
#define DESC_MAX 32                         // descriptors a table of block sizes may have
#define BLOCK_SIZE_MAX 8192                 // largest block a table may name
#define ARENA_FRAMES_MAX 16                 // frames of one small arena

struct memory_block_desc;
struct arena;

// A port's wish, where addresses have 64 bits: what a free goes by, for each frame of an arena
// (tools/libgranary/owners.h).
#if defined(ARENA_PADDED) && UINTPTR_MAX > UINT32_MAX
#define ARENA_PROOFS
struct proof {
    uint64_t factor;     // 2^32 times the number of the block at p is p * factor - start
    uint64_t start;      // base * factor
    struct arena *arena; // whose frame it is; all are 0 if it is none's
    uintptr_t seal;      // makes proof_sum() what it is
};
#endif

// An arena's meta data. One record for each frame of the kernel pool, outside the frames; the
// record of an arena's first frame is the arena's own, of the others only `back` is used (and
// `proof`, where there is one).
//
// Blocks are carved one after the other: those numbered below `carved` were handed out at least
// once, and a set bit in `map` says that one of them has come back; those from `carved` on are free
// and need no bit.
struct arena {
    struct list_elem elem; // in desc->free_list while cnt != 0. First: see memory_block_desc.end
#ifdef ARENA_PROOFS
    struct proof proof;       // of this frame
    uint8_t padding[64 - 48]; // the arena's own record is a line of the cache, from `desc` on
#endif
    struct memory_block_desc *desc; // NULL: a large area, or no arena starts at this frame
    uintptr_t base;                 // address of block 0
    union {
        struct {
            uint32_t cnt : 24;  // small: free blocks; large: frames
            uint32_t large : 8; // 1: one undivided area of `cnt` frames; 0: small, or none
        };
        struct {
            uint8_t full, ever, known; // small, where a port has owners (kernel/port.h)
        };
        uint32_t head; // both: == cnt in a small arena, ARENA_LARGE | cnt in a large area
    };
    union {
        struct {
            uint16_t carved; // blocks handed out at least once are 0 .. carved - 1
            uint16_t back;   // bytes to go back to the arena's own record, 0 in that one
        };
        uint32_t carving; // both: == carved in an arena's own record
    };
    uint32_t seal; // makes arena_sum() what it is: one of its fields overwritten, and it differs
    uint32_t map_words;        // bit w set wherever map[w] is not 0; may stay set when it becomes 0
    uint32_t map[ARENA_WORDS]; // bit b of word w: block 32 * w + b was handed out and is free again
};

// Block descriptor: the one entrance to all blocks of a size.
struct memory_block_desc {
    uint32_t block_size;       // bytes, a multiple of BLOCK_ALIGN
    uint32_t blocks_per_arena; // at most ARENA_BLOCKS_MAX
    uint32_t inverse;          // of block_size's odd part modulo 2^32: see block_index()
    uint32_t shift;            // block_size's power of two
    uint32_t inner_max;        // blocks_per_arena - 2: a free changes no list if 1 to inner_max
                               // were free before it, see arena_put(). Wraps for a single block
    uint32_t frames_per_arena;
    struct heap *heap;     // whose descriptor it is
    uint32_t seal;         // what arena_sum() of its arenas is: SMALL_SEAL, but in kernel/local.c
    uint32_t arenas;       // open arenas
    struct arena *reserve; // the arena that was last seen empty, or NULL
    union {
        struct list free_list; // arenas with room, the one that serves at its front
        struct arena end;      // the list's head, as an arena: a full one, so that an empty list
                               // needs no test of its own. All zero but for elem
    };
};

// The pages of a heap's frames, where they come and go: a program's. Both are called with the heap
// locked.
struct heap_backing {
    // No free run of `count` frames: heap_grow() and true, or false.
    bool (*more)(struct heap *heap, uint32_t count);
    // These frames are about to become free.
    void (*back)(struct heap *heap, uint32_t first, uint32_t count);
};

// A heap: a pool of frames, their records, and descriptors. It shares nothing with another heap.
struct heap {
    uintptr_t base;                     // address of the pool's frame 0, a multiple of PG_SIZE
    struct arena *arena;                // a record for each frame of the pool
    uint32_t frames;                    // length of `arena`
    uint32_t block_max;                 // largest block of the table; above it, whole frames
    uint32_t fast_max;                  // block_max, or 0: no call takes a fast path
    uint32_t fast_frames;               // `frames`, or 0, likewise
    uint32_t desc_count;                // descriptors in use
    uint32_t small_frames;              // frames held by small arenas, or kept for them
    uint32_t large_frames;              // frames held by large areas
    struct heap *next;                  // of those that what looks at heaps knows: heap_add()
    const struct heap_backing *backing; // pages that come and go; NULL: all are there
    struct owners *owners;              // a port's that has such (kernel/port.h), or NULL
    struct pool pool;
    struct memory_block_desc block_descs[DESC_MAX];
    // Descriptor for a size: desc_of[(size - 1) / BLOCK_ALIGN], for 1 <= size <= block_max.
    struct memory_block_desc *desc_of[BLOCK_SIZE_MAX / BLOCK_ALIGN];
};

extern struct heap k_heap;                      // the kernel's: the heap of sys_malloc()
extern struct pool *const mem_pool[POOL_COUNT]; // its pool, and the user pool

// What a wrong call was. The words of heap_fault_text() are fixed: tests and users rely on them.
enum heap_fault {
    HEAP_OK,
    HEAP_DOUBLE_FREE,
    HEAP_NOT_ALLOCATED,
    HEAP_INTERIOR_POINTER,
    HEAP_OUTSIDE,
    HEAP_CORRUPT_ARENA,
    HEAP_OVERFLOW,
    HEAP_USE_AFTER_FREE,
    HEAP_FROM_INTERRUPT,
};

#define ARENA_LARGE 0x01000000u // in arena.head: `large` is 1
#define SMALL_SEAL 0x5ea1a4e1u  // any two odd numbers: a record of zeros must not look sealed,
#define LARGE_SEAL 0xa41e5ea1u  // and one comparison must tell a sound small arena from all else

// An arena that is processor n's own has the seal SMALL_SEAL + (n + 1) * SEAL_STEP. That of all
// processors, and of every heap but the kernel's, has SMALL_SEAL. No two of them differ by a power
// of two, so that no bit that flips leads from one to another.
#define SEAL_STEP 0x3ad1f96bu
#define SEAL_STEP_INVERSE 0xbe646b43u // times SEAL_STEP it is 1 modulo 2^32
#define SEALS 17                      // PROCESSORS_MAX + 1

_Static_assert(1u == SEAL_STEP * SEAL_STEP_INVERSE, "arena_sealed()");
_Static_assert(FRAME_LENGTH == ARENA_LARGE - 1, "a large area's frames are a run's length");

// What an arena's record adds up to: its descriptor's seal, or LARGE_SEAL. A change of any one of
// these fields changes it; where cnt counts, one instruction more keeps it. Carving a block moves
// one from cnt to carved and leaves the sum as it is. The map and the links are not in it: a bit of
// the map that flips frees a block, or makes a free be refused.
static inline uint32_t arena_sum(const struct arena *arena) {
    return (uint32_t)(uintptr_t)arena->desc + (uint32_t)arena->base + arena->head + arena->carving +
           arena->seal;
}

// True if a record that starts an arena or large area is as it was written.
static inline bool arena_sealed(const struct arena *arena) {
    uint32_t total = arena_sum(arena);
    if (arena->large || !arena->desc) return total == LARGE_SEAL && arena->large && !arena->desc;
    return (total - SMALL_SEAL) * SEAL_STEP_INVERSE < SEALS; // steps from SMALL_SEAL
}

// True if a record starts nothing: no arena, no large area.
static inline bool arena_blank(const struct arena *arena) {
    return !arena->desc && arena->head == 0 && arena->seal == 0;
}

// The record that a frame's `back` leads to, its own included: of the arena that holds the frame,
// if it is one's. NULL if it leads nowhere. `back` is read once: the caller may hold no lock.
static inline struct arena *record_at(const struct heap *heap, uint32_t frame) {
    struct arena *at = &heap->arena[frame];
    uint32_t bytes = __atomic_load_n(&at->back, __ATOMIC_RELAXED);
    bool leads = bytes % sizeof *at == 0 && bytes / sizeof *at <= frame;
    return leads ? (struct arena *)((uintptr_t)at - bytes) : NULL;
}

// The same, not looked at: what a wrong `back` leads to adds up to something else, or is another
// arena's, and the pointer no block of it.
static inline struct arena *record_guess(const struct heap *heap, uintptr_t frame) {
    struct arena *at = &heap->arena[frame];
    return (struct arena *)((uintptr_t)at - at->back);
}

// Of memory.c, for its port.
//
// Gives the frames of an arena whose blocks are all free back to the pool. Locked by its caller.
HEAP_QUICK void arena_close(struct arena *arena);
// Opening and closing without the pool and the heap's counters. The first makes an arena of
// frames_per_arena frames that are no one's, from `first` on; the second makes blank records of it
// again, and returns its first frame. Locked by their caller, or of its processor's own, with
// interrupts off.
HEAP_QUICK void arena_make(struct memory_block_desc *desc, const struct frame *first);
HEAP_QUICK struct frame *arena_unmake(struct arena *arena);
// One more descriptor, for a size above all others, a multiple of BLOCK_ALIGN up to BLOCK_SIZE_MAX,
// and arenas of so many frames. There are fewer than DESC_MAX; the heap may hold blocks. The fast
// paths learn of it by heap_fast_paths().
void block_desc_add(struct heap *heap, uint32_t size, uint32_t frames);

// Number of the block that starts `off` bytes into an arena; blocks_per_arena or more if none does.
static inline uint32_t block_index(const struct memory_block_desc *desc, uint32_t off) {
    uint32_t product = off * desc->inverse;
    return product >> desc->shift | product << (-desc->shift & 31);
}
