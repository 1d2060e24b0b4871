// test_heap_misuse.c - wrong calls: each gives its one report, and leaves the heap as it was.
//
// KREPORT() sees to the one report, the end of every test to the frames and to heap_check(). What
// was live stays usable: each test frees it afterwards, and that must give no report. Whatever
// table of block sizes was booted (ktest_heap.h).
#include "kernel/inspect/heapcheck.h"
#include "kernel/interrupt.h"
#include "kernel/layout.h"
#include "kernel/memory.h"
#include "kernel/paging.h"
#include "kernel/inspect/report.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"
#include "tests/kernel/ktest_heap.h"

// Every call that takes a pointer must refuse `p` for the same reason.
static void refused(enum heap_fault fault, void *p) {
    KREPORT(fault, p, sys_free(p));
    KREPORT(fault, p, KCHECK_EQ(sys_realloc(p, 100), NULL));
    KREPORT(fault, p, KCHECK_EQ(sys_realloc(p, 0), NULL));
    KREPORT(fault, p, KCHECK_EQ(sys_usable_size(p), 0));
}

// Case 10, the arena alive: other blocks of it are in use.
KTEST(heap_double_free) {
    void *keep = sys_malloc(100), *p = sys_malloc(100);
    KNEED(keep != NULL && p != NULL);
    sys_free(p);
    refused(HEAP_DOUBLE_FREE, p);
    void *again = sys_malloc(100), *other = sys_malloc(100);
    KCHECK_EQ(again, p);
    KCHECK(other != p); // twice on a free list, it would be handed out twice
    sys_free(other);
    sys_free(again);
    sys_free(keep);
}

// Case 10, the arena given back: its page still is in the heap window, and must not be believed.
KTEST(heap_double_free_of_a_closed_arena) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        struct chain others = {NULL};
        void *p = ktest_open_arena(&k_heap.block_descs[i], &others);
        KNEED(p != NULL);
        sys_free(p);
        KCHECK_EQ(sys_trim(), k_heap.block_descs[i].frames_per_arena);
        refused(HEAP_NOT_ALLOCATED, p);
        ktest_give_all(&others);
    }
}

// Case 11.
KTEST(heap_double_free_of_a_large_area) {
    void *p = sys_malloc(20000);
    KNEED(p != NULL);
    sys_free(p);
    refused(HEAP_NOT_ALLOCATED, p);
}

static void check_interior(const struct memory_block_desc *desc) {
    uint32_t size = desc->block_size, arena = desc->frames_per_arena * PG_SIZE;
    struct chain others = {NULL};
    char *p = ktest_open_arena(desc, &others); // block 0 of an arena
    KNEED(p != NULL);
    static const uint32_t fake[3] = {0, 1, 1}; // the seed's meta data: desc, cnt, large
    memcpy(p, fake, sizeof fake);
    // The last is the arena's last byte: of its last block, or of the rest after that.
    uint32_t offsets[] = {1, 4, 8, 12, 15, 16, 32, size / 2, size - 1, size + 1, arena - 1};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        if (offsets[i] % size == 0) continue; // of the smallest sizes: a block
        if (offsets[i] < arena) refused(HEAP_INTERIOR_POINTER, p + offsets[i]);
    }
    sys_free(p);
    ktest_give_all(&others);
}

// Case 12, inside blocks of every size. A header that the user's own data fakes where the seed has
// the arena's means nothing.
KTEST(heap_interior_pointer) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) check_interior(&k_heap.block_descs[i]);
}

// Case 12, inside a large area: in its first page, at a page's start, in its last byte; with faked
// headers there too.
KTEST(heap_interior_pointer_of_a_large_area) {
    char *p = sys_malloc(3 * PG_SIZE);
    KNEED(p != NULL);
    static const uint32_t offsets[] = {1,       16,           1024,        PG_SIZE - 1,
                                       PG_SIZE, PG_SIZE + 12, 2 * PG_SIZE, 3 * PG_SIZE - 1};
    static const uint32_t fake[3] = {0, 1, 1};
    for (uint32_t page = 0; page < 3; page++) memcpy(p + page * PG_SIZE, fake, sizeof fake);
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        refused(HEAP_INTERIOR_POINTER, p + offsets[i]);
    }
    sys_free(p);
}

