// bench.h - patterns of allocation that any heap can be asked to do, counted in instructions.
//
//   bench: name=… pairs=… insn=… classic=…           an allocation and the free that goes with it
//   bench: name=… live=… pairs=… insn=… classic=…    with so many blocks live meanwhile
//
//   bench: name=… processors=… pairs=… insn=…        with several, each at work at the same time
//
//   insn   mean of a pair by rdtsc, which counts instructions under QEMU's -icount shift=0. The
//          call of either, its argument and the loop around them are in, as a caller pays them;
//          what the pattern itself needs (its random numbers) was measured alone and taken off
//   classic  the same of the seed's own heap (kernel/classic), with the same requests and pools
//
// Patterns: pair_N a block of N bytes in an arena with room, taken and given back; empty_16 the
// only block of an empty heap; order_64 a thousand of 64 bytes, then freed in order; random_1024
// one of 10,000 live blocks of 1 to 1024 bytes replaced, over and over; live one of so many live
// blocks of 16 to 48 bytes replaced; fragmented the same after every second of twice as many mixed
// blocks was freed.
#pragma once

#include <stdbool.h>

// Runs them all and prints a line each; a pattern that this memory is too small for says so. With
// several processors: those that make sense there (QEMU's clock counts the instructions of all).
// Leaves the heap as it was; false if it cannot, or if heap_check() then finds something.
//
// Context: a thread, interrupts on.
bool bench_run(void);
