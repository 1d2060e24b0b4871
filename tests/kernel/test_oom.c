// test_oom.c - out of memory at every place where there can be none left.
//
// What only it can find: a caller in the kernel that goes on, leaks or keeps a lock when the heap
// has nothing left, at any of its places.
//
// Theory. A call of the heap that needs memory needs it in a locked stretch of the heap, which a
// `cli` begins. kernel/measure/irqwatch.c puts a breakpoint over each of these (and over each
// `sti`); here another handler takes its place. It counts the stretches, and before the k-th one it
// takes all there is: every frame of both pools, and for the other half of the tests every free
// block of the open arenas too. The heap runs dry by its own rules, in the middle of whatever its
// caller was doing, and the kernel's code is the one that ships: no hook in it, and nothing that
// costs.
//
//     k-1:  cli ... sti          as always
//     k:    all taken, then cli ... sti, all given back      a shortage of one stretch
//     k+1:  cli ... sti          as always, or still nothing: of two stretches, or until the end
//
// A call that fails once often tries again in a second stretch (the fast path, then the slow one),
// so a shortage of one stretch is a moment that passes, one of two is a refused call, and one that
// stays is a machine that has no more.
//
// Each work below runs with a shortage at k = 1, 2, ... until a run ends before the k-th stretch.
// It returns how many calls were refused, having checked that what it held is as it was, and gives
// everything back. After each run all must be as before the first: frames of both pools, live
// blocks of every descriptor, the stacks' page table entries, threads, reports, interrupts, and
// every invariant of the heap.
//
// Shortcomings: the shortage starts between two stretches, never inside one, where there is no one
// who could take memory away; interrupts that come meanwhile are the timer's alone.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/checked/checked.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/fault.h"
#include "kernel/interrupt.h"
#include "kernel/measure/irqwatch.h"
#include "kernel/layout.h"
#include "kernel/memory.h"
#include "kernel/paging.h"
#include "kernel/panic.h"
#include "kernel/inspect/report.h"
#include "kernel/measure/random_calls.h"
#include "kernel/museum/bugs.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "process/archive.h"
#include "process/process.h"
#include "tests/kernel/ktest.h"
#include "tests/kernel/ktest_heap.h"
#include "thread/thread.h"

#define VECTOR_BREAKPOINT 3
#define CODE_STI 0xfb
#define FOREVER UINT32_MAX

// From kernel.ld.
extern const uint8_t irq_watch_start[], irq_watch_end[];
extern const uint32_t irq_sites_start[], irq_sites_end[];

// ---- the shortage -------------------------------------------------------------------------------

#define HELD_MAX 512u // free runs of both pools that can be taken

static struct {
    bool blocks;        // no free blocks either
    uint32_t first;     // the stretch it begins with, from 1
    uint32_t stretches; // how long it lasts
} shortage;

static uint32_t turns_on[IRQWATCH_BYTES_MAX / 32]; // bit: the byte there is a sti, else a cli
static uint32_t stretches_seen;
static bool own_calls;     // the heap is called by what follows, not by the work
static uint32_t exhausted; // times that everything was taken

static struct {
    enum pool_id pool;
    uint32_t first, count;
} held[HELD_MAX];
static uint32_t held_count;
static struct chain held_blocks;

// A run of the longest there are. The first of a bin is the first that frame_alloc() looks at, so
// a request for its length is served.
static uint32_t long_run(const struct pool *pool) {
    uint32_t bin = POOL_BINS - 1;
    while (bin > 0 && !pool->bin[bin]) bin--;
    return FRAME_RUN(pool->bin[bin]->run);
}

static void frames_take(enum pool_id id) {
    const struct pool *pool = mem_pool[id];
    while (pool->free > 0) {
        uint32_t count = long_run(pool), first = frame_alloc(id, count);
        ASSERT(first != FRAME_NONE && held_count < HELD_MAX);
        held[held_count].pool = id;
        held[held_count].first = first;
        held[held_count++].count = count;
    }
}

// Only arenas with room are asked: each question is a breakpoint. In the checked build a block
// holds its record too, so what is asked for is less; and asking empties the quarantine.
static void blocks_take(void) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        uint32_t size = k_heap.block_descs[i].block_size;
#ifdef HEAP_CHECKED
        if (size < CHECKED_MARGIN + sizeof(struct chain_link)) continue;
        size -= CHECKED_MARGIN;
#else
        if (list_empty(&k_heap.block_descs[i].free_list)) continue;
#endif
        ktest_take_all(&held_blocks, size);
    }
}

