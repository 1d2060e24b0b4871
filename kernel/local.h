// local.h - arenas of a processor's own: how several processors use the kernel's heap without a
// lock. With one processor a reader may skip both files.
//
// How, and why it is exact, is said at the head of local.c. Only k_heap has such arenas.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/heap.h"
#include "kernel/layout.h"
#include "kernel/processor.h"

// The processor's own: the descriptor for a size, as heap.desc_of, and the seal of its arenas. With
// one processor those of the heap. Interrupts off, or one processor.
extern PER_PROCESSOR struct memory_block_desc *local_desc_of[BLOCK_SIZE_MAX / BLOCK_ALIGN];
extern PER_PROCESSOR uint32_t local_seal;
extern bool local_begun; // processors have arenas of their own

void local_sizes(void); // k_heap's sizes are set: called by block_desc_set()

// The page that processor n's descriptors will be in, the caller's to keep. Boot only.
void local_page(uint32_t n, void *page);
// There will be several processors: on the first one, before its local_begin(). Interrupts off.
void local_first(void);
// On each processor, before it allocates. Interrupts off.
void local_begin(void);

// ---- for kernel/port.h --------------------------------------------------------------------------
//
// Without heap_lock the first five, interrupts off for local_open(), local_close() and local_ask();
// with it the others.

bool local_open(struct memory_block_desc *desc);    // see port_open()
HEAP_QUICK void local_close(struct arena *arena);   // see port_close()
uint32_t local_trim(void);                          // see port_trim()
bool local_fill(struct memory_block_desc *common);  // see port_fill()
void local_ask(uintptr_t p);                        // see port_lock_for()
bool local_bring(struct memory_block_desc **desc);  // see port_bring()
bool local_gather(struct memory_block_desc **desc); // see port_gather()
bool local_need(uint32_t count);                    // see port_more_frames()
bool local_share(uintptr_t p);                      // see port_lock_for()
uint32_t local_hold(uintptr_t p);                   // see port_lock_at(): processor_release() it

// Gives up the arena that another processor asked for, if one did. For the interrupt that
// processor_kick() sends: it comes where no call of the heap is half done. Interrupts off, no lock.
void local_answer(void);

// Whether the arena at p is this processor's own, proved as sys_free() does it. Interrupts off.
static inline bool local_own(uintptr_t p) {
    uintptr_t frame = (p - HEAP_BASE) >> PG_SHIFT;
    return frame < k_heap.fast_frames && arena_sum(record_guess(&k_heap, frame)) == local_seal;
}

// Processor n's descriptors of k_heap, as many as the heap has; NULL if it has none.
struct memory_block_desc *local_descs(uint32_t n);
// The frames that processor n keeps, by their runs; NULL if it keeps none ever.
const struct pool *local_kept(uint32_t n);
