// test_string.c - lib/string.c, compiled as k_memcpy and so on, so that the C library keeps its
// own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/string.h"

#define BYTES 64

static unsigned char ours[BYTES], expected[BYTES];

static void fill(void) {
    for (int i = 0; i < BYTES; i++) ours[i] = expected[i] = (unsigned char)(i * 7 + 1);
}

static void same(void) {
    for (int i = 0; i < BYTES; i++) assert_int_equal(ours[i], expected[i]);
}

// Every offset and length that fits: the words and the rest after them.
static void memset_writes_its_bytes_only(void **state) {
    (void)state;
    for (size_t at = 0; at < 9; at++) {
        for (size_t bytes = 0; bytes + at <= BYTES; bytes++) {
            fill();
            assert_ptr_equal(memset(ours + at, 0x1a5, bytes), ours + at);
            for (size_t i = 0; i < bytes; i++) expected[at + i] = 0xa5;
            same();
        }
    }
}

static void memcpy_copies_its_bytes_only(void **state) {
    (void)state;
    unsigned char from[BYTES];
    for (int i = 0; i < BYTES; i++) from[i] = (unsigned char)~i;
    for (size_t at = 0; at < 9; at++) {
        for (size_t bytes = 0; bytes + at <= BYTES; bytes++) {
            fill();
            assert_ptr_equal(memcpy(ours + at, from + at, bytes), ours + at);
            for (size_t i = 0; i < bytes; i++) expected[at + i] = from[at + i];
            same();
        }
    }
}

static void memmove_with_every_overlap(void **state) {
    (void)state;
    for (size_t from = 0; from < 20; from++) {
        for (size_t to = 0; to < 20; to++) {
            for (size_t bytes = 0; bytes < 40; bytes++) {
                unsigned char before[BYTES];
                fill();
                for (int i = 0; i < BYTES; i++) before[i] = ours[i];
                assert_ptr_equal(memmove(ours + to, ours + from, bytes), ours + to);
                for (size_t i = 0; i < bytes; i++) expected[to + i] = before[from + i];
                same();
            }
        }
    }
}

static void comparisons(void **state) {
    (void)state;
    assert_int_equal(memcmp("abc", "abc", 3), 0);
    assert_int_equal(memcmp("abc", "xyz", 0), 0);
    assert_true(memcmp("a\x80", "a\x7f", 2) > 0); // as unsigned char
    assert_int_equal(strcmp("", ""), 0);
    assert_int_equal(strcmp("abc", "abc"), 0);
    assert_true(strcmp("abc", "abcd") < 0 && strcmp("abcd", "abc") > 0);
    assert_true(strcmp("\x80", "\x7f") > 0);
    assert_int_equal(strncmp("abcx", "abcy", 3), 0);
    assert_true(strncmp("abcx", "abcy", 4) < 0);
    assert_int_equal(strncmp("ab", "ab", 100), 0);
}

static void lengths(void **state) {
    (void)state;
    assert_int_equal(strlen(""), 0);
    assert_int_equal(strlen("four"), 4);
    char unended[3] = {'a', 'b', 'c'};
    assert_int_equal(strnlen(unended, 3), 3);
    assert_int_equal(strnlen("ab", 3), 2);
    assert_int_equal(strnlen("ab", 0), 0);
}

static void searching(void **state) {
    (void)state;
    const char *text = "a=b=c";
    assert_ptr_equal(strchr(text, '='), text + 1);
    assert_ptr_equal(strchr(text, '\0'), text + 5);
    assert_null(strchr(text, 'x'));
}

static void strlcpy_always_ends_the_text(void **state) {
    (void)state;
    char to[4] = "zzz";
    assert_int_equal(strlcpy(to, "ab", 4), 2);
    assert_int_equal(strcmp(to, "ab"), 0);
    assert_int_equal(strlcpy(to, "abcdef", 4), 6);
    assert_int_equal(strcmp(to, "abc"), 0);
    assert_int_equal(strlcpy(to, "abc", 1), 3);
    assert_int_equal(strcmp(to, ""), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memset_writes_its_bytes_only),
        cmocka_unit_test(memcpy_copies_its_bytes_only),
        cmocka_unit_test(memmove_with_every_overlap),
        cmocka_unit_test(comparisons),
        cmocka_unit_test(lengths),
        cmocka_unit_test(searching),
        cmocka_unit_test(strlcpy_always_ends_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
