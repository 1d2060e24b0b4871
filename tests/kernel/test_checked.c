// test_checked.c - the checked build (kernel/checked/checked.c): each fault is reported, and its
// twin without the fault is not.
//
// A test is a pair: the fault, and the same calls without it. The twin is what keeps a check that
// cries always from passing. Unannounced reports fail any test (ktest.h), so the twin
// need only be run. Works with and without `guard`; where the two differ the test says so.
#include "kernel/checked/checked.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/interrupt.h"
#include "kernel/layout.h"
#include "kernel/memory.h"
#include "kernel/inspect/report.h"
#include "kernel/inspect/who.h"
#include "lib/print.h"
#include "lib/string.h"
#include "tests/kernel/ktest.h"
#include "thread/thread.h"

#define SPARE_IRQ 5 // masked: only `int` raises it

// Sizes at every edge: of blocks, of the canary's shortest length, of frames.
static const size_t sizes[] = {1,    2,    7,    15,   16,   17,   31,   32,   39,
                               40,   41,   63,   64,   100,  103,  104,  105,  231,
                               232,  233,  999,  1000, 1001, 1024, 2000, 4071, 4072,
                               4095, 4096, 4097, 8167, 8168, 8192, 20000};
#define SIZES (sizeof sizes / sizeof sizes[0])

// The compiler must not see that these accesses are wrong.
static void poke(volatile char *at, char value) { *at = value; }
static char peek(const volatile char *at) { return *at; }

// ---- past the end -------------------------------------------------------------------------------

// The first byte after it faults under guard if nothing is between it and the end of the frames;
// otherwise free() finds it.
static void overflow_by_one(size_t size) {
    char *p = sys_malloc(size);
    KNEED(p != NULL);
    if (checked_guarded() && ((uintptr_t)p + size) % PG_SIZE == 0) {
        KREPORT(HEAP_OVERFLOW, p + size, poke(p + size, 1));
        sys_free(p);
    } else {
        poke(p + size, 1);
        KREPORT(HEAP_OVERFLOW, p + size, sys_free(p));
    }
}

KTEST(checked_overflow_by_one) {
    for (size_t i = 0; i < SIZES; i++) overflow_by_one(sizes[i]);
}

// All bytes that were asked for are the caller's, to the last.
KTEST(checked_overflow_twin) {
    for (size_t i = 0; i < SIZES; i++) {
        char *p = sys_malloc(sizes[i]);
        KNEED(p != NULL);
        memset(p, (int)i, sizes[i]);
        KCHECK_EQ(sys_usable_size(p), sizes[i]);
        KCHECK_EQ(heap_check(), 0);
        sys_free(p);
    }
}

// The byte before the first.
KTEST(checked_underflow_by_one) {
    for (size_t i = 0; i < SIZES; i++) {
        char *p = sys_malloc(sizes[i]);
        KNEED(p != NULL);
        poke(p - 1, 1);
        KREPORT(HEAP_OVERFLOW, p - 1, sys_free(p));
    }
}

// So much that the record before the canary is gone, too: still one report, and the block is freed.
KTEST(checked_underflow_over_the_record) {
    char *p = sys_malloc(100);
    KNEED(p != NULL);
    uintptr_t frame = (uintptr_t)p & ~(uintptr_t)(PG_SIZE - 1);
    char *start = checked_guarded() ? (char *)frame : p - 32; // where the record is
    for (char *at = start; at < p; at++) poke(at, 0x11);
    KREPORT(HEAP_OVERFLOW, start, sys_free(p));
    KREPORT(HEAP_DOUBLE_FREE, p, sys_free(p));
}

// Found without a free, by a check of the heap.
KTEST(checked_overflow_heap_check) {
    char *p = sys_malloc(50);
    KNEED(p != NULL);
    char before = p[50];
    poke(p + 50, 0);
    KCHECK_EQ(heap_check(), 1);
    KCHECK(strncmp(ktest_printed(), "heap check: C1 broken: ", 23) == 0);
    poke(p + 50, before);
    KCHECK_EQ(heap_check(), 0);
    sys_free(p);
}

