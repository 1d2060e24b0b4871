// symbol.c - see symbol.h. The table is sorted by address: a search by halves.
#include "kernel/symbol.h"

#include "kernel/symbol_table.h"
#include "lib/print.h"

extern char kernel_start[], kernel_text_end[]; // kernel.ld

const char *symbol_find(uintptr_t address, uint32_t *offset) {
    if (address < (uintptr_t)kernel_start || address >= (uintptr_t)kernel_text_end) return NULL;
    unsigned low = 0, high = symbol_count; // the function is in [low - 1, high - 1]
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
