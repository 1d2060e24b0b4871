// bugs_classic.c - the same wrong frees, of the seed's own heap: what becomes of it where
// sys_free() refuses. See bugs.h.
//
// Each breaks the heap of kernel/classic for good, says what that came to in a line "classic: ...",
// and lets go of its frames past it: the next one begins with a heap that holds nothing.
#include <stddef.h>

#include "kernel/classic/classic.h"
#include "kernel/classic/pages.h"
#include "kernel/layout.h"
#include "kernel/museum/bugs.h"
#include "lib/page.h"
#include "lib/print.h"
#include "lib/string.h"

#define BLOCKS_MAX 256 // of an arena

static char *page_of(const void *p) { return (char *)((uintptr_t)p & ~(uintptr_t)(PG_SIZE - 1)); }

// Takes what the arena of `p` has left; the first block that is in `p`, or twice the same, or NULL.
static char *take_until_shared(const char *p, size_t size) {
    char *before = NULL;
    for (int i = 0; i < BLOCKS_MAX; i++) {
        char *block = classic_malloc(size);
        if (!block || page_of(block) != page_of(p)) return NULL;
        if (block == before || (block > p && block < p + size)) return block;
        before = block;
    }
    return NULL;
}

// The block is linked behind itself: the list ends there, and gives it out for ever.
static void classic_double_free(void) {
    char *p = classic_malloc(24);
    if (!p) return;
    classic_malloc(24); // two more: the arena counts two that came back, and must stay open
    classic_malloc(24);
    classic_free(p);
    classic_free(p);
    if (take_until_shared(p, 24) == p)
        put_str("classic: is silent; then every request gets the same block\n");
    classic_pages_free(page_of(p), 1);
}

static void classic_interior_free(void) {
    char *p = classic_malloc(100);
    if (!p) return;
    classic_malloc(100);
    classic_free(p + 16);
    if (take_until_shared(p, 100) == p + 16)
        put_str("classic: is silent; then a request gets a block inside the one that lives\n");
    classic_pages_free(page_of(p), 1);
}

static void classic_forged_header(void) {
    static const uint32_t header[3] = {0, 1, 1};
    char *data = classic_malloc(3 * PG_SIZE);
    if (!data) return;
    char *page = page_of(data + PG_SIZE);
    memcpy(page, header, sizeof header);
    classic_free(page + sizeof header);
    put_str("classic: asks the pool to take a frame of the area back, which knows better\n");
    classic_free(data);
}

// Where a pointer has no arena, its page's first bytes are taken for one. Not done, only said: what
// is written through them may be anything.
static void no_arena(const void *p) {
    struct classic_header header = classic_header_of(p);
    kprintf("classic: would write through %p, which it finds at the page's start\n", header.desc);
}

static void classic_free_of_a_variable(void) {
    char local[32] = "";
    no_arena(local);
}

static void classic_wrong_allocator(void) {
    char *frame = classic_pages(1);
    if (!frame) return;
    memset(frame, 0x5a, PG_SIZE); // its owner's
    no_arena(frame);
    classic_pages_free(frame, 1);
}

// The header is still in the frames, which have another owner now, of just as many.
static void classic_large_free_twice(void) {
    char *p = classic_malloc(3 * PG_SIZE);
    if (!p) return;
    classic_free(p);
    char *owned = classic_pages(4);
    if (owned == page_of(p)) {
        classic_free(p);
        put_str("classic: is silent, and frees the frames under their new owner\n");
    } else if (owned) {
        classic_pages_free(owned, 4);
    }
}

static void classic_corrupt_record(void) {
    char *p = classic_malloc(24);
    if (!p) return;
    page_of(p)[4] ^= 4; // in cnt
    uint32_t before = frames_free(POOL_KERNEL);
    classic_free(p);
    if (frames_free(POOL_KERNEL) == before)
        put_str("classic: is silent, and the arena that is empty is never given back\n");
    classic_pages_free(page_of(p), 1);
}

static const struct {
    uint32_t number;
    void (*commit)(void);
} classic_bugs[] = {
    {1, classic_double_free},        {2, classic_interior_free},   {3, classic_forged_header},
    {4, classic_free_of_a_variable}, {5, classic_wrong_allocator}, {7, classic_large_free_twice},
    {8, classic_corrupt_record},
};

void bugs_classic(uint32_t n) {
    classic_init();
    for (size_t i = 0; i < sizeof classic_bugs / sizeof classic_bugs[0]; i++) {
        if (classic_bugs[i].number == n) classic_bugs[i].commit();
    }
}
