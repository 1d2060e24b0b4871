// bugs_heap.c - the museum's first room: wrong pointers. See bugs.h.
//
// Each exhibit is a few lines, as they might have been written, with `fixed` where the fix is. An
// exhibit repairs what it has broken, so that the next one finds the heap whole. The
// heap refuses every call of this room, in every build: its records beside the frames know what is
// a block and what is not, whatever a pointer says.
#include <stddef.h>

#include "kernel/museum/bugs.h"
#include "kernel/layout.h"
#include "kernel/memory.h"
#include "lib/page.h"
#include "lib/string.h"

// Two owners of one pointer, each of which cleans up. A heap that links free blocks through their
// own bytes has the block on its list twice now, and hands it to two owners.
static bool double_free(bool fixed) {
    void *name = sys_malloc(24), *alias = name;
    sys_free(name);
    if (!fixed) sys_free(alias);
    return true;
}

// A cursor into a buffer was moved, and is freed in the buffer's place. 16 bytes: so that the
// pointer is aligned like a block and only the arena's block size tells.
static bool interior_free(bool fixed) {
    char *buffer = sys_malloc(100), *cursor = buffer;
    if (!buffer) return false;
    cursor += 16;
    sys_free(fixed ? buffer : cursor);
    if (!fixed) sys_free(buffer);
    return true;
}

// User data looks like an arena's meta data, at the start of a page, where a heap that keeps its
// own there would look: desc NULL, cnt 1, large 1. Such a heap would give a frame away.
static bool forged_header(bool fixed) {
    static const uint32_t header[3] = {0, 1, 1};
    char *data = sys_malloc(3 * PG_SIZE);
    if (!data) return false;
    // Of a whole page inside the area: the checked build's pointer is no page's start.
    char *page = (char *)(((uintptr_t)data + PG_SIZE) & ~(uintptr_t)(PG_SIZE - 1));
    memcpy(page, header, sizeof header);
    if (!fixed) sys_free(page + sizeof header);
    sys_free(data);
    return true;
}

// A structure that is on the stack this time. Of the boot stack, where "main" runs: an address of
// the kernel's image, below the heap's window.
static bool free_of_a_variable(bool fixed) {
    char local[32], *p = local;
    if (fixed) p = sys_malloc(sizeof local);
    sys_free(p);
    return true;
}

// What frame_alloc() gave is given to sys_free(). The frame is in the heap's window, like every
// frame of the kernel pool, so the address alone does not tell: the records do.
static bool wrong_allocator(bool fixed) {
    uint32_t frame = frame_alloc(POOL_KERNEL, 1);
    if (frame == FRAME_NONE) return false;
    if (!fixed) sys_free(F2V(frame));
    frame_free(POOL_KERNEL, frame, 1);
    return true;
}

// A frame goes back to the pool that it did not come from, where its number is another frame's.
// Refused, the frame is still its owner's: it goes back to the right pool.
static bool wrong_pool(bool fixed) {
    uint32_t frame = frame_alloc(POOL_KERNEL, 1);
    if (frame == FRAME_NONE) return false;
    frame_free(fixed ? POOL_KERNEL : POOL_USER, frame, 1);
    if (!fixed) frame_free(POOL_KERNEL, frame, 1);
    return true;
}

// A large area is freed, its frames get other owners, and it is freed again.
static bool large_free_twice(bool fixed) {
    void *p = sys_malloc(3 * PG_SIZE);
    if (!p) return false;
    sys_free(p);
    sys_trim(); // out of quarantine, in the checked build
    // Two owners of a frame each, so that no run of three is left to be taken for the area's.
    uint32_t frame = frame_alloc(POOL_KERNEL, 1), next = frame_alloc(POOL_KERNEL, 1);
    bool both = frame != FRAME_NONE && next != FRAME_NONE;
    if (!fixed && both) sys_free(p);
    if (frame != FRAME_NONE) frame_free(POOL_KERNEL, frame, 1);
    if (next != FRAME_NONE) frame_free(POOL_KERNEL, next, 1);
    return both;
}

// A wild write hit an arena's record, which is the only place the heap believes. One bit of one
// field is enough for the seal. The record is mended by the same exclusive or, and the block freed,
// or the rest of this boot would have a heap that is not sound.
static bool corrupt_record(bool fixed) {
    struct arena *arena;
    uint32_t block;
    void *p = sys_malloc(24);
    (void)heap_classify(&k_heap, (uintptr_t)p, &arena, &block);
    if (!p || !arena) return false;
    if (!fixed) arena->base ^= 4;
    sys_free(p); // refused: the frames stay where they are
    if (!fixed) {
        arena->base ^= 4;
        sys_free(p);
    }
    return true;
}

// These are refused by memory.c itself: no build makes a difference.
#define EVERYWHERE(fault) \
    { (fault), (fault), (fault) }

const struct bug heap_bugs[] = {
    {1, "double-free", "a block is freed twice", double_free, EVERYWHERE(HEAP_DOUBLE_FREE), false},
    {2, "interior-free", "a pointer into a block is freed", interior_free,
     EVERYWHERE(HEAP_INTERIOR_POINTER), false},
    {3, "forged-header", "data that looks like an arena's header, freed after it", forged_header,
     EVERYWHERE(HEAP_INTERIOR_POINTER), false},
    {4, "stack-free", "a variable on the stack is freed", free_of_a_variable,
     EVERYWHERE(HEAP_OUTSIDE), false},
    {5, "wrong-allocator", "a frame is given to sys_free", wrong_allocator,
     EVERYWHERE(HEAP_NOT_ALLOCATED), false},
    {6, "wrong-pool", "a frame is given to the other pool", wrong_pool,
     EVERYWHERE(HEAP_NOT_ALLOCATED), false},
    {7, "large-free-twice", "a large area is freed again when others own its frames",
     large_free_twice, EVERYWHERE(HEAP_NOT_ALLOCATED), false},
    {8, "corrupt-record", "a wild write hits an arena's record", corrupt_record,
     EVERYWHERE(HEAP_CORRUPT_ARENA), false},
};
const uint32_t heap_bug_count = sizeof heap_bugs / sizeof heap_bugs[0];
