// together.c - see together.h.
//
// A hand on each processor (hands.h) replays the same trace into slots of its own. The trace lies
// in one large area that all of them read.
#include "kernel/measure/together.h"

#include <stddef.h>

#include "kernel/inspect/heapcheck.h"
#include "kernel/inspect/report.h"
#include "kernel/measure/hands.h"
#include "kernel/measure/irqwatch.h"
#include "kernel/measure/operation.h"
#include "kernel/measure/trace_format.h"
#include "kernel/memory.h"
#include "kernel/processor.h"
#include "kernel/size_tables.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"

#define SECTOR_BYTES 512u
#define WRONG_STEP 1024u // every so many operations one is followed by a wrong free
// Looks that a hand waits for each hand before it: in step, all would want the lock at once in
// every operation that needs it, which programs of their own do not.
#define APART 1500u

static struct trace the_trace;
static char *trace_start_at; // the header's first byte
static bool watching;        // in the second pass, for interrupts, whose costs are the watch's

// What a hand has seen, in both passes.
static struct part {
    struct slot *slots;
    uint64_t cost; // of the calls below
    uint32_t calls, most, failed, damaged;
    uint32_t wrong, refused, refused_when, refused_most; // frees that had to be refused
    uint32_t off;
} parts[PROCESSORS_MAX];

static PER_PROCESSOR uint32_t me; // the hand's number

static bool complain(const char *what, const char *why) {
    kprintf("replay: failed: %s%s\n", what, why);
    return false;
}

static struct trace_operation operation_at(uint32_t number) {
    uint32_t raw[2];
    memcpy(raw, trace_start_at + TRACE_HEADER_BYTES + (size_t)number * TRACE_OPERATION_BYTES,
           sizeof raw);
    return trace_decode(raw);
}

// ---- a hand's work ------------------------------------------------------------------------------

static void part_note(struct part *part, uint32_t cost) {
    part->cost += cost;
    part->calls++;
    if (cost > part->most) part->most = cost;
}

// The report of a wrong call: when it came, and no word of it.
static enum report_place report_quiet(char *to, size_t room, const struct heap *heap) {
    parts[me].refused++;
    parts[me].refused_when = rdtsc_low();
    return PLACE_QUIET;
}

// A free of what is no block's start: wrong whatever the other processors do. (A block that was
// freed may be another's by now.)
static void free_wrongly(struct part *part, uint8_t *p) {
    const volatile uint32_t *ticks = &thread_current()->ticks;
    uint32_t tick = *ticks, start = rdtsc_low();
    sys_free(p);
    uint32_t cost = part->refused_when - start;
    part->wrong++;
    if (!watching && *ticks == tick && cost > part->refused_most) part->refused_most = cost;
}

static void one_operation(struct part *part, uint32_t number) {
    const volatile uint32_t *ticks = &thread_current()->ticks;
    struct trace_operation operation = operation_at(number);
    uint32_t tick = *ticks;
    struct operation_result result = operation_run(part->slots, operation, !watching);
    if (!watching && *ticks == tick) part_note(part, result.cost);
    if (!result.whole) part->damaged++;
    if (operation.kind != TRACE_FREE && !result.p) part->failed++;
    if (result.p && number % WRONG_STEP == 0) free_wrongly(part, result.p + 1);
}

static int replay_hand(void *argument) {
    uint32_t number = (uint32_t)(uintptr_t)argument;
    struct part *part = &parts[number];
    if (!hands_apart(number)) part->failed++;
    me = number;
    part->slots = sys_calloc(the_trace.slots, sizeof *part->slots);
    if (!part->slots && the_trace.slots > 0) part->failed++;
    hands_meet(1);
    operation_calibrate();
    for (uint32_t i = 0; i < number * APART; i++) cpu_pause();
    irqwatch_here();
    for (uint32_t i = 0; part->slots && i < the_trace.operations; i++) one_operation(part, i);
    if (watching) part->off = irqwatch_here();
    hands_meet(2);
    for (uint32_t i = 0; part->slots && i < the_trace.slots; i++) {
        if (!operation_end(part->slots, i)) part->damaged++;
    }
    sys_free(part->slots);
    return 0;
}

