// sys/mman.h - newlib has none. Memory is malloc()'s; mprotect() changes nothing (calls.c).
#pragma once

#include <stddef.h>

#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4

int mprotect(void *start, size_t bytes, int rights);
