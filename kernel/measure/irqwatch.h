// irqwatch.h - how long the heap keeps interrupts off: the longest stretch, counted.
//
// Costs nothing while it does not run: the kernel's code is what it always is. See irqwatch.c.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define IRQWATCH_BYTES_MAX 40960u // of code that can be watched: 33 KiB are, and a bit each kept

// From here to irqwatch_stop() every cli and sti in the code of the heap and its port is
// counted, at a hundredfold of its cost. False, and nothing changed, if the code is not as the
// build should have made it. Threads only, interrupts on; no other processor is in that code.
bool irqwatch_start(void);
// The longest stretch on this processor so far, as irqwatch_stop() returns it, and from the start
// again. A thread that stays on its processor.
uint32_t irqwatch_here(void);
// The code as it was. Returns the longest stretch of instructions (by rdtsc) after a cli of
// theirs up to and with the sti that ended it; 0 if there was none.
uint32_t irqwatch_stop(void);
