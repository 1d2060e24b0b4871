// selftest.c - see selftest.h.
#include "kernel/selftest.h"

#include <stddef.h>
#include <stdint.h>

#include "kernel/panic.h"
#include "kernel/power.h"
#include "lib/print.h"
#include "lib/x86.h"
#include "thread/thread.h"

// Ends the run as power_off() does, without its last line.
static void exit_ports(unsigned status) {
    outl(DEBUG_EXIT_PORT, status);
    for (const char *c = "Shutdown"; *c; c++) outb(BOCHS_EXIT_PORT, (uint8_t)*c);
}

// Each call keeps a piece of the stack; the volatile parts keep the compiler from making it a loop. The depth never
// becomes negative before the stack ends.
static int dig(volatile int *depth) {
    volatile int here[64];
    here[0] = *depth + 1;
    return here[0] < 0 ? 0 : dig(here) + here[0];
}

static int dig_thread(void *unused) {
    volatile int depth = 0;
    return dig(&depth);
}

static void stack_overflow(void) {
    struct thread *thread = thread_create("digger", PRIORITY_DEFAULT, dig_thread, NULL);
    if (thread) thread_join(thread);
}

void selftest_run(enum selftest which) {
    switch (which) {
    case SELFTEST_NONE: return;
    case SELFTEST_PANIC: panic("asked for on the command line");
    case SELFTEST_HANG:
        put_str("hanging, as asked for\n");
        irq_disable();
        for (;;) continue;
    case SELFTEST_LIE:
        put_str("granary: halt passed\n");
        exit_ports(EXIT_FAILED);
        break;
    case SELFTEST_SILENT: exit_ports(EXIT_PASSED); break;
    case SELFTEST_STACK: stack_overflow(); break;
    case SELFTEST_FAULT:
        kprintf("at address 0 there is %u\n", *(volatile uint32_t *)NULL);
        break;
    }
    panic("the self-test did not end the run");
}
