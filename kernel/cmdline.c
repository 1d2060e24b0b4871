// cmdline.c - see cmdline.h. A table of options; each row has the function that reads its value.
#include "kernel/cmdline.h"

#include <stddef.h>
#include <stdint.h>

#include "lib/print.h"
#include "lib/string.h"

static void problem(struct options *out, const char *what, const char *word, const char *hint) {
    if (out->problem_count == CMDLINE_PROBLEMS) return;
    ksnprintf(out->problem[out->problem_count++], CMDLINE_PROBLEM_MAX, "%s '%s' (%s)", what, word, hint);
}

// Each reader returns false if it cannot take `value` (NULL: none was given).

static bool read_batch(struct options *out, const char *value) {
    out->batch = true;
    return !value;
}

static bool read_demo(struct options *out, const char *value) {
    if (!value) return false;
    out->demo = strcmp(value, "no") != 0;
    return !out->demo || strcmp(value, "yes") == 0;
}

static bool read_test(struct options *out, const char *value) {
    out->test = value && value[0] ? value : "*";
    return true;
}

static bool read_heap(struct options *out, const char *value) {
    if (!value) return false;
    out->heap_panic = strcmp(value, "panic") == 0;
    return out->heap_panic || strcmp(value, "report") == 0;
}

static bool read_classes(struct options *out, const char *value) { return value && strcmp(value, "seed") == 0; }

static bool read_hz(struct options *out, const char *value) {
    unsigned hz = 0;
    if (!value || !value[0] || strlen(value) > 5) return false;
    for (const char *c = value; *c; c++) {
        if (*c < '0' || *c > '9') return false;
        hz = hz * 10 + (unsigned)(*c - '0');
    }
    if (hz < 19 || hz > 10000) return false;
    out->hz = hz;
    return true;
}

static bool read_selftest(struct options *out, const char *value) {
    static const char *const names[] = {"", "panic", "hang", "lie", "silent", "stack", "fault"};
    for (unsigned i = 1; value && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i]) != 0) continue;
        out->selftest = (enum selftest)i;
        return true;
    }
    return false;
}

static const struct {
    const char *name;
    bool (*read)(struct options *out, const char *value);
    const char *form; // what may stand there
} known[] = {
    {"batch", read_batch, "batch"},
    {"demo", read_demo, "demo=yes|no"},
    {"test", read_test, "test, test=NAME,NAME, test=PREFIX*"},
    {"heap", read_heap, "heap=report|panic"},
    {"classes", read_classes, "classes=seed"},
    {"hz", read_hz, "hz=19..10000"},
    {"selftest", read_selftest, "selftest=panic|hang|lie|silent|stack|fault"},
};
#define KNOWN_COUNT (sizeof known / sizeof known[0])

static void read_word(struct options *out, char *word) {
    char *value = strchr(word, '=');
    if (value) *value++ = '\0';
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (strcmp(word, known[i].name) != 0) continue;
        if (!known[i].read(out, value)) problem(out, "bad value for option", word, known[i].form);
        return;
    }
    problem(out, "unknown option", word, "known: batch demo test heap classes hz selftest");
}

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Cuts one word off at *at: quotes are taken out, the end is made a NUL. NULL at the end of the text.
static char *next_word(char **at) {
    char *from = *at;
    bool quoted = false;
    while (blank(*from)) from++;
    if (!*from) return NULL;
    char *word = from, *to = from;
    for (; *from && (quoted || !blank(*from)); from++) {
        if (*from == '"') quoted = !quoted;
        else *to++ = *from;
    }
    *at = *from ? from + 1 : from;
    *to = '\0';
    return word;
}

void cmdline_parse(const char *text, struct options *out) {
    memset(out, 0, sizeof *out);
    out->demo = true;
    if (strlcpy(out->text, text, sizeof out->text) >= sizeof out->text) {
        problem(out, "too long: cut after", "511 characters", "the image has one sector for it");
    }
    char *at = out->text;
    for (char *word = next_word(&at); word; word = next_word(&at)) read_word(out, word);
}
