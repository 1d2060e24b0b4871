// test_exhaust.c - every sequence of calls up to a depth, over a heap so small that it runs out.
//
// What only it can find: a fault that needs a certain few calls in a certain order, wherever it
// is: up to the depth no sequence is left out, so nothing depends on luck.
//
// Theory (the small-scope hypothesis, D. Jackson, "Software Abstractions", 2006): most faults show
// in small examples, if one looks at all of them. Five frames, two sizes of blocks (four and two to
// a frame), areas of one to three frames; at each state every call is tried: take, free, resize,
// align, trim. A state that was seen before is not looked at again, so what is walked is a graph,
// breadth first. At every state every start of a granule that starts no live block must be refused,
// with the right words and nothing changed; near the beginning, every address. What lies between
// granules never is a block's start (block_index(), docs/formal.md).
//
// A state is not stored but found again by its path: the calls from the empty heap. Two states are
// the same if all that later calls can depend on is: records, descriptors, pool, live blocks. What
// is never read (links of records that are in no list) is left out of the comparison.
//
// The model is independent of memory.c: a map of the window's granules, filled by what was handed
// out, says what is live and what is not, and whether "no memory" was true.
//
// `make exhaust DEPTH=9` goes deeper.
#include "tests/host/heap_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/inspect/heapcheck.h"

#define FRAMES 5u
#define GRANULE 1024u // smallest block
#define GRANULES (FRAMES * PG_SIZE / GRANULE)
#define DEPTH_DEFAULT 7
#define EVERY_ADDRESS_DEPTH 4 // of states, up to which every address is freed, not only granules
#define STATES_MAX (1u << 22)
#define TABLE_SIZE (1u << 24) // of the hash set; a power of two, several times STATES_MAX
#define LIVE_MAX GRANULES

static const uint32_t sizes[] = {1024, 2048};

// ---- calls -------------------------------------------------------------------------------------

enum kind { TAKE, FREE, RESIZE, ALIGN, TRIM };

struct call {
    uint8_t kind;
    uint8_t block; // FREE, RESIZE: which of the live blocks, in the order of their addresses
    uint16_t size; // TAKE, RESIZE, ALIGN: bytes
};

static const uint16_t take_sizes[] = {1, 1025, 4096, 4097, 12288};
static const uint16_t resize_sizes[] = {0, 1024, 2048, 8192};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// ---- the model ---------------------------------------------------------------------------------

struct live {
    unsigned char *p;
    size_t size; // as asked for
};
static struct live live[LIVE_MAX];
static uint32_t live_count;

static uint32_t granule_of(const void *p) {
    return (uint32_t)(((uintptr_t)p - k_heap.base) / GRANULE);
}

static uint32_t granules(size_t size) { return (uint32_t)((size + GRANULE - 1) / GRANULE); }

// First and last byte say whose they are; the address does.
static void mark(const struct live *block) {
    block->p[0] = (unsigned char)granule_of(block->p);
    block->p[block->size - 1] = (unsigned char)granule_of(block->p);
}

static void live_add(void *p, size_t size) {
    uint32_t at = live_count++;
    while (at > 0 && live[at - 1].p > (unsigned char *)p) {
        live[at] = live[at - 1];
        at--;
    }
    live[at] = (struct live){p, size};
    mark(&live[at]);
}

static void live_remove(uint32_t at) {
    for (live_count--; at < live_count; at++) live[at] = live[at + 1];
}

// True if a block of a descriptor, or `frames` frames in a row, are there to be had: counted from
// the records, not by memory.c.
static bool could_serve(size_t size) {
    if (size > sizes[COUNT(sizes) - 1]) {
        return host_longest_run(POOL_KERNEL) >= (size + PG_SIZE - 1) / PG_SIZE;
    }
    if (host_longest_run(POOL_KERNEL) > 0) return true;
    const struct memory_block_desc *desc = &k_heap.block_descs[size > sizes[0]];
    for (uint32_t i = 0; i < FRAMES; i++) {
        if (k_heap.arena[i].desc == desc && k_heap.arena[i].cnt > 0) return true;
    }
    return false;
}

// ---- making a call -----------------------------------------------------------------------------

static void taken(void *p, size_t size, bool possible) {
    if (!p) {
        assert_false(possible); // it said "no memory" and there was some
        return;
    }
    assert_int_equal((uintptr_t)p % BLOCK_ALIGN, 0);
    assert_true(granule_of(p) + granules(size) <= GRANULES);
    live_add(p, size);
}