static void all_take(void) {
    own_calls = true;
    for (int id = 0; id < POOL_COUNT; id++) frames_take((enum pool_id)id);
    if (shortage.blocks) blocks_take();
    own_calls = false;
    exhausted++;
}

static void all_give(void) {
    own_calls = true;
    ktest_give_all(&held_blocks);
    while (held_count > 0) {
        held_count--;
        frame_free(held[held_count].pool, held[held_count].first, held[held_count].count);
    }
    own_calls = false;
}

// No subtraction that wraps: FOREVER is a length too.
static bool within(uint32_t stretch) {
    return stretch >= shortage.first && stretch - shortage.first < shortage.stretches;
}

// In place of a cli or sti of the heap: between two stretches, so the heap is whole and may be
// called. An exception's handler counts as the thread. In the checked build interrupts may be off
// around several stretches; then no sti ends one, and the next cli does.
static void on_breakpoint(struct interrupt_frame *frame) {
    uint32_t offset = frame->eip - 1 - (uint32_t)(uintptr_t)irq_watch_start;
    if (offset >= IRQWATCH_BYTES_MAX) fault_panic(frame);
    bool on = turns_on[offset / 32] >> offset % 32 & 1;
    if (!own_calls) {
        if (!on) stretches_seen++;
        if (!on && within(stretches_seen)) all_take();
        if (!within(on ? stretches_seen + 1 : stretches_seen)) all_give();
    }
    if (on) frame->eflags |= EFLAGS_IF;
    else frame->eflags &= ~EFLAGS_IF;
}

static void sites_read(void) {
    memset(turns_on, 0, sizeof turns_on);
    for (const uint32_t *site = irq_sites_start; site < irq_sites_end; site++) {
        uint32_t offset = *site - (uint32_t)(uintptr_t)irq_watch_start;
        if (offset >= IRQWATCH_BYTES_MAX || *(const uint8_t *)*site != CODE_STI) continue;
        turns_on[offset / 32] |= 1u << offset % 32;
    }
}

// irqwatch writes the breakpoints; who answers to them is this file's from then on.
static bool shortage_begin(void) {
    sites_read();
    stretches_seen = exhausted = 0;
    if (!irqwatch_start()) return false;
    interrupt_register(VECTOR_BREAKPOINT, on_breakpoint);
    return true;
}

static void shortage_end(void) {
    all_give();
    own_calls = true; // irqwatch_stop() calls what it measures itself by
    irqwatch_stop();
    own_calls = false;
}

// ---- the works: each returns how many calls were refused ---------------------------------------

#define PLACES 16u

// What a work holds. Every block is painted, so that a neighbour's bytes in it would show.
struct place {
    uint8_t *p;
    uint32_t size;
};

static void paint(struct place *place, uint8_t tag) { memset(place->p, tag, place->size); }

static bool painted(const struct place *place, uint32_t bytes, uint8_t tag) {
    for (uint32_t i = 0; i < bytes; i++) {
        if (place->p[i] != tag) return false;
    }
    return true;
}

// Puts a new block into its place; 1 if there is none.
static uint32_t put(struct place *place, void *p, uint32_t size, uint8_t tag) {
    *place = (struct place){p, size};
    if (p) paint(place, tag);
    return p == NULL;
}

// Checks and frees `count` places, tagged from `tag` on.
static void give_places(struct place *place, uint32_t count, uint8_t tag) {
    for (uint32_t i = 0; i < count; i++) {
        if (!place[i].p) continue;
        KCHECK(painted(&place[i], place[i].size, (uint8_t)(tag + i)));
        sys_free(place[i].p);
    }
}

// A block of every size, two of the smaller ones, so that an arena is opened and then used.
static uint32_t work_blocks(void) {
    struct place place[PLACES];
    uint32_t count = 0, refused = 0;
    for (uint32_t i = 0; i < k_heap.desc_count && count < PLACES - 1; i++) {
        uint32_t size = k_heap.block_descs[i].block_size;
        for (int n = 0; n < 2; n++, count++)
            refused += put(&place[count], sys_malloc(size), size, (uint8_t)(0x10 + count));
    }
    give_places(place, count, 0x10);
    return refused;
}

// As many blocks of one size as two arenas hold, and one: the list runs empty in between.
static uint32_t work_arenas(void) {
    static struct place place[2 * ARENA_BLOCKS_MAX + 1];
    const struct memory_block_desc *desc = &k_heap.block_descs[k_heap.desc_count - 1];
    uint32_t count = 2 * desc->blocks_per_arena + 1, refused = 0;
    for (uint32_t i = 0; i < count; i++)
        refused += put(&place[i], sys_malloc(desc->block_size - 40), 8, (uint8_t)i);
    give_places(place, count, 0);
    return refused;
}

