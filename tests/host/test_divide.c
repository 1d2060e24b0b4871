// test_divide.c - lib/divide.c against the host's own 64-bit division.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/divide.h"

// Where carries, shifts and signs turn.
static const uint64_t edges[] = {
    0,
    1,
    2,
    3,
    7,
    10,
    0xffff,
    0x7fffffff,
    0x80000000,
    0x80000001,
    0xfffffffe,
    0xffffffff,
    0x100000000,
    0x100000001,
    0x1ffffffff,
    0x200000000,
    1ull << 62,
    1ull << 63,
    INT64_MAX,
    UINT64_MAX - 1,
    UINT64_MAX,
    0xffffffff00000000,
    0xfffffffeffffffff,
};
#define EDGES (sizeof edges / sizeof edges[0])

static void check_pair(uint64_t a, uint64_t b) {
    uint64_t rest = 0;
    if (b == 0) return;
    assert_true(__udivmoddi4(a, b, &rest) == a / b && rest == a % b);
    assert_true(__udivmoddi4(a, b, NULL) == a / b);
    assert_true(__udivdi3(a, b) == a / b);
    assert_true(__umoddi3(a, b) == a % b);
    int64_t sa = (int64_t)a, sb = (int64_t)b;
    if (sa == INT64_MIN && sb == -1) return; // does not fit
    assert_true(__divdi3(sa, sb) == sa / sb);
    assert_true(__moddi3(sa, sb) == sa % sb);
}

static void edges_by_edges(void **state) {
    (void)state;
    for (size_t i = 0; i < EDGES; i++) {
        for (size_t j = 0; j < EDGES; j++) check_pair(edges[i], edges[j]);
    }
}

static uint64_t any(void) {
    uint64_t bits = (uint64_t)mrand48() << 32 ^ (uint64_t)mrand48();
    return bits >> (lrand48() % 64);
}

static void random_pairs_of_every_length(void **state) {
    (void)state;
    srand48(1);
    for (int i = 0; i < 1000000; i++) check_pair(any(), any());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges_by_edges),
        cmocka_unit_test(random_pairs_of_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
