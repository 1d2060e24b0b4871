// cmdline.c - see cmdline.h.
//
// A table says what is known; each row has the function that reads its value. Growing the command
// line is one row, one in docs/options.md and, for a new kind of value, one function.
//
// The text is cut into words where it lies, in out->text: a value that is kept as text needs no
// room of its own. Nothing here can fail: what is not understood becomes a line in out->problem,
// and a line that finds no place is counted.
#include "kernel/cmdline.h"

#include <stddef.h>

#include "kernel/limits.h"
#include "kernel/size_tables.h"
#include "lib/print.h"
#include "lib/spelling.h"
#include "lib/string.h"

#define SHOWN_MAX 32 // characters of a wrong word that a message repeats

// A bound's digits, for messages.
#define DIGITS(number) #number
#define NUMBER(macro) DIGITS(macro)

// The line is kept for main.c to print: this file is pure.
void cmdline_problem(struct options *out, const char *text) {
    if (out->problem_count == CMDLINE_PROBLEMS_MAX) {
        out->problem_more++;
        return;
    }
    strlcpy(out->problem[out->problem_count++], text, CMDLINE_PROBLEM_BYTES);
}

// The start of a word, fit to be printed.
static const char *shown(char to[SHOWN_MAX + 1], const char *word) {
    strlcpy(to, word, SHOWN_MAX + 1);
    for (char *c = to; *c; c++) {
        if (*c < ' ' || *c > '~') *c = '?';
    }
    return to;
}

// ---- the options: each reader returns false if it cannot take `value` (NULL: none was given) ----

// A flag: any value is wrong.
static bool read_batch(struct options *out, const char *value) {
    if (value) return false;
    out->batch = true;
    return true;
}

static bool read_demo(struct options *out, const char *value) {
    bool no = strcmp(value, "no") == 0;
    if (!no && strcmp(value, "yes") != 0) return false;
    out->demo = !no;
    return true;
}

// Whether a name fits a test is ktest_run()'s business: it knows them.
static bool read_test(struct options *out, const char *value) {
    out->test = value ? value : "*";
    return true;
}

static bool read_heap(struct options *out, const char *value) {
    bool panic = strcmp(value, "panic") == 0;
    if (!panic && strcmp(value, "report") != 0) return false;
    out->heap_panic = panic;
    return true;
}

#define SIZES_VALUES "seed|fine|16,32,48,..."

// Says itself what is wrong with a table, in more words than "bad value": they are long, and one
// wrong size among thirty is hard to see.
static bool read_classes(struct options *out, const char *value) {
    uint32_t sizes[DESC_MAX], count;
    const char *why = size_table_parse(value, sizes, &count);
    out->classes_wrong = why != NULL;
    if (why) {
        char text[CMDLINE_PROBLEM_BYTES], word[SHOWN_MAX + 1];
        ksnprintf(text, sizeof text, "bad value '%s' for 'sizes': %s (sizes=%s)",
                  shown(word, value), why, SIZES_VALUES);
        cmdline_problem(out, text);
    } else {
        out->classes = value;
    }
    return true;
}

// The name appears in the line that the replay prints: nothing else depends on it.
static bool read_replay(struct options *out, const char *value) {
    out->replay = value && *value ? value : "trace";
    return true;
}

static bool read_together(struct options *out, const char *value) {
    if (value) return false;
    out->together = true;
    if (!out->replay) out->replay = "trace";
    return true;
}

static bool read_progress(struct options *out, const char *value) {
    if (value) return false;
    out->progress = true;
    return true;
}

static bool read_bench(struct options *out, const char *value) {
    if (value) return false;
    out->bench = true;
    return true;
}

// A number at *at, which is moved past it; false if there is none, or it is above `max`. As
// read_hz(), the bound comes before the next digit.
static bool read_number(const char **at, uint32_t max, uint32_t *out) {
    uint32_t number = 0;
    const char *from = *at;
    for (; **at >= '0' && **at <= '9'; ++*at) {
        uint32_t digit = (uint32_t)(**at - '0');
        if (number > (max - digit) / 10) return false;
        number = number * 10 + digit;
    }
    *out = number;
    return *at != from;
}

#define SOAK_OPS_MAX 4000000000u // the sum of all threads' rounded shares must fit in 32 bits

