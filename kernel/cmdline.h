// cmdline.h - the kernel command line, the text that `make run ARGS="..."` puts into the image.
//
// Pure: knows only lib and the tables of block sizes. Words separated by blanks, each `name` or
// `name=value`; "..." keeps blanks together. Nothing here is fatal: what is not understood is
// listed and left out.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "boot_const.h"

enum selftest {
    SELFTEST_NONE,
    SELFTEST_PANIC,    // calls panic()
    SELFTEST_HANG,     // loops with interrupts off
    SELFTEST_LIE,      // prints the last line of a passed run, exits as failed
    SELFTEST_SILENT,   // exits as passed, without the last line
    SELFTEST_STACK,    // runs over a thread's stack
    SELFTEST_FAULT,    // reads the null page
    SELFTEST_DEADLOCK, // two processors take a lock each, then the other's
    SELFTEST_ORDER,    // takes two locks in the wrong order
    SELFTEST_CROWD,    // threads on all processors print, then panic at once
};

#define BUGS_ALL UINT32_MAX

#define CMDLINE_PROBLEMS_MAX 8    // lines kept of what was wrong
#define CMDLINE_PROBLEM_BYTES 256 // of one line, NUL included

struct options {
    bool batch;       // power off instead of a prompt
    bool demo;        // show the demonstration; true unless demo=no
    const char *test; // which in-kernel tests to run, as ktest_run() takes it; NULL: none
    bool heap_panic;  // heap=panic: a misuse of the heap ends in a panic
    const char
        *classes; // the table of block sizes, as size_table_parse() takes it; always a good one
    bool classes_wrong;  // the last classes= was refused: `classes` is what stood before it
    const char *replay;  // replay the trace on the second disk, under this name; NULL: none
    bool together;       // on all processors at once
    bool progress;       // show how far a replay is, also in a batch run
    bool bench;          // count the instructions of patterns of allocation
    uint32_t soak;       // random heap calls to make; 0: none
    uint32_t soak_crowd; // by so many threads; 0: by one that is alone
    uint32_t soak_seed;
    uint32_t cpus;   // processors to run threads on, at most; 0: all
    uint32_t hz;     // timer ticks a second; 0: the default
    uint32_t bugs;   // a bug of the museum to commit, BUGS_ALL: each that can be survived; 0: none
    bool bugs_fixed; // its twin without the fault
    const char *run; // a program and its arguments, commas between them; NULL: none
    uint32_t frames; // a program may have; 0: the default
    const char *scene; // a scene of kernel/museum/tour_scenes.c, for the guided tours; NULL: none
    bool guard;        // checked build: frames of its own for each block, nothing mapped after it
    bool log;          // write the heap's calls down from the start (kernel/measure/heaplog.h)
    bool log_print;    // and print each
    bool events;       // write a record of each heap call to COM2 (kernel/measure/events.h)
    bool magic_break;  // stop in Bochs's debugger at the places that x86.h's magic_break() marks
    enum selftest selftest;
    uint32_t problem_count; // lines in `problem`
    uint32_t problem_more;  // problems there was no line for
    char problem[CMDLINE_PROBLEMS_MAX][CMDLINE_PROBLEM_BYTES];
    char text[CMDLINE_BYTES]; // the words, cut apart: `test` points into it
};

// A row of the table of options. All of it is text of the image: nothing is owned.
struct option {
    const char *name;
    bool (*read)(struct options *out, const char *value); // false: not a value for it
    bool needs_value;
    const char *form; // what may be written
    const char *help; // NULL: an old word for another option, which no list shows
};
extern const struct option cmdline_options[];
extern const uint32_t cmdline_option_count;

// Adds a line of what was wrong: for an option that was understood, but cannot be obeyed. Boot
// only.
void cmdline_problem(struct options *out, const char *text);

// Fills *out from `text` (NUL-terminated; what follows 511 characters is cut off and named). Any
// context.
void cmdline_parse(const char *text, struct options *out);