static uint32_t work_areas(void) {
    static const uint32_t frames[] = {3, 1, 40, 7};
    struct place place[4];
    uint32_t refused = 0;
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t size = frames[i] * KTEST_LARGE;
        refused += put(&place[i], sys_malloc(size), size, (uint8_t)(0x40 + i));
    }
    give_places(place, 4, 0x40);
    return refused;
}

static uint32_t work_calloc(void) {
    static const uint32_t sizes[] = {9, 200, 1024, 5000, 30000};
    uint32_t refused = 0;
    for (uint32_t i = 0; i < 5; i++) {
        struct place place = {sys_calloc(sizes[i], 1), sizes[i]};
        refused += place.p == NULL;
        if (place.p) KCHECK(painted(&place, sizes[i], 0));
        sys_free(place.p);
    }
    return refused;
}

static uint32_t work_aligned(void) {
    struct place place[PLACES];
    uint32_t count = 0, refused = 0;
    for (uint32_t alignment = 32; alignment <= 16 * PG_SIZE; alignment *= 4, count += 2) {
        void *small = sys_aligned_alloc(alignment, 20);
        void *large = sys_aligned_alloc(alignment, 3 * PG_SIZE + 1);
        KCHECK_EQ(((uintptr_t)small | (uintptr_t)large) % alignment, 0);
        refused += put(&place[count], small, 20, (uint8_t)(0x60 + count));
        refused += put(&place[count + 1], large, 3 * PG_SIZE + 1, (uint8_t)(0x61 + count));
    }
    give_places(place, count, 0x60);
    return refused;
}

// Grows in place and by moving, from blocks to frames and back. Refused, the block is as it was
// and where it was; the work goes on with what it has.
static uint32_t work_realloc(void) {
    static const uint32_t sizes[] = {40, 41, 600, 3000, 5000, 9000, 50000, 20000, 5000, 700, 20};
    struct place place = {NULL, 0};
    uint32_t refused = 0;
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *p = sys_realloc(place.p, sizes[i]);
        uint32_t kept = p && sizes[i] < place.size ? sizes[i] : place.size;
        refused += p == NULL;
        if (p) place.p = p;
        if (place.p) KCHECK(painted(&place, kept, 0x77));
        if (!p) continue;
        place.size = sizes[i];
        paint(&place, 0x77);
    }
    sys_free(place.p);
    return refused;
}

static uint32_t work_trim(void) {
    uint32_t refused = 0;
    for (int turn = 0; turn < 2; turn++) {
        void *one = sys_malloc(24), *other = sys_malloc(1000);
        refused += (one == NULL) + (other == NULL);
        sys_free(one);
        sys_trim();
        sys_free(other);
    }
    return refused;
}

static uint32_t work_frames(void) {
    static const uint32_t counts[] = {1, 5, 33, 2};
    uint32_t first[POOL_COUNT][4], refused = 0;
    for (int id = 0; id < POOL_COUNT; id++) {
        for (int i = 0; i < 4; i++) {
            first[id][i] = frame_alloc((enum pool_id)id, counts[i]);
            refused += first[id][i] == FRAME_NONE;
        }
    }
    for (int id = 0; id < POOL_COUNT; id++) {
        for (int i = 0; i < 4; i++) {
            if (first[id][i] != FRAME_NONE) frame_free((enum pool_id)id, first[id][i], counts[i]);
        }
    }
    return refused;
}

// What a thread does: it takes memory itself, in its first turn.
static int allocates(void *argument) {
    struct place *place = argument;
    return (int)(put(&place[0], sys_malloc(50), 50, 0x21) +
                 put(&place[1], sys_malloc(KTEST_LARGE), KTEST_LARGE, 0x22));
}

// Record, stack, page table entries, and their way back. Priorities on both sides of main's: the
// one runs inside thread_create(), the other in thread_join().
static uint32_t work_threads(void) {
    static struct place place[2][2];
    struct thread *thread[2];
    uint32_t refused = 0;
    for (uint32_t i = 0; i < 2; i++) {
        place[i][0].p = place[i][1].p = NULL;
        unsigned priority = i == 0 ? PRIORITY_DEFAULT + 1 : PRIORITY_DEFAULT - 1;
        thread[i] = thread_create("oom", priority, allocates, place[i]);
        refused += thread[i] == NULL;
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (thread[i]) refused += (uint32_t)thread_join(thread[i]);
        give_places(place[i], 2, 0x21);
    }
    return refused;
}

