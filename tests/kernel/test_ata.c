// test_ata.c - device/ata.c on the boot disk, and on the one that is not there.
#include "boot_const.h"
#include "device/ata.h"
#include "lib/string.h"
#include "tests/kernel/ktest.h"

#define SECTORS 130 // more than one command reads

static uint8_t one[ATA_SECTOR_BYTES];
static uint32_t second[ATA_SECTOR_BYTES / 4];

KTEST(ata_reads_the_boot_sector) {
    memset(one, 0, sizeof one);
    KCHECK_EQ(ata_read(0, 0, 1, one), ATA_OK);
    KCHECK_EQ(one[510], 0x55);
    KCHECK_EQ(one[511], 0xaa);
    KCHECK_EQ(ata_read(0, HEADER_LBA, 1, second), ATA_OK);
    KCHECK_EQ(second[HEADER_MAGIC_OFF / 4], HEADER_MAGIC);
}

// Many sectors at once are the same as one by one: a DRQ that is polled once for all reads zeros
// instead.
KTEST(ata_reads_many_sectors) {
    uint8_t *many = sys_malloc(SECTORS * ATA_SECTOR_BYTES);
    KNEED(many != NULL);
    memset(many, 0xa5, SECTORS * ATA_SECTOR_BYTES);
    KCHECK_EQ(ata_read(0, 0, SECTORS, many), ATA_OK);
    for (uint32_t i = 0; i < SECTORS; i++) {
        KCHECK_EQ(ata_read(0, i, 1, one), ATA_OK);
        KCHECK_EQ(memcmp(one, many + i * ATA_SECTOR_BYTES, sizeof one), 0);
    }
    sys_free(many);
}

KTEST(ata_refuses_what_is_not_on_the_disk) {
    uint32_t sectors = 0;
    KCHECK_EQ(ata_identify(0, &sectors), ATA_OK);
    KCHECK(sectors >= SECTORS);
    KCHECK_EQ(ata_read(0, sectors - 1, 1, one), ATA_OK);
    memset(one, 0xa5, sizeof one);
    KCHECK_EQ(ata_read(0, sectors, 1, one), ATA_OUT_OF_RANGE);
    KCHECK_EQ(ata_read(0, sectors - 1, 2, one), ATA_OUT_OF_RANGE);
    KCHECK_EQ(ata_read(0, UINT32_MAX, 2, one), ATA_OUT_OF_RANGE);
    KCHECK_EQ(ata_read(0, 1, UINT32_MAX, one), ATA_OUT_OF_RANGE);
    KCHECK(one[0] == 0xa5 && one[511] == 0xa5); // nothing of it was read
    KCHECK_EQ(ata_read(0, sectors, 0, one), ATA_OK);
}

// The tests' machine has one disk.
KTEST(ata_absent_disk) {
    uint32_t sectors = 7;
    KCHECK_EQ(ata_identify(1, &sectors), ATA_NO_DISK);
    KCHECK_EQ(sectors, 0);
    KCHECK_EQ(ata_read(1, 0, 1, one), ATA_NO_DISK);
    KCHECK_EQ(ata_read(2, 0, 1, one), ATA_NO_DISK);
    KCHECK_EQ(strcmp(ata_status_text(ATA_NO_DISK), "no disk"), 0);
    KCHECK_EQ(ata_read(0, 0, 1, one), ATA_OK); // the drive that is there still answers
}
