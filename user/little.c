// little.c - the heap's calls once each, and nothing more: for the test that ends it at every
// instruction. With an argument all calls go by `int 0x80`.
#include "user/lib/user.h"

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1) user_sysenter = 0;
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
