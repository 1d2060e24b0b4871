// faults.c - right pointers used wrongly, one fault a run, for the checked library; `fixed` after
// the name is the twin without the fault. Prints the address at fault.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile int fixed;

static void overflow(void) {
    char *p = malloc(24);
    printf("%p\n", (void *)(p + 24));
    *(volatile char *)(p + 24 - fixed) = 1;
    free(p);
}

static void overflow_by_six(void) {
    char *p = malloc(24), *q = malloc(24);
    printf("%p\n", (void *)(p + 24));
    memset(p, 1, fixed ? 24 : 30);
    free(q);
    free(p);
}

// Found when the block leaves the quarantine, which is 256 frees later.
static void write_after_free(void) {
    char *p = malloc(24);
    printf("%p\n", (void *)(p + 5));
    if (!fixed) free(p);
    *(volatile char *)(p + 5) = 1;
    if (fixed) free(p);
    for (int i = 0; i < 300; i++) free(malloc(1));
}

static void read_after_free(void) {
    char *p = malloc(100000);
    printf("%p\n", (void *)(p + 50000));
    p[50000] = 7;
    if (!fixed) free(p);
    if (*(volatile char *)(p + 50000) != 7) abort(); // reported, and then it may be read
    if (fixed) free(p);
}

static void old_pointer_after_realloc(void) {
    char *volatile p = malloc(100000), *volatile to = realloc(p, 200000);
    printf("%p\n", (void *)(p + 3));
    *(volatile char *)((fixed ? to : p) + 3) = 1;
    free(to);
}

static void underflow(void) {
    char *p = malloc(24);
    printf("%p\n", (void *)(p - 1));
    *(volatile char *)(p - 1 + fixed) = 1;
    free(p);
}

// Not one byte of a block of none is its owner's.
static void write_to_nothing(void) {
    volatile size_t none = 0; // compilers warn of a plain 0
    char *volatile p = malloc(none);
    printf("%p\n", (void *)p);
    if (!fixed) *(volatile char *)p = 1;
    free(p);
}

int main(int count, char **word) {
    static const struct {
        const char *name;
        void (*run)(void);
    } faults[] = {
        {"overflow", overflow},
        {"overflow-six", overflow_by_six},
        {"underflow", underflow},
        {"write-to-nothing", write_to_nothing},
        {"write-after-free", write_after_free},
        {"read-after-free", read_after_free},
        {"after-realloc", old_pointer_after_realloc},
    };
    fixed = count > 2;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        if (count > 1 && strcmp(word[1], faults[i].name) == 0) {
            faults[i].run();
            return 0;
        }
    }
    return 1;
}
