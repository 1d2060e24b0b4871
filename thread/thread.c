// thread.c - see thread.h.
//
// kernel_lock protects everything here; with one processor that is "interrupts off"
// (kernel/spinlock.h). A thread is in exactly one place: running, in a processor's ready queue of
// its priority, among a semaphore's waiters, waiting for another thread's end, among the sleepers,
// or dead.
//
// Invariants:
//   T1  A processor's ready_mask has bit p set exactly where its queue[p] is not empty.
//   T2  A running thread is in no queue. A processor's idle thread is always ready or running there
//       and nowhere else, so there is a next one.
//   T3  A dead thread is never switched to; its joiner frees its stack after the last switch away
//       from it, because waking the joiner and that switch happen under one hold of the lock.
//   T4  kernel_lock is held where schedule() is called and where it returns: the lock is handed
//       over with the processor. So another processor finds a ready thread only
//       after the switch away from it is done.
//
// Several processors: each has its own queues. A thread that becomes ready goes to where it ran
// last, unless that processor has something as urgent and another has not (place_for()). A
// processor that runs dry, or has nothing as urgent as another's first, takes that one
// (steal_from()). The lock is one for all queues.
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
// another one with interrupts off lets it in only with the next interrupt. Between processors
// priorities are strict from tick to tick, not at every moment.
#include "thread/thread.h"

#include "kernel/interrupt.h"
#include "kernel/memory.h"
#include "kernel/panic.h"
#include "kernel/running.h"
#include "kernel/spinlock.h"
#include "lib/format.h"
#include "lib/page.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "thread/stack.h"

void switch_to(uint32_t *save, uint32_t load); // switch.asm

// What a processor runs, and what waits for it.
struct run_queue {
    struct list queue[PRIORITY_MAX + 1]; // ready threads, by priority, first come first
    uint32_t ready_mask;                 // see T1
    uint32_t ready;                      // threads in the queues
    struct thread *running;              // `current` of that processor, for the others
    struct thread *idle;
    volatile bool want_switch; // on the way out of the interrupt, or when interrupts go on
    uint32_t busy, spare;      // ticks that found it with something to run, and idle
};

// All of it protected by kernel_lock. `now` is counted here and not read from the timer, so that
// thread/ needs no device.
static struct run_queue run_queues[PROCESSORS_MAX];
static uint32_t processors = 1; // that have queues
static struct list sleepers;    // by wake, soonest first
static struct list all_threads; // in order of creation
static struct thread main_thread;
static PER_PROCESSOR struct thread *current;
static void (*switch_hook)(void *from, void *to); // thread_set_switch_hook()
static uint32_t next_tid = 1;
static uint32_t now; // ticks since thread_init()

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

// ---- the ready queues and the switch: under kernel_lock -----------------------------------------

static struct run_queue *own(void) { return &run_queues[processor_number]; }

// A thread that was taken off the processor in the middle of its turn goes to the front, to end it:
// at the back, one that is often interrupted by higher ones would get less than its share. One that
// blocked or yielded has given the rest of its turn away (slice 0) and queues after those that
// have waited longer.
static void ready_add(struct run_queue *on, struct thread *thread) {
    struct list *list = &on->queue[thread->priority];
    thread->state = THREAD_READY;
    if (thread->slice > 0) list_push(list, &thread->elem);
    else list_append(list, &thread->elem);
    if (thread->slice == 0) thread->slice = THREAD_SLICE;
    on->ready_mask |= 1u << thread->priority;
    on->ready++;
    thread->processor = (uint32_t)(on - run_queues);
}

// The highest set bit is the highest priority with a ready thread: no search through the queues.
static unsigned highest(const struct run_queue *of) {
    return 31 - (unsigned)__builtin_clz(of->ready_mask);
}

static struct thread *ready_pop(struct run_queue *from) {
    ASSERT(from->ready_mask != 0);
    unsigned priority = highest(from);
    struct list *list = &from->queue[priority];
    struct thread *thread = list_entry(list_pop(list), struct thread, elem);
    if (list_empty(list)) from->ready_mask &= ~(1u << priority);
    from->ready--;
    return thread;
}

