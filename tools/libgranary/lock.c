// lock.c - see port.h: the heap's lock in a process of several threads, and fork().
//
// Theory. The lock is a flag that one exchange takes and one store gives back. A thread that finds
// it taken looks for a moment and then sleeps (futex) until an unlock wakes it. While two
// processors fight for the heap's cache lines each call of both is slow, so the one that has the
// heap keeps it for a SLICE, some hundred calls, before it wakes another; and since it usually has
// the lock again before the other has a processor, a waiter that was woken PATIENCE times in vain
// asks the others to stand back: each of them then sleeps after its unlock until that waiter has
// had its turn.
//
// The store is plain, and so is the look at granary_waiting after it: a processor may do them the
// other way round, and the last unlock of a slice may be the last for long. A waiter may thus not
// be woken; so no sleep is without a limit, which doubles from SLEEP_NS on.
//
// Invariants:
//   K1  `notified` is 1 only from an unlock that moved `turn` to the moment at which a waiter has
//       seen that.
//   K2  Locks are taken in this order: the one of fork()'s handlers, the C library's list of them,
//       or of streams (by fork() only); the checked build's or the common owner's (thread.c), the
//       heap's.
#include <pthread.h>
#include <time.h>

#include "kernel/checked/checked.h"
#include "tools/libgranary/port.h"
#include "tools/libgranary/settings.h"
#include "tools/libgranary/system.h"

uint32_t granary_held;
uint32_t granary_waiting;

static uint32_t turn;       // moves when a waiter is to look again
static uint32_t notified;   // 1: one has been told, and has not looked yet
static uint32_t stand_back; // 1: a waiter has lost its patience
static uint32_t unlocks;    // that saw a waiter

#define LOOKS 4           // about as long as the stretches under the lock are
#define PATIENCE 16       // times to be woken
#define SLICE 1024u       // unlocks
#define SLEEP_NS 1000000l // the first limit
#define SLEEP_DOUBLES 6   // to 64 ms

static bool look(void) {
    for (uint32_t i = 0; i < LOOKS; i++) {
        if (__atomic_load_n(&granary_held, __ATOMIC_RELAXED) == 0 && granary_try()) return true;
        __builtin_ia32_pause();
    }
    return false;
}

// Until `turn` is another, or the limit has come.
static void sleep_until_turn(uint32_t seen, uint32_t sleeps) {
    struct timespec limit = {.tv_nsec = SLEEP_NS
                                        << (sleeps < SLEEP_DOUBLES ? sleeps : SLEEP_DOUBLES)};
    SYSTEM(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, seen, &limit);
}

void granary_wait(void) {
    if (look()) return;
    bool impatient = false;
    __atomic_add_fetch(&granary_waiting, 1, __ATOMIC_SEQ_CST);
    for (uint32_t sleeps = 0;; sleeps++) {
        uint32_t seen = __atomic_load_n(&turn, __ATOMIC_SEQ_CST);
        __atomic_store_n(&notified, 0, __ATOMIC_SEQ_CST); // before the look: K1
        if (look()) break;
        if (sleeps == PATIENCE) impatient = !__atomic_exchange_n(&stand_back, 1, __ATOMIC_SEQ_CST);
        sleep_until_turn(seen, sleeps);
    }
    __atomic_sub_fetch(&granary_waiting, 1, __ATOMIC_SEQ_CST);
    if (!impatient) return;
    __atomic_store_n(&stand_back, 0, __ATOMIC_SEQ_CST);
    system_wake(&stand_back, INT32_MAX);
}

// After an unlock that saw a waiter.
void granary_next(void) {
    uint32_t calls = __atomic_load_n(&unlocks, __ATOMIC_RELAXED) + 1;
    __atomic_store_n(&unlocks, calls, __ATOMIC_RELAXED);
    if (calls % SLICE != 0) return;
    if (__atomic_exchange_n(&notified, 1, __ATOMIC_SEQ_CST) == 0) {
        __atomic_add_fetch(&turn, 1, __ATOMIC_SEQ_CST);
        system_wake(&turn, 1);
    }
    if (__atomic_load_n(&stand_back, __ATOMIC_RELAXED)) system_sleep(&stand_back, 1);
}

// ---- the checked build's lock -------------------------------------------------------------------

