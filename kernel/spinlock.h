// spinlock.h - locks between processors: what "interrupts off" is with one of them.
//
// Interrupts off keeps the own processor's handlers and other threads away; a spinlock keeps the
// other processors away. spin_save() does both, and with one processor it is irq_save(), a test
// and no more. Which data each lock protects, and the order, is in docs/processors.md.
//
// As interrupts off, a lock can be entered again by the processor that holds it: a function that
// needs the lock does not have to know whether its caller has it. What is taken once is given back
// once: by the one that took it, or, across a switch of threads, by the next thread
// (thread/thread.c).
//
// Every lock says who holds it, the processor and the caller, for a debugger and for two reports
// that end in a panic: a lock that is taken in the wrong order, and one that never comes free.
//
// The fields are written by the holder only.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/processor.h"
#include "lib/x86.h"

// The order: a processor that holds one takes only locks further down. A bit each.
enum lock_rank { RANK_KERNEL = 1, RANK_HEAP = 2, RANK_NAMES = 4, RANK_CONSOLE = 8 };

struct spinlock {
    const char *name;
    enum lock_rank rank;
    volatile uint32_t holder;  // processor number + 1; 0: free
    volatile uintptr_t caller; // where it was taken
    volatile uint32_t taken;   // times, ever
    volatile uint32_t waited;  // of them, times that another processor had it first
};

extern struct spinlock kernel_lock;  // threads, semaphores, processes, what is typed
extern struct spinlock heap_lock;    // all heaps and pools
extern struct spinlock names_lock;   // the list of all threads, beside kernel_lock: to read a name
extern struct spinlock console_lock; // screen, serial line

// In place of EFLAGS_IF in what spin_save() returns: this call took the lock, and interrupts were
// on before. EFLAGS has no such bits; and a state of one processor takes the one test of
// irq_restore() on its way back.
#define SPIN_TAKEN 0x80000000u
#define SPIN_WERE_ON 0x40000000u

// Interrupts are off from here on. spin_take() returns false if this processor has the lock.
bool spin_take(struct spinlock *lock);
void spin_give(struct spinlock *lock); // by the processor that holds it, else panics
uint32_t spin_enter(struct spinlock *lock, uint32_t state); // for the two below
void spin_leave(struct spinlock *lock, uint32_t state);
bool spin_held(const struct spinlock *lock); // by this processor. Interrupts off

// Interrupts off and the lock held, until spin_restore() gets what this returned. Any context.
IRQ_INLINE uint32_t spin_save(struct spinlock *lock) {
    uint32_t state = irq_save();
    return processors_many ? spin_enter(lock, state) : state;
}

IRQ_INLINE void spin_restore(struct spinlock *lock, uint32_t state) {
    if (state & EFLAGS_IF) irq_enable();
    else if (state & SPIN_TAKEN) spin_leave(lock, state);
}

// How many looks at a lock are too many. For tests, which lower it.
#define SPIN_PATIENCE 2000000000u
extern uint32_t spin_patience;
