// sync.h - semaphores and locks for threads.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/list.h"

struct thread;

struct semaphore {
    uint32_t value;      // interrupts off
    struct list waiters; // threads, highest priority first, first come first served within one
};
void sema_init(struct semaphore *sema, uint32_t value);
void sema_down(struct semaphore *sema);     // may sleep: threads only
bool sema_try_down(struct semaphore *sema); // any context
void sema_up(struct semaphore *sema);       // any context

struct lock {
    struct thread *holder;
    struct semaphore free;
};
void lock_init(struct lock *lock);
void lock_acquire(struct lock *lock); // may sleep: threads only; not recursive: a second acquire panics
void lock_release(struct lock *lock); // by the holder only, else panics
bool lock_held(const struct lock *lock);
