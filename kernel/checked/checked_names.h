// checked_names.h - what memory.c's calls are called in the checked build, where checked.c has
// their public names. Included before everything else when memory.c is compiled for it
// (tools/mk/kernel.mk); checked.c calls them so.
#pragma once

#define sys_malloc heap_malloc
#define sys_free heap_free
#define sys_aligned_alloc heap_aligned_alloc
#define sys_trim heap_trim
// Never called: checked.c does without it.
#define sys_calloc heap_calloc
#define sys_realloc heap_realloc
#define sys_usable_size heap_usable_size
