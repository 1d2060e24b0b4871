// formal_port.h - kernel/port.h's answers for `make formal`: declared, never called by a proof.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PORT_HEAP_BASE 0x88000000u
#define PORT_FRAMES_MAX (1u << 20)
#define PORT_TOTAL_MEMORY (32u << 20)

typedef unsigned port_state;
port_state port_lock(void);
void port_unlock(port_state state);
bool port_enter(void);
void port_leave(void);
bool port_in_interrupt(void);
void port_frames_back(uint32_t first, uint32_t count);
