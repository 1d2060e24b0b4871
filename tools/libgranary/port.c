// port.c - see port.h: the window of frames, and what goes back to the system.
//
// One mapping, of which the system gives memory page by page as it is touched:
//
//      records of frames and arenas     nothing      window: frame 0, frame 1, ...
//     +-----------------------------+ - - - - - -  +---------------------------------+
//                                     unreadable   ^ granary_base, at 2 MiB
//
// Theory. The kernel owns its frames; a process borrows its pages from the system, and is measured
// by how many it has. So beside the pool's records stands one bit for each frame, "stale": the
// frame was handed out once and came back, so its page may be there and may be dirty. The bit says
// what can be given to the system, and what calloc() has to clear.
//
// Invariants:
//   G1  A frame whose stale bit is 0, and which nobody was handed since that became so, is zero.
//   G2  stale, top_frame, peak_frames, returned and largest change under the lock only.
//   G3  A frame that is somebody's is never swept: sweep() goes by the tags of free runs alone.
//
// Shortcomings:
//   - Pages go to the system under the lock: another thread waits for the system call.
//   - A free page in a short run stays resident, up to sixteen in a row.
//   - A large area that cannot grow in place is copied, where glibc moves its pages (mremap).
//   - A process that makes its second thread by clone() itself, behind glibc's back, has no lock.
#include "tools/libgranary/port.h"

#include "kernel/port.h"
#include "kernel/size_tables.h"
#include "lib/string.h"
#include "tools/libgranary/settings.h"
#include "tools/libgranary/system.h"

uintptr_t granary_base;
bool granary_ready;
uint32_t granary_peak_frames;

#define MIB ((size_t)1 << 20)
#define WINDOW_ALIGN (2 * MIB) // a large page's size: one must not hold records and frames
// arena.cnt has 24 bits, and pages of 4 KiB are what it counts.
#define FRAMES_MAX ((1u << 24) - 1)
#define FRAMES_MIN 256u

static uint32_t frames; // in the window
static struct frame *frame_record;
static struct arena *arena_record;
static struct port_run whole;
static uint32_t *stale;    // bit f: frame f was handed out and came back, and the system has not
                           // been given its page since
static uint32_t top_frame; // no frame from here on was ever given back

static bool told;         // run_give() calls granary_frames_back()
static uint32_t returned; // frames that came back since the last count
static uint32_t largest;  // of those that came back at once, LARGEST_MAX at most

// ---- the window ---------------------------------------------------------------------------------

// The three kinds of records and the window each begin at a page, so that each can be protected.
static size_t page_up(size_t bytes) { return (bytes + PG_SIZE - 1) / PG_SIZE * PG_SIZE; }

// Maps records and window for `count` frames; false if there is no such room.
static bool window_map(uint32_t count) {
    size_t arenas = page_up(count * sizeof(struct arena));
    size_t tags = page_up(count * sizeof(struct frame)), bits = page_up(count / 8 + 4);
    size_t records = arenas + tags + bits, window = (size_t)count * PG_SIZE;
    if (window > SIZE_MAX - records - 2 * WINDOW_ALIGN) return false; // 32 bits: no such room
    size_t bytes = records + PG_SIZE + WINDOW_ALIGN + window;
    char *at = system_map(NULL, bytes, PROT_NONE, MAP_NORESERVE);
    if (!at) return false;
    uintptr_t base = ((uintptr_t)at + records + PG_SIZE + WINDOW_ALIGN - 1) & -WINDOW_ALIGN;
    if (!system_protect(at, records, PROT_READ | PROT_WRITE) ||
        !system_protect((void *)base, window, PROT_READ | PROT_WRITE)) {
        system_unmap(at, bytes);
        return false;
    }
    // Records are touched here and there, one for each 4 KiB of heap: large pages would be waste.
    system_advise(at, records, MADV_NOHUGEPAGE);
    arena_record = (struct arena *)at;
    frame_record = (struct frame *)(at + arenas);
    stale = (uint32_t *)(at + arenas + tags);
    granary_base = base;
    frames = count;
    return true;
}

