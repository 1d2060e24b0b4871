// test_checked_random.c - long random runs of the checked build's calls, with faults planted at
// random.
//
// What only it can find: a byte that the checked build does not look at, or looks at and forgets,
// among all offsets, sizes and ages of a block.
//
// Two halves. Without a fault: blocks are filled to their last byte, freed, tried again; no check
// may complain. With faults: now and then a byte after a block or in a freed one is changed, and
// must be reported, that byte and no other, before the run's end. Large areas in quarantine must be
// unreadable, all others readable: the shadow of port_protect() says so.
//
// The same numbers in every run: what fails once fails again.
#include "tests/host/heap_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "kernel/checked/checked.h"
#include "kernel/inspect/heapcheck.h"

#define FRAMES 64u
#define SLOTS 100
#define STEPS 30000

// ---- the port -----------------------------------------------------------------------------------

static unsigned checked_depth;

checked_state port_checked_lock(void) { return checked_depth++; }
void port_checked_unlock(checked_state state) {
    assert_true(checked_depth > 0 && state == checked_depth - 1); // innermost first
    checked_depth--;
}

uint32_t port_thread(void) { return 7; }

static bool absent_now[FRAMES];
static bool refusing; // now and then: a system whose table of mappings is full at times
static size_t random_below(size_t limit);

bool port_protect(uint32_t first, uint32_t count, bool absent) {
    assert_true(first < FRAMES && count <= FRAMES - first);
    if (refusing && random_below(3) == 0) return false;
    memset(absent_now + first, absent, count * sizeof absent_now[0]);
    int how = absent ? PROT_NONE : PROT_READ | PROT_WRITE;
    assert_int_equal(
        mprotect((void *)(host_heap_base + (size_t)first * PG_SIZE), (size_t)count * PG_SIZE, how),
        0);
    return true;
}

void port_report_access(enum heap_fault fault, uintptr_t pointer, uintptr_t eip) {
    port_report(&k_heap, fault, pointer, eip);
}

char *port_caller_text(char *to, size_t room, uintptr_t caller) {
    snprintf(to, room, "%#zx", (size_t)caller);
    return to;
}

char *port_thread_text(char *to, size_t room, uint32_t thread) {
    snprintf(to, room, "thread %u", thread);
    return to;
}

// ---- the run ------------------------------------------------------------------------------------

static struct {
    unsigned char *p;
    size_t size;
    unsigned char tag;
} slot[SLOTS];

static uint64_t random_state;
static unsigned planted, found, nulls;

static size_t random_below(size_t limit) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state >> 11) % limit;
}

static size_t random_size(void) {
    static const size_t edges[] = {1, 16, 24, 40, 41, 100, 1000, 1024, 4056, 4096, 4097, 9000};
    if (random_below(4) == 0) return edges[random_below(sizeof edges / sizeof edges[0])];
    return 1 + random_below((size_t)2 << random_below(14));
}

// A report that a planted fault must give, now.
static void expect(enum heap_fault fault, const unsigned char *at) {
    struct host_report report = host_report_take();
    assert_int_equal(report.fault, fault);
    assert_ptr_equal((void *)report.pointer, at);
    found++;
}

static void expect_none(void) { assert_int_equal(host_report_take().fault, HEAP_OK); }

static void fill(size_t i) {
    slot[i].tag = (unsigned char)random_below(256);
    memset(slot[i].p, slot[i].tag, slot[i].size);
}

static void assert_filled(size_t i, size_t bytes) {
    for (size_t at = 0; at < bytes; at++) assert_int_equal(slot[i].p[at], slot[i].tag);
}

// No call fails for want of memory while some waits in quarantine.
static void assert_quarantine_empty(void) {
    for (size_t i = 0; i < CHECKED_QUARANTINE && !refusing; i++) {
        assert_int_equal(checked_quarantine[i].p, 0);
    }
    nulls++;
}

