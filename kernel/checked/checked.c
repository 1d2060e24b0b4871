// checked.c - see checked.h: the sys_ calls of the checked build, over memory.c's.
//
// Theory. The heap itself finds every wrong pointer, in both builds. What it cannot find is a right
// pointer used wrongly: a write before or after the bytes that were asked for, or a use after the
// free. So the checked build gives every block a margin, and keeps every freed block for some time
// before it is handed out again.
//
//      the heap's block         p                    p + size           its end
//      +-----------------------+--------+--------------------+-----------------+
//      | struct checked_record | canary | the caller's bytes | canary (1 .. )  |
//      +-----------------------+--------+--------------------+-----------------+
//
//   - The canary begins at the byte after the last one asked for, and ends at the byte before the
//     first: a write to either is seen, whatever size the block has.
//   - The record says where it was allocated and freed. Its sum tells if it was overwritten.
//   - A freed block is filled with poison and waits in a ring, the quarantine. When it leaves, all
//     of it must still be poison. A freed large area is unmapped while it waits: the first late
//     access, to read or to write, faults at the very instruction.
//   - With `guard` on the command line every block is a large area of its own, and ends where its
//     last frame but one ends; the last is not mapped. Thus a block's first overflow that is longer
//     than the gap an alignment leaves, and the first late access to it, fault at the instruction:
//
//      +-----------------------+--------+--------------------+---------+- - - - - - - -+
//      | struct checked_record | canary | the caller's bytes | canary  |  not mapped   |
//      +-----------------------+--------+--------------------+---------+- - - - - - - -+
//      frame 0                          p                    0 .. 15    the last frame
//
// How the two halves divide the work: memory.c knows which addresses are blocks and is asked first
// (heap_classify); this file knows which of its blocks are the callers'. A block in quarantine is
// live to memory.c and freed to all other code.
//
// Invariants (checked_check() walks them by these numbers):
//   C1  Of every block that is not freed, the record is sound and the canary whole.
//   C2  A block in quarantine is live to memory.c. A small one holds poison and its canary is
//       whole, and so does a large one that the port could not unmap. Any other large one is
//       unmapped up to the first late access; after its report it is mapped, and its contents are
//       not checked.
//   C3  An unmapped frame belongs to an area in quarantine, or is the last frame of a guarded one.
//
// Who protects what: all of it by port_checked_lock(), under which a block gets its record, and
// without which memory.c is never called: so its holder may also read memory.c's records. Filling
// and comparing whole blocks happens outside it, while no other code can have the block.
//
// Shortcomings:
//   - Reading past the end, and reading a freed small block, need `guard`.
//   - A write that jumps over the canary hits a neighbour and is found there, or not at all if it
//     hits the neighbour's bytes and not its margin.
//   - After 256 further frees, or when memory is short, a freed block may be handed out again.
//   - frame_alloc() has no margin: whole frames have nothing that could be one.
#include "kernel/checked/checked.h"

#include "kernel/inspect/heapwalk.h"
#include "kernel/inspect/report.h"
#include "kernel/port.h"
#include "lib/string.h"

#define CALLER ((uintptr_t)__builtin_return_address(0))
#define QUARANTINE_SHARE 8   // of the pool's frames: at most 1/8 wait in quarantine
#define QUARANTINE_MIN 4096u // frames that may wait before a growing pool has so many, 16 MiB

struct checked_freed checked_quarantine[CHECKED_QUARANTINE];
static uint32_t oldest, waiting; // the ring: first used place, used places
static uint32_t frames_waiting;  // in large areas
static bool guard;               // set at boot, then only read

void checked_guard(bool on) { guard = on; }
bool checked_guarded(void) { return guard; }

// ---- a block's parts ----------------------------------------------------------------------------

// By `desc`: `large` shares a word with the count of free blocks, which others may be changing.
static bool is_large(const struct heap_block *block) { return !block->arena->desc; }

static struct checked_record *record_of(const struct heap_block *block) {
    return (struct checked_record *)block->start;
}

