// fuzz.h - what the fuzz targets share. Each is one file with a LLVMFuzzerTestOneInput(), which
// libFuzzer (make fuzz) and AFL++ (make fuzz-afl) call with bytes of their choice: any input is a
// good one, and a wrong answer ends the program with a message.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define REQUIRE(condition)                                                                 \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

// An input, read from front to back; past its end it is all zeros.
struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint32_t take(struct input *in, unsigned bytes) {
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes && in->left > 0; i++, in->left--) {
        value |= (uint32_t)*in->at++ << (8 * i);
    }
    return value;
}
