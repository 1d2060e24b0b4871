// bugs.c - see bugs.h: the list, and the verdict on each.
//
// A museum whose exhibits do not work is worse than none, so each must do what its page says. The
// heap's report is compared with the one that the page names; what the heap cannot see the exhibit
// checks itself; and the twin without the fault must give no report at all. After both, the books
// must be what they were: the invariants hold, and no frame of either pool is missing.
//
// Shortcoming: another thread that uses the heap meanwhile, like `watch load`, spoils the books and
// with them the verdict.
#include "kernel/museum/bugs.h"

#include <stddef.h>

#include "kernel/checked/checked.h"
#include "kernel/cmdline.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/inspect/report.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"

uint32_t bugs_count(void) {
    return heap_bug_count + use_bug_count + kernel_bug_count + processor_bug_count;
}

// The i-th, room after room.
static const struct bug *bug_in_order(uint32_t i) {
    if (i < heap_bug_count) return &heap_bugs[i];
    i -= heap_bug_count;
    if (i < use_bug_count) return &use_bugs[i];
    i -= use_bug_count;
    return i < kernel_bug_count ? &kernel_bugs[i] : &processor_bugs[i - kernel_bug_count];
}

// A bug has its number wherever it is: one more in any room changes no other's.
const struct bug *bug_at(uint32_t n) {
    for (uint32_t i = 0; i < bugs_count(); i++) {
        if (bug_in_order(i)->number == n) return bug_in_order(i);
    }
    return NULL;
}

uint32_t bugs_number(const char *name) {
    for (uint32_t i = 0; i < bugs_count(); i++) {
        if (strcmp(bug_in_order(i)->name, name) == 0) return bug_in_order(i)->number;
    }
    return 0;
}

void bugs_list(bool (*more)(void)) {
    for (uint32_t n = 1; n <= bugs_count() && more(); n++) {
        kprintf("%2u %-20s %s%s\n", n, bug_at(n)->name, bug_at(n)->what,
                bug_at(n)->panics ? ", and panics" : "");
    }
}

enum bug_build bugs_build(void) {
#ifdef HEAP_CHECKED
    return checked_guarded() ? BUG_GUARD : BUG_CHECKED;
#else
    return BUG_FAST;
#endif
}

bool bugs_saw(bool there, const char *what) {
    if (there) kprintf("bug: %s\n", what);
    return there;
}

// ---- two threads at the same place --------------------------------------------------------------

static volatile uint32_t arrived;
#define EVERYBODY 0x80000000u // more than ever arrive

void bugs_meet(uint32_t times) {
    __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
    while (arrived < 2 * times) {
        thread_yield();
        cpu_pause();
    }
}

bool bugs_run_two(thread_function *function) {
    arrived = 0;
    struct thread *one = thread_create("one", PRIORITY_DEFAULT, function, (void *)0);
    struct thread *two = thread_create("two", PRIORITY_DEFAULT, function, (void *)1);
    if (!one || !two) arrived = EVERYBODY; // the other does not wait
    if (one) thread_join(one);
    if (two) thread_join(two);
    return one && two;
}

// ---- the verdict --------------------------------------------------------------------------------

// What an exhibit must leave as it found it, but for the reports, which it is judged by.
struct books {
    uint32_t reports;
    uint32_t frames; // free, of both pools
    uint32_t live;   // blocks
};

// The checked build finds some faults only when a freed block leaves its quarantine: sys_trim()
// lets all of them leave. What is empty goes back, so that frames can be compared.
static struct books books_take(void) {
    sys_trim();
    struct books books = {.frames = frames_free(POOL_KERNEL) + frames_free(POOL_USER)};
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        struct desc_state state;
        heap_desc_state(&k_heap, i, &state);
        books.live += state.live_blocks;
    }
    books.reports = heap_report_count; // after sys_trim(), which may report
    return books;
}

// One report: a second one would be a false alarm after the right one, or the exhibit's repair
// gone wrong.
static bool reported(const struct books *before, const struct books *after, enum heap_fault fault) {
    uint32_t reports = after->reports - before->reports;
    if (fault == HEAP_OK) return reports == 0;
    return reports == 1 && heap_last_report.fault == fault;
}

// Said in words: a verdict against an exhibit is a failure of the museum, and wants a reason.
static bool left_sound(const struct books *before, const struct books *after) {
    if (heap_check() != 0) return false; // prints what does not hold
    if (before->frames == after->frames && before->live == after->live) return true;
    kprintf("bugs: free frames %u before, %u after; live blocks %u before, %u after\n",
            before->frames, after->frames, before->live, after->live);
    return false;
}

bool bugs_run(uint32_t n, bool fixed) {
    const struct bug *bug = bug_at(n);
    struct books before = books_take();
    kprintf("bugs: %u %s: %s%s\n", n, bug->name, bug->what, fixed ? " - without the fault" : "");
    // For a runner: what follows is no failure of the kernel (tools/run.py).
    if (bug->panics && !fixed) put_str("bugs: this one ends in a panic\n");
    bool seen = bug->commit(fixed);
    struct books after = books_take();
    bool good = reported(&before, &after, fixed ? HEAP_OK : bug->report[bugs_build()]);
    if (!fixed) bugs_classic(n); // may have a report of its own
    struct books end = books_take();
    good = left_sound(&before, &end) && good && seen;
    if (bug->panics && !fixed) good = false; // it should not have come back
    kprintf("bugs: %u %s: %s\n", n, bug->name,
            !good   ? "NOT SEEN"
            : fixed ? "silent, as it should be"
                    : "as planned");
    return good;
}

// With all of them the last line sums up: who reads the end of a transcript sees enough.
bool bugs_boot(uint32_t n, bool fixed) {
    if (n != BUGS_ALL) {
        if (n <= bugs_count()) return bugs_run(n, fixed);
        kprintf("bugs: there is no number %u, only 1 .. %u\n", n, bugs_count());
        return false;
    }
    uint32_t good = 0, bad = 0;
    for (n = 1; n <= bugs_count(); n++) {
        if (bug_at(n)->panics && !fixed) continue; // each of those needs a boot of its own
        if (bugs_run(n, fixed)) good++;
        else bad++;
    }
    kprintf("bugs: %u %s, %u not\n", good, fixed ? "silent" : "as planned", bad);
    return bad == 0;
}
