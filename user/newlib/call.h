// call.h - a system call, for what joins newlib to the kernel. user/lib/user.h has the same for
// programs without a C library; its names would clash with newlib's here.
#pragma once

#include <stdint.h>

#include "process/syscall_table.h"

static inline uint32_t call(uint32_t number, uint32_t a, uint32_t b, uint32_t c) {
    __asm__ volatile("int $0x80" : "+a"(number) : "b"(a), "c"(b), "d"(c) : "memory");
    return number;
}

static inline uint32_t address_of(const volatile void *p) { return (uint32_t)(uintptr_t)p; }
static inline void *pointer_to(uint32_t p) { return (void *)(uintptr_t)p; }
