// spinlock.c - see spinlock.h. Source: Intel SDM volume 3, 8.1 (locked operations), 8.10.6.1
// (`pause` in a loop that waits).
//
// Taking a lock is one compare-and-exchange (`lock cmpxchg`, 8.1.2.2); a
// processor that finds it taken reads until it is free and tries again, as a read leaves the line
// with the holder. Giving back is a store: x86 lets no store pass an earlier load or store (8.2.2).
//
// Who waits has interrupts as they were before: off, and then what other processors ask of it comes
// by processor_answer(), or two could wait for each other, one for a lock and one for a flush; or
// on, as waiting is no reason to let a device wait, too.
//
// Shortcoming: not fair. A processor may find the lock taken again and again.
#include "kernel/spinlock.h"

#include <stddef.h>

#include "kernel/ask.h"
#include "kernel/panic.h"
#include "kernel/symbol.h"

struct spinlock kernel_lock = {.name = "kernel", .rank = RANK_KERNEL};
struct spinlock heap_lock = {.name = "heap", .rank = RANK_HEAP};
struct spinlock names_lock = {.name = "names", .rank = RANK_NAMES};
struct spinlock console_lock = {.name = "console", .rank = RANK_CONSOLE};

uint32_t spin_patience = SPIN_PATIENCE;

static PER_PROCESSOR uint32_t ranks_held; // of the locks that this processor has

bool spin_held(const struct spinlock *lock) { return lock->holder == processor_number + 1; }

static const char *caller_name(uintptr_t caller, uint32_t *offset) {
    const char *name = symbol_find(caller, offset);
    return name ? name : "?";
}

// What is said of a lock is read before the panic stops its holder.
static noreturn void never_free(const struct spinlock *lock, uintptr_t caller) {
    uint32_t holder = lock->holder, offset, offset_holder;
    const char *name = caller_name(caller, &offset);
    const char *name_holder = caller_name(lock->caller, &offset_holder);
    panic("deadlock: lock %s, wanted by processor %u at %s+%#x, is held by processor %u since "
          "%s+%#x",
          lock->name, processor_number, name, offset, holder - 1, name_holder, offset_holder);
}

static noreturn void wrong_order(const struct spinlock *lock, uintptr_t caller) {
    uint32_t offset;
    const char *name = caller_name(caller, &offset);
    panic("lock order: lock %s is taken at %s+%#x by processor %u, which holds one that comes "
          "after it",
          lock->name, name, offset, processor_number);
}

// With interrupts as `state` has them; they are off again when this returns. Where they are on,
// what others ask comes as an interrupt.
static void spinlock_wait(const struct spinlock *lock, uintptr_t caller, uint32_t state) {
    bool on = (state & EFLAGS_IF) != 0;
    if (on) irq_enable();
    for (uint32_t looks = 0; lock->holder != 0; looks++) {
        if (looks >= spin_patience) never_free(lock, caller);
        if (!on) processor_answer();
        cpu_pause();
    }
    if (on) irq_disable();
}

static inline bool spinlock_try(struct spinlock *lock, uint32_t holder) {
    uint32_t free = 0;
    return __atomic_compare_exchange_n(&lock->holder, &free, holder, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

// The thread may be on another processor after each wait.
static __attribute__((noinline)) void spinlock_get_later(struct spinlock *lock, uintptr_t caller,
                                                         uint32_t state) {
    do {
        spinlock_wait(lock, caller, state);
    } while (!spinlock_try(lock, processor_number + 1));
    lock->waited++;
}

static inline bool spinlock_get(struct spinlock *lock, uintptr_t caller, uint32_t state) {
    uint32_t me = processor_number + 1;
    if (lock->holder == me) return false;
    if (ranks_held >= lock->rank) wrong_order(lock, caller);
    if (!spinlock_try(lock, me)) spinlock_get_later(lock, caller, state);
    ranks_held |= lock->rank;
    lock->caller = caller;
    lock->taken++;
    return true;
}

bool spin_take(struct spinlock *lock) {
    return spinlock_get(lock, (uintptr_t)__builtin_return_address(0), 0);
}

uint32_t spin_enter(struct spinlock *lock, uint32_t state) {
    if (!spinlock_get(lock, (uintptr_t)__builtin_return_address(0), state)) return state;
    return SPIN_TAKEN | (state & EFLAGS_IF ? SPIN_WERE_ON : 0);
}

// After a panic has stopped the others no lock is anyone's.
void spin_give(struct spinlock *lock) {
    if (!processors_many) return;
    if (!spin_held(lock)) {
        panic("lock %s is given back by processor %u, which does not hold it", lock->name,
              processor_number);
    }
    ranks_held &= ~lock->rank;
    lock->caller = 0;
    __atomic_store_n(&lock->holder, 0, __ATOMIC_RELEASE);
}

void spin_leave(struct spinlock *lock, uint32_t state) {
    spin_give(lock);
    if (state & SPIN_WERE_ON) irq_enable();
}
