// serial.c - see serial.h. Source: National Semiconductor PC16550D data sheet.
//
// Output polls: it must work in a panic, with interrupts off. Every wait is bounded, so a port that
// answers nothing costs time and never a hang.
//
// Input comes by interrupt, a character each: the FIFO stays off, because then nothing is lost
// under an emulator. QEMU and Bochs give a UART without a FIFO its next character only when the
// last one has been read, however long the kernel takes; Bochs fills a FIFO at the line's speed and
// drops what finds no room, and a printed line keeps interrupts off for five times what a FIFO
// holds.
//
// Flow control: a receiver that has no room for another character says so. Then the UART's
// interrupt and RTS go off, and the next character waits in the UART, those after it at the other
// end, until serial_input_resume().
//
// The line that the UART drives stays high while there is something to read, and the PICs look for
// edges: the handler reads until nothing is left, or turns the interrupt off, which lets the line
// fall. If it did neither, the line could not rise again, and input would be dead from then on.
//
// Shortcomings: line errors (overrun, framing) are not checked. On a real line a character that
// comes while the kernel prints may overrun the one before it; RTS says only that the ring is full.
// Output waits for its characters with interrupts off (lib/print.h).
#include "device/serial.h"

#include <stddef.h>

#include "boot_const.h"
#include "device/rtc.h"
#include "kernel/interrupt.h"
#include "lib/x86.h"

// From a port's first register, COM1 or COM2.
#define REG_DATA 0       // divisor's low byte while DLAB is set
#define REG_INTERRUPTS 1 // divisor's high byte while DLAB is set
#define REG_FIFO 2
#define REG_LINE 3
#define REG_MODEM 4
#define REG_LINE_STATUS 5

#define LINE_8N1 0x03
#define LINE_DLAB 0x80
#define MODEM_NORMAL 0x0b   // DTR, RTS, and OUT2, which lets the interrupt through on a PC
#define MODEM_STOP 0x09     // without RTS: the other end is to wait
#define MODEM_LOOPBACK 0x1e // what is sent comes back: the self-test
#define INTERRUPT_RECEIVED 0x01
#define STATUS_RECEIVED 0x01
#define STATUS_CAN_SEND 0x20 // the holding register is empty: it takes one character
#define ECHO_POLLS 100000    // at 115200 baud a character takes 87 us: far fewer polls than this
#define SEND_SECONDS 3 // an emulator on a busy machine may have to wait for who reads its output

static bool present, present2; // the self-test's answer for COM1 and COM2, for good
static bool (*receiver)(char c);
static bool stopped; // the receiver has no room; changed under kernel_lock

// Sends a byte round the loopback and checks whether it comes back. Where there is no port, reads
// give 0xff, whose bits also say "received" and "can send", so only the byte itself is proof. In
// loopback the UART's pins are cut off: the other end of the line sees nothing of the test.
static bool self_test(uint16_t port) {
    outb(port + REG_MODEM, MODEM_LOOPBACK);
    outb(port + REG_DATA, 0xa5);
    for (int polls = 0; polls < ECHO_POLLS; polls++) {
        if (inb(port + REG_LINE_STATUS) & STATUS_RECEIVED) return inb(port + REG_DATA) == 0xa5;
    }
    return false;
}

// Interrupts of the UART first of all: the firmware may have left some on. DLAB turns the first two
// registers into the divisor and must be off again before data is meant. The modem register is the
// last: a peer must not see us ready before.
static bool port_init(uint16_t port) {
    outb(port + REG_INTERRUPTS, 0);
    outb(port + REG_LINE, LINE_DLAB);
    outb(port + REG_DATA, COM1_DIVISOR & 0xff);
    outb(port + REG_INTERRUPTS, COM1_DIVISOR >> 8);
    outb(port + REG_LINE, LINE_8N1);
    outb(port + REG_FIFO, 0); // off, which empties it
    inb(port + REG_DATA);     // a character that came before: the test must not take it for its own
    bool there = self_test(port);
    outb(port + REG_MODEM, MODEM_NORMAL);
    return there;
}

bool serial_init(void) { return present = port_init(COM1); }
bool serial2_init(void) { return present2 = port_init(COM2); }

static bool is_free(uint16_t port) { return (inb(port + REG_LINE_STATUS) & STATUS_CAN_SEND) != 0; }

// Waits until the port takes a character; false if it stays busy for seconds.
static bool can_send(uint16_t port) {
    struct rtc_wait wait = rtc_wait_begin();
    while (!is_free(port)) {
        if (rtc_wait_over(&wait, SEND_SECONDS)) return false;
    }
    return true;
}

// What finds the port busy for seconds is dropped, and what comes after it at once, until the port
// is free again: the kernel's progress must not depend on its output being read.
static void send(uint16_t port, uint8_t byte) {
    static bool unread[2];
    bool *dropping = &unread[port == COM2];
    bool free = is_free(port) || (!*dropping && can_send(port));
    if (free) outb(port + REG_DATA, byte);
    *dropping = !free;
}

// A terminal moves down for '\n' and to the left for '\r'; C's '\n' means both.
void serial_write(const char *text, size_t bytes) {
    if (!present) return;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\n') send(COM1, '\r');
        send(COM1, (uint8_t)text[i]);
    }
}

void serial2_write(const void *data, size_t bytes) {
    if (!present2) return;
    for (size_t i = 0; i < bytes; i++) send(COM2, ((const uint8_t *)data)[i]);
}

static void on_receive(struct interrupt_frame *frame) {
    while (!stopped && (inb(COM1 + REG_LINE_STATUS) & STATUS_RECEIVED)) {
        stopped = !receiver((char)inb(COM1 + REG_DATA));
    }
    if (!stopped) return;
    outb(COM1 + REG_INTERRUPTS, 0);
    outb(COM1 + REG_MODEM, MODEM_STOP);
}

// The character that waited is taken here, whether or not the UART would report it once more.
void serial_input_resume(void) {
    if (!stopped) return;
    stopped = false;
    outb(COM1 + REG_MODEM, MODEM_NORMAL);
    outb(COM1 + REG_INTERRUPTS, INTERRUPT_RECEIVED);
    on_receive(NULL);
}

// In the order of need, from the far end: handler, UART, PIC. A character that comes in between
// waits in the UART, or on the PIC's line, which remembers it while it is masked.
void serial_input_init(bool (*receive)(char c)) {
    if (!present) return;
    receiver = receive;
    interrupt_register(IRQ_BASE + IRQ_COM1, on_receive);
    outb(COM1 + REG_INTERRUPTS, INTERRUPT_RECEIVED);
    irq_unmask(IRQ_COM1);
}
