// tables.c - see tables.h. Sources: Intel MultiProcessor Specification 1.4, chapter 4 (the floating
// pointer, 4.1; the configuration table, 4.2 and 4.3; default configurations, 5); ACPI 6.4, 5.2.5
// (RSDP), 5.2.7 (RSDT), 5.2.8 (XSDT), 5.2.12 (MADT).
//
// Both tables say the same in two ways. The MP table is older and its text is one place to read;
// but firmware lists one processor of a package there, and all in the MADT. So both are read, and
// the longer list counts.
//
// Trust. Everything here may be any bytes: a firmware's fault, or memory that is no table. Each
// structure has a checksum, its length is bounded before anything is read by it, each entry has to
// lie inside, and an entry of length 0 ends the walk instead of holding it for ever.
//
// Shortcoming: a table above 4 GiB is not seen, nor are APIC ids above 254 (x2APIC).
#include "processor/tables.h"

#include "lib/string.h"

#define TABLE_BYTES_MAX 0x10000u // of one table: ten times what 254 processors need
#define TABLES_MAX 256u          // that an RSDT or XSDT lists
#define BROADCAST_ID 0xffu

const char tables_none[] = "there is none";
static const char unreadable[] = "it cannot be read", wrong_sum[] = "its checksum is wrong",
                  wrong_mark[] = "its signature is wrong", wrong_length[] = "its length is wrong",
                  wrong_entry[] = "an entry goes beyond its end",
                  wrong_kind[] = "an entry is of an unknown type", nobody[] = "it has no processor";

static uint16_t u16_at(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }
static uint32_t u32_at(const uint8_t *at) { return u16_at(at) | (uint32_t)u16_at(at + 2) << 16; }

static uint8_t sum_in(const uint8_t *at, uint32_t bytes) {
    uint8_t sum = 0;
    while (bytes-- > 0) sum = (uint8_t)(sum + *at++);
    return sum;
}

// Likewise of memory that is not here. A range that wraps is not readable.
static const char *check_sum(physical_reader *read, uint32_t pa, uint32_t bytes) {
    uint8_t chunk[64], sum = 0;
    if (bytes > UINT32_MAX - pa) return unreadable;
    while (bytes > 0) {
        uint32_t now = bytes < sizeof chunk ? bytes : sizeof chunk;
        if (!read(pa, chunk, now)) return unreadable;
        sum = (uint8_t)(sum + sum_in(chunk, now));
        pa += now;
        bytes -= now;
    }
    return sum == 0 ? NULL : wrong_sum;
}

static void list_add_id(struct processor_list *out, uint8_t id) {
    if (id == BROADCAST_ID) return;
    for (uint32_t i = 0; i < out->count; i++) {
        if (out->id[i] == id) return;
    }
    if (out->count < TABLES_PROCESSORS_MAX) out->id[out->count++] = id;
    else out->beyond++;
}

// ---- a structure that has to be looked for ------------------------------------------------------

// A mark at a multiple of 16, and a checksum over `bytes`, at most 64: copied to `to`. False: not
// in this range.
static bool find_in(physical_reader *read, uint32_t from, uint32_t length, const char *mark,
                    uint32_t bytes, uint8_t *to) {
    for (uint32_t pa = from; pa + bytes <= from + length; pa += 16) {
        if (!read(pa, to, bytes)) return false;
        if (memcmp(to, mark, strlen(mark)) == 0 && sum_in(to, bytes) == 0) return true;
    }
    return false;
}

// Where both specifications tell an operating system to look: the first KiB of the extended BIOS
// data area, whose segment is at 0x40e; the last KiB of base memory, whose size in KiB is at 0x413;
// the BIOS's ROM.
static bool seek(physical_reader *read, uint32_t rom, const char *mark, uint32_t bytes,
                 uint8_t *to) {
    uint8_t word[2];
    uint32_t ebda = 0, top = 639;
    if (read(0x40e, word, 2)) ebda = (uint32_t)u16_at(word) << 4;
    if (read(0x413, word, 2)) top = u16_at(word);
    if (ebda >= 0x400 && ebda < 0xa0000 && find_in(read, ebda, 1024, mark, bytes, to)) return true;
    if (top > 1 && top <= 640 && find_in(read, (top - 1) * 1024, 1024, mark, bytes, to)) {
        return true;
    }
    return find_in(read, rom, 0x100000 - rom, mark, bytes, to);
}

