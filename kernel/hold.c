// hold.c - see hold.h.
//
// Two flags for each processor: one that the holder writes, one that the held one writes. Releasing
// waits for the second to be cleared, so that the next hold is not answered by an old one. x86 keeps
// stores in order and loads in order (Intel SDM volume 3, 8.2.2), and the flags are atomic, so what
// the holder writes between the two is seen by the held one when it goes on.
//
// Who holds has heap_lock, and what it waits for, an answer, comes from a handler or from a loop that
// waits: for a lock, or for a flush. Flushes are answered while holding, as the one that is to stand
// still may be waiting for one.
#include "kernel/hold.h"

#include <stdbool.h>

#include "kernel/paging.h"
#include "kernel/processor.h"

static bool asked[PROCESSORS_MAX], still[PROCESSORS_MAX];
static uint32_t all_depth; // nested holds of all; protected by heap_lock

static bool is(const bool *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }
static void set(bool *flag, bool value) { __atomic_store_n(flag, value, __ATOMIC_SEQ_CST); }

static void wait_a_moment(void) {
    paging_flush_answer();
    __asm__ volatile("pause");
}

void processor_answer(void) {
    uint32_t me = processor_number;
    paging_flush_answer();
    if (!is(&asked[me])) return;
    set(&still[me], true);
    while (processors_many && is(&asked[me])) wait_a_moment();
    set(&still[me], false);
}

static bool other(uint32_t n) { return n < processors_online && n != processor_number; }

static void ask(uint32_t n, bool value) {
    if (!other(n)) return;
    set(&asked[n], value);
    if (value) processor_kick(n);
}

static void await(uint32_t n, bool value) {
    while (other(n) && processors_many && is(&still[n]) != value) wait_a_moment();
}

void processor_hold(uint32_t n) {
    if (all_depth > 0) return;
    ask(n, true);
    await(n, true);
}

void processor_release(uint32_t n) {
    if (all_depth > 0) return;
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
