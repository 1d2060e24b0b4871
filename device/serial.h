// serial.h - COM1, a 16550 UART: 115200 baud, 8 data bits, no parity, 1 stop bit.
#pragma once

#include <stdbool.h>
#include <stddef.h>

bool serial_init(void); // false, and all output is dropped, if there is no port
// '\n' becomes "\r\n". Any context; polls, bounded.
void serial_write(const char *text, size_t bytes);
// Calls `receive` from the interrupt for each character.
void serial_input_init(void (*receive)(char c));
