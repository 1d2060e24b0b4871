// An array that grows and shrinks by a page each time, as a program's that reads a file of unknown
// length.
#include <stdlib.h>

#define PAGE ((size_t)4096)
#define LARGEST ((size_t)48 << 20)

int main(void) {
    unsigned char *p = NULL;
    size_t size = 0;
    while (size < LARGEST) {
        p = realloc(p, size += PAGE);
        if (!p) return 1;
        p[size - 1] = (unsigned char)(size / PAGE);
    }
    for (; size > PAGE; size -= PAGE) {
        if (p[size - 1] != (unsigned char)(size / PAGE)) return 2;
        p = realloc(p, size - PAGE);
        if (!p) return 3;
    }
    free(p);
    return 0;
}
