// replay.c - see replay.h.
//
// Theory. The replay runs before there are threads, a timer or anything else on the heap, so that
// nothing is measured but the trace, and a hash of addresses depends on nothing else:
//
//   kernel pool   |  other runs  | up to |  the heap's    ...           | trace, slots,  |
//                 |  of memory   | 64 KiB|  one run                     | histogram      |
//                 '---- taken away ------'------------------------------'- the replay's -'
//
// Where the pool's runs lie, and how long they are, differs from machine to machine. The heap gets
// one run of whole frames, whatever else there is, and addresses count from its start. The replay's
// own memory comes from that run's end, where it shifts none of the heap's frames.
//
// A trace is replayed several times: a pass is one of them. Only one is measured; the one that
// watches interrupts is slower by the breakpoints' handlers, those that try other tables only want
// to know about frames.
//
// Invariants, in a pass:
//   Y1  A slot whose pointer is not NULL holds a block of `size` bytes that no other slot holds.
//   Y2  The ends of each such block are marked (kernel/measure/operation.c).
//   Y3  The heap is empty before the first and after the last operation.
//
// Shortcomings: frames are counted between the calls, so that a realloc that copies counts the old
// or the new block, not both; marks find what was overwritten only at a block's ends.
#include "kernel/measure/replay.h"

#include <stddef.h>

#include "kernel/size_tables.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/measure/irqwatch.h"
#include "kernel/layout.h"
#include "kernel/memory.h"
#include "kernel/measure/operation.h"
#include "kernel/measure/trace_format.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"

#define SECTOR_BYTES 512u
#define HISTOGRAM_MAX 65536u // costs from here on count as the largest one
#define CHUNK_SECTORS 256u   // of a trace that does not fit in as a whole
#define SPARE_FRAMES 256u    // what the heap must have at the least: a MiB

// Valid while replay_run() runs. Nothing here is shared: there is one processor, and no thread yet.
static const struct replay *from;
static struct trace trace;

// Bytes to frames. 64 bits going in, because a trace's own figures are not to be trusted yet.
static uint32_t replay_round_up(uint64_t bytes) {
    return (uint32_t)((bytes + PG_SIZE - 1) >> PG_SHIFT);
}
static uint32_t held_frames(void) { return k_heap.small_frames + k_heap.large_frames; }

// ---- what is shown ------------------------------------------------------------------------------

static uint32_t progress_done, progress_all; // passes
static uint32_t progress_shown;              // per cent on the screen, or more if none is

// Before operation `number` of a pass.
static void progress_show(uint32_t number) {
    if (!from->progress || number % 4096 != 0) return;
    uint64_t done = (uint64_t)progress_done * trace.operations + number;
    uint32_t percent = (uint32_t)(done * 100 / ((uint64_t)progress_all * trace.operations));
    if (percent != progress_shown) kprintf("\rreplaying: %u %%", percent);
    progress_shown = percent;
}

// Leaves the line as if nothing had stood there.
static void progress_end(void) {
    if (from->progress) kprintf("\r                \r");
    progress_shown = UINT32_MAX;
}

// Says what is wrong, on a line of its own, whatever per cent was shown there. False, for `return`.
static bool failed(const char *what, const char *why) {
    progress_end();
    kprintf("replay: failed: %s%s\n", what, why);
    return false;
}

// ---- the ground: which frames belong to what ----------------------------------------------------

#define TAKEN_MAX 64u // runs of the pool taken away; a memory map has fewer ranges

static struct { uint32_t first, count; } taken[TAKEN_MAX];
static uint32_t taken_count;
static uint32_t heap_first;    // the heap's run
static uint32_t ground_frames; // length of the longest run, before anything was taken
static char *memory;           // the replay's own frames

// Frames in the longest free run: the largest request that would be served, found by halving. By
// trying and not by reading the pool's records, so that another way of keeping runs changes nothing
// here.
static uint32_t longest_run(void) {
    uint32_t good = 0, bad = frames_free(POOL_KERNEL) + 1;
    while (bad - good > 1) {
        uint32_t count = good + (bad - good) / 2;
        uint32_t first = frame_alloc(POOL_KERNEL, count);
        if (first == FRAME_NONE) {
            bad = count;
        } else {
            good = count;
            frame_free(POOL_KERNEL, first, count);
        }
    }
    return good;
}

