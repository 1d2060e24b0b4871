// serial.h - COM1 and COM2, 16550 UARTs: 8 data bits, no parity, 1 stop bit; boot/boot.inc has
// their speed.
//
// COM1 is the console's other half: under an emulator it is what the runner reads, so the
// transcript of a run is what goes through here. COM2 only sends, and only if it is asked to.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// False, and all output is dropped, if there is no port. Boot only, before the first
// serial_write(); needs no interrupts.
bool serial_init(void);
// '\n' becomes "\r\n". Any context; polls, bounded: 87 us a character on a real line, nothing to
// speak of in an emulator. One caller at a time, as vga_write().
void serial_write(const char *text, size_t bytes);
// The same for COM2. Its bytes go out as they are.
bool serial2_init(void);
void serial2_write(const void *data, size_t bytes);
// Calls `receive` from the interrupt for each character; it must not wait. False from it: no room
// for another, and none comes until serial_input_resume(). Boot only, after interrupt_init().
// Without a port nothing is ever received.
void serial_input_init(bool (*receive)(char c));
// There is room again. Any context with interrupts off; cheap if nothing was stopped. May call
// `receive`.
void serial_input_resume(void);
