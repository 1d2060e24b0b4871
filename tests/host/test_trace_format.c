// test_trace_format.c - kernel/measure/trace_format.c: the header, every operation, every fault
// with its words.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/measure/trace_format.h"

#define TEST(name) static void name(void **state __attribute__((unused)))

#define SLOTS 8

static struct trace trace;
static uint32_t live[SLOTS];
static uint8_t header[TRACE_HEADER_BYTES];

// The header's bytes one by one: the format is little-endian whatever this machine is.
static void put32(uint8_t *at, uint64_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * i);
}

static void header_make(uint32_t operations, uint32_t slots, uint64_t peak) {
    memset(header, 0, sizeof header);
    memcpy(header, "MTRACE1", 7);
    put32(header + 8, operations);
    put32(header + 12, slots);
    put32(header + 16, peak);
    put32(header + 20, peak >> 32);
}

static void start(void) {
    header_make(100, SLOTS, 0);
    assert_true(trace_open(&trace, header, 32 + 8 * 100));
    memset(live, 0xa5, sizeof live);
    trace_start(&trace, live);
}

static bool step(enum trace_kind kind, uint32_t slot, uint32_t size) {
    return trace_check(&trace, (struct trace_operation){kind, slot, size});
}

// The operation is refused in these words, and nothing is counted.
static void refused(enum trace_kind kind, uint32_t slot, uint32_t size, const char *why) {
    struct trace before = trace;
    uint32_t live_before[SLOTS];
    memcpy(live_before, live, sizeof live);
    assert_false(step(kind, slot, size));
    assert_string_equal(trace.fault, why);
    assert_memory_equal(live, live_before, sizeof live);
    assert_int_equal(trace.done, before.done);
    assert_int_equal(trace.live_count, before.live_count);
    assert_int_equal(trace.live_bytes, before.live_bytes);
    assert_int_equal(trace.live_peak, before.live_peak);
}

static void expect_closed(uint64_t bytes, const char *why) {
    memset(&trace, 0xa5, sizeof trace);
    assert_false(trace_open(&trace, header, bytes));
    assert_string_equal(trace.fault, why);
}

TEST(a_header_is_read) {
    header_make(3, 7, 0x123456789abcdefull);
    assert_true(trace_open(&trace, header, 32 + 8 * 3));
    assert_int_equal(trace.operations, 3);
    assert_int_equal(trace.slots, 7);
    assert_int_equal(trace.peak, 0x123456789abcdefull);
    assert_int_equal(trace_bytes(&trace), 56);
    assert_true(trace_open(&trace, header, 512)); // a disk is longer: sectors
}

TEST(a_trace_of_nothing_is_one) {
    header_make(0, 0, 0);
    assert_true(trace_open(&trace, header, 32));
    trace_start(&trace, live);
    assert_int_equal(trace_bytes(&trace), 32);
    assert_int_equal(trace.live_peak, 0);
}

TEST(other_files_are_no_traces) {
    static const char *const starts[] = {"MTRACE2", "mtrace1", "\xfd\x37zXZ", "", "MTRACE1 "};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        header_make(0, 0, 0);
        memset(header, 0, 8);
        memcpy(header, starts[i], strlen(starts[i]));
        expect_closed(512, "not a trace: it does not start with MTRACE1");
    }
    header_make(0, 0, 0);
    header[7] = 1; // the NUL belongs to the magic
    expect_closed(512, "not a trace: it does not start with MTRACE1");
}

TEST(the_reserved_word_must_be_0) {
    for (int byte = 24; byte < 32; byte++) {
        header_make(0, 0, 0);
        header[byte] = 1;
        expect_closed(512, "not a trace of this version: the header's last word is not 0");
    }
}

TEST(a_cut_off_trace_is_named_with_figures) {
    header_make(100, SLOTS, 0);
    expect_closed(0, "cut off inside the header");
    expect_closed(31, "cut off inside the header");
    expect_closed(32, "cut off: 100 operations make 832 bytes, and there are 32");
    expect_closed(831, "cut off: 100 operations make 832 bytes, and there are 831");
    assert_true(trace_open(&trace, header, 832));
    header_make(UINT32_MAX, SLOTS, 0); // more than 32 bits of bytes
    expect_closed(56, "cut off: 4294967295 operations make 34359738392 bytes, and there are 56");
    assert_true(trace_open(&trace, header, 34359738392ull));
}

TEST(an_operation_is_split) {
    static const uint32_t raw[4][2] = {
        {0x00000005, 1}, {0x7fffffff, 0}, {0x80000000, UINT32_MAX}, {0xc0000001, 9}};
    static const struct trace_operation wanted[4] = {{TRACE_MALLOC, 5, 1},
                                                     {TRACE_FREE, 0x3fffffff, 0},
                                                     {TRACE_REALLOC, 0, UINT32_MAX},
                                                     {TRACE_CALLOC, 1, 9}};
    for (int i = 0; i < 4; i++) {
        struct trace_operation got = trace_decode(raw[i]);
        assert_int_equal(got.kind, wanted[i].kind);
        assert_int_equal(got.slot, wanted[i].slot);
        assert_int_equal(got.size, wanted[i].size);
    }
}

