// test_tables.c - what the firmware's tables of processors may say (processor/tables.c): right
// ones, and each field at the edge of what is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "processor/tables.h"

#define TEST(name) static void name(void **state __attribute__((unused)))

#define MEMORY 0x120000u
#define EBDA 0x9fc00u
#define TABLE 0x110000u // where the tables lie that a pointer leads to
#define RSDT 0x111000u
#define XSDT 0x112000u

static uint8_t *memory; // of just that length, so that the sanitizer sees a read past its end
static struct processor_list list;

static bool read_memory(uint32_t pa, void *to, uint32_t bytes) {
    if (pa >= MEMORY || bytes > MEMORY - pa) return false;
    memcpy(to, memory + pa, bytes);
    return true;
}

static void put16(uint32_t at, uint32_t value) {
    memory[at] = (uint8_t)value;
    memory[at + 1] = (uint8_t)(value >> 8);
}

static void put32(uint32_t at, uint32_t value) {
    put16(at, value);
    put16(at + 2, value >> 16);
}

// Makes the bytes from `at` on add up to 0 by the one at `where`.
static void seal(uint32_t at, uint32_t bytes, uint32_t where) {
    uint8_t sum = 0;
    memory[where] = 0;
    for (uint32_t i = 0; i < bytes; i++) sum = (uint8_t)(sum + memory[at + i]);
    memory[where] = (uint8_t)-sum;
}

static void mp_pointer(uint32_t at, uint32_t table) {
    memcpy(memory + at, "_MP_", 4);
    put32(at + 4, table);
    memory[at + 8] = 1; // in 16 bytes
    memory[at + 9] = 4;
    seal(at, 16, at + 10);
}

static void mp_seal(uint32_t bytes) {
    put16(TABLE + 4, bytes);
    seal(TABLE, bytes, TABLE + 7);
}

// A table of three processors, the third not enabled, and a bus.
static void mp_table(void) {
    memcpy(memory + TABLE, "PCMP", 4);
    put16(TABLE + 34, 4);
    put32(TABLE + 36, 0xfee00000);
    for (uint32_t i = 0; i < 3; i++) {
        memory[TABLE + 44 + 20 * i + 1] = (uint8_t)(2 * i);
        memory[TABLE + 44 + 20 * i + 3] = i < 2;
    }
    memory[TABLE + 44 + 60] = 1;
    mp_seal(44 + 60 + 8);
}

static void madt_entry(uint32_t index, uint8_t id, bool enabled) {
    uint32_t at = TABLE + 44 + 8 * index;
    memory[at] = 0;
    memory[at + 1] = 8;
    memory[at + 3] = id;
    memory[at + 4] = enabled;
}

static void madt_seal(uint32_t bytes) {
    put32(TABLE + 4, bytes);
    seal(TABLE, bytes, TABLE + 9);
}

static void madt(void) {
    memcpy(memory + EBDA + 16, "RSD PTR ", 8);
    put32(EBDA + 16 + 16, RSDT);
    seal(EBDA + 16, 20, EBDA + 16 + 8);
    memcpy(memory + RSDT, "RSDT", 4);
    put32(RSDT + 4, 36 + 8);
    put32(RSDT + 36, 0xfffffff0); // a table that cannot be read is passed over
    put32(RSDT + 40, TABLE);
    seal(RSDT, 44, RSDT + 9);
    memcpy(memory + TABLE, "APIC", 4);
    put32(TABLE + 36, 0xfee00000);
    for (uint8_t i = 0; i < 4; i++) madt_entry(i, i, i != 2);
    madt_seal(44 + 32);
}

static int setup(void **state) {
    (void)state;
    free(memory);
    memory = calloc(1, MEMORY);
    put16(0x40e, EBDA >> 4);
    put16(0x413, 639);
    return memory ? 0 : -1;
}

static const char *mp(void) { return tables_mp(read_memory, &list); }
static const char *acpi(void) { return tables_madt(read_memory, &list); }

TEST(no_table) {
    const char *why;
    assert_ptr_equal(mp(), tables_none);
    assert_ptr_equal(acpi(), tables_none);
    assert_false(tables_read(read_memory, &list, &why));
    assert_null(why);
}

TEST(mp_right_in_each_place) {
    static const uint32_t places[] = {EBDA, EBDA + 1008, 638 * 1024, 0xf0000, 0xffff0};
    for (size_t i = 0; i < 5; i++) {
        setup(NULL);
        mp_pointer(places[i], TABLE);
        mp_table();
        assert_null(mp());
        assert_int_equal(list.count, 2);
        assert_int_equal(list.id[0], 0);
        assert_int_equal(list.id[1], 2);
        assert_int_equal(list.lapic, 0xfee00000);
    }
}

TEST(mp_default_configuration) {
    mp_pointer(0xf0000, 0);
    assert_string_equal(mp(), "it has no processor");
    memory[0xf0000 + 11] = 5;
    seal(0xf0000, 16, 0xf0000 + 10);
    assert_null(mp());
    assert_int_equal(list.count, 2);
}

TEST(mp_wrong) {
    mp_pointer(0xf0000, TABLE);
    assert_string_equal(mp(), "its signature is wrong");
    mp_table();
    memory[TABLE + 50]++;
    assert_string_equal(mp(), "its checksum is wrong");
    assert_int_equal(list.count, 0);
    mp_table();
    mp_seal(43);
    assert_string_equal(mp(), "its length is wrong");
    mp_seal(44 + 60 + 7);
    assert_string_equal(mp(), "an entry goes beyond its end");
    mp_seal(44 + 60);
    assert_string_equal(mp(), "an entry goes beyond its end");
    put16(TABLE + 34, 3);
    mp_seal(44 + 60);
    assert_null(mp());
    memory[TABLE + 44] = 5;
    mp_seal(44 + 60);
    assert_string_equal(mp(), "an entry is of an unknown type");
    put16(TABLE + 34, 0);
    mp_seal(44 + 60);
    assert_string_equal(mp(), "it has no processor");
    mp_pointer(0xf0000, 0xfffffff8);
    assert_string_equal(mp(), "it cannot be read");
    mp_pointer(0xf0000, MEMORY - 44);
    memcpy(memory + MEMORY - 44, "PCMP", 4);
    put16(MEMORY - 44 + 4, 45);
    assert_string_equal(mp(), "it cannot be read");
}

