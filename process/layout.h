// layout.h - the addresses of a program, with the picture. The kernel's are in kernel/layout.h.
//
//   0x00000000 +---------------------------+
//              | nothing                   | the null page, and 4 MiB of small numbers
//   0x00400000 +---------------------------+ USER_IMAGE_BASE
//              | the program's ELF file:   | text and constants read-only
//              |   text, constants, data   |
//   0x10000000 +---------------------------+ USER_HEAP_BASE
//              | its heap's window: frame i | a page is there while its frame is handed out
//              |   of the heap is page i   |
//   0x70000000 +---------------------------+ USER_HEAP_END
//              | nothing                   |
//   0x7ffbf000 +---------------------------+ USER_STACK_LIMIT: the guard page lies below
//              | stack, grows downwards    | pages come when they are touched
//   0x7ffff000 +---------------------------+ USER_STACK_TOP
//              | nothing, one page         | a pointer that runs over the top; within a call a
//              |                           |   file's frame, for the kernel alone (USER_SHOW)
//   0x80000000 +---------------------------+ KERNEL_BASE: the kernel's half, not for ring 3
#pragma once

#include "kernel/layout.h"

#define USER_IMAGE_BASE 0x00400000u
#define USER_HEAP_BASE 0x10000000u
#define USER_IMAGE_END USER_HEAP_BASE
#define USER_HEAP_END 0x70000000u
#define USER_STACK_TOP 0x7ffff000u
#define USER_STACK_BYTES 0x40000u // 256 KiB at the most
#define USER_SHOW USER_STACK_TOP
#define USER_STACK_LIMIT (USER_STACK_TOP - USER_STACK_BYTES)

_Static_assert(USER_STACK_TOP + PG_SIZE == KERNEL_BASE, "the page above the stack is the last");
