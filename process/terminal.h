// terminal.h - the keyboard, for the one program that `run` waits for.
//
// The prompt reads the console and passes on what is typed; Ctrl-C never gets here, as the prompt
// ends the program by it.
#pragma once

#include <stdint.h>

struct process;

void terminal_clear(void);  // drops what was typed and not read. Threads only
void terminal_type(char c); // dropped if 128 characters wait. Threads only
// Waits for a character, if the keyboard is this program's (struct process_plan); else 0, the end
// of the file. At most `max` bytes; as many as wait. By the process's thread.
uint32_t terminal_read(const struct process *process, char *to, uint32_t max);
