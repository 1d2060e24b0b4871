// archive.c - see archive.h. The format: IEEE Std 1003.1-2017, pax, "ustar Interchange Format".
//
// Where it is: the image's header (boot/boot.inc) says where the kernel's file begins and how long
// it is; the archive begins with the sector after it. tools/mkimage.py lays that out, so no field
// of the header is needed, and an image without files is one whose next sector is no archive.
//
// A ustar archive is a chain of 512-byte headers, each followed by its file's sectors: it fits a
// disk as it is. Its numbers are octal text; each is checked before it is used, and a chain that
// leaves the disk ends there.
#include "process/archive.h"

#include "device/ata.h"
#include "kernel/layout.h"
#include "lib/string.h"
#include "thread/sync.h"

#define BOOT_DRIVE 0u
#define MAGIC_OFFSET 257 // "ustar"
#define NAME_FIELD 100
#define SIZE_OFFSET 124 // eleven octal digits
#define SIZE_DIGITS 11
#define TYPE_OFFSET 156
#define CHECKSUM_OFFSET 148 // eight characters, counted as blanks
#define CHECKSUM_FIELD 8
#define CHECKSUM_DIGITS 6

static bool octal(const uint8_t *at, size_t digits, uint32_t *out) {
    uint32_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        if (at[i] < '0' || at[i] > '7' || value > UINT32_MAX / 8) return false;
        value = value * 8 + (at[i] - '0');
    }
    *out = value;
    return true;
}

static bool header_sound(const uint8_t *header) {
    uint32_t sum = 0, wanted;
    for (uint32_t i = 0; i < ATA_SECTOR_BYTES; i++) {
        bool blank = i - CHECKSUM_OFFSET < CHECKSUM_FIELD;
        sum += blank ? ' ' : header[i];
    }
    return memcmp(header + MAGIC_OFFSET, "ustar", 5) == 0 &&
           octal(header + CHECKSUM_OFFSET, CHECKSUM_DIGITS, &wanted) && sum == wanted;
}

static uint32_t word_at(const uint8_t *bytes, uint32_t offset) {
    uint32_t value;
    memcpy(&value, bytes + offset, sizeof value);
    return value;
}

// The sector where the archive begins, and how many the disk has. NULL, or why not.
static const char *archive_place(uint32_t *sector, uint32_t *sectors) {
    uint8_t header[ATA_SECTOR_BYTES];
    enum ata_status status = ata_identify(BOOT_DRIVE, sectors);
    if (status == ATA_OK) status = ata_read(BOOT_DRIVE, HEADER_LBA, 1, header);
    if (status != ATA_OK) return ata_status_text(status);
    uint32_t bytes = word_at(header, HEADER_KERNEL_BYTES);
    *sector =
        word_at(header, HEADER_KERNEL_LBA) + (bytes + ATA_SECTOR_BYTES - 1) / ATA_SECTOR_BYTES;
    bool image = word_at(header, HEADER_MAGIC_OFF) == HEADER_MAGIC && bytes <= KERNEL_MAX_BYTES;
    return image && *sector < *sectors ? NULL : "the disk is no image of Granary";
}

static uint32_t sectors_of(uint32_t bytes) {
    return bytes / ATA_SECTOR_BYTES + (bytes % ATA_SECTOR_BYTES != 0);
}

// A plain file whose name fits; others are passed over.
static bool file_of(struct archive_file *out, const uint8_t *header, uint32_t sector) {
    char type = (char)header[TYPE_OFFSET];
    if (type != '0' && type != '\0') return false;
    if (strnlen((const char *)header, NAME_FIELD) >= sizeof out->name) return false;
    strlcpy(out->name, (const char *)header, sizeof out->name);
    out->sector = sector + 1;
    return true;
}

const char *archive_for_each(bool (*visit)(const struct archive_file *file, void *argument),
                             void *argument) {
    uint8_t header[ATA_SECTOR_BYTES];
    uint32_t sector = 0, sectors = 0;
    const char *why = archive_place(&sector, &sectors);
    for (bool any = false; !why && sector < sectors; any = true) {
        struct archive_file file;
        enum ata_status status = ata_read(BOOT_DRIVE, sector, 1, header);
        if (status != ATA_OK) return ata_status_text(status);
        if (!header_sound(header)) return any ? NULL : "the image has no files";
        if (!octal(header + SIZE_OFFSET, SIZE_DIGITS, &file.bytes)) return "a damaged archive";
        if (sectors_of(file.bytes) >= sectors - sector) return "a file beyond the disk's end";
        if (file_of(&file, header, sector) && !visit(&file, argument)) return NULL;
        sector += 1 + sectors_of(file.bytes);
    }
    return why;
}

