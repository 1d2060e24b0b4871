// bugs.h - the bug museum: faults that real kernels had, each really committed on request.
//
// `bugs N` at the prompt, or bugs=N on the command line. Each ends in its own report; after
// those that can be survived the kernel is as it was before. `fixed` runs the same code without
// the fault, which must give no report. docs/bugs/ has a page for each.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/memory.h"
#include "thread/thread.h"

uint32_t bugs_count(void);              // numbers 1 .. bugs_count() are given
uint32_t bugs_number(const char *name); // 0: no such bug
// A line for each, as long as more() says so before it.
void bugs_list(bool (*more)(void));

// Commits bug `n`, 1 .. bugs_count(). Prints what comes of it, then "bugs: N NAME: as planned" if
// that is what the page promises, else "bugs: N NAME: NOT SEEN"; with `fixed` "silent, as it should
// be" if there was nothing to report. True for the first and the third. Does not return from those
// that end in a panic. Threads only; no other thread should use the heap meanwhile.
bool bugs_run(uint32_t n, bool fixed);
// bugs=N or BUGS_ALL (kernel/cmdline.h): one of them, or all that can be survived. A number that is
// none is said to be, and false.
bool bugs_boot(uint32_t n, bool fixed);

// ---- for bugs.c and its rooms: bugs_heap.c, bugs_use.c, bugs_kernel.c, bugs_processors.c --------

// The three builds that see different things: index of bug.report.
enum bug_build { BUG_FAST, BUG_CHECKED, BUG_GUARD, BUG_BUILDS };

struct bug {
    uint32_t number;  // its page's, and its own for good: a new bug gets the next that is free
    const char *name; // its page's, too
    const char *what; // for the list
    // The fault, or its twin. Prints a line "bug: ..." for what only it can see. True: what it saw
    // is what was to be expected; false: not.
    bool (*commit)(bool fixed);
    enum heap_fault report[BUG_BUILDS]; // the heap's, exactly one; HEAP_OK: none
    bool panics;                        // ends in a panic
};

const struct bug *bug_at(uint32_t n); // NULL: no such number
extern const struct bug heap_bugs[], use_bugs[], kernel_bugs[], processor_bugs[];
extern const uint32_t heap_bug_count, use_bug_count, kernel_bug_count, processor_bug_count;

// What the same wrong free does to the seed's own heap, in a line "classic: ..."; nothing for other
// bugs (bugs_classic.c).
void bugs_classic(uint32_t n);

enum bug_build bugs_build(void); // which of the three runs
// Runs the function in two threads, with 0 and 1. False: there was no memory for both.
bool bugs_run_two(thread_function *function);
// Called by both with 1, 2, 3 ...: returns when the other has called it as often.
void bugs_meet(uint32_t times);
// What an exhibit saw, in a line "bug: WHAT" if it was there; returns `there`, for the verdict.
bool bugs_saw(bool there, const char *what);
