// ata.c - see ata.h. Source: ATA/ATAPI-6 (T13 1410D), chapters 7 (registers), 8.15 (IDENTIFY
// DEVICE), 8.34 (READ SECTORS).
//
// Every sector is waited for and checked by itself: DRQ says that this one is in the drive's
// buffer, ERR and DF that it will not come. Asking once for many sectors reads zeros on a drive
// that is not ready for the second.
//
// Why polling and not the drive's interrupt: a sector comes from an emulator's or a disk's cache in
// less time than two switches of threads take, and it works before there are threads and handlers.
// The drive is told to raise no interrupt (nIEN), so IRQ 14 stays masked.
//
// The registers are shared: a command's address is written into the same ports for both drives, and
// DEVICE says whom it is for. The way of a command (ATA/ATAPI-6, 9.5, PIO data-in):
//
//   DEVICE, 400 ns  ->  BSY clear  ->  COUNT, LBA  ->  COMMAND, 400 ns
//        for each sector:  BSY clear and DRQ set  ->  256 words from DATA
//
// Invariants:
//   D1  The ports are touched with `lock` held only.
//   D2  COUNT, LBA and COMMAND are written only while BSY is clear: a busy drive ignores them.
//   D3  No other bit of the status means anything while BSY is set.
//
// Shortcomings: primary channel only, 28-bit addresses (128 GiB), no writing: nothing here can harm
// a disk. A drive that timed out is not reset; the next call waits for it anew. The waiting burns
// processor time.
#include "device/ata.h"

#include <stddef.h>

#include "device/rtc.h"
#include "kernel/spinlock.h"
#include "lib/x86.h"
#include "thread/sync.h"

#define BASE 0x1f0
#define REG_DATA (BASE + 0)
#define REG_COUNT (BASE + 2)
#define REG_LBA_LOW (BASE + 3)
#define REG_LBA_MID (BASE + 4)
#define REG_LBA_HIGH (BASE + 5)
#define REG_DEVICE (BASE + 6)
#define REG_STATUS (BASE + 7)
#define REG_COMMAND (BASE + 7)
#define REG_CONTROL 0x3f6 // read: the status again, without acknowledging an interrupt

#define STATUS_ERR 0x01
#define STATUS_DRQ 0x08
#define STATUS_DF 0x20
#define STATUS_BSY 0x80
#define STATUS_FLOATING 0xff // no drive on the bus: without a channel all lines read high

#define COMMAND_READ 0x20
#define COMMAND_IDENTIFY 0xec
#define DEVICE_LBA 0xe0 // bit 6: LBA; bits 7 and 5 were always 1 before ATA-6, old drives want them
#define CONTROL_NO_INTERRUPT 0x02

#define SECONDS_MAX 2 // a disk answers in milliseconds; an emulator on a busy machine, when it can
#define CHUNK 128     // sectors a command: COUNT has 8 bits
#define SECTOR_WORDS (ATA_SECTOR_BYTES / 2)

static struct lock lock;
static bool lock_ready;           // protected by kernel_lock
static uint32_t known_sectors[2]; // 0: not identified yet. Protected by `lock`

// There is no ata_init(): a kernel that reads no disk touches none. So the lock is made by the
// first caller, under kernel_lock, or two callers could each make it and both be let in.
// lock_acquire() sleeps, so it comes after that.
static void lock_take(void) {
    uint32_t state = spin_save(&kernel_lock);
    if (!lock_ready) lock_init(&lock);
    lock_ready = true;
    spin_restore(&kernel_lock, state);
    lock_acquire(&lock);
}

// Before there are threads no name is in the lock, and none waits for it.
static void lock_give(void) {
    if (lock_held(&lock)) lock_release(&lock);
    else sema_up(&lock.free);
}

// The 400 ns that a drive may take to show its status after it was selected: four reads, each at
// least 100 ns.
static void settle(void) {
    for (int i = 0; i < 4; i++) inb(REG_CONTROL);
}

// Waits until the drive that is selected takes a command (D2). An empty channel is told apart at
// once: 0xff has BSY set for ever, and would cost the whole second.
static enum ata_status wait_idle(void) {
    struct rtc_wait wait = rtc_wait_begin();
    do {
        uint8_t status = inb(REG_STATUS);
        if (status == STATUS_FLOATING) return ATA_NO_DISK;
        if (!(status & STATUS_BSY)) return ATA_OK;
    } while (!rtc_wait_over(&wait, SECONDS_MAX));
    return ATA_TIMEOUT;
}

