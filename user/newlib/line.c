// line.c - see line.h. The kernel hands over each key as it is (process/terminal.h): this shows
// them, takes them back with Backspace and Ctrl-U, and ends the line with Enter.
#include "user/newlib/line.h"

#include <string.h>

#include "user/newlib/call.h"

#define LINE_MAX 512
#define CTRL_D 4
#define BACKSPACE 8
#define CTRL_U 21
#define DELETE 127

static char line[LINE_MAX];
static size_t length, taken; // characters of the line; of them, handed out

static void show(const char *text, size_t count) { call(SYS_write, 1, address_of(text), count); }

static void take_back(void) {
    if (length == 0) return;
    length--;
    show("\b \b", 3);
}

// False: the line is at its end.
static int key(char c) {
    if (c == '\r' || c == '\n') {
        line[length++] = '\n';
        show("\n", 1);
        return 0;
    }
    if (c == CTRL_D) return length > 0;
    if (c == BACKSPACE || c == DELETE) take_back();
    while (c == CTRL_U && length > 0) take_back();
    if ((unsigned char)c >= ' ' && c != DELETE && length < LINE_MAX - 1) {
        line[length++] = c;
        show(&c, 1);
    }
    return 1;
}

int line_read(char *to, size_t count) {
    char c;
    if (taken == length) {
        taken = length = 0;
        while ((int)call(SYS_read, 0, address_of(&c), 1) == 1 && key(c)) continue;
    }
    if (count > length - taken) count = length - taken;
    memcpy(to, line + taken, count);
    taken += count;
    return (int)count;
}