// Nothing is kept of a value that is wrong at its end.
static bool read_soak(struct options *out, const char *value) {
    uint32_t ops, threads = 0, seed = 1;
    if (!read_number(&value, SOAK_OPS_MAX, &ops) || ops == 0) return false;
    if (*value == ',' && (value++, !read_number(&value, SOAK_THREADS_MAX, &threads))) return false;
    if (*value == ',' && (value++, !read_number(&value, UINT32_MAX, &seed))) return false;
    if (*value != '\0') return false;
    out->soak = ops;
    out->soak_crowd = threads;
    out->soak_seed = seed;
    return true;
}

// The bound is checked before the next digit is added, so that no number can wrap into range.
static bool read_hz(struct options *out, const char *value) {
    uint32_t hz = 0;
    if (!*value) return false;
    for (; *value; value++) {
        if (*value < '0' || *value > '9' || hz > TIMER_HZ_MAX) return false;
        hz = hz * 10 + (uint32_t)(*value - '0');
    }
    if (hz < TIMER_HZ_MIN || hz > TIMER_HZ_MAX) return false;
    out->hz = hz;
    return true;
}

static bool read_cpus(struct options *out, const char *value) {
    uint32_t cpus;
    if (!read_number(&value, CPUS_MAX, &cpus) || cpus == 0 || *value != '\0') return false;
    out->cpus = cpus;
    return true;
}

// What numbers there are is kernel/museum/bugs.c's business: this file is pure.
static bool read_bugs(struct options *out, const char *value) {
    uint32_t number = BUGS_ALL;
    if (strncmp(value, "all", 3) == 0) value += 3;
    else if (!read_number(&value, BUGS_ALL - 1, &number) || number == 0) return false;
    bool fixed = strcmp(value, ",fixed") == 0;
    if (*value != '\0' && !fixed) return false;
    out->bugs = number;
    out->bugs_fixed = fixed;
    return true;
}

// Whether there is such a program, the image says.
static bool read_run(struct options *out, const char *value) {
    if (!*value || *value == ',') return false;
    out->run = value;
    return true;
}

static bool read_frames(struct options *out, const char *value) {
    uint32_t frames;
    if (!read_number(&value, PROGRAM_FRAMES_MAX, &frames) || *value) return false;
    if (frames < PROGRAM_FRAMES_MIN) return false;
    out->frames = frames;
    return true;
}

// Whether there is such a scene is kernel/museum/tour_scenes.c's business.
static bool read_scene(struct options *out, const char *value) {
    if (!*value) return false;
    out->scene = value;
    return true;
}

static bool read_guard(struct options *out, const char *value) {
    if (value) return false;
    out->guard = true;
    return true;
}

// A flag, or one that prints each call as it returns.
static bool read_log(struct options *out, const char *value) {
    if (value && strcmp(value, "print") != 0) return false;
    out->log = true;
    out->log_print = value != NULL;
    return true;
}

// COM2 is the one place there is; named, so that another one can be added.
static bool read_events(struct options *out, const char *value) {
    if (strcmp(value, "com2") != 0) return false;
    out->events = true;
    return true;
}

static bool read_magic_break(struct options *out, const char *value) {
    if (value) return false;
    out->magic_break = true;
    return true;
}

// In the order of enum selftest.
static bool read_selftest(struct options *out, const char *value) {
    static const char *const names[] = {"panic", "hang",     "lie",   "silent", "stack",
                                        "fault", "deadlock", "order", "crowd"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i]) != 0) continue;
        out->selftest = (enum selftest)(SELFTEST_PANIC + i);
        return true;
    }
    return false;
}