// Waits until a sector's data can be read. BSY first (D3). ERR before DRQ: a drive may offer the
// data of a sector that it could not read (ATA/ATAPI-6, 8.34), and that must not be taken for
// good.
static enum ata_status wait_data(void) {
    struct rtc_wait wait = rtc_wait_begin();
    do {
        uint8_t status = inb(REG_STATUS);
        if (status & STATUS_BSY) continue;
        if (status & (STATUS_ERR | STATUS_DF)) return ATA_ERROR;
        if (status & STATUS_DRQ) return ATA_OK;
    } while (!rtc_wait_over(&wait, SECONDS_MAX));
    return ATA_TIMEOUT;
}

// Selects first, because the status that is waited for must be the right drive's. The second
// settle() is as necessary as the first: a drive may show BSY up to 400 ns after a command, and
// until then the old status, idle, would look like an answer.
static enum ata_status command_start(unsigned drive, uint32_t lba, uint32_t count,
                                     uint8_t command) {
    outb(REG_CONTROL, CONTROL_NO_INTERRUPT);
    outb(REG_DEVICE, (uint8_t)(DEVICE_LBA | drive << 4 | (lba >> 24 & 0x0f)));
    settle();
    enum ata_status status = wait_idle();
    if (status != ATA_OK) return status;
    outb(REG_COUNT, (uint8_t)count);
    outb(REG_LBA_LOW, (uint8_t)lba);
    outb(REG_LBA_MID, (uint8_t)(lba >> 8));
    outb(REG_LBA_HIGH, (uint8_t)(lba >> 16));
    outb(REG_COMMAND, command);
    settle();
    return ATA_OK;
}

// Asks a drive for its description, 256 words. A drive is there if it answers at all: what is read
// before the wait comes from the drive that is present, which answers zeros for the absent one. No
// length (words 60 and 61 are 0): a drive from before 1994 that does not know LBA, of no use here.
static enum ata_status identify(unsigned drive, uint32_t *sectors) {
    uint16_t words[SECTOR_WORDS] = {0};
    enum ata_status status = command_start(drive, 0, 0, COMMAND_IDENTIFY);
    if (status != ATA_OK) return status;
    if (inb(REG_STATUS) == 0) return ATA_NO_DISK; // an absent drive reads as zeros
    status = wait_data();
    if (status == ATA_ERROR) return ATA_NO_DISK; // a drive that is not a disk aborts the command
    if (status != ATA_OK) return status;
    insw(REG_DATA, words, SECTOR_WORDS);
    *sectors = words[60] | (uint32_t)words[61] << 16; // words 60 and 61: addressable sectors
    return *sectors ? ATA_OK : ATA_NO_DISK;
}

// The drive's buffer holds a sector at a time, as far as we know: each is waited for. The last word
// read makes the drive busy with the next one, or idle.
static enum ata_status read_chunk(unsigned drive, uint32_t lba, uint32_t count, char *to) {
    enum ata_status status = command_start(drive, lba, count, COMMAND_READ);
    for (uint32_t i = 0; status == ATA_OK && i < count; i++) {
        status = wait_data();
        if (status == ATA_OK) insw(REG_DATA, to + i * ATA_SECTOR_BYTES, SECTOR_WORDS);
        settle(); // the status of the next sector, not of this one
    }
    return status;
}

// With the lock held. Only a success is remembered: a drive that was slow to start is asked again.
static enum ata_status identify_once(unsigned drive) {
    if (drive > 1) return ATA_NO_DISK;
    return known_sectors[drive] ? ATA_OK : identify(drive, &known_sectors[drive]);
}

enum ata_status ata_identify(unsigned drive, uint32_t *sectors) {
    lock_take();
    enum ata_status status = identify_once(drive);
    *sectors = status == ATA_OK ? known_sectors[drive] : 0;
    lock_give();
    return status;
}

// The range is checked as `count > sectors - lba`, after `lba > sectors`: lba + count may wrap,
// and a wrapped sum is small. The drive would refuse such a read itself, but not one that the 28
// bits of its registers have cut.
enum ata_status ata_read(unsigned drive, uint32_t lba, uint32_t count, void *to) {
    lock_take();
    enum ata_status status = identify_once(drive);
    if (status == ATA_OK && (lba > known_sectors[drive] || count > known_sectors[drive] - lba)) {
        status = ATA_OUT_OF_RANGE;
    }
    char *at = to;
    while (status == ATA_OK && count > 0) {
        uint32_t now = count < CHUNK ? count : CHUNK;
        status = read_chunk(drive, lba, now, at);
        lba += now;
        count -= now;
        at += (size_t)now * ATA_SECTOR_BYTES;
    }
    lock_give();
    return status;
}

const char *ata_status_text(enum ata_status status) {
    static const char *const text[] = {"ok", "no disk", "time-out", "the drive reports an error",
                                       "outside the disk"};
    return text[status];
}
