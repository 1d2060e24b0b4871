// operation.c - see operation.h.
#include "kernel/measure/operation.h"

#include <stddef.h>

#include "kernel/memory.h"
#include "kernel/processor.h"
#include "lib/string.h"
#include "lib/x86.h"

// ---- marks at both ends of every block ----------------------------------------------------------

#define MARK_BYTES 8u

// Differs from slot to slot, from size to size and from place to place, so that a block that lies
// over another, or a copy that is shifted, shows. The two constants are odd, large and mixed.
static uint8_t marks_byte(uint32_t slot, uint32_t size, uint32_t place) {
    return (uint8_t)((slot * 2654435761u ^ size * 2246822519u) >> 24 ^ place * 37u);
}

// A block's first and last MARK_BYTES, all of a block that has no more than two times that.
static bool marked(uint32_t size, uint32_t place) {
    return place < MARK_BYTES || place + MARK_BYTES >= size;
}

// The next place after `place` that is marked, or one past the block.
static uint32_t next_mark(uint32_t size, uint32_t place) {
    return marked(size, place + 1) ? place + 1 : size - MARK_BYTES;
}

// After each call that gave the slot a block, or another size.
static void marks_write(const struct slot *slots, uint32_t slot) {
    uint32_t size = slots[slot].size;
    for (uint32_t i = 0; i < size; i = next_mark(size, i)) {
        slots[slot].p[i] = marks_byte(slot, size, i);
    }
}

// What is left of a block's marks, now at `p`, when only its first `kept` bytes still count.
static bool marks_good(const struct slot *slots, uint32_t slot, const uint8_t *p, uint32_t kept) {
    uint32_t size = slots[slot].size;
    for (uint32_t i = 0; i < kept; i = next_mark(size, i)) {
        if (p[i] != marks_byte(slot, size, i)) return false;
    }
    return true;
}

// Every byte, not only the ends: what calloc promises.
static bool all_zero(const uint8_t *p, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        if (p[i] != 0) return false;
    }
    return true;
}

// ---- a call and its cost ------------------------------------------------------------------------
//
// One function for each call, never inlined, so that nothing but the call and its argument is
// between the two readings, the same each time. The low half of the counter is enough: a call of
// 2^32 instructions would show in other ways.

static PER_PROCESSOR uint32_t reading; // what the readings alone cost

// The two readings, and the one instruction that keeps the first, as in each function below.
static __attribute__((noinline)) uint32_t nothing_timed(void) {
    uint32_t start = rdtsc_low();
    return rdtsc_low() - start;
}

// The mean of many, rounded: on a real processor the first is slower, and where processors go in
// step the counter does, too.
void operation_calibrate(void) {
    uint32_t sum = 0;
    for (int i = 0; i < 1000; i++) sum += nothing_timed();
    reading = (sum + 500) / 1000;
}

// Neither a coarse counter (v86's is a clock) nor a heap that clears or copies less than is assumed
// here must make a cost come out below nothing.
static uint32_t less(uint32_t cost, uint32_t part) { return cost > part ? cost - part : 0; }

static inline __attribute__((always_inline)) uint32_t ticks_since(uint32_t start) {
    uint32_t ticks = rdtsc_low() - start;
    return less(ticks, reading);
}

static __attribute__((noinline)) void *malloc_timed(uint32_t size, uint32_t *cost) {
    uint32_t start = rdtsc_low();
    void *p = sys_malloc(size);
    *cost = ticks_since(start);
    return p;
}

static __attribute__((noinline)) void free_timed(void *p, uint32_t *cost) {
    uint32_t start = rdtsc_low();
    sys_free(p);
    *cost = ticks_since(start);
}

static __attribute__((noinline)) void *realloc_timed(void *p, uint32_t size, uint32_t *cost) {
    uint32_t start = rdtsc_low();
    void *to = sys_realloc(p, size);
    *cost = ticks_since(start);
    return to;
}

// One element of `size` bytes: the trace knows only the product.
static __attribute__((noinline)) void *calloc_timed(uint32_t size, uint32_t *cost) {
    uint32_t start = rdtsc_low();
    void *p = sys_calloc(1, size);
    *cost = ticks_since(start);
    return p;
}

// Of a block that is all zero: calloc has just cleared it, with the same call.
static __attribute__((noinline)) uint32_t clearing_cost(void *p, uint32_t bytes) {
    uint32_t start = rdtsc_low();
    memset(p, 0, bytes);
    return ticks_since(start);
}

// Of a block onto itself, which leaves it as it is: there may be no other place of that size. The
// pointer keeps the compiler from knowing that.
static __attribute__((noinline)) uint32_t copying_cost(void *p, uint32_t bytes) {
    void *(*volatile copy_pointer)(void *, const void *, size_t) = memcpy;
    void *(*copy)(void *, const void *, size_t) = copy_pointer;
    uint32_t start = rdtsc_low();
    copy(p, p, bytes);
    return ticks_since(start);
}

// ---- an operation -------------------------------------------------------------------------------

// A slot gets what a call returned: p of `size` bytes, or NULL and stays as it was.
static void slot_set(struct slot *slots, uint32_t slot, uint8_t *p, uint32_t size) {
    if (!p) return;
    slots[slot] = (struct slot){p, size};
    marks_write(slots, slot);
}

// The check for zero comes before clearing_cost(), which would hide what was not.
static void do_calloc(struct operation_result *result, uint32_t size, bool counted) {
    result->p = calloc_timed(size, &result->cost);
    if (!result->p) return;
    result->whole = all_zero(result->p, size);
    if (counted) result->cost = less(result->cost, clearing_cost(result->p, size));
}

// Marks are looked at before the call: afterwards the bytes are the heap's.
static void do_free(struct operation_result *result, struct slot *slots, uint32_t slot) {
    uint8_t *p = slots[slot].p;
    result->whole = !p || marks_good(slots, slot, p, slots[slot].size);
    free_timed(p, &result->cost);
    slots[slot] = (struct slot){NULL, 0};
}

// A block that moved was copied as far as the old one's room and the new size both go. Its old
// contents must be at the start of the new one, as far as both go.
static void do_realloc(struct operation_result *result, const struct slot *slots,
                       struct trace_operation operation, bool counted) {
    uint32_t size = operation.size, kept = slots[operation.slot].size;
    uint8_t *p = slots[operation.slot].p;
    size_t room = counted ? sys_usable_size(p) : 0;
    uint8_t *to = realloc_timed(p, size, &result->cost);
    if (to && to != p && room > 0)
        result->cost = less(result->cost, copying_cost(to, size < room ? size : room));
    if (kept > size) kept = size;
    result->whole = !to || !p || marks_good(slots, operation.slot, to, kept);
    result->p = to;
}

struct operation_result operation_run(struct slot *slots, struct trace_operation operation,
                                      bool counted) {
    struct operation_result result = {.whole = true};
    switch (operation.kind) {
    case TRACE_MALLOC: result.p = malloc_timed(operation.size, &result.cost); break;
    case TRACE_FREE: do_free(&result, slots, operation.slot); break;
    case TRACE_REALLOC: do_realloc(&result, slots, operation, counted); break;
    case TRACE_CALLOC: do_calloc(&result, operation.size, counted); break;
    }
    slot_set(slots, operation.slot, result.p, operation.size);
    return result;
}

bool operation_end(struct slot *slots, uint32_t slot) {
    uint8_t *p = slots[slot].p;
    bool whole = !p || marks_good(slots, slot, p, slots[slot].size);
    sys_free(p);
    return whole;
}
