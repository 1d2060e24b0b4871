// serial.c - see serial.h. Source: National Semiconductor PC16550D data sheet.
//
// Output polls: it must work in a panic, with interrupts off. Every wait is bounded, so a port that
// answers nothing costs time and never a hang.
//
// Input comes by interrupt, with the FIFO set to report at 14 of its 16 characters: a burst costs
// one interrupt, and a single key is reported all the same, by the receiver's time-out, four
// characters' time after it came (data sheet, "FIFO interrupt mode operation"). In a 16450, which
// has no FIFO, the same program works with an interrupt for each character.
//
// The line that the UART drives stays high while there is something to read, and the PICs look for
// edges: the handler must read until nothing is left. If it left a character the line would not
// fall, so it could not rise again, and input would be dead from then on.
//
// Shortcomings: line errors (overrun, framing) are not looked at: what was lost is lost silently.
// No flow control. Output waits for its characters with interrupts off (lib/print.h).
#include "device/serial.h"

#include "boot_const.h"
#include "kernel/interrupt.h"
#include "lib/x86.h"

#define REG_DATA (COM1 + 0)       // divisor's low byte while DLAB is set
#define REG_INTERRUPTS (COM1 + 1) // divisor's high byte while DLAB is set
#define REG_FIFO (COM1 + 2)
#define REG_LINE (COM1 + 3)
#define REG_MODEM (COM1 + 4)
#define REG_LINE_STATUS (COM1 + 5)

#define LINE_8N1 0x03
#define LINE_DLAB 0x80
#define MODEM_NORMAL 0x0b   // DTR, RTS, and OUT2, which lets the interrupt through on a PC
#define MODEM_LOOPBACK 0x1e // what is sent comes back: the self-test
#define STATUS_RECEIVED 0x01
#define STATUS_CAN_SEND 0x20 // the holding register is empty: it takes one character
#define SEND_POLLS 100000    // at 115200 baud a character takes 87 us: far fewer polls than this

static bool present; // the self-test's answer, for good
static void (*receiver)(char c);

// Sends a byte round the loopback and looks whether it comes back. Where no port is, reads give
// 0xff: its bits say "received" and "can send" to everybody, so the byte itself is what tells. In
// loopback the UART's pins are cut off: the other end of the line sees nothing of the test.
static bool self_test(void) {
    outb(REG_MODEM, MODEM_LOOPBACK);
    outb(REG_DATA, 0xa5);
    for (int polls = 0; polls < SEND_POLLS; polls++) {
        if (inb(REG_LINE_STATUS) & STATUS_RECEIVED) return inb(REG_DATA) == 0xa5;
    }
    return false;
}

// Interrupts of the UART first of all: the firmware may have left some on. DLAB turns the first two
// registers into the divisor and must be off again before data is meant. The modem register is the
// last: a peer must not see us ready before.
bool serial_init(void) {
    outb(REG_INTERRUPTS, 0);
    outb(REG_LINE, LINE_DLAB);
    outb(REG_DATA, COM1_DIVISOR & 0xff);
    outb(REG_INTERRUPTS, COM1_DIVISOR >> 8);
    outb(REG_LINE, LINE_8N1);
    outb(REG_FIFO, 0xc7); // on, both emptied, reports at 14 characters
    present = self_test();
    outb(REG_MODEM, MODEM_NORMAL);
    return present;
}

// A character is dropped when the port stays busy for far longer than one can take: the kernel's
// progress must not hang on somebody reading its output.
static void send(char c) {
    for (int polls = 0; polls < SEND_POLLS; polls++) {
        if (inb(REG_LINE_STATUS) & STATUS_CAN_SEND) {
            outb(REG_DATA, (uint8_t)c);
            return;
        }
    }
}

// A terminal moves down for '\n' and to the left for '\r'; C's '\n' means both.
void serial_write(const char *text, size_t bytes) {
    if (!present) return;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\n') send('\r');
        send(text[i]);
    }
}

static void on_receive(struct interrupt_frame *frame) {
    while (inb(REG_LINE_STATUS) & STATUS_RECEIVED) receiver((char)inb(REG_DATA));
}

// In the order of need, from the far end: handler, UART, PIC. A character that comes in between
// waits in the FIFO, or on the PIC's line, which remembers it behind the mask.
void serial_input_init(void (*receive)(char c)) {
    if (!present) return;
    receiver = receive;
    interrupt_register(IRQ_BASE + IRQ_COM1, on_receive);
    outb(REG_INTERRUPTS, 1); // received data
    irq_unmask(IRQ_COM1);
}
