// pool.c - see pool.h: what is not inlined of the page-frame pools.
#include "kernel/pool.h"

#include "lib/string.h"

static struct pool user_pool;
struct pool *const mem_pool[POOL_COUNT] = {&k_heap.pool, &user_pool};

uint32_t bin_floor[POOL_BINS];

uint32_t pool_bin_of(uint32_t count) { return bin_of(count); }

void bin_floors_init(void) {
    for (uint32_t bin = 0; bin < POOL_BINS; bin++) {
        uint32_t step = bin < BIN_EXACT ? 0 : bin - BIN_EXACT;
        bin_floor[bin] = bin < BIN_EXACT ? bin + 1 : (8 + step % 8) << (step / 8 + 2);
    }
}

HEAP_QUICK void run_rebin(struct pool *pool, struct frame *tail) {
    run_unlink(pool, tail);
    run_link(pool, tail);
}

// Which run holds a frame? Only a run's first record says so (F1), and it is found by walking down:
// 31 steps at most, since a longer run has an anchor, and a bitmap of two levels finds the next
// anchor below.

HEAP_QUICK void anchor_set(struct pool *pool, const struct frame *first) {
    uint32_t frame = (uint32_t)(first - pool->frame), bit = anchor_of(frame);
    pool->frame[bit * ANCHOR_STEP].bin = bit * ANCHOR_STEP - frame;
    pool->anchor[bit / 32] |= 1u << bit % 32;
    pool->anchor_words[bit / 32 / 32] |= 1u << bit / 32 % 32;
}

HEAP_QUICK void anchor_clear(struct pool *pool, const struct frame *first) {
    uint32_t bit = anchor_of((uint32_t)(first - pool->frame)), word = bit / 32;
    pool->anchor[word] &= ~(1u << bit % 32);
    if (pool->anchor[word] == 0) pool->anchor_words[word / 32] &= ~(1u << word % 32);
}

// The highest anchor at or below a frame; FRAME_NONE if there is none.
static uint32_t anchor_below(const struct pool *pool, uint32_t frame) {
    uint32_t bit = frame / ANCHOR_STEP, word = bit / 32;
    uint32_t bits = pool->anchor[word] & UINT32_MAX >> (31 - bit % 32);
    if (bits == 0) {
        uint32_t at = word / 32, words = pool->anchor_words[at] & ((1u << word % 32) - 1);
        while (words == 0 && at > 0) words = pool->anchor_words[--at]; // 31 times in 4 GiB
        if (words == 0) return FRAME_NONE;
        word = at * 32 + floor_log2(words);
        bits = pool->anchor[word];
    }
    return (word * 32 + floor_log2(bits)) * ANCHOR_STEP;
}

uint32_t pool_run_at(const struct pool *pool, uint32_t frame) {
    const struct frame *record = &pool->frame[frame];
    const struct frame *stop = frame < ANCHOR_STEP ? pool->frame : record - (ANCHOR_STEP - 1);
    // Two at a time: this walk is the longest part of a refusal.
    while (record >= stop + 2 && (record[0].run | record[-1].run) == 0) record -= 2;
    while (record->run == 0 && record > stop) record--;
    uint32_t at = (uint32_t)(record - pool->frame);
    if (record->run == 0) {
        at = anchor_below(pool, frame);
        if (at == FRAME_NONE || pool->frame[at].bin > at) return FRAME_NONE;
        at -= pool->frame[at].bin;
    }
    uint32_t run = pool->frame[at].run;
    return (run & FRAME_USED) && frame - at < FRAME_RUN(run) ? at : FRAME_NONE;
}

uint32_t frame_alloc(enum pool_id id, uint32_t count) {
    struct pool *pool = mem_pool[id];
    if (count == 0 || count > pool->frames) return FRAME_NONE;
    port_state state = port_lock(&k_heap);
    struct frame *first = run_take(pool, count);
    if (first) first->run |= FRAME_LENT;
    if (first && count >= ANCHOR_STEP) anchor_set(pool, first);
    port_unlock(&k_heap, state);
    return first ? (uint32_t)(first - pool->frame) : FRAME_NONE;
}

void frame_free(enum pool_id id, uint32_t first, uint32_t count) {
    struct pool *pool = mem_pool[id];
    enum heap_fault fault = HEAP_OK;
    port_state state = port_lock(&k_heap);
    if (first >= pool->frames) {
        fault = HEAP_OUTSIDE;
    } else if (count == 0 || pool->frame[first].run != (FRAME_USED | FRAME_LENT | count)) {
        fault = HEAP_NOT_ALLOCATED;
    } else {
        if (count >= ANCHOR_STEP) anchor_clear(pool, &pool->frame[first]);
        run_give(pool, &pool->frame[first], count);
    }
    port_unlock(&k_heap, state);
    // The kernel pool's frames have an address in the window; the user pool's only a physical one.
    uintptr_t at = pool->heap ? frame_base(pool->heap, first) : (uintptr_t)frame_address(id, first);
    if (fault != HEAP_OK) port_report(&k_heap, fault, at, CALLER);
}

uint64_t frame_address(enum pool_id id, uint32_t frame) {
    return mem_pool[id]->phys + ((uint64_t)frame << PG_SHIFT);
}

uint32_t frames_total(enum pool_id id) { return mem_pool[id]->usable; }
uint32_t frames_free(enum pool_id id) { return mem_pool[id]->free; }

void pool_init(struct pool *pool, const char *name, const struct port_pool *from) {
    memset(pool, 0, sizeof *pool);
    pool->anchor = from->anchor;
    pool->anchor_words = from->anchor + from->frames / ANCHOR_STEP / 32 + 1;
    pool->name = name;
    pool->frame = from->frame;
    pool->phys = from->phys;
    pool->frames = from->frames;
    pool->end = from->frame + from->frames;
    for (size_t i = 0; i < from->runs; i++) {
        run_give(pool, &pool->frame[from->run[i].first], from->run[i].count);
        pool->usable += from->run[i].count;
    }
}
