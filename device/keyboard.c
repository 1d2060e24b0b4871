// keyboard.c - see keyboard.h. Scan code set 1, as the 8042 controller translates it (IBM PS/2
// Technical Reference).
//
// A code is a key's number, with bit 7 set when the key is let go; 0xe0 goes before the keys that
// the first PC did not have. Shortcoming: no lights, no numeric pad, no other layouts.
#include "device/keyboard.h"

#include <stdbool.h>
#include <stdint.h>

#include "kernel/interrupt.h"
#include "lib/x86.h"

#define PORT_DATA 0x60
#define PORT_STATUS 0x64
#define STATUS_OUTPUT_FULL 0x01

#define CODE_EXTENDED 0xe0
#define CODE_RELEASED 0x80
#define CODE_CTRL 0x1d
#define CODE_SHIFT_LEFT 0x2a
#define CODE_SHIFT_RIGHT 0x36
#define CODE_CAPS 0x3a

// Characters by scan code, without and with shift; 0 where a key makes none.
static const char plain[] =
    "\0\0331234567890-=\b\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] =
    "\0\033!@#$%^&*()_+\b\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

static void (*receiver)(char c);
static bool shift, ctrl, caps, extended;

static void extended_key(uint8_t code) {
    static const struct {
        uint8_t code;
        char final;
    } keys[] = {{0x48, 'A'}, {0x50, 'B'}, {0x4d, 'C'}, {0x4b, 'D'}, {0x47, 'H'}, {0x4f, 'F'}};
    for (unsigned i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i].code != code) continue;
        receiver('\033');
        receiver('[');
        receiver(keys[i].final);
    }
}

// True if the code was that of a key which only changes what others mean.
static bool modifier(uint8_t key, bool pressed) {
    if (key == CODE_SHIFT_LEFT || key == CODE_SHIFT_RIGHT) shift = pressed;
    else if (key == CODE_CTRL) ctrl = pressed;
    else if (key == CODE_CAPS) caps ^= pressed;
    else return false;
    return true;
}

static void character_key(uint8_t code) {
    if (code >= sizeof plain - 1) return;
    char c = plain[code];
    bool letter = c >= 'a' && c <= 'z';
    if (shift != (caps && letter)) c = shifted[code];
    if (ctrl && letter) c = (char)(plain[code] & 0x1f);
    if (c) receiver(c);
}

static void on_key(struct interrupt_frame *frame) {
    if (!(inb(PORT_STATUS) & STATUS_OUTPUT_FULL)) return;
    uint8_t code = inb(PORT_DATA);
    if (code == CODE_EXTENDED) {
        extended = true;
        return;
    }
    bool pressed = !(code & CODE_RELEASED), was_extended = extended;
    uint8_t key = code & 0x7f;
    extended = false;
    if (modifier(key, pressed) || !pressed) return;
    if (was_extended) extended_key(key);
    else character_key(key);
}

void keyboard_init(void (*receive)(char c)) {
    receiver = receive;
    interrupt_register(IRQ_BASE + IRQ_KEYBOARD, on_key);
    for (int i = 0; i < 16 && (inb(PORT_STATUS) & STATUS_OUTPUT_FULL); i++)
        inb(PORT_DATA); // left over
    irq_unmask(IRQ_KEYBOARD);
}