// The caller's bytes and both canaries lie between these.
static uintptr_t room_start(const struct heap_block *block) {
    return block->start + CHECKED_RECORD_BYTES;
}
static uintptr_t room_end(const struct heap_block *block) {
    return block->start + block->bytes - (guard ? PG_SIZE : 0);
}

// Of every field and of the record's own address, so that no copy of a record is one. Multiplying
// by an odd number loses nothing: any change of one field changes the sum.
static uint32_t record_sum(const struct checked_record *record, uintptr_t at) {
    const uintptr_t field[] = {
        at,           record->p, record->size, record->allocated, record->freed, record->allocator,
        record->freer};
    uint32_t sum = CHECKED_SUM_START;
    for (size_t i = 0; i < sizeof field / sizeof field[0]; i++) {
        sum = (sum ^ (uint32_t)field[i] ^ (uint32_t)((uint64_t)field[i] >> 32)) * CHECKED_SUM_PRIME;
    }
    return sum;
}

// The record is as it was written, and this block's.
static bool record_sound(const struct heap_block *block) {
    const struct checked_record *record = record_of(block);
    return record->sum == record_sum(record, (uintptr_t)record) && record->p >= room_start(block) &&
           record->p < room_end(block) && record->size < room_end(block) - record->p + guard;
}

static void record_write(const struct heap_block *block, struct checked_record record) {
    struct checked_record *to = record_of(block);
    record.sum = record_sum(&record, (uintptr_t)to);
    *to = record;
}

// The first byte of [from, to) that is not `value`; `to` if all are.
static uintptr_t first_other(uintptr_t from, uintptr_t to, uint8_t value) {
    while (from < to && *(const uint8_t *)from == value) from++;
    return from;
}

// The first byte outside the caller's that was written to; 0 if none was. With an unsound record
// that is the record.
static uintptr_t margin_damage(const struct heap_block *block) {
    const struct checked_record *record = record_of(block);
    if (!record_sound(block)) return (uintptr_t)record;
    uintptr_t at = first_other(room_start(block), record->p, CHECKED_CANARY);
    if (at < record->p) return at;
    at = first_other(record->p + record->size, room_end(block), CHECKED_CANARY);
    return at < room_end(block) ? at : 0;
}

// Likewise for a block in quarantine, unless its bytes are not there, or may be anything by now.
static uintptr_t freed_damage(const struct heap_block *block, const struct checked_freed *freed) {
    if (freed->bytes != CHECKED_POISONED) return 0;
    uintptr_t at = margin_damage(block);
    if (at) return at;
    const struct checked_record *record = record_of(block);
    at = first_other(record->p, record->p + record->size, CHECKED_POISON);
    return at < record->p + record->size ? at : 0;
}

static bool block_protect(const struct heap_block *block, bool absent) {
    uint32_t first = (uint32_t)((block->start - k_heap.base) >> PG_SHIFT);
    return port_protect(first, (uint32_t)(block->bytes >> PG_SHIFT), absent);
}

// ---- the quarantine -----------------------------------------------------------------------------

// The place that waits for the block, or NULL. By the block's bounds, so that any address in it
// will do.
static struct checked_freed *quarantined(const struct heap_block *block) {
    for (uint32_t i = 0; i < CHECKED_QUARANTINE; i++) {
        struct checked_freed *freed = &checked_quarantine[i];
        if (freed->p >= block->start && freed->p - block->start < block->bytes) return freed;
    }
    return NULL;
}

static uint32_t frames_of_area(const struct heap_block *block) {
    return is_large(block) ? (uint32_t)(block->bytes >> PG_SHIFT) : 0;
}

// Room for a block? One that is larger than the share may wait alone.
static bool has_room(const struct heap_block *block) {
    const struct pool *pool = &k_heap.pool;
    uint32_t share = pool->usable / QUARANTINE_SHARE, least = pool->frames / QUARANTINE_SHARE;
    if (least > QUARANTINE_MIN) least = QUARANTINE_MIN;
    if (share < least) share = least;
    if (waiting == 0) return true;
    return waiting < CHECKED_QUARANTINE && frames_waiting + frames_of_area(block) <= share;
}

