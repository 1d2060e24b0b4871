// demo.h - what `make run` shows.
#pragma once

#include <stdbool.h>

// Runs the demonstration; true if every block kept its contents and every frame came back. Threads only.
bool demo_run(void);
void demo_descs_print(void); // the table of block descriptors, for the shell's `mem` too