// Takes a run away from the heap until ground_give(). Returns its first frame.
static uint32_t replay_take(uint32_t count) {
    uint32_t first = frame_alloc(POOL_KERNEL, count);
    taken[taken_count].first = first;
    taken[taken_count++].count = count;
    return first;
}

// Everything taken goes back; the heap's own run was never taken.
static void ground_give(void) {
    while (taken_count > 0) {
        taken_count--;
        frame_free(POOL_KERNEL, taken[taken_count].first, taken[taken_count].count);
    }
}

// Leaves the longest run alone in the pool: takes it first, so that no other request can be served
// from it, then all others, and gives it back.
static void ground_clear(void) {
    uint32_t other, longest = frame_alloc(POOL_KERNEL, ground_frames);
    while (taken_count < TAKEN_MAX - 2 && (other = longest_run()) > 0) replay_take(other);
    frame_free(POOL_KERNEL, longest, ground_frames);
}

// Cuts that run: up to a multiple of 64 KiB unused, `own` frames at the end ours, the rest the
// heap's. The caller has seen that it is long enough. Why the multiple: a heap that wants its
// arenas aligned, to 16 frames at the most, must not show by its addresses where the kernel ends.
static void ground_cut(uint32_t own) {
    uint32_t first = frame_alloc(POOL_KERNEL, ground_frames);
    frame_free(POOL_KERNEL, first, ground_frames);
    uint32_t before = -first % 16;
    if (before > 0) replay_take(before);
    uint32_t rest = ground_frames - before - own;
    heap_first = frame_alloc(POOL_KERNEL, rest);
    memory = F2V(replay_take(own));
    frame_free(POOL_KERNEL, heap_first, rest);
}

// ---- the trace on its disk ----------------------------------------------------------------------

static uint8_t head[SECTOR_BYTES]; // the first sector, before there is any memory
static char *buffer;               // sectors of the trace
static uint32_t buffer_room;       // sectors
static uint32_t buffer_first, buffer_count;

// Sectors that hold the trace: the disk may have more.
static uint32_t trace_sectors(void) {
    return (uint32_t)((trace_bytes(&trace) + SECTOR_BYTES - 1) / SECTOR_BYTES);
}

// Fills the buffer from `sector` on, as far as the trace goes. Operations are read in rising order,
// so what lies before is not wanted again in this pass; a buffer that holds the whole trace is
// filled once for all passes.
static bool buffer_load(uint32_t sector) {
    uint32_t count = trace_sectors() - sector;
    if (count > buffer_room) count = buffer_room;
    const char *why = from->read(sector, count, buffer);
    buffer_first = sector;
    buffer_count = why ? 0 : count;
    return why == NULL || failed("reading the trace: ", why);
}

// Operation `number`. False, with a line printed, if the disk would not read. 32 bytes of header
// and 8 of each operation: none lies across two sectors.
static bool operation_read(uint32_t number, struct trace_operation *operation) {
    uint64_t at = TRACE_HEADER_BYTES + (uint64_t)number * TRACE_OPERATION_BYTES;
    uint32_t sector = (uint32_t)(at / SECTOR_BYTES), raw[2];
    if (sector - buffer_first >= buffer_count && !buffer_load(sector)) return false;
    memcpy(raw, buffer + (size_t)(at - (uint64_t)buffer_first * SECTOR_BYTES), sizeof raw);
    *operation = trace_decode(raw);
    return true;
}

// ---- a pass -------------------------------------------------------------------------------------

// Only a measuring pass asks sys_usable_size() before a realloc: that call, too, turns interrupts
// off, and would be watched.
enum pass_kind { PASS_MEASURE, PASS_WATCH, PASS_TABLE };

// What came of one.
struct pass {
    enum pass_kind kind;
    uint32_t failed;      // calls that returned NULL
    uint32_t frames_peak; // as replay.h says
    uint32_t top;         // frames of the heap's run up to the highest one that was in use
    uint32_t damaged;     // blocks whose contents were not as they must be
    uint32_t damaged_at;  // operation that found the first of them
    uint32_t broken;      // invariants that heap_check() found broken at the end
    uint32_t held;        // frames still held then, after sys_trim()
    uint32_t irqs_off;    // PASS_WATCH
    uint64_t hash;
    uint64_t cost_sum; // PASS_MEASURE, and the two below
    uint32_t cost_max;
};
static struct slot *replay_slots;
static uint32_t *histogram; // calls of each cost, PASS_MEASURE

