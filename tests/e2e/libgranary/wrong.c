// wrong.c - one wrong call, named on the command line; then the heap must still work. Prints the
// pointer that the report has to name.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *volatile hidden; // so that the compiler sees none of what is wrong here

static void *show(void *p) {
    printf("%p\n", p);
    hidden = p;
    return hidden;
}

// free() leaves errno, also where it refuses.
static void at(void *p, ptrdiff_t distance) {
    void *wrong = show((void *)((uintptr_t)p + distance));
    errno = 5;
    free(wrong);
    if (errno != 5) exit(5);
}

static void on_purpose(const char *what) {
    char local[64];
    char *small = malloc(32), *large = malloc(100000), *neighbour = malloc(32);
    hidden = neighbour;
    if (strcmp(what, "double") == 0) free(small), at(small, 0);
    else if (strcmp(what, "double-large") == 0) free(large), at(large, 0);
    else if (strcmp(what, "interior") == 0) at(small, 8);
    else if (strcmp(what, "interior-large") == 0) at(large, 4096);
    else if (strcmp(what, "interior-first") == 0) at(large, 16); // of the first frame
    else if (strcmp(what, "stack") == 0) at(local, 0);
    else if (strcmp(what, "constant") == 0) at((void *)16, 0);
    else if (strcmp(what, "far") == 0) at(small, (ptrdiff_t)1 << 44); // 2^32 frames further
    else if (strcmp(what, "never") == 0) at(large, (ptrdiff_t)1 << 20);
    else if (strcmp(what, "realloc") == 0) free(small), free(realloc(show(small), 10));
    else if (strcmp(what, "realloc-zero") == 0) free(small), free(realloc(show(small), 0));
    else if (strcmp(what, "usable") == 0)
        free(small), free((void *)malloc_usable_size(show(small)));
    else exit(3);
}

int main(int argc, char **argv) {
    if (argc != 2) return 3;
    setvbuf(stdout, NULL, _IONBF, 0); // a buffer would be taken where something was just freed
    on_purpose(argv[1]);
    for (int i = 0; i < 1000; i++) {
        char *p = malloc((size_t)i * 7);
        if (!p) return 4;
        memset(p, 1, (size_t)i * 7);
        free(p);
    }
    return 0;
}
