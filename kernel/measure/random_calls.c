// random_calls.c - see random_calls.h.
//
// Each call draws a place. If it is empty it is filled, by malloc mostly, by calloc, aligned_alloc
// and realloc of nothing now and then; if not, its block is checked and freed, or made another size
// by realloc. So about half of the places are full, blocks live for random times, and arenas fill
// and empty in no order.
//
// What is written: word i of a block is tag + i * STEP, the bytes after the last whole word are
// the tag's. Long blocks have it at both ends only, EDGE bytes each: a heap that hands out what is
// taken does so at a block's start or end, and a soak that spends its time in memory sees fewer
// calls.
//
// Shortcomings: the middle of a long block is not looked at; wrong calls are not made (the tests do
// that).
#include "kernel/measure/random_calls.h"

#include "kernel/memory.h"
#include "kernel/port.h"

#define EDGE 128u // bytes at each end of a block
#define STEP 0x01000193u
#define ALIGN_LOG_MAX 8u // aligned_alloc: up to 256 bytes here

// G. Marsaglia's xorshift (Xorshift RNGs, 2003): never 0, all bits good enough.
static uint32_t draw(struct stream *soak) {
    uint32_t x = soak->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return soak->random = x;
}

// Below `limit`, by the high bits: a multiplication where `%` would be a division.
static uint32_t draw_below(struct stream *soak, uint32_t limit) {
    return (uint32_t)((uint64_t)draw(soak) * limit >> 32);
}

// A random number of bits first: sizes of 10 bytes are as likely as sizes of 1000.
static uint32_t draw_size(struct stream *soak) {
    uint32_t bits = 32 - (uint32_t)__builtin_clz(soak->size_max);
    uint32_t limit = 2u << draw_below(soak, bits);
    return 1 + draw_below(soak, limit < soak->size_max ? limit : soak->size_max);
}

// FNV-1a's step (G. Fowler, L. C. Noll, K.-P. Vo), on words.
static void fold(struct stream *soak, uint32_t value) {
    soak->hash = (soak->hash ^ value) * 0x01000193u;
}

// ---- patterns -----------------------------------------------------------------------------------

// Words `from` to `to` of the pattern.
static void words_paint(const struct stream_block *b, uint32_t from, uint32_t to) {
    uint32_t *word = (uint32_t *)(void *)b->p, value = b->tag + from * STEP;
    for (uint32_t i = from; i < to; i++, value += STEP) word[i] = value;
}

static bool words_painted(const struct stream_block *b, uint32_t from, uint32_t to) {
    const uint32_t *word = (const uint32_t *)(const void *)b->p;
    uint32_t value = b->tag + from * STEP, differ = 0;
    for (uint32_t i = from; i < to; i++, value += STEP) differ |= word[i] ^ value;
    return differ == 0;
}

static void stream_paint(const struct stream_block *b) {
    uint32_t words = b->size / 4, edge = EDGE / 4;
    if (words <= 2 * edge) {
        words_paint(b, 0, words);
    } else {
        words_paint(b, 0, edge);
        words_paint(b, words - edge, words);
    }
    for (uint32_t i = words * 4; i < b->size; i++) b->p[i] = (uint8_t)b->tag;
}

// The start of a block: what a realloc to `size` bytes must have kept of it.
static bool start_painted(const struct stream_block *b, uint32_t size) {
    uint32_t words = b->size / 4, known = words <= 2 * EDGE / 4 ? words : EDGE / 4;
    return words_painted(b, 0, known < size / 4 ? known : size / 4);
}

static bool painted(const struct stream_block *b) {
    uint32_t words = b->size / 4, edge = EDGE / 4;
    bool good = start_painted(b, b->size);
    if (words > 2 * edge) good = words_painted(b, words - edge, words) && good;
    for (uint32_t i = words * 4; i < b->size; i++) good = b->p[i] == (uint8_t)b->tag && good;
    return good;
}

static bool cleared(const uint8_t *p, uint32_t size) {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < size; i++) bits |= p[i];
    return bits == 0;
}

// ---- calls --------------------------------------------------------------------------------------

// A block of `size` bytes has come, or NULL: into its place, painted.
static void took(struct stream *soak, struct stream_block *b, void *p, uint32_t size) {
    fold(soak, size);
    if (!p) {
        soak->refused++;
        fold(soak, 0);
        return;
    }
    if (soak->addresses) fold(soak, (uint32_t)((uintptr_t)p - k_heap.base));
    if ((uintptr_t)p % BLOCK_ALIGN != 0) soak->spoilt++;
    b->p = p;
    b->size = size;
    b->tag = draw(soak);
    soak->live++;
    stream_paint(b);
}

static void take_cleared(struct stream *soak, struct stream_block *b, uint32_t size) {
    uint32_t count = 1 + draw_below(soak, 8), each = size / count + 1;
    uint8_t *p = sys_calloc(count, each);
    if (p && !cleared(p, count * each)) soak->spoilt++;
    took(soak, b, p, count * each);
}

static void take_aligned(struct stream *soak, struct stream_block *b, uint32_t size) {
    uint32_t alignment = BLOCK_ALIGN << draw_below(soak, ALIGN_LOG_MAX - 3);
    uint8_t *p = sys_aligned_alloc(alignment, size);
    if ((uintptr_t)p % alignment != 0) soak->spoilt++;
    took(soak, b, p, size);
}

static void stream_take(struct stream *soak, struct stream_block *b) {
    uint32_t size = draw_size(soak);
    switch (draw_below(soak, 8)) {
    case 0: take_cleared(soak, b, size); break;
    case 1: take_aligned(soak, b, size); break;
    case 2: took(soak, b, sys_realloc(NULL, size), size); break;
    default: took(soak, b, sys_malloc(size), size); break;
    }
}

static void stream_give(struct stream *soak, struct stream_block *b) {
    fold(soak, b->tag);
    if (!painted(b)) soak->spoilt++;
    sys_free(b->p);
    b->p = NULL;
    soak->live--;
}

// A refused realloc leaves the block as it was, and so do we.
static void stream_resize(struct stream *soak, struct stream_block *b) {
    uint32_t size = draw_size(soak);
    if (!painted(b)) soak->spoilt++;
    uint8_t *p = sys_realloc(b->p, size);
    if (!p) {
        fold(soak, size);
        soak->refused++;
        return;
    }
    struct stream_block kept = {p, b->size, b->tag};
    if (!start_painted(&kept, size)) soak->spoilt++;
    soak->live--;
    took(soak, b, p, size);
}

void stream_begin(struct stream *soak, struct stream_block *block, uint32_t blocks,
                  uint32_t size_max, uint32_t seed) {
    *soak = (struct stream){.block = block, .blocks = blocks, .size_max = size_max};
    soak->hash = 0x811c9dc5u; // FNV's start
    soak->random = seed * 2654435761u ^ 0x9e3779b9u;
    if (soak->random == 0) soak->random = 1; // the one state that the generator never leaves
    for (uint32_t i = 0; i < blocks; i++) block[i].p = NULL;
}

void stream_calls(struct stream *soak, uint32_t ops) {
    for (uint32_t i = 0; i < ops; i++) {
        struct stream_block *b = &soak->block[draw_below(soak, soak->blocks)];
        if (!b->p) stream_take(soak, b);
        else if (draw_below(soak, 4) == 0) stream_resize(soak, b);
        else stream_give(soak, b);
    }
    soak->ops += ops;
}

void stream_end(struct stream *soak) {
    for (uint32_t i = 0; i < soak->blocks; i++) {
        if (soak->block[i].p) stream_give(soak, &soak->block[i]);
    }
}
