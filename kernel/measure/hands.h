// hands.h - a thread on each processor, for what is to happen on all of them at once.
//
// Context of all: threads, interrupts on.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "thread/thread.h"

// Runs the function in as many threads as there are processors, called with 0, 1, ...; returns the
// sum of what it returned. -1: there is no memory for so many threads, and the rest has run.
int hands_run(thread_function *function);
// For the function, called with its number: true once every processor has one of them. They stay
// there as long as none of them sleeps. False after 2000 ticks: the host may have fewer processors,
// and other things to do.
bool hands_apart(uint32_t number);
// Likewise: comes back when all of them have called it `step` times.
void hands_meet(uint32_t step);
