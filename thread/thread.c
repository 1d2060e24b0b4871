// thread.c - see thread.h.
//
// There is one processor, so "interrupts off" protects everything here. A thread is in exactly one
// place: running, in the ready queue of its priority, among a semaphore's waiters, waiting for
// another thread's end, among the sleepers, or dead.
//
// Invariants:
//   T1  ready_mask has bit p set exactly where queue[p] is not empty.
//   T2  The running thread is in no queue. The idle thread is always ready or running, so there is
//       a next one.
//   T3  A dead thread is never switched to; its joiner frees its stack after the last switch away
//       from it, because waking the joiner and that switch happen with interrupts off.
//
// When a switch happens: at once when the running thread blocks, sleeps, yields or ends, or makes
// one of higher priority ready; on the way out of an interrupt when the handler made one ready, or
// the turn is over. A switch is always made with interrupts off, and each thread turns them on
// again in its own way: irq_restore() where it called us, `iret` where an interrupt did.
//
// What a switch is: switch_to() is called by one thread and returns in another. Only its caller's
// ebp, ebx, esi, edi and esp have to be kept: it is a function, so by the i386 ABI the compiler has
// saved whatever else it needs before the call. The segments are the same for all, and so is the
// kernel's half of every page directory; what else differs for a program's thread is the switch
// hook's business. A thread that an interrupt took off has all its registers on its stack as well,
// in the frame that entry.asm pushed; switch_to() need not know.
//
//     stack of a thread that is not running          esp, kept in struct thread
//     | its calls | [interrupt frame, dispatcher] | schedule() | eip ebp ebx esi edi |
//
// Why interrupts go off at all, if a switch only happens at those places: because an interrupt may
// come between any two instructions, and its way out is such a place. A list half changed would be
// walked by the next thread.
//
// Shortcomings: strict priorities starve; a joiner is needed for every thread; a thread that wakes
// another one with interrupts off lets it in only with the next interrupt.
#include "thread/thread.h"

#include "kernel/interrupt.h"
#include "kernel/memory.h"
#include "kernel/panic.h"
#include "kernel/running.h"
#include "lib/page.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "thread/stack.h"

void switch_to(uint32_t *save, uint32_t load); // switch.asm

// All of it protected by interrupts off. `now` is counted here and not read from the timer, so that
// thread/ needs no device.
static struct list queue[PRIORITY_MAX + 1]; // ready threads, by priority, first come first
static uint32_t ready_mask;                 // see T1
static struct list sleepers;                // by wake, soonest first
static struct list all_threads;             // in order of creation
static struct thread main_thread;
static struct thread *current;
static void (*switch_hook)(void *from, void *to); // thread_set_switch_hook()
static uint32_t next_tid = 1;
static uint32_t now;     // ticks since thread_init()
static bool want_switch; // on the way out of the interrupt, or when interrupts go on

// No lock: while a thread looks, the answer is that thread.
struct thread *thread_current(void) {
    return current;
}

const char *thread_name(const struct thread *thread) { return thread ? thread->name : "boot"; }

// In the order of enum thread_state.
const char *thread_state_text(enum thread_state state) {
    static const char *const text[] = {"ready", "running", "blocked", "sleeping", "dead"};
    return text[state];
}

// ---- the ready queues and the switch: interrupts off --------------------------------------------

// A thread that was taken off the processor in the middle of its turn goes to the front, to end it:
// at the back, one that is often interrupted by higher ones would get less than its share. One that
// blocked or yielded has given the rest of its turn away (slice 0) and queues after those that
// have waited longer.
static void ready_add(struct thread *thread) {
    struct list *list = &queue[thread->priority];
    thread->state = THREAD_READY;
    if (thread->slice > 0) list_push(list, &thread->elem);
    else list_append(list, &thread->elem);
    if (thread->slice == 0) thread->slice = THREAD_SLICE;
    ready_mask |= 1u << thread->priority;
}

// The highest set bit is the highest priority with a ready thread: no search through the queues.
static struct thread *ready_pop(void) {
    ASSERT(ready_mask != 0);
    unsigned priority = 31 - (unsigned)__builtin_clz(ready_mask);
    struct thread *thread = list_entry(list_pop(&queue[priority]), struct thread, elem);
    if (list_empty(&queue[priority])) ready_mask &= ~(1u << priority);
    return thread;
}

