// console.h - one console: the VGA text screen and COM1 show the same text, the keyboard and COM1
// give the same input.
//
// Two halves that start separately: output is the first thing the kernel has, since anything may go
// wrong after it; input needs interrupts and threads, which come last. All other code prints by
// kprintf() and needs this file only to read.
#pragma once

#include <stddef.h>

void console_init(void);       // screen and COM1 for output; becomes kprintf's sink
void console_input_init(void); // keyboard and COM1 interrupts; needs interrupt_init() and threads
// Shows text unchanged. Any context, with interrupts off (kprintf() and put_str() see to that):
// two writers at a time would mix their escape sequences.
void console_write(const char *text, size_t bytes);
// The next character typed, 0 .. 255. The first one sleeps until there is one: threads only. The
// other gives -1 if none waits: any context. Two readers share the input, each character goes to
// one.
int console_getc(void);
int console_try_getc(void);
// The character that is `ahead` places after the next one, -1 if there are not so many; all stay
// where they are. Any context.
int console_peek(unsigned ahead);
