// nextboot.c - see nextboot.h.
//
// The clock's memory (MC146818, reached through two ports) keeps what is in it while there is a
// battery, or while the emulator runs: a reset leaves it alone. Firmware uses the bytes up to 0x5f;
// ours are the last 32, with a mark and a sum, so that other contents are not taken for options.
//
//     0x60 mark   0x61 length   0x62 .. 0x7c text   0x7d .. 0x7e sum
//
// Interrupts stay off between index and data: the firmware is the only other user, and it is gone.
#include "kernel/prompt/nextboot.h"

#include <stdint.h>

#include "kernel/power.h"
#include "lib/string.h"
#include "kernel/spinlock.h"
#include "lib/x86.h"

#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define AT_MARK 0x60
#define AT_LENGTH 0x61
#define AT_TEXT 0x62
#define AT_SUM 0x7d
#define MARK 0x47

_Static_assert(AT_TEXT + NEXTBOOT_MAX <= AT_SUM, "the text fits before its sum");

static uint8_t cmos_read(uint8_t at) {
    uint32_t state = spin_save(&kernel_lock);
    outb(CMOS_INDEX, at);
    uint8_t value = inb(CMOS_DATA);
    spin_restore(&kernel_lock, state);
    return value;
}

static void cmos_write(uint8_t at, uint8_t value) {
    uint32_t state = spin_save(&kernel_lock);
    outb(CMOS_INDEX, at);
    outb(CMOS_DATA, value);
    spin_restore(&kernel_lock, state);
}

static uint16_t sum_of(const char *text, size_t length) {
    uint16_t sum = (uint16_t)(0x1234 + length);
    for (size_t i = 0; i < length; i++) sum = (uint16_t)(sum * 31 + (uint8_t)text[i]);
    return sum;
}

void nextboot_start(const char *options) {
    size_t length = strlen(options);
    if (length > NEXTBOOT_MAX) return;
    uint16_t sum = sum_of(options, length);
    for (size_t i = 0; i < length; i++) cmos_write((uint8_t)(AT_TEXT + i), (uint8_t)options[i]);
    cmos_write(AT_LENGTH, (uint8_t)length);
    cmos_write(AT_SUM, (uint8_t)sum);
    cmos_write(AT_SUM + 1, (uint8_t)(sum >> 8));
    cmos_write(AT_MARK, MARK);
    power_reboot();
}

bool nextboot_take(char *to, size_t room) {
    size_t length = cmos_read(AT_LENGTH);
    if (cmos_read(AT_MARK) != MARK || length > NEXTBOOT_MAX || length >= room) return false;
    for (size_t i = 0; i < length; i++) to[i] = (char)cmos_read((uint8_t)(AT_TEXT + i));
    to[length] = '\0';
    cmos_write(AT_MARK, 0);
    uint16_t sum = (uint16_t)(cmos_read(AT_SUM) | cmos_read(AT_SUM + 1) << 8);
    return sum == sum_of(to, length);
}
