// test_size_tables.c - kernel/size_tables.c: the tables built in, every form of a user's own, every
// fault, and that block_desc_set() is of the same mind.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/memory.h"
#include "kernel/size_tables.h"
#include "tests/host/heap_host.h"

#define TEST(name) static void name(void **state __attribute__((unused)))

static uint32_t sizes[DESC_MAX], count;

// What must stay when a table is refused.
static void unset(void) {
    memset(sizes, 0xa5, sizeof sizes);
    count = 77;
}

static void expect_table(const char *text, const uint32_t *wanted, uint32_t wanted_count) {
    unset();
    assert_null(size_table_parse(text, sizes, &count));
    assert_int_equal(count, wanted_count);
    assert_memory_equal(sizes, wanted, wanted_count * sizeof *wanted);
}

static void expect_fault(const char *text, const char *why) {
    unset();
    assert_string_equal(size_table_parse(text, sizes, &count), why);
    assert_int_equal(count, 77);
    for (uint32_t i = 0; i < DESC_MAX; i++) assert_int_equal(sizes[i], 0xa5a5a5a5);
}

TEST(seed_is_the_seven) {
    static const uint32_t seven[] = {16, 32, 64, 128, 256, 512, 1024};
    expect_table("seed", seven, 7);
}

// Whatever fine's sizes are: it is finer than the seed, and as block_desc_set() wants it.
TEST(fine_is_finer_and_passes_1024) {
    unset();
    assert_null(size_table_parse("fine", sizes, &count));
    assert_in_range(count, 8, DESC_MAX);
    assert_int_equal(sizes[0], 16);
    for (uint32_t i = 1; i < count; i++) {
        assert_true(sizes[i] > sizes[i - 1] && sizes[i] % BLOCK_ALIGN == 0);
    }
    assert_in_range(sizes[count - 1], 1025, BLOCK_SIZE_MAX);
}

TEST(sizes_are_separated_by_commas_and_blanks) {
    static const char *const forms[] = {"16,32,48",   "16 32 48",     "16, 32\t48", " 16 ,,32 48, ",
                                        ",16,32 48,", "016,0032,48 ", "16\t32\t48"};
    static const uint32_t three[] = {16, 32, 48};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) expect_table(forms[i], three, 3);
}

TEST(the_bounds_are_in) {
    static const uint32_t one[] = {BLOCK_SIZE_MAX}, two[] = {16, BLOCK_SIZE_MAX};
    char text[32];
    sprintf(text, "%d", BLOCK_SIZE_MAX);
    expect_table(text, one, 1);
    sprintf(text, "16,%d", BLOCK_SIZE_MAX);
    expect_table(text, two, 2);
}

TEST(every_fault_has_its_words) {
    expect_fault("", "no sizes");
    expect_fault(" , ", "no sizes");
    expect_fault("sead", "not a number");
    expect_fault("Seed", "not a number");
    expect_fault("seed,16", "not a number");
    expect_fault("16,x", "not a number");
    expect_fault("16;32", "not a number");
    expect_fault("16,-32", "not a number");
    expect_fault("0x10", "not a number");
    expect_fault("16,32k", "not a number");
    expect_fault("24", "a size that is no multiple of 16");
    expect_fault("0", "a size that is no multiple of 16");
    expect_fault("16,17", "a size that is no multiple of 16");
    expect_fault("16,16", "sizes that do not rise");
    expect_fault("16,64,32", "sizes that do not rise");
}

TEST(the_largest_size_is_named) {
    char text[32], why[64];
    sprintf(why, "a size above %d", BLOCK_SIZE_MAX);
    sprintf(text, "%d", BLOCK_SIZE_MAX + 16);
    expect_fault(text, why);
    expect_fault("16,4294967328", why); // 32 if it wrapped
    expect_fault("99999999999999999999999999", why);
}

// `n` sizes 16, 32, ...
static void write_steps(char *to, uint32_t n) {
    *to = '\0';
    for (uint32_t i = 1; i <= n; i++) sprintf(to + strlen(to), "%s%u", i > 1 ? "," : "", 16 * i);
}

TEST(as_many_sizes_as_descriptors) {
    char text[SIZE_TABLE_NAME_BYTES + 8];
    write_steps(text, DESC_MAX);
    unset();
    assert_null(size_table_parse(text, sizes, &count));
    assert_int_equal(count, DESC_MAX);
    write_steps(text, DESC_MAX + 1);
    expect_fault(text, "more than 32 sizes");
}

