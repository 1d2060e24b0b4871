// report.h - the line that every misuse of the heap gives, and what happens then.
//
// memory.c finds a fault and asks its port to say so; report.c does. Thus the words, and what
// becomes of the kernel, are another kernel's to choose that takes the heap over (kernel/port.h).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/memory.h"

// The last misuse, for tests and debuggers. Written by port_report() in the thread that made the
// mistake, without a lock: of two at the same time, one is seen.
struct heap_report {
    enum heap_fault fault;
    uintptr_t pointer;
    uintptr_t caller; // return address of the sys_ call
};
extern struct heap_report heap_last_report;
extern uint32_t heap_report_count; // since boot

void heap_report_panics(bool panics); // heap=panic: a report ends in a panic. Off at first

// Where a call came from, where a kernel's address would not say it: a program's. PLACE_QUIET: this
// report is counted and not printed, so that a program cannot fill the console. One hook; NULL:
// none. Setting it returns the one before.
enum report_place { PLACE_UNKNOWN, PLACE_WRITTEN, PLACE_QUIET };
typedef enum report_place report_place_hook(char *to, size_t room, const struct heap *heap);
report_place_hook *heap_report_set_place(report_place_hook *hook);

// As port_report() of kernel/port.h, for an access and not a call, which only the checked build
// finds: `eip` is the instruction.
void port_report_access(enum heap_fault fault, uintptr_t pointer, uintptr_t eip);
