// checked_port.c - what kernel/checked/checked.h asks of its port, inside a process:
// libgranary-checked.so.
//
// A late access is a page fault here too: the system sends SIGSEGV, and if the address is in a
// freed area the handler reports it, makes the area readable again and lets the instruction be
// tried again. Any other SIGSEGV is the program's own, and ends it as it would have without us.
//
// Invariant: port_checked_lock() is taken before memory.c's lock, never the other way round.
//
// Shortcoming: a program that handles SIGSEGV itself takes the late accesses away from us.
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "kernel/checked/checked.h"
#include "kernel/port.h"
#include "lib/print.h"

// ---- a lock that its owner may take again -------------------------------------------------------

// The owner's name is its pthread_self(), which fork() keeps; gettid() it would not.
static uintptr_t owner; // 0: nobody
static uint32_t depth;

checked_state port_checked_lock(void) {
    uintptr_t self = (uintptr_t)pthread_self(), nobody = 0;
    if (__atomic_load_n(&owner, __ATOMIC_RELAXED) != self) {
        while (!__atomic_compare_exchange_n(&owner, &nobody, self, false, __ATOMIC_ACQUIRE,
                                            __ATOMIC_RELAXED)) {
            nobody = 0;
            clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 10000}, NULL);
        }
    }
    depth++;
    return 0;
}

void port_checked_unlock(checked_state state) {
    (void)state;
    if (--depth == 0) __atomic_store_n(&owner, 0, __ATOMIC_RELEASE);
}

// ---- threads and places -------------------------------------------------------------------------

uint32_t port_thread(void) { return (uint32_t)gettid(); }

char *port_thread_text(char *to, size_t room, uint32_t thread) {
    ksnprintf(to, room, "thread %u", thread);
    return to;
}

char *port_caller_text(char *to, size_t room, uintptr_t caller) {
    return granary_caller_text(to, room, caller);
}

// ---- late accesses ------------------------------------------------------------------------------

void port_protect(uint32_t first, uint32_t count, bool absent) {
    mprotect((void *)(granary_base + (uintptr_t)first * PG_SIZE), (size_t)count * PG_SIZE,
             absent ? PROT_NONE : PROT_READ | PROT_WRITE);
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
