// selftest.h - ways to end badly on purpose, for the tests of the runner and of the reports.
#pragma once

#include "kernel/cmdline.h"

void selftest_run(enum selftest which); // does not return, if all is as it should be
