// thread.h - kernel threads: preemptive, priorities, sleep, exit and join.
//
// Strict priorities: the ready thread of the highest priority runs; those of one priority take
// turns, THREAD_SLICE ticks each.
//
// What a state means, and what leads from one to another:
//
//                     schedule()                 thread_exit()
//         +--> READY ------------> RUNNING ----------------------> DEAD, until thread_join()
//         |      ^                 |  |  |
//         |      +-----------------+  |  +--> SLEEPING, until its tick
//         |      yields, turn over,   |          |
//         |      someone higher       v          |
//         |                        BLOCKED       |
//         +---------------------------+----------+
//            thread_unblock(), thread_tick()
//
// "Threads only" below: not in an interrupt handler, where the interrupted thread would be put to
// sleep, in the middle of the handler. Every such call asserts this, or panics.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include "lib/list.h"

#define THREAD_NAME_MAX 16 // bytes, with the NUL
#define PRIORITY_IDLE 0    // the idle thread's alone
#define PRIORITY_DEFAULT 16
#define PRIORITY_MAX 31 // a bit each in a 32-bit mask: see ready_mask in thread.c
#define THREAD_SLICE 4  // ticks: 40 ms at 100 Hz

enum thread_state { THREAD_READY, THREAD_RUNNING, THREAD_BLOCKED, THREAD_SLEEPING, THREAD_DEAD };
typedef int thread_function(void *argument);

// Everything below is protected by kernel_lock. For thread/, debuggers and tests; others use
// the calls. Lies in a block of the heap ("main" in .bss), not at its stack's end as in some
// kernels: a stack that runs over hits its guard page, and never this.
struct thread {
    uint32_t esp; // saved stack pointer while not running
    char name[THREAD_NAME_MAX];
    uint32_t tid; // 1 is "main"
    enum thread_state state;
    unsigned priority;
    uint32_t slice;            // ticks left of its turn; 0: the next turn is a whole one
    uint32_t ticks;            // ticks it was running at, since its start
    uint32_t wake;             // tick to wake at, while SLEEPING
    uint32_t processor;        // where it runs or ran last, or waits to run
    int slot;                  // stack slot, or -1: the boot stack
    thread_function *function; // what it runs
    void *argument;
    int value;             // what it returned, once DEAD
    void *owner;           // what the switch hook is told of it, NULL: the kernel's own
    struct thread *joiner; // BLOCKED until this thread is DEAD; NULL: none
    struct list_elem elem; // in a ready queue, a semaphore's waiters, or the sleepers
    struct list_elem all;  // in the list of all threads
    uint32_t magic;        // THREAD_MAGIC: tells a thread from a wild or stale pointer
};
#define THREAD_MAGIC 0x74687264u // "thrd"

void thread_init(void); // the running code becomes thread "main"; makes the idle thread. Boot only
void thread_tick(void); // from the timer interrupt: time slices, sleepers
void thread_tick_local(void); // from a further processor's own timer: time slices

// For processor/. The next processor's queues and its idle thread, on whose stack it is to start;
// NULL: no memory. If it never starts, thread_drop_processor() takes both back.
struct thread *thread_add_processor(uint32_t number);
void thread_drop_processor(struct thread *idle);
// On the new processor, on that stack: it runs threads from here on. Interrupts off.
noreturn void thread_run_processor(void);
// What a processor does, for `cpus`. Any context.
struct thread_processor {
    bool runs;                     // it takes threads
    char running[THREAD_NAME_MAX]; // the thread it runs
    uint32_t busy, spare;          // ticks that found it running a thread, and idle
};
void thread_processor_info(uint32_t number, struct thread_processor *out);

// A new thread, ready to run, or NULL (no memory, no stack slot) with nothing taken. The creator
// owns it and must thread_join() it once. name is copied (at most THREAD_NAME_MAX - 1 characters).
// Threads only.
struct thread *thread_create(const char *name, unsigned priority, thread_function *function,
                             void *argument);
// Waits for its end, frees its memory, returns its value. The pointer is dead afterwards. Threads
// only.
int thread_join(struct thread *thread);
// As returning from the thread's function. Gives nothing back of what the thread allocated or
// locked. Threads only; not for "main", whose stack cannot be freed.
noreturn void thread_exit(int value);
void thread_yield(void); // lets others of the same priority run. Threads only
// Sleeps until that many ticks have come. The first may come at once: between ticks - 1 and ticks
// periods, and longer while higher priorities run. 0: as thread_yield(). Threads only.
void thread_sleep(uint32_t ticks);
// Sleeps until thread_unblock(). kernel_lock is held at the call and after it; the caller has put
// the thread where the waking side will look for it. Threads only.
void thread_block(void);
// A blocked thread becomes ready, and runs at once if its priority is the higher one. Any context.
void thread_unblock(struct thread *thread);
// Gives way if a thread of higher priority has become ready. In a handler, or with interrupts off,
// nothing: that happens on the way out of the interrupt, or of the next one. Any context.
void thread_preempt(void);
// Called when a thread is switched to whose owner is another one than the last thread's, before it
// runs: process/ changes address spaces here, of which thread/ knows nothing. Interrupts are off.
// One hook.
void thread_set_switch_hook(void (*hook)(void *from, void *to));
// Whose the running thread is from now on; the hook is called for the change. Threads only.
void thread_set_owner(void *owner);
struct thread *thread_current(void);                  // NULL before thread_init()
const char *thread_name(const struct thread *thread); // "boot" for NULL

// What `ps` shows of a thread.
struct thread_info {
    char name[THREAD_NAME_MAX];
    uint32_t tid;
    enum thread_state state;
    unsigned priority;
    uint32_t ticks;
    uint32_t processor;  // where it runs, or ran last
    uint32_t stack_used; // bytes, at the most so far
    uint32_t stack_size; // bytes
};
// Fills at most `max` records and returns how many, in the order of creation. All show the same
// moment: interrupts are off meanwhile, and each stack is searched for its deepest use. Any
// context.
size_t thread_snapshot(struct thread_info *out, size_t max);
const char *thread_state_text(enum thread_state state);
// Calls `visit` for each thread in the order of creation, including dead ones not yet joined.
// kernel_lock is held meanwhile; `visit` must neither sleep nor create nor join. Any context.
void thread_for_each(void (*visit)(struct thread *thread, void *argument), void *argument);
// The thread whose stack has `address` in the guard page below it, or NULL. Any context.
const struct thread *thread_of_guard(uintptr_t address);
