// memory.c - page-frame pools, arenas, sys_malloc and sys_free.
//
// Three layers, each standing on the one before; a learner who steps through one sys_malloc stays
// in this file from the first line to the last.
//
//   I    Frame pools   hand out runs of 4 KiB frames, and join them again when they come back.
//   II   Arenas        a storehouse of blocks of one size: a run of frames cut into equal blocks,
//                      and a record beside the pool that says which are free. Or one large area.
//   III  sys_ calls    the one entrance for every size: blocks up to 1024 bytes, frames above.
//
// Theory. Nothing the heap relies on lies in memory it hands out: no header before a block, no link
// inside a free one. A bitmap in the arena's record holds what is free, so that
//   - a wrong pointer is refused exactly: the record knows each block's state, whatever the block's
//     bytes say;
//   - an overflow may spoil a neighbour's data, never the heap;
//   - a frame of 256-byte blocks holds 16 of them, not 15 and a header.
// The cost is 64 bytes of record for each 4096-byte frame (1.6 %), and a find-first-set where other
// heaps pop a list.
//
// From pointer to block, without a division: the distance `off` of a pointer from its arena's start
// is a multiple q * size only if off * inverse(odd part), rotated right by size's power of two, is
// that q; for any other `off` the result is larger than every block number (T. Granlund, P.
// Montgomery, "Division by Invariant Integers using Multiplication", 1994, section 9). One
// multiplication thus finds the block's number and proves that the pointer is at a block's start.
//
// Invariants (kernel/heapcheck.c walks them by these numbers):
//   F1  The first and last record of a free run hold FRAME_FREE | length, the first record of a run
//       handed out holds FRAME_USED | length, all other records hold 0 in `run`.
//   F2  No two free runs touch.
//   F3  A free run is in the one bin of its length; nonempty's bit is set exactly where a bin holds
//       a run.
//   F4  pool.free is the sum of the free runs' lengths.
//   A1  An arena's or large area's frames are one run handed out, whose first frame's record it is.
//   A2  arena.seal == arena_seal(arena).
//   A3  cnt is the number of set bits in map and of blocks not carved; no bit at or above carved is
//       set; carved is at most blocks_per_arena; room has bit w set exactly where map[w] != 0.
//   A4  A small arena is in its descriptor's free_list exactly if cnt != 0.
//   A5  At most one arena of a descriptor is empty, and that one is desc->reserve.
//   A6  All records but those of arenas' and large areas' first frames are zero, apart from `back`,
//       which leads from the further frames of a small arena to its first.
//
// Who protects what: everything here by port_lock(), in the kernel interrupts off. Every locked
// stretch is a bounded number of steps; clearing and copying happen outside.
//
// Shortcomings:
//   - A large area needs frames in a row: with every second frame taken, nothing above 4096 bytes
//     can be had.
//   - A request longer than 32 frames looks at 8 runs of its own bin at most before it goes to
//     larger bins, so it can fail while the ninth would have served.
//   - Lowest block first means that a freed block is soon used again: a use after free is more
//     likely to do harm (the checked build is the answer to that, not the order).
#include "kernel/memory.h"

#include "kernel/port.h"
#include "lib/print.h"
#include "lib/string.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
// Makes the compiler read memory again behind it: a second read from the cache costs less than a
// register that must be saved on the stack for its sake.
#define FORGET_REGISTERS() __asm__ volatile("" : : : "memory")
#define CALLER ((uintptr_t)__builtin_return_address(0))

struct pool mem_pool[POOL_COUNT];
struct mem_block_desc k_block_descs[DESC_MAX];
struct heap heap;
struct arena arena_none; // all zero: serves for a descriptor none of whose arenas has room

// Descriptor for a size: desc_of[(size - 1) / BLOCK_ALIGN], for 1 <= size <= heap.block_max.
static struct mem_block_desc *desc_of[BLOCK_SIZE_MAX / BLOCK_ALIGN];

// The seed's seven sizes.
static const uint32_t seed_sizes[] = {16, 32, 64, 128, 256, 512, 1024};

// ================================================================================================
// I  Frame pools
// ================================================================================================
//
// A pool is a window of frames. Free ones are kept as runs, each as long as it can be, in bins by
// length: a request takes from the shortest bin that surely serves, a returned run joins its
// neighbours first. All steps are bounded, whatever the pool's size: this is the two-level
// segregated fit of M. Masmano and others (TLSF, 2004) on frames.

