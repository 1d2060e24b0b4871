// ask.c - see ask.h. Source: Intel SDM volume 3, 8.2.2 (x86 keeps stores in order, and loads).
//
// A flush is asked for by a number that rises, and answered by the same number, read before the
// flush: what is asked for later has a higher one.
//
// Standing still takes two flags for each processor, one that the holder writes and one that the
// held one writes. Releasing waits for the second to be cleared, so that the next hold is not
// answered by an old one. What the holder writes between the two is seen by the held one when it
// goes on.
//
// Who waits has interrupts off, and answers, or two that ask each other would wait for ever. Only a
// holder answers nothing but flushes: there is no other holder, as it has heap_lock.
#include "kernel/ask.h"

#include <stdbool.h>

#include "kernel/processor.h"
#include "lib/x86.h"

// ---- flushes ------------------------------------------------------------------------------------

static volatile uint32_t flush_asked[PROCESSORS_MAX], flush_done[PROCESSORS_MAX];

static void flush_answer(void) {
    uint32_t me = processor_number, asked = flush_asked[me];
    if (flush_done[me] == asked) return;
    cr3_load(cr3_read());
    flush_done[me] = asked;
}

void processors_flush(void) {
    uint32_t flags = irq_save(), wanted[PROCESSORS_MAX] = {0};
    uint32_t me = processor_number, online = processors_online;
    for (uint32_t n = 0; n < online; n++) {
        if (n == me) continue;
        wanted[n] = __atomic_add_fetch(&flush_asked[n], 1, __ATOMIC_SEQ_CST);
        processor_kick(n);
    }
    for (uint32_t n = 0; n < online; n++) {
        if (n == me) continue;
        while (processors_many && (int32_t)(flush_done[n] - wanted[n]) < 0) {
            processor_answer();
            cpu_pause();
        }
    }
    irq_restore(flags);
}

// ---- standing still -----------------------------------------------------------------------------

static bool hold_asked[PROCESSORS_MAX], still[PROCESSORS_MAX];
static uint32_t all_depth; // nested holds of all; protected by heap_lock

static bool is(const bool *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }
static void set(bool *flag, bool value) { __atomic_store_n(flag, value, __ATOMIC_SEQ_CST); }

static void wait_a_moment(void) {
    flush_answer();
    cpu_pause();
}

void processor_answer(void) {
    uint32_t me = processor_number;
    flush_answer();
    if (!is(&hold_asked[me])) return;
    set(&still[me], true);
    while (processors_many && is(&hold_asked[me])) wait_a_moment();
    set(&still[me], false);
}

static bool other(uint32_t n) { return n < processors_online && n != processor_number; }

static void ask(uint32_t n, bool value) {
    if (!other(n)) return;
    set(&hold_asked[n], value);
    if (value) processor_kick(n);
}

static void await(uint32_t n, bool value) {
    while (other(n) && processors_many && is(&still[n]) != value) wait_a_moment();
}

void processor_hold(uint32_t n) {
    if (all_depth > 0 || !other(n)) return;
    ask(n, true);
    await(n, true);
}

void processor_release(uint32_t n) {
    if (all_depth > 0 || !other(n)) return;
    ask(n, false);
    await(n, false);
}

// All are asked before any is waited for.
static void all(bool value) {
    for (uint32_t n = 0; n < processors_online; n++) ask(n, value);
    for (uint32_t n = 0; n < processors_online; n++) await(n, value);
}

void processors_hold(void) {
    if (all_depth++ == 0) all(true);
}

void processors_release(void) {
    if (--all_depth == 0) all(false);
}
