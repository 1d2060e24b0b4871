// checked_port.h - switches the checked build's heap on.
#pragma once

#include <stdbool.h>

// Catches late accesses, says on the console what is checked. `guard`: every block in frames of its
// own (checked_guard()). Boot: page tables and interrupts are there, nothing is allocated yet.
void checked_start(bool guard);
