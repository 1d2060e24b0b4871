// bitmap.c - see bitmap.h.
//
// Every loop counts bits, not words, so the bits beyond the last one are never read: a scan
// that tested them would find room that is not there.
//
// The divisions by 32 are shifts and masks to the compiler, because the operands are unsigned; `%`
// and `/` are kept since they say what is meant.
#include "lib/bitmap.h"

void bitmap_init(struct bitmap *map, uint32_t *words, size_t bits) {
    map->words = words;
    map->bits = bits;
    /*@ loop invariant 0 <= i <= (bits + 31) / 32;
        loop invariant \forall integer k; 0 <= k < i ==> words[k] == 0;
        loop assigns i, words[0 .. (bits + 31) / 32 - 1];
        loop variant (bits + 31) / 32 - i; */
    for (size_t i = 0; i < BITMAP_WORDS(bits); i++) words[i] = 0;
}

// Reads from the inside: `/` and `%` bind tighter than `>>`, and that tighter than `&`.
bool bitmap_test(const struct bitmap *map, size_t bit) {
    return (map->words[bit / 32] >> bit % 32 & 1) != 0;
}

void bitmap_set(struct bitmap *map, size_t bit, bool value) {
    uint32_t mask = 1u << bit % 32;
    if (value) map->words[bit / 32] |= mask;
    else map->words[bit / 32] &= ~mask;
}

void bitmap_set_range(struct bitmap *map, size_t first, size_t count, bool value) {
    /*@ loop invariant 0 <= i <= count;
        loop assigns i, map->words[0 .. (map->bits + 31) / 32 - 1];
        loop variant count - i; */
    for (size_t i = 0; i < count; i++) bitmap_set(map, first + i, value);
}

size_t bitmap_count(const struct bitmap *map) {
    size_t count = 0;
    /*@ loop invariant count <= bit <= map->bits;
        loop assigns bit, count;
        loop variant map->bits - bit; */
    for (size_t bit = 0; bit < map->bits; bit++) count += bitmap_test(map, bit);
    return count;
}

// First fit from below. `run` grows with each clear bit and starts again after a set one, so every
// bit is read once: a scan that went back to the run's second bit would be quadratic in a map
// of many short runs. Count 0 is refused first: `run == count` would find it at the first set bit.
size_t bitmap_scan(const struct bitmap *map, size_t count) {
    size_t run = 0; // clear bits that end just before `bit`
    if (count == 0 || count > map->bits) return BITMAP_NONE;
    /*@ loop invariant run <= bit <= map->bits && run < count;
        loop invariant bitmap_run(map, bit - run, bit);
        loop invariant run < bit ==> bitmap_bit(map, bit - run - 1);
        loop invariant \forall integer f; 0 <= f && f + count <= bit ==>
          !bitmap_run(map, f, f + count);
        loop assigns bit, run;
        loop variant map->bits - bit; */
    for (size_t bit = 0; bit < map->bits; bit++) {
        // A word that is all set holds no clear bit: step over it. Only a whole one: in the last
        // word this would read bits beyond `bits`.
        if (bit % 32 == 0 && map->bits - bit >= 32 && map->words[bit / 32] == UINT32_MAX) {
            //@ assert full: \forall integer i; bit <= i <= bit + 31 ==> bitmap_bit(map, i);
            run = 0;
            bit += 31;
            continue;
        }
        run = bitmap_test(map, bit) ? 0 : run + 1;
        if (run == count) return bit + 1 - count;
    }
    return BITMAP_NONE;
}
