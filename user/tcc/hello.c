// hello.c - what a compiler is tried with first.
#include <stdio.h>

int main(void) {
    printf("hello, compiled in Granary: %.6f\n", 355.0 / 113.0);
    return 0;
}