// A processor whose first ready thread is of a higher priority than `priority`, the highest of
// them; NULL: none is. Idle threads are the lowest, so none of them is ever taken.
static struct run_queue *steal_from(unsigned priority) {
    struct run_queue *best = NULL;
    for (uint32_t n = 0; n < processors; n++) {
        struct run_queue *other = &run_queues[n];
        if (other->ready_mask == 0 || highest(other) <= priority) continue;
        priority = highest(other);
        best = other;
    }
    return best;
}

// The next thread of this processor: the first of its own queues, or of another's that has one of a
// higher priority.
static struct thread *next_thread(void) {
    struct run_queue *here = own(), *other = NULL;
    if (processors > 1) other = steal_from(highest(here));
    return ready_pop(other ? other : here);
}

// The most urgent thing a processor has, running or ready.
static unsigned urgency(const struct run_queue *of) {
    unsigned priority = of->running->priority;
    return of->ready_mask != 0 && highest(of) > priority ? highest(of) : priority;
}

static bool less_to_do(const struct run_queue *a, const struct run_queue *b) {
    unsigned first = urgency(a), second = urgency(b);
    return first != second ? first < second : a->ready < b->ready;
}

// Where a thread that becomes ready goes: where it ran last (its data may still be in that cache)
// if it can run there at once, else to the processor that has the least to do.
static struct run_queue *place_for(const struct thread *thread) {
    struct run_queue *best = &run_queues[thread->processor];
    if (urgency(best) < thread->priority) return best;
    for (uint32_t n = 0; n < processors; n++) {
        if (less_to_do(&run_queues[n], best)) best = &run_queues[n];
    }
    return best;
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
    struct run_queue *here = own();
    struct thread *from = current, *to = next_thread();
    ASSERT(!irq_enabled() && (!processors_many || spin_held(&kernel_lock)));
    ASSERT(to->magic == THREAD_MAGIC);
    here->want_switch = false;
    to->state = THREAD_RUNNING;
    to->processor = processor_number;
    if (to == from) return;
    current = here->running = to;
    if (to->owner != from->owner) switch_hook(from->owner, to->owner);
    switch_to(&from->esp, to->esp);
}

void thread_set_switch_hook(void (*hook)(void *from, void *to)) { switch_hook = hook; }

// Only a thread with an owner makes schedule() call the hook, and only here does one get it.
void thread_set_owner(void *owner) {
    ASSERT(switch_hook && interrupt_depth == 0);
    uint32_t state = spin_save(&kernel_lock);
    void *from = current->owner;
    current->owner = owner;
    if (owner != from) switch_hook(from, owner);
    spin_restore(&kernel_lock, state);
}

// The running thread stays ready, and goes on when its turn comes.
static void give_way(void) {
    ready_add(own(), current);
    schedule();
}

// Interrupts are off, and want_switch is this processor's: what another one writes there meanwhile
// comes with an interrupt of its own.
static void switch_if_wanted(void) {
    if (!own()->want_switch) return;
    uint32_t state = spin_save(&kernel_lock);
    if (own()->want_switch) give_way();
    spin_restore(&kernel_lock, state);
}

// On the way out of an interrupt, with interrupts off. The frame is on the interrupted thread's own
// stack and waits there; the PIC has been told already (kernel/interrupt.c, N2), or it would hold
// back the timer until this thread came to run again.
static void leave_interrupt(void) { switch_if_wanted(); }

void thread_yield(void) {
    ASSERT(interrupt_depth == 0);
    uint32_t state = spin_save(&kernel_lock);
    current->slice = 0; // after the others
    give_way();
    spin_restore(&kernel_lock, state);
}