static bool quarantine_enter(const struct heap_block *block, const struct checked_record *record) {
    checked_state state = port_checked_lock();
    bool room = has_room(block);
    if (room) {
        uint32_t place = (oldest + waiting++) % CHECKED_QUARANTINE;
        bool absent = is_large(block) && block_protect(block, true);
        if (is_large(block) && !absent) memset((void *)record->p, CHECKED_POISON, record->size);
        checked_quarantine[place] =
            (struct checked_freed){record->p, *record, absent ? CHECKED_ABSENT : CHECKED_POISONED};
        frames_waiting += frames_of_area(block);
    }
    port_checked_unlock(state);
    return room;
}

// Takes the first place out of the ring.
static struct checked_freed ring_take(void) {
    struct checked_freed freed = checked_quarantine[oldest];
    checked_quarantine[oldest].p = 0;
    oldest = (oldest + 1) % CHECKED_QUARANTINE;
    waiting--;
    return freed;
}

// Takes the oldest block out of the ring, of those that can be mapped again now; false if there is
// none. The others go to the ring's end.
static bool take_oldest(struct heap_block *block, struct checked_freed *freed) {
    bool taken = false;
    checked_state state = port_checked_lock();
    for (uint32_t tries = waiting; tries > 0 && !taken; tries--) {
        *freed = ring_take();
        if (!heap_block_at(freed->p, block)) continue; // C2: never
        taken = freed->bytes != CHECKED_ABSENT || block_protect(block, false);
        if (taken) frames_waiting -= frames_of_area(block);
        else checked_quarantine[(oldest + waiting++) % CHECKED_QUARANTINE] = *freed;
    }
    port_checked_unlock(state);
    return taken;
}

// A fault is reported here and not by heap_free(): reports must not be printed under the lock.
static void give_to_heap(uintptr_t start, uintptr_t caller) {
    struct arena *arena;
    uint32_t number;
    checked_state state = port_checked_lock();
    enum heap_fault fault = heap_classify(&k_heap, start, &arena, &number);
    if (fault == HEAP_OK) heap_free(&k_heap, (void *)start, CALLER);
    port_checked_unlock(state);
    if (fault != HEAP_OK) port_report(&k_heap, fault, start, caller);
}

// The oldest block's time is up: checks that it is as it was left, and gives it to the heap.
static bool quarantine_leave(uintptr_t caller) {
    struct heap_block block;
    struct checked_freed freed;
    if (!take_oldest(&block, &freed)) return false;
    uintptr_t at = freed_damage(&block, &freed);
    if (at) port_report(&k_heap, HEAP_USE_AFTER_FREE, at, caller);
    give_to_heap(block.start, caller);
    return true;
}

// ---- allocation ---------------------------------------------------------------------------------

// Where the caller's bytes go: right after the record; under guard as close to the end as they
// can, so that what follows them faults.
static uintptr_t place_bytes(const struct heap_block *block, size_t alignment, size_t size) {
    uintptr_t mask = ~(uintptr_t)(alignment - 1);
    return guard ? (room_end(block) - size) & mask : (room_start(block) + alignment - 1) & mask;
}

// Bytes that the heap is asked for. Under guard more than any block has, so that it gives frames.
static size_t gross(size_t alignment, size_t size) {
    size_t bytes = CHECKED_MARGIN + alignment - BLOCK_ALIGN + size;
    if (!guard) return bytes;
    bytes += PG_SIZE;
    return bytes > k_heap.block_max ? bytes : k_heap.block_max + 1;
}

