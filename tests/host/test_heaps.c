// test_heaps.c - several heaps in one program: each keeps to its own memory, table and records, and
// refuses the pointers of the others.
//
// What only it can find: a record, table or setting that two heaps share.
#include "kernel/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/inspect/heapcheck.h"
#include "kernel/inspect/heapwalk.h"
#include "kernel/inspect/who.h"
#include "kernel/size_tables.h"
#include "tests/host/heap_host.h"

// Who calls does not matter here.
#define heap_malloc(...) heap_malloc(__VA_ARGS__, 0)
#define heap_free(...) heap_free(__VA_ARGS__, 0)
#define heap_calloc(...) heap_calloc(__VA_ARGS__, 0)
#define heap_realloc(...) heap_realloc(__VA_ARGS__, 0)
#define heap_aligned_alloc(...) heap_aligned_alloc(__VA_ARGS__, 0)
#define heap_usable_size(...) heap_usable_size(__VA_ARGS__, 0)

#define FRAMES 64u
#define HEAPS 3u // the first is k_heap
#define LIVE 200u
#define STEPS 40000u

// A heap, and the memory that it was made from.
struct made {
    struct heap heap;
    struct port_pool from;
    struct port_run run;
    void *window;
};

static void *zeroed(size_t count, size_t size) {
    void *p = calloc(count, size);
    if (!p) abort();
    return p;
}

static struct made *make(const char *name, uint32_t frames) {
    struct made *made = zeroed(1, sizeof *made);
    made->run = (struct port_run){0, frames};
    made->window = aligned_alloc(PG_SIZE, (size_t)frames * PG_SIZE);
    if (!made->window) abort();
    made->from = (struct port_pool){
        .base = (uintptr_t)made->window,
        .frames = frames,
        .frame = zeroed(frames, sizeof(struct frame)),
        .arena = zeroed(frames, sizeof(struct arena)),
        .anchor = zeroed(POOL_ANCHOR_WORDS(frames), sizeof(uint32_t)),
        .run = &made->run,
        .runs = 1,
    };
    heap_init(&made->heap, name, &made->from);
    heap_add(&made->heap);
    return made;
}

static void unmake(struct made *made) {
    heap_remove(&made->heap);
    free(made->window);
    free(made->from.frame);
    free(made->from.arena);
    free(made->from.anchor);
    free(made);
}

static struct made *left, *right;

static int setup(void **state) {
    (void)state;
    host_heap_start(FRAMES);
    left = make("left", FRAMES);
    right = make("right", FRAMES);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    host_heap_end(); // walks all three
    unmake(left);
    unmake(right);
    return 0;
}

static bool within(const struct made *made, const void *p) {
    return (uintptr_t)p - made->heap.base < (uintptr_t)FRAMES * PG_SIZE;
}

static void assert_refused(struct heap *heap, void *p, enum heap_fault fault) {
    heap_free(heap, p);
    struct host_report report = host_report_take();
    assert_int_equal(report.fault, fault);
    assert_ptr_equal(report.pointer, p);
}

static void each_serves_from_its_own_memory(void **state) {
    (void)state;
    void *a = heap_malloc(&left->heap, 32), *b = heap_malloc(&right->heap, 32), *c = sys_malloc(32);
    assert_true(within(left, a) && !within(right, a));
    assert_true(within(right, b) && !within(left, b));
    assert_true(!within(left, c) && !within(right, c));
    assert_ptr_equal(heap_of((uintptr_t)a), &left->heap);
    assert_ptr_equal(heap_of((uintptr_t)b), &right->heap);
    assert_ptr_equal(heap_of((uintptr_t)c), &k_heap);
    assert_int_equal(left->heap.small_frames, 1);
    heap_free(&left->heap, a);
    heap_free(&right->heap, b);
    sys_free(c);
    assert_int_equal(heap_trim(&left->heap), 1);
    assert_int_equal(left->heap.pool.free, FRAMES);
    assert_int_equal(right->heap.pool.free, FRAMES - 1); // its own was not trimmed
}

