// print.h - formatted text, to a buffer (lib/format.h) or to the console.
//
// kprintf() knows no device: the console registers a sink with print_sink_set(), so that every
// part of the kernel can print without including a driver.
#pragma once

#include "lib/format.h"

// Takes `bytes` characters, not NUL-terminated. Must work with interrupts off, and must neither
// wait for another thread nor allocate: a panic prints through it, whatever state the kernel is in.
typedef void print_sink(const char *text, size_t bytes);

// One sink at a time; the tests put their own before the console (tests/kernel/ktest.c). All text
// is dropped until the first call. Any context.
void print_sink_set(print_sink *sink);

// Prints to the sink, line by line as one piece: any context, interrupts too. Text of one call is
// never split by another thread's. At most 512 characters a call, then cut with "...".
void kprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void put_str(const char *text); // the seed's name for printing a string unchanged
