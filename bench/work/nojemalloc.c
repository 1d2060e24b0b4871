// nojemalloc.c - takes libjemalloc's place under Debian's redis-server, so that another heap can be
// preloaded, or none.
//
// The server is linked with libjemalloc and calls functions of its own besides malloc: Redis 7 to
// ask, Redis 8 for the memory of its scripts, whose size it then asks malloc_usable_size for. With
// another heap preloaded, that heap would be asked for the size of jemalloc's block, and end the
// server (glibc) or report it (libgranary). Here, those functions call malloc, of whichever heap.
//
// This is a library of the same name (DT_SONAME) for LD_LIBRARY_PATH. Where jemalloc itself is
// preloaded, the linker has a library of that name already, and leaves this one alone.
#include <stdlib.h>
#include <string.h>

// Arenas and thread caches: with malloc, there are none to choose.
void *mallocx(size_t size, int flags);
void *rallocx(void *block, size_t size, int flags);
void dallocx(void *block, int flags);
size_t nallocx(size_t size, int flags);
int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size);
void malloc_stats_print(void (*write)(void *, const char *), void *opaque, const char *options);

void *mallocx(size_t size, int flags) {
    (void)flags;
    return malloc(size);
}

void *rallocx(void *block, size_t size, int flags) {
    (void)flags;
    return realloc(block, size);
}

void dallocx(void *block, int flags) {
    (void)flags;
    free(block);
}

// The size that malloc would round this one up to: unknown, and of use only for leaving out a call.
size_t nallocx(size_t size, int flags) {
    (void)flags;
    return size;
}

// Every figure is 0, as is the number of each arena or cache that is created. A failure would end
// the server.
int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size) {
    (void)name;
    (void)new;
    (void)new_size;
    if (old && old_size) memset(old, 0, *old_size);
    return 0;
}

void malloc_stats_print(void (*write)(void *, const char *), void *opaque, const char *options) {
    (void)write;
    (void)opaque;
    (void)options;
}
