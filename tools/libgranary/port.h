// port.h - kernel/port.h's answers inside a process of Linux: the heap under a real program.
//
// Compiled in with -DGRANARY_PORT='"tools/libgranary/port.h"'; the functions are in port.c,
// window.c and lock.c. What interrupts off are to the kernel a lock is here, and it costs next to
// nothing while the process has one thread: glibc keeps a flag for just that question
// (<sys/single_threaded.h>).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/single_threaded.h>

// What one thread writes at a time and any may read: the heap's words (owners.h), and counts.
#define LOOK(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

// Single variables, and known to lie in this library: each is an operand of one instruction. A
// struct, or a name that might be another library's, wants its address in a register.
#pragma GCC visibility push(hidden)
extern uintptr_t granary_base;    // of frame 0; written once, before the first block is handed out
extern uintptr_t granary_bytes;   // of the frames that have records
extern uintptr_t granary_records; // see PORT_RECORD()
extern uint32_t granary_held;     // 1 while a thread has the heap, in a process of several
extern uint32_t granary_waiting;  // threads that sleep until it is free, or are about to
extern bool granary_ready;        // memory_init() is done
extern uint32_t granary_common_held; // 1 while a thread is the common owner (thread.c)
#pragma GCC visibility pop

// The library has one heap, so none of these asks which.
#define PORT_BASE(heap) granary_base
// The record of the frame that an address is in: two steps to wait for, where the frame's number
// takes four.
#define PORT_RECORD(heap, p) \
    ((const struct arena *)(granary_records + (p) / PG_SIZE * sizeof(struct arena)))
// The seed reads it from 0xb00.
#define PORT_TOTAL_MEMORY granary_memory()
uint32_t granary_memory(void); // bytes of the window, at most what 32 bits say

typedef uint32_t port_state; // nothing: the lock knows

void granary_wait(void); // until the lock is ours
void granary_next(void); // tells a waiter that it may be free

static inline bool granary_try(void) {
    return __atomic_exchange_n(&granary_held, 1, __ATOMIC_ACQUIRE) == 0;
}

