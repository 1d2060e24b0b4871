// terminal.c - see terminal.h. A ring of characters; a reader looks at each tick, so that it also
// sees that it was killed.
#include "process/terminal.h"

#include "lib/x86.h"
#include "process/process.h"
#include "thread/thread.h"

#define RING 128u // a power of two: the indices wrap

// Protected by interrupts off.
static char typed_ring[RING];
static uint32_t put, got; // characters ever; their difference waits

void terminal_clear(void) {
    uint32_t state = irq_save();
    put = got = 0;
    irq_restore(state);
}

void terminal_type(char c) {
    uint32_t state = irq_save();
    if (put - got < RING) typed_ring[put++ % RING] = c;
    irq_restore(state);
}

static uint32_t typed_take(char *to, uint32_t max) {
    uint32_t count = 0, state = irq_save();
    while (count < max && got != put) to[count++] = typed_ring[got++ % RING];
    irq_restore(state);
    return count;
}

uint32_t terminal_read(const struct process *process, char *to, uint32_t max) {
    while (process->keyboard && max > 0) {
        uint32_t count = typed_take(to, max);
        if (count > 0) return count;
        thread_sleep(1);
        process_check_killed();
    }
    return 0;
}
