// heap.c - newlib's malloc() and its kin: the kernel's heap, by system calls. newlib is built
// without an allocator of its own (-DMALLOC_PROVIDED); its own functions call the names with _r.
#include <errno.h>
#include <malloc.h>
#include <reent.h>
#include <stdlib.h>

#include "user/newlib/call.h"

// A size of 0 is one that can be freed: programs take null for "no memory".
static void *some(uint32_t number, uint32_t a, uint32_t b) {
    void *p = pointer_to(call(number, a, b, 0));
    if (!p) errno = ENOMEM;
    return p;
}

void *malloc(size_t size) { return some(SYS_malloc, size ? size : 1, 0); }
void free(void *p) { call(SYS_free, address_of(p), 0, 0); }

void *calloc(size_t count, size_t size) {
    return count && size ? some(SYS_calloc, count, size) : some(SYS_calloc, 1, 1);
}

void *realloc(void *p, size_t size) { return some(SYS_realloc, address_of(p), size ? size : 1); }

void *memalign(size_t alignment, size_t size) {
    return some(SYS_aligned_alloc, alignment, size ? size : 1);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
size_t malloc_usable_size(void *p) { return call(SYS_usable_size, address_of(p), 0, 0); }

void *_malloc_r(struct _reent *r, size_t size) { return malloc(size); }
void _free_r(struct _reent *r, void *p) { free(p); }
void *_calloc_r(struct _reent *r, size_t count, size_t size) { return calloc(count, size); }
void *_realloc_r(struct _reent *r, void *p, size_t size) { return realloc(p, size); }
void *_memalign_r(struct _reent *r, size_t alignment, size_t size) {
    return memalign(alignment, size);
}