// No state is kept between the two, and none is needed: a thread that is inside sees `held` set
// exactly if it set it, whatever became of the flag meanwhile.
struct heap;
static inline port_state port_lock(const struct heap *heap) {
    (void)heap;
    if (__builtin_expect(!__libc_single_threaded, 0) && !granary_try()) granary_wait();
    return 0;
}
// A plain store, and then a plain look: lock.c says why that is enough.
static inline void granary_release(void) {
    __atomic_store_n(&granary_held, 0, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (__builtin_expect(__atomic_load_n(&granary_waiting, __ATOMIC_RELAXED) != 0, 0))
        granary_next();
}

static inline void port_unlock(const struct heap *heap, port_state state) {
    (void)heap;
    (void)state;
    uint32_t held = __atomic_load_n(&granary_held, __ATOMIC_RELAXED);
    if (__builtin_expect(held, 0)) granary_release();
}

// A lock that is taken sends a fast path to the slow one, which waits: a call here would make both
// save registers that they otherwise do without.
static inline bool port_enter(const struct heap *heap) {
    (void)heap;
    return __builtin_expect(__libc_single_threaded, 1) || granary_try();
}
static inline void port_leave(const struct heap *heap) { port_unlock(heap, 0); }

static inline bool port_in_interrupt(void) { return false; }

// Frames of the kernel pool are about to become free: port.c sees to it that the system gets their
// pages back in time.
void granary_frames_back(uint32_t first, uint32_t count);
#define port_frames_back(heap, first, count) granary_frames_back(first, count)

// Opens frames at the pool's end, so that `count` of them in a row are free; false if there are no
// more. Locked. The number of frames that have records is read without the lock by the fast path,
// which sends what it does not know to the slow one.
struct pool;
bool granary_more_frames(struct pool *pool, uint32_t count);
#define port_more_frames granary_more_frames
#define PORT_FRAMES(heap) LOOK((heap)->frames)
#ifdef __SANITIZE_THREAD__
#define PORT_BYTES(heap) LOOK(granary_bytes)
#else
#define PORT_BYTES(heap) granary_bytes // an operand: see LOOK_ONCE() in owners.h
#endif

// ---- owners: a thread each (owners.h, thread.c) ------------------------------------------------

#ifndef HEAP_CHECKED
struct owner;
// The calling thread's owner; one that owns nothing if it has none yet, or any more.
extern __thread struct owner *granary_me __attribute__((visibility("hidden")));
extern __thread uintptr_t granary_seal __attribute__((visibility("hidden"))); // that owner's
#define port_owners(heap) ((heap)->owners)
bool port_owner_open(struct owner *owner); // its memory is there
void port_barrier(void);                   // every thread of the process has passed a barrier

void granary_area(void *p, size_t size); // a large area is the program's from now on
void *granary_zeroed(size_t size);       // or NULL
// What is at home in the calling thread's arenas, and in those of no thread, goes back to the pool.
// Returns the frames.
uint32_t granary_all_home(void);
// Frames of arenas whose blocks are all free and none of them in hand; what their owners do
// meanwhile may or may not be in it.
uint32_t owners_home(const struct heap *heap);

void granary_owners_start(void);
void granary_owners_fork_prepare(void);
void granary_owners_fork_parent(void);
void granary_owners_fork_child(void);
#endif

// Where the loaded file that an address is in has the public symbol of that name; 0: nowhere. Takes
// no lock, and does not allocate.
uintptr_t granary_symbol(const void *in, const char *name);
// "function+0x12", or file and offset where the function has no public name. Returns `to`.
char *granary_caller_text(char *to, size_t room, uintptr_t caller);

// ---- for malloc.c ------------------------------------------------------------------------------

void granary_start(void); // once: window, settings, memory_init(). Before any second thread
void granary_lock_start(void);
void granary_window_place(size_t bytes);
// Maps frames and their records from *first on, the first that has none, or from a place behind it
// that *first then is; `behind` frames before *first are free already. Returns how many, 0 if it
// cannot be.
uint32_t granary_open(uint32_t *first, uint32_t behind, uint32_t count);
// The records of frames that are all free go back to the system, whole pages of them. Locked.
void granary_records_back(uint32_t first, uint32_t count);
extern uint8_t *granary_touched_at; // a byte for each frame: see resident.c
extern struct owners granary_owners;
uint32_t granary_give_back(void); // every page of a free frame, to the system; their number

// ---- pages that the process has (resident.c) ---------------------------------------------------

enum page_state {
    PAGE_GONE,    // not the process's
    PAGE_TOUCHED, // its own, or may be
    PAGE_PAID     // given back for the sake of the highest; paid for if it is taken again
};

// These bytes may be written to from now on: of the caller's arenas and large areas, any thread, no
// lock; one byte or more. Returns how many pages more the process has by that.
uint32_t granary_touch(uintptr_t p, size_t bytes);
void granary_touches_told(void); // of the caller's: it will not call again, or not soon
// The same of frames that are about to be free, locked; and how many there ever were, as far as it
// was told.
void granary_touch_frames(uint32_t first, uint32_t count);
uint32_t granary_touches(void);
bool granary_touched(uintptr_t p);                        // the page at p is PAGE_TOUCHED
bool granary_touched_all(uint32_t first, uint32_t count); // these frames are. Locked
// Of some free frames, the first of at least `least` in a row that are touched, and in *found how
// many they are, no more than were in it; 0 if there are none. Locked.
uint32_t granary_touched_run(uint32_t first, uint32_t count, uint32_t least, uint32_t *found);
// Gives those of free frames that are touched to the system, `least` or more in a row, and says so
// in their bytes. Returns how many; PAGE_TOUCHED: counts them only. Locked.
uint32_t granary_pages_give(uint32_t first, uint32_t count, uint32_t least, enum page_state then);
// Makes the first `bytes` of a large area zero that was handed out and is not marked yet: pages of
// frames that are not touched are zero already.
void granary_clear(void *area, size_t bytes);

bool granary_full(void);      // the process has as many pages as ever
bool granary_over(void);      // it has more
uint32_t granary_step(void);  // so many are looked for then
uint32_t granary_worth(void); // so many may go to the system, though they may be wanted again
void granary_rise(void);      // too few were found: the process may have some more

// See resident.c; tests set them.
extern uint32_t granary_highest;
extern int32_t granary_credit;
extern uint32_t granary_touched_end; // under the lock
