// ata.h - reading sectors from the IDE disks by programmed I/O (ATA/ATAPI-6, PIO data-in).
//
// The firmware read the kernel itself; in protected mode it can no longer be asked, so the kernel
// needs a driver of its own.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ATA_SECTOR_BYTES 512
// In the order of ata_status_text(). NO_DISK: no drive, or not a disk (a CD drive).
// OUT_OF_RANGE: a sector past the disk's end; nothing was read. After TIMEOUT or ERROR an unknown
// number of sectors has been read already, so the contents of `to` are worthless.
enum ata_status { ATA_OK, ATA_NO_DISK, ATA_TIMEOUT, ATA_ERROR, ATA_OUT_OF_RANGE };

// drive 0 is the primary channel's master (the boot image), 1 its slave (a trace); there are no
// others. *sectors is the disk's length, 0 unless ATA_OK. Context as ata_read().
enum ata_status ata_identify(unsigned drive, uint32_t *sectors);
// Reads `count` sectors from `lba` to `to` (count * 512 bytes). Waits by polling with a time-out;
// DRQ is checked for each sector and the error bit with it. Threads, one at a time (takes a lock),
// and the boot code before there are any. Up to a second for each sector, if a drive is stuck.
enum ata_status ata_read(unsigned drive, uint32_t lba, uint32_t count, void *to);
const char *ata_status_text(enum ata_status status); // a few words for a message