TEST(live_bytes_and_their_peak_are_counted) {
    start();
    assert_true(step(TRACE_MALLOC, 0, 100));
    assert_true(step(TRACE_CALLOC, 7, 50));
    assert_int_equal(trace.live_bytes, 150);
    assert_int_equal(trace.live_count, 2);
    assert_true(step(TRACE_REALLOC, 0, 10));
    assert_int_equal(trace.live_bytes, 60);
    assert_int_equal(trace.live_peak, 150);
    assert_true(step(TRACE_REALLOC, 0, 1000));
    assert_int_equal(trace.live_peak, 1050);
    assert_true(step(TRACE_FREE, 7, 0));
    assert_true(step(TRACE_FREE, 0, 0));
    assert_int_equal(trace.live_bytes, 0);
    assert_int_equal(trace.live_count, 0);
    assert_int_equal(trace.live_peak, 1050);
    assert_true(step(TRACE_MALLOC, 7, 1)); // a slot is used again
    assert_int_equal(trace.done, 7);
}

TEST(the_sum_of_live_bytes_has_64_bits) {
    start();
    for (uint32_t slot = 0; slot < SLOTS; slot++) assert_true(step(TRACE_MALLOC, slot, UINT32_MAX));
    assert_int_equal(trace.live_peak, 8ull * UINT32_MAX);
}

TEST(slots_are_below_their_number) {
    start();
    refused(TRACE_MALLOC, 8, 1, "operation 0: slot 8 is not below the header's number of slots");
    assert_true(step(TRACE_MALLOC, 7, 1));
    refused(TRACE_FREE, 0x3fffffff, 0,
            "operation 1: slot 1073741823 is not below the header's number of slots");
}

TEST(sizes_are_as_the_kind_wants_them) {
    start();
    refused(TRACE_MALLOC, 0, 0, "operation 0: malloc of 0 bytes");
    refused(TRACE_CALLOC, 0, 0, "operation 0: calloc of 0 bytes");
    assert_true(step(TRACE_MALLOC, 0, 1));
    refused(TRACE_REALLOC, 0, 0, "operation 1: realloc of 0 bytes");
    refused(TRACE_FREE, 0, 16, "operation 1: a free with a size of 16 (it has none: 0)");
    assert_true(step(TRACE_FREE, 0, 0));
}

TEST(slots_are_live_or_empty_as_the_kind_wants_them) {
    start();
    refused(TRACE_FREE, 3, 0, "operation 0: free of slot 3 which is empty");
    refused(TRACE_REALLOC, 3, 9, "operation 0: realloc of slot 3 which is empty");
    assert_true(step(TRACE_MALLOC, 3, 9));
    refused(TRACE_MALLOC, 3, 9, "operation 1: malloc into slot 3 which is live");
    refused(TRACE_CALLOC, 3, 9, "operation 1: calloc into slot 3 which is live");
    assert_true(step(TRACE_FREE, 3, 0));
    refused(TRACE_FREE, 3, 0, "operation 2: free of slot 3 which is empty");
}

// Any bits at all: no crash (the sanitizers look), counts that agree with a sum over the slots, and
// a message that ends where it must.
TEST(random_operations_are_safe) {
    start();
    srand(22);
    for (int round = 0; round < 200000; round++) {
        uint32_t raw[2] = {(uint32_t)rand() << 30 | (uint32_t)rand() % (SLOTS + 1),
                           rand() % 2 ? 0 : (uint32_t)rand() % 1000};
        bool good = trace_check(&trace, trace_decode(raw));
        uint64_t bytes = 0;
        uint32_t count = 0;
        for (int i = 0; i < SLOTS; i++) {
            bytes += live[i];
            count += live[i] != 0;
        }
        assert_true(trace.live_bytes == bytes && trace.live_count == count);
        assert_true(trace.live_peak >= bytes);
        if (!good) assert_in_range(strnlen(trace.fault, TRACE_FAULT_BYTES), 1, 127);
    }
    assert_true(trace.done > 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_read),
        cmocka_unit_test(a_trace_of_nothing_is_one),
        cmocka_unit_test(other_files_are_no_traces),
        cmocka_unit_test(the_reserved_word_must_be_0),
        cmocka_unit_test(a_cut_off_trace_is_named_with_figures),
        cmocka_unit_test(an_operation_is_split),
        cmocka_unit_test(live_bytes_and_their_peak_are_counted),
        cmocka_unit_test(the_sum_of_live_bytes_has_64_bits),
        cmocka_unit_test(slots_are_below_their_number),
        cmocka_unit_test(sizes_are_as_the_kind_wants_them),
        cmocka_unit_test(slots_are_live_or_empty_as_the_kind_wants_them),
        cmocka_unit_test(random_operations_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
