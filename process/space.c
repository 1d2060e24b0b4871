// space.c - see space.h. How paging works, and why invlpg where it is: kernel/paging.c.
//
// Tables are frames of the kernel pool, which the heap window shows to the kernel at all times;
// a program's pages are frames of the user pool, which nothing but that program's tables leads
// to. So a frame of one program is out of another's reach because no entry names it,
// and the kernel's half is because its entries lack the user bit.
//
// Invariants:
//   M1  An entry of the user half that is present names a frame of the user pool that this space
//       took, and no other entry names it; `pages` counts them. One page, USER_SHOW, is none of
//       them: space_show() fills its entry and space_hide() empties it, within one call.
//   M2  A frame is cleared before ring 3 can read it: space_add() does it before it returns, and
//       the space's one thread is inside.
//   M3  Only entries of the user half are written. The upper half is the kernel's, as
//       paging_directory_fill() made it, and never changes (P4 of kernel/paging.c).
//   M4  A page that is taken away is flushed before its frame goes back (P3).
//
// Shortcomings: one thread a space, or the checks of pointers would have to hold off the others. A
// table that has become empty stays until the space ends.
#include "process/space.h"

#include "kernel/memory.h"
#include "kernel/paging.h"
#include "kernel/panic.h"
#include "kernel/spinlock.h"
#include "lib/string.h"
#include "process/layout.h"

#define ENTRIES 1024u
#define USER_TABLES (KERNEL_BASE >> 22)
#define ENTRY_FRAME 0xfffff000u

static void frame_give(enum pool_id pool, uint32_t pa) {
    frame_free(pool, (uint32_t)((pa - frame_address(pool, 0)) >> PG_SHIFT), 1);
}

// Physical address of a frame, 0 if there is none: frame 0 of the machine is in no pool.
static uint32_t frame_take(enum pool_id pool) {
    uint32_t frame = frame_alloc(pool, 1);
    return frame == FRAME_NONE ? 0 : (uint32_t)frame_address(pool, frame);
}

bool space_make(struct space *space, uint32_t limit) {
    memset(space, 0, sizeof *space);
    uint32_t pa = frame_take(POOL_KERNEL);
    if (!pa) return false;
    *space = (struct space){.directory = pa, .view = space_view(pa), .limit = limit, .tables = 1};
    paging_directory_fill(space->view);
    return true;
}

// The next entry from `at` on, below `end`, that is not 0; `end` if none is. One instruction looks
// at an entry: the two or three tables of a program are most of what its end costs.
static const uint32_t *next_entry(const uint32_t *at, const uint32_t *end) {
    uint32_t left = (uint32_t)(end - at);
    bool found;
    if (left == 0) return end;
    __asm__ volatile("repe scasl" : "+D"(at), "+c"(left), "=@ccne"(found) : "a"(0) : "memory");
    return found ? at - 1 : end;
}

static void table_end(struct space *space, uint32_t pa) {
    const uint32_t *table = space_view(pa), *end = table + ENTRIES;
    for (const uint32_t *at = next_entry(table, end); at < end; at = next_entry(at + 1, end)) {
        frame_give(POOL_USER, *at & ENTRY_FRAME);
        space->pages--;
    }
    frame_give(POOL_KERNEL, pa);
    space->tables--;
}

// Who looks at the space from outside sees none from the first step on.
void space_end(struct space *space) {
    struct space last = *space;
    uint32_t state = spin_save(&kernel_lock);
    *space = (struct space){0};
    spin_restore(&kernel_lock, state);
    if (!last.directory) return;
    const uint32_t *end = last.view + USER_TABLES;
    for (const uint32_t *at = next_entry(last.view, end); at < end; at = next_entry(at + 1, end)) {
        table_end(&last, *at & ENTRY_FRAME);
    }
    ASSERT(last.pages == 0 && last.tables == 1);
    frame_give(POOL_KERNEL, last.directory);
}

// The entry for a user address; NULL if its table is missing.
static uint32_t *space_entry(const struct space *space, uintptr_t va) {
    ASSERT(va < KERNEL_BASE);
    uint32_t table = space->view[va >> 22];
    return table ? space_view(table & ENTRY_FRAME) + (va >> PG_SHIFT) % ENTRIES : NULL;
}