// The costs of the other passes are the breakpoints', or of no interest.
static void cost_note(struct pass *pass, uint32_t cost) {
    if (pass->kind != PASS_MEASURE) return;
    pass->cost_sum += cost;
    if (cost > pass->cost_max) pass->cost_max = cost;
    histogram[cost < HISTOGRAM_MAX ? cost : HISTOGRAM_MAX - 1]++;
}

// FNV-1a, with words for bytes. A null pointer folds as what no offset can be.
static void hash_fold(struct pass *pass, const uint8_t *p) {
    uint32_t offset = p ? (uint32_t)(p - (const uint8_t *)F2V(heap_first)) : UINT32_MAX;
    pass->hash = (pass->hash ^ offset) * 0x100000001b3ull;
}

// Frames that the heap's records fill if they reach over `frames` frames. At boot the kernel gives
// them room for the whole pool; that says how large the machine is, not what the trace needs.
static uint32_t record_frames(uint32_t frames) {
    uint64_t fixed = sizeof k_heap + frames / ANCHOR_STEP / 8 + 8;
    return replay_round_up((uint64_t)frames * (sizeof(struct arena) + sizeof(struct frame)) +
                           fixed);
}

// The frame after the arena or large area that a block lies in, from the heap's first: an arena of
// several frames holds all of them from its first block on.
static uint32_t frames_up_to(const void *p) {
    struct arena *arena;
    uint32_t block;
    if (heap_classify(&k_heap, (uintptr_t)p, &arena, &block) != HEAP_OK || !arena) return 0;
    uint32_t first = (uint32_t)((arena->base - HEAP_BASE) >> PG_SHIFT) - heap_first;
    return first + (arena->large ? arena->cnt : arena->desc->frames_per_arena);
}

// After each call that may have taken frames. The arena is looked up only for a block that lies
// higher than all before it: a few thousand times in a long trace.
static void frames_note(struct pass *pass, const uint8_t *p, uint32_t size) {
    uintptr_t top = (uintptr_t)F2V(heap_first + pass->top);
    if (p && (uintptr_t)p + size > top) pass->top = frames_up_to(p);
    uint32_t frames = held_frames() + record_frames(pass->top);
    if (frames > pass->frames_peak) pass->frames_peak = frames;
}

// The first place is where a search for the fault should stop.
static void damage_note(struct pass *pass, uint32_t number) {
    if (pass->damaged++ == 0) pass->damaged_at = number;
}

// A call that was to give a block gave p of `size` bytes, or NULL.
static void taken_note(struct pass *pass, const uint8_t *p, uint32_t size) {
    hash_fold(pass, p);
    if (p) frames_note(pass, p, size);
    else pass->failed++;
}

// trace_check() has seen that the slot fits the kind.
static void operation_do(struct pass *pass, uint32_t number, struct trace_operation operation) {
    struct operation_result result =
        operation_run(replay_slots, operation, pass->kind == PASS_MEASURE);
    cost_note(pass, result.cost);
    if (!result.whole) damage_note(pass, number);
    if (operation.kind != TRACE_FREE) taken_note(pass, result.p, operation.size);
}

// Frees what the trace left, and looks at what the heap is then. Before sys_trim(), so that
// heap_check() also walks the empty arenas that were kept.
static void pass_end(struct pass *pass) {
    for (uint32_t slot = 0; slot < trace.slots; slot++) {
        if (!operation_end(replay_slots, slot)) damage_note(pass, trace.operations);
    }
    if (pass->kind == PASS_WATCH) pass->irqs_off = irqwatch_stop();
    pass->broken = heap_check();
    sys_trim();
    pass->held = held_frames();
}

// False if the disk would not read: what was live is freed all the same.
static bool pass_run(struct pass *pass, enum pass_kind kind) {
    memset(pass, 0, sizeof *pass);
    pass->kind = kind;
    pass->hash = 0xcbf29ce484222325ull;
    memset(replay_slots, 0, (size_t)trace.slots * sizeof *replay_slots);
    if (kind == PASS_WATCH && !irqwatch_start())
        return failed("irqwatch: ", "no cli where one was");
    bool good = true;
    for (uint32_t i = 0; good && i < trace.operations; i++) {
        struct trace_operation operation;
        progress_show(i);
        good = operation_read(i, &operation);
        if (good) operation_do(pass, i, operation);
    }
    pass_end(pass);
    progress_done++;
    return good;
}

// ---- the trace's own check, and the memory it takes ---------------------------------------------