// Case 13: a block that was never handed out, in an arena that is in use: all but the first of one
// that was just opened.
KTEST(heap_never_handed_out) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        const struct memory_block_desc *desc = &k_heap.block_descs[i];
        struct chain others = {NULL};
        char *p = ktest_open_arena(desc, &others);
        KNEED(p != NULL);
        for (uint32_t block = 1; block < desc->blocks_per_arena; block++) {
            char *at = p + block * desc->block_size;
            KREPORT(HEAP_NOT_ALLOCATED, at, sys_free(at));
        }
        sys_free(p);
        ktest_give_all(&others);
    }
}

static char data[64] = "not of the heap";

// Case 14: nothing of these is read before it is refused; some would fault.
KTEST(heap_outside) {
    char stack[64] = "";
    uintptr_t past = HEAP_BASE + (k_heap.pool.frames << PG_SHIFT);
    void *const places[] = {stack,
                            data,
                            (void *)(uintptr_t)sys_malloc,
                            (void *)7,
                            (void *)16,
                            (void *)UINT32_MAX,
                            (void *)(HEAP_BASE - 16),
                            (void *)past,
                            (void *)(past + 16),
                            (void *)STACK_BASE,
                            (void *)(KERNEL_BASE - 16),
                            &k_heap.pool};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        refused(HEAP_OUTSIDE, places[i]);
    }
    KCHECK_EQ(memcmp(data, "not of the heap", 16), 0);
}

// A frame that the pool handed out for another use is in the window and no arena.
KTEST(heap_frame_of_another_owner) {
    uint32_t frame = frame_alloc(POOL_KERNEL, 2);
    KNEED(frame != FRAME_NONE);
    refused(HEAP_NOT_ALLOCATED, (void *)(HEAP_BASE + frame * PG_SIZE));
    refused(HEAP_NOT_ALLOCATED, (void *)(HEAP_BASE + (frame + 1) * PG_SIZE + 32));
    frame_free(POOL_KERNEL, frame, 2);
    KREPORT(HEAP_NOT_ALLOCATED, HEAP_BASE + frame * PG_SIZE, frame_free(POOL_KERNEL, frame, 2));
    uint32_t frames = mem_pool[POOL_USER]->frames;
    KREPORT(HEAP_OUTSIDE, (uintptr_t)frame_address(POOL_USER, frames),
            frame_free(POOL_USER, frames, 1));
}

