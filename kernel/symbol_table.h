// symbol_table.h - the table that tools/symtab.py writes and kernel/symbol.c reads.
//
// Not part of symbol.h, since the only other file that includes it is generated. In the first link
// the table has one entry and the count 0.
#pragma once

#include <stdint.h>

struct symbol {
    uint32_t address; // first byte; the table is sorted by it, so code comes before data
    const char *name; // NULL: from here to the next one nothing has a name
};
extern const struct symbol symbol_table[];
extern const unsigned symbol_count;
