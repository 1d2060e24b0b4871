// vga.h - the VGA's text screen, 80 columns of 25 lines.
#pragma once

#include <stddef.h>

void vga_init(void); // clears the screen
// Shows text: '\n', '\r', '\b', '\t' and the colours of ANSI's "ESC [ ... m" do what they do on a
// terminal; other escape sequences are dropped. Any context.
void vga_write(const char *text, size_t bytes);
