// together.h - a trace replayed on every processor at the same time, each with blocks of its own:
// what one heap costs them all.
//
//   replay: name=… processors=… classes=… ops=… failed=… insn_per_op=… insn_max=… refused=…
//           refused_max=… irqs_off_max=…                               (one line)
//
//   ops          operations of all processors
//   insn_*       as replay.h has them, waiting for another processor included. Bochs lets its
//                processors go in step, so that they count the instructions of one; under QEMU's
//                -icount, where they take turns, those of all
//   refused      wrong frees, a thousandth of the calls; refused_max the instructions of such a one
//                up to the report
//   irqs_off_max as there, on any processor
//
// A call during which the timer's interrupt came is not counted: the handler is not the heap's.
#pragma once

#include <stdbool.h>

#include "kernel/measure/replay.h"

// Reads the whole trace, replays it once counted and once with irqwatch, and prints the line. True
// if all was as it must be: the trace sound, every processor at work, no call failed, every block's
// contents kept, every wrong call refused, the heap whole at the end and as it was before; else a
// line that starts with "replay: failed:" says what was not.
//
// Context: a thread, interrupts on; no other thread but idle ones.
bool together_run(const struct replay *replay);
