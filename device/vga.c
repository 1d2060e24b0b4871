// vga.c - see vga.h. A cell is two bytes: the character, and its colours (foreground in the low
// four bits, background in the next three; bit 7 blinks).
//
// Sources: IBM VGA's text mode 3, which the BIOS leaves set: 80 x 25 cells at physical 0xb8000, row
// by row; the cursor is the CRT controller's (6845), a cell number in two 8-bit registers, reached
// through an index and a data port.
//
// The screen memory is a device: paging.c maps it uncached, so that a write is on the screen when
// the next instruction runs, in a panic too. Nothing is kept beside it: what scrolls is read back
// from there, which makes a copy of the screen in RAM unnecessary and a scroll slow on old cards.
//
// Text that reaches the right edge is broken at a blank. The part of a word that is on the screen
// by then moves to the next row with it, so nothing has to wait for a word's end to be shown.
//
// Invariant: between two characters, `cursor` is below CELLS; so vga_put_text() may write before it
// looks.
//
// Shortcomings: codes 128 and up show as the card's code page 437; a mode set by other code would
// not be noticed; `state`, `cursor` and `text_colour` are one for all threads.
#include "device/vga.h"

#include <stdbool.h>
#include <stdint.h>

#include "kernel/layout.h"
#include "lib/string.h"
#include "lib/x86.h"

#define COLUMNS 80
#define LINES 25
#define CELLS (COLUMNS * LINES)
#define COLOUR_NORMAL 0x07 // light grey on black

#define CRTC_INDEX 0x3d4
#define CRTC_DATA 0x3d5
#define CRTC_CURSOR_HIGH 14
#define CRTC_CURSOR_LOW 15

// Not volatile: only this file changes a cell, and the outb() after each piece of text makes the
// compiler finish its stores. All below is protected by console_lock (vga.h).
static uint16_t *const screen = P2V(VGA_TEXT);
static unsigned cursor; // cell where the next character goes, below CELLS
static bool wrapped;    // the last character filled its row, and the text goes on
static uint8_t text_colour = COLOUR_NORMAL;

// An escape sequence on its way: after ESC, then after ESC [.
static enum { TEXT, ESCAPE, SEQUENCE } state;
static unsigned parameter; // of the sequence: the number read so far

static uint16_t vga_cell(char c) { return (uint16_t)(text_colour << 8 | (uint8_t)c); }

// Index, then data: two ports for some twenty registers. The visible cursor is moved once for a
// whole piece of text; it is for the eye only, `cursor` is what counts.
static void cursor_show(void) {
    outb(CRTC_INDEX, CRTC_CURSOR_HIGH);
    outb(CRTC_DATA, (uint8_t)(cursor >> 8));
    outb(CRTC_INDEX, CRTC_CURSOR_LOW);
    outb(CRTC_DATA, (uint8_t)cursor);
}

void vga_init(void) {
    for (unsigned i = 0; i < CELLS; i++) screen[i] = vga_cell(' ');
    cursor = 0;
    cursor_show();
}

// New blanks have the colour of now, as a terminal's do. The cursor keeps its cell of the text.
static void scroll(void) {
    memmove(screen, screen + COLUMNS, (CELLS - COLUMNS) * sizeof *screen);
    for (unsigned i = CELLS - COLUMNS; i < CELLS; i++) screen[i] = vga_cell(' ');
    cursor -= COLUMNS;
}

static bool vga_blank(unsigned cell) { return (screen[cell] & 0xff) == ' '; }

// The cursor is at a row's start, the row above is full: the word that it ends with comes down. A
// word as long as a row stays.
static void wrap_word(void) {
    unsigned from = cursor;
    while (from > cursor - COLUMNS && !vga_blank(from - 1)) from--;
    if (from == cursor - COLUMNS) return;
    unsigned moved = cursor - from;
    for (unsigned i = 0; i < moved; i++) {
        screen[cursor + i] = screen[from + i];
        screen[from + i] = vga_cell(' ');
    }
    cursor += moved;
}

