// file.c - see file.h.
//
// Names. Those of the archive come first, and no file in memory can take one: what a program's name
// means at the prompt cannot be changed by a program.
#include "process/file.h"

#include "process/syscall_table.h"

#define OFFSET_MAX 0x7fffffffu

static uint32_t file_error(enum syscall_error error) { return (uint32_t)error; }

// A place that is free, `count` if none is.
static uint32_t file_slot(const struct open_file *from, uint32_t count) {
    uint32_t slot = 0;
    while (slot < count && from[slot].open) slot++;
    return slot;
}

// Of archive_find()'s reasons only "no such file" and "no files" are not the disk's.
uint32_t file_open(struct open_file *from, uint32_t count, const char *name) {
    struct archive_file found = {0};
    uint32_t slot = file_slot(from, count);
    if (slot == count) return file_error(ERROR_TOO_MANY);
    if (archive_find(name, &found) == NULL) {
        from[slot] = (struct open_file){.open = true, .sector = found.sector, .bytes = found.bytes};
        return slot;
    }
    struct ram_file *ram = ram_file_open(name);
    if (!ram) return file_error(ERROR_NO_FILE);
    from[slot] = (struct open_file){.open = true, .ram = ram};
    return slot;
}

uint32_t file_create(struct open_file *from, uint32_t count, const char *name, bool keep) {
    struct archive_file found = {0};
    enum syscall_error error;
    uint32_t slot = file_slot(from, count);
    if (slot == count) return file_error(ERROR_TOO_MANY);
    if (!name[0]) return file_error(ERROR_ARGUMENT);
    if (archive_find(name, &found) == NULL) return file_error(ERROR_READ_ONLY);
    struct ram_file *ram = ram_file_make(name, keep, &error);
    if (!ram) return file_error(error);
    from[slot] = (struct open_file){.open = true, .writable = true, .ram = ram};
    return slot;
}

void file_close(struct open_file *file) {
    if (!file->open) return;
    file->open = false;
    ram_file_release(file->ram);
}

uint32_t file_remove(const char *name) {
    struct archive_file found = {0};
    if (ram_file_remove(name)) return 0;
    return file_error(archive_find(name, &found) == NULL ? ERROR_READ_ONLY : ERROR_NO_FILE);
}

static uint32_t file_bytes(const struct open_file *file) {
    return file->ram ? ram_file_bytes(file->ram) : file->bytes;
}

static uint32_t from_archive(const struct open_file *file, uint32_t bytes, void *to) {
    struct archive_file place = {.sector = file->sector, .bytes = file->bytes};
    uint32_t left = file->at < file->bytes ? file->bytes - file->at : 0;
    if (bytes > left) bytes = left;
    return archive_read(&place, file->at, bytes, to) ? bytes : file_error(ERROR_DISK);
}

uint32_t file_read(struct open_file *file, struct space *space, uint32_t bytes, void *to) {
    uint32_t got = file->ram ? ram_file_read(file->ram, space, file->at, bytes, to)
                             : from_archive(file, bytes, to);
    if (got <= bytes) file->at += got; // else an error
    return got;
}

uint32_t file_write(struct open_file *file, struct space *space, uint32_t bytes, const void *from) {
    if (!file->writable) return file_error(ERROR_READ_ONLY);
    uint32_t put = ram_file_write(file->ram, space, file->at, bytes, from);
    if (put <= bytes) file->at += put;
    return put;
}

// In 64 bits, signed: no sum can wrap.
uint32_t file_seek(struct open_file *file, uint32_t offset, uint32_t from) {
    if (from > 2) return file_error(ERROR_ARGUMENT);
    int64_t start = from == 0 ? 0 : from == 1 ? file->at : file_bytes(file);
    int64_t to = start + (int32_t)offset;
    if (to < 0 || to > OFFSET_MAX) return file_error(ERROR_ARGUMENT);
    file->at = (uint32_t)to;
    return file->at;
}