// The whole trace once, without a call of the heap: whatever is wrong later is not the trace's
// fault. The slots' memory serves for their sizes, half of it. A peak that differs is only noted: a
// recorder may have counted in another way.
static bool trace_sound(void) {
    trace_start(&trace, (uint32_t *)replay_slots);
    for (uint32_t i = 0; i < trace.operations; i++) {
        struct trace_operation operation;
        progress_show(i);
        if (!operation_read(i, &operation)) return false;
        if (!trace_check(&trace, operation)) return failed("", trace.fault);
    }
    progress_done++;
    if (trace.peak != trace.live_peak) {
        kprintf("replay: note: the header says a peak of %llu bytes, the operations come to %llu\n",
                (unsigned long long)trace.peak, (unsigned long long)trace.live_peak);
    }
    return true;
}

// A disk of less than a sector cannot be, but a size of 0 can.
static bool head_read(void) {
    if (from->disk_bytes >= SECTOR_BYTES) {
        const char *why = from->read(0, 1, head);
        if (why) return failed("reading the trace: ", why);
    }
    return trace_open(&trace, head, from->disk_bytes) || failed("", trace.fault);
}

// Slots and histogram, and the trace: as a whole if the heap still has room, else piece by piece.
static uint64_t own_bytes(bool whole) {
    uint64_t sectors = whole ? trace_sectors() : CHUNK_SECTORS;
    return (uint64_t)trace.slots * sizeof(struct slot) + HISTOGRAM_MAX * sizeof *histogram +
           sectors * SECTOR_BYTES;
}

// Bytes that the heap will want for a peak of live bytes: three quarters more.
static uint64_t heap_bytes(uint64_t peak) { return peak + peak / 4 * 3; }

// A size for the machine's memory that should do: the kernel pool is half of it. More than there is
// now, in any case: what there is has just turned out to be too little.
static bool too_little_memory(const char *what, uint64_t peak) {
    uint64_t total = (uint64_t)frames_total(POOL_KERNEL) + frames_total(POOL_USER);
    uint64_t want = 2 * (heap_bytes(peak) + own_bytes(true)) >> 20;
    uint64_t more = (total * PG_SIZE >> 20) * 3 / 2;
    uint64_t mib = ((want > more ? want : more) + 16 + 15) / 16 * 16;
    progress_end();
    kprintf("replay: failed: too little memory: %s; it needs about %llu MiB: use MEM=%llu\n", what,
            (unsigned long long)mib, (unsigned long long)mib);
    return false;
}

// The replay's memory, and with it what the heap may have. The header's peak decides only whether
// the trace is read as a whole or in pieces: a wrong one costs time or frames, and no result.
static bool memory_take(void) {
    ground_frames = longest_run();
    uint64_t room = (uint64_t)(ground_frames > SPARE_FRAMES ? ground_frames - SPARE_FRAMES : 0)
                    << PG_SHIFT;
    if (own_bytes(false) > room) return too_little_memory("no room for the slots", trace.peak);
    bool whole = own_bytes(true) + heap_bytes(trace.peak) <= room;
    ground_clear();
    ground_cut(replay_round_up(own_bytes(whole)));
    histogram = (uint32_t *)memory;
    replay_slots = (struct slot *)(histogram + HISTOGRAM_MAX);
    buffer = (char *)(replay_slots + trace.slots);
    buffer_room = whole ? trace_sectors() : CHUNK_SECTORS;
    buffer_count = 0;
    memset(histogram, 0, HISTOGRAM_MAX * sizeof *histogram);
    return true;
}

// ---- tables and the result ----------------------------------------------------------------------

struct table {
    uint32_t sizes[DESC_MAX], count;
    char name[SIZE_TABLE_NAME_BYTES];
};
static struct table used; // the one in use when the replay began

// From the descriptors: a table chosen at boot is the one to use.
static void table_read(struct table *table) {
    table->count = size_table_of(&k_heap, table->sizes);
    size_table_name(table->sizes, table->count, table->name);
}

// Per cent of live_peak.
static uint32_t footprint(const struct pass *pass) {
    if (trace.live_peak == 0) return 0;
    return (uint32_t)((uint64_t)pass->frames_peak * PG_SIZE * 100 / trace.live_peak);
}

