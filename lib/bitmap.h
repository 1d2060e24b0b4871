// bitmap.h - an array of bits in memory that the caller provides.
//
// Bit i is bit (i % 32) of word i / 32. The bits beyond `bits` in the last word are never
// read as bits and never written, except that bitmap_init() clears them with their word.
//
// Context of every call: any, and none of them fails. Nothing is locked here, and setting a bit is
// also reads and writes 31 others: if two threads set different bits of one word at the same time,
// one can be lost. So the caller locks around every call that writes, and around a scan together
// with the set that follows it (thread/stack.c: slot_take()).
//
// Shortcoming: bits are looked at one by one, so a scan costs as many steps as there are bits. The
// heap's own maps do not use this file: they search a word at a time (kernel/hints.h).
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

// Contracts, for `make formal`: Frama-C reads what starts with @, a compiler does not.
/*@ predicate bitmap_good(struct bitmap *m) =
      \valid_read(m) && m->bits <= 0x7fffffff &&
      \valid_read(m->words + (0 .. (m->bits + 31) / 32 - 1));
    predicate bitmap_bit(struct bitmap *m, integer i) = ((m->words[i / 32] >> (i % 32)) & 1) != 0;
    predicate bitmap_run(struct bitmap *m, integer from, integer to) =
      \forall integer i; from <= i < to ==> !bitmap_bit(m, i); */

// `words` stays the caller's and must live as long as the map. A map whose words are clear already
// needs no call, only an initialiser (thread/stack.c).
/*@ requires \valid(map) && bits <= 0x7fffffff && \valid(words + (0 .. (bits + 31) / 32 - 1));
    requires \separated(map, words + (0 .. (bits + 31) / 32 - 1));
    assigns *map, words[0 .. (bits + 31) / 32 - 1];
    ensures bitmap_good(map) && map->bits == bits && bitmap_run(map, 0, bits); */
void bitmap_init(struct bitmap *map, uint32_t *words, size_t bits); // all clear
// A bit at or above `bits` is not caught: it would be read from, or written to, whatever follows
// the words.
/*@ requires bitmap_good(map) && bit < map->bits;
    assigns \nothing;
    ensures \result <==> bitmap_bit(map, bit); */
bool bitmap_test(const struct bitmap *map, size_t bit); // bit < bits
/*@ requires bitmap_good(map) && bit < map->bits && \valid(map->words + bit / 32);
    requires \separated(map, map->words + bit / 32);
    assigns map->words[bit / 32];
    ensures bitmap_bit(map, bit) <==> value;
    ensures \forall integer i; 0 <= i < map->bits && i != bit ==>
      (bitmap_bit(map, i) <==> \at(bitmap_bit(map, i), Pre)); */
void bitmap_set(struct bitmap *map, size_t bit, bool value);
/*@ requires bitmap_good(map) && first + count <= map->bits;
    requires \valid(map->words + (0 .. (map->bits + 31) / 32 - 1));
    requires \separated(map, map->words + (0 .. (map->bits + 31) / 32 - 1));
    assigns map->words[0 .. (map->bits + 31) / 32 - 1]; */
void bitmap_set_range(struct bitmap *map, size_t first, size_t count, bool value);
/*@ requires bitmap_good(map);
    assigns \nothing;
    ensures \result <= map->bits; */
size_t bitmap_count(const struct bitmap *map); // bits that are set
// First bit of the lowest run of `count` clear bits (count >= 1), or BITMAP_NONE.
/*@ requires bitmap_good(map);
    assigns \nothing;
    ensures \result == BITMAP_NONE ||
      (\result + count <= map->bits && bitmap_run(map, \result, \result + count));
    ensures \forall integer f; 0 <= f && f + count <= map->bits && 1 <= count && f < \result ==>
      !bitmap_run(map, f, f + count); */
size_t bitmap_scan(const struct bitmap *map, size_t count);
