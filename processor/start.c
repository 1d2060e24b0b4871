// start.c - see start.h. Sources: Intel SDM volume 3, 8.4 (starting a multiprocessor), 10.6; MP
// specification 1.4, appendix B.4 (INIT, wait 10 ms, start-up, wait 200 us, start-up).
//
// One after the other. Before a processor is started it has all that it will ever own: its
// PER_PROCESSOR pages, its page table and directory, and an idle thread with its stack. It begins
// on that stack, and becomes that thread.
//
//   frames of the kernel pool | directory | table for KERNEL_BASE | descriptors | own pages ... |
//
// A processor that does not answer is reset once more, so that it cannot come late to a stack that
// has a new owner; what was made for it goes back, and the machine goes on without it.
//
// Shortcomings: none can be stopped and started again.
#include "processor/start.h"

#include "device/timer.h"
#include "kernel/fault.h"
#include "kernel/gdt.h"
#include "kernel/ask.h"
#include "kernel/interrupt.h"
#include "kernel/layout.h"
#include "kernel/local.h"
#include "kernel/memory.h"
#include "kernel/paging.h"
#include "kernel/panic.h"
#include "kernel/processor.h"
#include "kernel/spinlock.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "processor/apic.h"
#include "processor/tables.h"
#include "thread/stack.h"
#include "thread/thread.h"

#define TRAMPOLINE 0x3000u // below PLAN_LOW_END; the loader's stack was there (boot.inc)
#define PEEK_PAGE (DEVICE_PAGES + PG_SIZE)
#define CPUID_APIC 0x200u // edx of leaf 1
#define ANSWER_TICKS 100u // at 100 Hz a second: an emulator on a busy machine takes a while
#define STOP_POLLS 10000000

extern const char trampoline_start[], trampoline_words[], trampoline_end[];

static struct processor_state states[PROCESSORS_MAX]; // written at boot
static uint32_t known = 1;
static uint32_t timer_count;            // what apic_timer_start() gets
static volatile bool answered;          // by the one that is being started
static volatile bool all_halt;          // a non-maskable interrupt means: halt
static volatile uint32_t at_rest;       // that do
static uint8_t apic_of[PROCESSORS_MAX]; // by number

uint32_t processors_known(void) { return known; }
struct processor_state processor_state(uint32_t index) {
    return states[index];
}

// ---- looking at physical memory -----------------------------------------------------------------

// By a page of the device window, for one copy after the other. What answers there may be memory,
// ROM or nothing: reading is all that is done.
static bool physical_read(uint32_t pa, void *to, uint32_t bytes) {
    uint8_t *at = to;
    if (bytes > UINT32_MAX - pa) return false;
    while (bytes > 0) {
        uint32_t offset = pa % PG_SIZE, now = PG_SIZE - offset;
        if (now > bytes) now = bytes;
        paging_map(PEEK_PAGE, pa - offset, 0);
        memcpy(at, (const uint8_t *)PEEK_PAGE + offset, now);
        paging_unmap(PEEK_PAGE);
        at += now;
        pa += now;
        bytes -= now;
    }
    return true;
}

static bool has_apic(void) {
    uint32_t eax = 1, ebx, ecx, edx;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    return (edx & CPUID_APIC) != 0;
}

// ---- the interrupts between processors ----------------------------------------------------------

static void kick(uint32_t number) {
    uint32_t state = irq_save();
    apic_send(apic_of[number], VECTOR_KICK);
    irq_restore(state);
}

// The way out of the interrupt looks at the queue.
static void on_kick(struct interrupt_frame *frame) {
    apic_end_of_interrupt();
    processor_answer();
    local_answer();
}

static void on_local_timer(struct interrupt_frame *frame) {
    apic_end_of_interrupt();
    thread_tick_local();
}

// SDM volume 3, 10.9: no end of interrupt for it.
static void on_spurious(struct interrupt_frame *frame) {}

static void on_nmi(struct interrupt_frame *frame) {
    if (!all_halt) fault_panic(frame);
    __atomic_add_fetch(&at_rest, 1, __ATOMIC_SEQ_CST);
    for (;;) __asm__ volatile("cli\n\thlt");
}