#define BIN_EXACT 32u // bins 0 .. 31 hold runs of exactly 1 .. 32 frames
#define BIN_LOOK 8u   // runs looked at in a bin whose runs differ in length

static uint32_t floor_log2(uint32_t n) { return 31 - (uint32_t)__builtin_clz(n); }

// The bin for runs of `count` frames: exact up to 32, then four bins for each power of two.
static uint32_t bin_of(uint32_t count) {
    if (count <= BIN_EXACT) return count - 1;
    uint32_t log = floor_log2(count);
    return BIN_EXACT + (log - 5) * 4 + ((count >> (log - 2)) & 3);
}

// Makes [first, first + count) a free run in its bin. Its neighbours are not free.
static void run_insert(struct pool *pool, uint32_t first, uint32_t count) {
    uint32_t bin = bin_of(count);
    uint32_t next = pool->bin[bin];
    struct frame *frame = &pool->frame[first];
    frame->next = next;
    frame->prev = FRAME_NONE;
    if (next != FRAME_NONE) pool->frame[next].prev = first;
    pool->bin[bin] = first;
    pool->nonempty[bin / 32] |= 1u << bin % 32;
    frame->run = FRAME_FREE | count;
    frame[count - 1].run = FRAME_FREE | count;
}

// Takes the free run at `first` out of its bin; both its tags become 0. Returns its length.
static uint32_t run_remove(struct pool *pool, uint32_t first) {
    struct frame *frame = &pool->frame[first];
    uint32_t count = FRAME_RUN(frame->run);
    if (frame->next != FRAME_NONE) pool->frame[frame->next].prev = frame->prev;
    if (frame->prev != FRAME_NONE) {
        pool->frame[frame->prev].next = frame->next;
    } else {
        uint32_t bin = bin_of(count);
        pool->bin[bin] = frame->next;
        if (frame->next == FRAME_NONE) pool->nonempty[bin / 32] &= ~(1u << bin % 32);
    }
    frame[count - 1].run = 0;
    frame->run = 0;
    return count;
}

// First frame of a run of at least `count`, or FRAME_NONE.
static uint32_t run_find(const struct pool *pool, uint32_t count) {
    uint32_t bin = bin_of(count);
    uint32_t first = pool->bin[bin];
    for (uint32_t looked = 0; first != FRAME_NONE && looked < BIN_LOOK; looked++) {
        if (FRAME_RUN(pool->frame[first].run) >= count) return first;
        first = pool->frame[first].next;
    }
    bin++;
    if (bin == POOL_BINS) return FRAME_NONE;
    uint32_t word = bin / 32;
    uint32_t bits = pool->nonempty[word] & (UINT32_MAX << bin % 32);
    while (bits == 0) {
        if (++word == POOL_BINS / 32) return FRAME_NONE;
        bits = pool->nonempty[word];
    }
    return pool->bin[word * 32 + (uint32_t)__builtin_ctz(bits)];
}

static uint32_t run_take(struct pool *pool, uint32_t count) {
    uint32_t first = run_find(pool, count);
    if (first == FRAME_NONE) return FRAME_NONE;
    uint32_t length = run_remove(pool, first);
    if (length > count) run_insert(pool, first + count, length - count);
    pool->frame[first].run = FRAME_USED | count;
    pool->free -= count;
    return first;
}

// Gives back frames that have no tags (F1), joined with the free runs on both sides.
static void run_give(struct pool *pool, uint32_t first, uint32_t count) {
    pool->free += count;
    uint32_t behind = first + count;
    if (behind < pool->frames && (pool->frame[behind].run & FRAME_FREE)) {
        count += run_remove(pool, behind);
    }
    if (first > 0 && (pool->frame[first - 1].run & FRAME_FREE)) {
        uint32_t before = FRAME_RUN(pool->frame[first - 1].run);
        first -= before;
        count += before;
        run_remove(pool, first);
    }
    run_insert(pool, first, count);
}

