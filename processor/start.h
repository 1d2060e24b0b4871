// start.h - starts the machine's other processors.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Finds the processors and starts up to `most` of them, the running one included; 0: all. Each runs
// threads when this returns. Prints a line for each that is started and for what is wrong, and
// nothing on a machine with one. `why_one`, if not NULL, says why it has to be one. Boot only: thread "main", interrupts on, no other thread has run.
void processors_start(uint32_t most, const char *why_one);

// For `cpus`.
uint32_t processors_known(void); // that are running, and those that did not answer
struct processor_state {
    uint32_t apic;
    bool answers;
};
struct processor_state processor_state(uint32_t index);
