// A freed area in a process that has as many mappings as the system allows: nothing can be unmapped
// that lies inside another. Prints where the area is then written to.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define AREA (1 << 20)
#define MAPPINGS_MAX 1000000
#define PAGE 4096

int main(void) {
    static char *page[MAPPINGS_MAX];
    int count = 0;
    char *volatile a = malloc(AREA), *volatile b = malloc(AREA), *volatile c = malloc(AREA);
    while (count < MAPPINGS_MAX) { // neighbours are unlike, so that none are joined
        int access = count % 2 ? PROT_READ : PROT_NONE;
        char *at = mmap(NULL, PAGE, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) break;
        page[count++] = at;
    }
    errno = 1789;
    free(b);
    if (errno != 1789) return 1;
    while (count > 0) munmap(page[--count], PAGE);
    printf("%p\n", (void *)(b + 5000));
    b[5000] = 1; // not at once: it could not be unmapped. When it leaves the quarantine
    for (int i = 0; i < 300; i++) free(malloc(1));
    free(a);
    free(c);
    return 0;
}
