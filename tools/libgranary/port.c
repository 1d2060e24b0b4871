// port.c - see port.h: the start, and what goes back to the system.
//
// Theory. memory.c tells of all frames that become free. Their pages are kept for the next area,
// and swept once there are many; sweeps that were in vain are remembered. Which pages there are is
// kept in resident.c.
//
// Invariants:
//   G3  born, granary_peak_frames, and what sweeps go by (`returned` to `learned`), change under
//       the lock.
//   G4  A frame that is handed out is never swept: sweep() goes by the tags of free runs alone.
//
// Shortcomings:
//   - Pages go to the system under the lock: another thread waits for the system call.
//   - Below the highest that the process has held, a free page in a short run stays resident, up to
//     sixteen in a row.
//   - A process that has asked for much again keeps it until it frees more, or a trim call.
//   - A large area that cannot grow in place is copied, where glibc moves its pages (mremap).
//   - A process that makes its second thread by clone() itself, behind glibc's back, has no lock.
#include "tools/libgranary/port.h"

#include "kernel/port.h"
#include "kernel/size_tables.h"
#include "tools/libgranary/settings.h"
#include "tools/libgranary/system.h"

bool granary_ready;
uint32_t granary_peak_frames;

static uint32_t born; // no frame from here on was ever free

static bool told;         // run_give() calls granary_frames_back()
static uint32_t returned; // frames that came back since the last count
static uint32_t largest;  // of those that came back at once, LARGEST_MAX at most
static uint32_t given;    // frames whose pages went back in sweeps that are not judged yet
static uint32_t since;    // frames that came back since then
static uint32_t dirtied;  // and of them, at most, those whose pages had been given, or were new
static uint32_t counted;  // touches up to which it is known how many came back
static uint32_t learned;  // touched free frames that may stay, because sweeps were in vain

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
// were in vain, and a quarter more may stay from then on. If that has not come about when 64 times
// as many frames have come back (an area that is taken and freed all the time counts each time),
// half as many as before. But never does the process hold more than an eighth above its peak, and
// what may stay without any of this.

// In frames. Kept are 4 MiB, or a quarter of what the heap holds, or twice the largest area that
// came back, itself counted as 32 MiB at most: who had one that big asks for it again (glibc has
// the same rule and bound, mallopt(3), M_MMAP_THRESHOLD). After sweeps in vain it may be more, if
// all together is no more than an eighth above the peak.
#define KEEP_MIN 1024u
#define KEEP_SHARE 4
#define PEAK_SHARE 8
// With 4, a trace of git log that takes and frees areas of 32 KiB all the time never learned; with
// as many as were given and not a quarter more, it learned in four rounds instead of two.
#define JUDGE_TIMES 64
#define LEARN_SHARE 4
#define LARGEST_MAX 8192u
// Touched pages in a row that are worth a system call.
#define RUN_MIN 16u

// Every free run of the pool, found by its tags (F1), so that no order of bins is relied on; and
// the `count` frames from `first` on, which are about to become one and have no tags.
static uint32_t sweep(uint32_t first, uint32_t count, uint32_t run_min, enum page_state then) {
    uint32_t total = 0, length;
    for (uint32_t at = 0; at < granary_touched_end; at += length) {
        uint32_t tag = at == first ? FRAME_FREE | count : k_heap.pool.frame[at].run;
        length = FRAME_RUN(tag) > 0 ? FRAME_RUN(tag) : 1;
        if (!(tag & FRAME_FREE)) continue;
        if (length > granary_touched_end - at) length = granary_touched_end - at;
        total += granary_pages_give(at, length, run_min, then);
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
    if (given == 0 || (!in_vain && since / JUDGE_TIMES < given)) return;
    if (!in_vain) learned /= 2;
    else if (learned < given + given / LEARN_SHARE) learned = given + given / LEARN_SHARE;
    given = 0;
}

// Counts first: frames that came back may have been handed out again, and a heap that takes and
// gives the same areas all the time is to keep their pages. `live` frames are held without those
// that are about to be free.
static __attribute__((noinline)) void keep_less(uint32_t first, uint32_t count, uint32_t live,
                                                uint32_t limit) {
    uint32_t gathered = sweep(first, count, RUN_MIN, PAGE_TOUCHED);
    uint32_t most = granary_peak_frames + granary_peak_frames / PEAK_SHARE;
    returned = 0;
    judge();
    if (gathered <= limit) return;
    if (gathered <= learned && live + gathered <= most + limit) return;
    if (given == 0) {
        since = dirtied = 0;
        counted = granary_touches();
    }
    given += sweep(first, count, RUN_MIN, PAGE_GONE);
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
    since += count;
    granary_touch_frames(first, count);
    uint32_t fresh = granary_touches() - counted;
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

// For malloc_trim(): nothing is kept, and no records of frames that are free.
uint32_t granary_give_back(void) {
    port_state state = port_lock(&k_heap);
    uint32_t total = sweep(FRAME_NONE, 0, 1, PAGE_GONE), length;
    for (uint32_t at = 0; at < granary_touched_end; at += length) {
        uint32_t tag = k_heap.pool.frame[at].run;
        length = FRAME_RUN(tag) > 0 ? FRAME_RUN(tag) : 1;
        if (tag & FRAME_FREE) granary_records_back(at, length);
    }
    returned = given = learned = 0;
    port_unlock(&k_heap, state);
    return total;
}
