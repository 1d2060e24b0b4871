// fuzz_shell.c - what is typed at the prompt: any keys, through kernel/prompt/lineedit.c, then as
// words and numbers through kernel/prompt/words.c.
//
// What only it can find: keys after which the terminal shows another line than the one that will
// be obeyed.
//
// What goes to the terminal is held to what a terminal's row can show; the line to its invariants;
// a number to what the C library makes of the same word.
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

#include "kernel/prompt/lineedit.h"
#include "kernel/prompt/words.h"

#define WORDS 8
#define PROMPT "granary> "

static size_t column; // the terminal's cursor

static void put(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\033') {
            while (i < bytes && (text[i] < '@' || text[i] == '[')) i++; // to the final byte
            REQUIRE(i < bytes && strchr("KJH", text[i]) != NULL);
            if (text[i] == 'H') column = 0;
        } else if (text[i] == '\a') {
            continue;
        } else if (text[i] == '\b') {
            REQUIRE(column > 0);
            column--;
        } else if (text[i] == '\n') {
            column = 0;
        } else {
            REQUIRE((unsigned char)text[i] >= ' ' && (unsigned char)text[i] < 0x7f);
            column++;
        }
    }
}

static const char *candidate(const char *line, size_t start, size_t index) {
    static const char *const words[] = {"malloc", "map", "mem", "on", "off", "free", NULL};
    REQUIRE(start <= strlen(line));
    return words[index];
}

static void check_number(const char *word) {
    uint32_t value = 0;
    bool good = words_number(word, &value), hex = strncmp(word, "0x", 2) == 0;
    if (!good) return;
    REQUIRE(*word >= '0' && *word <= '9');
    errno = 0;
    char *end;
    unsigned long long other = strtoull(word, &end, hex || word[1] == 'X' ? 16 : 10);
    REQUIRE(errno == 0 && *end == '\0' && other == value);
}

static void check_words(char *line) {
    char *word[WORDS];
    int count = words_split(line, word, WORDS);
    REQUIRE(count >= 0 && count <= WORDS + 1);
    for (int i = 0; i < count && i < WORDS; i++) {
        REQUIRE(*word[i] && !strchr(word[i], ' ') && word[i] >= line);
        check_number(word[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static struct lineedit edit;
    memset(&edit, 0, sizeof edit);
    edit.prompt = PROMPT;
    edit.put = put;
    edit.candidate = candidate;
    edit.end = "exit";
    column = 0;
    lineedit_begin(&edit);
    for (size_t i = 0; i < bytes; i++) {
        bool done = lineedit_key(&edit, data[i]);
        REQUIRE(edit.length < LINEEDIT_ROOM && edit.cursor <= edit.length);
        REQUIRE(strlen(edit.line) == edit.length);
        REQUIRE(done || column == strlen(PROMPT) + edit.cursor);
        REQUIRE(!done || !edit.cut);
        if (!done) continue;
        check_words(edit.line);
        lineedit_begin(&edit);
    }
    return 0;
}
