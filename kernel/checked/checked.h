// checked.h - the checked build's heap: who asked for each block, what lies around it, what became
// of it.
//
// `make CHECK=1` puts checked.c between memory.c and its callers: the sys_ calls of memory.h are
// checked.c's then, with the same promises, and memory.c's own carry other names
// (checked_names.h). The fast build has nothing of it. How it works is at the head of
// checked.c.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/inspect/history.h"
#include "kernel/memory.h"

#define CHECKED_CANARY 0xca // before and after the bytes asked for
#define CHECKED_POISON 0xdf // what a freed block is filled with
#define CHECKED_FRESH 0xf5  // what a new one is filled with, unless it is to be cleared

// FNV's start and prime, of a record's sum: see record_sum().
#define CHECKED_SUM_START 0x811c9dc5u
#define CHECKED_SUM_PRIME 0x01000193u

// Bytes that the heap is asked for beside those that the caller wants: the record, up to the next
// multiple of BLOCK_ALIGN, and the shortest canary. Larger alignments and `guard` take more.
#define CHECKED_MARGIN ((CHECKED_RECORD_BYTES + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN + 1)

// Freed blocks that are kept from being handed out again, as a ring: the oldest leaves first.
#define CHECKED_QUARANTINE 256u
struct checked_freed {
    uintptr_t p;                  // 0: an unused place
    struct checked_record record; // as it was at the free
    enum {
        CHECKED_POISONED, // each is CHECKED_POISON
        CHECKED_ABSENT,   // unmapped
        CHECKED_TOUCHED,  // mapped again after a late access: of no known value
    } bytes;
};
extern struct checked_freed checked_quarantine[CHECKED_QUARANTINE];

// From the next allocation on every block gets frames of its own and ends where they end, and
// after it comes a page that is not mapped. Boot, before the first allocation.
void checked_guard(bool on);
bool checked_guarded(void);

// A page fault at `address`, by the instruction at `eip`. True: it was a late access to a freed
// area, or one after a guarded block; it is reported, the memory is mapped again, and the
// instruction may be tried again. False: none of this heap's doing.
bool checked_late_access(uintptr_t address, uintptr_t eip);

// ---- asked of the port, beside what kernel/inspect/history.h asks -------------------------------

uint32_t port_thread(void); // number of the running thread, 0 if there is none
// Makes frames of the kernel pool fault when they are touched, or lets them be touched again, as
// they were. False, and nothing changed, if that cannot be done now (a process has only so many
// mappings).
bool port_protect(uint32_t first, uint32_t count, bool absent);
