// timer.h - the 8253/8254 programmable interval timer, channel 0.
#pragma once

#include <stdint.h>

#define TIMER_HZ_DEFAULT 100
typedef void timer_callback(void);

// Starts the tick at `hz` (19 .. 10000; else clamped) and calls `callback` from the interrupt at
// each.
void timer_init(unsigned hz, timer_callback *callback);
uint32_t timer_ticks(void); // ticks since timer_init
