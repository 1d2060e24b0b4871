// format.h - formatted text in a buffer: no device, no lock, any context.
//
// Conversions: %d %i %u %x %X %o %c %s %p %%, with flags '-', '0', '#', a width (also '*'), a
// precision for %s (also '*'), and the lengths h, hh, l, ll, z. %p prints 0x and eight digits
// (sixteen on a 64-bit host). Anything else is printed unchanged.
#pragma once

#include <stdarg.h>
#include <stddef.h>

// As ISO C's snprintf: returns the length the whole text would have, writes at most room
// bytes with the NUL. Room 0 writes nothing, so `to` may be NULL then.
int ksnprintf(char *to, size_t room, const char *format, ...) __attribute__((format(printf, 3, 4)));
int kvsnprintf(char *to, size_t room, const char *format, va_list args);
