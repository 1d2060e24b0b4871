// test_lib.c - lib/ as the kernel's own compiler made it. The host's tests are the thorough ones;
// these look at what differs on the target: string instructions, 32-bit words, no C library below
// it.
#include "lib/bitmap.h"
#include "lib/list.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"

#define BYTES 300 // several times any unrolled loop's step, and not a power of two
#define MARGIN 16 // on both sides: nothing outside the range may change

static uint8_t from[BYTES + 2 * MARGIN], to[BYTES + 2 * MARGIN], model[BYTES + 2 * MARGIN];

static void fill(void) {
    for (size_t i = 0; i < sizeof from; i++) {
        from[i] = (uint8_t)(i * 7 + 3);
        to[i] = model[i] = (uint8_t)(i * 5 + 1);
    }
}

static bool same(void) {
    for (size_t i = 0; i < sizeof to; i++) {
        if (to[i] != model[i]) return false;
    }
    return true;
}

// The same copy, a byte at a time.
static void model_copy(size_t at, const uint8_t *source, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) model[at + i] = source[i];
}

KTEST(lib_memcpy) {
    for (size_t offset = 0; offset < 5; offset++) {
        for (size_t bytes = 0; bytes < 70; bytes++) {
            fill();
            KCHECK(memcpy(to + MARGIN + offset, from + 1, bytes) == to + MARGIN + offset);
            model_copy(MARGIN + offset, from + 1, bytes);
            KCHECK(same());
        }
    }
    fill();
    memcpy(to + MARGIN, from + MARGIN, BYTES);
    model_copy(MARGIN, from + MARGIN, BYTES);
    KCHECK(same());
}

KTEST(lib_memmove) {
    for (size_t bytes = 0; bytes < 70; bytes++) {
        for (int distance = -9; distance <= 9; distance++) {
            uint8_t before[80] = {0};
            fill();
            for (size_t i = 0; i < bytes; i++) before[i] = to[100 + i];
            memmove(to + 100 + distance, to + 100, bytes);
            model_copy((size_t)(100 + distance), before, bytes);
            KCHECK(same());
        }
    }
    KCHECK(!(eflags_read() & 0x400)); // a backward copy must not leave the direction flag set
}

KTEST(lib_memset) {
    volatile int value = 0x1a5; // only the low byte counts
    for (size_t offset = 0; offset < 5; offset++) {
        for (size_t bytes = 0; bytes < 70; bytes++) {
            fill();
            KCHECK(memset(to + MARGIN + offset, value, bytes) == to + MARGIN + offset);
            for (size_t i = 0; i < bytes; i++) model[MARGIN + offset + i] = 0xa5;
            KCHECK(same());
        }
    }
}

KTEST(lib_memcmp_strings) {
    fill();
    KCHECK_EQ(memcmp(to, model, sizeof to), 0);
    to[BYTES] = 0xff;
    model[BYTES] = 0x01;
    KCHECK(memcmp(to, model, sizeof to) > 0); // bytes compare without a sign
    KCHECK(memcmp(model, to, sizeof to) < 0);
    KCHECK_EQ(memcmp(to, model, BYTES), 0);
    KCHECK_EQ(strlen(""), 0);
    KCHECK_EQ(strnlen("granary", 3), 3);
    static const char arena[] = "arena", arenas[] = "arenas";
    KCHECK(strcmp(arena, arenas) < 0 && strcmp(arenas, arena) > 0);
    KCHECK_EQ(strncmp(arena, arenas, 5), 0);
    KCHECK(strchr(arena, 'z') == NULL);
}

KTEST(lib_bitmap) {
    uint32_t words[3] = {~0u, ~0u, ~0u};
    struct bitmap map;
    bitmap_init(&map, words, 70);
    KCHECK_EQ(bitmap_count(&map), 0);
    bitmap_set_range(&map, 30, 10, true);
    KCHECK_EQ(bitmap_count(&map), 10);
    KCHECK(!bitmap_test(&map, 29) && bitmap_test(&map, 30) && bitmap_test(&map, 39) &&
           !bitmap_test(&map, 40));
    KCHECK_EQ(bitmap_scan(&map, 30), 0);
    KCHECK_EQ(bitmap_scan(&map, 31), BITMAP_NONE); // 30 on each side
    bitmap_set(&map, 39, false);
    KCHECK_EQ(bitmap_scan(&map, 31), 39);
    KCHECK_EQ(bitmap_scan(&map, 32), BITMAP_NONE); // bits after the last are no room
}

KTEST(lib_list) {
    struct list list;
    struct list_elem a, b, c;
    list_init(&list);
    KCHECK(list_empty(&list) && list_pop(&list) == NULL && list_first(&list) == NULL);
    list_append(&list, &b);
    list_push(&list, &a);
    list_insert_before(&b, &c);
    KCHECK_EQ(list_length(&list), 3);
    KCHECK(list_first(&list) == &a && list_next(&list, &a) == &c && list_next(&list, &c) == &b);
    KCHECK(list_next(&list, &b) == NULL);
    list_remove(&c);
    KCHECK(list_pop(&list) == &a && list_pop(&list) == &b && list_empty(&list));
}

// lib/divide.c: quotient and remainder multiply back to what was divided.
KTEST(lib_divide) {
    static const uint64_t values[] = {
        1, 3, 10, 0x80000001, 0xffffffff, 0x100000000, 0x123456789abcdef0, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        for (size_t j = 0; j < sizeof values / sizeof values[0]; j++) {
            volatile uint64_t a = values[i], b = values[j];
            uint64_t quotient = a / b, rest = a % b;
            KCHECK(rest < b && quotient * b + rest == a);
        }
    }
    volatile int64_t minus = -7000000000, plus = 3000000000;
    KCHECK_EQ((uint32_t)(minus / plus), (uint32_t)-2);
    KCHECK_EQ((uint32_t)(minus % plus), (uint32_t)-1000000000);
}

KTEST(lib_print) {
    char text[32];
    KCHECK_EQ(
        ksnprintf(text, sizeof text, "%u %#x %s %-3d| %p", 4096u, 0x88000000u, "a", -1, (void *)16),
        33);
    KCHECK_EQ(strcmp(text, "4096 0x88000000 a -1 | 0x000000"), 0); // cut, and ended
    ksnprintf(text, sizeof text, "%llu", 18446744073709551615ull);
    KCHECK_EQ(strcmp(text, "18446744073709551615"), 0);
    ktest_printed_clear();
    put_str("lib_print: this line is the test's own\n");
    KCHECK_EQ(strcmp(ktest_printed(), "lib_print: this line is the test's own\n"), 0);
}
