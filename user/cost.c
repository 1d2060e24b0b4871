// cost.c - runs a program and says what it took: instructions (under QEMU's -icount; else the
// processor's cycles), and the most frames it had.
//
// First the program and the files that its words name are copied into memory, as "m.NAME": how long
// a disk takes is no figure of theirs. Names with a folder stay where they are.
#include "user/lib/user.h"

#define LINE_MAX 256

static uint64_t rdtsc(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static char bytes[16384];

// True: there is a copy now.
static int copied(const char *name, const char *to) {
    int from = open(name), out, got = 0, put = 0;
    if (from < 0) return 0;
    out = create(to, 0);
    while (out >= 0 && put >= 0 && (got = read(from, bytes, sizeof bytes)) > 0) {
        put = write(out, bytes, (size_t)got);
    }
    close(from);
    close(out);
    return out >= 0 && put >= 0 && got == 0;
}

static void word_add(char *line, const char *word) {
    char name[64] = "m.";
    strlcpy(name + 2, word, sizeof name - 2);
    size_t length = strlen(line);
    int copy = !strchr(word, '/') && strlen(word) < sizeof name - 2 && copied(word, name);
    strlcpy(line + length, copy ? name : word, LINE_MAX - length);
}

static void copies_remove(char **word) {
    char name[64] = "m.";
    for (; *word; word++) {
        strlcpy(name + 2, *word, sizeof name - 2);
        remove(name);
    }
}

int main(int argc, char **argv) {
    char line[LINE_MAX] = "";
    int status = 0;
    if (argc < 2) {
        printf("cost: a program and its words, please\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        word_add(line, argv[i]);
        if (i + 1 < argc) strlcpy(line + strlen(line), " ", LINE_MAX - strlen(line));
    }
    uint64_t from = rdtsc();
    int child = spawn(line);
    if (child < 0) {
        printf("cost: %s: %s\n", line, error_text(child));
        return 2;
    }
    wait(child, &status);
    uint64_t took = rdtsc() - from;
    copies_remove(argv + 1);
    printf("cost: insn=%llu frames=%u status=%d %s\n", (unsigned long long)took,
           (unsigned)peak_frames(1), status, line);
    return status;
}
