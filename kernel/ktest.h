// ktest.h - the tests that are linked into the kernel (tests/kernel), for those who start them.
#pragma once

#include <stddef.h>

// Runs the tests that a comma-separated list names (`NAME`, `NAME*`), in the list's order. Prints a
// line for each and the sum; returns how many failed. An entry of the list that names no test
// counts as one failure. Threads only.
int ktest_run(const char *list);
// The index-th test's name, NULL after the last.
const char *ktest_name(size_t index);
