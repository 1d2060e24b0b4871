// keyboard.c - see keyboard.h. Scan code set 1, as the 8042 controller translates it (IBM PS/2
// Technical Reference).
//
// A code is a key's number, with bit 7 set when the key is let go; 0xe0 goes before the keys that
// the first PC did not have. A number and not a character, because only the layout knows what is on
// a key; and both edges, because a driver must know what is held down meanwhile.
//
// The controller holds one code at a time and raises IRQ 1 when it puts one into its output buffer.
// Reading the data port empties the buffer, and lets the next code in: a code that is left there is
// the last one that ever comes.
//
// No command is sent: the firmware leaves the controller with its interrupt and the translation to
// set 1 on, and it needs both to read the keyboard itself.
//
// State between two codes (shift, ctrl, caps, extended) is the handler's alone, and handlers run
// with interrupts off: it needs no other protection, because no other code sees it.
//
// Shortcomings: no lights, no numeric pad, no other layouts, no Alt; a modifier whose release is
// lost stays held until it is pressed and let go again; Caps Lock held down repeats like any key,
// and changes with each repetition.
#include "device/keyboard.h"

#include <stdbool.h>
#include <stdint.h>

#include "kernel/interrupt.h"
#include "lib/x86.h"

#define PORT_DATA 0x60
#define PORT_STATUS 0x64
#define STATUS_OUTPUT_FULL 0x01 // the controller's output: a code is there to be read

#define CODE_EXTENDED 0xe0
#define CODE_RELEASED 0x80
#define CODE_CTRL 0x1d
#define CODE_SHIFT_LEFT 0x2a
#define CODE_SHIFT_RIGHT 0x36
#define CODE_CAPS 0x3a

// Characters by scan code, without and with shift; 0 where a key makes none. An octal escape takes
// three digits at most, so \0331 is Escape (code 1) and then the key 1 (code 2). Enter is '\r', as
// on a serial line: the reader of a line takes either.
static const char plain[] =
    "\0\0331234567890-=\b\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] =
    "\0\033!@#$%^&*()_+\b\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

static void (*receiver)(char c);
// `shift` and `ctrl` are held down now, `caps` changes with each press; `extended` says that 0xe0
// was the last code, which belongs to the next one.
static bool shift, ctrl, caps, extended;

// The keys that terminals have a sequence for: up, down, right, left, Home, End, Delete (ECMA-48,
// 8.3: CUU and its kin; Home and End as xterm sends them). Others are dropped, the numeric pad's
// Enter too.
static void extended_key(uint8_t code) {
    static const struct {
        uint8_t code;
        char final;
    } keys[] = {{0x48, 'A'}, {0x50, 'B'}, {0x4d, 'C'}, {0x4b, 'D'}, {0x47, 'H'}, {0x4f, 'F'}};
    if (code == 0x53) { // Delete, as the VT220 has it
        for (const char *c = "\033[3~"; *c; c++) receiver(*c);
    }
    for (unsigned i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i].code != code) continue;
        receiver('\033');
        receiver('[');
        receiver(keys[i].final);
    }
}

// True if the code was that of a key which only changes what others mean. Asked before the extended
// codes are told apart: the right Ctrl is 0xe0 and the left one's code.
static bool modifier(uint8_t key, bool pressed) {
    if (key == CODE_SHIFT_LEFT || key == CODE_SHIFT_RIGHT) shift = pressed;
    else if (key == CODE_CTRL) ctrl = pressed;
    else if (key == CODE_CAPS) caps ^= pressed;
    else return false;
    return true;
}

// Caps Lock is a shift for letters only, and takes a held shift back. Ctrl keeps the five low bits:
// Ctrl-A is 1, Ctrl-C is 3 (ASCII's columns are 32 apart). `- 1` for the NUL that ends the table.
static void character_key(uint8_t code) {
    if (code >= sizeof plain - 1) return;
    char c = plain[code];
    bool letter = c >= 'a' && c <= 'z';
    if (shift != (caps && letter)) c = shifted[code];
    if (ctrl && letter) c = (char)(plain[code] & 0x1f);
    if (c) receiver(c);
}

// With no code in the buffer the data port gives the last one again: an interrupt too many would be
// a key typed twice, hence the look at the status first.
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

// What was typed before is discarded before the line is heard: the controller raises
// IRQ 1 when its buffer becomes full, and it would never become full again. Bounded: 16 bytes are
// what a keyboard stores by itself, and a machine without the controller reads as full for ever.
void keyboard_init(void (*receive)(char c)) {
    receiver = receive;
    interrupt_register(IRQ_BASE + IRQ_KEYBOARD, on_key);
    for (int i = 0; i < 16 && (inb(PORT_STATUS) & STATUS_OUTPUT_FULL); i++)
        inb(PORT_DATA); // left over
    irq_unmask(IRQ_KEYBOARD);
}
