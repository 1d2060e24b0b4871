// rtc.c - see rtc.h. Source: Motorola MC146818 data sheet; the PC/AT has it at ports 0x70 and 0x71.
//
// Register 0 holds the seconds. Only its changes are counted, so neither the format (BCD or
// binary) nor an update that is under way matters. Most rounds do not look at the clock: two port
// accesses more would make each of them three times as long.
#include "device/rtc.h"

#include "lib/x86.h"

#define INDEX 0x70
#define DATA 0x71
#define REG_SECONDS 0
#define LOOK_EVERY 1024u
#define POLLS_MAX 0x10000000u

static uint8_t seconds_read(void) {
    outb(INDEX, REG_SECONDS);
    return inb(DATA);
}

struct rtc_wait rtc_wait_begin(void) {
    return (struct rtc_wait){seconds_read(), 0, 0};
}

bool rtc_wait_over(struct rtc_wait *wait, uint32_t seconds) {
    if (++wait->polls % LOOK_EVERY != 0) return false;
    uint8_t now = seconds_read();
    if (now != wait->second) wait->changes++;
    wait->second = now;
    return wait->changes > seconds || wait->polls >= POLLS_MAX;
}
