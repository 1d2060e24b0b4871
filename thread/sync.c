// sync.c - see sync.h. Interrupts off protects a semaphore's two fields.
#include "thread/sync.h"

#include <stddef.h>

#include "kernel/interrupt.h"
#include "kernel/panic.h"
#include "lib/x86.h"
#include "thread/thread.h"

void sema_init(struct semaphore *sema, uint32_t value) {
    sema->value = value;
    list_init(&sema->waiters);
}

// Behind every waiter of the same or a higher priority.
static void waiters_insert(struct semaphore *sema, struct thread *thread) {
    struct list_elem *e = sema->waiters.head.next;
    while (e != &sema->waiters.head && list_entry(e, struct thread, elem)->priority >= thread->priority) e = e->next;
    list_insert_before(e, &thread->elem);
}

void sema_down(struct semaphore *sema) {
    ASSERT(interrupt_depth == 0);
    uint32_t state = irq_save();
    while (sema->value == 0) { // again: another thread may have been faster
        waiters_insert(sema, thread_current());
        thread_block();
    }
    sema->value--;
    irq_restore(state);
}

bool sema_try_down(struct semaphore *sema) {
    uint32_t state = irq_save();
    bool taken = sema->value > 0;
    if (taken) sema->value--;
    irq_restore(state);
    return taken;
}

void sema_up(struct semaphore *sema) {
    uint32_t state = irq_save();
    sema->value++;
    struct list_elem *first = list_pop(&sema->waiters);
    irq_restore(state);
    if (first) thread_unblock(list_entry(first, struct thread, elem));
}

void lock_init(struct lock *lock) {
    lock->holder = NULL;
    sema_init(&lock->free, 1);
}

void lock_acquire(struct lock *lock) {
    ASSERT(!lock_held(lock));
    sema_down(&lock->free);
    lock->holder = thread_current();
}

void lock_release(struct lock *lock) {
    ASSERT(lock_held(lock));
    lock->holder = NULL;
    sema_up(&lock->free);
}

bool lock_held(const struct lock *lock) { return lock->holder == thread_current(); }
