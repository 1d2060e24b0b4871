// keyboard.h - the PS/2 keyboard, US layout.
#pragma once

// Calls `receive` from the interrupt for each character; cursor keys become "ESC [ A" and so on, as
// on a terminal.
void keyboard_init(void (*receive)(char c));