// Makes a run handed out shorter or longer at its end; false if the frames behind are not free.
static bool run_resize(struct pool *pool, uint32_t first, uint32_t from, uint32_t to) {
    if (to > from) {
        uint32_t behind = first + from, more = to - from;
        if (behind >= pool->frames || !(pool->frame[behind].run & FRAME_FREE)) return false;
        if (FRAME_RUN(pool->frame[behind].run) < more) return false;
        uint32_t length = run_remove(pool, behind);
        if (length > more) run_insert(pool, behind + more, length - more);
        pool->free -= more;
    }
    pool->frame[first].run = FRAME_USED | to;
    if (to < from) run_give(pool, first + to, from - to);
    return true;
}

// Where a frame of the kernel pool lies in the heap window.
static uintptr_t frame_base(uint32_t frame) {
    return PORT_HEAP_BASE + ((uintptr_t)frame << PG_SHIFT);
}

uint32_t frame_alloc(enum pool_id id, uint32_t count) {
    struct pool *pool = &mem_pool[id];
    if (count == 0 || count > pool->frames) return FRAME_NONE;
    port_state state = port_lock();
    uint32_t first = run_take(pool, count);
    port_unlock(state);
    return first;
}

void frame_free(enum pool_id id, uint32_t first, uint32_t count) {
    struct pool *pool = &mem_pool[id];
    enum heap_fault fault = HEAP_OK;
    port_state state = port_lock();
    if (first >= pool->frames) {
        fault = HEAP_OUTSIDE;
    } else if (count == 0 || pool->frame[first].run != (FRAME_USED | count) ||
               (id == POOL_KERNEL &&
                heap.arena[first].seal != 0)) { // the heap's own are not its caller's
        fault = HEAP_NOT_ALLOCATED;
    } else {
        pool->frame[first].run = 0;
        run_give(pool, first, count);
    }
    port_unlock(state);
    // The kernel pool's frames have an address in the window; the user pool's only a physical one.
    uintptr_t at = id == POOL_KERNEL ? frame_base(first) : (uintptr_t)frame_address(id, first);
    if (fault != HEAP_OK) port_report(fault, at, CALLER);
}

uint64_t frame_address(enum pool_id id, uint32_t frame) {
    return mem_pool[id].phys + ((uint64_t)frame << PG_SHIFT);
}

uint32_t frames_total(enum pool_id id) { return mem_pool[id].usable; }
uint32_t frames_free(enum pool_id id) { return mem_pool[id].free; }

// ================================================================================================
// II  Arenas and block descriptors
// ================================================================================================

// Sets bit `bit` of an array of words; returns what it was.
static inline bool bit_set(uint32_t *words, uint32_t bit) {
#if defined(__i386__) || defined(__x86_64__)
    bool was;
    __asm__("btsl %2, %1" : "=@ccc"(was), "+m"(*(uint32_t(*)[ARENA_WORDS])words) : "r"(bit));
    return was;
#else
    uint32_t mask = 1u << bit % 32, bits = words[bit / 32];
    words[bit / 32] = bits | mask;
    return (bits & mask) != 0;
#endif
}

// Number of the lowest set bit; bits != 0. An instruction that `__builtin_ctz` wraps in more for
// the sake of processors that this kernel does not require.
static inline uint32_t lowest_bit(uint32_t bits) {
#ifdef __i386__
    uint32_t number;
    __asm__("bsfl %1, %0" : "=r"(number) : "rm"(bits) : "cc");
    return number;
#else
    return (uint32_t)__builtin_ctz(bits);
#endif
}

// Two operations on memory whose result only the flags need: compilers load, change and store.
static inline bool decrement_is_zero(uint32_t *value) {
#if defined(__i386__) || defined(__x86_64__)
    bool zero;
    __asm__("decl %1" : "=@ccz"(zero), "+m"(*value));
    return zero;
#else
    return --*value == 0;
#endif
}

static inline bool and_is_zero(uint32_t *value, uint32_t mask) {
#if defined(__i386__) || defined(__x86_64__)
    bool zero;
    __asm__("andl %2, %1" : "=@ccz"(zero), "+m"(*value) : "r"(mask));
    return zero;
#else
    return (*value &= mask) == 0;
#endif
}

static uint32_t arena_frame(const struct arena *arena) { return (uint32_t)(arena - heap.arena); }

// After every change of the free list's front.
static void serving_update(struct mem_block_desc *desc) {
    struct list_elem *front = list_first(&desc->free_list);
    desc->serving = front ? list_entry(front, struct arena, elem) : &arena_none;
}

