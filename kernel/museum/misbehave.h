// misbehave.h - a kernel that goes wrong on purpose, so that the runner can be seen to notice
// (tests/e2e).
#pragma once

#include <stdnoreturn.h>

#include "kernel/cmdline.h"

// SELFTEST_PANIC   a panic
// SELFTEST_HANG    interrupts off, nothing more
// SELFTEST_LIE     the last line of a run that passed, and the exit of one that failed
// SELFTEST_SILENT  the exit of a run that passed, and no last line
// SELFTEST_STACK   a thread that calls itself until its stack is used up
// SELFTEST_FAULT   a read from the null page
// Threads only; needs threads and the timer.
noreturn void misbehave(enum selftest what);
