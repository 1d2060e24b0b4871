// vga.h - the VGA's text screen, 80 columns of 25 lines.
#pragma once

#include <stddef.h>

// Clears the screen. Boot only; the loader's mapping of VGA memory is good enough, so this can come
// before paging_init().
void vga_init(void);
// Shows text, with a line that is longer than a row broken at a blank: '\n', '\r', '\b', '\t',
// ANSI's colours "ESC [ ... m", and "ESC [ H", "ESC [ J" and "ESC [ K" do what they do on a
// terminal; '\a' and other escape sequences are dropped. A sequence may be split between two calls.
// Any context, but one caller at a time: console_write() sees to that by console_lock.
void vga_write(const char *text, size_t bytes);
