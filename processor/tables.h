// tables.h - what the firmware's tables say of the processors.
//
// Pure: knows lib and a function that reads physical memory, so that the host can test and fuzz it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLES_PROCESSORS_MAX 64 // those beyond are counted

struct processor_list {
    uint32_t lapic;                    // physical address of the local controllers' registers
    uint32_t count;                    // of `id`
    uint32_t beyond;                   // enabled ones there was no room for
    uint8_t id[TABLES_PROCESSORS_MAX]; // APIC ids, each once, in the table's order
};

// Copies `bytes` bytes from physical `pa`; false: it cannot be read. Below 4 GiB.
typedef bool physical_reader(uint32_t pa, void *to, uint32_t bytes);

// Both: NULL and *out, or why there is no list: a constant text. *out is then empty.
const char *tables_mp(physical_reader *read, struct processor_list *out);
const char *tables_madt(physical_reader *read, struct processor_list *out);
// The text for "this machine has no such table", to be compared: every other text is a fault of it.
extern const char tables_none[];

// The longer of the two lists, the first if both are equally long; *why: what was wrong with a
// table that is there, or NULL. False: neither has a processor.
bool tables_read(physical_reader *read, struct processor_list *out, const char **why);
