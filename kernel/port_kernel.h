// port_kernel.h - what the kernel's port needs before memory_init().
//
// Not in port.h: a plan is how this kernel knows its memory; another kernel's port has its own way.
#pragma once

#include "kernel/memory_plan.h"

void port_plan_set(const struct memory_plan *plan); // kept, not copied; before memory_init()
