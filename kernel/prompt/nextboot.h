// nextboot.h - options for the next boot only, for `replay`, `classes` and `boot` at the prompt.
//
// What must happen before the heap is used cannot be done at the prompt: the machine starts again,
// with a word more on its command line.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdnoreturn.h>

#define NEXTBOOT_MAX 27 // characters

// Leaves `options` for the next boot and starts the machine again. Returns only if they are too
// long. Threads only.
void nextboot_start(const char *options);

// What the last run left, and forgets it: true if there was something. `room` is at least
// NEXTBOOT_MAX + 1. Boot only.
bool nextboot_take(char *to, size_t room);