// Every call that takes a pointer looks at the margin.
KTEST(checked_overflow_every_call) {
    char *p = sys_malloc(21);
    KNEED(p != NULL);
    poke(p + 21, 7);
    size_t bytes = 0;
    KREPORT(HEAP_OVERFLOW, p + 21, bytes = sys_usable_size(p));
    KCHECK_EQ(bytes, 21);
    poke(p, 'x');
    char *to = NULL;
    KREPORT(HEAP_OVERFLOW, p + 21, to = sys_realloc(p, 500));
    KNEED(to != NULL);
    KCHECK_EQ(to[0], 'x');
    sys_free(to);
}

// ---- after the free -----------------------------------------------------------------------------

// A small block faults under guard; otherwise the write is found when the block leaves.
KTEST(checked_write_after_free) {
    static const size_t small[] = {1, 24, 100, 900};
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++) {
        char *p = sys_malloc(small[i]);
        KNEED(p != NULL);
        sys_free(p);
        char *at = p + small[i] - 1;
        if (checked_guarded()) {
            KREPORT(HEAP_USE_AFTER_FREE, at, poke(at, 1));
        } else {
            poke(at, 1);
            KREPORT(HEAP_USE_AFTER_FREE, at, sys_trim());
        }
    }
}

KTEST(checked_write_after_free_twin) {
    for (size_t i = 0; i < SIZES; i++) {
        char *p = sys_malloc(sizes[i]);
        KNEED(p != NULL);
        poke(p + sizes[i] - 1, 1);
        sys_free(p);
    }
    sys_trim();
}

// heap_check() looks into the quarantine.
KTEST(checked_write_after_free_heap_check) {
    if (checked_guarded()) return; // faults before that
    char *p = sys_malloc(50);
    KNEED(p != NULL);
    sys_free(p);
    poke(p + 7, 0);
    KCHECK_EQ(heap_check(), 1);
    KCHECK(strncmp(ktest_printed(), "heap check: C2 broken: ", 23) == 0);
    poke(p + 7, (char)CHECKED_POISON);
}

// A large area is unmapped: reading it is found, at the instruction; then it may be read.
KTEST(checked_late_read_of_a_large_area) {
    static const size_t offsets[] = {0, 4095, 4096, 9999};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        char *p = sys_malloc(10000), byte = 0;
        KNEED(p != NULL);
        memset(p, 0x3c, 10000);
        sys_free(p);
        KREPORT(HEAP_USE_AFTER_FREE, p + offsets[i], byte = peek(p + offsets[i]));
        KCHECK_EQ(byte, 0x3c);
        KCHECK_EQ(peek(p + 5000), 0x3c); // reported once, then the kernel goes on
    }
}

KTEST(checked_late_write_of_a_large_area) {
    char *p = sys_malloc(10000);
    KNEED(p != NULL);
    sys_free(p);
    KREPORT(HEAP_USE_AFTER_FREE, p + 4096, poke(p + 4096, 1));
    poke(p + 5000, 2); // C2: the area is mapped again, and later accesses go unseen
    KCHECK_EQ(heap_check(), 0);
    sys_trim();            // nor is it looked at when it leaves
    p = sys_malloc(10000); // its frames work again
    KNEED(p != NULL);
    memset(p, 1, 10000);
    sys_free(p);
}

// ---- wrong pointers: as in the fast build -------------------------------------------------------

static void refused(enum heap_fault fault, void *p) {
    KREPORT(fault, p, sys_free(p));
    KREPORT(fault, p, KCHECK_EQ(sys_realloc(p, 100), NULL));
    KREPORT(fault, p, KCHECK_EQ(sys_usable_size(p), 0));
}

// In quarantine and after that.
KTEST(checked_double_free) {
    static const size_t some[] = {1, 100, 900, 5000, 20000};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        char *keep = sys_malloc(some[i]), *p = sys_malloc(some[i]);
        KNEED(keep != NULL && p != NULL);
        sys_free(p);
        refused(HEAP_DOUBLE_FREE, p);
        sys_trim();
        bool block = !checked_guarded() && some[i] <= 900;
        refused(block ? HEAP_DOUBLE_FREE : HEAP_NOT_ALLOCATED, p);
        memset(keep, 0, some[i]);
        sys_free(keep);
    }
}