// By an interrupt that cannot be turned off: the others may be waiting for a lock.
static void stop_others(void) {
    all_halt = true;
    for (uint32_t n = 0; n < processors_online; n++) {
        if (n != processor_number) apic_send_nmi(apic_of[n]);
    }
    for (int polls = 0; at_rest + 1 < processors_online && polls < STOP_POLLS; polls++) {
        cpu_pause();
    }
}

// ---- the new processor --------------------------------------------------------------------------

// On the idle thread's stack, with the trampoline's segments, interrupts off. The number comes
// from `processors_online`, as one is started at a time.
static noreturn void processor_begin(void) {
    paging_processor_begin();
    processor_number = processors_online;
    gdt_init(fault_panic);
    interrupt_load();
    interrupt_several();
    apic_enable(false);
    processor_started();
    apic_timer_start(timer_count);
    answered = true;
    while (processors_online <= processor_number) cpu_pause();
    local_begin();
    thread_run_processor();
}

// ---- starting one -------------------------------------------------------------------------------

// What one more processor owns: frames of the kernel pool.
#define ESTATE_FRAMES (3 + PROCESSOR_PAGES)
struct estate {
    uint32_t frame[ESTATE_FRAMES]; // numbers: directory, table, descriptors, own pages
    uint32_t count;                      // of them, taken
    struct thread *idle;
};

static void estate_give(struct estate *estate) {
    if (estate->idle) thread_drop_processor(estate->idle);
    while (estate->count > 0) frame_free(POOL_KERNEL, estate->frame[--estate->count], 1);
}

static uint32_t estate_pa(const struct estate *estate, uint32_t index) {
    return (uint32_t)frame_address(POOL_KERNEL, estate->frame[index]);
}

static bool estate_take(struct estate *estate, uint32_t number) {
    uint32_t own[PROCESSOR_PAGES];
    *estate = (struct estate){.count = 0};
    while (estate->count < ESTATE_FRAMES) {
        uint32_t frame = frame_alloc(POOL_KERNEL, 1);
        if (frame == FRAME_NONE) break;
        memset(F2V(frame), 0, PG_SIZE);
        estate->frame[estate->count++] = frame;
    }
    if (estate->count == ESTATE_FRAMES) estate->idle = thread_add_processor(number);
    if (!estate->idle) {
        estate_give(estate);
        return false;
    }
    local_page(number, F2V(estate->frame[2]));
    for (uint32_t i = 0; i < PROCESSOR_PAGES; i++) own[i] = estate_pa(estate, 3 + i);
    paging_processor_fill(estate_pa(estate, 0), estate_pa(estate, 1), own);
    return true;
}

static void trampoline_write(const struct estate *estate) {
    uint32_t words[] = {estate_pa(estate, 0), (uint32_t)stack_top(estate->idle->slot),
                        (uint32_t)(uintptr_t)processor_begin};
    uint32_t at = (uint32_t)(trampoline_words - trampoline_start);
    paging_low_write(TRAMPOLINE, trampoline_start, (size_t)(trampoline_end - trampoline_start));
    paging_low_write(TRAMPOLINE + at, words, sizeof words);
}

static bool answers_within(uint32_t ticks) {
    uint32_t start = timer_ticks();
    while (!answered && timer_ticks() - start <= ticks) cpu_pause();
    return answered;
}

// Reading port 0x80 takes about a microsecond; no device is there.
static void wait_200us(void) {
    for (int i = 0; i < 200; i++) inb(0x80);
}

// In a loop, not asleep: the idle thread must not have run yet when locks become locks
// (several_begin()).
static void wait_ticks(uint32_t ticks) {
    uint32_t start = timer_ticks();
    while (timer_ticks() - start < ticks) cpu_idle();
}

static bool wake_up(uint32_t apic) {
    uint32_t state = irq_save();
    bool sent = apic_send_init(apic);
    irq_restore(state);
    if (!sent) return false;
    wait_ticks(2 + timer_hz() / 100); // 10 ms at least
    for (int twice = 0; twice < 2 && !answered; twice++) {
        state = irq_save();
        apic_send_start(apic, TRAMPOLINE);
        irq_restore(state);
        wait_200us();
    }
    return answers_within(ANSWER_TICKS * timer_hz() / 100);
}

