// pager.h - a long list stops when the screen is full, if there is a user to read it.
#pragma once

#include <stdbool.h>

// A command starts, whose lists stop if `stops`. Shell only.
void pager_start(bool stops);
// Before each line of a list. False: the user has seen enough, and the list is to end. Threads
// only.
bool pager_line(void);

// What a key says to a command that waits for one. A key that begins something else, a command
// above all, is left for the prompt: pasted text must not lose a character.
enum pager_key { PAGER_NONE, PAGER_ON, PAGER_END, PAGER_OTHER };
// PAGER_NONE: no key yet. Space and Enter mean on; q and Ctrl-C mean end; these are taken. Threads
// only; waits a tenth of a second after a q.
enum pager_key pager_key(void);
