// step.h - one call, an instruction at a time.
//
// For tests that want to do something between every two instructions of a call, such as letting
// another thread run there. Costs nothing while no call is stepped: the processor does it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct interrupt_frame;

// What was seen on the way through a call.
struct step_count {
    uint32_t steps;       // instructions, each iteration of a `rep` counted as one
    uint32_t off;         // after them interrupts were off
    uint32_t off_longest; // the most of those in a row
    uint32_t shadow;      // after them interrupts had just gone on: none can come before one more
    uint32_t places;      // after them an interrupt can come: the rest
};

// Called at each place where an interrupt could come, with the number of the place, 0 first. Runs
// in the debug exception's handler, interrupts off: may run other threads by an interrupt of its
// own (`int`).
typedef void step_hook(const struct interrupt_frame *frame, uint32_t place, void *argument);

// For a hook: the rest of the call runs unseen, as one that gives way does.
void step_end(void);

// Calls `call(argument)` and stops after each of its instructions. The call must not give way by
// itself (sleep, wait, yield): that ends the stepping, and false is returned; *out then holds what
// was seen up to there. One call at a time. Threads only, interrupts on; they are on afterwards.
bool step_run(void (*call)(void *argument), void *argument, step_hook *hook, void *hook_argument,
              struct step_count *out);
