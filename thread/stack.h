// stack.h - stacks for threads, each with an unmapped page below it.
#pragma once

#include <stdint.h>

#define STACK_SLOT_NONE (-1) // for the three calls at the end it means the boot stack

int stack_alloc(void);       // a slot number, or STACK_SLOT_NONE with nothing taken. Threads only
void stack_free(int slot);   // nobody runs on it any more
void stack_paint_boot(void); // once, on the boot stack: paints what is below the caller
uintptr_t stack_bottom(int slot); // lowest usable address; below it is the guard page
uintptr_t stack_top(int slot);    // one past the highest
uint32_t stack_used(int slot);    // bytes that were ever written, from the top down
