// test_size_tables.c - the table of block sizes in use, whichever one was booted: classes=NAME.
#include "kernel/size_tables.h"
#include "tests/kernel/ktest.h"

// Descriptor that serves a size, or its number of descriptors if it is served by whole frames.
static uint32_t desc_for(uint32_t size) {
    uint32_t i = 0;
    while (i < k_heap.desc_count && k_heap.block_descs[i].block_size < size) i++;
    return i;
}

// Both ends of each size's range, and one more: the next descriptor, or whole frames.
KTEST(classes_each_size_finds_its_descriptor) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        uint32_t size = k_heap.block_descs[i].block_size,
                 before = i ? k_heap.block_descs[i - 1].block_size : 0;
        uint32_t asked[] = {before + 1, size, size + 1};
        for (uint32_t k = 0; k < sizeof asked / sizeof asked[0]; k++) {
            uint32_t desc = desc_for(asked[k]);
            uint32_t frames = (asked[k] + PG_SIZE - 1) / PG_SIZE;
            void *p = sys_malloc(asked[k]);
            KNEED(p != NULL);
            KCHECK_EQ(sys_usable_size(p), desc < k_heap.desc_count
                                              ? k_heap.block_descs[desc].block_size
                                              : frames * PG_SIZE);
            sys_free(p);
        }
    }
}

// What the heap has is what the name means.
KTEST(classes_table_has_a_name) {
    uint32_t sizes[DESC_MAX], count = 0;
    char name[SIZE_TABLE_NAME_BYTES];
    for (uint32_t i = 0; i < k_heap.desc_count; i++) sizes[i] = k_heap.block_descs[i].block_size;
    KCHECK(size_table_parse(size_table_name(sizes, k_heap.desc_count, name), sizes, &count) ==
           NULL);
    KCHECK_EQ(count, k_heap.desc_count);
    for (uint32_t i = 0; i < count; i++) KCHECK_EQ(sizes[i], k_heap.block_descs[i].block_size);
    KCHECK_EQ(k_heap.block_max, sizes[count - 1]);
}

// A table that the heap refuses changes nothing: it may have blocks out.
KTEST(classes_wrong_tables_change_nothing) {
    static const uint32_t wrong[][2] = {
        {0, 16}, {16, 16}, {32, 16}, {16, 24}, {16, BLOCK_SIZE_MAX + 16}};
    uint32_t count = k_heap.desc_count, largest = k_heap.block_max;
    for (uint32_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        KCHECK_EQ(block_desc_set(&k_heap, wrong[i], 2), -1);
    }
    uint32_t many[DESC_MAX + 1];
    for (uint32_t i = 0; i <= DESC_MAX; i++) many[i] = 16 * (i + 1);
    KCHECK_EQ(block_desc_set(&k_heap, many, DESC_MAX + 1), -1);
    KCHECK_EQ(block_desc_set(&k_heap, many, 0), -1);
    KCHECK_EQ(k_heap.desc_count, count);
    KCHECK_EQ(k_heap.block_max, largest);
}