// Runs the next ready thread. `current` is already where it belongs: ready, in a waiters' list,
// among the sleepers, dead. Returns when it is chosen again, or at once if it is still the best
// one.
//
// Every switch clears want_switch, not only the one that it asked for: the thread that runs now
// is the first of the queues, so nothing is left to want. The magic number is checked because a
// stack pointer is loaded from there next: a thread freed too early would otherwise run on with
// whatever its block holds now.
static void schedule(void) {
    struct thread *from = current, *to = ready_pop();
    ASSERT(!irq_enabled());
    ASSERT(to->magic == THREAD_MAGIC);
    want_switch = false;
    to->state = THREAD_RUNNING;
    if (to == from) return;
    current = to;
    if (to->owner != from->owner) switch_hook(from->owner, to->owner);
    switch_to(&from->esp, to->esp);
}

void thread_set_switch_hook(void (*hook)(void *from, void *to)) { switch_hook = hook; }

// Only a thread with an owner makes schedule() call the hook, and only here does one get it.
void thread_set_owner(void *owner) {
    ASSERT(switch_hook && interrupt_depth == 0);
    uint32_t state = irq_save();
    void *from = current->owner;
    current->owner = owner;
    if (owner != from) switch_hook(from, owner);
    irq_restore(state);
}

// The running thread stays ready, and goes on when its turn comes.
static void give_way(void) {
    ready_add(current);
    schedule();
}

// On the way out of an interrupt, with interrupts off. The frame is on the interrupted thread's own
// stack and waits there; the PIC has been told already (kernel/interrupt.c, N2), or it would hold
// back the timer until this thread came to run again.
static void leave_interrupt(void) {
    if (want_switch) give_way();
}

void thread_yield(void) {
    ASSERT(interrupt_depth == 0);
    uint32_t state = irq_save();
    current->slice = 0; // after the others
    give_way();
    irq_restore(state);
}

// With interrupts on there is a moment between the test and `cli`, hence the second look.
void thread_preempt(void) {
    if (!irq_enabled() || interrupt_depth > 0) return;
    irq_disable();
    if (want_switch) give_way();
    irq_enable();
}

// The caller has put the thread into some list, or it would never come back. That and the switch
// are one stretch with interrupts off: an "up" in between would find a waiter that is still
// running, make it ready, and be lost when the state becomes BLOCKED.
void thread_block(void) {
    ASSERT(!irq_enabled() && interrupt_depth == 0);
    current->state = THREAD_BLOCKED;
    current->slice = 0;
    schedule();
}

// The switch itself is left to the caller, who knows whether it may happen now. Threads of equal
// priority do not cut each other's turns short.
static void wake(struct thread *thread) {
    ready_add(thread);
    if (thread->priority > current->priority) want_switch = true;
}

// The caller has taken it out of the list it waited in: the same element now links it into a queue.
void thread_unblock(struct thread *thread) {
    uint32_t state = irq_save();
    ASSERT(thread->magic == THREAD_MAGIC && thread->state == THREAD_BLOCKED);
    wake(thread);
    irq_restore(state);
    thread_preempt();
}

// ---- time ---------------------------------------------------------------------------------------

// Half of the counter's range is "later", so no thread can sleep longer: 248 days at 100 ticks a
// second.
#define TICKS_MAX INT32_MAX

// True if tick a comes before tick b, also across the counter's wrap.
static bool earlier(uint32_t a, uint32_t b) { return (int32_t)(a - b) < 0; }

// After those that wake at the same tick: first come, first served.
static void sleepers_insert(struct thread *thread) {
    struct list_elem *e = sleepers.head.next;
    while (e != &sleepers.head && !earlier(thread->wake, list_entry(e, struct thread, elem)->wake))
        e = e->next;
    list_insert_before(e, &thread->elem);
}

// The running thread puts itself into the list and stays on the processor until schedule(): no
// tick can come in between.
void thread_sleep(uint32_t ticks) {
    if (ticks == 0) {
        thread_yield();
        return;
    }
    ASSERT(interrupt_depth == 0);
    if (ticks > TICKS_MAX) ticks = TICKS_MAX;
    uint32_t state = irq_save();
    current->wake = now + ticks;
    current->state = THREAD_SLEEPING;
    current->slice = 0;
    sleepers_insert(current);
    schedule();
    irq_restore(state);
}

