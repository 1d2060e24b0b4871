// heap_host.h - a fresh heap over stand-in frames for each test, and checks on everything it does.
//
// The window is anonymous memory of this process, so a test can make it unreadable: whatever the
// heap says of a pointer it must say without looking at what the pointer leads to.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// As the heap itself is compiled (tools/mk/host.mk).
#ifndef GRANARY_PORT
#define GRANARY_PORT "tests/host/host_port.h"
#endif
#include "kernel/port.h"

#define HOST_FRAMES_MAX 4096u // of the window: 16 MiB
#define HOST_USER_FRAMES 64u
#define HOST_USER_FRAMES_MAX 131072u
#define HOST_RUNS_MAX 16u
#define HOST_PHYS 0x100000ull // physical address of the kernel pool's first frame, made up

// A heap of `frames` frames in one run, or of the given runs. memory_init() is called; its frames
// are full of rubbish. What stood before is forgotten.
void host_heap_start(uint32_t frames);
void host_heap_start_runs(uint32_t frames, const struct port_run *run, size_t runs);
// With a user pool of so many frames, which no memory is behind.
void host_heap_start_user(uint32_t frames, uint32_t user_frames);
// Must be called at the end of a test: the heap is sound, unlocked, and no report is left over.
void host_heap_end(void);

// ---- reports -----------------------------------------------------------------------------------

// The last one is remembered; a second before the first was looked at fails the test.
struct host_report {
    enum heap_fault fault; // HEAP_OK: none
    uintptr_t pointer;
    uintptr_t caller;
};
struct host_report host_report_take(void); // and forget it

// ---- state -------------------------------------------------------------------------------------

// All the heap knows: pools, descriptors, records; and what is in its frames, unless they are
// unreadable.
void host_state_save(void);
void host_state_assert_unchanged(void); // since host_state_save()

void host_window_close(void); // no byte of the window can be read or written
void host_window_open(void);

// Frames of the longest free run, counted from the records alone.
uint32_t host_longest_run(enum pool_id pool);

const char *host_printed(void); // all that kprintf() and put_str() were given since the start