TEST(madt_right) {
    madt();
    assert_null(acpi());
    assert_int_equal(list.count, 3);
    assert_int_equal(list.id[2], 3);
}

TEST(madt_wrong) {
    madt();
    memory[TABLE + 44 + 1] = 1; // would never end
    madt_seal(44 + 32);
    assert_string_equal(acpi(), "an entry goes beyond its end");
    memory[TABLE + 44 + 1] = 0;
    madt_seal(44 + 32);
    assert_string_equal(acpi(), "an entry goes beyond its end");
    memory[TABLE + 44 + 1] = 7; // too short for what it is
    madt_seal(44 + 32);
    assert_string_equal(acpi(), "an entry goes beyond its end");
    madt();
    madt_seal(44 + 31);
    assert_string_equal(acpi(), "an entry goes beyond its end");
    madt_seal(43);
    assert_string_equal(acpi(), "its length is wrong");
    madt_seal(0x1000);
    put32(TABLE + 4, 0x10001);
    assert_string_equal(acpi(), "its length is wrong");
    madt();
    memory[TABLE + 20]++;
    assert_string_equal(acpi(), "its checksum is wrong");
    madt();
    put32(RSDT + 4, 35);
    assert_string_equal(acpi(), "its length is wrong");
    madt();
    memory[RSDT]++;
    assert_string_equal(acpi(), "its signature is wrong");
}

// Since ACPI 2.0: the longer pointer, and addresses of eight bytes. No RSDT is there.
static void xsdt(void) {
    madt();
    memset(memory + RSDT, 0, 64);
    memory[EBDA + 16 + 15] = 2;
    put32(EBDA + 16 + 16, 0);
    put32(EBDA + 16 + 20, 36);
    put32(EBDA + 16 + 24, XSDT);
    seal(EBDA + 16, 20, EBDA + 16 + 8);
    seal(EBDA + 16, 36, EBDA + 16 + 32);
    memcpy(memory + XSDT, "XSDT", 4);
    put32(XSDT + 4, 36 + 16);
    put32(XSDT + 36, TABLE);
    put32(XSDT + 40, 1); // above 4 GiB: passed over
    put32(XSDT + 44, TABLE);
    seal(XSDT, 52, XSDT + 9);
}

TEST(xsdt_right_and_wrong) {
    xsdt();
    assert_null(acpi());
    assert_int_equal(list.count, 3);
    put32(XSDT + 48, 1); // both tables are above 4 GiB
    seal(XSDT, 52, XSDT + 9);
    assert_non_null(acpi());
    assert_int_equal(list.count, 0);
    xsdt();
    memory[EBDA + 16 + 33]++; // the longer checksum is wrong: the RSDT counts
    assert_non_null(acpi());
    put32(EBDA + 16 + 16, RSDT);
    memcpy(memory + RSDT, "RSDT", 4);
    put32(RSDT + 4, 36 + 4);
    put32(RSDT + 36, TABLE);
    seal(RSDT, 40, RSDT + 9);
    seal(EBDA + 16, 20, EBDA + 16 + 8);
    assert_null(acpi());
    assert_int_equal(list.count, 3);
}

TEST(each_id_once_and_no_broadcast) {
    madt();
    madt_entry(1, 0, true);
    madt_entry(3, 255, true);
    madt_seal(44 + 32);
    assert_null(acpi());
    assert_int_equal(list.count, 1);
}

TEST(more_than_there_is_room_for) {
    madt();
    for (uint32_t i = 0; i < 100; i++) madt_entry(i, (uint8_t)i, true);
    madt_seal(44 + 800);
    assert_null(acpi());
    assert_int_equal(list.count, TABLES_PROCESSORS_MAX);
    assert_int_equal(list.beyond, 100 - TABLES_PROCESSORS_MAX);
}

// Firmware that lists one processor of each package in the MP table.
TEST(the_longer_list_counts) {
    const char *why;
    madt();
    mp_pointer(0xf0000, 0);
    memory[0xf0000 + 11] = 1;
    seal(0xf0000, 16, 0xf0000 + 10);
    assert_true(tables_read(read_memory, &list, &why));
    assert_int_equal(list.count, 3);
    assert_null(why);
    memory[TABLE + 20]++;
    assert_true(tables_read(read_memory, &list, &why));
    assert_int_equal(list.count, 2);
    assert_string_equal(why, "its checksum is wrong");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_table, setup),
        cmocka_unit_test_setup(mp_right_in_each_place, setup),
        cmocka_unit_test_setup(mp_default_configuration, setup),
        cmocka_unit_test_setup(mp_wrong, setup),
        cmocka_unit_test_setup(madt_right, setup),
        cmocka_unit_test_setup(madt_wrong, setup),
        cmocka_unit_test_setup(xsdt_right_and_wrong, setup),
        cmocka_unit_test_setup(each_id_once_and_no_broadcast, setup),
        cmocka_unit_test_setup(more_than_there_is_room_for, setup),
        cmocka_unit_test_setup(the_longer_list_counts, setup),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(memory);
    return failed;
}