// The list is sorted, so a tick looks at one sleeper more than it wakes. The first is asked for
// anew each time: wake() links it into another list, and its `next` leads along that one.
static void sleepers_wake(void) {
    for (struct list_elem *e = list_first(&sleepers); e; e = list_first(&sleepers)) {
        struct thread *thread = list_entry(e, struct thread, elem);
        if (earlier(now, thread->wake)) return;
        list_remove(e);
        wake(thread);
    }
}

// In the timer's interrupt: what it decides happens in leave_interrupt(). A tick is charged to
// the thread that it finds running, however briefly that has run: a thread that always sleeps
// before the tick looks idle. A slice may be 0 before it is counted: "main" starts with none
// (thread_fill()), and its first turn ends with the first tick.
void thread_tick(void) {
    now++;
    current->ticks++;
    sleepers_wake();
    if (current->slice > 0) current->slice--;
    if (current->slice == 0) want_switch = true; // its turn is over
}

// ---- birth and death ----------------------------------------------------------------------------

// Where a new thread's first switch_to() returns to, with interrupts off: no irq_restore() is
// waiting on its stack, so it turns them on itself. The function has no caller to return to, hence
// the thread_exit() around it.
static noreturn void thread_begin(void) {
    irq_enable();
    thread_exit(current->function(current->argument));
}

// A slice of 0: its first turn is a whole one, after the others (ready_add()).
static void thread_fill(struct thread *thread, const char *name, unsigned priority, int slot) {
    memset(thread, 0, sizeof *thread);
    strlcpy(thread->name, name, sizeof thread->name);
    thread->priority = priority;
    thread->slot = slot;
    thread->magic = THREAD_MAGIC;
}

// A stack as if the thread had been switched away from, at thread_begin()'s first instruction: then
// a first switch is like any other. What switch_to() pops: edi, esi, ebx, ebp, all 0, then the
// address it returns to. A call trace ends at ebp = 0.
static void stack_prepare(struct thread *thread) {
    uint32_t *at = (uint32_t *)stack_top(thread->slot);
    *--at = 0; // thread_begin() has no caller
    *--at = (uint32_t)(uintptr_t)thread_begin;
    for (int i = 0; i < 4; i++) *--at = 0;
    thread->esp = (uint32_t)(uintptr_t)at;
}

static void thread_enlist(struct thread *thread) {
    thread->tid = next_tid++;
    list_append(&all_threads, &thread->all);
}

// What can fail comes first, and the thread is in no list until nothing can any more. It starts
// BLOCKED, as far as thread_unblock() knows, and may have ended when that returns: its memory
// remains until it is joined, so the pointer is good. Interrupts stay on while the stack is mapped
// and painted: no other code knows the thread yet.
struct thread *thread_create(const char *name, unsigned priority, thread_function *function,
                             void *argument) {
    ASSERT(function && priority <= PRIORITY_MAX);
    ASSERT(interrupt_depth == 0);
    struct thread *thread = sys_malloc(sizeof *thread);
    if (!thread) return NULL;
    int slot = stack_alloc();
    if (slot == STACK_SLOT_NONE) {
        sys_free(thread);
        return NULL;
    }
    thread_fill(thread, name, priority, slot);
    thread->function = function;
    thread->argument = argument;
    stack_prepare(thread);
    uint32_t state = irq_save();
    thread_enlist(thread);
    thread->state = THREAD_BLOCKED;
    irq_restore(state);
    thread_unblock(thread);
    return thread;
}

// A thread cannot free the stack it runs on: that is the joiner's task (T3). The value is written
// before the joiner can be woken. With interrupts off thread_unblock() makes it ready and does not
// switch to it, so this thread's last switch is the one below, whatever the joiner's priority.
noreturn void thread_exit(int value) {
    ASSERT(interrupt_depth == 0 && current != &main_thread);
    irq_disable();
    current->value = value;
    current->state = THREAD_DEAD;
    if (current->joiner) thread_unblock(current->joiner);
    schedule();
    panic("a dead thread was scheduled");
}

