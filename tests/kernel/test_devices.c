// test_devices.c - timer and console, as far as a machine without a user shows them.
#include "device/console.h"
#include "device/timer.h"
#include "device/vga.h"
#include "kernel/interrupt.h"
#include "kernel/layout.h"
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
    KCHECK(slept <= 100); // no other thread wants to run; a host under load may delay a tick
}

// Whether or not something was typed ahead at the prompt: it is for the prompt.
KTEST(device_console_peek_takes_nothing) {
    int next = console_peek(0);
    KCHECK_EQ(console_peek(0), next);
    KCHECK_EQ(console_peek(256), -1); // more than the ring holds
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

// ---- the screen ---------------------------------------------------------------------------------

#define COLUMNS 80

// The row that is `up` rows above the cursor's, without the blanks at its end.
static const char *screen_row(unsigned up) {
    static char text[COLUMNS + 1];
    outb(0x3d4, 14); // the CRT controller's cursor
    unsigned cursor = (unsigned)inb(0x3d5) << 8;
    outb(0x3d4, 15);
    cursor |= inb(0x3d5);
    const uint16_t *cell = (const uint16_t *)P2V(0xb8000) + (cursor / COLUMNS - up) * COLUMNS;
    size_t length = 0;
    for (size_t i = 0; i < COLUMNS; i++) {
        text[i] = (char)cell[i];
        if (text[i] != ' ') length = i + 1;
    }
    text[length] = '\0';
    return text;
}

static void screen_text(const char *text) { vga_write(text, strlen(text)); }

// `count` of x and what follows, from the start of a row.
static void screen_line(unsigned count, const char *text) {
    screen_text("\n");
    for (unsigned i = 0; i < count; i++) screen_text("x");
    screen_text(text);
}

KTEST(device_screen_breaks_lines_at_blanks) {
    screen_line(74, " a word\n");
    KCHECK_EQ(strlen(screen_row(2)), 76);
    KCHECK(strcmp(screen_row(1), "word") == 0);
    screen_line(75, " word next\n"); // fits to the last column; the blank is not shown
    KCHECK_EQ(strlen(screen_row(2)), 80);
    KCHECK(strcmp(screen_row(1), "next") == 0);
    screen_line(70, " \033[31mcoloured words\033[0m\n");
    KCHECK(strcmp(screen_row(1), "words") == 0);
    screen_line(85, " y\n"); // no blank to break at
    KCHECK_EQ(strlen(screen_row(2)), 80);
    KCHECK(strcmp(screen_row(1), "xxxxx y") == 0);
}

KTEST(device_screen_has_no_empty_row_after_a_full_one) {
    screen_line(80, "\n");
    KCHECK_EQ(strlen(screen_row(1)), 80);
    screen_line(80, "\ry\nz\n"); // back to the start of the row that is full
    KCHECK_EQ(screen_row(2)[0], 'y');
    KCHECK_EQ(strlen(screen_row(2)), 80);
    KCHECK(strcmp(screen_row(1), "z") == 0);
}
