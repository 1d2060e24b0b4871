// settings.h - what the user said in the environment, and the lines that the library prints.
//
// All in the environment, read once, before the first block is handed out:
//   GRANARY_CLASSES=fine | seed | "16 32 48 ..."   table of block sizes
//   GRANARY_WINDOW=32G                             bytes of address space for the heap, with K M G
//   GRANARY_HEAP=report | panic                    what follows a report: nothing, or abort()
//   GRANARY_STATS=1 | FILE                         a line of figures at exit, to stderr or FILE
//   GRANARY_CHECK=1                                the heap is checked whole at exit
//
// A program that runs with more rights than its caller (set-uid) reads none of them.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/memory.h"

struct granary_settings {
    uint32_t sizes[DESC_MAX], size_count; // the table
    size_t window;                        // bytes
    bool panics, checks;
};
extern struct granary_settings granary_settings;

// Ends the process with a sentence if a setting is wrong. Once.
void granary_settings_read(void);

// A sentence on standard error, and the end: for what keeps the heap from starting.
_Noreturn void granary_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern uint32_t granary_reports;     // wrong calls so far
extern uint32_t granary_peak_frames; // held at once, at most: of granary_frames_back()'s counting
