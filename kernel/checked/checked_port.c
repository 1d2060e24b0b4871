// checked_port.c - the kernel's answers to what kernel/checked/checked.h asks. Compiled into the
// checked build alone.
//
// Late accesses come as page faults: checked_start() puts a hook before the panic that they would
// be. The hook runs as the thread that faulted, interrupts off, and may print.
#include "kernel/checked/checked_port.h"

#include "kernel/checked/checked.h"
#include "kernel/fault.h"
#include "kernel/interrupt_frame.h"
#include "kernel/layout.h"
#include "kernel/paging.h"
#include "kernel/running.h"
#include "kernel/symbol.h"
#include "lib/page.h"
#include "lib/print.h"
#include "kernel/spinlock.h"

// The heap's own lock, which may be taken twice: memory.c takes it again.
checked_state port_checked_lock(void) { return spin_save(&heap_lock); }
void port_checked_unlock(checked_state state) { spin_restore(&heap_lock, state); }

uint32_t port_thread(void) { return running_number(); }

bool port_protect(uint32_t first, uint32_t count, bool absent) {
    paging_heap_protect((uintptr_t)F2V(first), count, absent);
    return true;
}

char *port_caller_text(char *to, size_t room, uintptr_t caller) {
    return symbol_text(to, room, caller);
}

// A thread that was joined has only its number left. The copy is made before the thread can end.
char *port_thread_text(char *to, size_t room, uint32_t thread) {
    uint32_t state = spin_save(&names_lock);
    const char *name = running_name_of(thread);
    if (name) ksnprintf(to, room, "thread %s", name);
    else ksnprintf(to, room, "thread %u", thread);
    spin_restore(&names_lock, state);
    return to;
}

// ---- late accesses ------------------------------------------------------------------------------

static bool on_fault(const struct interrupt_frame *frame) {
    return frame->vector == VECTOR_PAGE_FAULT && checked_late_access(fault_address(), frame->eip);
}

void checked_start(bool guard) {
    checked_guard(guard);
    fault_set_mender(on_fault);
    kprintf("heap: checked build: canaries, poison, quarantine of %u blocks%s\n",
            CHECKED_QUARANTINE, guard ? ", guard frames" : "");
}
