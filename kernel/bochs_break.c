// bochs_break.c - see bochs_break.h.
#include "kernel/bochs_break.h"

bool bochs_breaks;
