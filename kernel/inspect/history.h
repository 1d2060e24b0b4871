// history.h - what can be known of a block beyond the heap's own records: who asked for how much,
// who freed it, what was written over.
//
// Only the checked build knows (kernel/checked): it answers what is declared here, so that what
// looks at a heap does not depend on it. The last four are asked of the port, as those of
// kernel/port.h.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A block's record in the checked build: the block's first bytes.
struct checked_record {
    uintptr_t p;         // what the call returned
    size_t size;         // bytes asked for
    uintptr_t allocated; // address that the allocating call returned to
    uintptr_t freed;     // the freeing one; 0 while the block lives
    uint32_t allocator;  // numbers of the two threads
    uint32_t freer;
    uint32_t sum; // of all the above: see record_sum()
};

// What follows these bytes is canary, the structure's own padding (on 64 bits) included.
#define CHECKED_RECORD_BYTES (offsetof(struct checked_record, sum) + sizeof(uint32_t))

// What is known of the block that `address` lies in: a copy of its record, while it lives or waits
// in quarantine, and after that until the block is handed out again. False: nothing. Any context.
bool checked_facts(uintptr_t address, struct checked_record *out);

// Walks all blocks: canaries of the living, poison of those in quarantine. Calls `found` for each
// that is damaged, with the invariant's number (checked.c), what is wrong in words, and the address
// of the first byte written over. Locks by itself; `found` runs under the lock.
typedef void checked_found(const char *invariant, const char *what, uintptr_t at);
void checked_check(checked_found *found);

typedef uint32_t checked_state;
// A lock around a whole call, memory.c's own inside it. In the kernel interrupts off, both times.
checked_state port_checked_lock(void);
void port_checked_unlock(checked_state state);
// Writes "function+0x12" for a code address / "main" or "thread 7" for a thread's number. Return
// `to`.
char *port_caller_text(char *to, size_t room, uintptr_t caller);
char *port_thread_text(char *to, size_t room, uint32_t thread);
#define PORT_TEXT_MAX 64
