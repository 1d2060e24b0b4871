// test_devices.c - timer and console, as far as a machine without a user shows them.
#include "device/console.h"
#include "device/timer.h"
#include "kernel/interrupt.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"
#include "thread/thread.h"

#define SPINS_MAX 200000000u // some seconds even in an emulator: then the timer is dead

// Waits, running, until the tick changes. False if it does not.
static bool tick_passes(void) {
    uint32_t start = timer_ticks();
    for (uint32_t spin = 0; spin < SPINS_MAX; spin++) {
        if (timer_ticks() != start) return true;
    }
    return false;
}

KTEST(device_timer_ticks) {
    KNEED(tick_passes());
    uint32_t start = timer_ticks();
    for (int i = 0; i < 5; i++) KNEED(tick_passes());
    KCHECK(timer_ticks() - start >= 5);
}

// With interrupts off no tick is counted; the one that waits comes as soon as they are on.
KTEST(device_timer_respects_interrupts_off) {
    KNEED(tick_passes());
    uint32_t state = irq_save(), start = timer_ticks();
    for (volatile uint32_t spin = 0; spin < 3000000; spin++) {}
    KCHECK_EQ(timer_ticks(), start);
    irq_restore(state);
    KCHECK(tick_passes());
}

KTEST(device_sleep_lasts) {
    KNEED(tick_passes()); // a tick's start, so that its rest does not count as one
    uint32_t start = timer_ticks();
    thread_sleep(5);
    uint32_t slept = timer_ticks() - start;
    KCHECK(slept >= 5);
    KCHECK(slept <= 100); // nobody else wants to run; a host under load may delay a tick
}

KTEST(device_console_input_is_empty) {
    KCHECK_EQ(console_try_getc(), -1); // nobody types into a test
}

// What does not touch the console's text must not disturb it: control characters, a line longer
// than the screen, more lines than the screen has.
KTEST(device_console_takes_any_text) {
    console_write("", 0);
    for (int line = 0; line < 3; line++) {
        for (int column = 0; column < 27; column++) kprintf("%c%c%c", 'a' + column % 26, ' ', '.');
        put_str("\n");
    }
    put_str("tab\tend \x1b[31mred\x1b[0m \x1b[999;999Z \rback\b\b\b\b\n");
    KCHECK(strlen(ktest_printed()) > 240);
}
