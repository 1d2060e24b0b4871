// ktest_heap.c - see ktest_heap.h.
#include "tests/kernel/ktest_heap.h"

#include "kernel/inspect/heapcheck.h"
#include "kernel/inspect/heapwalk.h"
#include "kernel/layout.h"
#include "kernel/processor.h"
#include "tests/kernel/ktest.h"
#include "thread/thread.h"

// The smallest that is large enough, looked for from the smallest on.
const struct memory_block_desc *ktest_desc(size_t size) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        if (k_heap.block_descs[i].block_size >= size) return &k_heap.block_descs[i];
    }
    return NULL;
}

uint32_t ktest_frames(size_t size) {
    const struct memory_block_desc *desc = ktest_desc(size);
    return desc ? desc->frames_per_arena : (size + PG_SIZE - 1) / PG_SIZE;
}

uint32_t ktest_usable(size_t size) {
#ifdef HEAP_CHECKED
    return size; // the rest of the block is the canary's
#endif
    const struct memory_block_desc *desc = ktest_desc(size);
    return desc ? desc->block_size : ktest_frames(size) * PG_SIZE;
}

static void chain_push(struct chain *chain, void *p) {
    struct chain_link *link = p;
    link->next = chain->first;
    chain->first = link;
}

static void *chain_pop(struct chain *chain) {
    struct chain_link *link = chain->first;
    chain->first = link->next;
    return link;
}

uint32_t ktest_take_all(struct chain *chain, size_t size) {
    uint32_t count = 0;
    for (void *p = sys_malloc(size); p; p = sys_malloc(size)) {
        chain_push(chain, p);
        count++;
    }
    return count;
}

void ktest_give_all(struct chain *chain) {
    while (chain->first) sys_free(chain_pop(chain));
}

// A frame of the kernel pool can be written to in the heap's window, whatever its use.
bool ktest_frame_take(struct chain *frames) {
    uint32_t frame = frame_alloc(POOL_KERNEL, 1);
    if (frame == FRAME_NONE) return false;
    chain_push(frames, (void *)(HEAP_BASE + frame * PG_SIZE));
    return true;
}

void ktest_frame_give(struct chain *frames) {
    uintptr_t at = (uintptr_t)chain_pop(frames);
    frame_free(POOL_KERNEL, (uint32_t)((at - HEAP_BASE) >> PG_SHIFT), 1);
}

void ktest_frames_give_all(struct chain *frames) {
    while (frames->first) ktest_frame_give(frames);
}

// Ends: an arena that is open has room for so many blocks, and then one must be opened.
void *ktest_open_arena(const struct memory_block_desc *desc, struct chain *others) {
    uint32_t arenas = desc->arenas;
    for (;;) {
        void *p = sys_malloc(desc->block_size);
        if (!KCHECK(p != NULL) || desc->arenas != arenas) return p;
        chain_push(others, p);
    }
}

struct arena *ktest_arena(const void *block) {
    uint32_t frame = (uint32_t)(((uintptr_t)block - k_heap.base) >> PG_SHIFT);
    struct arena *arena = &k_heap.arena[frame];
    return (struct arena *)((uintptr_t)arena - arena->back);
}

uint32_t ktest_table(const void *block) {
    return heap_desc_table(&k_heap, ktest_arena(block)->desc);
}

// Everyone's arenas serve first, for as many blocks as local.c says; so as many are taken. What is
// left of the own arena when it is given back is its processor's.
#define SETTLE_MAX 400
bool ktest_settle(size_t size) {
    struct chain taken = {NULL};
    bool own = false;
    for (uint32_t i = 0; !own && i < SETTLE_MAX; i++) {
        void *p = sys_malloc(size);
        if (!p) break;
        own = ktest_table(p) == processor_number + 1;
        chain_push(&taken, p);
    }
    ktest_give_all(&taken);
    return own;
}

static struct port_run second_run = {0, KTEST_SECOND_FRAMES};

struct heap *ktest_second_heap(struct port_pool *from) {
    uint32_t frames = KTEST_SECOND_FRAMES;
    struct heap *heap = sys_malloc(sizeof *heap);
    *from = (struct port_pool){.frames = frames, .run = &second_run, .runs = 1};
    from->frame = sys_calloc(frames, sizeof *from->frame);
    from->arena = sys_calloc(frames, sizeof *from->arena);
    from->anchor = sys_calloc(POOL_ANCHOR_WORDS(frames), sizeof *from->anchor);
    from->base = (uintptr_t)sys_aligned_alloc(PG_SIZE, frames * PG_SIZE);
    if (!heap || !from->frame || !from->arena || !from->anchor || !from->base) {
        ktest_second_end(heap, from);
        return NULL;
    }
    heap_init(heap, "second", from);
    return heap;
}

void ktest_second_end(struct heap *heap, const struct port_pool *from) {
    sys_free(heap);
    sys_free(from->frame);
    sys_free(from->arena);
    sys_free(from->anchor);
    sys_free((void *)from->base);
}

uint32_t ktest_thread_frames(void) {
    uint32_t stack = STACK_SLOT_BYTES / PG_SIZE - 1; // the slot's first page is never mapped
    const struct memory_block_desc *desc = ktest_desc(sizeof(struct thread));
    if (!desc) return stack + ktest_frames(sizeof(struct thread));
    struct desc_state state;
    heap_desc_state(&k_heap, (uint32_t)(desc - k_heap.block_descs), &state);
    return state.free_blocks > 0 ? stack : stack + desc->frames_per_arena;
}