// A table that did not get through has a peak, too, but not the trace's: failed= says so.
static void table_print(const char *name, const struct pass *pass) {
    uint32_t percent = footprint(pass);
    kprintf("table: classes=%s frames_peak=%u footprint=%u.%02u", name, pass->frames_peak,
            percent / 100, percent % 100);
    if (pass->failed) kprintf(" failed=%u", pass->failed);
    kprintf("\n");
}

// What a pass must be. The first thing that it is not is said.
static bool pass_good(const struct pass *pass, const char *classes) {
    char text[96];
    ksnprintf(text, sizeof text, "classes=%s: ", classes);
    char why[128];
    if (pass->damaged) {
        ksnprintf(why, sizeof why, "%u blocks damaged, the first seen at operation %u",
                  pass->damaged, pass->damaged_at);
    } else if (pass->broken) {
        ksnprintf(why, sizeof why, "heap_check() finds %u invariants broken", pass->broken);
    } else if (pass->held) {
        ksnprintf(why, sizeof why, "%u frames still held after sys_trim()", pass->held);
    } else {
        return true;
    }
    return failed(text, why);
}

// Nearest rank: the smallest cost that at least `share` of 10000 calls do not pass.
static uint32_t percentile(const struct pass *pass, uint32_t share) {
    uint64_t rank = ((uint64_t)trace.operations * share + 9999) / 10000, seen = 0;
    for (uint32_t cost = 0; cost < HISTOGRAM_MAX - 1; cost++) {
        seen += histogram[cost];
        if (seen >= rank) return cost;
    }
    return pass->cost_max;
}

// The line of replay.h. In one kprintf(), so that nothing comes between its parts.
static void result_print(const struct pass *pass, uint32_t irqs_off) {
    uint32_t ops = trace.operations ? trace.operations : 1;
    uint64_t mean = (pass->cost_sum * 100 + ops / 2) / ops;
    kprintf("replay: name=%s classes=%s ops=%u failed=%u live_peak=%llu frames_peak=%u "
            "insn_per_op=%llu.%02u insn_p50=%u insn_p9999=%u insn_max=%u irqs_off_max=%u "
            "hash=%016llx\n",
            from->name, used.name, trace.operations, pass->failed,
            (unsigned long long)trace.live_peak, pass->frames_peak,
            (unsigned long long)(mean / 100), (uint32_t)(mean % 100), percentile(pass, 5000),
            percentile(pass, 9999), pass->cost_max, irqs_off, (unsigned long long)pass->hash);
}

// Prints what a table built in would have cost. The one in use has been tried already. The heap is
// empty between two passes, so a table may be changed, and changed back.
static bool table_try(const char *name, const struct pass *measured) {
    struct table table;
    struct pass pass;
    if (strcmp(name, used.name) == 0) {
        table_print(name, measured);
        return true;
    }
    size_table_parse(name, table.sizes, &table.count);
    block_desc_set(&k_heap, table.sizes, table.count);
    bool good = pass_run(&pass, PASS_TABLE) && pass_good(&pass, name);
    block_desc_set(&k_heap, used.sizes, used.count);
    progress_end();
    if (good) table_print(name, &pass);
    return good;
}

static bool built_in(const char *name) {
    return strcmp(name, "seed") == 0 || strcmp(name, "fine") == 0;
}

// The measured pass is the first, on a heap that has not been used yet. The second must give the
// same addresses: it is the same trace on the same heap, and what remains of the first must not
// show.
static bool passes_run(void) {
    struct pass measured, watched;
    operation_calibrate();
    bool good = pass_run(&measured, PASS_MEASURE) && pass_good(&measured, used.name) &&
                pass_run(&watched, PASS_WATCH) && pass_good(&watched, used.name);
    progress_end();
    if (!good) return false;
    if (watched.hash != measured.hash) return failed("", "two passes gave different addresses");
    good = table_try("seed", &measured) && table_try("fine", &measured);
    if (good && !built_in(used.name)) table_print(used.name, &measured);
    result_print(&measured, watched.irqs_off);
    if (good && measured.failed) good = too_little_memory("calls failed", trace.live_peak);
    return good;
}

bool replay_run(const struct replay *replay) {
    from = replay;
    table_read(&used);
    progress_done = 0;
    progress_shown = UINT32_MAX;
    progress_all = built_in(used.name) ? 4 : 5; // the check, two of the table in use, the others
    if (held_frames() != 0) return failed("", "the heap is not empty");
    if (!head_read() || !memory_take()) return false;
    bool good = trace_sound() && passes_run();
    ground_give();
    return good;
}
