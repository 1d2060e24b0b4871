// timer.c - see timer.h. Source: Intel 8254 data sheet; channel 0 raises IRQ 0.
#include "device/timer.h"

#include "kernel/interrupt.h"
#include "lib/x86.h"

#define PIT_HZ 1193182 // the 8254's clock on a PC
#define PIT_CHANNEL0 0x40
#define PIT_COMMAND 0x43
#define PIT_RATE_GENERATOR 0x34 // channel 0, low byte then high byte, mode 2, binary
#define HZ_MIN 19               // the divisor has 16 bits: 1193182 / 65536 = 18.2
#define HZ_MAX 10000

static volatile uint32_t ticks;
static timer_callback *tick_callback;

static void on_tick(struct interrupt_frame *frame) {
    ticks++;
    tick_callback();
}

void timer_init(unsigned hz, timer_callback *callback) {
    if (hz < HZ_MIN) hz = HZ_MIN;
    if (hz > HZ_MAX) hz = HZ_MAX;
    unsigned divisor = (PIT_HZ + hz / 2) / hz;
    tick_callback = callback;
    interrupt_register(IRQ_BASE + IRQ_TIMER, on_tick);
    outb(PIT_COMMAND, PIT_RATE_GENERATOR);
    outb(PIT_CHANNEL0, (uint8_t)divisor);
    outb(PIT_CHANNEL0, (uint8_t)(divisor >> 8));
    irq_unmask(IRQ_TIMER);
}

uint32_t timer_ticks(void) { return ticks; }
