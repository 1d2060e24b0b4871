// port.c - see port.h: the start, and what goes back to the system.
//
// Theory. The kernel owns its frames; a process borrows its pages from the system, and is measured
// by how many it has. So beside the pool's records stands a byte for each frame, "touched": its
// page may be there and may be dirty, since blocks of it were carved or it was handed out as part
// of a large area. These bytes say what can be given to the system, what calloc() has to clear, and
// how many pages the process has.
//
// Invariants:
//   G1  A frame that is not touched, and which was not handed out since that became so, is zero.
//   G2  born, top_frame, granary_peak_frames, and what sweeps go by (`returned` to `learned`),
//       change under the lock. Whether a free frame is touched, too; a frame that is handed out
//       is changed by whose it is, without.
//   G3  A frame that is handed out is never swept: sweep() goes by the tags of free runs alone. An
//       arena's page without a live block is given back by its owner: pages.c.
//
// Shortcomings:
//   - Pages go to the system under the lock: another thread waits for the system call.
//   - Below the highest that the process has held, a free page in a short run stays resident, up to
//     sixteen in a row.
//   - All pages of a large area count as touched, whether the program writes to them or not.
//   - A large area that cannot grow in place is copied, where glibc moves its pages (mremap).
//   - A process that makes its second thread by clone() itself, behind glibc's back, has no lock.
#include "tools/libgranary/port.h"

#include "kernel/port.h"
#include "kernel/size_tables.h"
#include "lib/string.h"
#include "tools/libgranary/settings.h"
#include "tools/libgranary/system.h"

bool granary_ready;
uint32_t granary_peak_frames;

static uint8_t *touched;   // [f]: 1 if the process has frame f's page, see above
static uint32_t born;      // no frame from here on was ever free
static uint32_t top_frame; // or given back

static bool told;         // run_give() calls granary_frames_back()
static uint32_t returned; // frames that came back since the last count
static uint32_t largest;  // of those that came back at once, LARGEST_MAX at most
static uint32_t given;    // frames whose pages went back in sweeps that are not judged yet
static uint32_t since;    // frames that came back since then
static uint32_t dirtied;  // and of them, at most, those whose pages had been given, or were new
static uint32_t counted;  // `touches` up to which it is known how many came back
static uint32_t learned;  // touched free frames that may stay, because sweeps were in vain

// Pages that became touched, and that stopped being so, all together: both only ever grow. A thread
// tells of so many at a time: a locked instruction for each is one too many.
#define TOUCHES_HERE 16u
static uint32_t touches, untouches;
static __thread uint32_t touches_here; // not told yet
uint32_t granary_paid;                 // pages that were given back for the sake of the next
uint32_t granary_highest = 32u; // the most pages that the process had, or may have: see below

