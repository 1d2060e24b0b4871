// test_elf.c - what a program's file may say of itself (process/elf.c): one that is right, and each
// field at the edge of what is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "process/elf.h"
#include "process/layout.h"

#define TEST(name) static void name(void **state __attribute__((unused)))

// A header and two segments, as the linker makes them.
struct file {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version, entry, phoff, shoff, flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
    struct {
        uint32_t type, offset, vaddr, paddr, filesz, memsz, flags, align;
    } segment[9];
};

#define FILE_BYTES 20000u
#define READ_EXECUTE 5
#define READ_WRITE 6

static struct file file;
static struct elf_program program;

static int setup(void **state) {
    (void)state;
    memset(&file, 0, sizeof file);
    memcpy(file.ident, "\177ELF\1\1\1", 7);
    file.type = 2;
    file.machine = 3;
    file.entry = 0x400100;
    file.phoff = 52;
    file.phentsize = 32;
    file.phnum = 2;
    file.segment[0].type = file.segment[1].type = 1;
    file.segment[0].vaddr = 0x400000;
    file.segment[0].filesz = file.segment[0].memsz = 0x1000;
    file.segment[0].flags = READ_EXECUTE;
    file.segment[1].vaddr = 0x401000;
    file.segment[1].offset = 0x1000;
    file.segment[1].filesz = 0x100;
    file.segment[1].memsz = 0x3000;
    file.segment[1].flags = READ_WRITE;
    return 0;
}

// From memory of just that length, so that the sanitizer sees a read past its end.
static const char *read_bytes(uint32_t bytes) {
    uint8_t *head = malloc(bytes ? bytes : 1);
    memcpy(head, &file, bytes);
    const char *why = elf_read(&program, head, bytes, FILE_BYTES);
    free(head);
    return why;
}

static const char *read_all(void) { return read_bytes(sizeof file); }

TEST(right_file) {
    assert_null(read_all());
    assert_int_equal(program.entry, 0x400100);
    assert_int_equal(program.count, 2);
    assert_int_equal(program.segment[1].address, 0x401000);
    assert_int_equal(program.segment[1].bytes, 0x3000);
    assert_int_equal(program.segment[1].file_bytes, 0x100);
    assert_true(program.segment[1].writable);
    assert_false(program.segment[0].writable);
}

TEST(other_kinds_of_files) {
    file.ident[4] = 2;
    assert_string_equal(read_all(), "not an ELF file of 32 bits");
    setup(NULL);
    file.machine = 40;
    assert_string_equal(read_all(), "not for this processor");
    setup(NULL);
    file.type = 3;
    assert_string_equal(read_all(), "not an executable at fixed addresses");
    setup(NULL);
    file.segment[0].type = 3;
    assert_string_equal(read_all(), "needs a dynamic linker");
}

TEST(cut_off_anywhere) {
    for (uint32_t bytes = 0; bytes < 52 + 2 * 32; bytes++) assert_non_null(read_bytes(bytes));
    assert_null(read_bytes(52 + 2 * 32));
}

TEST(program_headers_anywhere) {
    static const uint32_t offsets[] = {sizeof file - 31, sizeof file, sizeof file + 1, UINT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        file.phoff = offsets[i];
        assert_string_equal(read_all(), "program headers beyond the first 512 bytes");
    }
    setup(NULL);
    file.phnum = 0xffff;
    assert_string_equal(read_all(), "program headers beyond the first 512 bytes");
    file.phnum = 0;
    assert_string_equal(read_all(), "no program headers");
}

// Each number of the second segment, and what is wrong with it.
static const char *with(uint32_t vaddr, uint32_t offset, uint32_t filesz, uint32_t memsz) {
    setup(NULL);
    file.segment[1].vaddr = vaddr;
    file.segment[1].offset = offset;
    file.segment[1].filesz = filesz;
    file.segment[1].memsz = memsz;
    return read_all();
}

TEST(fields_at_their_edges) {
    static const char outside[] = "a segment outside a program's addresses",
                      beyond[] = "a segment beyond the file's end";
    assert_null(with(0x500000, FILE_BYTES, 0, 1));
    assert_null(with(0x500000, FILE_BYTES - 1, 1, 1));
    assert_string_equal(with(0x500000, FILE_BYTES, 1, 1), beyond);
    assert_string_equal(with(0x500000, UINT32_MAX, 1, 1), beyond);
    assert_string_equal(with(0x500000, 1, FILE_BYTES, FILE_BYTES), beyond);
    assert_string_equal(with(0x500000, 0, UINT32_MAX, UINT32_MAX), beyond);
    assert_string_equal(with(0x500000, 0, 2, 1), "a segment longer in the file than in memory");
    assert_null(with(USER_IMAGE_END - 1, 0, 1, 1));
    assert_string_equal(with(USER_IMAGE_END - 1, 0, 1, 2), outside);
    assert_string_equal(with(USER_IMAGE_END, 0, 1, 1), outside);
    assert_string_equal(with(USER_IMAGE_BASE - 1, 0, 1, 1), outside);
    assert_string_equal(with(0, 0, 1, 1), outside);
    assert_string_equal(with(KERNEL_BASE, 0, 1, 1), outside);
    assert_string_equal(with(UINT32_MAX, 0, 1, 1), outside);
    assert_string_equal(with(0x500000, 0, 1, UINT32_MAX), outside);
    assert_string_equal(with(0x500000, 0, 1, 0u - 0x500000), outside);
}

TEST(segments_share_no_page) {
    static const char shared[] = "two segments in one page";
    assert_string_equal(with(0x400fff, 0, 1, 1), shared);
    assert_string_equal(with(0x400800, 0, 1, 1), shared);
    assert_null(with(0x401000, 0, 1, 1));
    setup(NULL);
    file.segment[0].vaddr = 0x403000;
    file.entry = 0x403000;
    file.segment[1].memsz = 0x2000;
    assert_null(read_all());
    file.segment[1].memsz = 0x2001;
    assert_string_equal(read_all(), shared);
}

TEST(entry_is_in_text) {
    static const char nowhere[] = "its first instruction is in no segment";
    file.entry = 0x401000; // data
    assert_string_equal(read_all(), nowhere);
    file.entry = 0x3fffff;
    assert_string_equal(read_all(), nowhere);
    file.entry = 0x400fff;
    assert_null(read_all());
}

TEST(rights) {
    file.segment[1].flags = 7;
    assert_string_equal(read_all(), "a segment to be written and executed");
}

TEST(too_many_segments) {
    file.phnum = 9;
    for (uint32_t i = 2; i < 9; i++) {
        file.segment[i] = file.segment[1];
        file.segment[i].vaddr = 0x500000 + i * 0x10000;
    }
    assert_string_equal(read_all(), "too many segments");
    file.segment[8].memsz = file.segment[8].filesz = 0; // an empty one takes no place
    assert_null(read_all());
    assert_int_equal(program.count, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(right_file, setup),
        cmocka_unit_test_setup(other_kinds_of_files, setup),
        cmocka_unit_test_setup(cut_off_anywhere, setup),
        cmocka_unit_test_setup(program_headers_anywhere, setup),
        cmocka_unit_test_setup(fields_at_their_edges, setup),
        cmocka_unit_test_setup(segments_share_no_page, setup),
        cmocka_unit_test_setup(entry_is_in_text, setup),
        cmocka_unit_test_setup(rights, setup),
        cmocka_unit_test_setup(too_many_segments, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
