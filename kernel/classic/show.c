// show.c - classic_show() of classic.h.
#include "kernel/classic/classic.h"

#include "kernel/memory.h"
#include "lib/print.h"

#define TAKEN 3

// Tenths of a per cent of a frame.
static void print_share(uint32_t bytes) {
    uint32_t tenths = (bytes * 1000 + PG_SIZE / 2) / PG_SIZE;
    kprintf("%6u bytes %3u.%u %%", bytes, tenths / 10, tenths % 10);
}

// What a frame's header costs: the block, or part of one, that it leaves no room for.
static void show_sizes(void) {
    put_str("block size  blocks/arena  lost of each frame\n");
    for (int i = 0; classic_block_size(i) != 0; i++) {
        int size = classic_block_size(i), blocks = classic_blocks_per_arena(i);
        kprintf("%10d  %12d ", size, blocks);
        print_share(PG_SIZE - (uint32_t)(size * blocks));
        put_str("\n");
    }
    put_str("ours, whatever the size: ");
    print_share(sizeof(struct arena));
    put_str(", beside the frame\n");
}

static void show_header(const char *what, const void *block) {
    struct classic_header header = classic_header_of(block);
    kprintf("%s %p: arena %p, desc %p, cnt %d, large %d\n", what, block,
            (void *)((uintptr_t)block & ~(uintptr_t)(PG_SIZE - 1)), header.desc, header.cnt,
            header.large);
}

// The list is a queue: what comes back goes to its end, and is handed out last.
static void show_blocks(void) {
    void *p[TAKEN];
    for (int i = 0; i < TAKEN; i++) {
        p[i] = classic_malloc(60);
        if (!p[i]) return;
        show_header("malloc 60  ", p[i]);
    }
    classic_free(p[1]);
    show_header("free       ", p[1]);
    p[1] = classic_malloc(60);
    if (p[1]) show_header("malloc 60  ", p[1]);
    for (int i = 0; i < TAKEN; i++) classic_free(p[i]);
}

static void show_large(void) {
    void *p = classic_malloc(5000);
    if (p) show_header("malloc 5000", p);
    classic_free(p);
}

void classic_show(void) {
    uint32_t before = frames_free(POOL_KERNEL);
    classic_init();
    show_sizes();
    show_blocks();
    show_large();
    kprintf("all freed: %u frames held\n", before - frames_free(POOL_KERNEL));
}
