// processor.c - see processor.h.
#include "kernel/processor.h"

#include <stddef.h>

#include "lib/x86.h"

#define HOOKS_MAX 4

PER_PROCESSOR volatile uint32_t processor_number;
bool processors_many;
volatile uint32_t processors_online = 1;

static void (*kick_hook)(uint32_t number);
static void (*stop_hook)(void);
static void (*start_hook[HOOKS_MAX])(void);
static unsigned start_hooks;
static uint32_t stopping; // processor number + 1 of the one that stops the others; 0: none

void processors_set(void (*kick)(uint32_t number), void (*stop)(void)) {
    kick_hook = kick;
    stop_hook = stop;
}

void processor_kick(uint32_t number) {
    if (processors_many && number != processor_number) kick_hook(number);
}

// Decided by one exchange: two processors that panic at the same moment must not stop each other.
void processors_stop(void) {
    if (!processors_many) return;
    irq_disable();
    uint32_t free = 0, me = processor_number + 1;
    bool first = __atomic_compare_exchange_n(&stopping, &free, me, false, __ATOMIC_SEQ_CST,
                                             __ATOMIC_SEQ_CST);
    if (!first && free == me) return; // once more, on the way out of a panic
    if (first) {
        stop_hook();
        processors_many = false;
        return;
    }
    for (;;) __asm__ volatile("cli\n\thlt");
}

void processor_on_start(void (*hook)(void)) {
    if (start_hooks < HOOKS_MAX) start_hook[start_hooks++] = hook;
}

void processor_started(void) {
    for (unsigned i = 0; i < start_hooks; i++) start_hook[i]();
}
