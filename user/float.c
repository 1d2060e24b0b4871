// float.c - keeps a number in the registers of floating point while other programs do the same.
//
//     run float NUMBER
//
// x87 only, so that it runs on a Pentium; the area of fxsave has the SSE registers beside these.
#include "user/lib/user.h"

// Three registers hold the number while a tick may come, and their sum is three times it.
static int kept(uint32_t number) {
    double n = number, sum = 0;
    for (uint32_t round = 0; round < 200000; round++) {
        __asm__ volatile("fldl %1\n\t"
                         "fldl %1\n\t"
                         "fldl %1\n\t"
                         "nop\n\tnop\n\tnop\n\t"
                         "faddp\n\t"
                         "faddp\n\t"
                         "fstpl %0"
                         : "=m"(sum)
                         : "m"(n)
                         : "memory");
        if (sum != 3 * n) return 0;
        if (round % 50000 == 0) yield();
    }
    return 1;
}

int main(int argc, char **argv) {
    uint32_t number = argc > 1 ? number_of(argv[1]) : 1;
    int good = kept(number);
    printf("float %u: %s\n", (unsigned)number, good ? "kept" : "LOST");
    return !good;
}
