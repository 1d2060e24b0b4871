// replay.h - a recorded program's allocations, replayed through the heap and measured.
//
// What is printed, and what each figure means:
//
//   table: classes=… frames_peak=… footprint=…
//   replay: name=… classes=… ops=… failed=… live_peak=… frames_peak=… insn_per_op=… insn_p50=…
//           insn_p9999=… insn_max=… irqs_off_max=… hash=…             (one line)
//
//   ops          operations of the trace; what the replayer frees at the end is not among them
//   failed       calls that returned NULL
//   live_peak    bytes, as asked for, most at the end of any operation
//   frames_peak  most frames at the end of any operation: those that arenas and large areas hold,
//                and those that the heap's own records would fill if they reached as far as the
//                highest frame that was in use up to then: a struct arena and a struct frame for
//                each, the descriptors, the pool
//   footprint    frames_peak in bytes over live_peak
//   insn_*       of one call by rdtsc, which counts instructions under QEMU's -icount shift=0 and
//                the processor's own ticks elsewhere. Taken off: what reading the counter costs
//                (calibrated), and clearing and copying, by measuring the same memset() in the same
//                place (calloc) or a memcpy() of the same length (a realloc that moved). Pushing
//                the arguments and the call itself are in. p50, p9999: nearest rank, exact, for
//                costs below HISTOGRAM_MAX
//   irqs_off_max longest stretch of instructions with interrupts off in a heap call, from a second
//                replay (kernel/measure/irqwatch.h)
//   hash         of all returned addresses, each relative to the first frame the heap could use in
//                the replay: the same on every machine and in every run
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Where a trace is: the second disk, by its number in device/ata.h.
#define TRACE_DRIVE 1

struct replay {
    const char *name;    // for the line
    bool progress;       // show per cent on the console
    uint64_t disk_bytes; // of the disk that holds the trace, from its first sector on
    // Reads `count` sectors of 512 bytes; NULL, or in words why not.
    const char *(*read)(uint32_t sector, uint32_t count, void *to);
};

// Checks the trace, replays it with the table of block sizes in use (once measured, once with
// irqwatch) and with each of the tables built in, and prints the lines above. True if all of it was
// as it must be: the trace sound, no call failed, every block's contents kept, the heap whole at
// the end and empty, the hash the same each time; else a line starting with "replay: failed:" says
// what was not.
//
// Boot only: the heap and the kernel pool must be untouched and every interrupt line masked, with
// interrupts on. Everything is given back, and the table of block sizes is as before.
bool replay_run(const struct replay *replay);
