// power.h - the end of a run, and its status for the program that started it.
#pragma once

#include <stdnoreturn.h>

#include "boot_const.h"

// Prints the transcript's last line ("granary: halt passed", "... failed" or "... panic") for
// status EXIT_PASSED, EXIT_FAILED or EXIT_PANIC, tells QEMU (isa-debug-exit) and Bochs (port
// 0x8900), then halts for good. Any context.
noreturn void power_off(unsigned status);
// The same without printing: for when printing is what fails.
noreturn void power_cut(unsigned status);
// Starts the machine again by the keyboard controller, else by a triple fault. Any context.
noreturn void power_reboot(void);
