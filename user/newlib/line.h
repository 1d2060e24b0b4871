// line.h - what is typed, line by line.
#pragma once

#include <stddef.h>

// At most `count` characters of the line that was typed; waits for Enter where none is left. 0:
// Ctrl-D on an empty line, or no one types.
int line_read(char *to, size_t count);
