// running.h - which thread runs, for those below thread/ that only want to name it in a report.
//
// thread_init() says how to find out. Before that there is one flow of code and no thread: number
// 0, "boot".
#pragma once

#include <stddef.h>
#include <stdint.h>

// `number`: the running thread's. `name`: a thread's by its number, NULL if none has it (a joined
// one). Both may be called in any context. Boot only.
void running_set(uint32_t (*number)(void), const char *(*name)(uint32_t number));
uint32_t running_number(void);                // 0 before running_set(). Any context
const char *running_name(void);               // never NULL. Any context
const char *running_name_of(uint32_t number); // "boot" for 0; NULL if no thread has it
