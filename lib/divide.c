// divide.c - see divide.h.
//
// These are functions of libgcc, written here because the 32-bit libgcc is a package of its own for
// each compiler (the kernel builds without one, with gcc -m32 and clang too), and because a
// distribution builds it for its own processors: Debian's uses instructions that a Pentium lacks.
//
// A divisor of 32 bits, as nearly all are, takes two divisions by the processor: two digits, as on
// paper. A longer one goes bit by bit, in at most 32 steps, for its quotient has at most 32 bits.
#include "lib/divide.h"

// (high : low) / by, where high < by, so that the quotient fits.
static uint32_t divide_step(uint32_t high, uint32_t low, uint32_t by, uint32_t *rest) {
#ifdef __i386__
    uint32_t quotient;
    __asm__("divl %4" : "=a"(quotient), "=d"(*rest) : "0"(low), "1"(high), "rm"(by) : "cc");
    return quotient;
#else
    uint64_t all = (uint64_t)high << 32 | low;
    *rest = (uint32_t)(all % by);
    return (uint32_t)(all / by);
#endif
}

// For b of more than 32 bits: long division in base 2.
static uint64_t divide_bitwise(uint64_t a, uint64_t b, uint64_t *rest) {
    uint64_t quotient = 0;
    if (a >= b) { // so the upper halves of both are not 0
        int shift = __builtin_clz((uint32_t)(b >> 32)) - __builtin_clz((uint32_t)(a >> 32));
        for (b <<= shift; shift >= 0; shift--, b >>= 1) {
            quotient <<= 1;
            if (a < b) continue;
            a -= b;
            quotient |= 1;
        }
    }
    *rest = a;
    return quotient;
}

uint64_t __udivmoddi4(uint64_t a, uint64_t b, uint64_t *rest) {
    uint64_t unwanted;
    if (!rest) rest = &unwanted;
    if (b >> 32) return divide_bitwise(a, b, rest);
    uint32_t by = (uint32_t)b, high = (uint32_t)(a >> 32), low_rest;
    uint32_t low = divide_step(high % by, (uint32_t)a, by, &low_rest);
    *rest = low_rest;
    return (uint64_t)(high / by) << 32 | low;
}

uint64_t __udivdi3(uint64_t a, uint64_t b) { return __udivmoddi4(a, b, 0); }

uint64_t __umoddi3(uint64_t a, uint64_t b) {
    uint64_t rest;
    __udivmoddi4(a, b, &rest);
    return rest;
}

static uint64_t magnitude(int64_t a) { return a < 0 ? 0 - (uint64_t)a : (uint64_t)a; }

int64_t __divdi3(int64_t a, int64_t b) {
    uint64_t quotient = __udivdi3(magnitude(a), magnitude(b));
    return (int64_t)((a < 0) != (b < 0) ? 0 - quotient : quotient);
}

int64_t __moddi3(int64_t a, int64_t b) {
    uint64_t rest = __umoddi3(magnitude(a), magnitude(b));
    return (int64_t)(a < 0 ? 0 - rest : rest);
}
