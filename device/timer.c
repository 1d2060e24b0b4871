// timer.c - see timer.h. Source: Intel 8254 data sheet; channel 0 raises IRQ 0.
//
// A channel is a 16-bit counter that a fixed clock counts down. In mode 2, "rate generator", its
// output goes low for the last count and high again with the reload: one rising edge each `divisor`
// clocks, and the PICs are set to edges (kernel/interrupt.c). It reloads itself, so a late
// handler does not delay the ticks after it, as it would if it had to restart the counter.
//
// The PIC remembers one edge of a line: with interrupts off for a tick's length or longer, what
// comes is one tick, not two. So ticks are a measure of the kernel's time, not of the day's.
//
// Shortcomings: the true rate is the clock divided by a whole number: at 100 Hz 1193182 / 11932 =
// 99.998. The counter is never read, so nothing between two ticks can be measured.
#include "device/timer.h"

#include "kernel/interrupt.h"
#include "kernel/limits.h"
#include "lib/x86.h"

#define PIT_HZ 1193182 // the 8254's clock on a PC: 14.31818 MHz, the first PC's crystal, over 12
#define PIT_CHANNEL0 0x40
#define PIT_COMMAND 0x43
#define PIT_RATE_GENERATOR 0x34 // channel 0, low byte then high byte, mode 2, binary
_Static_assert(PIT_HZ / TIMER_HZ_MIN < 65536, "the divisor has 16 bits");

// Volatile: a thread that waits for the next tick in a loop must read it anew each time. A dword is
// read in one step, so no thread sees half of an increment.
static volatile uint32_t ticks; // written by on_tick() alone
static timer_callback *tick_callback;
static unsigned rate; // ticks a second

// The PIC has had its end-of-interrupt already (kernel/interrupt.h), and the callback switches
// nothing by itself: both are needed if the way out of this interrupt is another thread.
static void on_tick(struct interrupt_frame *frame) {
    ticks++;
    tick_callback();
}

// In the order of need: handler and callback are there before the line can be heard. The counter is
// one port for two bytes, and the command word says which comes first. Rounded to the nearest
// divisor: cut off, a high rate would be wrong by up to a whole count in 119.
void timer_init(unsigned hz, timer_callback *callback) {
    if (hz < TIMER_HZ_MIN) hz = TIMER_HZ_MIN;
    if (hz > TIMER_HZ_MAX) hz = TIMER_HZ_MAX;
    rate = hz;
    unsigned divisor = (PIT_HZ + hz / 2) / hz;
    tick_callback = callback;
    interrupt_register(IRQ_BASE + IRQ_TIMER, on_tick);
    outb(PIT_COMMAND, PIT_RATE_GENERATOR);
    outb(PIT_CHANNEL0, (uint8_t)divisor);
    outb(PIT_CHANNEL0, (uint8_t)(divisor >> 8));
    irq_unmask(IRQ_TIMER);
}

unsigned timer_hz(void) { return rate; }

uint32_t timer_ticks(void) { return ticks; }
