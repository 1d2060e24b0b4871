// cmdline.h - the kernel command line, the text that `make run ARGS="..."` puts into the image. Pure: knows only lib.
//
// Words separated by blanks, each `name` or `name=value`; "..." keeps blanks together. Nothing here is fatal: what
// is not understood is listed and left out.
#pragma once

#include <stdbool.h>

enum selftest {
    SELFTEST_NONE,
    SELFTEST_PANIC,  // calls panic()
    SELFTEST_HANG,   // loops with interrupts off
    SELFTEST_LIE,    // prints the last line of a passed run, exits as failed
    SELFTEST_SILENT, // exits as passed, without the last line
    SELFTEST_STACK,  // runs over a thread's stack
    SELFTEST_FAULT,  // reads the null page
};

#define CMDLINE_TEXT_MAX 512
#define CMDLINE_PROBLEMS 4
#define CMDLINE_PROBLEM_MAX 160

struct options {
    bool batch;             // power off instead of a prompt
    bool demo;              // show the demonstration; true unless demo=no
    const char *test;       // names of in-kernel tests to run ("*": all), or NULL
    bool heap_panic;        // heap=panic: a misuse of the heap ends in a panic
    unsigned hz;            // timer ticks a second, 0: the default
    enum selftest selftest;
    unsigned problem_count; // lines in `problem`
    char problem[CMDLINE_PROBLEMS][CMDLINE_PROBLEM_MAX];
    char text[CMDLINE_TEXT_MAX]; // the words, cut apart; `test` points into it
};

void cmdline_parse(const char *text, struct options *out); // text: NUL-terminated, at most 511 characters
