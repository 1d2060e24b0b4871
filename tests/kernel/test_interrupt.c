// test_interrupt.c - interrupts, exceptions, and threads that are switched on the way out of a
// handler.
//
// Hardware interrupts come when they like, so these tests make their own: `int n` with the vector
// of an IRQ line that no device uses. The stub, the dispatcher and the way out are those of the
// real thing; the PIC has nothing in service, and takes the end-of-interrupt for nothing.
#include <stddef.h>
#include <stdint.h>

#include "device/timer.h"
#include "kernel/interrupt.h"
#include "kernel/layout.h"
#include "kernel/paging.h"
#include "kernel/panic.h"
#include "kernel/symbol.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"
#include "thread/stack.h"
#include "thread/sync.h"
#include "thread/thread.h"

#define UNUSED_IRQ 5
#define UNUSED_VECTOR (IRQ_BASE + UNUSED_IRQ) // 0x25 below
#define VECTOR_BREAKPOINT 3
#define VECTOR_INVALID_OPCODE 6
#define HIGH (PRIORITY_DEFAULT + 4)

static struct interrupt_frame last; // what the handler below was given
static uint32_t depth_inside;
static bool enabled_inside;
static unsigned calls;

static void note_frame(const struct interrupt_frame *frame) {
    last = *frame;
    depth_inside = interrupt_depth;
    enabled_inside = irq_enabled();
    calls++;
}

static void on_interrupt(struct interrupt_frame *frame) { note_frame(frame); }

static void handler_set(unsigned vector, interrupt_handler *handler) {
    if (handler) calls = 0;
    interrupt_register(vector, handler);
}

// ---- handlers -----------------------------------------------------------------------------------

KTEST(interrupt_handler_runs_and_returns) {
    handler_set(UNUSED_VECTOR, on_interrupt);
    __asm__ volatile("int $0x25" : : : "memory");
    handler_set(UNUSED_VECTOR, NULL);
    KCHECK_EQ(last.vector, UNUSED_VECTOR);
    KCHECK_EQ(last.error, 0);
    KCHECK_EQ(depth_inside, 1);
    KCHECK_EQ(interrupt_depth, 0);
    KCHECK(!enabled_inside);
    KCHECK(irq_enabled());
}

KTEST(interrupt_without_handler_changes_nothing) {
    __asm__ volatile("int $0x25" : : : "memory");
    KCHECK_EQ(interrupt_depth, 0);
}

#define REGISTER(i) ((i)*0x11213141u)

// Each register has a value of its own before, and the same one after; the frame shows them all.
KTEST(interrupt_keeps_registers) {
    uint32_t a = REGISTER(1), b = REGISTER(2), c = REGISTER(3);
    uint32_t d = REGISTER(4), si = REGISTER(5), di = REGISTER(6);
    handler_set(UNUSED_VECTOR, on_interrupt);
    __asm__ volatile("int $0x25"
                     : "+a"(a), "+b"(b), "+c"(c), "+d"(d), "+S"(si), "+D"(di)
                     :
                     : "memory");
    handler_set(UNUSED_VECTOR, NULL);
    const uint32_t after[] = {a, b, c, d, si, di};
    const uint32_t shown[] = {last.eax, last.ebx, last.ecx, last.edx, last.esi, last.edi};
    for (uint32_t i = 0; i < 6; i++) {
        KCHECK_EQ(after[i], REGISTER(i + 1));
        KCHECK_EQ(shown[i], REGISTER(i + 1));
    }
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    KCHECK_EQ(last.ebp, here);
    KCHECK(last.esp < here && here - last.esp < PG_SIZE);
}

// IRQ 7 that the PIC does not have in service is an echo of a line that has dropped: no device's
// handler sees it.
KTEST(interrupt_spurious_is_dropped) {
    handler_set(IRQ_BASE + 7, on_interrupt);
    __asm__ volatile("int $0x27" : : : "memory");
    handler_set(IRQ_BASE + 7, NULL);
    handler_set(IRQ_BASE + 15, on_interrupt);
    __asm__ volatile("int $0x2f" : : : "memory");
    handler_set(IRQ_BASE + 15, NULL);
    KCHECK_EQ(calls, 0);
    KCHECK_EQ(interrupt_depth, 0);
    uint32_t before = timer_ticks(); // and the PIC goes on
    thread_sleep(2);
    KCHECK(timer_ticks() - before >= 1);
}

