// space.h - the addresses of one program: a page directory, its tables, its frames.
//
// A space belongs to the one thread that runs in it: that thread alone changes it, with the space
// loaded, so no call here takes a lock. Others may read its counts.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/heap.h"
#include "kernel/layout.h"

struct space {
    uint32_t directory; // physical address of the page directory; 0: there is none
    uint32_t *view;     // the directory as the kernel sees it
    uint32_t pages;     // frames of the user pool in the user half
    uint32_t limit;     // the most `pages` may be
    uint32_t peak;      // the most `pages` has been
    uint32_t tables;    // frames of the kernel pool: the directory and page tables
};

// An empty space that may have `limit` pages. False: no memory, nothing taken. Not loaded yet.
bool space_make(struct space *space, uint32_t limit);
// Gives back every frame and table. The space must not be loaded. Any number of times.
void space_end(struct space *space);

// A page of zeros at va, which the program may write: a frame of the user pool, and a table if one
// is missing. False, with nothing changed: no memory, the limit is reached, or a page is there.
bool space_add(struct space *space, uintptr_t va);
// The same for each page of [start, start + bytes) that is missing. False: not all could be had;
// those that were added stay.
bool space_add_range(struct space *space, uintptr_t start, size_t bytes);
// Takes the page at va away, if there is one, and gives its frame back.
void space_drop(struct space *space, uintptr_t va);
void space_make_read_only(struct space *space, uintptr_t start, size_t bytes); // those there are

// For a copy to or from a frame of the user pool that is no page of the program's (a file's): shows
// it to the kernel alone, at the address that comes back, until space_hide(). The space's thread
// must have prepared once; false: no memory for the page's table. One frame at a time, and the
// thread must not end or go back to ring 3 in between.
bool space_show_prepare(struct space *space);
void *space_show(struct space *space, uint32_t pa);
void space_hide(struct space *space);

// A frame of the kernel pool as the kernel sees it: page tables are such frames.
static inline uint32_t *space_view(uint32_t pa) {
    return (uint32_t *)(uintptr_t)(HEAP_BASE + (pa - (uint32_t)k_heap.pool.phys));
}

// A page is there. On the path of every malloc(), hence in sight of the compiler.
static inline bool space_has(const struct space *space, uintptr_t va) {
    uint32_t table = space->view[va >> 22];
    return table && space_view(table & ~(PG_SIZE - 1u))[va >> PG_SHIFT & 1023];
}

// ---- a program's pointers -----------------------------------------------------------------------
//
// True if the program itself could read (or write) all of [start, start + bytes) now; pages of the
// stack that are still missing are added first. What is true stays true until the program's next
// instruction, since the space has one thread.
bool space_readable(struct space *space, uintptr_t start, size_t bytes);
bool space_writable(struct space *space, uintptr_t start, size_t bytes);
// Copies a string of fewer than `room` characters with its NUL. False: a part of it is not the
// program's, or it is longer.
bool space_string(struct space *space, uintptr_t from, char *to, size_t room);
// A page fault at `va`: true if the stack has grown there.
bool space_grow_stack(struct space *space, uintptr_t va);
