// test_heap_limits.c - the heap at the edge of memory, and under several threads.
#include "kernel/heapcheck.h"
#include "kernel/memory.h"
#include "lib/string.h"
#include "tests/kernel/ktest.h"
#include "thread/thread.h"

// Blocks taken are chained through their first words: no other memory is needed to know them.
struct link {
    struct link *next;
};

// Takes blocks of `size` until none is left. Returns how many.
static uint32_t take_all(struct link **chain, size_t size) {
    uint32_t count = 0;
    for (struct link *p = sys_malloc(size); p; p = sys_malloc(size)) {
        p->next = *chain;
        *chain = p;
        count++;
    }
    return count;
}

static void give_all(struct link **chain) {
    while (*chain) {
        struct link *p = *chain;
        *chain = p->next;
        sys_free(p);
    }
}

// Every call that needs a frame fails with NULL and changes nothing.
static void check_nothing_left(void) {
    uint32_t free = frames_free(POOL_KERNEL);
    KCHECK_EQ(sys_malloc(PG_SIZE), NULL);
    KCHECK_EQ(sys_malloc(20000), NULL);
    KCHECK_EQ(sys_malloc(16), NULL);
    KCHECK_EQ(sys_malloc(1024), NULL);
    KCHECK_EQ(sys_calloc(10, 1000), NULL);
    KCHECK_EQ(sys_aligned_alloc(8192, 100), NULL);
    KCHECK_EQ(frame_alloc(POOL_KERNEL, 1), FRAME_NONE);
    KCHECK_EQ(thread_create("none", PRIORITY_DEFAULT, NULL, NULL), NULL);
    KCHECK_EQ(frames_free(POOL_KERNEL), free);
    KCHECK_EQ(heap_check(), 0);
}

// Case 21: all frames taken, failure at each step, all given back; and the same run again gives as much.
KTEST(heap_exhaustion_and_recovery) {
    sys_trim();
    uint32_t free = frames_free(POOL_KERNEL), count[3];
    for (int run = 0; run < 3; run++) {
        struct link *chain = NULL;
        count[run] = take_all(&chain, PG_SIZE);
        KCHECK_EQ(frames_free(POOL_KERNEL), 0);
        check_nothing_left();
        KREPORT(HEAP_DOUBLE_FREE, chain, (sys_free(sys_realloc(chain, 0)), sys_free(chain)));
        give_all(&chain);
        KCHECK_EQ(frames_free(POOL_KERNEL), free);
        KCHECK_EQ(count[run], free);
    }
}