KTEST(interrupt_timer_waits_while_off) {
    thread_sleep(1); // a tick has just been
    uint32_t state = irq_save(), before = timer_ticks();
    for (uint32_t i = 0; i < 1000000; i++) cpu_pause();
    KCHECK_EQ(timer_ticks(), before);
    irq_restore(state);
    thread_sleep(1);
    KCHECK(timer_ticks() != before);
}

// ---- exceptions ---------------------------------------------------------------------------------

KTEST(exception_breakpoint_goes_on_after_it) {
    handler_set(VECTOR_BREAKPOINT, on_interrupt);
    __asm__ volatile("int3" : : : "memory");
    handler_set(VECTOR_BREAKPOINT, NULL);
    KCHECK_EQ(calls, 1);
    KCHECK_EQ(last.vector, VECTOR_BREAKPOINT);
    KCHECK_EQ(depth_inside, 0); // an exception is the thread's own doing
}

static void skip_two_bytes(struct interrupt_frame *frame) {
    note_frame(frame);
    frame->eip += 2; // ud2 has two
}

KTEST(exception_handler_may_move_eip) {
    handler_set(VECTOR_INVALID_OPCODE, skip_two_bytes);
    __asm__ volatile("ud2" : : : "memory");
    handler_set(VECTOR_INVALID_OPCODE, NULL);
    KCHECK_EQ(calls, 1);
}

// Where the instruction was is part of the trace, not only who called its function.
static __attribute__((noinline)) void interrupt_here(void) {
    __asm__ volatile("int $0x25" : : : "memory");
}

static void on_trace(struct interrupt_frame *frame) {
    note_frame(frame);
    stack_trace((uintptr_t)__builtin_frame_address(0), (uintptr_t)on_trace);
}

static bool printed(const char *text) {
    size_t length = strlen(text);
    for (const char *at = ktest_printed(); *at; at++) {
        if (strncmp(at, text, length) == 0) return true;
    }
    return false;
}

KTEST(call_trace_goes_through_interrupts) {
    handler_set(UNUSED_VECTOR, on_trace);
    ktest_printed_clear();
    interrupt_here();
    handler_set(UNUSED_VECTOR, NULL);
    KCHECK(printed("at on_trace+0 ["));
    KCHECK(printed("at interrupt_common+"));
    KCHECK(printed("at interrupt_here+"));
    KCHECK(printed("at ktest_run+"));
}

// A frame pointer is only a number: the trace reads what is mapped, goes upwards only, and ends.
KTEST(call_trace_reads_nothing_unmapped) {
    uintptr_t loop[2] = {(uintptr_t)loop, (uintptr_t)on_trace};
    stack_trace(0x10, (uintptr_t)on_trace);
    stack_trace(STACK_BASE, (uintptr_t)on_trace); // slot 0's guard page
    stack_trace(0xfffffffc, 0);
    stack_trace((uintptr_t)loop + 1, 0);
    stack_trace((uintptr_t)loop, 0);
    KCHECK_EQ(interrupt_depth, 0);
}

KTEST(symbol_names_functions) {
    uint32_t offset = 1;
    const char *name = symbol_find((uintptr_t)symbol_find, &offset);
    KCHECK(name && strcmp(name, "symbol_find") == 0);
    KCHECK_EQ(offset, 0);
    KCHECK(!symbol_find(0, &offset));
    KCHECK(!symbol_find((uintptr_t)&last, &offset));
    char text[SYMBOL_TEXT_MAX];
    KCHECK(strcmp(symbol_text(text, sizeof text, 0x1234), "0x00001234") == 0);
}

// ---- threads and handlers -----------------------------------------------------------------------

static struct semaphore sema;
static volatile unsigned woken;

static int wait_for_one(void *unused) {
    sema_down(&sema);
    woken++;
    return 0;
}