static void resize(uint32_t at, size_t size) {
    struct live before = live[at];
    unsigned char first = before.p[0];
    void *p = sys_realloc(before.p, size);
    if (!p && size != 0) { // no memory: the old one is as it was
        assert_true(size > before.size && before.p[0] == first);
        return;
    }
    live_remove(at);
    if (size == 0) return;
    assert_int_equal(*(unsigned char *)p, first);
    live_add(p, size);
}

static void make_call(struct call call) {
    switch ((enum kind)call.kind) {
    case TAKE: {
        bool possible = could_serve(call.size);
        taken(sys_malloc(call.size), call.size, possible);
        break;
    }
    case ALIGN: taken(sys_aligned_alloc(2 * PG_SIZE, call.size), call.size, false); break;
    case FREE:
        assert_int_equal(live[call.block].p[0], (unsigned char)granule_of(live[call.block].p));
        sys_free(live[call.block].p);
        live_remove(call.block);
        break;
    case RESIZE: resize(call.block, call.size); break;
    case TRIM: sys_trim(); break;
    }
}

// ---- states ------------------------------------------------------------------------------------

static struct node {
    uint32_t parent;
    struct call call;
} * node; // node[0] is the empty heap
static uint32_t node_count;
static uint64_t *seen; // hash set: 0 is an empty place

