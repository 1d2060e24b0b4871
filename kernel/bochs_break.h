// bochs_break.h - places where a learner may want Bochs's debugger to stop.
//
// Only with the option magic_break: without it the instruction is skipped, so that an unattended
// run in Bochs does not end at a debugger's prompt. To other machines it is what it looks like, an
// exchange of a register with itself.
#pragma once

#include <stdbool.h>

#include "lib/x86.h"

extern bool bochs_breaks; // the option; kernel/main.c sets it once, before there are threads

// Stops here, if asked for. Inline: the debugger then stops in the function of interest, one
// instruction from its next step. Any context.
static inline void bochs_stop(void) {
    if (bochs_breaks) magic_break();
}
