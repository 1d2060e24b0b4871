// rtc.h - seconds of the PC's clock, for waits that must end: a number of polls says little of time
// where an emulator waits for its host.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// A wait under way.
struct rtc_wait {
    uint8_t second; // as the clock showed it last
    uint32_t changes, polls;
};

struct rtc_wait rtc_wait_begin(void);
// To be called in each round of a loop that polls a port: true once more than `seconds` have
// passed, or, where the clock stands still, after some hundred million rounds. Any context.
bool rtc_wait_over(struct rtc_wait *wait, uint32_t seconds);
