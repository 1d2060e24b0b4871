// console.c - see console.h.
//
// Input goes through one ring: the interrupt handlers put characters in, threads take them out. The
// semaphore counts the characters in the ring; the two ends move under kernel_lock.
//
// No line is ever read with a piece missing. The serial line waits when the ring is full. A
// keyboard cannot be told to wait: a key that finds no room is lost, and with it the line that it
// belongs to. The line's beginning is given up by a Ctrl-C in its place, its rest is dropped. Hence
// the ring's last two slots: one for that Ctrl-C, one for a serial character that is on its way
// meanwhile.
//
// The ends are counts that only grow, and wrap at 2^32: full and empty are then different (a ring
// with two positions has one slot that must stay free, or looks empty when it is full). RING_BYTES
// divides 2^32, so the slot of a count is right across the wrap.
//
// Invariants:
//   C1  ring_in - ring_out is the number of characters in the ring, at most RING_BYTES.
//   C2  The semaphore's value, and the readers it has let through that have not taken theirs yet,
//       make that number; so a reader that comes back from "down" finds a character.
//
// Shortcomings: no line discipline here: echo and editing are the reader's (kernel/prompt/shell.c).
#include "device/console.h"

#include "device/keyboard.h"
#include "device/serial.h"
#include "device/vga.h"
#include "lib/print.h"
#include "kernel/spinlock.h"
#include "thread/sync.h"

#define RING_BYTES 256 // more than is ever typed ahead; a power of two
#define RING_FULL (RING_BYTES - 2)
#define CTRL_C 3

static char ring[RING_BYTES];
static unsigned ring_in, ring_out; // characters ever put in and taken out
static struct semaphore waiting;   // characters in the ring
static bool dropping;              // the rest of a line of the keyboard

// The screen first: it takes no time, and it shows the text even if the line is slow or stuck.
void console_write(const char *text, size_t bytes) {
    uint32_t state = spin_save(&console_lock);
    vga_write(text, bytes);
    serial_write(text, bytes);
    spin_restore(&console_lock, state);
}

void console_init(void) {
    vga_init();
    serial_init();
    print_sink_set(console_write);
}

// Under kernel_lock. The character is in the ring before its reader is woken (C2).
static void console_put(char c) {
    ring[ring_in++ % RING_BYTES] = c;
    sema_up(&waiting);
}

// From an interrupt handler, or from console_take(). False: no room for another.
static bool receive(char c) {
    console_put(c);
    return ring_in - ring_out < RING_FULL;
}

// From an interrupt handler. Above RING_FULL the Ctrl-C is in the ring already.
static void receive_key(char c) {
    unsigned used = ring_in - ring_out;
    if (dropping || used >= RING_FULL) {
        if (!dropping && used == RING_FULL) console_put(CTRL_C);
        dropping = c != '\r';
    } else {
        console_put(c);
    }
}

void console_input_init(void) {
    sema_init(&waiting, 0);
    keyboard_init(receive_key);
    serial_input_init(receive);
}

// With a character sure to be there (C2). `unsigned char`: the byte 0xff must not come out as -1.
// The serial line goes on when half of the ring is free.
static int console_take(void) {
    uint32_t state = spin_save(&kernel_lock);
    int c = (unsigned char)ring[ring_out++ % RING_BYTES];
    if (ring_in - ring_out <= RING_BYTES / 2) serial_input_resume();
    spin_restore(&kernel_lock, state);
    return c;
}

int console_getc(void) {
    sema_down(&waiting);
    return console_take();
}

int console_try_getc(void) { return sema_try_down(&waiting) ? console_take() : -1; }

int console_peek(unsigned ahead) {
    uint32_t state = spin_save(&kernel_lock);
    int c = ahead < ring_in - ring_out ? (unsigned char)ring[(ring_out + ahead) % RING_BYTES] : -1;
    spin_restore(&kernel_lock, state);
    return c;
}
