// owners_host.h - what tests of owners (tools/libgranary/owners.h) share: marks for live blocks,
// and a run with and one without membarrier(). Linked with all of libgranary, whose malloc() and
// free() carry a granary_ in front.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/libgranary/owners.h"
#include "tools/libgranary/settings.h"

#ifndef GRANARY_PORT // what looks at this file without it (make lint) has not seen port.h
enum page_state { PAGE_GONE, PAGE_TOUCHED, PAGE_PAID };
extern uint8_t *granary_touched_at;
extern __thread struct owner *granary_me;
extern uint32_t granary_highest, granary_touched_end, granary_held, granary_common_held;
extern int32_t granary_credit;
bool granary_touched(uintptr_t p);
bool granary_touched_all(uint32_t first, uint32_t count);
uint32_t granary_touched_run(uint32_t first, uint32_t count, uint32_t least, uint32_t *found);
uint32_t granary_pages_give(uint32_t first, uint32_t count, uint32_t least, enum page_state then);
#endif

void *granary_malloc(size_t size);
void granary_free(void *p);
void *granary_realloc(void *p, size_t size);
void *granary_aligned_alloc(size_t alignment, size_t size);
int granary_malloc_trim(size_t pad);

#define WINDOW ((size_t)64 << 20)
#define BALLAST (HOME_FRAMES + 76) // pages that make a heap a large one, and some

// ---- which blocks are live ----------------------------------------------------------------------

static uint8_t marks[WINDOW / BLOCK_ALIGN]; // by granule of 16 bytes
static uint32_t overlaps;

static inline uint8_t *mark_of(const void *p) {
    return &marks[((uintptr_t)p - k_heap.base) / BLOCK_ALIGN];
}

static inline void *take(size_t size) {
    void *p = granary_malloc(size);
    if (!p) return NULL;
    if (__atomic_exchange_n(mark_of(p), 1, __ATOMIC_ACQ_REL) != 0)
        __atomic_fetch_add(&overlaps, 1, __ATOMIC_RELAXED);
    memset(p, 0x5a, size);
    return p;
}

static inline struct arena *arena_at(const void *p) {
    return record_of(&k_heap, (uintptr_t)p - k_heap.base);
}

static inline void unmark(void *p) { __atomic_store_n(mark_of(p), 0, __ATOMIC_RELEASE); }

static inline void give(void *p) {
    if (p) unmark(p);
    granary_free(p);
}

// ---- the library --------------------------------------------------------------------------------

static inline void pages_are_plenty(void) { STORE(granary_highest, UINT32_MAX / 4); }

// A size is no guest any more, as if its host had had no blocks left.
static inline void front_of_its_own(size_t size) {
    const struct memory_block_desc *own = k_heap.desc_of[(size - 1) / BLOCK_ALIGN];
    size_t at =
        offsetof(struct owner, front) + (size_t)(own - k_heap.block_descs) * sizeof(struct front);
    for (size_t slot = 0; slot < k_heap.block_max / BLOCK_ALIGN; slot++) {
        if (k_heap.desc_of[slot] == own) granary_me->front_at[slot] = (uint16_t)at;
    }
}

// From here on arenas are as long as they can be, and no pages are given back.
static inline void arenas_are_long(size_t size) {
    granary_malloc_trim(0); // of short ones
    front_of_its_own(size);
    front_for(granary_me, size)->opened = 1000;
    pages_are_plenty();
}

// No standard error, as thousands of lines would come; returns what it was.
static inline int silence(void) {
    int saved = dup(STDERR_FILENO), none = open("/dev/null", O_WRONLY);
    dup2(none, STDERR_FILENO);
    close(none);
    return saved;
}

static inline void speak(int saved) {
    dup2(saved, STDERR_FILENO);
    close(saved);
}

// ---- the program --------------------------------------------------------------------------------

// A system that has no membarrier(), as old ones and some sandboxes: of this process and what it
// becomes (seccomp(2)).
static inline void without_barrier(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

// The window is as large as the marks; it is read before main(), so the program starts once more.
static inline void owners_window(char **argv) {
    if (getenv("GRANARY_WINDOW")) return;
    setenv("GRANARY_WINDOW", "64M", 1);
    execv("/proc/self/exe", argv);
}

// All of it a second time, without membarrier(). Returns what main() is to return.
static inline int owners_again(char **argv, int failed) {
    if (failed || getenv("WITHOUT_BARRIER")) return failed;
    fflush(NULL);
    setenv("WITHOUT_BARRIER", "1", 1);
    without_barrier();
    execv("/proc/self/exe", argv);
    return 2;
}
