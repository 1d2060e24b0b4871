// cmp.c - whether two files have the same bytes.
#include "user/lib/user.h"

#define CHUNK 4096

static char one[CHUNK], other[CHUNK];

static int opened(const char *name) {
    int file = open(name);
    if (file < 0) printf("cmp: %s: %s\n", name, error_text(file));
    return file;
}

static size_t first_difference(size_t count) {
    size_t at = 0;
    while (at < count && one[at] == other[at]) at++;
    return at;
}

static int compare(const char *first, const char *second, int a, int b) {
    for (uint32_t before = 0;; before += CHUNK) {
        int got = read(a, one, CHUNK), more = read(b, other, CHUNK);
        if (got < 0 || more < 0) {
            printf("cmp: %s\n", error_text(got < 0 ? got : more));
            return 2;
        }
        size_t both = (size_t)(got < more ? got : more), at = first_difference(both);
        if (at < both) {
            printf("cmp: %s and %s differ at byte %u\n", first, second, (unsigned)(before + at));
            return 1;
        }
        if (got != more) {
            printf("cmp: %s is shorter\n", got < more ? first : second);
            return 1;
        }
        if (got == 0) {
            printf("cmp: %s and %s are the same, %u bytes\n", first, second, (unsigned)before);
            return 0;
        }
        if (got < CHUNK) before -= CHUNK - (uint32_t)got;
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        printf("cmp: two files, please\n");
        return 2;
    }
    int a = opened(argv[1]), b = a < 0 ? a : opened(argv[2]);
    return a < 0 || b < 0 ? 2 : compare(argv[1], argv[2], a, b);
}
