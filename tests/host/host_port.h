// host_port.h - kernel/port.h's answers where there is no kernel: the heap over memory of this
// process.
//
// Compiled in with -DGRANARY_PORT='"tests/host/host_port.h"'; the functions are in heap_host.c.
#pragma once

#include <stdbool.h>
#include <stdint.h>

extern uintptr_t host_heap_base; // where the window of stand-in frames begins
extern uint32_t host_total_memory;
extern bool host_in_interrupt; // a test sets it to act as an interrupt handler
extern bool host_several;      // or as if there were several processors: heap_fast_paths() then
extern bool host_irqs_off; // or to call with interrupts off, which the fast paths leave to others

extern uint32_t host_fast_entries; // calls of port_enter() that let the fast path in
extern uint32_t host_slow_entries; // calls of port_lock() beside these

// Called whenever the heap has let go of its lock, unless it is NULL: there another thread's calls
// may come.
extern void (*host_unlocked)(void);

#define PORT_TOTAL_MEMORY host_total_memory

typedef unsigned port_state;

// No other thread is there: these only see to it that the heap locks once, and unlocks what it
// locked.
struct heap;
port_state port_lock(const struct heap *heap);
void port_unlock(const struct heap *heap, port_state state);
static inline bool port_enter(const struct heap *heap) {
    if (host_in_interrupt || host_irqs_off) return false;
    (void)port_lock(heap);
    host_slow_entries--;
    host_fast_entries++;
    return true;
}
static inline void port_leave(const struct heap *heap) {
    port_unlock(heap, 0x10c); // what port_lock() gives
}
static inline bool port_in_interrupt(void) { return host_in_interrupt; }

// With several processors the heap has its lock before it takes this one, which is then nothing
// more than interrupts off.
#define PORT_LOCK_ALONE
static inline port_state port_lock_alone(const struct heap *heap) {
    return host_several ? 0 : port_lock(heap);
}
static inline void port_unlock_alone(const struct heap *heap, port_state state) {
    if (!host_several) port_unlock(heap, state);
}
static inline bool port_several(void) { return host_several; }
static inline bool port_special(void) { return host_in_interrupt || host_several; }
#define PORT_FAST_FRAMES(heap) ((heap)->fast_frames)
static inline void port_frames_back(const struct heap *heap, uint32_t first, uint32_t count) {
    (void)heap;
    (void)first;
    (void)count;
}

// Where processors have arenas of their own: the fast paths are theirs, and other descriptors of
// the size may have room. A test says which, and the heap takes it whatever its size is.
struct memory_block_desc;
extern bool host_local;
extern struct memory_block_desc *host_bring, *host_gather; // NULL: none
static inline bool host_other(struct memory_block_desc **desc, struct memory_block_desc *other) {
    if (other) *desc = other;
    return other;
}
// And how many arenas may be opened without the lock; how many more once it was taken for them.
extern uint32_t host_kept, host_fill;
bool host_open(struct memory_block_desc *desc);
static inline bool host_filled(void) {
    host_kept += host_fill;
    return host_fill > 0;
}
// Whether a wrong pointer is looked at in the moment before another processor opens an arena there.
extern bool host_none;
static inline port_state host_lock_for(const struct heap *heap, bool *none) {
    *none = host_none;
    return port_lock(heap);
}
#define port_lock_for(heap, p, none) host_lock_for((heap), (none))
#define port_local(heap) host_local
#define port_open(desc) host_open(desc)
#define port_fill(heap, slot) host_filled()
#define port_bring(desc) host_other((desc), host_bring)
#define port_gather(desc) host_other((desc), host_gather)

// What the heap gets when a pool has no run long enough: nothing, unless a test says otherwise.
struct pool;
extern bool (*host_grow)(struct pool *pool, uint32_t count);
static inline bool host_more_frames(struct pool *pool, uint32_t count) {
    return host_grow && host_grow(pool, count);
}
#define port_more_frames host_more_frames
