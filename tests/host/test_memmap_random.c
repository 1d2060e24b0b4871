// test_memmap_random.c - the fuzzer's oracles (tests/fuzz/fuzz_memmap.c) on random input, where
// there is no libFuzzer. The same inputs in every run: a failure can be stepped through.
//
// What only it can find: what the fuzzer finds, on systems that have no libFuzzer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define INPUTS 1500    // for each reading: a few seconds in all
#define INPUT_MAX 1280 // bytes: MAP_MAX entries and some ranges to reserve

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

// G. Marsaglia's xorshift with 64 bits of state (Xorshift RNGs, 2003).
static uint64_t random_state;

static uint64_t random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

// Few entries in most inputs: with many, reserved ones soon cover everything.
static void random_inputs_agree(void **state) {
    uint8_t reading = (uint8_t)(uintptr_t)*state;
    static uint8_t input[INPUT_MAX];
    random_state = 0x9e3779b97f4a7c15u + reading;
    for (int i = 0; i < INPUTS; i++) {
        for (size_t at = 0; at < INPUT_MAX; at++) input[at] = (uint8_t)(random_next() >> 32);
        input[0] = reading;
        if (i % 8 != 0) input[reading < 3 ? 2 : 1] %= 12;
        assert_int_equal(LLVMFuzzerTestOneInput(input, INPUT_MAX), 0);
    }
}

static const struct CMUnitTest tests[] = {
    {"random maps, cells of 1 byte", random_inputs_agree, NULL, NULL, (void *)0},
    {"random maps, cells of 64 bytes", random_inputs_agree, NULL, NULL, (void *)1},
    {"random maps, cells of 1024 bytes", random_inputs_agree, NULL, NULL, (void *)2},
    {"random maps of any numbers", random_inputs_agree, NULL, NULL, (void *)3},
};

int main(void) { return cmocka_run_group_tests(tests, NULL, NULL); }
