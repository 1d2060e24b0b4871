// sync.h - semaphores and locks for threads.
//
// A semaphore is a number that never falls below 0: "down" takes one and waits while there is none,
// "up" gives one. Given to a waiter, it is handed over directly, so that nobody who comes later can
// take it in between. A lock is a semaphore of 1 that knows who has it.
//
// Shortcomings: no time-outs; a lock does not lend its waiter's priority to its holder.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/list.h"

struct thread;

// Protected by interrupts off. If a thread waits, value is 0.
struct semaphore {
    uint32_t value;      // how many may still go down without waiting
    struct list waiters; // threads, highest priority first, first come first served within one
};
void sema_init(struct semaphore *sema, uint32_t value);
void sema_down(struct semaphore *sema);     // may sleep: threads only, else panics
bool sema_try_down(struct semaphore *sema); // any context
void sema_up(struct semaphore *sema);       // any context

struct lock {
    struct thread *holder; // NULL: nobody; written by the holder only
    struct semaphore free; // 1: nobody holds it
};
void lock_init(struct lock *lock);
// May sleep: threads only. Not recursive: a second acquire by the holder panics.
void lock_acquire(struct lock *lock);
void lock_release(struct lock *lock);    // by the holder only, else panics
bool lock_held(const struct lock *lock); // by the running thread. Any context
