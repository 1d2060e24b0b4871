// bochs_break.h - places where a learner wants to stand still in Bochs's debugger.
//
// Only with the option magic_break: without it the instruction is passed by, so that a run in Bochs
// that nobody watches does not end at a debugger's prompt. Other machines take it for what it
// is, an exchange of a register with itself.
#pragma once

#include <stdbool.h>

#include "lib/x86.h"

extern bool magic_breaks; // the option; kernel/main.c sets it once, before there are threads

// Stops here, if asked for. Inline: the debugger then stands in the function that wants to be
// looked at, one instruction from its next step. Any context.
static inline void magic_stop(void) {
    if (magic_breaks) magic_break();
}