static uint64_t hash_add(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static uint64_t hash_arena(uint64_t hash, const struct arena *arena) {
    hash = hash_add(hash, (uint64_t)arena->head << 32 | arena->carving);
    hash = hash_add(hash, (uintptr_t)arena->desc ^ arena->base);
    if (!arena->desc) return hash;
    hash = hash_add(hash, (uint64_t)arena->map_words << 32 | arena->map[0]);
    return arena->cnt ? hash_add(hash, (uintptr_t)arena->elem.next) : hash;
}

static uint64_t state_hash(void) {
    const struct pool *pool = &k_heap.pool;
    uint64_t hash = 1;
    for (uint32_t i = 0; i < FRAMES; i++) {
        hash = hash_add(hash, pool->frame[i].run);
        hash = hash_arena(hash, &k_heap.arena[i]);
        bool tail =
            (pool->frame[i].run & FRAME_FREE) &&
            (i + 1 == FRAMES || !pool->frame[i + 1].run || (pool->frame[i + 1].run & FRAME_USED));
        if (tail) hash = hash_add(hash, (uintptr_t)pool->frame[i].next);
    }
    for (uint32_t bin = 0; bin < FRAMES; bin++) hash = hash_add(hash, (uintptr_t)pool->bin[bin]);
    for (uint32_t i = 0; i < COUNT(sizes); i++) {
        const struct memory_block_desc *desc = &k_heap.block_descs[i];
        bool reserve = desc->reserve && desc->reserve->desc == desc;
        hash = hash_add(hash, (uintptr_t)desc->free_list.head.next);
        hash = hash_add(hash, reserve ? (uintptr_t)desc->reserve : 0);
    }
    for (uint32_t i = 0; i < live_count; i++) {
        hash = hash_add(hash, (uintptr_t)live[i].p ^ (uint64_t)live[i].size << 32);
    }
    return hash ? hash : 1;
}

// True if this hash is new. Two states with one hash would be taken for one: with 2^22 states the
// chance of any such pair is about one in two million.
static bool seen_add(uint64_t hash) {
    for (uint32_t at = (uint32_t)hash & (TABLE_SIZE - 1);; at = (at + 1) & (TABLE_SIZE - 1)) {
        if (seen[at] == hash) return false;
        if (seen[at] == 0) {
            seen[at] = hash;
            return true;
        }
    }
}

// ---- the empty heap, to start each path from ---------------------------------------------------

static struct {
    struct heap heap;
    struct frame frame[FRAMES];
} empty;

static void empty_save(void) {
    empty.heap = k_heap;
    memcpy(empty.frame, k_heap.pool.frame, sizeof empty.frame);
}

static void empty_restore(void) {
    k_heap = empty.heap;
    memcpy(k_heap.pool.frame, empty.frame, sizeof empty.frame);
    memset(k_heap.arena, 0, FRAMES * sizeof *k_heap.arena);
    live_count = 0;
}

static void go_to(uint32_t at) {
    struct call path[64];
    uint32_t length = 0;
    for (; at != 0; at = node[at].parent) path[length++] = node[at].call;
    empty_restore();
    while (length > 0) make_call(path[--length]);
}

// ---- what must hold at every state -------------------------------------------------------------

// Every block where it may be, none over another; whatever is not live is refused.
static void check_blocks(void) {
    int8_t owner[GRANULES];
    memset(owner, -1, sizeof owner);
    for (uint32_t i = 0; i < live_count; i++) {
        assert_int_equal(live[i].p[live[i].size - 1], (unsigned char)granule_of(live[i].p));
        assert_true(sys_usable_size(live[i].p) >= live[i].size);
        for (uint32_t k = 0; k < granules(live[i].size); k++) {
            assert_int_equal(owner[granule_of(live[i].p) + k], -1);
            owner[granule_of(live[i].p) + k] = (int8_t)i;
        }
    }
    for (uint32_t k = 0; k < GRANULES; k++) {
        uintptr_t p = k_heap.base + k * GRANULE;
        bool starts = owner[k] >= 0 && live[owner[k]].p == (unsigned char *)p;
        struct arena *arena;
        uint32_t block;
        assert_int_equal(heap_classify(&k_heap, p, &arena, &block) == HEAP_OK, starts);
        assert_true(heap_classify(&k_heap, p + 8, &arena, &block) != HEAP_OK);
    }
}

static uint64_t pointers_refused;
static uint32_t pointer_step = 1; // from one pointer that is tried to the next

// The theorem: sys_free(p) changes the heap only if p is the start of a live block. From the frame
// before the window to the one after it.
static void check_refusals(void) {
    uint64_t before = state_hash();
    uint32_t next = 0;
    uintptr_t end = k_heap.base + (FRAMES + 1) * PG_SIZE;
    for (uintptr_t p = k_heap.base - PG_SIZE; p < end; p += pointer_step) {
        if (next < live_count && (uintptr_t)live[next].p == p) {
            next++;
            continue;
        }
        sys_free((void *)p);
        if (host_report_take().fault == HEAP_OK) fail_msg("%p was not refused", (void *)p);
        pointers_refused++;
    }
    assert_int_equal(next, live_count);
    assert_int_equal(state_hash(), before);
}

static void check_state(void) {
    check_blocks();
    check_refusals();
    if (heap_check() != 0) fail_msg("%s", host_printed());
    assert_int_equal(frames_free(POOL_KERNEL) + k_heap.small_frames + k_heap.large_frames, FRAMES);
}

// ---- the walk ----------------------------------------------------------------------------------

static uint64_t calls_made;

static void try_call(uint32_t from, struct call call) {
    go_to(from);
    make_call(call);
    calls_made++;
    if (!seen_add(state_hash())) return;
    check_state();
    assert_true(node_count < STATES_MAX);
    node[node_count++] = (struct node){from, call};
}

static void try_all(uint32_t from) {
    go_to(from);
    uint32_t blocks = live_count;
    for (uint32_t i = 0; i < COUNT(take_sizes); i++) {
        try_call(from, (struct call){TAKE, 0, take_sizes[i]});
    }
    try_call(from, (struct call){ALIGN, 0, 4096});
    try_call(from, (struct call){TRIM, 0, 0});
    for (uint32_t block = 0; block < blocks; block++) {
        try_call(from, (struct call){FREE, (uint8_t)block, 0});
        for (uint32_t i = 0; i < COUNT(resize_sizes); i++) {
            try_call(from, (struct call){RESIZE, (uint8_t)block, resize_sizes[i]});
        }
    }
}

static void every_sequence(void **state) {
    (void)state;
    const char *asked = getenv("EXHAUST_DEPTH");
    long depth = asked ? strtol(asked, NULL, 10) : DEPTH_DEFAULT;
    node = malloc(STATES_MAX * sizeof *node);
    seen = calloc(TABLE_SIZE, sizeof *seen);
    assert_true(node && seen && depth > 0 && depth < 64);
    host_heap_start(FRAMES);
    assert_int_equal(block_desc_set(&k_heap, sizes, COUNT(sizes)), 0);
    empty_save();
    node_count = 1;
    seen_add(state_hash());
    uint32_t from = 0;
    for (long level = 1; level <= depth; level++) {
        uint32_t end_of_level = node_count;
        pointer_step = level <= EVERY_ADDRESS_DEPTH ? 1 : GRANULE;
        for (; from < end_of_level; from++) try_all(from);
        printf("exhaust: depth %ld, states %u, calls %llu, pointers refused %llu\n", level,
               node_count, (unsigned long long)calls_made, (unsigned long long)pointers_refused);
    }
    assert_true(node_count > 1000);
    empty_restore();
    host_heap_end();
    free(node);
    free(seen);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_sequence)};
    return cmocka_run_group_tests_name("test_exhaust", tests, NULL, NULL);
}