// ---- where each name is -------------------------------------------------------------------------
//
// A compiler looks for hundreds of files, most of them in folders where they are not; each time
// from header to header would be a disk read for every file there is. So the first look for a name
// walks the archive once and notes a hash of each name. A name that is not there costs no read
// then, one that is costs one. The disk is never written, so the notes stay true.

#define NOTES_MAX 512u // 4 KiB; in an archive of more files each look walks

struct note {
    uint32_t hash, sector; // of the header
};
// Written by the first caller under `notes_lock`; read-only once `noted` is true.
static struct note notes[NOTES_MAX];
static uint32_t note_count;
static volatile bool noted;
static struct lock notes_lock;

void archive_init(void) { lock_init(&notes_lock); }

// FNV-1a.
static uint32_t name_hash(const char *name) {
    uint32_t hash = 2166136261u;
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash;
}

static bool visit_note(const struct archive_file *file, void *argument) {
    if (note_count < NOTES_MAX) {
        notes[note_count++] = (struct note){name_hash(file->name), file->sector - 1};
        return true;
    }
    *(bool *)argument = true;
    return false;
}

// Damage is no reason to forget it: the next look finds it again.
static void notes_make(void) {
    bool more = false;
    lock_acquire(&notes_lock);
    if (!noted) {
        note_count = 0;
        noted = archive_for_each(visit_note, &more) == NULL && !more;
    }
    lock_release(&notes_lock);
}

struct wanted {
    const char *name;
    struct archive_file *out;
    bool found;
};

static bool visit_wanted(const struct archive_file *file, void *argument) {
    struct wanted *wanted = argument;
    if (strcmp(file->name, wanted->name) != 0) return true;
    *wanted->out = *file;
    wanted->found = true;
    return false;
}

static const char *walk_find(const char *name, struct archive_file *out) {
    struct wanted wanted = {name, out, false};
    const char *why = archive_for_each(visit_wanted, &wanted);
    return wanted.found ? NULL : why ? why : "no such file";
}

const char *archive_find(const char *name, struct archive_file *out) {
    if (!noted) notes_make();
    if (!noted) return walk_find(name, out); // damaged, or large
    uint32_t hash = name_hash(name);
    for (uint32_t i = 0; i < note_count; i++) {
        uint8_t header[ATA_SECTOR_BYTES];
        if (notes[i].hash != hash) continue;
        enum ata_status status = ata_read(BOOT_DRIVE, notes[i].sector, 1, header);
        if (status != ATA_OK) return ata_status_text(status);
        if (!header_sound(header) || !octal(header + SIZE_OFFSET, SIZE_DIGITS, &out->bytes)) {
            return "a damaged archive";
        }
        if (file_of(out, header, notes[i].sector) && strcmp(out->name, name) == 0) return NULL;
    }
    return "no such file";
}

// A sector of which only a part is wanted.
static bool part_read(uint32_t sector, uint32_t from, uint32_t bytes, void *to) {
    uint8_t whole[ATA_SECTOR_BYTES];
    if (ata_read(BOOT_DRIVE, sector, 1, whole) != ATA_OK) return false;
    memcpy(to, whole + from, bytes);
    return true;
}

bool archive_read(const struct archive_file *file, uint32_t offset, uint32_t bytes, void *to) {
    uint8_t *at = to;
    while (bytes > 0) {
        uint32_t sector = file->sector + offset / ATA_SECTOR_BYTES,
                 from = offset % ATA_SECTOR_BYTES;
        uint32_t now = ATA_SECTOR_BYTES - from;
        if (now > bytes) now = bytes;
        if (now < ATA_SECTOR_BYTES) {
            if (!part_read(sector, from, now, at)) return false;
        } else {
            now = bytes & ~(ATA_SECTOR_BYTES - 1u);
            if (ata_read(BOOT_DRIVE, sector, now / ATA_SECTOR_BYTES, at) != ATA_OK) return false;
        }
        at += now;
        offset += now;
        bytes -= now;
    }
    return true;
}
