// heap.h - a program's heap: memory.c's, over pages of the program.
//
// The records (frames, arenas, descriptors) lie in the kernel's memory, the blocks in the program's
// pages: whatever a program writes, its heap stays sound, and a wrong free is refused in the words
// of sys_free().
//
// Every call: by the program's thread, its space loaded, interrupts on.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernel/heap.h"
#include "process/space.h"

#define USER_HEAP_NAME_MAX 24

struct user_heap {
    struct heap heap; // first: the hooks of struct heap_backing get its address
    struct space *space;
    struct frame *frame; // `window` records each, from the kernel's heap
    struct arena *arena;
    uint32_t window;     // frames the heap may ever have
    uint32_t zeroed;     // records from 0 to here are fit for use; at least heap.frames
    uint32_t back_first; // a large area that has just become free: its pages go
    uint32_t back_count; // after the call, as the heap is locked during it. 0: none
    char name[USER_HEAP_NAME_MAX];
    uint32_t anchor[];
};

// An empty heap for the program of this space, which may grow to `window` frames. NULL: no memory.
// No page is taken yet. `name` is copied. The creator must end it.
struct user_heap *user_heap_make(struct space *space, uint32_t window, const char *name);
// Gives the records back; the pages are the space's. NULL: nothing happens.
void user_heap_end(struct user_heap *heap);

// As sys_malloc() and its kin (kernel/memory.h); addresses of the program, 0 for null. Every page
// of what they return is there. No frame or record: 0, and nothing has changed.
uint32_t user_malloc(struct user_heap *heap, uint32_t size);
void user_free(struct user_heap *heap, uint32_t p);
uint32_t user_calloc(struct user_heap *heap, uint32_t count, uint32_t size);
uint32_t user_realloc(struct user_heap *heap, uint32_t p, uint32_t size);
uint32_t user_aligned_alloc(struct user_heap *heap, uint32_t alignment, uint32_t size);
uint32_t user_usable_size(struct user_heap *heap, uint32_t p);
