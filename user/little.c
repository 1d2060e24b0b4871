// little.c - the heap's calls once each, and nothing more: for the test that ends it at every
// instruction.
#include "user/lib/user.h"

int main(void) {
    char *small = malloc(24), *large = malloc(9000);
    if (!small || !large) return 1;
    large[8999] = 1;
    large = realloc(large, 70000);
    free(small);
    small = calloc(3, 100);
    free(large);
    free(aligned_alloc(8192, 5000));
    free(small);
    return 0;
}
