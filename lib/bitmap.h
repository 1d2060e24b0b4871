// bitmap.h - an array of bits over memory the caller gives.
//
// Bit i is bit (i % 32) of word i / 32. The bits behind `bits` in the last word are never
// read as bits and never written.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bitmap {
    uint32_t *words; // caller's memory, BITMAP_WORDS(bits) words
    size_t bits;     // number of bits, at least 1
};

#define BITMAP_WORDS(bits) (((bits) + 31) / 32)
#define BITMAP_NONE SIZE_MAX // bitmap_scan(): no such run

void bitmap_init(struct bitmap *map, uint32_t *words, size_t bits); // all clear
bool bitmap_test(const struct bitmap *map, size_t bit);             // bit < bits
void bitmap_set(struct bitmap *map, size_t bit, bool value);
void bitmap_set_range(struct bitmap *map, size_t first, size_t count, bool value);
size_t bitmap_count(const struct bitmap *map); // bits that are set
// First bit of the lowest run of `count` clear bits (count >= 1), or BITMAP_NONE.
size_t bitmap_scan(const struct bitmap *map, size_t count);
