// power.c - see power.h.
//
// A PC has no simple way to switch itself off, and ACPI is a large one. Emulators have devices made
// for the end of a run: QEMU's isa-debug-exit takes a status, Bochs wants a word. Where neither is
// there a write to their ports does nothing, and the processor halts.
//
// The kernel does not ask which of them is there: each is tried, and the final halt always works.
#include "kernel/power.h"

#include "kernel/processor.h"
#include "lib/print.h"
#include "lib/x86.h"

#define KEYBOARD_PORT 0x64
#define KEYBOARD_INPUT_FULL 0x02
#define KEYBOARD_RESET 0xfe // pulses the CPU's reset line
#define POLLS_MAX 100000    // at about a microsecond each: a tenth of a second

// An interrupt that cannot be masked ends `hlt`, so it is in a loop. An emulator sees a processor
// that will never wake, and takes no time on its host.
static noreturn void halt_forever(void) {
    for (;;) __asm__ volatile("cli\n\thlt");
}

// The line first, and in one piece: whatever ends the emulator ends it at the next instruction. The
// runner believes a run's success only if line and exit agree (tools/run.py).
noreturn void power_off(unsigned status) {
    irq_disable();
    processors_stop();
    put_str(status == EXIT_PASSED   ? "granary: halt passed\n"
            : status == EXIT_FAILED ? "granary: halt failed\n"
                                    : "granary: halt panic\n");
    power_cut(status);
}

// A port of 32 bits, as the device is configured (iosize 4, boot.inc): a byte would be another
// status. QEMU is gone after it; Bochs reads its word letter by letter.
noreturn void power_cut(unsigned status) {
    irq_disable();
    outl(DEBUG_EXIT_PORT, status);
    for (const char *c = "Shutdown"; *c; c++) outb(BOCHS_EXIT_PORT, (uint8_t)*c);
    halt_forever(); // a machine with neither device
}

// The reset line is what the first PC/AT used to leave protected mode; every PC has kept it. No
// message: the machine goes on.
noreturn void power_reboot(void) {
    irq_disable();
    processors_stop();
    // It takes a command when it has read the one before. Bounded: it may not be there at all.
    int polls = POLLS_MAX;
    while (polls > 0 && (inb(KEYBOARD_PORT) & KEYBOARD_INPUT_FULL)) polls--;
    outb(KEYBOARD_PORT, KEYBOARD_RESET);
    for (polls = POLLS_MAX; polls > 0; polls--) inb(KEYBOARD_PORT); // it takes a moment
    // No such controller. An interrupt without an IDT is a triple fault, and that resets any PC.
    static const uint8_t no_idt[6];
    __asm__ volatile("lidt %0\n\tint3" : : "m"(no_idt));
    halt_forever();
}