// Small, large, live and free: one heap's pointer is outside every other one.
static void anothers_pointer_is_refused_by_name(void **state) {
    (void)state;
    const size_t sizes[] = {1, 100, 1024, 5000, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *p = heap_malloc(&left->heap, sizes[i]);
        assert_refused(&right->heap, p, HEAP_OUTSIDE);
        assert_refused(&k_heap, p, HEAP_OUTSIDE);
        assert_int_equal(heap_usable_size(&right->heap, p), 0);
        assert_int_equal(host_report_take().fault, HEAP_OUTSIDE);
        assert_null(heap_realloc(&right->heap, p, 10));
        assert_int_equal(host_report_take().fault, HEAP_OUTSIDE);
        char text[HEAP_WHO_MAX];
        assert_non_null(strstr(heap_who(text, sizeof text, (uintptr_t)p), "left frame"));
        assert_true(heap_usable_size(&left->heap, p) >= sizes[i]); // untouched
        heap_free(&left->heap, p);
        assert_refused(&right->heap, p, HEAP_OUTSIDE);
    }
}

static void each_has_its_own_table_of_sizes(void **state) {
    (void)state;
    const uint32_t sizes[] = {48, 4096};
    assert_int_equal(block_desc_set(&left->heap, sizes, 2), 0);
    void *a = heap_malloc(&left->heap, 33), *b = heap_malloc(&right->heap, 33);
    assert_int_equal(heap_usable_size(&left->heap, a), 48);
    assert_int_equal(heap_usable_size(&right->heap, b), 64);
    assert_int_equal(sys_usable_size(NULL), 0);
    assert_int_equal(left->heap.block_max, 4096);
    assert_int_equal(right->heap.block_max, 1024);
    heap_free(&left->heap, a);
    heap_free(&right->heap, b);
}

static void one_runs_dry_alone(void **state) {
    (void)state;
    void *all = heap_malloc(&left->heap, (size_t)FRAMES * PG_SIZE);
    assert_non_null(all);
    assert_null(heap_malloc(&left->heap, 1));
    assert_null(heap_calloc(&left->heap, 1, 5000));
    assert_null(heap_aligned_alloc(&left->heap, 8192, 1));
    void *other = heap_malloc(&right->heap, (size_t)FRAMES * PG_SIZE);
    assert_non_null(other);
    heap_free(&left->heap, all);
    heap_free(&right->heap, other);
}

static void every_call_has_its_heap(void **state) {
    (void)state;
    struct heap *heap = &right->heap;
    unsigned char *p = heap_calloc(heap, 10, 10);
    assert_true(within(right, p));
    for (int i = 0; i < 100; i++) assert_int_equal(p[i], 0);
    memset(p, 7, 100);
    p = heap_realloc(heap, p, 6000);
    assert_true(within(right, p) && p[99] == 7);
    heap_free(heap, p);
    void *at = heap_aligned_alloc(heap, 16384, 100);
    assert_true(within(right, at));
    assert_int_equal((uintptr_t)at % 16384, 0);
    heap_free(heap, at);
    assert_int_equal(frames_free(POOL_KERNEL), FRAMES); // nothing came from the kernel's
}

// A heap in a block of another, and one that is gone.
static void a_heap_inside_a_heap(void **state) {
    (void)state;
    struct made *inner = zeroed(1, sizeof *inner);
    inner->run = (struct port_run){0, 8};
    inner->from = left->from;
    inner->from.base = (uintptr_t)heap_malloc(&left->heap, 8 * PG_SIZE);
    inner->from.frames = 8;
    inner->from.frame = zeroed(8, sizeof(struct frame));
    inner->from.arena = zeroed(8, sizeof(struct arena));
    inner->from.anchor = zeroed(POOL_ANCHOR_WORDS(8), sizeof(uint32_t));
    inner->from.run = &inner->run;
    heap_init(&inner->heap, "inner", &inner->from);
    heap_add(&inner->heap); // the newest is asked before the heap that holds it
    void *p = heap_malloc(&inner->heap, 24);
    assert_ptr_equal(heap_of((uintptr_t)p), &inner->heap);
    // In `left` it lies inside a large area.
    assert_refused(&left->heap, (char *)p + 16, HEAP_INTERIOR_POINTER);
    heap_free(&inner->heap, p);
    heap_remove(&inner->heap);
    assert_ptr_equal(heap_of((uintptr_t)p), &left->heap);
    heap_free(&left->heap, (void *)inner->heap.base);
    inner->window = NULL;
    free(inner->from.frame);
    free(inner->from.arena);
    free(inner->from.anchor);
    free(inner);
}