// Opens an arena for `desc`: nothing carved yet, front of the free list. False if there are no
// frames.
static bool arena_open(struct mem_block_desc *desc) {
    uint32_t frame = run_take(&mem_pool[POOL_KERNEL], desc->frames_per_arena);
    if (frame == FRAME_NONE) return false;
    struct arena *arena = &heap.arena[frame];
    arena->desc = desc;
    arena->head = desc->blocks_per_arena;
    arena->base = frame_base(frame);
    arena->seal = arena_seal(arena);
    for (uint32_t i = 1; i < desc->frames_per_arena; i++) {
        arena[i].back = (uint16_t)(i * sizeof *arena);
    }
    list_push(&desc->free_list, &arena->elem);
    desc->serving = arena;
    desc->arenas++;
    heap.small_frames += desc->frames_per_arena;
    return true;
}

// Gives the frames of an arena whose blocks are all free back to the pool.
static void arena_close(struct arena *arena) {
    struct mem_block_desc *desc = arena->desc;
    uint32_t frames = desc->frames_per_arena, frame = arena_frame(arena);
    list_remove(&arena->elem);
    serving_update(desc);
    for (uint32_t i = 1; i < frames; i++) arena[i].back = 0;
    memset(arena, 0, sizeof *arena);
    desc->arenas--;
    heap.small_frames -= frames;
    mem_pool[POOL_KERNEL].frame[frame].run = 0;
    run_give(&mem_pool[POOL_KERNEL], frame, frames);
}

// An arena handed out its last free block.
static __attribute__((noinline)) void arena_filled(struct arena *arena) {
    struct mem_block_desc *desc = arena->desc;
    list_remove(&arena->elem);
    serving_update(desc);
}

// Takes a block of the arena that serves: the lowest of those that came back, or else carves the
// next. False if no arena has room.
static inline bool arena_take(struct mem_block_desc *desc, void **p) {
    struct arena *arena = desc->serving;
    uint32_t block;
    if (LIKELY(arena->room != 0)) {
        uint32_t word = lowest_bit(arena->room);
        uint32_t bits = arena->map[word];
        block = word * 32 + lowest_bit(bits);
        if (UNLIKELY(and_is_zero(&arena->map[word], bits - 1))) arena->room &= arena->room - 1;
        arena->seal--;
    } else {
        if (UNLIKELY(arena->head == 0)) return false; // arena_none
        block = arena->carving++;                     // with head--: the seal's sum stays
    }
    if (UNLIKELY(decrement_is_zero(&arena->head))) arena_filled(arena);
    *p = (void *)(arena->base + block * arena->desc->block_size);
    return true;
}

// An arena's last block came home. One empty arena of each descriptor stays open, at the back of
// the list, so that a pair at an arena's edge does not open and close it each time; a second one's
// frames go back.
static __attribute__((noinline)) void arena_emptied(struct arena *arena) {
    struct mem_block_desc *desc = arena->desc;
    struct arena *reserve = desc->reserve;
    if (reserve && reserve != arena && reserve->cnt == desc->blocks_per_arena) {
        arena_close(arena);
        return;
    }
    desc->reserve = arena;
    list_remove(&arena->elem);
    list_append(&desc->free_list, &arena->elem);
    serving_update(desc);
}

// An arena that was full has room again, or its last block came home.
static __attribute__((noinline)) void arena_at_edge(struct arena *arena) {
    struct mem_block_desc *desc = arena->desc;
    if (arena->head == 1) {
        list_push(&desc->free_list, &arena->elem);
        desc->serving = arena;
    }
    if (arena->head == desc->blocks_per_arena) arena_emptied(arena);
}

// Puts a block back into its arena: false, and nothing changed, if it is there already.
static inline bool arena_put(struct arena *arena, const struct mem_block_desc *desc,
                             uint32_t block) {
    if (UNLIKELY(bit_set(arena->map, block))) return false;
    bit_set(&arena->room, block / 32);
    uint32_t before = arena->head;
    FORGET_REGISTERS();
    arena->head++;
    arena->seal++;
    // One comparison for both ends: before - 1 is huge for a full arena, and for one whose last
    // block this is, blocks_per_arena - 2.
    if (UNLIKELY(before - 1 >= desc->edge)) arena_at_edge(arena);
    return true;
}

