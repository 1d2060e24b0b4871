// leaks.c - heap_leaks() of who.h: what is still held, counted by who holds it.
//
// The kernel runs on after a leak, so every block that lives may be one: the counts before and
// after something that should have given all back tell. One pass over the records, into a table of
// fixed size; nothing is allocated to look at allocations.
//
// Shortcoming: places beyond the table's are counted together.
#include <stdbool.h>

#include "kernel/inspect/heapwalk.h"
#include "kernel/inspect/history.h"
#include "kernel/memory.h"
#include "kernel/port.h"
#include "kernel/inspect/who.h"
#include "lib/print.h"

#define KEYS_MAX 64u // call sites or block sizes

// What lives, by a key: the call site, or the block size where no site is known. The last row is
// for all that found no row of its own.
struct held {
    uintptr_t key;
    uint32_t blocks;
    size_t bytes;
};
static struct held table[KEYS_MAX + 1]; // one caller at a time: heap_leaks() is for the prompt
static uint32_t rows;
static const struct heap *counted; // a name, not followed: it may be gone

static struct held *row_of(uintptr_t key) {
    for (uint32_t i = 0; i < rows; i++) {
        if (table[i].key == key) return &table[i];
    }
    if (rows == KEYS_MAX) return &table[KEYS_MAX];
    table[rows] = (struct held){key, 0, 0};
    return &table[rows++];
}

// `argument`: the heap. Of k_heap the checked build has the places.
static void count(const struct heap_block *block, void *argument) {
    uintptr_t key = block->arena->large ? 0 : block->bytes;
    size_t bytes = block->bytes;
#ifdef HEAP_CHECKED
    struct checked_record record;
    if (argument == &k_heap) {
        if (!checked_facts(block->start, &record)) return; // being handed out, or written over
        if (record.freed) return;                          // in quarantine
        key = record.allocated;
        bytes = record.size;
    }
#endif
    struct held *row = row_of(key);
    row->blocks++;
    row->bytes += bytes;
}

static void size_print(uintptr_t size) {
    if (size) kprintf("in blocks of %u\n", (uint32_t)size);
    else put_str("in large areas\n");
}

// "leaks: 3 blocks, 72 bytes from demo_run+0x12"
static void leaks_print(const struct held *row) {
    kprintf("leaks: %u block%s, %u bytes ", row->blocks, row->blocks == 1 ? "" : "s",
            (uint32_t)row->bytes);
#ifdef HEAP_CHECKED
    char site[PORT_TEXT_MAX];
    if (counted != &k_heap) size_print(row->key);
    else if (row == &table[KEYS_MAX]) put_str("from other places\n");
    else kprintf("from %s\n", port_caller_text(site, sizeof site, row->key));
#else
    size_print(row->key);
#endif
}

void heap_leaks_count(const struct heap *heap) {
    rows = 0;
    table[KEYS_MAX] = (struct held){0, 0, 0};
    counted = heap;
    heap_for_each(heap, count, (void *)(uintptr_t)heap);
}

uint32_t heap_leaks_print(bool (*more)(void)) {
    uint32_t blocks = 0;
    bool shown = true;
    for (uint32_t i = 0; i <= KEYS_MAX; i++) {
        if (i >= rows && i != KEYS_MAX) continue;
        if (table[i].blocks) shown = shown && (!more || more());
        if (table[i].blocks && shown) leaks_print(&table[i]);
        blocks += table[i].blocks;
    }
    if (blocks == 0) put_str("leaks: none\n");
#ifndef HEAP_CHECKED
    else if (counted == &k_heap) put_str("leaks: call sites: make run CHECK=1\n");
#endif
    return blocks;
}

uint32_t heap_leaks(bool (*more)(void)) {
    port_state state = port_freeze(&k_heap);
    heap_leaks_count(&k_heap);
    port_thaw(&k_heap, state);
    return heap_leaks_print(more);
}