static void allocate(size_t i) {
    slot[i].size = random_size();
    size_t alignment = random_below(8) == 0 ? (size_t)16 << random_below(10) : 16;
    bool cleared = random_below(4) == 0;
    slot[i].p = cleared           ? sys_calloc(1, slot[i].size)
                : alignment == 16 ? sys_malloc(slot[i].size)
                                  : sys_aligned_alloc(alignment, slot[i].size);
    expect_none();
    if (!slot[i].p) return assert_quarantine_empty();
    assert_int_equal((uintptr_t)slot[i].p % (cleared ? 16 : alignment), 0);
    assert_int_equal(sys_usable_size(slot[i].p), slot[i].size);
    for (size_t at = 0; cleared && at < slot[i].size; at++) assert_int_equal(slot[i].p[at], 0);
    fill(i);
}

static void reallocate(size_t i) {
    size_t size = random_size();
    unsigned char *to = sys_realloc(slot[i].p, size);
    expect_none();
    if (!to) return assert_quarantine_empty(); // no memory: the old one is whole
    size_t kept = size < slot[i].size ? size : slot[i].size;
    slot[i].p = to;
    assert_filled(i, kept);
    slot[i].size = size;
    fill(i);
}

// Now and then a fault: the byte after the end, or a few bytes further on; a byte of the freed
// block, if it can be written to at all.
static void release(size_t i, bool faults) {
    unsigned char *p = slot[i].p, *at = p + slot[i].size;
    assert_filled(i, slot[i].size);
    bool overflow = faults && random_below(50) == 0;
    if (overflow) {
        *at ^= 0x80;
        planted++;
    }
    sys_free(p);
    if (overflow) expect(HEAP_OVERFLOW, at);
    expect_none();
    slot[i].p = NULL;
    if (random_below(8) == 0) { // again
        sys_free(p);
        enum heap_fault fault = host_report_take().fault;
        assert_true(fault == HEAP_DOUBLE_FREE || fault == HEAP_NOT_ALLOCATED ||
                    fault == HEAP_INTERIOR_POINTER);
    }
    bool unmapped = absent_now[((uintptr_t)p - host_heap_base) / PG_SIZE];
    if (!faults || unmapped || random_below(50) != 0) return;
    struct checked_record record;
    if (!checked_facts((uintptr_t)p, &record) || record.freed == 0)
        return; // memory was short: gone
    at = p + random_below(slot[i].size);
    *at ^= 0x01;
    planted++;
    bool before = refusing;
    refusing = false;
    sys_trim();
    refusing = before;
    expect(HEAP_USE_AFTER_FREE, at);
}

// C3, from outside: what faults is in quarantine.
static void check_absent(void) {
    for (uint32_t frame = 0; frame < FRAMES; frame++) {
        struct checked_record record;
        if (!absent_now[frame]) continue;
        assert_true(checked_facts(host_heap_base + (size_t)frame * PG_SIZE, &record));
        assert_true(record.freed != 0);
    }
}

static void run(bool faults, uint64_t seed) {
    random_state = seed;
    planted = found = 0;
    memset(slot, 0, sizeof slot);
    memset(absent_now, 0, sizeof absent_now);
    host_heap_start(FRAMES);
    for (unsigned step = 0; step < STEPS; step++) {
        size_t i = random_below(SLOTS);
        if (!slot[i].p) allocate(i);
        else if (random_below(4) == 0) reallocate(i);
        else release(i, faults);
        if (step % 1000 == 0) {
            assert_int_equal(heap_check(), 0);
            check_absent();
        }
    }
    for (size_t i = 0; i < SLOTS; i++) {
        if (slot[i].p) release(i, faults);
    }
    refusing = false;
    sys_trim();
    check_absent();
    assert_int_equal(frames_free(POOL_KERNEL), FRAMES);
    assert_int_equal(checked_depth, 0);
    assert_int_equal(found, planted);
    host_heap_end();
}