static struct arena *large_open(uint32_t frame, uint32_t count) {
    struct arena *arena = &heap.arena[frame];
    arena->cnt = count;
    arena->large = 1;
    arena->base = frame_base(frame);
    arena->seal = large_seal(arena);
    heap.large_frames += count;
    return arena;
}

static void large_close(struct arena *arena) {
    uint32_t frame = arena_frame(arena), count = arena->cnt;
    memset(arena, 0, sizeof *arena);
    heap.large_frames -= count;
    mem_pool[POOL_KERNEL].frame[frame].run = 0;
    run_give(&mem_pool[POOL_KERNEL], frame, count);
}

// Number of the block that starts `off` bytes into an arena; blocks_per_arena or more if none does.
static inline uint32_t block_index(const struct mem_block_desc *desc, uint32_t off) {
    uint32_t product = off * desc->inverse;
    return product >> desc->shift | product << (-desc->shift & 31);
}

// The multiplicative inverse of an odd number modulo 2^32, by Newton's iteration: each step doubles
// the right bits.
static uint32_t inverse_of(uint32_t odd) {
    uint32_t inverse = odd; // right in three bits: odd * odd == 1 modulo 8
    for (int step = 0; step < 4; step++) inverse *= 2 - odd * inverse;
    return inverse;
}

// Frames for an arena of blocks of `size`: one up to 1024 bytes, as in the seed; above, the fewest
// (at most ARENA_FRAMES_MAX) whose rest behind the last block is at most an eighth.
static uint32_t frames_for(uint32_t size) {
    uint32_t frames = 1;
    if (size <= 1024) return frames;
    while (frames < ARENA_FRAMES_MAX && frames * PG_SIZE % size > frames * PG_SIZE / 8) frames++;
    return frames;
}

static bool sizes_valid(const uint32_t *sizes, uint32_t count) {
    if (count == 0 || count > DESC_MAX) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (sizes[i] == 0 || sizes[i] % BLOCK_ALIGN != 0 || sizes[i] > BLOCK_SIZE_MAX) return false;
        if (i > 0 && sizes[i] <= sizes[i - 1]) return false;
    }
    return true;
}

int block_desc_init(struct mem_block_desc *desc_array, const uint32_t *sizes, uint32_t count) {
    if (!sizes_valid(sizes, count)) return -1;
    uint32_t slot = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct mem_block_desc *desc = &desc_array[i];
        memset(desc, 0, sizeof *desc);
        desc->block_size = sizes[i];
        desc->frames_per_arena = frames_for(sizes[i]);
        desc->blocks_per_arena = desc->frames_per_arena * PG_SIZE / sizes[i];
        desc->edge = desc->blocks_per_arena - 2;
        desc->serving = &arena_none;
        desc->shift = (uint32_t)__builtin_ctz(sizes[i]);
        desc->inverse = inverse_of(sizes[i] >> desc->shift);
        list_init(&desc->free_list);
        while (slot < sizes[i] / BLOCK_ALIGN) desc_of[slot++] = desc;
    }
    heap.desc_count = count;
    heap.block_max = sizes[count - 1];
    return 0;
}

// ================================================================================================
// III  sys_malloc, sys_free and their kin
// ================================================================================================

// Whole frames for `size` bytes. Not by rounding up a sum, which wraps near the largest size.
static size_t frames_of(size_t size) { return size / PG_SIZE + (size % PG_SIZE != 0); }

// A large area of frames, or NULL. `size` > 0.
static void *large_take(size_t size) {
    size_t count = frames_of(size);
    struct pool *pool = &mem_pool[POOL_KERNEL];
    if (count > pool->frames) return NULL;
    port_state state = port_lock();
    uint32_t frame = run_take(pool, (uint32_t)count);
    void *p = NULL;
    if (frame != FRAME_NONE) p = (void *)large_open(frame, (uint32_t)count)->base;
    port_unlock(state);
    return p;
}