// Random calls on all three, each block filled with its heap's number; wrong heaps are tried on the
// way.
static void random_calls(void **state) {
    (void)state;
    struct heap *heap[HEAPS] = {&k_heap, &left->heap, &right->heap};
    struct {
        unsigned char *p;
        size_t size;
    } live[HEAPS][LIVE] = {0};
    uint64_t seed = 20;
    for (uint32_t step = 0; step < STEPS; step++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t bits = (uint32_t)(seed >> 33), at = bits % HEAPS, slot = bits / HEAPS % LIVE;
        unsigned char **p = &live[at][slot].p;
        if (*p) {
            size_t size = live[at][slot].size;
            assert_true((*p)[0] == at + 1 && (*p)[size - 1] == at + 1);
            if (bits & 1 << 30) assert_refused(heap[(at + 1) % HEAPS], *p, HEAP_OUTSIDE);
            heap_free(heap[at], *p);
            *p = NULL;
        } else {
            size_t size = bits >> 20 & 7 ? 1 + (bits >> 12) % 1024 : 1025 + (bits >> 8) % 12000;
            *p = heap_malloc(heap[at], size);
            live[at][slot].size = size;
            if (*p) memset(*p, (int)at + 1, size);
        }
    }
    for (uint32_t at = 0; at < HEAPS; at++) {
        for (uint32_t slot = 0; slot < LIVE; slot++) heap_free(heap[at], live[at][slot].p);
        heap_trim(heap[at]);
        assert_int_equal(heap[at]->pool.free, FRAMES);
    }
}

// A window of which only the first frames are open: heap_grow() opens more, joined with the free
// ones before them, and heap_extend() makes an area longer into them.
static void a_window_grows(void **state) {
    (void)state;
    struct pool *pool = &left->heap.pool;
    struct port_pool window = left->from;
    struct heap *next = left->heap.next;
    window.runs = 0;
    memset(window.frame, 0, FRAMES * sizeof *window.frame);
    heap_init(&left->heap, "left", &window);
    left->heap.next = next; // it is in the list already
    left->heap.frames = 0;
    pool->end = pool->frame;
    assert_null(heap_malloc(&left->heap, 1));
    heap_grow(&left->heap, 4);
    void *three = heap_malloc(&left->heap, 3 * PG_SIZE);
    assert_ptr_equal(three, left->window);
    assert_null(heap_malloc(&left->heap, 2 * PG_SIZE));
    heap_grow(&left->heap, 1); // beside the free one
    assert_int_equal(pool->free, 2);
    assert_true(heap_extend(&left->heap, (uintptr_t)three, 5 * PG_SIZE));
    assert_int_equal(heap_usable_size(&left->heap, three), 5 * PG_SIZE);
    assert_false(heap_extend(&left->heap, (uintptr_t)three, 6 * PG_SIZE));
    heap_free(&left->heap, three);
    heap_grow(&left->heap, FRAMES - 5);
    assert_int_equal(pool->free, FRAMES);
    assert_int_equal(heap_check(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(each_serves_from_its_own_memory),
        TEST(anothers_pointer_is_refused_by_name),
        TEST(each_has_its_own_table_of_sizes),
        TEST(one_runs_dry_alone),
        TEST(every_call_has_its_heap),
        TEST(a_heap_inside_a_heap),
        TEST(a_window_grows),
        TEST(random_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
