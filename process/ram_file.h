// ram_file.h - files that programs write: in frames of the user pool, for as long as the machine
// runs or until they are removed.
//
// They belong to no program: what one has written the next can read, or run. The image's archive
// stays what it is, read-only; no file here has the name of one there (process/file.c).
//
// Every call: threads only. Those with a space: by the space's thread, with the space loaded.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "process/archive.h"
#include "process/space.h"
#include "process/syscall_table.h"

#define RAM_FILES_MAX 32u
#define RAM_FILE_BYTES_MAX 0x400000u // 4 MiB: its list of frames is then one page
#define RAM_FRAMES_MAX 2048u         // of all files together: 8 MiB

struct ram_file;

void ram_files_init(void); // boot

// A file by its name, held until ram_file_release(); NULL: there is none.
struct ram_file *ram_file_open(const char *name);
// The same; where there is none it is made. Without `keep` it is empty. NULL: *error says why, and
// nothing has changed.
struct ram_file *ram_file_make(const char *name, bool keep, enum syscall_error *error);
void ram_file_release(struct ram_file *file); // NULL: nothing happens
// Takes the name away; the frames go when nobody holds the file. False: there is none.
bool ram_file_remove(const char *name);

uint32_t ram_file_bytes(const struct ram_file *file);
// Copies what there is of `bytes` bytes from `offset` on; how many, or an error.
uint32_t ram_file_read(struct ram_file *file, struct space *space, uint32_t offset, uint32_t bytes,
                       void *to);
// All of it or nothing: `bytes`, or an error. A gap before `offset` reads as zeros.
uint32_t ram_file_write(struct ram_file *file, struct space *space, uint32_t offset, uint32_t bytes,
                        const void *from);

// For `ls`: the index-th file, in the order in which they were made. False: there are fewer.
bool ram_file_at(uint32_t index, char name[ARCHIVE_NAME_MAX], uint32_t *bytes);
