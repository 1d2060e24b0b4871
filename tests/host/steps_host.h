// steps_host.h - what tests share that stop a thread at any instruction of its calls.
//
// The thread goes by single steps (the processor's trap flag, Intel SDM volume 3, 17.3.1.4: a
// SIGTRAP after each instruction). At each that is due it stops, and the main thread does what it
// has to do meanwhile. An instruction under a lock of the heap's is passed over: the main thread
// would wait for it.
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <ucontext.h>

#include "tests/host/owners_host.h"

#define TRAP_FLAG 0x100

extern char __executable_start[], etext[]; // the linker's: where this program's code is

static uint32_t due;    // of so many instructions one is
static uint32_t steps;  // that the thread took
static bool steps_done; // it takes no more

// Of one call only, by its number from 1 on, and there only the first that is due. 0: of all.
static uint32_t only_call;
static uint32_t calls; // so far

// ---- stopping -----------------------------------------------------------------------------------

enum state { STOPPED, ASKS, ENDED }; // what the thread waits for: a fork, frees, nothing more
static enum state state;
static sem_t to_main, to_thread; // whose turn it is
static uintptr_t stopped_at;

static void stop(enum state why) {
    state = why;
    sem_post(&to_main);
    while (sem_wait(&to_thread) != 0) continue;
}

// Only in code of this program's: what the C library does with its own locks held is not ours.
static void on_step(int signal, siginfo_t *info, void *context) {
    uintptr_t at = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    if (at < (uintptr_t)__executable_start || at >= (uintptr_t)etext) return;
    if (LOOK(granary_held) || LOOK(granary_common_held) || ++steps % due != 0) return;
    stopped_at = at;
    stop(STOPPED);
    steps_done = only_call != 0;
    if (steps_done) ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

static inline void steps_begin(void) {
    if (steps_done || (only_call != 0 && ++calls != only_call)) return;
    __asm__ volatile("pushfq\n\torq %0, (%%rsp)\n\tpopfq" : : "i"(TRAP_FLAG) : "cc", "memory");
}

static inline void steps_end(void) {
    __asm__ volatile("pushfq\n\tandq %0, (%%rsp)\n\tpopfq" : : "i"(~TRAP_FLAG) : "cc", "memory");
}

// ---- the thread ---------------------------------------------------------------------------------

#define SLOTS 80u
static struct slot {
    uint8_t *p; // NULL: none
    size_t size;
    bool moving; // a call about it is under way
    bool giving; // which frees it
} slots[SLOTS];
static uint8_t *freed;     // by the last call that freed, unless one has taken since
static uint32_t not_whole; // blocks that did not hold what was written

static uint8_t content(const struct slot *slot) { return (uint8_t)(slot - slots + 1); }

static bool holds(const uint8_t *p, size_t size, uint8_t value) {
    for (size_t i = 0; i < size; i++) {
        if (p[i] != value) return false;
    }
    return true;
}

static void get(struct slot *slot, size_t size) {
    freed = NULL;
    slot->moving = true;
    slot->size = size;
    steps_begin();
    uint8_t *p = granary_malloc(size);
    steps_end();
    memset(p, content(slot), size);
    slot->p = p;
    slot->moving = false;
}

static void put(struct slot *slot) {
    uint8_t *p = slot->p;
    if (!p) return;
    not_whole += !holds(p, slot->size, content(slot));
    slot->moving = slot->giving = true;
    steps_begin();
    granary_free(p);
    steps_end();
    slot->p = NULL;
    slot->moving = slot->giving = false;
    freed = p;
}

static void fill(uint32_t count, size_t size) {
    for (uint32_t i = 0; i < count; i++) {
        if (!slots[i].p) get(&slots[i], size);
    }
}

// Those that the thread has set apart.
static void others_free(void) {
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (!slots[i].moving) continue;
        granary_free(slots[i].p);
        slots[i].p = NULL;
        slots[i].moving = false;
    }
}

// The C library calls the destructors of keys in order, and this key is made after the heap's.
// What comes later is not to be stepped through, as signals are blocked there.
static void after_the_owner_is_left(void *unused) {
    steps_end();
    stop(ENDED);
}

// First in a thread; last is steps_begin(), as it ends by steps, too, and leaves its owner.
static void work_begins(void) {
    static pthread_key_t key;
    if (!key) assert_int_equal(pthread_key_create(&key, after_the_owner_is_left), 0);
    pthread_setspecific(key, slots);
}

// Runs `work` in a thread, and `at_stop` in this one at each instruction that is due.
static void steps_run(void *(*work)(void *unused), void (*at_stop)(void)) {
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    steps = calls = 0;
    steps_done = false;
    sigaction(SIGTRAP, &action, NULL);
    sem_init(&to_main, 0, 0);
    sem_init(&to_thread, 0, 0);
    pthread_create(&thread, NULL, work, slots);
    for (bool ended = false; !ended; sem_post(&to_thread)) {
        sem_wait(&to_main);
        if (state == STOPPED) at_stop();
        if (state == ASKS) others_free();
        ended = state == ENDED;
    }
    pthread_join(thread, NULL);
}
