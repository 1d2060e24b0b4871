// shell.h - the prompt: a line at a time from the console, looked up in a table of commands.
#pragma once

#include <stdnoreturn.h>

// Reads and obeys in the calling thread; other threads go on meanwhile.
noreturn void shell_run(void); // until `halt` or `reboot`. Threads only
