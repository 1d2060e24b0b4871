// terminal.c - see terminal.h. A ring of characters; a reader looks at each tick, so that it also
// sees that it was killed.
#include "process/terminal.h"

#include "kernel/spinlock.h"
#include "process/process.h"
#include "thread/thread.h"

#define RING 128u // a power of two: the indices wrap

// Protected by kernel_lock.
static char typed_ring[RING];
static uint32_t put, got; // characters ever; their difference waits

void terminal_clear(void) {
    uint32_t state = spin_save(&kernel_lock);
    put = got = 0;
    spin_restore(&kernel_lock, state);
}

void terminal_type(char c) {
    uint32_t state = spin_save(&kernel_lock);
    if (put - got < RING) typed_ring[put++ % RING] = c;
    spin_restore(&kernel_lock, state);
}

static uint32_t typed_take(char *to, uint32_t max) {
    uint32_t count = 0, state = spin_save(&kernel_lock);
    while (count < max && got != put) to[count++] = typed_ring[got++ % RING];
    spin_restore(&kernel_lock, state);
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