// All that take_fast() does not do: a new arena, a large area, no memory, a call that is refused,
// a caller that has interrupts off.
static __attribute__((noinline)) void *take_slow(size_t size, uintptr_t caller) {
    if (port_in_interrupt()) {
        port_report(HEAP_FROM_INTERRUPT, 0, caller);
        return NULL;
    }
    if (size - 1 >= heap.block_max) return size == 0 ? NULL : large_take(size);
    struct mem_block_desc *desc = desc_of[(size - 1) / BLOCK_ALIGN];
    void *p = NULL;
    port_state state = port_lock();
    if (!arena_take(desc, &p) && arena_open(desc)) arena_take(desc, &p);
    port_unlock(state);
    return p;
}

// From the size to the descriptor, from there to the arena that serves, from its bitmap to the
// block. False, with nothing changed, for all that needs more.
static inline __attribute__((always_inline)) bool take_fast(size_t size, void **p) {
    if (UNLIKELY(size - 1 >= heap.block_max)) return false;
    struct mem_block_desc *desc = desc_of[(size - 1) / BLOCK_ALIGN];
    if (UNLIKELY(!port_enter())) return false;
    bool taken = arena_take(desc, p);
    port_leave();
    return taken;
}

// A block or large area for `size`, or NULL.
static void *heap_take(size_t size, uintptr_t caller) {
    void *p;
    return take_fast(size, &p) ? p : take_slow(size, caller);
}

void *sys_malloc(size_t size) {
    void *p;
    return LIKELY(take_fast(size, &p)) ? p : take_slow(size, CALLER);
}

// What holds the frame of a record that starts no arena: a large area further down, other users,
// nobody.
static enum heap_fault classify_frame(uint32_t frame) {
    const struct frame *record = mem_pool[POOL_KERNEL].frame;
    uint32_t at = frame;
    while (at > 0 && record[at].run == 0) at--; // F1: the run's first frame has a tag
    bool inside = (record[at].run & FRAME_USED) && at + FRAME_RUN(record[at].run) > frame;
    if (inside && heap.arena[at].large && at != frame) return HEAP_INTERIOR_POINTER;
    return HEAP_NOT_ALLOCATED;
}

static enum heap_fault classify_block(const struct arena *arena, uintptr_t p, uint32_t *block) {
    *block = block_index(arena->desc, (uint32_t)(p - arena->base));
    if (*block >= arena->desc->blocks_per_arena) return HEAP_INTERIOR_POINTER;
    if (*block >= arena->carved) return HEAP_NOT_ALLOCATED;
    return arena->map[*block / 32] >> *block % 32 & 1 ? HEAP_DOUBLE_FREE : HEAP_OK;
}

enum heap_fault heap_classify(uintptr_t p, struct arena **arena, uint32_t *block) {
    *arena = NULL;
    *block = 0;
    uintptr_t off = p - PORT_HEAP_BASE;
    if (off >= (uintptr_t)heap.frames << PG_SHIFT) return HEAP_OUTSIDE;
    uint32_t frame = (uint32_t)(off >> PG_SHIFT);
    struct arena *at = &heap.arena[frame];
    if (at->back % sizeof *at != 0 || at->back / sizeof *at > frame) return HEAP_CORRUPT_ARENA;
    at -= at->back / sizeof *at;
    if (!at->desc && at->head == 0 && at->seal == 0) return classify_frame(frame);
    *arena = at;
    if (!arena_sealed(at)) return HEAP_CORRUPT_ARENA;
    if (!at->large) return classify_block(at, p, block);
    return p == at->base ? HEAP_OK : HEAP_INTERIOR_POINTER;
}

const char *heap_fault_text(enum heap_fault fault) {
    static const char *const text[] = {
        [HEAP_OK] = "no fault",
        [HEAP_DOUBLE_FREE] = "double free",
        [HEAP_NOT_ALLOCATED] = "not allocated",
        [HEAP_INTERIOR_POINTER] = "interior pointer",
        [HEAP_OUTSIDE] = "outside the heap",
        [HEAP_CORRUPT_ARENA] = "corrupt arena",
        [HEAP_OVERFLOW] = "overflow",
        [HEAP_USE_AFTER_FREE] = "use after free",
        [HEAP_FROM_INTERRUPT] = "from interrupt",
    };
    return text[fault];
}

