// test_heaps.c - a second heap in the kernel, over memory of the first.
#include "kernel/inspect/heapwalk.h"
#include "kernel/inspect/who.h"
#include "kernel/port.h"
#include "lib/string.h"
#include "tests/kernel/ktest.h"
#include "tests/kernel/ktest_heap.h"

// Who calls does not matter here.
#define heap_malloc(...) heap_malloc(__VA_ARGS__, 0)
#define heap_free(...) heap_free(__VA_ARGS__, 0)
#define heap_realloc(...) heap_realloc(__VA_ARGS__, 0)
#define heap_usable_size(...) heap_usable_size(__VA_ARGS__, 0)

#define FRAMES KTEST_SECOND_FRAMES

KTEST(heaps_second) {
    struct port_pool from;
    struct heap *second = ktest_second_heap(&from);
    KNEED(second);
    heap_add(second);
    uint8_t *mine = heap_malloc(second, 100), *large = heap_malloc(second, 3 * PG_SIZE);
    void *other = sys_malloc(100);
    KCHECK((uintptr_t)mine - from.base < FRAMES * PG_SIZE);
    KCHECK((uintptr_t)other - from.base >= FRAMES * PG_SIZE);
    memset(large, 0xee, 3 * PG_SIZE);
    KCHECK_EQ(heap_usable_size(second, mine), 128);
    KREPORT(HEAP_OUTSIDE, other, heap_free(second, other));
    KCHECK(ktest_contains(ktest_printed(), ", not of second;"));
    KREPORT(HEAP_INTERIOR_POINTER, mine + 1, heap_free(second, mine + 1));
    mine = heap_realloc(second, mine, 3000);
    KCHECK(mine != NULL);
    heap_free(second, mine);
    KREPORT(HEAP_NOT_ALLOCATED, mine, heap_free(second, mine));
    heap_free(second, large);
    heap_trim(second);
    KCHECK_EQ(second->pool.free, FRAMES);
    heap_remove(second);
    sys_free(other);
    ktest_second_end(second, &from);
}

// What lies outside every window but one is named with its heap.
KTEST(heaps_by_name) {
    char text[HEAP_WHO_MAX];
    struct port_pool from;
    struct heap *second = ktest_second_heap(&from);
    KNEED(second);
    heap_add(second);
    void *mine = heap_malloc(second, 100);
    heap_who(text, sizeof text, (uintptr_t)mine);
    KCHECK(strncmp(text, "block 0 of the 128-byte arena 0x", 32) == 0);
    const char *end = ", second frame 0, live";
    KCHECK(strcmp(text + strlen(text) - strlen(end), end) == 0);
    KCHECK_EQ(heap_of((uintptr_t)mine), second);
    heap_remove(second);
    KCHECK_EQ(heap_of((uintptr_t)mine), &k_heap);
    ktest_second_end(second, &from);
}
