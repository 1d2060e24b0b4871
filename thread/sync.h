// sync.h - semaphores and locks for threads.
//
// A semaphore is a number that never falls below 0: "down" takes one and waits while there is none,
// "up" gives one. If a thread waits, the one is handed to it directly, so that no later thread can
// take it first. A lock is a semaphore of 1 that knows its holder.
//
// Which of the two: a lock where one thread must keep others out for a while and may sleep
// meanwhile (a driver's registers); a semaphore to count things or to say "it has happened". For a
// few instructions on data that handlers touch too, neither: kernel_lock (kernel/spinlock.h), since
// a handler cannot sleep.
//
// Why the hand-over matters: if "up" only raised the number and woke the waiter, a thread of a
// higher priority could take the number before the waiter ran. The waiter would have to look again,
// in a loop, and could be passed by for ever.
//
// Shortcomings: no time-outs; a lock does not lend its waiter's priority to its holder, so a thread
// of middle priority can keep a higher one waiting for a lower one's lock ("priority inversion").
// Two locks taken in different orders by two threads are a deadlock that nothing here notices.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/list.h"

struct thread;

// Protected by kernel_lock. If a thread waits, value is 0.
struct semaphore {
    uint32_t value;      // how many may still go down without waiting
    struct list waiters; // threads, highest priority first, first come first served within one
};
// The memory is the caller's, and must live while any thread waits. Not while a thread waits: it
// would be forgotten.
void sema_init(struct semaphore *sema, uint32_t value);
void sema_down(struct semaphore *sema);     // may sleep: threads only, else panics
bool sema_try_down(struct semaphore *sema); // false instead of waiting. Any context
// Any context. In a thread with interrupts on, a waiter of higher priority runs before this
// returns.
void sema_up(struct semaphore *sema);

struct lock {
    struct thread *holder; // NULL: none; written by the holder only
    struct semaphore free; // 1: the lock is free
};
void lock_init(struct lock *lock);
// May sleep: threads only. Not recursive: a second acquire by the holder panics.
void lock_acquire(struct lock *lock);
void lock_release(struct lock *lock); // by the holder only, else panics
// True if the running thread holds it. No lock is needed to ask: another thread can neither make
// that true nor false. In a handler it means the interrupted thread. Any context.
bool lock_held(const struct lock *lock);
