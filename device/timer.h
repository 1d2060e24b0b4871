// timer.h - the 8253/8254 programmable interval timer, channel 0.
//
// It knows nothing of threads: the callback decides what a tick is for (thread_tick()).
#pragma once

#include <stdint.h>

// 10 ms: short enough for a time slice to look immediate, and so rare that its cost cannot be seen.
#define TIMER_HZ_DEFAULT 100
// Runs in the interrupt: interrupts off, must not wait.
typedef void timer_callback(void);

// Starts the tick at `hz` (kernel/limits.h; else clamped) and calls `callback` from the interrupt
// at each. Boot only, after interrupt_init(); the first tick comes when interrupts go on.
void timer_init(unsigned hz, timer_callback *callback);
unsigned timer_hz(void); // ticks a second, as clamped: 0 before timer_init(). Any context
// Ticks since timer_init(). Wraps (after 497 days at 100 Hz), so use differences: now - then is
// right across the wrap, now > then is not. Does not advance while interrupts are off. Any context.
uint32_t timer_ticks(void);
