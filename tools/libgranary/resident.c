// resident.c - see port.h: which pages the process has, and how many it may have.
//
// Theory. The kernel owns its frames; a process borrows its pages from the system, and is measured
// by how many it has. So beside the pool's records stands a byte for each frame: its page may be
// there and may be dirty, since blocks of it were carved or it was handed out as part of a large
// area ("touched"). These bytes say what can be given to the system, what calloc() has to clear,
// and how many pages the process has.
//
// There is a highest, as many pages as the process ever had. Before it is exceeded, pages are
// looked for that are there and free. Arenas are opened on them (pages.c), and large areas if they
// are not long, which costs nothing; and some of them go back to the system, for the sake of long
// large areas mostly. Each that is taken again afterwards costs a fault, and has to be worth it: so
// it is paid for. The credit grows with the highest, and is soon spent by a process that does the
// same all over again.
//
// Invariants:
//   G1  A frame that is not touched, and which was not handed out since that became so, is zero.
//   G2  Whether a free frame is touched changes under the lock; a frame that is handed out is
//       changed by whose it is, without.
//
// Shortcomings:
//   - The credit is charged when pages are taken again, not when they go: if none of them is for
//     long and then all are, they were more than it. What is owed is forgotten.
//   - All pages of a large area count as touched, whether the program writes to them or not.
//   - After fork() in a process of several threads, a few pages that others had touched and not
//     told of are not counted.
#include "kernel/port.h"
#include "lib/string.h"
#include "tools/libgranary/port.h"
#include "tools/libgranary/system.h"

// Pages that became touched, and that stopped being so, all together: both only ever grow, under
// the lock. A thread tells of so many at a time: the lock for each would be too much.
#define TOUCHES_HERE 16u
static uint32_t touches, untouches;
static __thread uint32_t touches_here, again_here; // not told yet; of them, PAGE_PAID before

uint32_t granary_touched_end;   // no free frame from here on is touched
uint32_t granary_highest = 32u; // the most pages that the process had, or may have

// The highest rises by a part of itself, a larger one if the credit is spent, and so many. At once,
// as many pages are looked for as are above it, a smaller part, and so many.
#define RISE_SHARE 64
#define SPENT_SHARE 16
#define STEP_SHARE 512
#define STEP_MIN 4u
// Pages that went back for this and were taken again: so many for each by which the highest rises,
// one for each if the credit was spent; and for those above LITTLE one of so many. Of what is not
// used, no more is kept than a part of the highest, and so many.
#define CREDIT_EACH 3
#define CREDIT_LITTLE 1024u
#define CREDIT_SHARE 32
#define CREDIT_KEPT_SHARE 4
#define CREDIT_KEPT_MIN 32
int32_t granary_credit = CREDIT_KEPT_MIN;

// ---- a byte for each frame ----------------------------------------------------------------------

static uint8_t state_of(uint32_t frame) { return LOOK(granary_touched_at[frame]); }

static void state_set(uint32_t frame, enum page_state state) {
    STORE(granary_touched_at[frame], (uint8_t)state);
}

static bool touched_is(uint32_t frame) { return state_of(frame) == PAGE_TOUCHED; }

// A mask of the eight frames from `frame` on, a multiple of eight: the lowest bit of a frame's byte
// is set if it is touched (or, with `wanted` false, if it is not).
_Static_assert(PAGE_TOUCHED == 1, "the lowest bit, which no other state has");
static uint64_t eight_touched(uint32_t frame, bool wanted) {
    uint64_t each = 0x0101010101010101u * PAGE_TOUCHED;
    const uint64_t *eight = (const uint64_t *)&granary_touched_at[frame];
    return (LOOK(*eight) & each) ^ (wanted ? 0 : each);
}

// The next frame from `at` on, below `end`, that is touched (or, with `wanted` false, that is not);
// `end` if none is. Eight at a time: a free run may be the greater part of the window.
static uint32_t next_touched(uint32_t at, uint32_t end, bool wanted) {
    if (at >= end) return end;
    uint32_t first = at & ~7u;
    uint32_t before = at % 8 * 8; // bits that do not count
    uint64_t found = eight_touched(first, wanted) >> before << before;
    while (found == 0 && (first += 8) < end) found = eight_touched(first, wanted);
    if (found == 0) return end;
    at = first + (uint32_t)__builtin_ctzll(found) / 8;
    return at < end ? at : end;
}

// Makes frames touched that are not. Returns how many there were, and adds to *again how many of
// them PAGE_PAID.
static uint32_t mark(uint32_t first, uint32_t count, uint32_t *again) {
    uint32_t changed = 0, end = first + count;
    for (uint32_t at = next_touched(first, end, false); at < end;
         at = next_touched(at + 1, end, false)) {
        *again += state_of(at) == PAGE_PAID;
        changed++;
        state_set(at, PAGE_TOUCHED);
    }
    return changed;
}

