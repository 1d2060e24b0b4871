// divide.c - a division that gcc asks of its library where quotient and rest are both wanted. The
// others are in lib/divide.c; the kernel has no use for this one.
#include <stdint.h>

uint64_t __udivmoddi4(uint64_t a, uint64_t b, uint64_t *rest); // lib/divide.c
int64_t __divmoddi4(int64_t a, int64_t b, int64_t *rest);

static uint64_t absolute(int64_t x) { return x < 0 ? -(uint64_t)x : (uint64_t)x; }

int64_t __divmoddi4(int64_t a, int64_t b, int64_t *rest) {
    uint64_t left, quotient = __udivmoddi4(absolute(a), absolute(b), &left);
    *rest = (int64_t)(a < 0 ? -left : left);
    return (int64_t)((a < 0) != (b < 0) ? -quotient : quotient);
}
