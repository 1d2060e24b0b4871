// hints.h - what the heap's code tells the compiler, and four instructions that it does not find.
//
// For memory.c, pool.c and what is inlined into them. What each of these saves stands beside it;
// one that no longer saves anything is removed.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// What the compiler is told, and what that saves of the 74 instructions of a pair of 32-byte blocks
// (`bench` at the prompt; gcc 12).
#define LIKELY(x) __builtin_expect(!!(x), 1) // 6: the usual way through a call has no jumps
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
// 9: memory is read again from here on. A second read costs less than a register that must be saved
// on the stack for its sake.
#define FORGET_REGISTERS() __asm__ volatile("" : : : "memory")
// 3: nothing is known of the value from here on, so that no register holds an address derived from
// it.
#define KEEP(value) __asm__ volatile("" : "+r"(value))
// 5: likewise for an argument, which is on the stack already, in the caller's frame.
#ifdef __i386__
#define FORGET_REGISTER_OF(argument) __asm__ volatile("" : "+m"(argument))
#else
#define FORGET_REGISTER_OF(argument) ((void)(argument))
#endif
// No instruction, but it keeps what is rare out of sys_malloc() and sys_free(), for those who step
// through their code.
#define SLOW_PATH __attribute__((noinline))
// Without it a pair of 5000-byte areas takes 219 instructions, with it 190; it buys blocks nothing.
#define INLINE_ALWAYS inline __attribute__((always_inline))
#define CALLER ((uintptr_t)__builtin_return_address(0))

// Four operations on a bit or number in memory, each one instruction of the i386 that compilers do
// not find: a pair of 32-byte blocks takes 110 instructions without them. (64-bit processors do
// them faster in several steps.) Arrays of bits are BIT_WORDS words long.
#define BIT_WORDS 8

// Sets bit `bit` of an array of words; returns what it was.
static inline bool bit_set(uint32_t *words, uint32_t bit) {
#ifdef __i386__
    bool was;
    __asm__("btsl %2, %1" : "=@ccc"(was), "+m"(*(uint32_t(*)[BIT_WORDS])words) : "r"(bit));
    return was;
#else
    uint32_t mask = 1u << bit % 32, bits = words[bit / 32];
    words[bit / 32] = bits | mask;
    return (bits & mask) != 0;
#endif
}

static inline void bit_clear(uint32_t *words, uint32_t bit) {
#ifdef __i386__
    __asm__("btrl %1, %0" : "+m"(*(uint32_t(*)[BIT_WORDS])words) : "r"(bit) : "cc");
#else
    words[bit / 32] &= ~(1u << bit % 32);
#endif
}

// The number of the lowest bit set; false if none is.
static inline bool lowest_bit(const uint32_t *bits, uint32_t *number) {
#ifdef __i386__
    bool any;
    __asm__("bsfl %2, %1" : "=@ccnz"(any), "=r"(*number) : "m"(*bits));
    return any;
#else
    if (*bits != 0) *number = (uint32_t)__builtin_ctz(*bits);
    return *bits != 0;
#endif
}

static inline bool decrement_is_zero(uint32_t *value) {
#ifdef __i386__
    bool zero;
    __asm__("decl %1" : "=@ccz"(zero), "+m"(*value));
    return zero;
#else
    return --*value == 0;
#endif
}
