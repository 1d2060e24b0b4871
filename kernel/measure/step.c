// step.c - see step.h. Sources: Intel SDM volume 3, 17.2.3 (DR6) and 17.3.1.4 (single-step trap);
// volume 2, STI.
//
// Theory. With TF set in EFLAGS the processor raises a debug exception, vector 1, after each
// instruction. The gate clears TF, so that the handler runs at full speed, and `iret` brings it
// back with the flags that were saved: the handler changes nothing and the call goes on to its next
// instruction.
//
//     step_run()     TF on --> call: insn | insn | insn | ... --> TF off
//                                   #DB    #DB    #DB
//
// Where an interrupt could have come instead. At a stop the saved IF tells whether interrupts are
// on, with one exception: after the `sti` that turns them on none is taken until one more
// instruction has run ("interrupt shadow"), while the trap is. Hence places: interrupts are on
// here, and were on at the stop before.
//
// What else copies TF. `pushf` does: irq_save() keeps flags with TF in them. Nothing in the kernel
// uses `popf`, so a copy never comes back by itself (lib/x86.h, irq_restore()). An interrupt that
// comes meanwhile saves TF in its frame, runs without, and brings it back. A switch of threads does
// not touch EFLAGS: a call that gives way by itself takes TF along to the next thread, whose first
// stop notices the wrong thread and clears it.
//
// Shortcomings: the few instructions of step_run() around the call are counted with it.
#include "kernel/measure/step.h"

#include <stddef.h>

#include "kernel/fault.h"
#include "kernel/interrupt.h"
#include "kernel/panic.h"
#include "lib/x86.h"
#include "thread/thread.h"

// The walk that is under way. Written by step_run() before TF is on and after that by the handler
// alone.
static struct {
    struct thread *thread; // whose call it is; NULL: no walk
    step_hook *hook;
    void *argument;
    struct step_count count;
    uint32_t off_now; // steps in a row with interrupts off, up to now
    bool was_on;      // interrupts, at the stop before
    bool ended;       // by the hook
} walk;

// The first stop is after the instruction that follows `popf`.
static inline void trap_flag_on(void) {
    __asm__ volatile("pushfl\n\torl %0, (%%esp)\n\tpopfl" : : "i"(EFLAGS_TF) : "memory", "cc");
}

static inline void trap_flag_off(void) {
    __asm__ volatile("pushfl\n\tandl %0, (%%esp)\n\tpopfl" : : "i"(~EFLAGS_TF) : "memory", "cc");
}

// A debug exception that is not ours is what it was before: a panic.
static void step_debug(struct interrupt_frame *frame) {
    if (!(dr6_read() & DR6_SINGLE_STEP)) fault_panic(frame);
    dr6_write(DR6_NOTHING);
    if (thread_current() != walk.thread) {
        frame->eflags &= ~EFLAGS_TF;
        return;
    }
    bool on = (frame->eflags & EFLAGS_IF) != 0, place = on && walk.was_on;
    walk.count.steps++;
    walk.off_now = on ? 0 : walk.off_now + 1;
    if (walk.count.off_longest < walk.off_now) walk.count.off_longest = walk.off_now;
    if (!on) walk.count.off++;
    else if (!walk.was_on) walk.count.shadow++;
    walk.was_on = on;
    if (place) walk.hook(frame, walk.count.places++, walk.argument);
    if (walk.ended) frame->eflags &= ~EFLAGS_TF;
}

void step_end(void) { walk.ended = true; }

bool step_run(void (*call)(void *argument), void *argument, step_hook *hook, void *hook_argument,
              struct step_count *out) {
    ASSERT(irq_enabled() && interrupt_depth == 0 && !walk.thread);
    walk.thread = thread_current();
    walk.hook = hook;
    walk.argument = hook_argument;
    walk.count = (struct step_count){0};
    walk.off_now = 0;
    walk.was_on = true;
    walk.ended = false;
    interrupt_register(VECTOR_DEBUG, step_debug);
    trap_flag_on();
    call(argument);
    bool whole = (eflags_read() & EFLAGS_TF) != 0;
    trap_flag_off();
    interrupt_register(VECTOR_DEBUG, NULL);
    walk.thread = NULL;
    *out = walk.count;
    return whole;
}
