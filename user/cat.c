// cat.c - shows files of the image; without a name, what is typed, to a line with a full stop.
#include "user/lib/user.h"

static int show(const char *name) {
    char text[512];
    int file = open(name), got;
    if (file < 0) {
        printf("cat: %s: %s\n", name, error_text(file));
        return 1;
    }
    while ((got = read(file, text, sizeof text)) > 0) write(1, text, (size_t)got);
    close(file);
    return got < 0;
}

static int echo(void) {
    char c, before = '\n';
    while (read(0, &c, 1) == 1) {
        if (c == '\r') c = '\n';
        if (before == '\n' && c == '.') return 0;
        write(1, &c, 1);
        before = c;
    }
    return 0;
}

int main(int argc, char **argv) {
    int bad = 0;
    for (int i = 1; i < argc; i++) bad |= show(argv[i]);
    return argc > 1 ? bad : echo();
}