static void no_fault_no_report(void **state) {
    (void)state;
    run(false, 0x9e3779b97f4a7c15u);
    assert_true(nulls > 0); // the heap was full at times
    assert_int_equal(planted, 0);
}

static void every_planted_fault_is_found(void **state) {
    (void)state;
    run(true, 0x2545f4914f6cdd1du);
    assert_true(planted > 200);
}

// What cannot be unmapped is poisoned, and what cannot be mapped again waits longer.
static void a_port_that_cannot_always_protect(void **state) {
    (void)state;
    refusing = true;
    run(true, 0xda942042e4dd58b5u);
    assert_true(planted > 200);
}

// Each of the bytes before a block, up to the record: there is no padding that is not looked at.
static void every_byte_before_a_block_is_canary(void **state) {
    (void)state;
    host_heap_start(FRAMES);
    for (size_t back = 1; back <= sizeof(struct checked_record); back++) {
        for (size_t size = 1; size <= 70000; size = size * 37 + 3) {
            unsigned char *p = sys_malloc(size);
            assert_non_null(p);
            p[-(ptrdiff_t)back] ^= 0x41;
            sys_free(p);
            struct host_report report = host_report_take();
            assert_int_equal(report.fault, HEAP_OVERFLOW);
            assert_true(report.pointer <= (uintptr_t)p - back);
            assert_true(back > 4 || report.pointer == (uintptr_t)p - back);
        }
    }
    sys_trim();
    host_heap_end();
}

// An area that grows step by step stays, with its margin; one that grows by more moves.
static void a_large_area_grows_where_it_is(void **state) {
    (void)state;
    host_heap_start(FRAMES);
    unsigned char *p = sys_malloc(70000);
    assert_non_null(p);
    memset(p, 1, 70000);
    size_t size = 70000;
    for (; size < 120000; size += 1000) {
        assert_ptr_equal(sys_realloc(p, size), p);
        assert_int_equal(sys_usable_size(p), size);
        for (size_t at = size < 71000 ? size : size - 1000; at < size; at++) {
            assert_int_equal(p[at], CHECKED_FRESH);
        }
    }
    size -= 1000;
    assert_int_equal(heap_check(), 0);
    p[size] ^= 1; // the margin has come along
    assert_int_equal(heap_check(), 1);
    p[size] ^= 1;
    unsigned char *q = sys_realloc(p, 70000);
    assert_ptr_not_equal(p, q);
    for (size_t at = 0; at < 70000; at++) assert_int_equal(q[at], 1);
    sys_free(p);
    assert_int_equal(host_report_take().fault, HEAP_DOUBLE_FREE);
    sys_free(q);
    sys_trim();
    host_heap_end();
}

// heap_check() names damage in blocks that have not been freed yet: the byte, and what it belongs
// to.
static void heap_check_finds_both_kinds(void **state) {
    (void)state;
    host_heap_start(64);
    unsigned char *p = sys_malloc(24), *q = sys_malloc(24);
    p[24] ^= 1;
    assert_int_equal(heap_check(), 1);
    assert_non_null(strstr(host_printed(), "C1 broken: written before or after a block"));
    assert_non_null(strstr(host_printed(), "byte 72 of block 0 of the 128-byte arena"));
    p[24] ^= 1;
    sys_free(q);
    q[3] ^= 1;
    assert_int_equal(heap_check(), 1);
    assert_non_null(strstr(host_printed(), "C2 broken: a freed block was written to"));
    assert_non_null(strstr(host_printed(), "in quarantine, 24 bytes from 0x"));
    q[3] ^= 1;
    sys_free(p);
    sys_trim();
    host_heap_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_fault_no_report),
        cmocka_unit_test(every_planted_fault_is_found),
        cmocka_unit_test(a_port_that_cannot_always_protect),
        cmocka_unit_test(every_byte_before_a_block_is_canary),
        cmocka_unit_test(a_large_area_grows_where_it_is),
        cmocka_unit_test(heap_check_finds_both_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