// Part of a run, or more than the run, is not the run.
KTEST(heap_frames_go_back_whole) {
    uint32_t frame = frame_alloc(POOL_USER, 4);
    KNEED(frame != FRAME_NONE);
    static const struct {
        uint32_t skip, count;
    } wrong[] = {{0, 3}, {0, 5}, {0, 0}, {1, 3}, {3, 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint32_t first = frame + wrong[i].skip;
        KREPORT(HEAP_NOT_ALLOCATED, (uintptr_t)frame_address(POOL_USER, first),
                frame_free(POOL_USER, first, wrong[i].count));
    }
    frame_free(POOL_USER, frame, 4);
}

// Case 15: a record that was overwritten is noticed, its block is not taken back, and nothing is
// closed.
KTEST(heap_corrupt_arena) {
    void *p = sys_malloc(200);
    KNEED(p != NULL);
    struct arena *arena;
    uint32_t block;
    KNEED(heap_classify(&k_heap, (uintptr_t)p, &arena, &block) == HEAP_OK);
    struct arena saved = *arena;
    arena->cnt ^= 5;
    refused(HEAP_CORRUPT_ARENA, p);
    *arena = saved;
    arena->desc = arena->desc == k_heap.block_descs ? k_heap.block_descs + 1 : k_heap.block_descs;
    refused(HEAP_CORRUPT_ARENA, p);
    *arena = saved;
    arena->large = 1;
    refused(HEAP_CORRUPT_ARENA, p);
    *arena = saved;
    arena->base += PG_SIZE;
    refused(HEAP_CORRUPT_ARENA, p);
    KCHECK(heap_check() != 0);
    *arena = saved;
    sys_free(p);
}

// The current test printed these words, in this order.
static void check_printed(const char *const *words, size_t count) {
    const char *text = ktest_printed();
    for (size_t i = 0; i < count; i++) {
        const char *at = text;
        while (*at && strncmp(at, words[i], strlen(words[i])) != 0) at++;
        if (!KCHECK(*at != '\0')) kprintf("not printed: %s\n", words[i]);
        text = *at ? at + strlen(words[i]) : text;
    }
}

// The line itself: fault, pointer, whose it is, who called, which thread.
KTEST(heap_report_text) {
    void *keep = sys_malloc(24), *p = sys_malloc(24);
    KNEED(keep != NULL && p != NULL);
    sys_free(p);
    ktest_printed_clear();
    KREPORT(HEAP_DOUBLE_FREE, p, sys_free(p));
    const char *text = ktest_printed();
    KCHECK_EQ(strncmp(text, "heap: double free: 0x8", 22), 0);
    KCHECK_EQ(strncmp(text + 29, ": block ", 8), 0);
    char arena[40];
    ksnprintf(arena, sizeof arena, " of the %u-byte arena 0x8", ktest_usable(24));
    const char *const words[] = {arena, "kernel_pool frame ", ", free; called from ",
                                 "ktest_heap_report_text+0x", ", thread main\n"};
    check_printed(words, sizeof words / sizeof words[0]);
    sys_free(keep);
}

// frame_free() of a wrong frame: the line names that frame, by its own pool's count.
static void check_frame_named(enum pool_id pool, uint32_t frame, uint32_t count,
                              const char *state) {
    char name[32];
    ksnprintf(name, sizeof name, "%s frame %u, ", mem_pool[pool]->name, frame);
    uintptr_t at = pool == POOL_KERNEL ? HEAP_BASE + frame * PG_SIZE
                                       : (uintptr_t)frame_address(POOL_USER, frame);
    ktest_printed_clear();
    KREPORT(HEAP_NOT_ALLOCATED, at, frame_free(pool, frame, count));
    const char *const words[] = {"heap: not allocated: 0x", name, state, "; called from "};
    check_printed(words, sizeof words / sizeof words[0]);
}

KTEST(heap_report_names_the_frame) {
    char run[48];
    uint32_t user = frame_alloc(POOL_USER, 4), kernel = frame_alloc(POOL_KERNEL, 4);
    KNEED(user != FRAME_NONE && kernel != FRAME_NONE);
    ksnprintf(run, sizeof run, "of the run of 4 from frame %u", user);
    check_frame_named(POOL_USER, user, 3, run);
    check_frame_named(POOL_USER, user + 3, 1, run);
    check_frame_named(POOL_KERNEL, kernel, 3, "held outside the heap");
    frame_free(POOL_USER, user, 4);
    frame_free(POOL_KERNEL, kernel, 4);
    check_frame_named(POOL_USER, user, 4, "not handed out");
    check_frame_named(POOL_KERNEL, kernel, 4, "not handed out");
    // With enough memory a user frame's physical address is one of the heap's window, too.
    uint64_t phys = mem_pool[POOL_USER]->phys;
    uint32_t twin = phys <= HEAP_BASE ? (uint32_t)((HEAP_BASE - phys) >> PG_SHIFT) : 0;
    if (twin > 0 && twin < mem_pool[POOL_USER]->frames)
        check_frame_named(POOL_USER, twin, 1, "not handed out");
}

// Past a pool's end there is no frame to name, and none must be: not even where the address, of 32
// bits, wraps into the pool.
KTEST(heap_report_names_no_frame) {
    static const char *const words[] = {"heap: outside the heap: 0x", ": no frame of a pool; "};
    uint32_t past[] = {mem_pool[POOL_USER]->frames, 0x100000, UINT32_MAX};
    for (size_t i = 0; i < sizeof past / sizeof past[0]; i++) {
        ktest_printed_clear();
        KREPORT(HEAP_OUTSIDE, (uintptr_t)frame_address(POOL_USER, past[i]),
                frame_free(POOL_USER, past[i], 1));
        check_printed(words, 2);
        ktest_printed_clear();
        uint32_t kernel = i > 0 ? past[i] : k_heap.pool.frames;
        KREPORT(HEAP_OUTSIDE, HEAP_BASE + kernel * PG_SIZE, frame_free(POOL_KERNEL, kernel, 1));
        check_printed(words, 2);
    }
}

// ---- interrupts ---------------------------------------------------------------------------------

#define SPARE_IRQ 5 // no device of ours; its vector is raised by an instruction

static void *handler_block;
static void *handler_got;

static void handler_frees(struct interrupt_frame *frame) { sys_free(handler_block); }
static void handler_allocates(struct interrupt_frame *frame) { handler_got = sys_malloc(100); }
static void handler_allocates_much(struct interrupt_frame *frame) {
    handler_got = sys_calloc(2, 5000);
}
static void handler_resizes(struct interrupt_frame *frame) {
    handler_got = sys_realloc(handler_block, 500);
}
static void handler_aligns(struct interrupt_frame *frame) {
    handler_got = sys_aligned_alloc(8192, 100);
}

static void in_interrupt(interrupt_handler *handler) {
    interrupt_register(IRQ_BASE + SPARE_IRQ, handler);
    __asm__ volatile("int %0" : : "i"(IRQ_BASE + SPARE_IRQ) : "memory");
    interrupt_register(IRQ_BASE + SPARE_IRQ, NULL);
}

// Case 19: every call from an interrupt handler is refused with a report, whatever was interrupted.
KTEST(heap_from_interrupt) {
    handler_block = sys_malloc(100);
    KNEED(handler_block != NULL);
    memset(handler_block, 0x77, 100);
    KREPORT(HEAP_FROM_INTERRUPT, handler_block, in_interrupt(handler_frees));
    handler_got = handler_block;
    KREPORT(HEAP_FROM_INTERRUPT, 0, in_interrupt(handler_allocates));
    KCHECK_EQ(handler_got, NULL);
    handler_got = handler_block;
    KREPORT(HEAP_FROM_INTERRUPT, 0, in_interrupt(handler_allocates_much));
    KCHECK_EQ(handler_got, NULL);
    handler_got = handler_block;
    KREPORT(HEAP_FROM_INTERRUPT, handler_block, in_interrupt(handler_resizes));
    KCHECK_EQ(handler_got, NULL);
    handler_got = handler_block;
    KREPORT(HEAP_FROM_INTERRUPT, 0, in_interrupt(handler_aligns));
    KCHECK_EQ(handler_got, NULL);
    KCHECK(*(char *)handler_block == 0x77);
    sys_free(handler_block); // still live
}

// One round of every call; the interrupt flag must be `on` after each.
static void calls_keep_flag(uint32_t flag) {
    void *p = sys_malloc(100);
    KCHECK_EQ(eflags_read() & EFLAGS_IF, flag);
    p = sys_realloc(p, 5000);
    KCHECK_EQ(eflags_read() & EFLAGS_IF, flag);
    KCHECK(p != NULL && sys_usable_size(p) == ktest_usable(5000));
    KCHECK_EQ(eflags_read() & EFLAGS_IF, flag);
    p = sys_realloc(p, KTEST_LARGE);
    KCHECK_EQ(eflags_read() & EFLAGS_IF, flag);
    sys_free(p);
    KCHECK_EQ(eflags_read() & EFLAGS_IF, flag);
    sys_free(sys_calloc(3, 10));
    KCHECK_EQ(eflags_read() & EFLAGS_IF, flag);
    sys_free(sys_aligned_alloc(8192, 10));
    KCHECK_EQ(sys_malloc(UINT32_MAX), NULL);
    KREPORT(HEAP_OUTSIDE, 7, sys_free((void *)7));
    sys_trim();
    KCHECK_EQ(heap_check(), 0);
    KCHECK_EQ(eflags_read() & EFLAGS_IF, flag);
}

// Case 20: with interrupts off the heap works, and off they stay; on likewise.
KTEST(heap_interrupt_flag_is_kept) {
    calls_keep_flag(EFLAGS_IF);
    uint32_t state = irq_save();
    calls_keep_flag(0);
    irq_restore(state);
    KCHECK(irq_enabled());
}
