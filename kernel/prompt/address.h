// address.h - what any address is, in one sentence: for `who`, at the prompt and in GDB.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernel/inspect/who.h"

// Writes what `address` belongs to: heap_who()'s sentence for a frame of the heap window, and of
// all others the function, variable, stack, record, page table or device that is there; for one
// below KERNEL_BASE, where nothing is mapped, what the physical address of that number is. Returns
// `to`. Reads no byte at the address. Any context; the heap unlocked.
char *address_who(char *to, size_t room, uintptr_t address);
#define ADDRESS_WHO_MAX (HEAP_WHO_MAX + 160)
