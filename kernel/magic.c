// magic.c - see magic.h.
#include "kernel/magic.h"

bool magic_breaks;
