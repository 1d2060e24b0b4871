// symbol.c - see symbol.h.
//
// The table of names is part of the kernel: the build links it three times (tools/symtab.py). The
// first link gives the names; the second has a table of the right length, so that everything is in
// its place; the third has the addresses of the second in it.
//
// An entry has no length: an address belongs to the last one that starts at or before it. That is
// right inside .text, which has no holes but padding. What lies between two objects of data has an
// entry without a name.
//
// All of it is read-only data of the image: it works in a panic, with a broken heap, before there
// is one, and takes no lock.
#include "kernel/symbol.h"

#include <stdbool.h>

#include "kernel/symbol_table.h"
#include "lib/print.h"

extern char kernel_start[], kernel_text_end[], kernel_end[]; // kernel.ld

// A search by halves: a thousand names, and every report of the heap and every line of a trace
// asks. Everything below `low` starts at or before the address, everything from `high` on after it.
static const char *entry_find(uintptr_t address, uint32_t *offset) {
    unsigned low = 0, high = symbol_count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (symbol_table[middle].address <= address) low = middle + 1;
        else high = middle;
    }
    if (low == 0) return NULL;
    *offset = (uint32_t)(address - symbol_table[low - 1].address);
    return symbol_table[low - 1].name;
}

const char *symbol_find(uintptr_t address, uint32_t *offset) {
    if (address < (uintptr_t)kernel_start || address >= (uintptr_t)kernel_text_end) return NULL;
    return entry_find(address, offset);
}

const char *symbol_object(uintptr_t address, uint32_t *offset) {
    if (address < (uintptr_t)kernel_text_end || address >= (uintptr_t)kernel_end) return NULL;
    const char *name = entry_find(address, offset);
    bool object = name && address - *offset >= (uintptr_t)kernel_text_end; // no function's end
    return object ? name : NULL;
}

char *symbol_text(char *to, size_t room, uintptr_t address) {
    uint32_t offset;
    const char *name = symbol_find(address, &offset);
    if (name) ksnprintf(to, room, "%s+%#x", name, offset);
    else ksnprintf(to, room, "%p", (void *)address);
    return to;
}
