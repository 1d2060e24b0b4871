// port_kernel.h - what the kernel's port needs before memory_init().
#pragma once

#include "kernel/plan.h"

void port_plan_set(const struct memory_plan *plan); // kept, not copied; before memory_init()
