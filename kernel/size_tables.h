// size_tables.h - tables of block sizes: the two built in, and one that a user writes.
//
// Pure: knows lib and the bounds of kernel/heap.h, compiles for the kernel and the host. The text
// is what follows `sizes=` on the command line, or in a variable of the environment:
//
//   seed                 16 32 64 128 256 512 1024, what boots by default
//   fine                 finer steps and blocks above 1024: less memory lost to rounding up
//   16,32,48,64 or       any other table: sizes in bytes, rising, separated by commas or blanks
//   "16 32 48 64"
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/heap.h"

// The seven of the document that this project starts from. memory_init() starts with them.
#define SIZES_SEED 16, 32, 64, 128, 256, 512, 1024
#define DESC_CNT 7 // of them, and of descriptors

#define SIZE_TABLE_NAME_BYTES 256 // room for any table as size_table_name() writes it, NUL included

// Reads a table. NULL if it is good: sizes[0 .. *count - 1] then is what block_desc_set() takes.
// Else a few words that say what is wrong (static text), with *sizes and *count unchanged. Any
// context.
const char *size_table_parse(const char *text, uint32_t sizes[DESC_MAX], uint32_t *count);

// The index-th of the tables built in, NULL after the last.
const char *classes_known(size_t index);

// The sizes of a heap's descriptors, in rising order; returns how many. Any context.
uint32_t size_table_of(const struct heap *heap, uint32_t sizes[DESC_MAX]);

// A table's name: "seed" or "fine" where it is one of these, else its sizes with commas between
// them. `to` has room for SIZE_TABLE_NAME_BYTES. Returns `to`. Any context.
const char *size_table_name(const uint32_t *sizes, uint32_t count, char to[SIZE_TABLE_NAME_BYTES]);
