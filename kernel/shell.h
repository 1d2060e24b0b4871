// shell.h - the prompt.
#pragma once

#include <stdnoreturn.h>

noreturn void shell_run(void); // reads commands from the console until one ends the run. Threads only