// ---- the trace, and the sum ---------------------------------------------------------------------

// False, with a line printed, if the disk would not read, the trace is wrong, or memory too small.
static bool trace_load(const struct replay *replay) {
    char head[SECTOR_BYTES];
    const char *why = replay->disk_bytes >= SECTOR_BYTES ? replay->read(0, 1, head) : NULL;
    if (why) return complain("reading the trace: ", why);
    if (!trace_open(&the_trace, head, replay->disk_bytes)) return complain("", the_trace.fault);
    uint32_t sectors = (uint32_t)((trace_bytes(&the_trace) + SECTOR_BYTES - 1) / SECTOR_BYTES);
    trace_start_at = sys_malloc((size_t)sectors * SECTOR_BYTES);
    if (!trace_start_at) return complain("", "too little memory for the trace");
    why = replay->read(0, sectors, trace_start_at);
    return !why || complain("reading the trace: ", why);
}

static bool the_trace_sound(void) {
    uint32_t *sizes = sys_calloc(the_trace.slots, sizeof *sizes);
    if (the_trace.slots > 0 && !sizes) return complain("", "too little memory for the slots");
    trace_start(&the_trace, sizes);
    bool sound = true;
    for (uint32_t i = 0; sound && i < the_trace.operations; i++) {
        sound = trace_check(&the_trace, operation_at(i));
    }
    sys_free(sizes);
    return sound || complain("", the_trace.fault);
}

// Both passes. False: no memory for the hands, or no cli where one was.
static bool both_passes_run(void) {
    watching = false;
    if (hands_run(replay_hand) < 0) return false;
    watching = true;
    if (!irqwatch_start()) return false;
    bool good = hands_run(replay_hand) >= 0;
    irqwatch_stop();
    return good;
}

static struct part parts_sum(void) {
    struct part sum = {.slots = NULL};
    for (uint32_t i = 0; i < processors_online; i++) {
        const struct part *part = &parts[i];
        sum.cost += part->cost;
        sum.calls += part->calls;
        sum.failed += part->failed;
        sum.damaged += part->damaged;
        sum.wrong += part->wrong;
        sum.refused += part->refused;
        if (part->most > sum.most) sum.most = part->most;
        if (part->refused_most > sum.refused_most) sum.refused_most = part->refused_most;
        if (part->off > sum.off) sum.off = part->off;
    }
    return sum;
}

static void sum_print(const char *name, const struct part *sum) {
    uint32_t sizes[DESC_MAX];
    char classes[SIZE_TABLE_NAME_BYTES];
    uint32_t count = size_table_of(&k_heap, sizes);
    uint64_t mean = sum->calls ? sum->cost * 100 / sum->calls : 0;
    kprintf("replay: name=%s processors=%u classes=%s ops=%u failed=%u insn_per_op=%llu.%02u "
            "insn_max=%u refused=%u refused_max=%u irqs_off_max=%u\n",
            name, processors_online, size_table_name(sizes, count, classes),
            the_trace.operations * processors_online, sum->failed, (unsigned long long)(mean / 100),
            (uint32_t)(mean % 100), sum->most, sum->refused, sum->refused_most, sum->off);
}

static bool the_trace_replay(const char *name) {
    uint32_t before = frames_free(POOL_KERNEL) + sys_trim();
    memset(parts, 0, sizeof parts);
    report_place_hook *hook = heap_report_set_place(report_quiet);
    bool good = both_passes_run();
    heap_report_set_place(hook);
    if (!good) return complain("", "too little memory for a thread on each processor");
    struct part sum = parts_sum();
    sum_print(name, &sum);
    if (sum.failed) return complain("", "calls failed, or processors that are not there");
    if (sum.damaged) return complain("", "blocks damaged");
    if (sum.refused != sum.wrong) return complain("", "a wrong free was not refused");
    if (heap_check() != 0) return complain("", "heap_check() finds invariants broken");
    sys_trim();
    return frames_free(POOL_KERNEL) == before || complain("", "frames still held after sys_trim()");
}

bool together_run(const struct replay *replay) {
    trace_start_at = NULL;
    bool good = trace_load(replay) && the_trace_sound() && the_trace_replay(replay->name);
    sys_free(trace_start_at);
    return good;
}
