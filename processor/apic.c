// apic.c - see apic.h. Source: Intel SDM volume 3, chapter 10: registers (table 10-1), the timer
// (10.5.4), messages (10.6.1), the spurious vector (10.9).
//
// Every processor sees its own controller at the same physical address, so one mapping serves all.
// The PICs stay in charge of the machine's lines: their interrupt comes in by the first processor's
// pin LINT0 ("virtual wire", MP specification 3.6.2.2), and the I/O APIC is left alone.
//
// Shortcoming: x2APIC (registers by wrmsr, ids of 32 bits) is not used.
#include "processor/apic.h"

#include "device/timer.h"
#include "kernel/interrupt.h"
#include "kernel/layout.h"
#include "kernel/paging.h"
#include "lib/x86.h"

#define REG_ID 0x20
#define REG_TASK_PRIORITY 0x80
#define REG_EOI 0xb0
#define REG_SPURIOUS 0xf0
#define REG_COMMAND 0x300 // the low half: writing it sends
#define REG_TARGET 0x310  // the high half
#define REG_LVT_TIMER 0x320
#define REG_LVT_LINT0 0x350
#define REG_LVT_LINT1 0x360
#define REG_LVT_ERROR 0x370
#define REG_TIMER_INITIAL 0x380
#define REG_TIMER_CURRENT 0x390
#define REG_TIMER_DIVIDE 0x3e0

#define SOFTWARE_ENABLED 0x100u
#define LVT_MASKED 0x10000u
#define LVT_NMI 0x400u
#define LVT_EXTINT 0x700u
#define LVT_PERIODIC 0x20000u
#define DIVIDE_BY_16 0x3u

#define COMMAND_NMI 0x400u
#define COMMAND_INIT 0x500u
#define COMMAND_START 0x600u
#define COMMAND_PENDING 0x1000u
#define COMMAND_ASSERT 0x4000u
#define DELIVERY_POLLS 1000000

#define REGISTERS DEVICE_PAGES

static volatile uint32_t *reg(uint32_t at) { return (volatile uint32_t *)(REGISTERS + at); }

void apic_map(uint32_t pa) { paging_map(REGISTERS, pa, PAGE_WRITE | PAGE_UNCACHED); }

uint32_t apic_id(void) { return *reg(REG_ID) >> 24; }

void apic_enable(bool first) {
    *reg(REG_TASK_PRIORITY) = 0;
    *reg(REG_LVT_TIMER) = LVT_MASKED;
    *reg(REG_LVT_LINT0) = first ? LVT_EXTINT : LVT_MASKED;
    *reg(REG_LVT_LINT1) = first ? LVT_NMI : LVT_MASKED;
    *reg(REG_LVT_ERROR) = LVT_MASKED;
    *reg(REG_SPURIOUS) = SOFTWARE_ENABLED | VECTOR_SPURIOUS;
    apic_end_of_interrupt(); // one that was left over
}

void apic_end_of_interrupt(void) { *reg(REG_EOI) = 0; }

// From the start of a tick to the start of another, so that whole ticks are measured.
uint32_t apic_timer_measure(uint32_t ticks) {
    *reg(REG_TIMER_DIVIDE) = DIVIDE_BY_16;
    uint32_t start = timer_ticks();
    while (timer_ticks() == start) cpu_pause();
    *reg(REG_TIMER_INITIAL) = UINT32_MAX;
    start = timer_ticks();
    while (timer_ticks() - start < ticks) cpu_pause();
    uint32_t counted = UINT32_MAX - *reg(REG_TIMER_CURRENT);
    *reg(REG_TIMER_INITIAL) = 0; // stops it
    return counted;
}

void apic_timer_start(uint32_t count) {
    *reg(REG_TIMER_DIVIDE) = DIVIDE_BY_16;
    *reg(REG_LVT_TIMER) = LVT_PERIODIC | VECTOR_LOCAL_TIMER;
    *reg(REG_TIMER_INITIAL) = count;
}

// One message at a time: the controller says when it has sent the last one.
static bool command(uint32_t id, uint32_t what) {
    for (int polls = 0; *reg(REG_COMMAND) & COMMAND_PENDING; polls++) {
        if (polls == DELIVERY_POLLS) return false;
        cpu_pause();
    }
    *reg(REG_TARGET) = id << 24;
    *reg(REG_COMMAND) = what | COMMAND_ASSERT;
    return true;
}

bool apic_send(uint32_t id, uint32_t vector) { return command(id, vector); }
bool apic_send_nmi(uint32_t id) { return command(id, COMMAND_NMI); }
bool apic_send_init(uint32_t id) { return command(id, COMMAND_INIT); }
bool apic_send_start(uint32_t id, uint32_t pa) { return command(id, COMMAND_START | pa >> 12); }