static void wake_one(struct interrupt_frame *frame) {
    sema_up(&sema);
    note_frame(frame);
    if (woken != 0) calls += 100; // too early: the handler has not ended
}

// A handler wakes a thread of higher priority: that one runs before the interrupted code goes on.
KTEST(interrupt_switches_threads_on_its_way_out) {
    sema_init(&sema, 0);
    woken = 0;
    struct thread *thread = thread_create("waiter", HIGH, wait_for_one, NULL);
    KNEED(thread);
    handler_set(UNUSED_VECTOR, wake_one);
    __asm__ volatile("int $0x25" : : : "memory");
    handler_set(UNUSED_VECTOR, NULL);
    KCHECK_EQ(woken, 1);
    KCHECK_EQ(calls, 1);
    KCHECK_EQ(thread_join(thread), 0);
}

// With interrupts off nothing may come between; once they are on, the next interrupt lets the
// thread in.
KTEST(interrupts_off_keep_a_woken_thread_out) {
    sema_init(&sema, 0);
    woken = 0;
    struct thread *thread = thread_create("waiter", HIGH, wait_for_one, NULL);
    KNEED(thread);
    uint32_t state = irq_save();
    sema_up(&sema);
    KCHECK_EQ(woken, 0);
    irq_restore(state);
    thread_preempt();
    KCHECK_EQ(woken, 1);
    thread_join(thread);
}

// First come, first served: what sema_up() gave to a waiter, no later thread takes.
KTEST(sema_up_hands_over) {
    sema_init(&sema, 0);
    woken = 0;
    struct thread *thread = thread_create("waiter", PRIORITY_DEFAULT - 1, wait_for_one, NULL);
    KNEED(thread);
    thread_sleep(1); // it waits now
    KCHECK_EQ(thread->state, THREAD_BLOCKED);
    sema_up(&sema);
    KCHECK(!sema_try_down(&sema));
    thread_join(thread);
    KCHECK_EQ(woken, 1);
}

// Case 24, as far as a test can go that means to go on: the page below each stack is not there.
KTEST(stack_guard_pages_are_unmapped) {
    sema_init(&sema, 0);
    woken = 0;
    struct thread *thread = thread_create("guarded", HIGH, wait_for_one, NULL);
    KNEED(thread);
    uintptr_t bottom = stack_bottom(thread->slot), main_bottom = stack_bottom(STACK_SLOT_NONE);
    uint32_t entry;
    KCHECK(!paging_lookup(bottom - PG_SIZE, &entry) && paging_lookup(bottom, &entry));
    KCHECK(!paging_lookup(main_bottom - PG_SIZE, &entry) && paging_lookup(main_bottom, &entry));
    KCHECK(thread_of_guard(bottom - 1) == thread && thread_of_guard(bottom - PG_SIZE) == thread);
    KCHECK(thread_of_guard(bottom) == NULL && thread_of_guard(bottom - PG_SIZE - 1) == NULL);
    KCHECK(thread_of_guard(main_bottom - 1) == thread_current());
    struct ktest_fault fault = ktest_try_store(bottom - 4, 1);
    KCHECK(fault.faulted && fault.address == bottom - 4);
    KCHECK_EQ(fault.error, FAULT_WRITING);
    sema_up(&sema);
    thread_join(thread);
}

static void count_thread(struct thread *thread, void *count) {
    if (thread->magic == THREAD_MAGIC) ++*(unsigned *)count;
}

KTEST(thread_snapshot_shows_every_thread) {
    struct thread_info info[16];
    unsigned count = 0;
    thread_sleep(1); // idle has run, and used its stack
    size_t shown = thread_snapshot(info, 16);
    thread_for_each(count_thread, &count);
    KCHECK_EQ(shown, count);
    KNEED(shown >= 2);
    KCHECK(strcmp(info[0].name, "main") == 0 && strcmp(info[1].name, "idle") == 0);
    KCHECK(info[0].state == THREAD_RUNNING && info[1].state == THREAD_READY);
    for (int i = 0; i < 2; i++)
        KCHECK(info[i].stack_used > 64 && info[i].stack_used < info[i].stack_size);
    KCHECK_EQ(thread_snapshot(info, 1), 1);
}