bool granary_touched(uintptr_t p) { return touched_is((uint32_t)((p - granary_base) >> PG_SHIFT)); }

bool granary_touched_all(uint32_t first, uint32_t count) {
    return next_touched(first, first + count, false) == first + count;
}

uint32_t granary_touched_run(uint32_t first, uint32_t count, uint32_t least, uint32_t *found) {
    uint32_t end = first + count, most = *found;
    if (end > granary_touched_end) end = granary_touched_end;
    for (uint32_t at = next_touched(first, end, true); at < end; at = next_touched(at, end, true)) {
        uint32_t start = at, stop = end - at > most ? at + most : end;
        at = next_touched(at, stop, false);
        *found = at - start;
        if (*found >= least) return start;
    }
    *found = 0;
    return end;
}

uint32_t granary_pages_give(uint32_t first, uint32_t count, uint32_t least, enum page_state then) {
    uint32_t total = 0, end = first + count, found;
    for (uint32_t at = first;; at += found) {
        found = UINT32_MAX;
        at = granary_touched_run(at, end - at, least, &found);
        if (found == 0) return total;
        void *page = (void *)(granary_base + (uintptr_t)at * PG_SIZE);
        if (then != PAGE_TOUCHED) {
            if (!system_advise(page, (size_t)found * PG_SIZE, MADV_DONTNEED)) continue;
            for (uint32_t frame = at; frame < at + found; frame++) state_set(frame, then);
            STORE(untouches, untouches + found);
        }
        total += found;
    }
}

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

// ---- how many -----------------------------------------------------------------------------------

static void touches_add(uint32_t changed, uint32_t again) {
    STORE(touches, touches + changed);
    STORE(granary_credit, granary_credit - (int32_t)again);
}

void granary_touches_told(void) {
    if (touches_here == 0) return;
    port_state state = port_lock(&k_heap);
    touches_add(touches_here, again_here);
    port_unlock(&k_heap, state);
    touches_here = again_here = 0;
}

uint32_t granary_touches(void) { return LOOK(touches); }

uint32_t granary_touch(uintptr_t p, size_t bytes) {
    uint32_t first = (uint32_t)((p - granary_base) >> PG_SHIFT);
    uint32_t end = (uint32_t)((p + bytes + PG_SIZE - 1 - granary_base) >> PG_SHIFT);
    uint32_t changed = mark(first, end - first, &again_here);
    touches_here += changed;
    if (touches_here >= TOUCHES_HERE) granary_touches_told();
    return changed;
}

void granary_touch_frames(uint32_t first, uint32_t count) {
    uint32_t again = 0, changed = mark(first, count, &again);
    if (first + count > granary_touched_end) granary_touched_end = first + count;
    touches_add(changed, again);
}

static uint32_t pages_held(void) {
    uint32_t all = granary_touches() + touches_here;
    uint32_t gone = LOOK(untouches);
    return (int32_t)(all - gone) > 0 ? all - gone : 0;
}

static uint32_t highest(void) { return LOOK(granary_highest); }

bool granary_full(void) { return pages_held() >= highest(); }
bool granary_over(void) { return pages_held() > highest(); }

uint32_t granary_step(void) {
    uint32_t held = pages_held(), most = highest();
    return most / STEP_SHARE + STEP_MIN + (held > most ? held - most : 0);
}

uint32_t granary_worth(void) {
    int32_t credit = LOOK(granary_credit);
    return credit > 0 ? (uint32_t)credit : 0;
}

// What a process may have used in all whose highest is so many.
static uint32_t credit_for(uint32_t pages) {
    uint32_t little = pages < CREDIT_LITTLE ? pages : CREDIT_LITTLE;
    return CREDIT_EACH * little + (pages - little) / CREDIT_SHARE;
}

void granary_rise(void) {
    port_state state = port_lock(&k_heap);
    uint32_t held = pages_held(), credit = granary_worth();
    uint32_t next = held + held / (credit ? RISE_SHARE : SPENT_SHARE) + STEP_MIN;
    if (next > granary_highest) {
        uint32_t kept = next / CREDIT_KEPT_SHARE + CREDIT_KEPT_MIN;
        if (credit) credit += credit_for(next) - credit_for(granary_highest);
        else credit = next - granary_highest;
        STORE(granary_credit, (int32_t)(credit < kept ? credit : kept));
        STORE(granary_highest, next);
    }
    port_unlock(&k_heap, state);
}
