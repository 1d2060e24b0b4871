// test_bitmap.c - lib/bitmap.c against an array of bytes. The words lie in memory of exactly their
// size, so that the address sanitizer sees a word read past the end.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/bitmap.h"

static const size_t lengths[] = {1, 2, 31, 32, 33, 63, 64, 65, 95, 96, 97, 127, 128, 200, 1024};
#define LENGTHS (sizeof lengths / sizeof lengths[0])

static void make(struct bitmap *map, size_t bits) {
    uint32_t *words = malloc(BITMAP_WORDS(bits) * sizeof *words);
    assert_non_null(words);
    bitmap_init(map, words, bits);
}

// The lowest run of `count` zeros, the slow way.
static size_t scan_slowly(const unsigned char *bits, size_t length, size_t count) {
    for (size_t first = 0; count <= length && first <= length - count; first++) {
        size_t run = 0;
        while (run < count && !bits[first + run]) run++;
        if (run == count) return first;
    }
    return BITMAP_NONE;
}

static void starts_clear(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTHS; i++) {
        struct bitmap map;
        make(&map, lengths[i]);
        assert_int_equal(bitmap_count(&map), 0);
        assert_int_equal(bitmap_scan(&map, lengths[i]), 0);
        assert_int_equal(bitmap_scan(&map, lengths[i] + 1), BITMAP_NONE);
        free(map.words);
    }
}

// Full but for the last bit, and full: the bits after the last one in its word are no room.
static void bits_past_the_end_are_no_room(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTHS; i++) {
        struct bitmap map;
        make(&map, lengths[i]);
        bitmap_set_range(&map, 0, lengths[i] - 1, true);
        assert_int_equal(bitmap_scan(&map, 1), lengths[i] - 1);
        assert_int_equal(bitmap_scan(&map, 2), BITMAP_NONE);
        bitmap_set(&map, lengths[i] - 1, true);
        assert_int_equal(bitmap_scan(&map, 1), BITMAP_NONE);
        assert_int_equal(bitmap_count(&map), lengths[i]);
        free(map.words);
    }
}

static void zero_bits_cannot_be_scanned_for(void **state) {
    (void)state;
    struct bitmap map;
    make(&map, 40);
    assert_int_equal(bitmap_scan(&map, 0), BITMAP_NONE);
    assert_int_equal(bitmap_scan(&map, SIZE_MAX), BITMAP_NONE);
    free(map.words);
}

static void setting_leaves_neighbours_alone(void **state) {
    (void)state;
    struct bitmap map;
    make(&map, 97);
    for (size_t bit = 0; bit < 97; bit++) {
        bitmap_set(&map, bit, true);
        assert_true(bitmap_test(&map, bit));
        assert_int_equal(bitmap_count(&map), 1);
        bitmap_set(&map, bit, false);
        assert_int_equal(bitmap_count(&map), 0);
    }
    free(map.words);
}

static void random_steps(void **state) {
    (void)state;
    srand(2);
    for (size_t i = 0; i < LENGTHS; i++) {
        struct bitmap map;
        size_t length = lengths[i];
        unsigned char oracle[1024] = {0};
        make(&map, length);
        for (int step = 0; step < 3000; step++) {
            size_t first = (size_t)rand() % length, count = (size_t)rand() % (length - first + 1);
            bool value = rand() % 3 != 0;
            if (count > 70) count = 70;
            bitmap_set_range(&map, first, count, value);
            size_t set = 0;
            for (size_t bit = first; bit < first + count; bit++) oracle[bit] = value;
            for (size_t bit = 0; bit < length; bit++) {
                assert_int_equal(bitmap_test(&map, bit), oracle[bit]);
                set += oracle[bit];
            }
            assert_int_equal(bitmap_count(&map), set);
            size_t want = 1 + (size_t)rand() % 40;
            assert_int_equal(bitmap_scan(&map, want), scan_slowly(oracle, length, want));
        }
        free(map.words);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_clear),
        cmocka_unit_test(bits_past_the_end_are_no_room),
        cmocka_unit_test(zero_bits_cannot_be_scanned_for),
        cmocka_unit_test(setting_leaves_neighbours_alone),
        cmocka_unit_test(random_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