KTEST(checked_interior_pointer) {
    static const size_t some[] = {40, 1000, 20000};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        char *p = sys_malloc(some[i]);
        KNEED(p != NULL);
        refused(HEAP_INTERIOR_POINTER, p + 1);
        refused(HEAP_INTERIOR_POINTER, p + 16);
        refused(HEAP_INTERIOR_POINTER, p + some[i] - 1);
        sys_free(p);
        refused(HEAP_INTERIOR_POINTER, p + 1);
    }
}

KTEST(checked_outside) {
    char local;
    refused(HEAP_OUTSIDE, &local);
    refused(HEAP_OUTSIDE, (void *)16);
    uint32_t frame = frame_alloc(POOL_KERNEL, 1);
    KNEED(frame != FRAME_NONE);
    refused(HEAP_NOT_ALLOCATED, F2V(frame));
    frame_free(POOL_KERNEL, frame, 1);
}

static void *handler_block;

static void handler_calls(struct interrupt_frame *frame) {
    sys_free(handler_block);
    KCHECK_EQ(sys_malloc(10), NULL);
    KCHECK_EQ(sys_realloc(handler_block, 10), NULL);
    KCHECK_EQ(sys_calloc(1, 10), NULL);
    KCHECK_EQ(sys_aligned_alloc(64, 10), NULL);
    KCHECK_EQ(sys_usable_size(handler_block), 0);
}

KTEST(checked_from_interrupt) {
    handler_block = sys_malloc(100);
    KNEED(handler_block != NULL);
    uint32_t before = heap_report_count;
    interrupt_register(IRQ_BASE + SPARE_IRQ, handler_calls);
    for (int i = 0; i < 6; i++) ktest_report_expect(); // announced one by one
    __asm__ volatile("int %0" : : "i"(IRQ_BASE + SPARE_IRQ) : "memory");
    interrupt_register(IRQ_BASE + SPARE_IRQ, NULL);
    KCHECK_EQ(heap_report_count - before, 6);
    KCHECK_EQ(heap_last_report.fault, HEAP_FROM_INTERRUPT);
    sys_free(handler_block); // still live
}

// ---- the promises of memory.h -------------------------------------------------------------------

KTEST(checked_calls_keep_their_promises) {
    KCHECK_EQ(sys_malloc(0), NULL);
    KCHECK_EQ(sys_malloc(SIZE_MAX), NULL);
    KCHECK_EQ(sys_malloc(SIZE_MAX - 40), NULL);
    KCHECK_EQ(sys_calloc(0x10000, 0x10000), NULL);
    KCHECK_EQ(sys_aligned_alloc(48, 10), NULL);
    KCHECK_EQ(sys_aligned_alloc(0x80000000u, SIZE_MAX / 2), NULL);
    KCHECK_EQ(sys_usable_size(NULL), 0);
    sys_free(NULL);
    char *p = sys_calloc(10, 30);
    KNEED(p != NULL);
    for (int i = 0; i < 300; i++) KCHECK_EQ(p[i], 0);
    memset(p, 5, 300);
    p = sys_realloc(p, 3000);
    KNEED(p != NULL);
    for (int i = 0; i < 300; i++) KCHECK_EQ(p[i], 5);
    KCHECK_EQ(sys_realloc(p, 0x70000000), NULL); // no memory: p lives on
    KCHECK_EQ(p[299], 5);
    KCHECK_EQ(sys_realloc(p, 0), NULL);
    KREPORT(HEAP_DOUBLE_FREE, p, sys_free(p));
}

KTEST(checked_alignment) {
    for (size_t alignment = 1; alignment <= 32768; alignment *= 2) {
        char *p = sys_aligned_alloc(alignment, 100);
        KNEED(p != NULL);
        KCHECK_EQ((uintptr_t)p % (alignment < 16 ? 16 : alignment), 0);
        memset(p, 1, 100);
        sys_free(p);
    }
}

