// checked_port.c - the kernel's answers to what kernel/checked/checked.h asks. Compiled into the
// checked build alone.
//
// Late accesses come as page faults: checked_start() puts a hook before the panic that they would
// be. The hook runs as the thread that faulted, interrupts off, and may print.
#include "kernel/checked/checked_port.h"

#include "kernel/checked/checked.h"
#include "kernel/interrupt.h"
#include "kernel/layout.h"
#include "kernel/paging.h"
#include "kernel/symbol.h"
#include "lib/page.h"
#include "lib/print.h"
#include "lib/x86.h"
#include "thread/thread.h"

// Interrupts off is a lock that may be taken twice: memory.c finds them off.
checked_state port_checked_lock(void) { return irq_save(); }
void port_checked_unlock(checked_state state) { irq_restore(state); }

uint32_t port_thread(void) {
    const struct thread *thread = thread_current();
    return thread ? thread->tid : 0;
}

void port_protect(uint32_t first, uint32_t count, bool absent) {
    paging_heap_protect(HEAP_BASE + (first << PG_SHIFT), count, absent);
}

char *port_caller_text(char *to, size_t room, uintptr_t caller) {
    return symbol_text(to, room, caller);
}

// ---- a thread's name ----------------------------------------------------------------------------

struct wanted {
    uint32_t tid;
    const char *name;
};

static void compare_tid(struct thread *thread, void *argument) {
    struct wanted *wanted = argument;
    if (thread->tid == wanted->tid) wanted->name = thread_name(thread);
}

// A thread that was joined has only its number left.
char *port_thread_text(char *to, size_t room, uint32_t thread) {
    struct wanted wanted = {thread, thread == 0 ? thread_name(NULL) : NULL};
    uint32_t state = irq_save();
    if (thread != 0) thread_for_each(compare_tid, &wanted);
    if (wanted.name) ksnprintf(to, room, "thread %s", wanted.name);
    else ksnprintf(to, room, "thread %u", thread);
    irq_restore(state);
    return to;
}

// ---- late accesses ------------------------------------------------------------------------------

static bool on_fault(const struct interrupt_frame *frame) {
    return frame->vector == VECTOR_PAGE_FAULT && checked_late_access(fault_address(), frame->eip);
}

void checked_start(bool guard) {
    checked_guard(guard);
    interrupt_set_fault_hook(on_fault);
    kprintf("heap: checked build: canaries, poison, quarantine of %u blocks%s\n",
            CHECKED_QUARANTINE, guard ? ", guard frames" : "");
}
