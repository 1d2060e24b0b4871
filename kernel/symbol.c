// symbol.c - see symbol.h.
//
// The table of names is part of the kernel: the build links it twice, takes the functions'
// addresses from the first link and puts them, with their names, into the second (tools/symtab.py).
// It lies after .text, so it moves no function.
//
// An entry has no length: an address belongs to the last function that starts at or before it. That
// is right inside .text, which has no holes but padding; other addresses are refused first.
//
// All of it is read-only data of the image: it works in a panic, with a broken heap, before there
// is one, and takes no lock.
//
// Shortcoming: data has no names here, code only.
#include "kernel/symbol.h"

#include "kernel/symbol_table.h"
#include "lib/print.h"

extern char kernel_start[], kernel_text_end[]; // kernel.ld

// A search by halves: some hundred functions, and every report of the heap and every line of a
// trace asks. Everything below `low` starts at or before the address, everything from `high` on
// after it.
const char *symbol_find(uintptr_t address, uint32_t *offset) {
    if (address < (uintptr_t)kernel_start || address >= (uintptr_t)kernel_text_end) return NULL;
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

char *symbol_text(char *to, size_t room, uintptr_t address) {
    uint32_t offset;
    const char *name = symbol_find(address, &offset);
    if (name) ksnprintf(to, room, "%s+%#x", name, offset);
    else ksnprintf(to, room, "%p", (void *)address);
    return to;
}
