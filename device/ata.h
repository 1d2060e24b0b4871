// ata.h - reading sectors from the IDE disks by programmed I/O (ATA/ATAPI-6, PIO data-in).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ATA_SECTOR_BYTES 512
enum ata_status { ATA_OK, ATA_NO_DISK, ATA_TIMEOUT, ATA_ERROR, ATA_OUT_OF_RANGE };

// drive 0 is the primary channel's master (the boot image), 1 its slave (a trace).
enum ata_status ata_identify(unsigned drive, uint32_t *sectors);
// Reads `count` sectors from `lba` to `to` (count * 512 bytes). Waits by polling with a time-out;
// DRQ is checked for each sector and the error bit after each. Threads only, one at a time (takes a
// lock).
enum ata_status ata_read(unsigned drive, uint32_t lba, uint32_t count, void *to);
const char *ata_status_text(enum ata_status status);
