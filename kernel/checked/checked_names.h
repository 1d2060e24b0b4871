// checked_names.h - what the calls of memory.c are called in the checked build, where checked.c has
// their public names. Included before everything else when memory.c is compiled for it
// (tools/mk/kernel.mk). None of them is called: checked.c calls heap_malloc() and its kin.
#pragma once

#define sys_malloc unchecked_malloc
#define sys_free unchecked_free
#define sys_calloc unchecked_calloc
#define sys_realloc unchecked_realloc
#define sys_aligned_alloc unchecked_aligned_alloc
#define sys_usable_size unchecked_usable_size
#define sys_trim unchecked_trim