// From the first one on, all locks are locks. The idle thread of this processor has not run yet
// then, nor any other: nothing is inside a lock that was none when it went in.
static void several_begin(void) {
    uint32_t state = irq_save();
    interrupt_several();
    processors_many = true;
    local_first();
    local_begin();
    heap_fast_paths(&k_heap);
    irq_restore(state);
}

static const char *start_one(uint32_t number, uint32_t apic) {
    struct estate estate;
    if (!estate_take(&estate, number)) return "no memory for its stack and tables";
    trampoline_write(&estate);
    answered = false;
    if (!wake_up(apic)) {
        uint32_t state = irq_save();
        apic_send_init(apic);
        irq_restore(state);
        estate_give(&estate);
        return "it does not answer";
    }
    apic_of[number] = (uint8_t)apic;
    return NULL;
}

// ---- all of them --------------------------------------------------------------------------------

static void handlers_set(void) {
    interrupt_register(VECTOR_KICK, on_kick);
    interrupt_register(VECTOR_LOCAL_TIMER, on_local_timer);
    interrupt_register(VECTOR_SPURIOUS, on_spurious);
    interrupt_register(VECTOR_NMI, on_nmi);
    processors_set(kick, stop_others);
}

#define MEASURE_TICKS 4u

// The first processor's controller, and what a tick is to its timer, which has the same clock in
// all of them.
static bool first_prepare(uint32_t lapic) {
    apic_map(lapic);
    uint32_t state = irq_save();
    apic_enable(true);
    apic_of[0] = (uint8_t)apic_id();
    irq_restore(state);
    states[0] = (struct processor_state){.apic = apic_of[0], .answers = true};
    timer_count = apic_timer_measure(MEASURE_TICKS) / MEASURE_TICKS;
    return timer_count > 0;
}

static void others_start(const struct processor_list *list, uint32_t most) {
    for (uint32_t i = 0; i < list->count && processors_online < most; i++) {
        uint32_t apic = list->id[i], number = processors_online;
        if (apic == apic_of[0] || known == PROCESSORS_MAX) continue;
        const char *why = start_one(number, apic);
        states[known++] = (struct processor_state){.apic = apic, .answers = !why};
        if (why) {
            kprintf("processors: APIC id %u: %s; the kernel goes on without it\n", apic, why);
            continue;
        }
        if (!processors_many) several_begin();
        processors_online = number + 1;
        struct thread_processor info;
        for (;;) {
            thread_processor_info(number, &info);
            if (info.runs) break;
            cpu_pause();
        }
    }
    kprintf("processors: %u of %u run threads\n", processors_online, list->count + list->beyond);
}

void processors_start(uint32_t most, const char *why_one) {
    struct processor_list list;
    const char *why;
    if (most == 0 || most > PROCESSORS_MAX) most = PROCESSORS_MAX;
    if (most == 1 || !has_apic()) return;
    bool found = tables_read(physical_read, &list, &why);
    if (why) kprintf("processors: the firmware's table of processors: %s\n", why);
    if (!found || list.count < 2) return;
    if (why_one) {
        kprintf("processors: one of %u, %s\n", list.count + list.beyond, why_one);
        return;
    }
    if (list.lapic == 0 || list.lapic % PG_SIZE != 0) {
        kprintf("processors: the interrupt controller's address 0x%08x cannot be; one processor\n",
                list.lapic);
        return;
    }
    handlers_set();
    if (!first_prepare(list.lapic)) {
        kprintf("processors: the local timer does not count; one processor\n");
        return;
    }
    uint32_t frame = frame_alloc(POOL_KERNEL, 1);
    if (frame == FRAME_NONE) {
        kprintf("processors: no memory for descriptors; one processor\n");
        return;
    }
    local_page(0, F2V(frame));
    others_start(&list, most);
    if (!processors_many) frame_free(POOL_KERNEL, frame, 1); // none of them answered
}