// `full`: the row above is, and the text goes on. The blank that the edge took the place of is not
// shown.
static void put_printable(char c, bool full) {
    if (full && c == ' ') return;
    if (full) wrap_word();
    screen[cursor++] = vga_cell(c);
    wrapped = cursor % COLUMNS == 0;
}

// A step is at most a line, from a cell below CELLS: one scroll brings the cursor back. Scrolling
// waits until then: a full screen scrolls when its last cell is written. As on a terminal, a row
// that is just full counts as the cursor's own: '\n' leaves no empty row after it.
static void vga_put_text(char c) {
    bool full = wrapped;
    if (c == '\033') state = ESCAPE;
    if (c == '\033' || c == '\a') return;
    wrapped = false;
    switch (c) {
    case '\n': cursor += full ? 0 : COLUMNS - cursor % COLUMNS; break;
    case '\r': cursor -= full ? COLUMNS : cursor % COLUMNS; break;
    case '\b': cursor -= cursor > 0; break;
    case '\t': cursor += 8 - cursor % 8; break;
    default: put_printable(c, full); break;
    }
    while (cursor >= CELLS) scroll();
}

// One number of a "select graphic rendition" sequence (ECMA-48, 8.3.117). ANSI counts red, green,
// blue from bit 0 up, the VGA from bit 2 down.
static void colour_select(unsigned number) {
    static const uint8_t vga_colour[8] = {0, 4, 2, 6, 1, 5, 3, 7};
    if (number == 0) text_colour = COLOUR_NORMAL;
    else if (number == 1) text_colour |= 0x08;
    else if (number >= 30 && number <= 37)
        text_colour = (uint8_t)((text_colour & 0xf8) | vga_colour[number - 30]);
    else if (number >= 40 && number <= 47)
        text_colour = (uint8_t)((text_colour & 0x0f) | vga_colour[number - 40] << 4);
    else if (number >= 90 && number <= 97)
        text_colour = (uint8_t)((text_colour & 0xf0) | 8 | vga_colour[number - 90]);
}

static void clear(unsigned from, unsigned to) {
    for (unsigned i = from; i < to; i++) screen[i] = vga_cell(' ');
}

// CUP without numbers, ED and EL (ECMA-48, 8.3.21, 8.3.39, 8.3.41): what a line editor and a live
// picture need.
static void move_or_clear(char c) {
    wrapped = false;
    if (c == 'H') cursor = 0;
    else if (c == 'J') clear(parameter == 2 ? 0 : cursor, CELLS);
    else if (c == 'K') clear(cursor, cursor - cursor % COLUMNS + COLUMNS);
}

// A sequence ends with its final byte, '@' and above (ECMA-48, 5.4), whatever it was: an unknown
// one must not leave its rest on the screen. The modulus only keeps the number from growing for
// ever: no number of four digits means anything.
static void put_sequence(char c) {
    if (c >= '0' && c <= '9') {
        parameter = (parameter * 10 + (unsigned)(c - '0')) % 1000;
    } else if (c == ';' || c == 'm') { // `;`: all sequences with several numbers here are colours
        colour_select(parameter);
        parameter = 0;
        if (c == 'm') state = TEXT;
    } else if (c >= '@') { // any other sequence ends here
        move_or_clear(c);
        state = TEXT;
    }
}

// A character at a time, with what came before in `state`: a sequence may come in two pieces, one
// kprintf() each.
static void vga_put(char c) {
    if (state == SEQUENCE) {
        put_sequence(c);
    } else if (state == ESCAPE) {
        state = c == '[' ? SEQUENCE : TEXT;
        parameter = 0;
    } else {
        vga_put_text(c);
    }
}

void vga_write(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) vga_put(text[i]);
    cursor_show();
}