// A process may have been given less address space than the window wants (ulimit -v).
static void window_open(uint32_t count) {
    while (!window_map(count)) {
        count /= 2;
        if (count < FRAMES_MIN) granary_refuse("no address space for a heap");
    }
    whole.count = count;
}

uint32_t granary_memory(void) {
    uint64_t bytes = (uint64_t)frames * PG_SIZE;
    return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

// All frames are the kernel pool's: nobody here has a use for user frames.
void port_pool(enum pool_id id, struct port_pool *out) {
    *out = (struct port_pool){0};
    if (id != POOL_KERNEL) return;
    out->frames = frames;
    out->frame = frame_record;
    out->arena = arena_record;
    out->run = &whole;
    out->runs = 1;
}

// From the first call of malloc() or, in a program that makes none, before main(): in either case
// before there is a second thread. The environment is there: glibc sets it before anything of a
// program's libraries runs. pthread_atfork() as early as this makes our handlers the last ones
// before a fork and the first ones after it, so that others' handlers may allocate.
__attribute__((constructor)) void granary_start(void) {
    if (granary_ready) return;
    int saved = errno;
    granary_settings_read();
    const struct granary_settings *set = &granary_settings;
    size_t count = set->window / PG_SIZE;
    window_open(count < FRAMES_MAX ? (uint32_t)count : FRAMES_MAX);
    memory_init(); // with the seed's table
    if (block_desc_init(k_block_descs, set->sizes, set->size_count) != 0) {
        char name[CLASSES_NAME_BYTES];
        granary_refuse("GRANARY_CLASSES=%s: no table for memory.c",
                       classes_name(set->sizes, set->size_count, name));
    }
    if (!told) granary_refuse("memory.c does not tell which frames come back"); // G1 rests on it
    granary_ready = true;
    granary_lock_start();
    errno = saved;
}

// ---- pages back to the system -------------------------------------------------------------------
//
// A free run's pages are worth keeping: the next area goes there, and a page that is taken back
// and touched again costs a fault. So they go back to the system only when many have gathered,
// many for a heap of this size; and not the short runs, which would cost a system call each for
// little.

// In frames. Kept are 4 MiB, or a quarter of what the heap holds, or twice the largest area that
// came back, itself counted as 32 MiB at most: who had one that big asks for it again (glibc has
// the same rule and bound, mallopt(3), M_MMAP_THRESHOLD).
#define KEEP_MIN 1024u
#define KEEP_SHARE 4
#define LARGEST_MAX 8192u
// Stale pages in a row that are worth a system call.
#define RUN_MIN 16u

static void mark(uint32_t first, uint32_t count, bool on) {
    for (uint32_t end = first + count, at = first; at < end;) {
        uint32_t bits = 32 - at % 32;
        if (bits > end - at) bits = end - at;
        uint32_t mask = (UINT32_MAX >> (32 - bits)) << at % 32;
        uint32_t word = on ? stale[at / 32] | mask : stale[at / 32] & ~mask;
        __atomic_store_n(&stale[at / 32], word, __ATOMIC_RELAXED); // granary_clear() has no lock
        at += bits;
    }
}

// The next frame from `at` on, below `end`, that is stale (or, with `wanted` false, that is not);
// `end` if none is. Whole words at a time: a free run may be the greater part of the window.
static uint32_t next_stale(uint32_t at, uint32_t end, bool wanted) {
    while (at < end) {
        uint32_t word = __atomic_load_n(&stale[at / 32], __ATOMIC_RELAXED);
        uint32_t bits = (wanted ? word : ~word) >> at % 32;
        if (bits != 0) {
            at += (uint32_t)__builtin_ctz(bits);
            return at < end ? at : end;
        }
        at = (at / 32 + 1) * 32;
    }
    return end;
}

// Gives the stale pages of free frames back, or, with `give` false, counts them only. Returns how
// many. Stretches shorter than `run_min` are left.
static uint32_t sweep_run(uint32_t first, uint32_t count, uint32_t run_min, bool give) {
    uint32_t total = 0, end = first + count;
    for (uint32_t at = next_stale(first, end, true); at < end; at = next_stale(at, end, true)) {
        uint32_t start = at;
        at = next_stale(at, end, false);
        if (at - start < run_min) continue;
        total += at - start;
        if (!give) continue;
        void *page = (void *)(granary_base + (uintptr_t)start * PG_SIZE);
        if (system_advise(page, (size_t)(at - start) * PG_SIZE, MADV_DONTNEED)) {
            mark(start, at - start, false);
        }
    }
    return total;
}

// Every free run of the pool, found by its tags (F1), so that no order of bins is relied on; and
// the `count` frames from `first` on, which are about to become one and have no tags.
static uint32_t sweep(uint32_t first, uint32_t count, uint32_t run_min, bool give) {
    uint32_t total = 0, length;
    for (uint32_t at = 0; at < top_frame; at += length) {
        uint32_t tag = at == first ? FRAME_FREE | count : frame_record[at].run;
        length = FRAME_RUN(tag) > 0 ? FRAME_RUN(tag) : 1;
        if (!(tag & FRAME_FREE)) continue;
        if (length > top_frame - at) length = top_frame - at;
        total += sweep_run(at, length, run_min, give);
    }
    return total;
}

// Stale frames that may stay free.
static uint32_t keep_limit(void) {
    uint32_t limit = (heap.small_frames + heap.large_frames) / KEEP_SHARE;
    if (limit < 2 * largest) limit = 2 * largest;
    return limit > KEEP_MIN ? limit : KEEP_MIN;
}

// Counts first: frames that came back may have been handed out again, and a heap that takes and
// gives the same areas all the time is to keep their pages.
static __attribute__((noinline)) void keep_less(uint32_t first, uint32_t count, uint32_t limit) {
    returned = 0;
    if (sweep(first, count, RUN_MIN, false) > limit) sweep(first, count, RUN_MIN, true);
}

// From run_give(), before anything is changed: these frames still count as held.
void granary_frames_back(uint32_t first, uint32_t count) {
    told = true;
    if (!granary_ready) return; // the pool's first frames: nobody has had them
    uint32_t held = frames - mem_pool[POOL_KERNEL].free, limit;
    if (held > granary_peak_frames) granary_peak_frames = held;
    if (first + count > top_frame) top_frame = first + count;
    mark(first, count, true);
    if (count > largest) largest = count < LARGEST_MAX ? count : LARGEST_MAX;
    returned += count;
    limit = keep_limit();
    if (returned > limit / 2) keep_less(first, count, limit);
}

// For malloc_trim(): nothing is kept.
uint32_t granary_give_back(void) {
    port_state state = port_lock();
    uint32_t total = sweep(FRAME_NONE, 0, 1, true);
    returned = 0;
    port_unlock(state);
    return total;
}

// Pages of frames that are not stale are zero already. The area is the caller's, and so are its
// frames' bits, but for neighbours in the first and last word: those may be changed meanwhile, so
// a word is read as one and only its own bits are looked at.
void granary_clear(void *area, size_t bytes) {
    uint32_t first = (uint32_t)(((uintptr_t)area - granary_base) >> PG_SHIFT);
    uint32_t end = first + (uint32_t)((bytes + PG_SIZE - 1) >> PG_SHIFT);
    for (uint32_t at = next_stale(first, end, true); at < end; at = next_stale(at, end, true)) {
        size_t from = (size_t)(at - first) * PG_SIZE;
        at = next_stale(at, end, false);
        size_t to = (size_t)(at - first) * PG_SIZE;
        memset((char *)area + from, 0, (to < bytes ? to : bytes) - from);
    }
}