// ---- MP -----------------------------------------------------------------------------------------

#define MP_POINTER_BYTES 16u
#define MP_HEADER_BYTES 44u
#define MP_PROCESSOR 0
#define MP_PROCESSOR_BYTES 20u
#define MP_OTHER_BYTES 8u
#define MP_KINDS 5u     // 1 .. 4: bus, I/O APIC, two kinds of interrupt lines
#define MP_EXTENDED 128 // and on: an entry that says its length
#define LAPIC_DEFAULT 0xfee00000u

static const char *mp_entry(physical_reader *read, uint32_t *pa, uint32_t end,
                            struct processor_list *out) {
    uint8_t entry[MP_PROCESSOR_BYTES];
    if (*pa >= end || !read(*pa, entry, 1)) return wrong_entry;
    uint32_t bytes = entry[0] == MP_PROCESSOR ? MP_PROCESSOR_BYTES : MP_OTHER_BYTES;
    if (entry[0] >= MP_KINDS) return wrong_kind;
    if (end - *pa < bytes) return wrong_entry;
    if (entry[0] == MP_PROCESSOR) {
        if (!read(*pa, entry, bytes)) return unreadable;
        if (entry[3] & 1) list_add_id(out, entry[1]); // enabled
    }
    *pa += bytes;
    return NULL;
}

static const char *mp_table(physical_reader *read, uint32_t pa, struct processor_list *out) {
    uint8_t head[MP_HEADER_BYTES];
    if (!read(pa, head, sizeof head)) return unreadable;
    if (memcmp(head, "PCMP", 4) != 0) return wrong_mark;
    uint32_t bytes = u16_at(head + 4), entries = u16_at(head + 34);
    if (bytes < sizeof head) return wrong_length;
    const char *why = check_sum(read, pa, bytes);
    if (why) return why;
    out->lapic = u32_at(head + 36);
    uint32_t at = pa + MP_HEADER_BYTES, end = pa + bytes;
    while (entries-- > 0) {
        why = mp_entry(read, &at, end, out);
        if (why) return why;
    }
    return out->count > 0 ? NULL : nobody;
}

// Without a table the pointer's first feature byte names a default configuration: two processors,
// 0 and 1.
const char *tables_mp(physical_reader *read, struct processor_list *out) {
    uint8_t pointer[MP_POINTER_BYTES];
    *out = (struct processor_list){0};
    if (!seek(read, 0xf0000, "_MP_", sizeof pointer, pointer)) return tables_none;
    const char *why = NULL;
    if (u32_at(pointer + 4) != 0) {
        why = mp_table(read, u32_at(pointer + 4), out);
    } else if (pointer[11] != 0) {
        *out = (struct processor_list){.lapic = LAPIC_DEFAULT, .count = 2, .id = {0, 1}};
    } else {
        why = nobody;
    }
    if (why) *out = (struct processor_list){0};
    return why;
}

// ---- ACPI ---------------------------------------------------------------------------------------

#define RSDP_BYTES 20u      // of its first version, which has a checksum of its own
#define RSDP_LONG_BYTES 36u // since ACPI 2.0, with another over all of it
#define ACPI_HEADER_BYTES 36u
#define MADT_HEADER_BYTES 44u
#define MADT_LAPIC 0
#define MADT_LAPIC_BYTES 8u

// A table's header and checksum; its length in *bytes.
static const char *acpi_table(physical_reader *read, uint32_t pa, const char *mark, uint32_t least,
                              uint32_t *bytes) {
    uint8_t head[8];
    if (!read(pa, head, sizeof head)) return unreadable;
    if (memcmp(head, mark, 4) != 0) return wrong_mark;
    *bytes = u32_at(head + 4);
    if (*bytes < least || *bytes > TABLE_BYTES_MAX) return wrong_length;
    return check_sum(read, pa, *bytes);
}