// A block with its record and its margin, or NULL. Both under one lock, so that a walk over
// the heap finds no block without them.
static void *take_once(size_t alignment, size_t size, uintptr_t caller) {
    size_t bytes = gross(alignment, size);
    struct heap_block block;
    uintptr_t p = 0;
    checked_state state = port_checked_lock();
    void *start = heap_malloc(&k_heap, bytes, CALLER);
    if (start && heap_block_at((uintptr_t)start, &block)) {
        p = place_bytes(&block, alignment, size);
        record_write(&block, (struct checked_record){p, size, caller, 0, port_thread(), 0, 0});
        memset((void *)room_start(&block), CHECKED_CANARY, p - room_start(&block));
        memset((void *)(p + size), CHECKED_CANARY, room_end(&block) - (p + size));
        uint32_t last = (uint32_t)((room_end(&block) - k_heap.base) >> PG_SHIFT);
        if (guard) port_protect(last, 1, true);
    }
    port_checked_unlock(state);
    return (void *)p;
}

// Memory in quarantine is the last that is taken.
static void *checked_take(size_t alignment, size_t size, uintptr_t caller) {
    if (port_in_interrupt()) {
        port_report(&k_heap, HEAP_FROM_INTERRUPT, 0, caller);
        return NULL;
    }
    if (size > SIZE_MAX - gross(alignment, 0)) return NULL;
    void *p = take_once(alignment, size, caller);
    while (!p && quarantine_leave(caller)) p = take_once(alignment, size, caller);
    return p;
}

static void *take_fresh(size_t alignment, size_t size, uintptr_t caller) {
    void *p = checked_take(alignment, size, caller);
    if (p) memset(p, CHECKED_FRESH, size);
    return p;
}

// ---- free ---------------------------------------------------------------------------------------

// What is wrong with p, in a block that is not live to memory.c: `fault` if p is what the block's
// last owner had, or what its first would get.
static enum heap_fault find_dead(uintptr_t p, const struct heap_block *block,
                                 enum heap_fault fault) {
    bool known = fault == HEAP_DOUBLE_FREE && record_sound(block);
    uintptr_t right = known ? record_of(block)->p : place_bytes(block, BLOCK_ALIGN, 1);
    return p == right ? fault : HEAP_INTERIOR_POINTER;
}

// What is wrong with p as the pointer of a living block; *block for HEAP_OK. Locked by its caller.
static enum heap_fault find_live(uintptr_t p, struct heap_block *block) {
    struct arena *arena;
    uint32_t number;
    if (!heap_block_at(p, block)) {
        enum heap_fault fault = heap_classify(&k_heap, p, &arena, &number);
        return fault == HEAP_OK ? HEAP_CORRUPT_ARENA : fault; // never HEAP_OK: no block is there
    }
    enum heap_fault fault = heap_classify(&k_heap, block->start, &arena, &number);
    if (fault != HEAP_OK) return find_dead(p, block, fault);
    if (is_large(block) || !record_sound(block)) {
        const struct checked_freed *freed = quarantined(block);
        if (freed) return freed->p == p ? HEAP_DOUBLE_FREE : HEAP_INTERIOR_POINTER;
    }
    const struct checked_record *record = record_of(block);
    if (!record_sound(block)) return HEAP_OK; // written over: what it was says nothing
    if (record->p != p) return HEAP_INTERIOR_POINTER;
    return record->freed ? HEAP_DOUBLE_FREE : HEAP_OK;
}

// What sys_free(p) finds: a fault, or in *damage the first byte of the margin that was written to.
// *size: as it was asked for, or what there is room for if that is not known.
static enum heap_fault examine(uintptr_t p, uintptr_t *damage, size_t *size) {
    struct heap_block block;
    *damage = 0;
    *size = 0;
    if (port_in_interrupt()) return HEAP_FROM_INTERRUPT;
    checked_state state = port_checked_lock();
    enum heap_fault fault = find_live(p, &block);
    if (fault == HEAP_OK) {
        *damage = margin_damage(&block);
        *size = record_sound(&block) ? record_of(&block)->size : room_end(&block) - p - !guard;
    }
    port_checked_unlock(state);
    return fault;
}

