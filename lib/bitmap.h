// bitmap.h - an array of bits over memory the caller gives.
//
// Bit i is bit (i % 32) of word i / 32. The bits behind `bits` in the last word are never
// read as bits and never written, but bitmap_init() clears them with their word.
//
// Context of every call: any, and none of them fails. Nothing is locked here, and setting a bit is
// a read and a write of 31 others: two who set different bits of one word at the same time can lose
// one of them. So the caller keeps others out for every call that writes, and for a scan together
// with the set that follows it (thread/stack.c: slot_take()).
//
// Shortcoming: bits are looked at one by one, so a scan costs as many steps as there are bits. The
// heap's own maps do not use this file: they search a word at a time (kernel/memory.c).
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

// `words` stays the caller's and must live as long as the map. A map that is all clear already can
// be had without a call, by an initialiser (thread/stack.c).
void bitmap_init(struct bitmap *map, uint32_t *words, size_t bits); // all clear
// A bit at or behind `bits` is not caught: it would be read from, or written to, whatever lies
// behind the words.
bool bitmap_test(const struct bitmap *map, size_t bit); // bit < bits
void bitmap_set(struct bitmap *map, size_t bit, bool value);
void bitmap_set_range(struct bitmap *map, size_t first, size_t count, bool value);
size_t bitmap_count(const struct bitmap *map); // bits that are set
// First bit of the lowest run of `count` clear bits (count >= 1), or BITMAP_NONE.
size_t bitmap_scan(const struct bitmap *map, size_t count);
