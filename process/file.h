// file.h - a program's open files: of the image's archive, to be read, or in memory
// (process/ram_file.h), to be read and written.
//
// Every call: by the program's thread, its space loaded, pointers checked.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "process/archive.h"
#include "process/ram_file.h"
#include "process/space.h"

struct open_file {
    bool open, writable;
    struct ram_file *ram;   // NULL: a file of the archive
    uint32_t sector, bytes; // of the archive's file
    uint32_t at;            // offset of the next read or write
};

// Opens a file to be read; its number in `from` (`count` places), or an error.
uint32_t file_open(struct open_file *from, uint32_t count, const char *name);
// The same for a file in memory, to be read and written; it is made where it is missing, and
// emptied unless `keep`.
uint32_t file_create(struct open_file *from, uint32_t count, const char *name, bool keep);
void file_close(struct open_file *file); // one that is not open: nothing happens
uint32_t file_remove(const char *name);  // 0, or an error

// How many bytes, or an error.
uint32_t file_read(struct open_file *file, struct space *space, uint32_t bytes, void *to);
uint32_t file_write(struct open_file *file, struct space *space, uint32_t bytes, const void *from);
// The next read or write is at `offset` from the start (0), from where it is (1), from the end (2).
// The new offset, or an error.
uint32_t file_seek(struct open_file *file, uint32_t offset, uint32_t from);
