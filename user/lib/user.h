// user.h - what a program of Granary has: the system calls under their names, and printf().
//
// The calls, their errors and limits: docs/processes.md. lib/string.h is linked in as well.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/string.h"
#include "process/syscall_table.h"

// 1: the calls go by `sysenter`, 0: by `int 0x80`. Set at the start (crt0.asm); 0 is always right.
extern uint32_t user_sysenter;

// Ring 3 goes on with what is in ecx and edx: esp, and the instruction after this one.
#define SYSENTER "movl %%esp, %%ecx\n\tmovl $1f, %%edx\n\tsysenter\n1:"

// The call itself, with any numbers. Here and in what follows the compiler sees the instruction, so
// that a report names the place in the program that made the call, and not one in a library.
static inline uint32_t syscall(uint32_t number, uint32_t a, uint32_t b, uint32_t c) {
    if (user_sysenter) {
        __asm__ volatile(SYSENTER
                         : "+a"(number)
                         : "b"(a), "S"(b), "D"(c)
                         : "ecx", "edx", "memory", "cc");
    } else {
        __asm__ volatile("int $0x80" : "+a"(number) : "b"(a), "c"(b), "d"(c) : "memory");
    }
    return number;
}

// With one argument.
static inline uint32_t syscall_1(uint32_t number, uint32_t a) {
    if (user_sysenter) {
        __asm__ volatile(SYSENTER : "+a"(number) : "b"(a) : "ecx", "edx", "memory", "cc");
    } else {
        __asm__ volatile("int $0x80" : "+a"(number) : "b"(a) : "memory");
    }
    return number;
}

static inline uint32_t address_of(const volatile void *p) { return (uint32_t)(uintptr_t)p; }
static inline void *pointer_to(uint32_t p) { return (void *)(uintptr_t)p; }

_Noreturn static inline void exit(int status) {
    syscall_1(SYS_exit, (uint32_t)status);
    __builtin_unreachable();
}

static inline int write(int file, const void *bytes, size_t count) {
    return (int)syscall(SYS_write, (uint32_t)file, address_of(bytes), count);
}

static inline int read(int file, void *bytes, size_t count) {
    return (int)syscall(SYS_read, (uint32_t)file, address_of(bytes), count);
}

static inline int open(const char *name) { return (int)syscall_1(SYS_open, address_of(name)); }
// A file in memory, to be written and read; made where it is missing, and emptied unless `keep`.
static inline int create(const char *name, int keep) {
    return (int)syscall(SYS_create, address_of(name), (uint32_t)keep, 0);
}

// from: 0 the start, 1 where it is, 2 the end.
static inline int seek(int file, int offset, int from) {
    return (int)syscall(SYS_seek, (uint32_t)file, (uint32_t)offset, (uint32_t)from);
}

static inline int remove(const char *name) { return (int)syscall_1(SYS_remove, address_of(name)); }
static inline int close(int file) { return (int)syscall_1(SYS_close, (uint32_t)file); }
static inline void *malloc(size_t size) { return pointer_to(syscall_1(SYS_malloc, size)); }
static inline void free(void *p) { syscall_1(SYS_free, address_of(p)); }

static inline void *calloc(size_t count, size_t size) {
    return pointer_to(syscall(SYS_calloc, count, size, 0));
}

static inline void *realloc(void *p, size_t size) {
    return pointer_to(syscall(SYS_realloc, address_of(p), size, 0));
}

static inline void *aligned_alloc(size_t alignment, size_t size) {
    return pointer_to(syscall(SYS_aligned_alloc, alignment, size, 0));
}

static inline size_t usable_size(void *p) { return syscall_1(SYS_usable_size, address_of(p)); }
static inline int yield(void) { return (int)syscall_1(SYS_yield, 0); }
static inline int sleep_ms(uint32_t milliseconds) {
    return (int)syscall_1(SYS_sleep, milliseconds);
}
static inline int spawn(const char *line) { return (int)syscall_1(SYS_spawn, address_of(line)); }

// pid 0: any child; status may be NULL.
static inline int wait(int child, int *status) {
    return (int)syscall(SYS_wait, (uint32_t)child, address_of(status), 0);
}

static inline uint32_t time_ms(void) { return syscall_1(SYS_time, 0); }
static inline int kill(int child) { return (int)syscall_1(SYS_kill, (uint32_t)child); }
static inline uint32_t peak_frames(int of_children) {
    return syscall_1(SYS_peak, (uint32_t)of_children);
}
static inline int pid(void) { return (int)syscall_1(SYS_pid, 0); }

// As the kernel's own (lib/format.h), to the console; cut at 512 characters. Returns the length.
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
// The text of an error, -1 .. -11.
const char *error_text(int error);
// A decimal number, 0 where there is none.
uint32_t number_of(const char *text);
