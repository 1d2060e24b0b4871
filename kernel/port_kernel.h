// port_kernel.h - what the kernel's port needs before memory_init().
//
// Not in port.h: a plan is this kernel's way to know its memory, another one's port has its own.
#pragma once

#include "kernel/memory_plan.h"

void port_plan_set(const struct memory_plan *plan); // kept, not copied; before memory_init()
