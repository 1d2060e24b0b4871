// limits.h - bounds that the command line refuses by and the part that they belong to works by.
//
// The parser (cmdline.c) is pure and must include neither a device nor a measuring tool. Plain
// numbers, without a suffix: its messages have their digits.
#pragma once

// Ticks a second. Slower, the timer's 16-bit divisor is too small (1193182 / 65536 = 18.2). Faster
// than a tick each 100 us, less is left for threads between two handlers with every step.
#define TIMER_HZ_MIN 19
#define TIMER_HZ_MAX 10000

#define CPUS_MAX 16 // processors: PROCESSORS_MAX of kernel/processor.h

#define SOAK_THREADS_MAX 64 // streams of a soak run: kernel/measure/soak.c has room for so many

// Frames of a program, of which it has 1024 unless frames=N says another number. Its heap's records
// are made for so many: 40 bytes each.
#define PROGRAM_FRAMES_MIN 16
#define PROGRAM_FRAMES_MAX 262144
