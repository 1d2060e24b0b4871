// keyboard.h - the PS/2 keyboard, US layout.
//
// Gives characters, not keys: what the rest of the kernel reads is the same whether it was typed
// here or came over the serial line.
#pragma once

// Calls `receive` from the interrupt for each character; cursor keys become "ESC [ A" and so on, as
// on a terminal. `receive` runs with interrupts off and must not wait. Boot only, after
// interrupt_init(). A machine without the controller just never calls.
void keyboard_init(void (*receive)(char c));
