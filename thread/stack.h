// stack.h - stacks for threads, each with an unmapped page below it.
//
// A slot is a number below STACK_SLOTS: a place in the stack window, whose size and picture are in
// kernel/layout.h. The boot stack is not a slot of the window, but has the same shape.
#pragma once

#include <stdint.h>

#define STACK_SLOT_NONE (-1) // for the three calls at the end it means the boot stack

// A slot number, or STACK_SLOT_NONE with nothing taken: no slot, or no frame. Threads only: it
// paints 12 KiB, which is too long for a handler.
int stack_alloc(void);
// Gives slot and frames back. No code may be running on it: never call it for one's own stack.
// Not for STACK_SLOT_NONE. Threads only.
void stack_free(int slot);
void stack_paint_boot(void);      // once, on the boot stack: paints what is below the caller
uintptr_t stack_bottom(int slot); // lowest usable address; below it is the guard page
uintptr_t stack_top(int slot);    // one past the highest
// Bytes from the deepest word that was ever written to the top: an estimate of the deepest use so
// far. Room below that word that a function reserved and did not write is not seen. Any context.
uint32_t stack_used(int slot);
