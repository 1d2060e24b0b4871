// scribe.c - files in memory: written, read back, and every error they have.
//
//     run scribe         all of it; leaves nothing behind
//     run scribe fill    writes until no more goes in, and says how much that was
//     run scribe step    a file made, written and removed, in few instructions
//     run scribe hold    a file that is open, and the program goes on for ever
#include "user/lib/user.h"

#define PAGE 4096
#define FILE_MAX (4 << 20)

static int wrong;
static char page[PAGE], back[PAGE];

static void expect(int is, int should, const char *what) {
    if (is == should) return;
    printf("scribe: %s: %d instead of %d\n", what, is, should);
    wrong = 1;
}

static void expect_bytes(int file, int from, char c, int count, const char *what) {
    expect(seek(file, from, 0), from, what);
    expect(read(file, back, (size_t)count), count, what);
    for (int i = 0; i < count; i++) {
        if (back[i] == c) continue;
        expect(back[i], c, what);
        return;
    }
}

// Over the edges of pages, with a gap.
static void contents(void) {
    int file = create("scribe.tmp", 0);
    expect(file, 3, "create");
    memset(page, 'a', sizeof page);
    expect(write(file, page, 100), 100, "write");
    expect(seek(file, PAGE - 10, 0), PAGE - 10, "seek past the end");
    expect(read(file, back, 20), 0, "read past the end");
    memset(page, 'b', sizeof page);
    expect(write(file, page, PAGE), PAGE, "write over an edge");
    expect(seek(file, 0, 2), 2 * PAGE - 10, "the length");
    expect_bytes(file, 0, 'a', 100, "the first bytes");
    expect_bytes(file, 100, 0, PAGE - 110, "the gap");
    expect_bytes(file, PAGE - 10, 'b', PAGE, "the last bytes");
    expect(read(file, back, 1), 0, "read at the end");
    expect(close(file), 0, "close");
}

static void again(void) {
    int file = create("scribe.tmp", 1), other = open("scribe.tmp");
    expect(seek(file, 0, 2), 2 * PAGE - 10, "kept");
    expect(write(file, "c", 1), 1, "append");
    expect(seek(other, -1, 2), 2 * PAGE - 10, "seek from the end");
    expect(read(other, back, 2) == 1 && back[0] == 'c', 1, "seen by another reader");
    expect(write(other, "d", 1), ERROR_READ_ONLY, "write to a file that was opened");
    int empty = create("scribe.tmp", 0);
    expect(seek(other, 0, 2), 0, "emptied");
    expect(close(empty), 0, "close");
    expect(remove("scribe.tmp"), 0, "remove while it is open");
    expect(open("scribe.tmp"), ERROR_NO_FILE, "open a removed one");
    expect(write(file, "e", 1), 1, "write to a removed one");
    expect(close(file), 0, "close");
    expect(close(other), 0, "close");
}

static void refused(void) {
    expect(create("motd", 1), ERROR_READ_ONLY, "create over a file of the image");
    expect(remove("motd"), ERROR_READ_ONLY, "remove a file of the image");
    expect(remove("scribe.none"), ERROR_NO_FILE, "remove what is not there");
    expect(create("", 0), ERROR_ARGUMENT, "a file without a name");
    expect(create((const char *)0x80100000, 0), ERROR_POINTER, "a name of the kernel's");
    expect(write(7, "x", 1), ERROR_ARGUMENT, "write to what is not open");
    expect(seek(7, 0, 0), ERROR_ARGUMENT, "seek in what is not open");
    int file = create("scribe.tmp", 0);
    expect(seek(file, -1, 0), ERROR_ARGUMENT, "seek before the start");
    expect(seek(file, 0, 3), ERROR_ARGUMENT, "seek from nowhere");
    expect(write(file, (const void *)0x80100000, 9), ERROR_POINTER, "write the kernel's bytes");
    expect(seek(file, FILE_MAX, 0), FILE_MAX, "seek to the longest");
    expect(write(file, "x", 1), ERROR_FULL, "write beyond the longest");
    expect(seek(file, 0x7fffffff, 0), 0x7fffffff, "seek far");
    expect(write(file, page, PAGE), ERROR_FULL, "write far away");
    expect(seek(file, 0x7fffffff, 1), ERROR_ARGUMENT, "seek too far");
    expect(seek(file, 0, 2), 0, "still empty");
    close(file);
    remove("scribe.tmp");
}

static void too_many(void) {
    char name[] = "scribe.00";
    int file[16], i;
    for (i = 0; i < 16; i++) file[i] = open("motd");
    expect(file[15], 18, "the last that may be open");
    expect(open("motd"), ERROR_TOO_MANY, "one more");
    expect(create("scribe.00", 0), ERROR_TOO_MANY, "one more, to be written");
    for (i = 0; i < 16; i++) close(file[i]);
    for (i = 0; i < 40; i++) {
        name[7] = (char)('0' + i / 10), name[8] = (char)('0' + i % 10);
        int made = create(name, 0);
        if (made < 0) break;
        close(made);
    }
    expect(i, 32, "files in memory");
    for (; i >= 0; i--) {
        name[7] = (char)('0' + i / 10), name[8] = (char)('0' + i % 10);
        remove(name);
    }
}

// Ten files of 1 MiB or fewer. What stopped it is an error, and what was written before stays.
static void fill(void) {
    char name[] = "fill.0";
    uint32_t pages = 0;
    int last = 0, file;
    for (; name[5] <= '9' && last >= 0; name[5]++) {
        file = create(name, 0);
        for (int i = 0; i < 256 && (last = write(file, page, PAGE)) == PAGE; i++) pages++;
        if (last >= 0) last = 0;
        close(file);
    }
    for (name[5] = '0'; name[5] <= '9'; name[5]++) remove(name);
    printf("scribe: %u pages, then: %s\n", (unsigned)pages, error_text(last));
}

int main(int argc, char **argv) {
    char what = argc > 1 ? argv[1][0] : 'a';
    if (what == 's' || what == 'h') {
        int file = create("scribe.tmp", 0);
        write(file, page, PAGE);
        while (what == 'h') yield();
        return remove("scribe.tmp");
    }
    if (what == 'f') {
        fill();
        return 0;
    }
    contents();
    again();
    refused();
    too_many();
    if (!wrong) printf("scribe: as it should be\n");
    return wrong;
}
