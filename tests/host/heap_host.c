// heap_host.c - see heap_host.h. Everything kernel/memory.c and kernel/inspect/heapcheck.c ask for.
#include "tests/host/heap_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "kernel/inspect/heapcheck.h"
#include "lib/print.h"

#define WINDOW_BYTES ((size_t)HOST_FRAMES_MAX * PG_SIZE)
#define WINDOW_ALIGN ((size_t)4 << 20) // as kernel/layout.h has it

uintptr_t host_heap_base;
uint32_t host_total_memory;
bool host_in_interrupt;
bool (*host_grow)(struct pool *pool, uint32_t count);
bool host_irqs_off;
bool host_several;
bool host_local;
struct memory_block_desc *host_bring, *host_gather;
uint32_t host_kept, host_fill;
bool host_none;
uint32_t host_fast_entries, host_slow_entries;
void (*host_unlocked)(void);

// Records: just as many as the pools have frames, from malloc(), so that ASan sees a step outside.
static struct frame *kernel_frame, *user_frame;
static struct arena *arena;
static uint32_t *kernel_anchor, *user_anchor;
static struct port_run kernel_run[HOST_RUNS_MAX], user_run;
static size_t kernel_runs;
static uint32_t kernel_frames;

static bool locked, window_open;
static struct host_report report;
static char printed[4096];
static size_t printed_length;

// ---- what the heap asks for --------------------------------------------------------------------

port_state port_lock(const struct heap *heap) {
    (void)heap;
    assert_false(locked);
    locked = true;
    host_slow_entries++;
    return 0x10c; // any number: it must come back
}

void port_unlock(const struct heap *heap, port_state state) {
    (void)heap;
    assert_true(locked);
    assert_int_equal(state, 0x10c);
    locked = false;
    if (host_unlocked) host_unlocked();
}

bool host_open(struct memory_block_desc *desc) {
    if (host_kept == 0) return false;
    host_kept--;
    uint32_t frame = frame_alloc(POOL_KERNEL, desc->frames_per_arena);
    if (frame == FRAME_NONE) return false;
    k_heap.small_frames += desc->frames_per_arena;
    k_heap.pool.frame[frame].run &= ~FRAME_LENT; // an arena's
    arena_make(desc, &k_heap.pool.frame[frame]);
    return true;
}

void port_pool(enum pool_id id, struct port_pool *out) {
    *out = (struct port_pool){
        .phys = HOST_PHYS,
        .base = host_heap_base,
        .frames = kernel_frames,
        .frame = kernel_frame,
        .arena = arena,
        .anchor = kernel_anchor,
        .run = kernel_run,
        .runs = kernel_runs,
    };
    if (id == POOL_KERNEL) return;
    *out = (struct port_pool){
        .phys = HOST_PHYS + (uint64_t)kernel_frames * PG_SIZE,
        .frames = user_run.count,
        .frame = user_frame,
        .anchor = user_anchor,
        .run = &user_run,
        .runs = 1,
    };
}

void port_report(const struct heap *heap, enum heap_fault fault, uintptr_t pointer,
                 uintptr_t caller) {
    (void)heap;
    assert_false(locked); // port.h promises it
    assert_int_equal(report.fault, HEAP_OK);
    report = (struct host_report){fault, pointer, caller};
}

static void print(const char *text) {
    size_t length = strlen(text);
    if (length >= sizeof printed - printed_length) return;
    memcpy(printed + printed_length, text, length + 1);
    printed_length += length;
}

void put_str(const char *text) { print(text); }

void kprintf(const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    print(line);
}

int ksnprintf(char *to, size_t room, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(to, room, format, args);
    va_end(args);
    return length;
}

// ---- a fresh heap ------------------------------------------------------------------------------

// The window is mapped once, with room to find an aligned start in it.
static void window_map(void) {
    void *at = mmap(NULL, WINDOW_BYTES + WINDOW_ALIGN, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) abort();
    host_heap_base = ((uintptr_t)at + WINDOW_ALIGN - 1) / WINDOW_ALIGN * WINDOW_ALIGN;
}

static void records_make(uint32_t frames) {
    free(kernel_frame);
    free(user_frame);
    free(arena);
    free(kernel_anchor);
    free(user_anchor);
    kernel_frame = calloc(frames, sizeof *kernel_frame);
    user_frame = calloc(user_run.count, sizeof *user_frame);
    arena = calloc(frames, sizeof *arena);
    kernel_anchor = calloc(POOL_ANCHOR_WORDS(frames), sizeof *kernel_anchor);
    user_anchor = calloc(POOL_ANCHOR_WORDS(user_run.count), sizeof *user_anchor);
    if (!kernel_frame || !user_frame || !arena || !kernel_anchor || !user_anchor) abort();
}

