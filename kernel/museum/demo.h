// demo.h - what `make run` shows: the heap at work under several threads.
#pragma once

#include <stdbool.h>

// May be called again: it starts from a trimmed heap and leaves one. Prints about 40 lines; true if
// every block kept its contents and every frame came back. Threads only; takes about a second.
bool demo_run(void);