// With interrupts on there is a moment between the test and `cli`, hence the second look.
void thread_preempt(void) {
    if (!irq_enabled() || interrupt_depth > 0) return;
    irq_disable();
    switch_if_wanted();
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
    struct run_queue *at = processors > 1 ? place_for(thread) : own();
    ready_add(at, thread);
    if (thread->priority <= at->running->priority) return;
    at->want_switch = true;
    processor_kick(thread->processor);
}

// The caller has taken it out of the list it waited in: the same element now links it into a queue.
void thread_unblock(struct thread *thread) {
    uint32_t state = spin_save(&kernel_lock);
    ASSERT(thread->magic == THREAD_MAGIC && thread->state == THREAD_BLOCKED);
    wake(thread);
    spin_restore(&kernel_lock, state);
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
    uint32_t state = spin_save(&kernel_lock);
    current->wake = now + ticks;
    current->state = THREAD_SLEEPING;
    current->slice = 0;
    sleepers_insert(current);
    schedule();
    spin_restore(&kernel_lock, state);
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
    sleepers_wake();
    thread_tick_local();
}

// Every processor's own part. One that idles looks here whether another has more than it can run.
void thread_tick_local(void) {
    struct run_queue *here = own();
    current->ticks++;
    if (current == here->idle) here->spare++;
    else here->busy++;
    if (current->slice > 0) current->slice--;
    if (current->slice == 0) here->want_switch = true; // its turn is over
    if (processors > 1 && steal_from(current->priority)) here->want_switch = true;
}

// ---- birth and death ----------------------------------------------------------------------------

// Where a new thread's first switch_to() returns to, with interrupts off: no irq_restore() is
// waiting on its stack, so it turns them on itself. The function has no caller to return to, hence
// the thread_exit() around it.
static noreturn void thread_begin(void) {
    if (processors_many) spin_give(&kernel_lock); // T4: it was handed over
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
    uint32_t state = spin_save(&names_lock);
    thread->tid = next_tid++;
    list_append(&all_threads, &thread->all);
    spin_restore(&names_lock, state);
}

// Reports name threads with the heap locked, so the list has a lock of its own beside kernel_lock:
// either is enough to read it.
static void thread_delist(struct thread *thread) {
    uint32_t state = spin_save(&names_lock);
    list_remove(&thread->all);
    thread->magic = 0;
    spin_restore(&names_lock, state);
}

// What can fail comes first, and the thread is in no list until nothing can any more. It starts
// BLOCKED, as far as thread_unblock() knows, and may have ended when that returns: its memory
// remains until it is joined, so the pointer is good. Interrupts stay on while the stack is mapped
// and painted: no other code knows the thread yet.
static struct thread *thread_make(const char *name, unsigned priority, thread_function *function,
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
    uint32_t state = spin_save(&kernel_lock);
    thread_enlist(thread);
    thread->state = THREAD_BLOCKED;
    thread->processor = processor_number;
    spin_restore(&kernel_lock, state);
    return thread;
}

struct thread *thread_create(const char *name, unsigned priority, thread_function *function,
                             void *argument) {
    struct thread *thread = thread_make(name, priority, function, argument);
    if (thread) thread_unblock(thread);
    return thread;
}

