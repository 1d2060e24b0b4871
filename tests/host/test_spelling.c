// test_spelling.c - distances by hand, the distance's laws by chance, and what counts as near.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/spelling.h"

#define TEST(name) static void name(void **state __attribute__((unused)))

TEST(distances_are_those_counted_by_hand) {
    static const struct {
        const char *a, *b;
        unsigned distance;
    } cases[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"malloc", "malloc", 0},
        {"maloc", "malloc", 1},
        {"mallocc", "malloc", 1},
        {"nalloc", "malloc", 1},
        {"mlaloc", "malloc", 1},
        {"hlep", "help", 1},
        {"kitten", "sitting", 3},
        {"ab", "ba", 1},
        {"abc", "ca", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(spelling_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(spelling_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}

TEST(the_longest_words_are_compared_and_longer_ones_are_not) {
    char a[SPELLING_MAX + 2], b[SPELLING_MAX + 2];
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    a[SPELLING_MAX] = b[SPELLING_MAX] = '\0';
    assert_int_equal(spelling_distance(a, b), SPELLING_MAX);
    a[SPELLING_MAX] = 'a';
    a[SPELLING_MAX + 1] = '\0';
    assert_int_equal(spelling_distance(a, b), SPELLING_MAX + 1);
    assert_int_equal(spelling_distance(b, a), SPELLING_MAX + 1);
}

// Symmetric, 0 for equal words only, and never more than the longer word has characters.
TEST(distances_obey_their_laws) {
    uint32_t random = 1;
    for (int round = 0; round < 20000; round++) {
        char word[2][8];
        for (int w = 0; w < 2; w++) {
            size_t length = (random = random * 1664525 + 1013904223) >> 29;
            for (size_t i = 0; i < length; i++) {
                random = random * 1664525 + 1013904223;
                word[w][i] = (char)('a' + (random >> 30));
            }
            word[w][length] = '\0';
        }
        unsigned there = spelling_distance(word[0], word[1]);
        size_t longer = strlen(word[0]) > strlen(word[1]) ? strlen(word[0]) : strlen(word[1]);
        assert_int_equal(there, spelling_distance(word[1], word[0]));
        assert_int_equal(there == 0, strcmp(word[0], word[1]) == 0);
        assert_true(there <= longer);
    }
}

static const char *word(size_t index) {
    static const char *const words[] = {"malloc", "map", "ps", "free", "realloc", NULL};
    return words[index];
}

TEST(the_nearest_word_is_found) {
    assert_string_equal(spelling_nearest("mallco", word), "malloc");
    assert_string_equal(spelling_nearest("reallocate", word) ? "?" : "none", "none");
    assert_string_equal(spelling_nearest("relloc", word), "realloc");
    assert_string_equal(spelling_nearest("fre", word), "free");
    assert_string_equal(spelling_nearest("mpa", word), "map");
    assert_string_equal(spelling_nearest("sp", word), "ps");
    assert_null(spelling_nearest("xy", word)); // not two changes in a word of two
    assert_null(spelling_nearest("", word));
    assert_null(spelling_nearest("allocate-me", word));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances_are_those_counted_by_hand),
        cmocka_unit_test(the_longest_words_are_compared_and_longer_ones_are_not),
        cmocka_unit_test(distances_obey_their_laws),
        cmocka_unit_test(the_nearest_word_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
