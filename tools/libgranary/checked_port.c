// checked_port.c - what kernel/checked/checked.h asks of its port, inside a process:
// libgranary-checked.so.
//
// A late access is a page fault here too: the system sends SIGSEGV, and if the address is in a
// freed area the handler reports it, makes the area readable again and lets the instruction be
// tried again. Any other SIGSEGV is the program's own, and ends it as it would have without us.
//
// Shortcoming: a program that handles SIGSEGV itself takes the late accesses away from us.
#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

#include "kernel/checked/checked.h"
#include "kernel/port.h"
#include "lib/print.h"
#include "tools/libgranary/system.h"

// ---- threads and places -------------------------------------------------------------------------

uint32_t port_thread(void) { return system_thread(); }

char *port_thread_text(char *to, size_t room, uint32_t thread) {
    ksnprintf(to, room, "thread %u", thread);
    return to;
}

char *port_caller_text(char *to, size_t room, uintptr_t caller) {
    return granary_caller_text(to, room, caller);
}

// ---- late accesses ------------------------------------------------------------------------------

bool port_protect(uint32_t first, uint32_t count, bool absent) {
    void *at = (void *)(granary_base + (uintptr_t)first * PG_SIZE);
    return system_protect(at, (size_t)count * PG_SIZE, absent ? PROT_NONE : PROT_READ | PROT_WRITE);
}

#ifdef __x86_64__
#define INSTRUCTION REG_RIP
#else
#define INSTRUCTION REG_EIP
#endif

static void on_fault(int number, siginfo_t *info, void *context) {
    const ucontext_t *at = context;
    uintptr_t eip = (uintptr_t)at->uc_mcontext.gregs[INSTRUCTION];
    if (checked_late_access((uintptr_t)info->si_addr, eip)) return;
    signal(number, SIG_DFL); // the instruction is tried again, and ends the program
}

// Before main(). A handler of the program's own replaces it.
__attribute__((constructor)) static void catch_late_accesses(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
}