// As examine(), with the reports; false if p is refused.
static bool accept(uintptr_t p, uintptr_t caller, size_t *size) {
    uintptr_t damage;
    enum heap_fault fault = examine(p, &damage, size);
    if (fault != HEAP_OK) port_report(&k_heap, fault, p, caller);
    else if (damage) port_report(&k_heap, HEAP_OVERFLOW, damage, caller);
    return fault == HEAP_OK;
}

// Marks a living block as freed, by one thread of all that try. What was damaged is made good: it
// has been reported.
static enum heap_fault claim(uintptr_t p, size_t size, uintptr_t caller, struct heap_block *block,
                             struct checked_record *record) {
    checked_state state = port_checked_lock();
    enum heap_fault fault = find_live(p, block);
    if (fault == HEAP_OK) {
        bool sound = record_sound(block);
        *record = (struct checked_record){.p = p, .size = size};
        if (sound) *record = *record_of(block);
        record->freed = caller;
        record->freer = port_thread();
        record_write(block, *record);
        memset((void *)room_start(block), CHECKED_CANARY, p - room_start(block));
        memset((void *)(p + size), CHECKED_CANARY, room_end(block) - (p + size));
    }
    port_checked_unlock(state);
    return fault;
}

// Frees what accept() has let pass.
static void checked_give(uintptr_t p, size_t size, uintptr_t caller) {
    struct heap_block block;
    struct checked_record record;
    enum heap_fault fault = claim(p, size, caller, &block, &record);
    if (fault != HEAP_OK) { // another thread was faster
        port_report(&k_heap, fault, p, caller);
        return;
    }
    if (!is_large(&block)) memset((void *)p, CHECKED_POISON, size);
    while (!quarantine_enter(&block, &record)) {
        if (quarantine_leave(caller)) continue;
        give_to_heap(block.start, caller); // no room, and none to be had
        return;
    }
}

// ---- the calls, with the promises of memory.h ---------------------------------------------------

void *sys_malloc_for(size_t size, uintptr_t caller) {
    return size != 0 ? take_fresh(BLOCK_ALIGN, size, caller) : NULL;
}

void sys_free_for(void *p, uintptr_t caller) {
    size_t size;
    if (p && accept((uintptr_t)p, caller, &size)) checked_give((uintptr_t)p, size, caller);
}

void *sys_calloc_for(size_t count, size_t size, uintptr_t caller) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes == 0) return NULL;
    void *p = checked_take(BLOCK_ALIGN, bytes, caller);
    if (p) memset(p, 0, bytes);
    return p;
}

// From STAY_MIN bytes on an area may stay where it is if it grows or shrinks by less than an
// eighth: a program that makes it larger step by step would else copy all of it each time.
#define STAY_MIN 16384u
static bool resize_here(uintptr_t p, size_t from, size_t size, uintptr_t caller) {
    struct heap_block block;
    bool done = false;
    if (guard || from < STAY_MIN || size < from - from / 8 || size > from + from / 8) return false;
    checked_state state = port_checked_lock();
    if (find_live(p, &block) == HEAP_OK && is_large(&block) && record_sound(&block) &&
        heap_extend(&k_heap, block.start, p - block.start + size + 1)) {
        done = heap_block_at(block.start, &block);
        record_write(&block, (struct checked_record){p, size, caller, 0, port_thread(), 0, 0});
        memset((void *)room_start(&block), CHECKED_CANARY, p - room_start(&block));
        memset((void *)(p + size), CHECKED_CANARY, room_end(&block) - (p + size));
    }
    port_checked_unlock(state);
    if (done && size > from) memset((void *)(p + from), CHECKED_FRESH, size - from);
    return done;
}

// Else always another block: a pointer to the old one is found when it is used.
static void *resize(void *p, size_t size, uintptr_t caller) {
    size_t from;
    if (!accept((uintptr_t)p, caller, &from)) return NULL;
    if (resize_here((uintptr_t)p, from, size, caller)) return p;
    void *to = NULL;
    if (size != 0) {
        to = take_fresh(BLOCK_ALIGN, size, caller);
        if (!to) return NULL;
        memcpy(to, p, size < from ? size : from);
    }
    checked_give((uintptr_t)p, from, caller);
    return to;
}

