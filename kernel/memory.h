// memory.h - arenas, sys_malloc and sys_free: the public face.
//
// How it works, its invariants and its shortcomings stand at the heads of memory.c and, for the
// pools, of pool.h; its records are in heap.h, the calls for whole frames in frames.h. The calls at
// the end are for what looks at a heap, tests and debuggers.
//
// Context of every sys_ call: threads, interrupts on or off (left as they were); never sleeps. From
// an interrupt handler a call is refused with a `heap: from interrupt` report.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/frames.h"
#include "kernel/heap.h"

void memory_init(void); // the seed's: reads 0xb00, mem_pool_init(), block_desc_init()

// NULL if size is 0 or there is no memory. Aligned to 16. Not cleared.
void *sys_malloc(size_t size);
// NULL: nothing happens. A wrong pointer is reported and changes nothing.
void sys_free(void *p);
// Cleared. NULL also if count * size overflows.
void *sys_calloc(size_t count, size_t size);
// NULL, with p intact, if there is no memory. Size 0 frees p and returns NULL.
void *sys_realloc(void *p, size_t size);
// `alignment` is a power of two, else NULL.
void *sys_aligned_alloc(size_t alignment, size_t size);
// Bytes that p's block holds, at least what was asked for; 0 and a report if p is wrong.
size_t sys_usable_size(void *p);
// Gives empty arenas back; returns the frames given back.
uint32_t sys_trim(void);

// The same for any heap. A pointer of another heap is a wrong one. `caller` is the return address
// that a report names: sys_malloc(size) is heap_malloc(&k_heap, size, its own).
void *heap_malloc(struct heap *heap, size_t size, uintptr_t caller);
// False, after a report, if p is wrong; NULL is not.
bool heap_free(struct heap *heap, void *p, uintptr_t caller);
void *heap_calloc(struct heap *heap, size_t count, size_t size, uintptr_t caller);
void *heap_realloc(struct heap *heap, void *p, size_t size, uintptr_t caller);
void *heap_aligned_alloc(struct heap *heap, size_t alignment, size_t size, uintptr_t caller);
size_t heap_usable_size(struct heap *heap, void *p, uintptr_t caller);
uint32_t heap_trim(struct heap *heap);

#ifdef HEAP_CHECKED
// The checked build's sys_ calls, made for a caller elsewhere (kernel/checked/checked.c).
void *sys_malloc_for(size_t size, uintptr_t caller);
void sys_free_for(void *p, uintptr_t caller);
void *sys_calloc_for(size_t count, size_t size, uintptr_t caller);
void *sys_realloc_for(void *p, size_t size, uintptr_t caller);
void *sys_aligned_alloc_for(size_t alignment, size_t size, uintptr_t caller);
#endif

// The quick way alone, for a caller that holds the lock anyway (a system call, interrupts off): a
// block of an arena that is open, NULL for all else; p's block goes back, false for all else. "All
// else" has changed nothing.
HEAP_QUICK void *heap_take_block(struct heap *heap, size_t size);
HEAP_QUICK bool heap_give_block(struct heap *heap, uintptr_t p);

// Makes the block or area at p hold `size` bytes where it is, size > 0: true if it does now, and
// nothing changed if not. No byte is copied. A wrong pointer is reported.
bool heap_extend(struct heap *heap, uintptr_t p, size_t size);
// Adds `count` frames at the end of the window: their records exist and are zero. Only from
// heap_backing.more(), and to set up a window that grows.
void heap_grow(struct heap *heap, uint32_t count);

// Where several processors run, the fast paths, which lock by interrupts off alone, are for arenas
// of the processor's own (kernel/local.h): a heap without such takes none. To be called for every
// heap there is when the second one starts, and where `frames` is written.
void heap_fast_paths(struct heap *heap);

// Makes an empty heap over the memory `from`, with the seed's sizes. *heap, its name and what
// `from` leads to (but `run`) are its caller's to keep as long as it is used. Nothing is printed.
struct port_pool;
void heap_init(struct heap *heap, const char *name, const struct port_pool *from);

// ---- for what looks at a heap, tests and debuggers ---------------------------------------------

// What sys_free(p) would say of p: HEAP_OK, or the fault; *arena and *block are set for HEAP_OK
// (block 0 for a large area) and for faults inside an arena, else *arena is NULL. Dereferences
// nothing but records.
enum heap_fault heap_classify(const struct heap *heap, uintptr_t p, struct arena **arena,
                              uint32_t *block);
// True if a record (or a copy of it) that starts an arena or large area is as it was written.
bool arena_sound(const struct heap *heap, const struct arena *arena);
const char *heap_fault_text(enum heap_fault fault);

void mem_pool_init(uint32_t mem_bytes_total);
void block_desc_init(struct heap *heap); // the seed's DESC_CNT sizes
// Fills `count` descriptors from block sizes in rising order. Returns 0, or -1 with nothing changed
// if the table is wrong: count, order, alignment or size. Only while the heap holds nothing.
int block_desc_set(struct heap *heap, const uint32_t *sizes, uint32_t count);
