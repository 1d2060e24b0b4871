// console.h - one console: the VGA text screen and COM1 show the same text, the keyboard and COM1
// give the same input.
#pragma once

#include <stddef.h>

void console_init(void);       // screen and COM1 for output; becomes kprintf's sink
void console_input_init(void); // keyboard and COM1 interrupts; needs interrupt_init() and threads
void console_write(const char *text, size_t bytes); // any context
int console_getc(void);     // next character typed; sleeps until there is one. Threads only
int console_try_getc(void); // next character, or -1 if none waits. Any context
