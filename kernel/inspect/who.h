// who.h - what an address belongs to, in one sentence; and what is still held, by whom.
//
// The same sentence is in a `heap:` report, in a panic, at the prompt and in GDB.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Writes what `address` belongs to, e.g. "byte 5 of block 3 of the 32-byte arena 0x88012000,
// kernel_pool frame 18, live" or "no frame of kernel_pool"; in the checked build also what was
// asked for and the pointer it was given for, by which thread and where, and who freed it. Returns
// `to`. Reads records only, never what the address leads to. Any context; the heap unlocked.
char *heap_who(char *to, size_t room, uintptr_t address);
#define HEAP_WHO_MAX 320

// The same of an address in this heap's window, whatever other heap has the same addresses.
struct heap;
char *heap_who_in(char *to, size_t room, const struct heap *heap, uintptr_t address);

// The same for a frame of the user pool, which has no address in the kernel: "user_pool frame 4, of
// the run of 3 from frame 2". Any context.
char *heap_user_frame_who(char *to, size_t room, uint32_t frame);

// Prints what is not freed: in the checked build a line for each place that allocated it, in the
// fast build, which does not know places, one for each block size. Returns the number of blocks and
// large areas. `more`, unless NULL, is asked before each line: false leaves out the rest. Any
// context but an interrupt handler; interrupts are off while it counts.
uint32_t heap_leaks(bool (*more)(void));
// The same of any heap, in two steps: it is counted (locked by the caller), then printed. Of a
// program's heap no build knows places.
void heap_leaks_count(const struct heap *heap);
uint32_t heap_leaks_print(bool (*more)(void));
