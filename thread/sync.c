// sync.c - see sync.h.
//
// Invariants:
//   S1  While a thread waits, value is 0: a later thread queues after the waiters.
//   S2  A waiter is in state BLOCKED and in exactly one semaphore's list.
//   S3  A lock's `free` is 0 exactly while a thread holds it, or has been handed it and has not
//       run yet.
//
// kernel_lock protects all of it, which with one processor is interrupts off: nothing else runs
// then. Handlers may go up, and try to go down, but never wait: a handler is not a thread that
// could be put aside, and the thread that it interrupted may be the very one that would go up.
//
// The two classical mistakes, and how they are avoided:
//   - the lost wake-up: a thread sees 0, another goes up, and only then does the first go to
//     sleep. Here test, queue and switch are one stretch under kernel_lock, which is given back
//     only in the next thread (thread.c).
//   - the stolen wake-up: see "hand-over" in sync.h. Here the number never rises while a thread
//     waits (S1), so there is nothing to steal.
#include "thread/sync.h"

#include <stddef.h>

#include "kernel/interrupt.h"
#include "kernel/panic.h"
#include "kernel/spinlock.h"
#include "thread/thread.h"

// No thread may be waiting.
void sema_init(struct semaphore *sema, uint32_t value) {
    sema->value = value;
    list_init(&sema->waiters);
}

// After every waiter of the same or a higher priority. Sorted on the way in, so that sema_up(),
// which handlers call, takes the front and searches nothing. A thread is in one list at a time
// (S2), so the element in its struct is enough, and waiting needs no memory that could be refused.
static void waiters_insert(struct semaphore *sema, struct thread *thread) {
    struct list_elem *e = sema->waiters.head.next;
    while (e != &sema->waiters.head &&
           list_entry(e, struct thread, elem)->priority >= thread->priority)
        e = e->next;
    list_insert_before(e, &thread->elem);
}

// The thread is in the list before it is BLOCKED, both under one hold of the lock: no "up" is
// missed. spin_restore(), not irq_enable(): a caller with interrupts off gets them back off, though
// other threads ran with them on meanwhile.
void sema_down(struct semaphore *sema) {
    if (interrupt_depth > 0) panic("sema_down in an interrupt handler: only a thread can wait");
    uint32_t state = spin_save(&kernel_lock);
    if (sema->value > 0) {
        sema->value--;
    } else { // sema_up() hands its one to the first waiter
        waiters_insert(sema, thread_current());
        thread_block();
    }
    spin_restore(&kernel_lock, state);
}

// Waiters come first: by S1 a value above 0 means that there are none.
bool sema_try_down(struct semaphore *sema) {
    uint32_t state = spin_save(&kernel_lock);
    bool taken = sema->value > 0;
    if (taken) sema->value--;
    spin_restore(&kernel_lock, state);
    return taken;
}

// With interrupts on, and a higher priority woken, the other thread runs before this returns.
void sema_up(struct semaphore *sema) {
    uint32_t state = spin_save(&kernel_lock);
    struct list_elem *first = list_pop(&sema->waiters);
    if (first) thread_unblock(list_entry(first, struct thread, elem));
    else sema->value++;
    spin_restore(&kernel_lock, state);
    thread_preempt(); // not before the semaphore is whole again
}

// A semaphore of 1 lets one in; the holder's name is there to catch mistakes.
void lock_init(struct lock *lock) {
    lock->holder = NULL;
    sema_init(&lock->free, 1);
}

// A second acquire by the holder would wait for itself for ever: a hang without a word, so it is
// looked for. The name is written after sema_down(), by the thread that was let in; until it runs,
// the handed-over lock has no name, and no other thread can release it.
void lock_acquire(struct lock *lock) {
    if (lock_held(lock))
        panic("lock_acquire: thread %s holds this lock already", thread_name(lock->holder));
    sema_down(&lock->free);
    lock->holder = thread_current();
}

// The name goes first: as soon as the semaphore is up, another thread may write its own.
void lock_release(struct lock *lock) {
    if (!lock_held(lock)) panic("lock_release: the holder is thread %s", thread_name(lock->holder));
    lock->holder = NULL;
    sema_up(&lock->free);
}

// Before thread_init() the running thread is NULL, like the holder of a free lock: hence both
// tests.
bool lock_held(const struct lock *lock) {
    return lock->holder != NULL && lock->holder == thread_current();
}
