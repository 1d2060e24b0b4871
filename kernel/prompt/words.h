// words.h - a typed line as words, a word as a number. Pure: for the prompt and for its tests.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Cuts a line into words at its blanks. Returns how many; `max` + 1 if there are more, of which the
// first `max` are set. The words are pieces of `line`, ended in place: no memory is taken for them,
// and none has to be given back.
int words_split(char *line, char **word, int max);

// True if the whole word is a number that fits 32 bits: decimal, or hexadecimal after 0x. *out is
// set only then.
bool words_number(const char *word, uint32_t *out);
