// programs.h - programs at the prompt: ls, run, kill, and what ps and mem say of them.
//
// A program that `run` waits for has the keyboard, and Ctrl-C ends it; one that was started with &
// at the end goes on beside the prompt. All of it threads only, and by one thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool programs_list(void); // the files of the image; false: there are none, and it says why
bool programs_run(const char *line); // its name and arguments; false: not run, or it ended badly
// run=NAME,ARGUMENT,... of the command line.
bool programs_boot(const char *words);
void programs_kill(uint32_t pid);
void programs_ps(void);
void programs_mem(void);
// What an address of the program's belongs to; its descriptors. False: there is no such program, or
// it has no heap yet, which is said.
bool programs_who(uint32_t pid, uint32_t address);
bool programs_descs(uint32_t pid);
// Its heap in a line and its arenas; its frames as a picture; what it has not freed.
bool programs_heap(uint32_t pid);
bool programs_map(uint32_t pid);
bool programs_leaks(uint32_t pid);
void programs_collect(void); // a line for each that has ended beside the prompt
// The index-th file of the image, NULL after the last. The disk is read for the first; the names
// are good until that is asked for again.
const char *programs_file(size_t index);
