// formal_port.h - kernel/port.h's answers for `make formal`: declared, never called by a proof.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PORT_TOTAL_MEMORY (32u << 20)

typedef unsigned port_state;
struct heap;
port_state port_lock(const struct heap *heap);
void port_unlock(const struct heap *heap, port_state state);
bool port_enter(const struct heap *heap);
void port_leave(const struct heap *heap);
bool port_in_interrupt(void);
void port_frames_back(const struct heap *heap, uint32_t first, uint32_t count);