static void window_protect(uint32_t frames, int how) {
    if (mprotect((void *)host_heap_base, (size_t)frames * PG_SIZE, how) != 0) abort();
    window_open = how != PROT_NONE;
}

void host_window_close(void) { window_protect(kernel_frames, PROT_NONE); }
void host_window_open(void) { window_protect(kernel_frames, PROT_READ | PROT_WRITE); }

static void heap_start(uint32_t frames, const struct port_run *run, size_t runs) {
    assert_true(frames <= HOST_FRAMES_MAX && runs <= HOST_RUNS_MAX);
    if (host_heap_base == 0) window_map();
    window_protect(HOST_FRAMES_MAX, PROT_NONE); // so that nothing is mapped after the pool
    kernel_frames = frames;
    host_window_open();
    memset((void *)host_heap_base, 0xa5, (size_t)frames * PG_SIZE);
    records_make(frames);
    locked = false;
    host_in_interrupt = false;
    host_grow = NULL;
    host_irqs_off = host_several = host_local = false;
    host_bring = host_gather = NULL;
    host_kept = host_fill = 0;
    host_none = false;
    host_unlocked = NULL;
    report.fault = HEAP_OK;
    printed_length = 0;
    printed[0] = '\0';
    memcpy(kernel_run, run, runs * sizeof *run);
    kernel_runs = runs;
    host_total_memory = (frames + user_run.count) * PG_SIZE;
    memory_init();
}

void host_heap_start_runs(uint32_t frames, const struct port_run *run, size_t runs) {
    user_run.count = HOST_USER_FRAMES;
    heap_start(frames, run, runs);
}

void host_heap_start_user(uint32_t frames, uint32_t user_frames) {
    const struct port_run all = {0, frames};
    assert_true(user_frames <= HOST_USER_FRAMES_MAX);
    user_run.count = user_frames;
    heap_start(frames, &all, 1);
}

void host_heap_start(uint32_t frames) {
    struct port_run all = {0, frames};
    host_heap_start_runs(frames, &all, 1);
}

void host_heap_end(void) {
    assert_false(locked);
    assert_int_equal(report.fault, HEAP_OK);
    host_window_open();
    if (heap_check() != 0) fail_msg("%s", printed);
}

struct host_report host_report_take(void) {
    struct host_report taken = report;
    report.fault = HEAP_OK;
    return taken;
}

const char *host_printed(void) { return printed; }

// ---- state -------------------------------------------------------------------------------------

// One part of the state: where it is, and a copy of it.
struct part {
    const void *at;
    size_t bytes;
    void *copy;
};

static struct part part[7];
static unsigned char saved_window[WINDOW_BYTES];
static bool window_saved; // it was open then

void host_state_save(void) {
    const struct part now[] = {
        {&k_heap, sizeof k_heap, NULL},
        {mem_pool[POOL_USER], sizeof(struct pool), NULL},
        {kernel_frame, kernel_frames * sizeof *kernel_frame, NULL},
        {user_frame, user_run.count * sizeof *user_frame, NULL},
        {arena, kernel_frames * sizeof *arena, NULL},
        {kernel_anchor, POOL_ANCHOR_WORDS(kernel_frames) * sizeof *kernel_anchor, NULL},
        {user_anchor, POOL_ANCHOR_WORDS(user_run.count) * sizeof *user_anchor, NULL},
    };
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        free(part[i].copy);
        part[i] = now[i];
        part[i].copy = malloc(part[i].bytes);
        if (!part[i].copy) abort();
        memcpy(part[i].copy, part[i].at, part[i].bytes);
    }
    window_saved = window_open;
    if (window_saved) {
        memcpy(saved_window, (void *)host_heap_base, (size_t)kernel_frames * PG_SIZE);
    }
}

void host_state_assert_unchanged(void) {
    assert_false(locked);
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        assert_memory_equal(part[i].copy, part[i].at, part[i].bytes);
    }
    if (window_saved && window_open) {
        size_t bytes = (size_t)kernel_frames * PG_SIZE;
        assert_int_equal(memcmp(saved_window, (void *)host_heap_base, bytes), 0);
    }
}

uint32_t host_longest_run(enum pool_id id) {
    const struct pool *pool = mem_pool[id];
    uint32_t longest = 0;
    for (uint32_t at = 0; at < pool->frames;) {
        uint32_t tag = pool->frame[at].run, length = FRAME_RUN(tag);
        if ((tag & FRAME_FREE) && length > longest) longest = length;
        at += length > 0 ? length : 1;
    }
    return longest;
}