// All that is not a block of a sound small arena: large areas, and every fault.
static __attribute__((noinline)) void give_slow(uintptr_t p, uintptr_t caller) {
    enum heap_fault fault = HEAP_FROM_INTERRUPT;
    if (!port_in_interrupt()) {
        struct arena *arena;
        uint32_t block;
        port_state state = port_lock();
        fault = heap_classify(p, &arena, &block);
        if (fault == HEAP_OK && arena) { // never without: the analyzer cannot know
            if (arena->large) large_close(arena);
            else arena_put(arena, arena->desc, block);
        }
        port_unlock(state);
    }
    if (fault != HEAP_OK) port_report(fault, p, caller);
}

// The fast path: one range check, one seal for everything in the record (a large area's differs),
// one multiplication for the block, one bit. False, with nothing changed, for all that fails one of
// them.
static inline __attribute__((always_inline)) bool give_fast(uintptr_t p) {
    uint32_t frame = (uint32_t)((p - PORT_HEAP_BASE) >> PG_SHIFT);
    if (UNLIKELY(frame >= heap.frames || !port_enter())) return false;
    struct arena *arena = &heap.arena[frame];
    arena = (struct arena *)((uintptr_t)arena - arena->back);
    bool done = false;
    if (LIKELY(arena->seal == arena_seal(arena))) {
        FORGET_REGISTERS();
        const struct mem_block_desc *desc = arena->desc;
        uint32_t block = block_index(desc, (uint32_t)(p - arena->base));
        done = LIKELY(block < arena->carving) && arena_put(arena, desc, block);
    }
    port_leave();
    return done;
}

static void heap_give(uintptr_t p, uintptr_t caller) {
    if (!give_fast(p)) give_slow(p, caller);
}

void sys_free(void *p) {
    if (UNLIKELY(!give_fast((uintptr_t)p)) && p) give_slow((uintptr_t)p, CALLER);
}

void *sys_calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    void *p = heap_take(bytes, CALLER);
    if (p) memset(p, 0, bytes);
    return p;
}

// Bytes that the block or area at p holds, 0 with a report if p is wrong. *arena is set for a good
// p.
static size_t heap_capacity(uintptr_t p, uintptr_t caller, struct arena **arena) {
    enum heap_fault fault = HEAP_FROM_INTERRUPT;
    size_t bytes = 0;
    if (!port_in_interrupt()) {
        uint32_t block;
        port_state state = port_lock();
        fault = heap_classify(p, arena, &block);
        if (fault == HEAP_OK && *arena) {
            bytes = (*arena)->large ? (size_t)(*arena)->cnt * PG_SIZE : (*arena)->desc->block_size;
        }
        port_unlock(state);
    }
    if (fault != HEAP_OK) port_report(fault, p, caller);
    return bytes;
}

size_t sys_usable_size(void *p) {
    struct arena *arena;
    return p ? heap_capacity((uintptr_t)p, CALLER, &arena) : 0;
}

// True if a large area could be made to hold `size` bytes, still as a large area, where it is.
static bool large_resize(struct arena *arena, size_t size) {
    size_t count = frames_of(size);
    if (size <= heap.block_max || count > mem_pool[POOL_KERNEL].frames) return false;
    port_state state = port_lock();
    uint32_t from = arena->cnt;
    bool done = run_resize(&mem_pool[POOL_KERNEL], arena_frame(arena), from, (uint32_t)count);
    if (done) {
        arena->cnt = (uint32_t)count;
        arena->seal = large_seal(arena);
        heap.large_frames += (uint32_t)count - from;
    }
    port_unlock(state);
    return done;
}

void *sys_realloc(void *p, size_t size) {
    uintptr_t caller = CALLER;
    if (!p) return heap_take(size, caller);
    struct arena *arena;
    size_t room = heap_capacity((uintptr_t)p, caller, &arena);
    if (room == 0) return NULL;
    if (size == 0) {
        heap_give((uintptr_t)p, caller);
        return NULL;
    }
    if (arena->large ? large_resize(arena, size)
                     : size <= room && desc_of[(size - 1) / BLOCK_ALIGN] == arena->desc) {
        return p;
    }
    void *to = heap_take(size, caller);
    if (!to) return size <= room ? p : NULL; // a block too large serves too
    memcpy(to, p, size < room ? size : room);
    heap_give((uintptr_t)p, caller);
    return to;
}