// Random calls of every kind: kernel/measure/random_calls.c knows what must come of each.
static uint32_t work_soak(void) {
    static struct stream_block block[8];
    struct stream soak;
    stream_begin(&soak, block, 8, 2 * KTEST_LARGE, 4711);
    stream_calls(&soak, 40);
    stream_end(&soak);
    KCHECK_EQ(soak.spoilt, 0);
    KCHECK_EQ(soak.live, 0);
    return soak.refused;
}

struct work {
    const char *name;
    uint32_t (*run)(void);
};
static const struct work works[] = {
    {"blocks", work_blocks}, {"arenas", work_arenas},   {"areas", work_areas},
    {"calloc", work_calloc}, {"aligned", work_aligned}, {"realloc", work_realloc},
    {"trim", work_trim},     {"frames", work_frames},   {"threads", work_threads},
    {"soak", work_soak},
};
#define WORKS (sizeof works / sizeof works[0])

// ---- what must be as before ---------------------------------------------------------------------

#define SLOTS_SEEN 32u // of the stack window, the lowest: they are taken first

struct state {
    uint32_t free[POOL_COUNT];
    uint32_t live[DESC_MAX]; // blocks
    uint32_t areas;          // frames of large areas
    uint32_t threads, reports;
    uint32_t pages, entries; // of the stack window: how many are mapped, and the sum of where
    uint32_t slot;           // of the stack that comes next: the lowest that is free
};

static int ends_at_once(void *argument) { return 0; }

static void pages_count(struct state *out) {
    for (uintptr_t va = STACK_BASE; va < STACK_BASE + SLOTS_SEEN * STACK_SLOT_BYTES;
         va += PG_SIZE) {
        uint32_t entry;
        if (!paging_lookup(va, &entry)) continue;
        out->pages++;
        out->entries += (entry & -PG_SIZE) ^ (uint32_t)va; // not the bits that the CPU sets
    }
}

// A slot that is lost shows in no page: only in that it is never handed out again.
static uint32_t slot_next(void) {
    struct thread *thread = thread_create("slot", PRIORITY_DEFAULT - 1, ends_at_once, NULL);
    if (!KCHECK(thread != NULL)) return 0;
    uint32_t slot = (uint32_t)thread->slot;
    thread_join(thread);
    return slot;
}

static void state_take(struct state *out) {
    struct thread_info info[8]; // more than there are
    memset(out, 0, sizeof *out);
    out->slot = slot_next();
    sys_trim();
    for (int id = 0; id < POOL_COUNT; id++) out->free[id] = frames_free((enum pool_id)id);
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        struct desc_state desc;
        heap_desc_state(&k_heap, i, &desc);
        out->live[i] = desc.live_blocks;
    }
    out->areas = k_heap.large_frames;
    out->threads = (uint32_t)thread_snapshot(info, 8);
    out->reports = heap_report_count;
    pages_count(out);
}

#define CHECK_RUNS 16u // the invariants take longer to walk than a work to run

// One check for each thing that can be lost, so that a failure names it. The invariants are walked
// where a call was refused, and now and then.
static bool as_before(const struct state *before, bool walk) {
    struct state now;
    state_take(&now);
    bool good = KCHECK_EQ(now.free[POOL_KERNEL], before->free[POOL_KERNEL]);
    good = KCHECK_EQ(now.free[POOL_USER], before->free[POOL_USER]) && good;
    good = KCHECK_EQ(memcmp(now.live, before->live, sizeof now.live), 0) && good;
    good = KCHECK_EQ(now.areas, before->areas) && good;
    good = KCHECK_EQ(now.threads, before->threads) && good;
    good = KCHECK_EQ(now.reports, before->reports) && good;
    good = KCHECK_EQ(now.pages, before->pages) && good;
    good = KCHECK_EQ(now.entries, before->entries) && good;
    good = KCHECK_EQ(now.slot, before->slot) && good;
    good = KCHECK(irq_enabled() && interrupt_depth == 0) && good;
    return good && (!walk || KCHECK_EQ(heap_check(), 0));
}

// ---- the runs -----------------------------------------------------------------------------------

struct figures {
    uint32_t points;  // runs in which a call was refused
    uint32_t runs;    // all of them
    uint32_t refused; // calls, in all runs
};

