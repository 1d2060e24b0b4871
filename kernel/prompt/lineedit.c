// lineedit.c - see lineedit.h.
//
// What is seen is what is obeyed: every change goes through replace(), which changes the text and
// shows the change at once. The cursor on the terminal is always where edit->cursor says.
//
// Escape sequences (ECMA-48, 5.4) arrive a byte at a time: ESC, '[' or 'O', digits, a final byte.
// After a lone ESC the next key counts as itself unless it is one of these two, so a slip of the
// finger costs no key.
//
// Invariants:
//   E1  cursor <= length < LINEEDIT_ROOM, and line[length] is NUL.
//   E2  line[0 .. length - 1] are printable ASCII characters.
//   E3  While `cut` is set, the line is not what was typed: a character found no room. Such a line
//       is not handed over. Deleting shows that the user has seen it, and clears it.
//
// Shortcomings: no undo; a line ends where the screen's does.
#include "kernel/prompt/lineedit.h"

#include "lib/string.h"

#define CTRL(letter) ((letter)&0x1f)
#define KEY_DELETE 127 // what most terminals send for backspace

static void put_text(struct lineedit *edit, const char *text) { edit->put(text, strlen(text)); }

static void put_back(struct lineedit *edit, size_t columns) {
    while (columns-- > 0) edit->put("\b", 1);
}

// ---- the line -----------------------------------------------------------------------------------

static void cursor_to(struct lineedit *edit, size_t to) {
    if (to < edit->cursor) put_back(edit, edit->cursor - to);
    else edit->put(edit->line + edit->cursor, to - edit->cursor);
    edit->cursor = to;
}

// Puts `bytes` characters in the place of line[from .. to - 1]; the cursor is after them. Not
// done at all if they do not fit.
static void replace(struct lineedit *edit, size_t from, size_t to, const char *text, size_t bytes) {
    size_t length = edit->length - (to - from) + bytes;
    if (length >= LINEEDIT_ROOM) return;
    cursor_to(edit, from);
    memmove(edit->line + from + bytes, edit->line + to, edit->length - to + 1);
    memcpy(edit->line + from, text, bytes);
    edit->put(edit->line + from, length - from);
    if (length < edit->length) put_text(edit, "\033[K");
    put_back(edit, length - from - bytes);
    edit->length = length;
    edit->cursor = from + bytes;
}

static void delete (struct lineedit *edit, size_t from, size_t to) {
    edit->cut &= from == to;
    replace(edit, from, to, "", 0);
}

static size_t word_start(const struct lineedit *edit) {
    size_t at = edit->cursor;
    while (at > 0 && edit->line[at - 1] == ' ') at--;
    while (at > 0 && edit->line[at - 1] != ' ') at--;
    return at;
}

// ---- history ------------------------------------------------------------------------------------

static size_t history_oldest(const struct lineedit *edit) {
    return edit->history_count > LINEEDIT_HISTORY ? edit->history_count - LINEEDIT_HISTORY : 0;
}

static void history_keep(struct lineedit *edit) {
    const char *last = edit->history[(edit->history_count - 1) % LINEEDIT_HISTORY];
    if (edit->length == 0) return;
    if (edit->history_count > 0 && strcmp(last, edit->line) == 0) return;
    strlcpy(edit->history[edit->history_count++ % LINEEDIT_HISTORY], edit->line, LINEEDIT_ROOM);
}

// Shows line `to` of the history; history_count is the line that was being typed.
static void history_show(struct lineedit *edit, size_t to) {
    if (to < history_oldest(edit) || to > edit->history_count) return;
    if (edit->history_at == edit->history_count) strlcpy(edit->kept, edit->line, LINEEDIT_ROOM);
    edit->history_at = to;
    const char *line =
        to == edit->history_count ? edit->kept : edit->history[to % LINEEDIT_HISTORY];
    edit->cut = false;
    replace(edit, 0, edit->length, line, strlen(line));
}

// ---- completion ---------------------------------------------------------------------------------

// How much of `a` and `b` is the same, from the start.
static size_t common(const char *a, const char *b, size_t most) {
    size_t i = 0;
    while (i < most && a[i] && a[i] == b[i]) i++;
    return i;
}

static void show_again(struct lineedit *edit) {
    put_text(edit, edit->prompt);
    put_text(edit, edit->line);
    put_back(edit, edit->length - edit->cursor);
}

// All candidates in a row, or what the owner says of the line; then the line again.
static void list_candidates(struct lineedit *edit, size_t start, size_t typed, size_t matches) {
    const char *word, *hint = matches == 0 && edit->hint ? edit->hint(edit->line) : NULL;
    if (matches == 0 && !hint) return;
    put_text(edit, "\n");
    if (hint) put_text(edit, hint);
    for (size_t i = 0; matches && (word = edit->candidate(edit->line, start, i)) != NULL; i++) {
        if (strncmp(word, edit->line + start, typed) != 0) continue;
        put_text(edit, word);
        put_text(edit, "  ");
    }
    put_text(edit, "\n");
    show_again(edit);
}