// A large area at a multiple of `alignment` (a power of two above PG_SIZE): takes enough frames
// that one such place is among them, gives back what stands before and behind.
static void *large_take_aligned(size_t alignment, size_t size) {
    struct pool *pool = &mem_pool[POOL_KERNEL];
    size_t count = frames_of(size), slack = (alignment >> PG_SHIFT) - 1;
    if (slack >= pool->frames || count > pool->frames - slack) return NULL;
    void *p = NULL;
    port_state state = port_lock();
    uint32_t frame = run_take(pool, (uint32_t)(count + slack));
    if (frame != FRAME_NONE) {
        uint32_t before = (uint32_t)(-frame_base(frame) >> PG_SHIFT & slack);
        pool->frame[frame].run = 0;
        pool->frame[frame + before].run = FRAME_USED | (uint32_t)count;
        if (before > 0) run_give(pool, frame, before);
        if (before < slack) {
            run_give(pool, frame + before + (uint32_t)count, (uint32_t)slack - before);
        }
        p = (void *)large_open(frame + before, (uint32_t)count)->base;
    }
    port_unlock(state);
    return p;
}

void *sys_aligned_alloc(size_t alignment, size_t size) {
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) return NULL;
    if (alignment <= BLOCK_ALIGN || size == 0) return heap_take(size, CALLER);
    // An arena starts at a frame, so every block of a size that is a multiple of the alignment is
    // aligned.
    for (uint32_t i = 0; i < heap.desc_count; i++) {
        uint32_t block_size = k_block_descs[i].block_size;
        if (block_size >= size && block_size % alignment == 0) return heap_take(block_size, CALLER);
    }
    if (port_in_interrupt()) {
        port_report(HEAP_FROM_INTERRUPT, 0, CALLER);
        return NULL;
    }
    return alignment <= PG_SIZE ? large_take(size) : large_take_aligned(alignment, size);
}

uint32_t sys_trim(void) {
    uint32_t frames = 0;
    for (uint32_t i = 0; i < heap.desc_count; i++) {
        struct mem_block_desc *desc = &k_block_descs[i];
        port_state state = port_lock();
        struct arena *arena = desc->reserve;
        desc->reserve = NULL;
        if (arena && arena->cnt == desc->blocks_per_arena) {
            frames += desc->frames_per_arena;
            arena_close(arena);
        }
        port_unlock(state);
    }
    return frames;
}

// ================================================================================================
// Initialisation
// ================================================================================================

static void pool_init(struct pool *pool, const char *name, const struct port_pool *from) {
    memset(pool, 0, sizeof *pool);
    pool->name = name;
    pool->frame = from->frame;
    pool->phys = from->phys;
    pool->frames = from->frames;
    for (uint32_t bin = 0; bin < POOL_BINS; bin++) pool->bin[bin] = FRAME_NONE;
    for (size_t i = 0; i < from->runs; i++) {
        run_give(pool, from->run[i].first, from->run[i].count);
        pool->usable += from->run[i].count;
    }
    kprintf("    %s: %u frames of 4 KiB from %#llx\n", name, pool->usable,
            (unsigned long long)pool->phys);
}

void mem_pool_init(uint32_t mem_bytes_total) {
    static const char *const name[] = {"kernel_pool", "user_pool"};
    put_str("  mem_pool_init start\n");
    for (int id = 0; id < POOL_COUNT; id++) {
        struct port_pool from;
        port_pool((enum pool_id)id, &from);
        pool_init(&mem_pool[id], name[id], &from);
        if (id != POOL_KERNEL) continue;
        memset(&heap, 0, sizeof heap);
        heap.arena = from.arena;
        heap.frames = from.frames;
    }
    uint64_t frames = (uint64_t)mem_pool[POOL_KERNEL].usable + mem_pool[POOL_USER].usable;
    kprintf("    total %u bytes, of them %u KiB in the pools\n", mem_bytes_total,
            (uint32_t)(frames * (PG_SIZE / 1024)));
    put_str("  mem_pool_init done\n");
}

void memory_init(void) {
    put_str("mem_init start\n");
    uint32_t mem_bytes_total = PORT_TOTAL_MEMORY;
    mem_pool_init(mem_bytes_total);
    block_desc_init(k_block_descs, seed_sizes, sizeof seed_sizes / sizeof seed_sizes[0]);
    put_str("mem_init done\n");
}
