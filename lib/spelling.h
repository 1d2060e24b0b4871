// spelling.h - which known word a mistyped one was meant to be. Pure.
#pragma once

#include <stddef.h>

// Longer words have no neighbours: the rows of the comparison are on the stack.
#define SPELLING_MAX 31

// How many characters to change, add, leave out or swap with the next one to make `b` of `a`; more
// than SPELLING_MAX if either is longer than that. Any context.
unsigned spelling_distance(const char *a, const char *b);

// The word nearest to `typed` among word(0), word(1), ... up to NULL, or NULL if none is near: one
// slip in a word of up to three characters, two in a longer one. Any context.
const char *spelling_nearest(const char *typed, const char *(*word)(size_t index));
