// heapdemo.c - the demonstration of the seed, by a program: blocks of each size, a large area, and
// what becomes of them.
#include "user/lib/user.h"

// A null is "no memory", and the end of the demonstration.
static void show(const char *what, const void *p, size_t asked) {
    if (!p) {
        printf("%s of %u: null, no memory\n", what, (unsigned)asked);
        exit(1);
    }
    printf("%-22s %p, asked for %u, holds %u\n", what, p, (unsigned)asked,
           (unsigned)usable_size((void *)(uintptr_t)p));
}

// A block of each of the seven sizes, and one that is more than the largest.
static void sizes(void) {
    static const size_t asked[] = {1, 17, 33, 100, 200, 300, 1000, 1025};
    void *block[8];
    for (int i = 0; i < 8; i++) {
        block[i] = malloc(asked[i]);
        show("malloc", block[i], asked[i]);
        memset(block[i], 0xa5, asked[i]);
    }
    for (int i = 0; i < 8; i++) free(block[i]);
}

// The lowest free block is the next: the freed one comes back.
static int same_place(void) {
    void *first = malloc(40), *second = malloc(40);
    free(first);
    void *third = malloc(40);
    printf("freed %p, the next malloc(40) gave %p\n", first, third);
    free(second);
    free(third);
    return first == third;
}

static int grown(void) {
    char *p = malloc(10);
    memcpy(p, "granary", 8);
    p = realloc(p, 5000);
    show("realloc to 5000", p, 5000);
    p = realloc(p, 40000);
    show("realloc to 40000", p, 40000);
    int same = strcmp(p, "granary") == 0;
    free(p);
    return same;
}

// Until there is no more, which is a null return; then everything goes back and comes again.
static int all_of_it(void) {
    uint32_t count[2];
    for (int round = 0; round < 2; round++) {
        void **chain = NULL;
        count[round] = 0;
        for (void **p; (p = malloc(4096)) != NULL; count[round]++) {
            p[0] = chain;
            chain = p;
        }
        while (chain) {
            void **next = chain[0];
            free(chain);
            chain = next;
        }
    }
    printf("%u pages until null, and %u the second time\n", count[0], count[1]);
    return count[0] > 0 && count[0] == count[1];
}

int main(void) {
    sizes();
    void *aligned = aligned_alloc(65536, 100);
    show("aligned to 65536", aligned, 100);
    free(aligned);
    int good = same_place() && grown() && all_of_it();
    printf("heapdemo: %s\n", good ? "as it should be" : "WRONG");
    return !good;
}
