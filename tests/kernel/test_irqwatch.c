// test_irqwatch.c - kernel/measure/irqwatch.c: what it counts, and that it leaves no trace.
//
// The figures are exact only where rdtsc counts instructions; then irqwatch_counts prints what the
// tests from outside compare.
#include "kernel/measure/irqwatch.h"
#include "lib/print.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"

// With the watched code, as memory.c is.
#define WATCHED __attribute__((noinline, section(".text.irqwatch")))

// From kernel.ld.
extern const uint8_t irq_watch_start[], irq_watch_end[];

static bool off_inside, off_between; // what was seen with interrupts off

static WATCHED void stretch_of_9(void) {
    irq_disable();
    __asm__ volatile(".rept 8\n\tnop\n\t.endr");
    irq_enable();
}

static WATCHED void stretch_of_101(void) {
    irq_disable();
    __asm__ volatile(".rept 100\n\tnop\n\t.endr");
    irq_enable();
}

// The inner pair must not turn interrupts on.
static WATCHED void nested(void) {
    uint32_t outer = irq_save();
    off_inside = !irq_enabled();
    uint32_t inner = irq_save();
    irq_restore(inner);
    off_between = !irq_enabled();
    irq_restore(outer);
}

static uint32_t sum_of_code(void) {
    uint32_t sum = 0;
    for (const uint8_t *at = irq_watch_start; at < irq_watch_end; at++) sum = sum * 31 + *at;
    return sum;
}

static uint32_t watch(void (*run)(void)) {
    KCHECK(irqwatch_start());
    run();
    KCHECK(irq_enabled());
    return irqwatch_stop();
}

KTEST(irqwatch_counts) {
    uint32_t nine = watch(stretch_of_9), more = watch(stretch_of_101);
    kprintf("irqwatch: %u and %u instructions\n", nine, more);
}

KTEST(irqwatch_keeps_interrupts_off) {
    watch(nested);
    KCHECK(off_inside && off_between);
}

static void one_pair(void) { sys_free(sys_malloc(24)); }

KTEST(irqwatch_leaves_the_code_as_it_was) {
    uint32_t before = sum_of_code();
    KNEED(irqwatch_start());
    KCHECK(sum_of_code() != before); // it does write
    one_pair();
    irqwatch_stop();
    KCHECK_EQ(sum_of_code(), before);
    KCHECK(irq_enabled());
    one_pair();
}

// Text is read-only again.
KTEST(irqwatch_leaves_the_code_read_only) {
    watch(one_pair);
    KCHECK(ktest_try_write((uintptr_t)irq_watch_start).faulted);
}
