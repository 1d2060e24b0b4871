// sample_port.h - kernel/port.h's answers for tools/pictures/sample.c: one thread, memory of this
// process.
//
// Compiled in with -DGRANARY_PORT='"tools/pictures/sample_port.h"'; the functions stand in
// sample.c.
#pragma once

#include <stdbool.h>
#include <stdint.h>

extern uintptr_t sample_heap_base; // where the window of stand-in frames begins

#define PORT_TOTAL_MEMORY 0u // memory_init() only prints it

typedef unsigned port_state;

// There is no other thread, so there is nothing to keep out.
struct heap;
static inline port_state port_lock(const struct heap *heap) { return (void)heap, 0; }
static inline void port_unlock(const struct heap *heap, port_state state) {
    (void)heap, (void)state;
}
static inline bool port_enter(const struct heap *heap) { return heap != NULL; }
static inline void port_leave(const struct heap *heap) { (void)heap; }
static inline bool port_in_interrupt(void) { return false; }
static inline void port_frames_back(const struct heap *heap, uint32_t first, uint32_t count) {
    (void)heap, (void)first, (void)count;
}
