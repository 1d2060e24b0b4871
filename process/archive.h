// archive.h - the files on the disk image: read-only, in a ustar archive after the kernel.
//
// Threads only, all of it: the disk is read when it is asked for. Of the files only a hash of each
// name is kept.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARCHIVE_NAME_MAX 64 // bytes, with the NUL; longer names are passed over

struct archive_file {
    char name[ARCHIVE_NAME_MAX];
    uint32_t sector; // of its first byte, on the boot disk
    uint32_t bytes;
};

void archive_init(void); // boot

// Calls `visit` for each file, in the archive's order, until it returns false. Returns NULL, or why
// there is no archive to be read.
const char *archive_for_each(bool (*visit)(const struct archive_file *file, void *argument),
                             void *argument);
// The file of that name. Returns NULL, or why not.
const char *archive_find(const char *name, struct archive_file *out);
// `bytes` bytes from `offset` on, which must lie inside the file. False: the disk refused.
bool archive_read(const struct archive_file *file, uint32_t offset, uint32_t bytes, void *to);
