// contract.c - what C, POSIX and glibc's manual promise of the allocation functions, asked one by
// one. Prints the first thing that does not hold, or "contract holds". Passes on glibc too: the
// test runs it on both, so that nothing is asked here that only Granary does.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)                                               \
    do {                                                                 \
        if (!(condition)) {                                              \
            printf("line %d: %s does not hold\n", __LINE__, #condition); \
            exit(1);                                                     \
        }                                                                \
    } while (0)

// Sizes that no compiler knows, or it would warn of what is tested here.
static volatile size_t huge = SIZE_MAX - 100, half = SIZE_MAX / 2 + 2;

static void zero_size(void) {
    void *a = malloc(0), *b = malloc(0), *c = calloc(0, 5), *d = calloc(5, 0);
    REQUIRE(a && b && c && d && a != b && c != d && a != c);
    free(a);
    free(b);
    free(c);
    free(d);
    free(NULL);
    void *e = realloc(NULL, 0);
    REQUIRE(e);
    errno = 0;
    REQUIRE(realloc(e, 0) == NULL && errno == 0); // frees
    REQUIRE(malloc_usable_size(NULL) == 0);
}

static void no_memory(void) {
    char *p = malloc(100);
    REQUIRE(p);
    memset(p, 7, 100);
    errno = 0;
    REQUIRE(malloc(huge) == NULL && errno == ENOMEM);
    errno = 0;
    REQUIRE(calloc(half, 2) == NULL && errno == ENOMEM);
    errno = 0;
    REQUIRE(realloc(p, huge) == NULL && errno == ENOMEM && p[0] == 7 && p[99] == 7);
    errno = 0;
    REQUIRE(reallocarray(p, half, 2) == NULL && errno == ENOMEM && p[99] == 7);
    errno = 0;
    REQUIRE(aligned_alloc(64, huge) == NULL && errno == ENOMEM);
    errno = 0;
    REQUIRE(pvalloc(huge + 99) == NULL && errno == ENOMEM);
    void *q = p;
    errno = 5;
    REQUIRE(posix_memalign(&q, 64, huge) == ENOMEM && q == p);
    REQUIRE(errno == 5 || !getenv("LD_PRELOAD")); // glibc's sets it
    errno = 5;
    REQUIRE(posix_memalign(&q, 24, 100) == EINVAL && q == p && errno == 5);
    free(p);
    REQUIRE(errno == 5); // free() leaves it
}

static void alignment(void) {
    for (size_t align = 1; align <= (size_t)4 << 20; align *= 2) {
        for (size_t size = 1; size < 200000; size = size * 3 + 1) {
            char *a = memalign(align, size), *b = aligned_alloc(align, size);
            REQUIRE(a && b && (uintptr_t)a % align == 0 && (uintptr_t)b % align == 0);
            REQUIRE(malloc_usable_size(a) >= size);
            memset(a, 1, size);
            memset(b, 2, size);
            REQUIRE(a[size - 1] == 1 && a[0] == 1);
            free(a);
            a = realloc(b, size + 1);
            REQUIRE(a && a[size - 1] == 2);
            free(a);
        }
    }
    void *p = NULL;
    REQUIRE(posix_memalign(&p, 4096, 100) == 0 && (uintptr_t)p % 4096 == 0);
    free(p);
    p = NULL;
    REQUIRE(posix_memalign(&p, 24, 100) == EINVAL && p == NULL);
    REQUIRE(posix_memalign(&p, 2, 100) == EINVAL && p == NULL);
    REQUIRE(posix_memalign(&p, 0, 100) == EINVAL && p == NULL);
    p = memalign(48, 100); // rounded up to 64
    REQUIRE(p && (uintptr_t)p % 64 == 0);
    free(p);
    void *q = valloc(100), *r = pvalloc(4097);
    REQUIRE(q && r && (uintptr_t)q % 4096 == 0 && (uintptr_t)r % 4096 == 0);
    REQUIRE(malloc_usable_size(r) >= 8192);
    free(q);
    free(r);
}

// Every size's block is aligned, as long as asked for, and keeps its bytes as it grows and shrinks.
static void sizes(void) {
    for (size_t size = 1; size < 70000; size += size / 37 + 1) {
        unsigned char *p = malloc(size);
        REQUIRE(p && (uintptr_t)p % 16 == 0 && malloc_usable_size(p) >= size);
        memset(p, (int)(size & 0xff), size);
        p = realloc(p, size * 2 + 1);
        REQUIRE(p && p[0] == (size & 0xff) && p[size - 1] == (size & 0xff));
        p = realloc(p, size / 2 + 1);
        REQUIRE(p && p[0] == (size & 0xff) && p[size / 2] == (size & 0xff));
        free(p);
    }
}

// calloc() after others have written everywhere: areas that shrink, grow, join.
static void zeroed(void) {
    enum { SLOTS = 40 };
    unsigned char *slot[SLOTS] = {0};
    uint32_t x = 1;
    for (int round = 0; round < 4000; round++) {
        x = x * 1664525 + 1013904223;
        unsigned at = (x >> 8) % SLOTS;
        size_t size = (x >> 16) % 60000 + 1;
        if (x >> 31 && slot[at]) {
            slot[at] = realloc(slot[at], size);
            REQUIRE(slot[at]);
        } else {
            free(slot[at]);
            slot[at] = calloc(1, size);
            REQUIRE(slot[at]);
            for (size_t i = 0; i < size; i++) REQUIRE(slot[at][i] == 0);
        }
        memset(slot[at], 0xff, size);
        if (round % 1000 == 999) malloc_trim(0);
    }
    for (int i = 0; i < SLOTS; i++) free(slot[i]);
}

int main(void) {
    zero_size();
    no_memory();
    alignment();
    sizes();
    zeroed();
    puts("contract holds");
    return 0;
}