// The directory's entry lets everything; the page's own decides.
static uint32_t *space_entry_make(struct space *space, uintptr_t va) {
    uint32_t *entry = space_entry(space, va);
    if (entry) return entry;
    uint32_t pa = frame_take(POOL_KERNEL);
    if (!pa) return NULL;
    memset(space_view(pa), 0, PG_SIZE);
    space->view[va >> 22] = pa | PAGE_PRESENT | PAGE_WRITE | PAGE_USER;
    space->tables++;
    return space_entry(space, va);
}

bool space_add(struct space *space, uintptr_t va) {
    va &= ~(uintptr_t)(PG_SIZE - 1);
    if (space->pages >= space->limit) return false;
    uint32_t *entry = space_entry_make(space, va);
    if (!entry || *entry) return false;
    uint32_t pa = frame_take(POOL_USER);
    if (!pa) return false;
    *entry = pa | PAGE_PRESENT | PAGE_WRITE | PAGE_USER;
    if (++space->pages > space->peak) space->peak = space->pages;
    memset((void *)va, 0, PG_SIZE);
    return true;
}

bool space_add_range(struct space *space, uintptr_t start, size_t bytes) {
    uintptr_t end = start + bytes;
    for (uintptr_t va = start & ~(uintptr_t)(PG_SIZE - 1); va < end; va += PG_SIZE) {
        if (!space_has(space, va) && !space_add(space, va)) return false;
    }
    return true;
}

void space_drop(struct space *space, uintptr_t va) {
    uint32_t *entry = space_entry(space, va);
    if (!entry || !*entry) return;
    uint32_t pa = *entry & ENTRY_FRAME;
    *entry = 0;
    paging_flush(va);
    frame_give(POOL_USER, pa);
    space->pages--;
}

void space_make_read_only(struct space *space, uintptr_t start, size_t bytes) {
    for (uintptr_t va = start; va < start + bytes; va += PG_SIZE) {
        uint32_t *entry = space_entry(space, va);
        if (!entry || !*entry) continue;
        *entry &= ~PAGE_WRITE;
        paging_flush(va);
    }
}

// ---- a frame for the kernel alone ---------------------------------------------------------------

bool space_show_prepare(struct space *space) { return space_entry_make(space, USER_SHOW) != NULL; }

void *space_show(struct space *space, uint32_t pa) {
    uint32_t *entry = space_entry(space, USER_SHOW);
    ASSERT(*entry == 0);
    *entry = pa | PAGE_PRESENT | PAGE_WRITE;
    return (void *)(uintptr_t)USER_SHOW;
}

void space_hide(struct space *space) {
    *space_entry(space, USER_SHOW) = 0;
    paging_flush(USER_SHOW);
}

// ---- a program's pointers -----------------------------------------------------------------------

bool space_grow_stack(struct space *space, uintptr_t va) {
    return va >= USER_STACK_LIMIT && va < USER_STACK_TOP && space_add(space, va);
}

// Every page of the range, with the rights that are wanted. A range that wraps or reaches the
// kernel's half is refused before anything is looked at.
static bool range_allows(struct space *space, uintptr_t start, size_t bytes, uint32_t rights) {
    if (start >= KERNEL_BASE || bytes > KERNEL_BASE - start) return false;
    uintptr_t va = start & ~(uintptr_t)(PG_SIZE - 1);
    for (; va < start + bytes; va += PG_SIZE) {
        const uint32_t *entry = space_entry(space, va);
        if (!entry || !*entry) {
            if (!space_grow_stack(space, va)) return false;
        } else if ((*entry & rights) != rights) {
            return false;
        }
    }
    return true;
}

bool space_readable(struct space *space, uintptr_t start, size_t bytes) {
    return range_allows(space, start, bytes, PAGE_USER);
}

bool space_writable(struct space *space, uintptr_t start, size_t bytes) {
    return range_allows(space, start, bytes, PAGE_USER | PAGE_WRITE);
}

// A page is checked when the string gets there: it may end just before one that is missing.
bool space_string(struct space *space, uintptr_t from, char *to, size_t room) {
    for (size_t i = 0; i < room; i++) {
        bool first = i == 0 || (from + i) % PG_SIZE == 0;
        if (first && !space_readable(space, from + i, 1)) return false;
        to[i] = *(const char *)(from + i);
        if (!to[i]) return true;
    }
    return false;
}
