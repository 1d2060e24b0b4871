// lineedit.h - one line of text, edited key by key: cursor, history, completion.
//
// Pure: keys come in one by one, what a terminal must show goes out through a function. The serial
// line and the screen understand the same few characters (device/vga.c): text, backspace, newline
// "ESC [ K", which clears up to the end of the line, and the bell.
//
//   left, right, Ctrl-B, Ctrl-F     a character          Ctrl-H, Backspace   delete the one before
//   Home, End, Ctrl-A, Ctrl-E       the ends             Del, Ctrl-D         delete the one at it
//   up, down, Ctrl-P, Ctrl-N        history              Ctrl-U, Ctrl-K      delete up to the ends
//   Tab                             complete; a second   Ctrl-W              delete a word
//                                   one lists            Ctrl-C              give the line up
//   Ctrl-D in an empty line         the owner's `end`    Ctrl-L              clear the screen
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Of a line, with the NUL. After the prompt it fits the screen's, and so does the cursor after it,
// so the cursor never wraps.
#define LINEEDIT_ROOM 71
#define LINEEDIT_HISTORY 16

struct lineedit {
    // ---- set by the owner; all of it may be NULL but `put`
    const char *prompt;
    void (*put)(const char *text, size_t bytes);
    // The index-th word that may be at line + start, or NULL after the last: for completion.
    // Words that do not begin like what is typed are passed over here.
    const char *(*candidate)(const char *line, size_t start, size_t index);
    const char *(*hint)(const char *line); // shown where there is no candidate; NULL: nothing
    const char *end;                       // what Ctrl-D in an empty line types
    // ---- the line; the rest is lineedit.c's own
    char line[LINEEDIT_ROOM];
    size_t length, cursor;
    char history[LINEEDIT_HISTORY][LINEEDIT_ROOM];
    size_t history_count;     // lines ever kept; line n is in history[n % LINEEDIT_HISTORY]
    size_t history_at;        // the one shown, history_count: the line being typed
    char kept[LINEEDIT_ROOM]; // that line, while an older one is shown
    enum { KEY_PLAIN, KEY_ESCAPE, KEY_SEQUENCE } state;
    unsigned parameter; // of an escape sequence
    bool tabbed;        // the last key was a Tab that could add nothing
    bool cut;           // a character of the line found no room
};

// Begins a new line: shows the prompt. History and what the owner set stay.
void lineedit_begin(struct lineedit *edit);
// Takes one key, 0 .. 255. True: the line is complete, in edit->line, and remembered unless it is
// empty or the same as the one before; call lineedit_begin() for the next. A key that cannot be
// obeyed changes nothing; a line that is too long is given up with a message. Any context, if `put`
// is for any.
bool lineedit_key(struct lineedit *edit, int c);