// From the first call of malloc() or, in a program that makes none, before main(): in either case
// before there is a second thread. The environment is there: glibc sets it before anything of a
// program's libraries runs. pthread_atfork() as early as this makes our handlers the last ones
// before a fork and the first ones after it, so that others' handlers may allocate.
__attribute__((constructor)) void granary_start(void) {
    if (granary_ready) return;
    int saved = errno;
    granary_settings_read();
    const struct granary_settings *set = &granary_settings;
    granary_window_place(set->window);
    memory_init(); // with the seed's table
    struct pool *pool = &k_heap.pool;
    pool->end = pool->frame; // no frame is opened yet
    k_heap.frames = 0;
    touched = granary_touched_at;
    if (!granary_more_frames(pool, 1)) granary_refuse("no memory for a heap");
    if (block_desc_set(&k_heap, set->sizes, set->size_count) != 0) {
        char name[SIZE_TABLE_NAME_BYTES];
        granary_refuse("GRANARY_CLASSES=%s: no table for memory.c",
                       size_table_name(set->sizes, set->size_count, name));
    }
    if (!told) granary_refuse("memory.c does not tell which frames come back"); // G1 rests on it
#ifndef HEAP_CHECKED
    granary_owners_start();
#endif
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
//
// Programs differ: one frees for good, the next asks for as much again a moment later, over and
// over. So sweeps are judged. Once half as many pages were dirtied anew as had been given, they
// were in vain, and as many as had been given may stay from then on. If that has not come about
// when four times as many frames have come back, half as many as before. But never does the process
// hold more than an eighth above its peak, and what may stay without any of this.

// In frames. Kept are 4 MiB, or a quarter of what the heap holds, or twice the largest area that
// came back, itself counted as 32 MiB at most: who had one that big asks for it again (glibc has
// the same rule and bound, mallopt(3), M_MMAP_THRESHOLD). After sweeps in vain it may be more, if
// all together is no more than an eighth above the peak.
#define KEEP_MIN 1024u
#define KEEP_SHARE 4
#define PEAK_SHARE 8
#define LARGEST_MAX 8192u
// Touched pages in a row that are worth a system call.
#define RUN_MIN 16u

static bool touched_is(uint32_t frame) {
    return __atomic_load_n(&touched[frame], __ATOMIC_RELAXED);
}

// Whether eight frames from a multiple of eight on are all touched, or all not.
static bool eight_are(uint32_t frame, bool on) {
    uint64_t all = on ? 0x0101010101010101u : 0;
    return __atomic_load_n((const uint64_t *)&touched[frame], __ATOMIC_RELAXED) == all;
}

static void touches_add(uint32_t count) {
    if (count > 0) __atomic_fetch_add(&touches, count, __ATOMIC_RELAXED);
}

// Returns how many have changed.
static uint32_t mark(uint32_t first, uint32_t count, bool on) {
    uint32_t changed = 0;
    for (uint32_t at = first, end = first + count; at < end;) {
        if (at % 8 == 0 && end - at >= 8 && eight_are(at, on)) {
            at += 8;
            continue;
        }
        changed += touched_is(at) != on;
        __atomic_store_n(&touched[at++], on, __ATOMIC_RELAXED);
    }
    return changed;
}

// The next frame from `at` on, below `end`, that is touched (or, with `wanted` false, that is not);
// `end` if none is. Eight at a time: a free run may be the greater part of the window.
static uint32_t next_touched(uint32_t at, uint32_t end, bool wanted) {
    while (at < end && touched_is(at) != wanted)
        at += at % 8 == 0 && end - at >= 8 && eight_are(at, !wanted) ? 8 : 1;
    return at;
}

// Gives the touched pages among some frames back, or, with `give` false, counts them only. Returns
// how many. Stretches shorter than `run_min` are left.
static uint32_t sweep_run(uint32_t first, uint32_t count, uint32_t run_min, bool give) {
    uint32_t total = 0, end = first + count;
    for (uint32_t at = next_touched(first, end, true); at < end; at = next_touched(at, end, true)) {
        uint32_t start = at;
        at = next_touched(at, end, false);
        if (at - start < run_min) continue;
        void *page = (void *)(granary_base + (uintptr_t)start * PG_SIZE);
        if (give && !system_advise(page, (size_t)(at - start) * PG_SIZE, MADV_DONTNEED)) continue;
        if (give) __atomic_fetch_add(&untouches, mark(start, at - start, false), __ATOMIC_RELAXED);
        total += at - start;
    }
    return total;
}

uint32_t granary_pages_give(uint32_t first, uint32_t count) {
    return sweep_run(first, count, 1, true);
}

// Every free run of the pool, found by its tags (F1), so that no order of bins is relied on; and
// the `count` frames from `first` on, which are about to become one and have no tags.
static uint32_t sweep(uint32_t first, uint32_t count, uint32_t run_min, bool give) {
    uint32_t total = 0, length;
    for (uint32_t at = 0; at < top_frame; at += length) {
        uint32_t tag = at == first ? FRAME_FREE | count : k_heap.pool.frame[at].run;
        length = FRAME_RUN(tag) > 0 ? FRAME_RUN(tag) : 1;
        if (!(tag & FRAME_FREE)) continue;
        if (length > top_frame - at) length = top_frame - at;
        total += sweep_run(at, length, run_min, give);
    }
    return total;
}

// Touched frames that may stay free in any case.
static uint32_t keep_limit(void) {
    uint32_t limit = (k_heap.small_frames + k_heap.large_frames) / KEEP_SHARE;
    if (limit < 2 * largest) limit = 2 * largest;
    return limit > KEEP_MIN ? limit : KEEP_MIN;
}

// Were the last sweeps in vain? It takes as long to tell as blocks live.
static void judge(void) {
    bool in_vain = dirtied >= given / 2;
    if (given == 0 || (!in_vain && since / 4 < given)) return;
    if (!in_vain) learned /= 2;
    else if (learned < given) learned = given;
    given = 0;
}

// Counts first: frames that came back may have been handed out again, and a heap that takes and
// gives the same areas all the time is to keep their pages. `live` frames are held without those
// that are about to be free.
static __attribute__((noinline)) void keep_less(uint32_t first, uint32_t count, uint32_t live,
                                                uint32_t limit) {
    uint32_t gathered = sweep(first, count, RUN_MIN, false);
    uint32_t most = granary_peak_frames + granary_peak_frames / PEAK_SHARE;
    returned = 0;
    judge();
    if (gathered <= limit) return;
    if (gathered <= learned && live + gathered <= most + limit) return;
    if (given == 0) {
        since = dirtied = 0;
        counted = __atomic_load_n(&touches, __ATOMIC_RELAXED);
    }
    given += sweep(first, count, RUN_MIN, true);
}

// From run_give(), before anything is changed: these frames still count as held.
void granary_frames_back(uint32_t first, uint32_t count) {
    told = true;
    if (first + count > born) { // frames that were just opened
        born = first + count;
        return;
    }
    const struct pool *pool = &k_heap.pool;
    uint32_t held = pool->usable - pool->free, limit;
    if (held > granary_peak_frames) granary_peak_frames = held;
    if (first + count > top_frame) top_frame = first + count;
    since += count;
    touches_add(mark(first, count, true));
    uint32_t fresh = __atomic_load_n(&touches, __ATOMIC_RELAXED) - counted;
    if (fresh > count) fresh = count;
    dirtied += fresh;
    counted += fresh;
    if (count > largest) largest = count < LARGEST_MAX ? count : LARGEST_MAX;
    returned += count;
    limit = keep_limit();
    if (returned > (limit > learned ? limit : learned) / 2) {
        keep_less(first, count, held - count, limit);
    }
}

// ---- as many pages as ever ----------------------------------------------------------------------
//
// What is kept above is kept for the next area. Here it is kept for nothing: before the process has
// more pages than ever, some go back on which nothing is live (those of arenas by pages.c). Each
// costs a fault if it is wanted again, and a system call or its share. So no more are looked for
// than are wanted, and there is a bound: once PAID_MIN and a part of the highest have been given
// back for this, the highest rises as it will. If too few are found, it rises by a part of itself
// before the next look.

#define WISH_SHARE 64
#define WISH_MIN 4u
#define PAID_SHARE 32
#define PAID_MIN 1536u
#define RUN_LOOKS 256u // free runs looked at in one call

static uint32_t pages_held(void) {
    uint32_t all = __atomic_load_n(&touches, __ATOMIC_RELAXED) + touches_here;
    uint32_t gone = __atomic_load_n(&untouches, __ATOMIC_RELAXED);
    return (int32_t)(all - gone) > 0 ? all - gone : 0; // after fork() others' few are not known
}

void granary_touches_told(void) {
    touches_add(touches_here);
    touches_here = 0;
}

static uint32_t highest(void) { return __atomic_load_n(&granary_highest, __ATOMIC_RELAXED); }

bool granary_full(void) { return pages_held() >= highest(); }
bool granary_over(void) { return pages_held() > highest(); }

uint32_t granary_touch(uintptr_t p, size_t bytes) {
    uint32_t first = (uint32_t)((p - granary_base) >> PG_SHIFT);
    uint32_t end = (uint32_t)((p + bytes + PG_SIZE - 1 - granary_base) >> PG_SHIFT);
    uint32_t changed = bytes > 0 ? mark(first, end - first, true) : 0;
    touches_here += changed;
    if (touches_here >= TOUCHES_HERE) granary_touches_told();
    return changed;
}

bool granary_touched(uintptr_t p) {
    uint32_t frame = (uint32_t)((p - granary_base) >> PG_SHIFT);
    return touched_is(frame);
}

uint32_t granary_high_wish(void) {
    uint32_t most = PAID_MIN + highest() / PAID_SHARE;
    bool worth = __atomic_load_n(&granary_paid, __ATOMIC_RELAXED) <= most;
    return worth ? highest() / WISH_SHARE + WISH_MIN : 0;
}

uint32_t granary_free_pages_give(uint32_t wish) {
    uint32_t pages = 0, looks = RUN_LOOKS;
    port_state state = port_lock(&k_heap);
    const struct pool *pool = &k_heap.pool;
    for (uint32_t bin = 0; bin < POOL_BINS && looks > 0; bin++) {
        const struct frame *tail = pool->bin[bin];
        for (; tail && pages < wish && looks > 0; tail = tail->next, looks--) {
            uint32_t length = FRAME_RUN(tail->run), last = (uint32_t)(tail - pool->frame);
            pages += sweep_run(last + 1 - length, length, 1, true);
        }
    }
    port_unlock(&k_heap, state);
    return pages;
}

void granary_high_next(uint32_t wish, uint32_t pages) {
    __atomic_fetch_add(&granary_paid, pages, __ATOMIC_RELAXED);
    if (wish > 0 && pages >= wish) return;
    uint32_t next = pages_held();
    next += next / WISH_SHARE + WISH_MIN;
    if (next > highest()) __atomic_store_n(&granary_highest, next, __ATOMIC_RELAXED);
}

// For malloc_trim(): nothing is kept, and no records of frames that are free.
uint32_t granary_give_back(void) {
    port_state state = port_lock(&k_heap);
    uint32_t total = sweep(FRAME_NONE, 0, 1, true), length;
    for (uint32_t at = 0; at < top_frame; at += length) {
        uint32_t tag = k_heap.pool.frame[at].run;
        length = FRAME_RUN(tag) > 0 ? FRAME_RUN(tag) : 1;
        if (tag & FRAME_FREE) granary_records_back(at, length);
    }
    returned = given = learned = 0;
    port_unlock(&k_heap, state);
    return total;
}

// Pages of frames that are not touched are zero already.
void granary_clear(void *area, size_t bytes) {
    uint32_t first = (uint32_t)(((uintptr_t)area - granary_base) >> PG_SHIFT);
    uint32_t end = first + (uint32_t)((bytes + PG_SIZE - 1) >> PG_SHIFT);
    for (uint32_t at = next_touched(first, end, true); at < end; at = next_touched(at, end, true)) {
        size_t from = (size_t)(at - first) * PG_SIZE;
        at = next_touched(at, end, false);
        size_t to = (size_t)(at - first) * PG_SIZE;
        memset((char *)area + from, 0, (to < bytes ? to : bytes) - from);
    }
}