// A freed block is not handed out for the next CHECKED_QUARANTINE frees.
KTEST(checked_quarantine_holds) {
    char *first = sys_malloc(24);
    KNEED(first != NULL);
    sys_free(first);
    bool returned = false;
    // Under guard 1/8 of the pool is full earlier.
    uint32_t frees = checked_guarded() ? CHECKED_QUARANTINE / 2 : CHECKED_QUARANTINE;
    for (uint32_t i = 1; i < frees; i++) {
        char *p = sys_malloc(24);
        KNEED(p != NULL);
        if (p == first) returned = true;
        sys_free(p);
    }
    KCHECK(!returned);
}

// Memory in quarantine does not make a call fail: it is given back for it.
KTEST(checked_quarantine_gives_way) {
    size_t most = (size_t)frames_free(POOL_KERNEL) / 3 * 2 * PG_SIZE;
    for (int i = 0; i < 4; i++) {
        void *p = sys_malloc(most);
        KNEED(p != NULL);
        sys_free(p);
        KCHECK(frames_free(POOL_KERNEL) < most / PG_SIZE); // it waits
    }
}

// ---- who says so --------------------------------------------------------------------------------

static __attribute__((noinline)) void *allocate_here(void) { return sys_malloc(24); }
static __attribute__((noinline)) void free_there(void *p) { sys_free(p); }

KTEST(checked_who_names_both_sites) {
    char who[HEAP_WHO_MAX];
    void *keep = sys_malloc(24), *p = allocate_here(); // `keep`: the arena stays open
    KNEED(keep != NULL && p != NULL);
    heap_who(who, sizeof who, (uintptr_t)p);
    KCHECK(ktest_contains(who, ", live, 24 bytes from 0x"));
    KCHECK(ktest_contains(who, " for thread main at allocate_here+"));
    KCHECK(!ktest_contains(who, "freed by"));
    free_there(p);
    heap_who(who, sizeof who, (uintptr_t)p);
    KCHECK(ktest_contains(who, ", in quarantine, 24 bytes from 0x"));
    KCHECK(ktest_contains(who, ", freed by thread main at free_there+"));
    sys_trim();
    heap_who(who, sizeof who, (uintptr_t)p);
    KCHECK(checked_guarded() || ktest_contains(who, ", free, 24 bytes from 0x"));
    KCHECK(checked_guarded() || ktest_contains(who, ", freed by thread main at free_there+"));
    sys_free(keep);
}

KTEST(checked_leaks_by_site) {
    void *p = allocate_here(), *q = allocate_here();
    KNEED(p != NULL && q != NULL);
    ktest_printed_clear();
    uint32_t with = heap_leaks(NULL);
    KCHECK(ktest_contains(ktest_printed(), "leaks: 2 blocks, 48 bytes from allocate_here+"));
    free_there(p);
    free_there(q);
    ktest_printed_clear();
    KCHECK_EQ(heap_leaks(NULL), with - 2);
    KCHECK(!ktest_contains(ktest_printed(), "allocate_here"));
}

// ---- threads ------------------------------------------------------------------------------------

// Each has blocks of its own and frees those of its neighbour, at every tick somewhere else.
static void *volatile shared[64];

static int churn(void *argument) {
    uint32_t seed = (uint32_t)(uintptr_t)argument;
    for (int i = 0; i < 400; i++) {
        seed = seed * 1664525 + 1013904223;
        void *mine = sys_malloc(1 + (seed >> 16) % 1500);
        void *other;
        __asm__ volatile("xchgl %0, %1"
                         : "=r"(other), "+m"(shared[seed >> 26])
                         : "0"(mine)
                         : "memory");
        sys_free(other);
    }
    return 0;
}

KTEST(checked_threads) {
    struct thread *thread[4];
    for (uintptr_t i = 0; i < 4; i++) {
        thread[i] = thread_create("churn", PRIORITY_DEFAULT, churn, (void *)(i + 1));
    }
    for (int i = 0; i < 4; i++) {
        if (KCHECK(thread[i] != NULL)) thread_join(thread[i]);
    }
    for (int i = 0; i < 64; i++) {
        sys_free(shared[i]);
        shared[i] = NULL;
    }
}