#ifdef HEAP_CHECKED

// Its owner may take it again. The owner's name is its pthread_self(), which fork() keeps;
// gettid() it would not.
static uintptr_t owner;       // 0: none
static uint32_t depth;        // how often its owner has it
static uint32_t sleepers;     // threads that wait for it. It is held long: its unlock may cost more
static uint32_t checked_turn; // moves when one of them is to look again

static bool take(uintptr_t self) {
    uintptr_t none = 0;
    return __atomic_compare_exchange_n(&owner, &none, self, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_RELAXED);
}

checked_state port_checked_lock(void) {
    uintptr_t self = (uintptr_t)pthread_self();
    if (__atomic_load_n(&owner, __ATOMIC_RELAXED) != self && !take(self)) {
        __atomic_add_fetch(&sleepers, 1, __ATOMIC_SEQ_CST);
        for (;;) {
            uint32_t seen = __atomic_load_n(&checked_turn, __ATOMIC_SEQ_CST);
            if (take(self)) break;
            system_sleep(&checked_turn, seen);
        }
        __atomic_sub_fetch(&sleepers, 1, __ATOMIC_SEQ_CST);
    }
    depth++;
    return 0;
}

void port_checked_unlock(checked_state state) {
    (void)state;
    if (--depth != 0) return;
    __atomic_store_n(&owner, 0, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&sleepers, __ATOMIC_SEQ_CST) == 0) return;
    __atomic_add_fetch(&checked_turn, 1, __ATOMIC_SEQ_CST);
    system_wake(&checked_turn, 1);
}

#endif

// ---- fork ---------------------------------------------------------------------------------------

// glibc's fork() (posix/fork.c) calls the handlers, ours as the last, and takes two of its own
// locks after them. Under both a thread may want memory, so both come before the heap's: K2. (It
// takes the name service's, too, under which no one allocates.)
//
// The first is the list of streams: they are flushed and read by threads that hold it, or one that
// a holder of it waits for. glibc's own malloc is locked after it, too. Exported since 2.2.5 and
// declared nowhere.
void _IO_list_lock(void);
void _IO_list_unlock(void);
void _IO_list_resetlock(void);

// The second is the list of handlers, which grows under a lock that cannot be had from outside. So
// who registers one holds a lock of ours meanwhile, which fork() takes first.
static uint32_t handlers_held;

typedef void handler(void);
typedef int atfork(handler *prepare, handler *parent, handler *child, void *file);

// The C library's, of which the one below is called instead: pthread_atfork() is a few instructions
// in each program and library, and a call of this.
static atfork *registers;

__attribute__((visibility("default"))) atfork __register_atfork;
int __register_atfork(handler *prepare, handler *parent, handler *child, void *file) {
    if (!granary_ready) granary_start(); // the heap's handlers are the first ones
    system_lock(&handlers_held);
    int error = registers(prepare, parent, child, file);
    system_unlock(&handlers_held);
    return error;
}

// fork() copies the heap as it is at that moment: no thread may be in the middle of it.
static void fork_prepare(void) {
    system_lock(&handlers_held);
    _IO_list_lock();
#ifdef HEAP_CHECKED
    port_checked_lock();
#else
    granary_owners_fork_prepare();
#endif
    port_lock(&k_heap);
}

static void unlock_all(void) {
    port_unlock(&k_heap, 0);
#ifdef HEAP_CHECKED
    port_checked_unlock(0);
#endif
}

static void fork_parent(void) {
    unlock_all();
#ifndef HEAP_CHECKED
    granary_owners_fork_parent();
#endif
    _IO_list_unlock();
    system_unlock(&handlers_held);
}

// Who waited is not here.
static void fork_child(void) {
    granary_waiting = notified = stand_back = handlers_held = 0;
#ifdef HEAP_CHECKED
    sleepers = 0;
#else
    granary_owners_fork_child();
#endif
    unlock_all();
    _IO_list_resetlock();
}

extern void *__dso_handle; // of this library

void granary_lock_start(void) {
    uintptr_t at = granary_symbol((const void *)&_IO_list_lock, "__register_atfork");
    if (!at) granary_refuse("the C library has no __register_atfork()");
    registers = (atfork *)at;
    registers(fork_prepare, fork_parent, fork_child, &__dso_handle);
}
