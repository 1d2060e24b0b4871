// test_print.c - lib/print.c against the C library's snprintf.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/print.h"

static char ours[256], theirs[256];

// Both make the same text of the same length. A macro, so that the compiler checks the format.
#define SAME(...)                                             \
    do {                                                      \
        int a = ksnprintf(ours, sizeof ours, __VA_ARGS__);    \
        int b = snprintf(theirs, sizeof theirs, __VA_ARGS__); \
        assert_string_equal(ours, theirs);                    \
        assert_int_equal(a, b);                               \
    } while (0)

static void plain_numbers(void **state) {
    (void)state;
    static const int values[] = {0, 1, -1, 9, 10, -10, 12345, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        SAME("%d|%i|%u|%x|%X|%o", values[i], values[i], (unsigned)values[i], (unsigned)values[i],
             (unsigned)values[i], (unsigned)values[i]);
    }
}

static void long_numbers(void **state) {
    (void)state;
    static const long long values[] = {0,         1,         -1,         99999999999, -99999999999,
                                       INT64_MAX, INT64_MIN, 0x100000000};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        unsigned long long u = (unsigned long long)values[i];
        SAME("%lld %llu %llx %llo", values[i], u, u, u);
        SAME("%ld %lu %zu %zx", (long)values[i], (unsigned long)u, (size_t)u, (size_t)u);
    }
}

static void widths_and_flags(void **state) {
    (void)state;
    SAME("[%5d] [%-5d] [%05d]", 42, 42, 42);
    SAME("[%5d] [%-5d] [%05d]", -42, -42, -42);
    SAME("[%08x] [%#x] [%#010x] [%#X] [%#x]", 0xbeefu, 0xbeefu, 0xbeefu, 0xbeefu, 0u);
    SAME("[%2d] [%-2d] [%02d]", 12345, 12345, 12345);
    SAME("[%*d] [%*d] [%-*d]", 7, 1, -7, 2, 7, 3);
    SAME("[%18llu] [%-18llu] [%018llx]", 7ull, 7ull, 7ull);
    SAME("[%hd] [%hhu]", 12, 200);
}

static void text_and_characters(void **state) {
    (void)state;
    SAME("[%s] [%10s] [%-10s]", "abc", "abc", "abc");
    SAME("[%.2s] [%.9s] [%.0s] [%.*s] [%6.1s]", "abc", "abc", "abc", 1, "abc", "abc");
    SAME("[%c] [%3c] [%-3c] %%", 'x', 'y', 'z');
    char unended[2] = {'h', 'i'};
    SAME("[%.2s]", unended); // reads no further than its precision
}

static void pointers_have_all_digits(void **state) {
    (void)state;
    ksnprintf(ours, sizeof ours, "%p", (void *)(uintptr_t)0x1234);
    assert_string_equal(ours, "0x0000000000001234");
    const char *volatile nothing = NULL; // not for the compiler's eyes
    ksnprintf(ours, sizeof ours, "%s", nothing);
    assert_string_equal(ours, "(null)");
}

static void what_is_not_known_stands_as_it_is(void **state) {
    (void)state;
    const char *volatile format = "%q %5! 100%"; // not for the compiler's eyes
    ksnprintf(ours, sizeof ours, format);
    assert_string_equal(ours, "%q %5! 100%");
}

static void room_is_kept(void **state) {
    (void)state;
    for (size_t room = 1; room < 12; room++) {
        memset(ours, '#', sizeof ours);
        assert_int_equal(ksnprintf(ours, room, "%s%d", "abcdef", 123), 9);
        assert_int_equal(strlen(ours), room <= 9 ? room - 1 : 9);
        assert_memory_equal(ours, "abcdef123", strlen(ours));
        assert_int_equal(ours[room], '#');
    }
    assert_int_equal(ksnprintf(NULL, 0, "%d", 1234), 4);
}

// ---- kprintf: one piece a call, cut at its limit ------------------------------------------------

static char printed[2048];
static size_t printed_length;
static int pieces;

static void sink(const char *text, size_t bytes) {
    memcpy(printed + printed_length, text, bytes);
    printed_length += bytes;
    pieces++;
}

static void kprintf_is_one_piece(void **state) {
    (void)state;
    print_sink_set(sink);
    printed_length = 0;
    pieces = 0;
    kprintf("%s %d\n", "line", 1);
    put_str("100%\n");
    assert_int_equal(pieces, 2);
    assert_int_equal(printed_length, 12);
    assert_memory_equal(printed, "line 1\n100%\n", 12);
}

static void a_long_line_is_cut(void **state) {
    (void)state;
    print_sink_set(sink);
    printed_length = 0;
    kprintf("%0600d\n", 1);
    assert_int_equal(printed_length, 511);
    assert_memory_equal(printed + 507, "...\n", 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_numbers),
        cmocka_unit_test(long_numbers),
        cmocka_unit_test(widths_and_flags),
        cmocka_unit_test(text_and_characters),
        cmocka_unit_test(pointers_have_all_digits),
        cmocka_unit_test(what_is_not_known_stands_as_it_is),
        cmocka_unit_test(room_is_kept),
        cmocka_unit_test(kprintf_is_one_piece),
        cmocka_unit_test(a_long_line_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
