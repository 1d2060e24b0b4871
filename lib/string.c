// string.c - see string.h.
//
// On i386 the two that move much use the string instructions; elsewhere (the host's tests) plain
// loops. A flag of the build keeps the compiler from turning these loops into calls of the
// functions they implement: memset() would call itself until the stack is full.
//
// The string instructions count upwards because the direction flag is clear: the i386 ABI requires
// that at every call, the loader clears it for the kernel, and entry.asm for handlers. They take
// their operands from edi, esi and ecx and change them; "+D" and the like tell the compiler both.
// "memory" tells it that bytes changed which no operand names: without it a value that is kept in
// a register could survive a copy over its place in memory.
//
// Double words first, then the remaining bytes, at most three. Addresses need no alignment on x86,
// which would only be faster. An interrupt may come between two steps of a `rep`; the registers
// say where to go on (Intel SDM volume 2, REP).
//
// Shortcoming: the other functions go byte by byte, since the kernel's strings are short.
#include "lib/string.h"

// Lowest address first. The ranges may overlap if no byte is read after it was written: `to` below
// `from`, or not in its range.
static inline void copy_upwards(void *to, const void *from, size_t bytes) {
#ifdef __i386__
    void *at = to;
    size_t words = bytes / 4, rest = bytes % 4;
    __asm__ volatile("rep movsl" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(rest) : : "memory");
#else
    // cppcheck-suppress useStandardLibrary
    for (size_t i = 0; i < bytes; i++) ((char *)to)[i] = ((const char *)from)[i];
#endif
}

// `restrict` is the caller's promise that the ranges are apart, and the compiler may build on it.
void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    copy_upwards(to, from, bytes);
    return to;
}

// Forwards is wrong in one case only: where `to` lies inside [from, from + bytes), the copy would
// overwrite bytes that it has yet to read. Unsigned, that is one comparison: if `to` lies below
// `from`, the difference wraps and is large.
void *memmove(void *to, const void *from, size_t bytes) {
    char *t = to;
    const char *f = from;
    if ((uintptr_t)t - (uintptr_t)f >= bytes) {
        copy_upwards(to, from, bytes);
    } else {
        for (size_t i = bytes; i > 0; i--) t[i - 1] = f[i - 1];
    }
    return to;
}

void *memset(void *to, int value, size_t bytes) {
#ifdef __i386__
    void *at = to;
    size_t words = bytes / 4, rest = bytes % 4;
    uint32_t pattern = (uint8_t)value * 0x01010101u;
    __asm__ volatile("rep stosl" : "+D"(at), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(rest) : "a"(pattern) : "memory");
#else
    for (size_t i = 0; i < bytes; i++) ((char *)to)[i] = (char)value;
#endif
    return to;
}

// Bytes are compared as unsigned characters, here and below (ISO C11 7.24.4): as signed ones, 0x80
// would sort before 'A'.
int memcmp(const void *a, const void *b, size_t bytes) {
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < bytes; i++) {
        if (x[i] != y[i]) return x[i] - y[i];
    }
    return 0;
}

size_t strlen(const char *s) {
    size_t length = 0;
    while (s[length]) length++;
    return length;
}

size_t strnlen(const char *s, size_t max) {
    size_t length = 0;
    while (length < max && s[length]) length++;
    return length;
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

// Ends with the NUL or the first difference: what follows either may not be mapped.
int strncmp(const char *a, const char *b, size_t max) {
    for (size_t i = 0; i < max; i++) {
        if (a[i] != b[i] || !a[i]) return (unsigned char)a[i] - (unsigned char)b[i];
    }
    return 0;
}

// The character is compared before the end is: strchr(s, 0) is the address of the NUL. C gives the
// result without `const` (7.24.5.2); through an integer the compiler does not object.
char *strchr(const char *s, int c) {
    for (;; s++) {
        if (*s == (char)c) return (char *)(uintptr_t)s;
        if (!*s) return NULL;
    }
}

// strncpy() would leave a cut copy without its NUL, and printing it would read on into whatever
// follows. Here a fixed field (a thread's name) always ends with a NUL. The length that was wanted
// is returned, so that a caller can tell.
size_t strlcpy(char *to, const char *from, size_t room) {
    size_t length = strlen(from), copied = length < room ? length : room - 1;
    memcpy(to, from, copied);
    to[copied] = '\0';
    return length;
}