// One run, with the shortage at stretch k. True if it came so far.
static bool run_at(const struct work *work, uint32_t k, const struct state *before,
                   struct figures *figures) {
    shortage.first = k;
    if (!KCHECK(shortage_begin())) return false;
    uint32_t refused = work->run();
    bool good = KCHECK(irq_enabled());
    irq_enable();
    shortage_end();
    if (exhausted == 0) {
        KCHECK_EQ(refused, 0); // nothing was missing
        return false;
    }
    figures->runs++;
    figures->points += refused > 0;
    figures->refused += refused;
    if (as_before(before, refused > 0 || k % CHECK_RUNS == 0) && good) return true;
    kprintf("oom: work %s, stretch %u, for %u: see above\n", work->name, k, shortage.stretches);
    return false; // one line for what is likely the same fault at every k from here on
}

static void work_at_every_point(const struct work *work, const struct state *before,
                                struct figures *all) {
    struct figures figures = {0, 0, 0};
    for (uint32_t k = 1; run_at(work, k, before, &figures); k++) {}
    // A shortage that stays is felt; a moment may pass unnoticed.
    if (shortage.stretches == FOREVER) KCHECK(figures.points > 0);
    all->points += figures.points;
    all->runs += figures.runs;
    all->refused += figures.refused;
}

static void all_points(const char *what, bool blocks) {
    static const uint32_t lengths[] = {1, 2, FOREVER};
    struct figures figures[3] = {{0, 0, 0}};
    struct state before;
    state_take(&before);
    shortage.blocks = blocks;
    for (uint32_t length = 0; length < 3; length++) {
        shortage.stretches = lengths[length];
        for (uint32_t work = 0; work < WORKS; work++)
            work_at_every_point(&works[work], &before, &figures[length]);
    }
    kprintf("oom: %s: %u points of failure, %u calls refused, in %u runs; for one stretch %u, for "
            "two %u, from then on %u\n",
            what, figures[0].points + figures[1].points + figures[2].points,
            figures[0].refused + figures[1].refused + figures[2].refused,
            figures[0].runs + figures[1].runs + figures[2].runs, figures[0].points,
            figures[1].points, figures[2].points);
}

KTEST(oom_at_every_frame) { all_points("no frames", false); }

KTEST(oom_at_every_block) { all_points("no frames, no blocks", true); }

// ---- a program: made, at work, ended ------------------------------------------------------------

static struct process_plan plan;

// What its calls are refused it can do without; what it cannot is a status that is not 0.
static uint32_t work_program(void) {
    const char *why;
    struct process *process = process_create(&plan, &why);
    return !process || process_wait(process) != 0;
}

static void program_at_every_point(bool blocks) {
    static const uint32_t lengths[] = {1, 2, FOREVER};
    const struct work work = {"program", work_program};
    struct figures figures = {0, 0, 0};
    struct state before;
    KCHECK_EQ(work_program(), 0); // whatever is taken once is taken now
    state_take(&before);
    shortage.blocks = blocks;
    for (uint32_t length = 0; length < 3; length++) {
        shortage.stretches = lengths[length];
        work_at_every_point(&work, &before, &figures);
    }
    KCHECK(figures.points > 20);
    kprintf("oom: %s, %s: %u points of failure in %u runs\n", plan.line,
            blocks ? "no frames, no blocks" : "no frames", figures.points, figures.runs);
}

static void check_program(const char *name) {
    struct archive_file file = {0};
    KNEED(archive_find(name, &file) == NULL);
    void *bytes = sys_malloc(file.bytes);
    KNEED(bytes);
    if (KCHECK(archive_read(&file, 0, file.bytes, bytes))) {
        struct program_source source = program_in_memory(bytes, file.bytes);
        plan = (struct process_plan){.line = name, .source = &source};
        program_at_every_point(false);
        program_at_every_point(true);
    }
    sys_free(bytes);
}

// `little` makes each call of a heap, `parent` a program and a file.
KTEST(oom_in_a_program) { check_program("little"); }
KTEST(oom_in_a_parent) { check_program("parent"); }

// ---- the museum's exhibits, which take memory too -----------------------------------------------

static const struct bug *exhibit;

// The twin: the same code, and no report that would have to be told from a false one.
static uint32_t work_exhibit(void) { return !exhibit->commit(true); }

// An exhibit that finds no memory cannot be shown, and must leave the kernel as it was all the
// same.
KTEST(oom_in_the_museum) {
    struct figures figures = {0, 0, 0};
    struct state before;
    state_take(&before);
    shortage.blocks = true;
    shortage.stretches = FOREVER;
    for (uint32_t n = 1; n <= bugs_count(); n++) {
        exhibit = bug_at(n);
        struct work work = {exhibit->name, work_exhibit};
        for (uint32_t k = 1; run_at(&work, k, &before, &figures); k++) {}
    }
    KCHECK(figures.points > 0);
}