// Waits by block and unblock: semaphores are made of these, so thread/sync.c is above this file.
// The look at the state and the wait are one stretch with interrupts off, or the end could come in
// between and wake nothing. The magic number goes before the memory does, so that a second join of
// the same thread is noticed as long as its block has no new owner.
int thread_join(struct thread *thread) {
    ASSERT(interrupt_depth == 0);
    ASSERT(thread->magic == THREAD_MAGIC && thread != current && !thread->joiner);
    uint32_t state = irq_save();
    thread->joiner = current;
    if (thread->state != THREAD_DEAD) thread_block();
    int value = thread->value;
    list_remove(&thread->all);
    thread->magic = 0;
    irq_restore(state);
    stack_free(thread->slot);
    sys_free(thread);
    return value;
}

// Runs when no other thread can. `hlt` waits for the next interrupt without burning time. It must
// not block: it is the thread that makes "there is a next one" true (T2), so it takes no lock and
// allocates nothing.
static noreturn int idle(void *unused) {
    for (;;) cpu_idle();
}

// For kernel/running.h. A dead thread that has not been joined still has its name.
static uint32_t current_number(void) { return current->tid; }

static const char *name_of_number(uint32_t number) {
    for (struct list_elem *e = list_first(&all_threads); e; e = list_next(&all_threads, e)) {
        const struct thread *thread = list_entry(e, struct thread, all);
        if (thread->tid == number) return thread->name;
    }
    return NULL;
}

// Nothing is switched before this is done: the idle thread waits in its queue until main first
// blocks. The running code is made a thread in place, on the boot stack; its registers are
// saved by the first switch away from it, so there is nothing to prepare. The hook is set before
// the first interrupt can come (kernel/main.c), the lists before anything can look at them.
void thread_init(void) {
    for (unsigned p = 0; p <= PRIORITY_MAX; p++) list_init(&queue[p]);
    list_init(&sleepers);
    list_init(&all_threads);
    stack_paint_boot();
    thread_fill(&main_thread, "main", PRIORITY_DEFAULT, STACK_SLOT_NONE);
    main_thread.state = THREAD_RUNNING;
    current = &main_thread;
    thread_enlist(&main_thread);
    interrupt_set_exit_hook(leave_interrupt);
    running_set(current_number, name_of_number);
    if (!thread_create("idle", PRIORITY_IDLE, idle, NULL)) panic("no memory for the idle thread");
}

// ---- for `ps` -----------------------------------------------------------------------------------

// A copy, not a pointer: the thread may be gone when the caller looks. The name is copied whole, as
// thread_fill() has cleared what follows its NUL.
static void info_fill(struct thread_info *info, const struct thread *thread) {
    memcpy(info->name, thread->name, sizeof info->name);
    info->tid = thread->tid;
    info->state = thread->state;
    info->priority = thread->priority;
    info->ticks = thread->ticks;
    info->stack_used = stack_used(thread->slot);
    info->stack_size = (uint32_t)(stack_top(thread->slot) - stack_bottom(thread->slot));
}

size_t thread_snapshot(struct thread_info *out, size_t max) {
    size_t count = 0;
    uint32_t state = irq_save();
    for (struct list_elem *e = list_first(&all_threads); e && count < max;
         e = list_next(&all_threads, e)) {
        info_fill(&out[count++], list_entry(e, struct thread, all));
    }
    irq_restore(state);
    return count;
}

void thread_for_each(void (*visit)(struct thread *thread, void *argument), void *argument) {
    uint32_t state = irq_save();
    for (struct list_elem *e = list_first(&all_threads); e; e = list_next(&all_threads, e)) {
        visit(list_entry(e, struct thread, all), argument);
    }
    irq_restore(state);
}

// For a page fault's report: one comparison a thread, and the same struct that names it. Unsigned:
// an address above the guard page makes the difference wrap. Takes no lock and is asked in a
// panic, where interrupts are off, and in a double fault.
//
// Before thread_init() the list is all zero, and reads as empty.
const struct thread *thread_of_guard(uintptr_t address) {
    for (struct list_elem *e = list_first(&all_threads); e; e = list_next(&all_threads, e)) {
        const struct thread *thread = list_entry(e, struct thread, all);
        if (stack_bottom(thread->slot) - 1 - address < PG_SIZE) return thread;
    }
    return NULL;
}
