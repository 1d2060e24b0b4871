// layout.h - every fixed virtual address of the kernel, with the picture.
//
//   0x00000000 +---------------------------+
//              | user half: nothing mapped | the null page least of all; a program's directory has
//              |   by the kernel            | its own pages there (process/layout.h)
//   0x80000000 +---------------------------+ KERNEL_BASE
//              | low map: virtual =        | boot information (read-only), VGA memory,
//              |   KERNEL_BASE + physical  | kernel image, page tables, frame and arena records
//   0x88000000 +---------------------------+ HEAP_BASE
//              | heap window: the kernel   | frame i of the pool is page i of the window,
//              |   pool, frame by frame    | holes of the memory map stay unmapped
//   0xf8000000 +---------------------------+ STACK_BASE
//              | stacks, one slot a thread | each slot: a guard page, then the stack
//   0xf87fc000 +---------------------------+ DEVICE_PAGES
//              | one slot for device pages | mapped as stacks are (processor/)
//   0xf8800000 +---------------------------+ STACK_END
//              | unused                    |
//   0xffffffff +---------------------------+
//
// Why a window and not a map made page by page: opening an arena then costs no page table
// write and no invlpg, and no page table can be missing when memory is short. Stacks do
// need a guard page each, so they are mapped page by page in a window of their own.
//
// Why the higher half: the lower one is what programs in user mode get, each their own, with the
// kernel the same in all of them. And a null pointer, or a small number taken for one, hits
// nothing.
//
// The loader's list of tables and limits is in boot/boot.inc; kernel.ld has KERNEL_BASE once more,
// as a linker script includes no header.
#pragma once

#include <stdint.h>

#include "boot_const.h"
#include "lib/page.h"

#define LOW_MAP_BYTES 0x08000000u               // 128 MiB: image, tables and records of 4 GiB fit
#define HEAP_BASE (KERNEL_BASE + LOW_MAP_BYTES) // 0x88000000
#define HEAP_WINDOW_BYTES 0x70000000u           // 1.75 GiB: half of what 32 bits can reach of RAM
#define STACK_BASE (HEAP_BASE + HEAP_WINDOW_BYTES)
#define STACK_SLOT_BYTES 0x4000u // 16 KiB: one guard page and 12 KiB of stack
#define STACK_SLOTS 511u
#define DEVICE_PAGES (STACK_BASE + STACK_SLOTS * STACK_SLOT_BYTES)
#define STACK_END (DEVICE_PAGES + STACK_SLOT_BYTES)

// The low map's two conversions. Only good for what paging_init() maps there: not for a frame of a
// pool, whose address comes from frame_address() and lies in the heap window, or nowhere.
#define P2V(pa) ((void *)((uintptr_t)(pa) + KERNEL_BASE))
#define V2P(va) ((uint32_t)((uintptr_t)(va)-KERNEL_BASE))
// Where a frame of the kernel pool lies, by its number: the heap window maps all of them.
#define F2V(frame) ((void *)(HEAP_BASE + ((uintptr_t)(frame) << PG_SHIFT)))

_Static_assert(KERNEL_BASE % 0x400000 == 0, "the higher half starts with a page table of its own");
_Static_assert(HEAP_BASE % 0x400000 == 0 && STACK_BASE % 0x400000 == 0,
               "windows own whole page tables");
_Static_assert(STACK_BASE == 0xf8000000u && STACK_END > STACK_BASE, "the picture above, no wrap");
