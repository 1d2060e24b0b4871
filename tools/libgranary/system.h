// system.h - what the library asks of Linux, past the C library's own functions.
//
// malloc() and free() are called with locks held, between a program's two looks at errno, in
// threads that may be cancelled. So nothing under them may set errno, be a cancellation point,
// allocate, or take a lock of the C library's: of that library the heap uses syscall() and
// functions that touch memory only (tests/e2e/test_libgranary.py holds its imports against a list).
#pragma once

#include <errno.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// The system's answer: -errno for a refusal. errno itself stays as it was.
#define SYSTEM(...)                          \
    ({                                       \
        int saved_ = errno;                  \
        long result_ = syscall(__VA_ARGS__); \
        if (result_ == -1) result_ = -errno; \
        errno = saved_;                      \
        result_;                             \
    })

#ifdef SYS_mmap2
#define SYSTEM_MMAP SYS_mmap2 // counts the offset in pages: 0 either way
#else
#define SYSTEM_MMAP SYS_mmap
#endif

// Anonymous memory of this process alone; NULL if the system refuses.
static inline void *system_map(void *at, size_t bytes, int access, int flags) {
    long got = SYSTEM(SYSTEM_MMAP, at, bytes, access, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0L);
    return got < 0 && got > -4096 ? NULL : (void *)got;
}
static inline void system_unmap(void *at, size_t bytes) { SYSTEM(SYS_munmap, at, bytes); }
// The same just there, to be read and written: 0, or -EEXIST if something is there already, or the
// system's other reasons.
static inline int system_map_at(void *at, size_t bytes) {
    long got = SYSTEM(SYSTEM_MMAP, at, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0L);
    if (got == (long)at) return 0;
    if (got < 0 && got > -4096) return (int)got;
    system_unmap((void *)got, bytes); // systems that take the flag for no more than a wish
    return -EEXIST;
}
static inline bool system_protect(void *at, size_t bytes, int access) {
    return SYSTEM(SYS_mprotect, at, bytes, access) == 0;
}
static inline bool system_advise(void *at, size_t bytes, int advice) {
    return SYSTEM(SYS_madvise, at, bytes, advice) == 0;
}

static inline uint32_t system_thread(void) { return (uint32_t)SYSTEM(SYS_gettid); }

// Sleeps while *word is `value`; returns at once if it is not, and sometimes without a reason.
static inline void system_sleep(const uint32_t *word, uint32_t value) {
    SYSTEM(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL);
}
static inline void system_wake(const uint32_t *word, int threads) {
    SYSTEM(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads);
}

// A lock that is seldom wanted by two: 1 while a thread has it.
static inline void system_lock(uint32_t *held) {
    while (__atomic_exchange_n(held, 1, __ATOMIC_ACQUIRE)) system_sleep(held, 1);
}

static inline void system_unlock(uint32_t *held) {
    __atomic_store_n(held, 0, __ATOMIC_RELEASE);
    system_wake(held, 1);
}