// A thread cannot free the stack it runs on: that is the joiner's task (T3). The value is written
// before the joiner can be woken. With interrupts off thread_unblock() makes it ready and does not
// switch to it, so this thread's last switch is the one below, whatever the joiner's priority.
noreturn void thread_exit(int value) {
    ASSERT(interrupt_depth == 0 && current != &main_thread);
    spin_save(&kernel_lock); // the next thread gives it back
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
    uint32_t state = spin_save(&kernel_lock);
    thread->joiner = current;
    if (thread->state != THREAD_DEAD) thread_block();
    int value = thread->value;
    thread_delist(thread);
    spin_restore(&kernel_lock, state);
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

static void run_queue_init(struct run_queue *queue) {
    for (unsigned p = 0; p <= PRIORITY_MAX; p++) list_init(&queue->queue[p]);
}

// For kernel/running.h. A dead thread that has not been joined still has its name.
static uint32_t current_number(void) { return current->tid; }

static const char *name_of_number(uint32_t number) {
    const char *name = NULL;
    uint32_t state = spin_save(&names_lock);
    for (struct list_elem *e = list_first(&all_threads); e && !name;
         e = list_next(&all_threads, e)) {
        const struct thread *thread = list_entry(e, struct thread, all);
        if (thread->tid == number) name = thread->name;
    }
    spin_restore(&names_lock, state);
    return name;
}

// Nothing is switched before this is done: the idle thread waits in its queue until main first
// blocks. The running code is made a thread in place, on the boot stack; its registers are
// saved by the first switch away from it, so there is nothing to prepare. The hook is set before
// the first interrupt can come (kernel/main.c), the lists before anything can look at them.
void thread_init(void) {
    run_queue_init(&run_queues[0]);
    list_init(&sleepers);
    list_init(&all_threads);
    stack_paint_boot();
    thread_fill(&main_thread, "main", PRIORITY_DEFAULT, STACK_SLOT_NONE);
    main_thread.state = THREAD_RUNNING;
    current = run_queues[0].running = &main_thread;
    thread_enlist(&main_thread);
    interrupt_set_exit_hook(leave_interrupt);
    running_set(current_number, name_of_number);
    run_queues[0].idle = thread_create("idle", PRIORITY_IDLE, idle, NULL);
    if (!run_queues[0].idle) panic("no memory for the idle thread");
}

// Its thread is running from the start: the processor begins on its stack.
struct thread *thread_add_processor(uint32_t number) {
    char name[THREAD_NAME_MAX];
    ASSERT(number == processors && number < PROCESSORS_MAX);
    ksnprintf(name, sizeof name, "idle%u", number);
    struct thread *thread = thread_make(name, PRIORITY_IDLE, idle, NULL);
    if (!thread) return NULL;
    struct run_queue *queue = &run_queues[number];
    run_queue_init(queue);
    thread->processor = number;
    thread->state = THREAD_RUNNING;
    queue->running = queue->idle = thread;
    return thread;
}

void thread_drop_processor(struct thread *thread) {
    uint32_t state = spin_save(&kernel_lock);
    thread_delist(thread);
    spin_restore(&kernel_lock, state);
    stack_free(thread->slot);
    sys_free(thread);
}

// From here on others may give this processor something to run.
noreturn void thread_run_processor(void) {
    uint32_t state = spin_save(&kernel_lock);
    current = run_queues[processor_number].running;
    processors = processor_number + 1;
    spin_restore(&kernel_lock, state);
    idle(NULL);
}

void thread_processor_info(uint32_t number, struct thread_processor *out) {
    uint32_t state = spin_save(&kernel_lock);
    const struct run_queue *of = &run_queues[number];
    *out = (struct thread_processor){.runs = number < processors};
    if (out->runs) {
        strlcpy(out->running, of->running->name, sizeof out->running);
        out->busy = of->busy;
        out->spare = of->spare;
    }
    spin_restore(&kernel_lock, state);
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
    info->processor = thread->processor;
    info->stack_used = stack_used(thread->slot);
    info->stack_size = (uint32_t)(stack_top(thread->slot) - stack_bottom(thread->slot));
}

size_t thread_snapshot(struct thread_info *out, size_t max) {
    size_t count = 0;
    uint32_t state = spin_save(&kernel_lock);
    for (struct list_elem *e = list_first(&all_threads); e && count < max;
         e = list_next(&all_threads, e)) {
        info_fill(&out[count++], list_entry(e, struct thread, all));
    }
    spin_restore(&kernel_lock, state);
    return count;
}

void thread_for_each(void (*visit)(struct thread *thread, void *argument), void *argument) {
    uint32_t state = spin_save(&kernel_lock);
    for (struct list_elem *e = list_first(&all_threads); e; e = list_next(&all_threads, e)) {
        visit(list_entry(e, struct thread, all), argument);
    }
    spin_restore(&kernel_lock, state);
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
