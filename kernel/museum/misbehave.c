// misbehave.c - see misbehave.h.
//
// A test of the runner is only as good as the misbehaviour it is shown: each of these is the real
// thing, by the same instructions that would do it by accident. tests/e2e/test_runner.py boots
// them.
#include "kernel/museum/misbehave.h"

#include <stddef.h>

#include "kernel/memory.h"
#include "kernel/panic.h"
#include "kernel/power.h"
#include "kernel/spinlock.h"
#include "lib/print.h"
#include "lib/x86.h"
#include "thread/thread.h"

// Dead to everything but the reset line. Halted, so that a hang costs its host nothing.
static noreturn void hang(void) {
    irq_disable();
    for (;;) __asm__ volatile("hlt");
}

// Bochs has one way to end, so there this lie ends in a hang: refused all the same.
static noreturn void lie(void) {
    put_str("granary: halt passed\n");
    outl(DEBUG_EXIT_PORT, EXIT_FAILED);
    hang();
}

// power_off() without its line: a kernel that jumped into the middle of it would do that.
static noreturn void fall_silent(void) {
    outl(DEBUG_EXIT_PORT, EXIT_PASSED);
    for (const char *c = "Shutdown"; *c; c++) outb(BOCHS_EXIT_PORT, (uint8_t)*c);
    hang();
}

// Volatile: the compiler must not see that it never ends.
static volatile uint32_t depth_wanted = UINT32_MAX;

// Deeper and deeper; the array is used after the call, so that the call cannot become a jump.
// NOLINTNEXTLINE(misc-no-recursion): what this is for
static uint32_t dive(uint32_t depth) {
    volatile uint32_t space[16] = {0};
    space[depth % 16] = depth;
    if (depth < depth_wanted) space[0] += dive(depth + 1);
    return space[depth % 16];
}

static int dive_thread(void *argument) { return (int)dive(0); }

// In a thread of its own: the report must name the thread whose stack it was, and come from the
// double-fault task, since there is no stack left to report from.
static void overflow_a_stack(void) {
    struct thread *thread = thread_create("diver", PRIORITY_DEFAULT, dive_thread, NULL);
    if (thread) thread_join(thread);
}

// The pointer itself is volatile too: a compiler that sees a constant null may do what it likes.
static void read_null_page(void) {
    const volatile uint32_t *volatile nothing = NULL;
    // cppcheck-suppress nullPointer
    uint32_t value = *nothing; // NOLINT(clang-analyzer-core.NullDereference): what this is for
    kprintf("selftest: the null page holds %#x\n", value);
}

// Holds the console's lock for ever, on a processor of its own.
static volatile bool lock_is_held;

static int holder_thread(void *argument) {
    spin_save(&console_lock);
    lock_is_held = true;
    for (;;) cpu_pause();
    return 0;
}

// The report has to name both processors and both places.
static void wait_for_ever(void) {
    spin_patience = 10000000;
    if (!processors_many) panic("selftest: with one processor there is nothing to wait for");
    thread_create("holder", PRIORITY_DEFAULT, holder_thread, NULL);
    while (!lock_is_held) cpu_pause();
    kprintf("selftest: this line cannot be printed\n");
}

// As if a report were made with the console's lock held.
static void lock_in_wrong_order(void) {
    if (!processors_many) panic("selftest: with one processor there is no order");
    spin_save(&console_lock);
    sys_free(sys_malloc(1));
}

static volatile bool enough;

static int crowd_thread(void *argument) {
    while (!enough) kprintf("selftest: a line of thread %u's\n", (uint32_t)(uintptr_t)argument);
    panic("selftest: all threads at once");
}

// One report, and no line after it of those that were about to print, or to panic, too.
static void panic_in_a_crowd(void) {
    if (!processors_many) panic("selftest: with one processor there is no crowd");
    for (uint32_t i = 0; i < 2 * processors_online; i++) {
        thread_create("crowd", PRIORITY_DEFAULT, crowd_thread, (void *)(uintptr_t)i);
    }
    thread_sleep(20);
    enough = true;
    panic("selftest: all threads at once");
}

noreturn void misbehave(enum selftest what) {
    switch (what) {
    case SELFTEST_HANG: hang();
    case SELFTEST_LIE: lie();
    case SELFTEST_SILENT: fall_silent();
    case SELFTEST_STACK: overflow_a_stack(); break;
    case SELFTEST_FAULT: read_null_page(); break;
    case SELFTEST_DEADLOCK: wait_for_ever(); break;
    case SELFTEST_ORDER: lock_in_wrong_order(); break;
    case SELFTEST_CROWD: panic_in_a_crowd(); break;
    case SELFTEST_PANIC: panic("selftest: asked for on the command line");
    case SELFTEST_NONE: break;
    }
    // Whatever was asked for came back as if nothing had happened: that is a failure as well.
    panic("selftest %d did nothing", (int)what);
}