// Adds what all words have in common that begin like the one before the cursor; a blank if there is
// only one.
static void complete(struct lineedit *edit) {
    size_t start = edit->cursor, matches = 0, same = 0;
    while (start > 0 && edit->line[start - 1] != ' ') start--;
    size_t typed = edit->cursor - start;
    const char *first = NULL, *word;
    if (!edit->candidate) return;
    for (size_t i = 0; (word = edit->candidate(edit->line, start, i)) != NULL; i++) {
        if (strncmp(word, edit->line + start, typed) != 0) continue;
        same = matches++ == 0 ? strlen(word) : common(first, word, same);
        if (!first) first = word;
    }
    if (matches > 0 && same > typed) {
        replace(edit, edit->cursor, edit->cursor, first + typed, same - typed);
    } else if (matches != 1) {
        if (edit->tabbed) list_candidates(edit, start, typed, matches);
        edit->tabbed = true;
        return;
    }
    if (matches == 1 && edit->cursor == edit->length) {
        replace(edit, edit->cursor, edit->cursor, " ", 1);
    }
}

// ---- keys ---------------------------------------------------------------------------------------

static void clear_screen(struct lineedit *edit) {
    put_text(edit, "\033[2J\033[H");
    show_again(edit);
}

// From the line's end, so that what follows the cursor stays readable.
static void give_up(struct lineedit *edit, const char *why) {
    cursor_to(edit, edit->length);
    put_text(edit, why);
    lineedit_begin(edit);
}

// The keys that move and delete, whatever they came as.
static void act(struct lineedit *edit, int key) {
    size_t at = edit->cursor;
    switch (key) {
    case CTRL('A'): cursor_to(edit, 0); break;
    case CTRL('E'): cursor_to(edit, edit->length); break;
    case CTRL('B'): cursor_to(edit, at - (at > 0)); break;
    case CTRL('F'): cursor_to(edit, at + (at < edit->length)); break;
    case CTRL('D'): delete (edit, at, at + (at < edit->length)); break;
    case CTRL('H'):
    case KEY_DELETE: delete (edit, at - (at > 0), at); break;
    case CTRL('U'): delete (edit, 0, at); break;
    case CTRL('K'): delete (edit, at, edit->length); break;
    case CTRL('W'): delete (edit, word_start(edit), at); break;
    case CTRL('P'): history_show(edit, edit->history_at - 1); break; // - 1 of 0: refused there
    case CTRL('N'): history_show(edit, edit->history_at + 1); break;
    case CTRL('I'): complete(edit); break;
    case CTRL('L'): clear_screen(edit); break;
    case CTRL('C'): give_up(edit, "^C\n"); break;
    default: break; // another control character: nothing
    }
}

// The line is complete: true, unless a part of it is missing.
static bool line_enter(struct lineedit *edit) {
    if (edit->cut) {
        give_up(edit, "\nlonger than a line may be: not run\n");
        return false;
    }
    put_text(edit, "\n");
    history_keep(edit);
    return true;
}

// The first character that finds no room is answered with a bell.
static void insert(struct lineedit *edit, char c) {
    size_t before = edit->length;
    replace(edit, edit->cursor, edit->cursor, &c, 1);
    if (edit->length > before || edit->cut) return;
    edit->cut = true;
    put_text(edit, "\a");
}

// The final byte of an escape sequence, as the control character that does the same: VT100's cursor
// keys, xterm's Home and End, and the "~" keys of the VT220 by their number.
static int sequence_key(int final, unsigned parameter) {
    static const char letters[] = "ABCDHF";
    static const char same[] = {CTRL('P'), CTRL('N'), CTRL('F'), CTRL('B'), CTRL('A'), CTRL('E')};
    const char *letter = strchr(letters, final);
    if (letter && final) return same[letter - letters];
    if (final != '~') return 0;
    switch (parameter) {
    case 1:
    case 7: return CTRL('A');
    case 3: return CTRL('D');
    case 4:
    case 8: return CTRL('E');
    default: return 0;
    }
}

// True if the key belongs to an escape sequence, and is dealt with.
static bool escape(struct lineedit *edit, int c) {
    if (edit->state == KEY_SEQUENCE) {
        if (c >= '0' && c <= '9') {
            edit->parameter = (edit->parameter * 10 + (unsigned)(c - '0')) % 1000;
        } else if (c >= '@' && c <= '~') {
            edit->state = KEY_PLAIN;
            act(edit, sequence_key(c, edit->parameter));
        } else if (c < ' ' || c > '~') { // no byte of a sequence: a key of its own
            edit->state = KEY_PLAIN;
            return false;
        }
        return true;
    }
    if (edit->state == KEY_ESCAPE && (c == '[' || c == 'O')) {
        edit->state = KEY_SEQUENCE;
        edit->parameter = 0;
        return true;
    }
    edit->state = c == '\033' ? KEY_ESCAPE : KEY_PLAIN;
    return c == '\033';
}

void lineedit_begin(struct lineedit *edit) {
    edit->length = edit->cursor = 0;
    edit->line[0] = '\0';
    edit->history_at = edit->history_count;
    edit->state = KEY_PLAIN;
    edit->tabbed = edit->cut = false;
    if (!edit->prompt) edit->prompt = "";
    put_text(edit, edit->prompt);
}

bool lineedit_key(struct lineedit *edit, int c) {
    if (escape(edit, c)) return false;
    if (c != CTRL('I')) edit->tabbed = false;
    if (c == '\r' || c == '\n') return line_enter(edit);
    if (c == CTRL('D') && edit->length == 0 && edit->end) {
        replace(edit, 0, 0, edit->end, strlen(edit->end));
        return line_enter(edit);
    }
    if (c >= ' ' && c < KEY_DELETE) insert(edit, (char)c);
    else act(edit, c);
    return false;
}