// docs/options.md has the same rows; a test compares them.
const struct option cmdline_options[] = {
    {"batch", read_batch, false, "batch", "power off at the end, no prompt"},
    {"demo", read_demo, true, "demo=yes|no", "the demonstration after the boot; yes by default"},
    {"sizes", read_classes, true, "sizes=" SIZES_VALUES, "the table of block sizes"},
    {"heap", read_heap, true, "heap=report|panic", "what a misuse of the heap leads to"},
    {"hz", read_hz, true, "hz=" NUMBER(TIMER_HZ_MIN) ".." NUMBER(TIMER_HZ_MAX),
     "timer ticks a second"},
    {"cpus", read_cpus, true, "cpus=1.." NUMBER(CPUS_MAX), "processors at most; all by default"},
    {"guard", read_guard, false, "guard", "checked build: frames of its own for each block"},
    {"test", read_test, false, "test[=NAME,NAME*]", "the kernel's own tests, then power off"},
    {"bugs", read_bugs, true, "bugs=N|all[,fixed]", "a bug of the museum, or its sound twin"},
    {"run", read_run, true, "run=NAME[,ARGUMENT...]", "a program of the image"},
    {"frames", read_frames, true,
     "frames=" NUMBER(PROGRAM_FRAMES_MIN) ".." NUMBER(PROGRAM_FRAMES_MAX),
     "how many a program may have; 1024 by default"},
    {"scene", read_scene, true, "scene=NAME", "the scene of a guided tour"},
    {"log", read_log, false, "log[=print]", "write the heap's calls down, and print them"},
    {"events", read_events, true, "events=com2", "a record of each heap call, on the second line"},
    {"replay", read_replay, false, "replay[=NAME]", "replay the trace on the second disk"},
    {"together", read_together, false, "together", "replay it on all processors at once"},
    {"progress", read_progress, false, "progress", "show how far a replay is, with batch too"},
    {"bench", read_bench, false, "bench", "count the instructions of allocation patterns"},
    {"soak", read_soak, true, "soak=OPS[,THREADS[,SEED]]", "random heap calls"},
    {"magic_break", read_magic_break, false, "magic_break", "stop in Bochs's debugger"},
    {"selftest", read_selftest, true,
     "selftest=panic|hang|lie|silent|stack|fault|deadlock|order|crowd",
     "misbehave, to test the runner"},
    {"classes", read_classes, true, "classes=" SIZES_VALUES, NULL}, // the old word for `sizes`
};
const uint32_t cmdline_option_count = sizeof cmdline_options / sizeof cmdline_options[0];

static const char *option_name(size_t i) {
    return i < cmdline_option_count ? cmdline_options[i].name : NULL;
}

static const struct option *option_find(const char *name) {
    for (size_t i = 0; i < cmdline_option_count; i++) {
        if (strcmp(name, cmdline_options[i].name) == 0) return &cmdline_options[i];
    }
    return NULL;
}

// A typing error is best answered with what was meant, else with what there is.
static void unknown_option(struct options *out, const char *word) {
    char text[CMDLINE_PROBLEM_BYTES], name[SHOWN_MAX + 1];
    const char *meant = spelling_nearest(word, option_name);
    int length = ksnprintf(text, sizeof text, "unknown option '%s'", shown(name, word));
    if (meant) {
        ksnprintf(text + length, sizeof text - (size_t)length, ": did you mean %s?",
                  option_find(meant)->form);
    }
    // A table that outgrows the line is cut, not written beyond its end.
    for (size_t i = 0; !meant && option_name(i) && (size_t)length < sizeof text; i++) {
        length +=
            ksnprintf(text + length, sizeof text - (size_t)length, "%s%s%s",
                      i > 0 ? ", " : " (known: ", option_name(i), option_name(i + 1) ? "" : ")");
    }
    cmdline_problem(out, text);
}

static void read_option(struct options *out, const struct option *option, const char *value) {
    char text[CMDLINE_PROBLEM_BYTES], word[SHOWN_MAX + 1];
    if (option->needs_value && !value) {
        ksnprintf(text, sizeof text, "'%s' wants a value (%s)", option->name, option->form);
        cmdline_problem(out, text);
    } else if (!option->read(out, value)) {
        ksnprintf(text, sizeof text, "bad value '%s' for '%s' (%s)",
                  shown(word, value ? value : ""), option->name, option->form);
        cmdline_problem(out, text);
    }
}

// `name` or `name=value`, compared whole: "batchx" is not "batch".
static void read_word(struct options *out, char *word) {
    char *value = strchr(word, '=');
    if (value) *value++ = '\0';
    const struct option *option = option_find(word);
    if (option) read_option(out, option, value);
    else unknown_option(out, word);
}

// ---- words --------------------------------------------------------------------------------------

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Cuts one word off at *at: quotes are taken out, the end is made a NUL. NULL at the end of the
// text.
static char *next_word(struct options *out, char **at) {
    char *from = *at;
    bool quoted = false;
    while (blank(*from)) from++;
    if (!*from) return NULL;
    char *word = from, *to = from;
    for (; *from && (quoted || !blank(*from)); from++) {
        if (*from == '"') quoted = !quoted;
        else *to++ = *from;
    }
    if (quoted) cmdline_problem(out, "a quote is not closed");
    *at = *from ? from + 1 : from;
    *to = '\0';
    return word;
}

void cmdline_parse(const char *text, struct options *out) {
    memset(out, 0, sizeof *out);
    out->demo = true;
    out->classes = "seed";
    if (strlcpy(out->text, text, sizeof out->text) >= sizeof out->text) {
        cmdline_problem(out, "longer than 511 characters, cut there");
    }
    char *at = out->text;
    for (char *word = next_word(out, &at); word; word = next_word(out, &at)) read_word(out, word);
}
