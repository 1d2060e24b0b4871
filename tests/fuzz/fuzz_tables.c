// fuzz_tables.c - processor/tables.c on any bytes: it ends, reads nothing but what the reader
// gives, and what it takes for processors can be started.
//
// What only it can find: an entry whose length leads out of its table, or back into it for ever.
//
// The input is the BIOS's ROM, from its start. The first byte says which marks and checksums are
// put right, as no search would guess them: of each pointer, and of the table that it leads to.
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "processor/tables.h"

#define ROM 0xe0000u
#define ROM_BYTES 0x20000u
#define READS_MAX 80000 // a table of 64 KiB, three times, and all searches

static uint8_t *rom;
static size_t reads;

static bool read_rom(uint32_t pa, void *to, uint32_t bytes) {
    REQUIRE(bytes > 0 && bytes <= 64);
    REQUIRE(++reads < READS_MAX);
    if (pa < ROM || pa - ROM >= ROM_BYTES || bytes > ROM_BYTES - (pa - ROM)) return false;
    memcpy(to, rom + (pa - ROM), bytes);
    return true;
}

static void seal(uint32_t at, uint32_t bytes, uint32_t where, const char *mark) {
    uint8_t sum = 0;
    if (at >= ROM_BYTES || bytes > ROM_BYTES - at || where >= bytes) return;
    memcpy(rom + at, mark, strlen(mark));
    rom[at + where] = 0;
    for (uint32_t i = 0; i < bytes; i++) sum = (uint8_t)(sum + rom[at + i]);
    rom[at + where] = (uint8_t)-sum;
}

static void put32(uint32_t at, uint32_t value) { memcpy(rom + at, &value, sizeof value); }

static uint32_t u16_at(uint32_t at) { return rom[at] | (uint32_t)rom[at + 1] << 8; }

// At fixed places in the input: the MP table at 0x100, the RSDT at 0x40, the XSDT at 0x80, the MADT
// at 0x800.
static void put_right(uint8_t what) {
    if (what & 1) {
        seal(0x100, u16_at(0x104), 7, "PCMP");
        put32(0x10004, ROM + 0x100);
        seal(0x10000, 16, 10, "_MP_");
    }
    if (what & 2) {
        put32(0x44, 40);
        put32(0x40 + 36, ROM + 0x800);
        seal(0x800, u16_at(0x804), 9, "APIC");
        seal(0x40, 40, 9, "RSDT");
        put32(16, ROM + 0x40);
        seal(0, 20, 8, "RSD PTR ");
    }
    if (what & 4) {
        put32(0x84, 44);
        put32(0x80 + 36, ROM + 0x800);
        seal(0x800, u16_at(0x804), 9, "APIC");
        seal(0x80, 44, 9, "XSDT");
        rom[15] = 2;
        put32(24, ROM + 0x80);
        put32(28, 0);
        seal(0, 20, 8, "RSD PTR ");
        seal(0, 36, 32, "RSD PTR ");
    }
}

static void check(const struct processor_list *list) {
    REQUIRE(list->count <= TABLES_PROCESSORS_MAX);
    REQUIRE(list->beyond == 0 || list->count == TABLES_PROCESSORS_MAX);
    for (uint32_t i = 0; i < list->count; i++) {
        REQUIRE(list->id[i] != 0xff);
        for (uint32_t j = 0; j < i; j++) REQUIRE(list->id[i] != list->id[j]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct processor_list list;
    const char *why;
    if (bytes < 1) return 0;
    rom = calloc(1, ROM_BYTES);
    memcpy(rom, data + 1, bytes - 1 < ROM_BYTES ? bytes - 1 : ROM_BYTES);
    put_right(data[0]);
    reads = 0;
    bool found = tables_read(read_rom, &list, &why);
    check(&list);
    REQUIRE(found == (list.count > 0));
    REQUIRE(why != tables_none);
    free(rom);
    return 0;
}