static const char *madt_entries(physical_reader *read, uint32_t pa, uint32_t bytes,
                                struct processor_list *out) {
    uint32_t at = MADT_HEADER_BYTES;
    while (at < bytes) {
        uint8_t entry[MADT_LAPIC_BYTES];
        if (bytes - at < 2) return wrong_entry;
        if (!read(pa + at, entry, 2)) return unreadable;
        uint32_t length = entry[1];
        if (length < 2 || length > bytes - at) return wrong_entry;
        if (entry[0] == MADT_LAPIC) {
            if (length < sizeof entry) return wrong_entry;
            if (!read(pa + at, entry, sizeof entry)) return unreadable;
            if (entry[4] & 1) list_add_id(out, entry[3]); // enabled
        }
        at += length;
    }
    return out->count > 0 ? NULL : nobody;
}

static const char *madt_read(physical_reader *read, uint32_t pa, struct processor_list *out) {
    uint32_t bytes;
    uint8_t word[4];
    const char *why = acpi_table(read, pa, "APIC", MADT_HEADER_BYTES, &bytes);
    if (why) return why;
    if (!read(pa + ACPI_HEADER_BYTES, word, sizeof word)) return unreadable;
    out->lapic = u32_at(word);
    return madt_entries(read, pa, bytes, out);
}

// The RSDT, or XSDT, is a header and the tables' addresses of 4, or 8, bytes; the table whose mark
// is APIC is wanted.
static const char *root_read(physical_reader *read, uint32_t pa, const char *mark, uint32_t width,
                             struct processor_list *out) {
    uint32_t bytes;
    const char *why = acpi_table(read, pa, mark, ACPI_HEADER_BYTES, &bytes);
    if (why) return why;
    uint32_t tables = (bytes - ACPI_HEADER_BYTES) / width;
    for (uint32_t i = 0; i < tables && i < TABLES_MAX; i++) {
        uint8_t address[8] = {0}, found[4];
        if (!read(pa + ACPI_HEADER_BYTES + i * width, address, width)) return unreadable;
        if (u32_at(address + 4) != 0 || !read(u32_at(address), found, sizeof found)) continue;
        if (memcmp(found, "APIC", sizeof found) == 0) return madt_read(read, u32_at(address), out);
    }
    return tables_none;
}

// Firmware of today may leave the RSDT out. (ACPI 5.2.5.3: who knows the XSDT has to take it.)
static const char *xsdt_find(physical_reader *read, struct processor_list *out) {
    uint8_t pointer[RSDP_LONG_BYTES];
    if (!seek(read, 0xe0000, "RSD PTR ", sizeof pointer, pointer)) return tables_none;
    uint32_t xsdt = u32_at(pointer + 24), above = u32_at(pointer + 28);
    if (pointer[15] < 2 || xsdt == 0 || above != 0) return tables_none;
    return root_read(read, xsdt, "XSDT", 8, out);
}

static const char *rsdt_find(physical_reader *read, struct processor_list *out) {
    uint8_t pointer[RSDP_BYTES];
    if (!seek(read, 0xe0000, "RSD PTR ", sizeof pointer, pointer)) return tables_none;
    return root_read(read, u32_at(pointer + 16), "RSDT", 4, out);
}

const char *tables_madt(physical_reader *read, struct processor_list *out) {
    *out = (struct processor_list){0};
    if (!xsdt_find(read, out)) return NULL;
    *out = (struct processor_list){0};
    const char *why = rsdt_find(read, out);
    if (why) *out = (struct processor_list){0};
    return why;
}

bool tables_read(physical_reader *read, struct processor_list *out, const char **why) {
    struct processor_list madt;
    *why = tables_mp(read, out);
    const char *second = tables_madt(read, &madt);
    if (madt.count + madt.beyond > out->count + out->beyond) *out = madt;
    if (!*why || *why == tables_none) *why = second;
    if (*why == tables_none) *why = NULL;
    return out->count > 0;
}
