// bootinfo.h - what the loader leaves in low memory for the kernel.
//
// The loader fills one struct boot_info at physical BOOT_INFO; the addresses and the
// limits come from boot/boot.inc, the one source that NASM and C share. All of it is
// mapped read-only once paging_init() has run.
//
// The rest of what the loader leaves has no struct: the total memory, a dword at TOTAL_MEM_ADDR,
// and the command line, text at CMDLINE_ADDR. It is all below 64 KiB (PLAN_LOW_END), which no pool
// is given, so it can be looked at as long as the kernel runs.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "boot_const.h"

// One entry of the firmware's memory map, as int 15h/E820h returns it (ACPI 6.5,
// section 15.1). Type 1 is usable memory; in `acpi`, bit 0 clear means "ignore this entry". It is
// the firmware's word, not ours: kernel/memmap.c says what may be wrong with it.
struct e820_entry {
    uint64_t base;   // physical address, bytes
    uint64_t length; // bytes; base + length may wrap past 2^64 or 2^32
    uint32_t type;   // 1 usable, 2 reserved, 3 ACPI reclaimable, 4 NVS, 5 bad, else unknown
    uint32_t acpi;   // extended attributes; the loader writes 1 where the BIOS gave 20 bytes
};
_Static_assert(sizeof(struct e820_entry) == MAP_ENTRY_BYTES, "NASM walks 24-byte entries");

// Fields are dwords in the order the loader writes them, the two counters aligned to their size; so
// C adds no padding. Grown at the end only, and with INFO_SIZE in boot.inc.
struct boot_info {
    uint32_t magic;        // BOOT_INFO_MAGIC
    uint32_t bytes;        // sizeof(struct boot_info): a loader and a kernel of one build
    uint32_t boot_drive;   // BIOS drive number the image was read from (DL)
    uint32_t map_source;   // MAP_FROM_E820, MAP_FROM_E801 or MAP_FROM_88
    uint32_t map_count;    // entries at MAP_ADDR, at most MAP_MAX
    uint32_t map_dropped;  // entries the firmware offered beyond MAP_MAX
    uint32_t kernel_bytes; // length of the kernel's ELF file
    uint32_t kernel_crc;   // its checksum, verified before the jump
    uint64_t tsc_start;    // rdtsc as soon as the loader knows that there is one
    uint64_t tsc_loader;   // rdtsc at the jump to the kernel's entry
};
_Static_assert(sizeof(struct boot_info) == 48, "loader.asm stores these at fixed offsets");
_Static_assert(BOOT_INFO + sizeof(struct boot_info) <= TOTAL_MEM_ADDR,
               "the block ends below 0xb00");
_Static_assert(MAP_ADDR + MAP_MAX * MAP_ENTRY_BYTES <= CMDLINE_ADDR,
               "the map ends below the command line");
