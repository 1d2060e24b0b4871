// string.h - the few of C's string functions that a freestanding kernel needs.
//
// Context of every call: any. None of them fails, allocates or locks; a wrong pointer is a page
// fault where it is used. Do not copy what another thread may write meanwhile without its lock:
// the copy is not atomic.
//
// The compiler may call memcpy, memset, memmove and memcmp by itself (GCC manual,
// "Standards"), so these four exist under their standard names and behave as ISO C11 7.24.
#pragma once

#include <stddef.h>
#include <stdint.h>

// The two areas must not overlap; memmove() takes any.
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
// strnlen() reads `max` characters at the most, so it also serves text without a NUL.
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max);
char *strchr(const char *s, int c); // NULL if c is not in s; the NUL at the end counts as part of s
// Copies at most room - 1 characters and always ends `to` with a NUL (room >= 1).
// Returns strlen(from): the copy was cut off if that is >= room.
size_t strlcpy(char *to, const char *from, size_t room);
