// hello.c - the smallest program: says where it is, and what it was given.
#include "user/lib/user.h"

int main(int argc, char **argv) {
    char *p = malloc(24);
    printf("hello from ring 3, pid %d: main is at %p, a block of 24 bytes at %p\n", pid(),
           (void *)(uintptr_t)main, (void *)p);
    for (int i = 1; i < argc; i++) printf("argument %d: %s\n", i, argv[i]);
    free(p);
    return 0;
}
