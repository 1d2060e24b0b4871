// serial.c - see serial.h. Source: National Semiconductor PC16550D data sheet.
//
// Output polls: it must work in a panic, with interrupts off. Every wait is bounded, so a port that
// answers nothing costs time and never a hang.
#include "device/serial.h"

#include "kernel/interrupt.h"
#include "lib/x86.h"

#define COM1 0x3f8
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
#define STATUS_CAN_SEND 0x20
#define SEND_POLLS 100000 // at 115200 baud a character takes 87 us: far fewer polls than this

static bool present;
static void (*receiver)(char c);

// Sends a byte round the loopback and looks whether it comes back.
static bool self_test(void) {
    outb(REG_MODEM, MODEM_LOOPBACK);
    outb(REG_DATA, 0xa5);
    for (int polls = 0; polls < SEND_POLLS; polls++) {
        if (inb(REG_LINE_STATUS) & STATUS_RECEIVED) return inb(REG_DATA) == 0xa5;
    }
    return false;
}

bool serial_init(void) {
    outb(REG_INTERRUPTS, 0);
    outb(REG_LINE, LINE_DLAB);
    outb(REG_DATA, 1); // divisor 1: 115200 baud
    outb(REG_INTERRUPTS, 0);
    outb(REG_LINE, LINE_8N1);
    outb(REG_FIFO, 0xc7); // on, both emptied
    present = self_test();
    outb(REG_MODEM, MODEM_NORMAL);
    return present;
}

static void send(char c) {
    for (int polls = 0; polls < SEND_POLLS; polls++) {
        if (inb(REG_LINE_STATUS) & STATUS_CAN_SEND) {
            outb(REG_DATA, (uint8_t)c);
            return;
        }
    }
}

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

void serial_input_init(void (*receive)(char c)) {
    if (!present) return;
    receiver = receive;
    interrupt_register(IRQ_BASE + IRQ_COM1, on_receive);
    outb(REG_INTERRUPTS, 1); // received data
    irq_unmask(IRQ_COM1);
}
