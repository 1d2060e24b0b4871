// classic.c - the seed's own heap, as its chapter describes it, with its words.
//
//   a frame   +-------+-------+-------+-------+---   ---+-------+
//             | arena | block | block | block |         | block |   blocks_per_arena of them
//             |       |   0   |   1   |   2   |         |       |
//             +-------+-------+-------+-------+---   ---+-------+
//             12 bytes          |       ^                 ^
//                               +-------+-----------------+   free_list: through the free blocks
//
// An arena is a storehouse: at the head of the frame its meta data, after it blocks of one size.
// All free blocks of a size, of whatever arena, are linked in the free_list of that size's
// descriptor, and it is the descriptor that hands them out. A request of more than 1024 bytes gets
// an arena of its own, of as many frames as it takes, undivided: its desc is NULL.
//
// So a block's arena is found by clearing the low twelve bits of its address, an arena that opens
// puts each of its blocks on the list, and one that closes takes each of them off.
//
// Names are the chapter's, with `classic_` before those that the kernel's own heap has as well.
//
// Shortcomings, which are what kernel/memory.c was made for:
//   - The header is in the memory that is handed out, the links are in the blocks: an overflow or a
//     write after free breaks the heap itself.
//   - A wrong pointer is believed. Twice freed, a block is on the list twice.
//   - The header costs a block of each frame, or part of one, and blocks are aligned to 4 bytes.
//   - To open or close an arena is a step for each block, with interrupts off.
//   - The pages of a size near 2^32 are computed by a sum that wraps: one page is handed out.
#include "kernel/classic/classic.h"

#include <stdbool.h>
#include <stddef.h>

#include "kernel/classic/pages.h"
#include "lib/list.h"
#include "lib/page.h"
#include "kernel/spinlock.h"

#define DESC_CNT 7 // 16 to 1024 bytes, each twice the one before

struct classic_block_desc {
    int block_size;
    int blocks_per_arena;
    struct list free_list; // of struct memory_block
};

// What a free block holds. One that is handed out holds its owner's bytes.
struct memory_block {
    struct list_elem free_elem;
};

struct classic_arena {
    struct classic_block_desc *desc; // NULL: a large one
    int cnt;                         // large: frames; else free blocks
    bool large;
};
_Static_assert(sizeof(struct classic_arena) == 12, "as the chapter counts it");

static struct classic_block_desc classic_descs[DESC_CNT];

// noinline: tours stop there.
static __attribute__((noinline)) void classic_block_desc_init(
    struct classic_block_desc *desc_array) {
    int desc_idx, block_size = 16;
    for (desc_idx = 0; desc_idx < DESC_CNT; desc_idx++) {
        desc_array[desc_idx].block_size = block_size;
        desc_array[desc_idx].blocks_per_arena =
            (int)(PG_SIZE - sizeof(struct classic_arena)) / block_size;
        list_init(&desc_array[desc_idx].free_list);
        block_size *= 2; // the next size
    }
}

void classic_init(void) { classic_block_desc_init(classic_descs); }

static struct memory_block *arena2block(struct classic_arena *a, int idx) {
    return (struct memory_block *)((uintptr_t)(a + 1) + (uint32_t)(idx * a->desc->block_size));
}

static struct classic_arena *block2arena(const void *b) {
    return (struct classic_arena *)((uintptr_t)b & ~(uintptr_t)(PG_SIZE - 1));
}

static void *classic_large(uint32_t size) {
    uint32_t pages = (size + sizeof(struct classic_arena) + PG_SIZE - 1) / PG_SIZE;
    struct classic_arena *a = classic_pages(pages);
    if (!a) return NULL;
    *a = (struct classic_arena){NULL, (int)pages, true};
    return a + 1;
}

// A frame becomes an arena: all its blocks are free.
static __attribute__((noinline)) bool classic_arena_open(struct classic_block_desc *desc) {
    struct classic_arena *a = classic_pages(1);
    if (!a) return false;
    *a = (struct classic_arena){desc, desc->blocks_per_arena, false};
    for (int idx = 0; idx < desc->blocks_per_arena; idx++) {
        list_append(&desc->free_list, &arena2block(a, idx)->free_elem);
    }
    return true;
}

// All its blocks are free: they leave the list, and the frame goes back.
static __attribute__((noinline)) void classic_arena_close(struct classic_arena *a) {
    for (int idx = 0; idx < a->desc->blocks_per_arena; idx++) {
        list_remove(&arena2block(a, idx)->free_elem);
    }
    classic_pages_free(a, 1);
}

static void *classic_small(uint32_t size) {
    struct classic_block_desc *desc = classic_descs;
    while ((uint32_t)desc->block_size < size) desc++;
    if (list_empty(&desc->free_list) && !classic_arena_open(desc)) return NULL;
    struct list_elem *e = list_pop(&desc->free_list);
    struct memory_block *b = list_entry(e, struct memory_block, free_elem);
    block2arena(b)->cnt--;
    return b;
}

void *classic_malloc(size_t size) {
    if (size == 0) return NULL;
    uint32_t state = spin_save(&kernel_lock);
    void *p = size > 1024 ? classic_large(size) : classic_small(size);
    spin_restore(&kernel_lock, state);
    return p;
}

void classic_free(void *ptr) {
    if (!ptr) return;
    uint32_t state = spin_save(&kernel_lock);
    struct classic_arena *a = block2arena(ptr);
    if (a->large) {
        classic_pages_free(a, (uint32_t)a->cnt);
    } else {
        struct memory_block *b = ptr;
        list_append(&a->desc->free_list, &b->free_elem);
        if (++a->cnt == a->desc->blocks_per_arena) classic_arena_close(a);
    }
    spin_restore(&kernel_lock, state);
}

struct classic_header classic_header_of(const void *ptr) {
    const struct classic_arena *a = block2arena(ptr);
    return (struct classic_header){a->desc, a->cnt, *(const uint8_t *)&a->large}; // any byte
}

int classic_block_size(int desc_idx) {
    return desc_idx < DESC_CNT ? classic_descs[desc_idx].block_size : 0;
}

int classic_blocks_per_arena(int desc_idx) { return classic_descs[desc_idx].blocks_per_arena; }
