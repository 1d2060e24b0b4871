// test_words.c - a typed line as words, a word as a number (kernel/prompt/words.c): the edges one
// by one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/prompt/words.h"

#define TEST(name) static void name(void **state __attribute__((unused)))

static char line[64];
static char *word[3];

static int split(const char *text) {
    strcpy(line, text);
    return words_split(line, word, 3);
}

TEST(blanks_divide) {
    assert_int_equal(split("free 0x10"), 2);
    assert_string_equal(word[0], "free");
    assert_string_equal(word[1], "0x10");
    assert_int_equal(split("  a\t b  "), 2);
    assert_string_equal(word[0], "a");
    assert_string_equal(word[1], "b");
}

TEST(a_line_without_words) {
    assert_int_equal(split(""), 0);
    assert_int_equal(split(" \t "), 0);
}

// One too many and many too many are the same: the command refuses both.
TEST(too_many_words_are_counted_as_one_more) {
    assert_int_equal(split("a b c"), 3);
    assert_int_equal(split("a b c "), 3);
    assert_int_equal(split("a b c d"), 4);
    assert_int_equal(split("a b c d e f"), 4);
    assert_string_equal(word[2], "c");
}

static void is(const char *text, uint32_t expected) {
    uint32_t value = ~expected;
    assert_true(words_number(text, &value));
    assert_int_equal(value, expected);
}

static void is_none(const char *text) {
    uint32_t value = 12345;
    assert_false(words_number(text, &value));
    assert_int_equal(value, 12345); // untouched
}

TEST(numbers) {
    is("0", 0);
    is("007", 7);
    is("4294967295", UINT32_MAX);
    is("0x0", 0);
    is("0XfF", 255);
    is("0xffffffff", UINT32_MAX);
    is("0x000000001", 1);
}

TEST(no_numbers) {
    static const char *const none[] = {"", "-1", "+1", " 1", "1k", "0x", "x1", "0x1g", "a", "1.5"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) is_none(none[i]);
}

TEST(numbers_that_do_not_fit) {
    is_none("4294967296");
    is_none("42949672950");
    is_none("0x100000000");
    is_none("99999999999999999999999");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blanks_divide),
        cmocka_unit_test(a_line_without_words),
        cmocka_unit_test(too_many_words_are_counted_as_one_more),
        cmocka_unit_test(numbers),
        cmocka_unit_test(no_numbers),
        cmocka_unit_test(numbers_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