static void expect_name(const char *text, const char *name) {
    char to[SIZE_TABLE_NAME_BYTES];
    assert_null(size_table_parse(text, sizes, &count));
    assert_ptr_equal(size_table_name(sizes, count, to), to);
    assert_string_equal(to, name);
}

TEST(a_table_has_one_name) {
    expect_name("seed", "seed");
    expect_name("fine", "fine");
    expect_name("16 32 64 128 256 512 1024", "seed");
    expect_name("16 32 64 128 256 512", "16,32,64,128,256,512");
    expect_name("4096", "4096");
}

// The longest name there is: the largest sizes.
TEST(the_longest_name_fits) {
    char text[SIZE_TABLE_NAME_BYTES] = "", name[SIZE_TABLE_NAME_BYTES];
    for (uint32_t i = 0; i < DESC_MAX; i++) {
        sprintf(text + strlen(text), "%s%u", i > 0 ? "," : "",
                BLOCK_SIZE_MAX - 16 * (DESC_MAX - 1 - i));
    }
    assert_null(size_table_parse(text, sizes, &count));
    assert_string_equal(size_table_name(sizes, count, name), text);
}

// Two files hold the rules: numbers of all kinds, good for both or for neither.
TEST(block_desc_init_takes_the_same_tables) {
    char text[600];
    int good = 0;
    srand(23);
    for (int round = 0; round < 20000; round++) {
        uint32_t raw[DESC_MAX + 2], n = 1 + (uint32_t)rand() % (rand() % 50 ? 4 : DESC_MAX + 2);
        uint32_t at = 0;
        text[0] = '\0';
        for (uint32_t i = 0; i < n; i++) {
            at += (uint32_t)rand() % 4 * 16 + (rand() % 20 ? 0 : 8) + (rand() % 90 ? 0 : 4000);
            raw[i] = at;
            sprintf(text + strlen(text), "%u,", at);
        }
        bool parsed = size_table_parse(text, sizes, &count) == NULL;
        assert_int_equal(block_desc_set(&k_heap, raw, n) == 0, parsed);
        good += parsed;
    }
    assert_in_range(good, 1000, 19000);
}

// The heap with a user's table: each size finds the smallest block that holds it.
TEST(blocks_come_in_the_table_s_sizes) {
    static const char *const texts[] = {"seed", "fine", "16,48,1040", "4096", "3216,3232"};
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        host_heap_start(400);
        assert_null(size_table_parse(texts[t], sizes, &count));
        assert_int_equal(block_desc_set(&k_heap, sizes, count), 0);
        for (uint32_t size = 1, i = 0; i < count; size++) {
            void *p = sys_malloc(size);
            assert_non_null(p);
            assert_int_equal(sys_usable_size(p), sizes[i]);
            sys_free(p);
            if (size == sizes[i]) i++;
        }
    }
}

// Any text: no crash (the sanitizers look), and what is taken is what block_desc_set() takes.
TEST(random_texts_are_safe) {
    static const char *const piece[] = {"16", "32",   "48", ",",    " ",
                                        "9",  "seed", "x",  "4096", "\xff"};
    char text[600];
    srand(21);
    for (int round = 0; round < 50000; round++) {
        text[0] = '\0';
        for (int i = rand() % 80; i > 0; i--) {
            strcat(text, piece[(size_t)rand() % (sizeof piece / sizeof piece[0])]);
        }
        if (size_table_parse(text, sizes, &count)) continue;
        assert_in_range(count, 1, DESC_MAX);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(sizes[i] % 16 == 0 && sizes[i] > (i ? sizes[i - 1] : 0));
            assert_true(sizes[i] <= BLOCK_SIZE_MAX);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seed_is_the_seven),
        cmocka_unit_test(fine_is_finer_and_passes_1024),
        cmocka_unit_test(sizes_are_separated_by_commas_and_blanks),
        cmocka_unit_test(the_bounds_are_in),
        cmocka_unit_test(every_fault_has_its_words),
        cmocka_unit_test(the_largest_size_is_named),
        cmocka_unit_test(as_many_sizes_as_descriptors),
        cmocka_unit_test(a_table_has_one_name),
        cmocka_unit_test(the_longest_name_fits),
        cmocka_unit_test(block_desc_init_takes_the_same_tables),
        cmocka_unit_test(blocks_come_in_the_table_s_sizes),
        cmocka_unit_test(random_texts_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