void *sys_realloc_for(void *p, size_t size, uintptr_t caller) {
    return p ? resize(p, size, caller) : sys_malloc_for(size, caller);
}

void *sys_aligned_alloc_for(size_t alignment, size_t size, uintptr_t caller) {
    if (size == 0 || alignment == 0 || (alignment & (alignment - 1)) != 0) return NULL;
    return take_fresh(alignment > BLOCK_ALIGN ? alignment : BLOCK_ALIGN, size, caller);
}

void *sys_malloc(size_t size) { return sys_malloc_for(size, CALLER); }
void sys_free(void *p) { sys_free_for(p, CALLER); }
void *sys_calloc(size_t count, size_t size) { return sys_calloc_for(count, size, CALLER); }
void *sys_realloc(void *p, size_t size) { return sys_realloc_for(p, size, CALLER); }
void *sys_aligned_alloc(size_t alignment, size_t size) {
    return sys_aligned_alloc_for(alignment, size, CALLER);
}

// Exactly what was asked for: the bytes after it are the canary's.
size_t sys_usable_size(void *p) {
    size_t size;
    return p && accept((uintptr_t)p, CALLER, &size) ? size : 0;
}

uint32_t sys_trim(void) {
    bool more;
    do more = quarantine_leave(CALLER);
    while (more);
    checked_state state = port_checked_lock();
    uint32_t frames = heap_trim(&k_heap);
    port_checked_unlock(state);
    return frames;
}

// ---- what others ask ----------------------------------------------------------------------------

bool checked_facts(uintptr_t address, struct checked_record *out) {
    struct heap_block block;
    checked_state state = port_checked_lock();
    bool known = heap_block_at(address, &block);
    if (known) {
        const struct checked_freed *freed = quarantined(&block);
        if (freed) *out = freed->record;
        else if ((known = record_sound(&block))) *out = *record_of(&block);
    }
    port_checked_unlock(state);
    return known;
}

// C1 and C2 for one block that is live to memory.c.
static void check_block(const struct heap_block *block, void *argument) {
    checked_found *const *found = argument;
    const struct checked_freed *freed = quarantined(block);
    if (freed) {
        uintptr_t at = freed_damage(block, freed);
        if (at) (*found)("C2", "a freed block was written to", at);
    } else if (!record_sound(block) || !record_of(block)->freed) { // freed: on its way in or out
        uintptr_t at = margin_damage(block);
        if (at) (*found)("C1", "written before or after a block", at);
    }
}

void checked_check(checked_found *found) {
    checked_state state = port_checked_lock();
    heap_for_each(&k_heap, check_block, &found);
    for (uint32_t i = 0; i < waiting; i++) {
        uintptr_t p = checked_quarantine[(oldest + i) % CHECKED_QUARANTINE].p;
        struct heap_block block;
        if (!heap_block_at(p, &block)) found("C2", "in quarantine, but no block", p);
    }
    port_checked_unlock(state);
}

// Whatever the address was: only an area in quarantine, or a guarded block's last frame, is absent
// by this file's doing (C3).
bool checked_late_access(uintptr_t address, uintptr_t eip) {
    struct heap_block block;
    checked_state state = port_checked_lock();
    bool known = heap_block_at(address, &block) && is_large(&block);
    struct checked_freed *freed = known ? quarantined(&block) : NULL;
    bool late = freed && freed->bytes == CHECKED_ABSENT;
    bool again = late && block_protect(&block, false);
    if (again) freed->bytes = CHECKED_TOUCHED;
    port_checked_unlock(state);
    if (late) port_report_access(HEAP_USE_AFTER_FREE, address, eip);
    if (freed || !known || !guard || address < room_end(&block)) return again;
    port_report_access(HEAP_OVERFLOW, address, eip);
    return port_protect((uint32_t)((address - k_heap.base) >> PG_SHIFT), 1, false);
}
