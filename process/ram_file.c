// ram_file.c - see ram_file.h.
//
// Theory. A file is a list of frames. The kernel has no address for a frame of the user pool, so
// for a copy the frame is shown in the space of the program that reads or writes, in a page that
// only the kernel may use (space_show()). The list itself is a block of the kernel's heap.
//
// One lock for all files: a write may make a file longer while another program reads it. No copy
// under the lock can wait, as the program's pages have been checked before (process/syscall.c).
//
// Invariants:
//   F1  Frames 0 .. frames-1 of a file are its own; `frames` is what `bytes` needs, rounded up.
//   F2  A frame is cleared when a file gets it, so no old content of it is ever read; bytes past
//       the end of the file in its last frame are zero.
//   F3  ram_frames is the sum over all files, at most RAM_FRAMES_MAX.
//   F4  A file with a name is in the list; one without has a holder, and ends with the last.
//
// Shortcomings: one folder, whose names may have a '/' in them; no dates, owners or rights. A
// program's limit of frames does not count its files: theirs is RAM_FRAMES_MAX for all programs.
#include "process/ram_file.h"

#include "kernel/memory.h"
#include "kernel/panic.h"
#include "lib/list.h"
#include "lib/string.h"
#include "thread/sync.h"

#define LIST_FIRST 16u // frames that a file's first list has room for

struct ram_file {
    struct list_elem elem; // in `files` while it has a name
    char name[ARCHIVE_NAME_MAX];
    bool named;
    uint32_t holders;
    uint32_t bytes;
    uint32_t frames;
    uint32_t room;   // of the list, in frames
    uint32_t *frame; // numbers in the user pool; NULL while room is 0
};

// All protected by `files_lock`.
static struct lock files_lock;
static struct list files;
static uint32_t file_count, ram_frames;

void ram_files_init(void) {
    lock_init(&files_lock);
    list_init(&files);
}

static uint32_t file_frames(uint32_t bytes) { return (bytes + PG_SIZE - 1) >> PG_SHIFT; }

// ---- with the lock held -------------------------------------------------------------------------

static struct ram_file *file_named(const char *name) {
    for (struct list_elem *e = list_first(&files); e; e = list_next(&files, e)) {
        struct ram_file *file = list_entry(e, struct ram_file, elem);
        if (strcmp(file->name, name) == 0) return file;
    }
    return NULL;
}

static void frames_cut(struct ram_file *file, uint32_t frames) {
    while (file->frames > frames) {
        frame_free(POOL_USER, file->frame[--file->frames], 1);
        ram_frames--;
    }
}

static void file_empty(struct ram_file *file) {
    frames_cut(file, 0);
    sys_free(file->frame);
    file->frame = NULL;
    file->room = file->bytes = 0;
}

static void file_end(struct ram_file *file) {
    file_empty(file);
    sys_free(file);
}

static bool list_grow(struct ram_file *file, uint32_t frames) {
    if (frames <= file->room) return true;
    uint32_t room = file->room ? file->room * 2 : LIST_FIRST;
    if (room < frames) room = frames;
    uint32_t *frame = sys_realloc(file->frame, room * sizeof *frame);
    if (!frame) return false;
    file->frame = frame;
    file->room = room;
    return true;
}

// One more frame, cleared.
static bool frame_add(struct ram_file *file, struct space *space) {
    uint32_t frame = frame_alloc(POOL_USER, 1);
    if (frame == FRAME_NONE) return false;
    memset(space_show(space, (uint32_t)frame_address(POOL_USER, frame)), 0, PG_SIZE);
    space_hide(space);
    file->frame[file->frames++] = frame;
    ram_frames++;
    return true;
}

// Frames for `bytes` bytes; 0, or an error with the file as it was.
static uint32_t file_grow(struct ram_file *file, struct space *space, uint32_t bytes) {
    uint32_t before = file->frames, frames = file_frames(bytes);
    if (frames <= before) return 0;
    if (frames - before > RAM_FRAMES_MAX - ram_frames) return (uint32_t)ERROR_FULL;
    if (!list_grow(file, frames)) return (uint32_t)ERROR_NO_MEMORY;
    while (file->frames < frames) {
        if (frame_add(file, space)) continue;
        frames_cut(file, before);
        return (uint32_t)ERROR_NO_MEMORY;
    }
    return 0;
}

// Copies between the file's frames, which are there, and the kernel's or the program's addresses.
static void file_copy(struct ram_file *file, struct space *space, uint32_t offset, uint32_t bytes,
                      void *to, const void *from) {
    for (uint32_t done = 0; done < bytes;) {
        uint32_t in = (offset + done) % PG_SIZE, now = PG_SIZE - in;
        if (now > bytes - done) now = bytes - done;
        uint32_t frame = file->frame[(offset + done) >> PG_SHIFT];
        uint8_t *page = space_show(space, (uint32_t)frame_address(POOL_USER, frame));
        if (to) memcpy((uint8_t *)to + done, page + in, now);
        else memcpy(page + in, (const uint8_t *)from + done, now);
        space_hide(space);
        done += now;
    }
}

// ---- calls --------------------------------------------------------------------------------------

struct ram_file *ram_file_open(const char *name) {
    lock_acquire(&files_lock);
    struct ram_file *file = file_named(name);
    if (file) file->holders++;
    lock_release(&files_lock);
    return file;
}

static struct ram_file *file_new(const char *name, enum syscall_error *error) {
    *error = ERROR_TOO_MANY;
    if (file_count == RAM_FILES_MAX) return NULL;
    struct ram_file *file = sys_calloc(1, sizeof *file);
    *error = ERROR_NO_MEMORY;
    if (!file) return NULL;
    strlcpy(file->name, name, sizeof file->name);
    file->named = true;
    list_append(&files, &file->elem);
    file_count++;
    return file;
}

struct ram_file *ram_file_make(const char *name, bool keep, enum syscall_error *error) {
    lock_acquire(&files_lock);
    struct ram_file *file = file_named(name);
    if (file && !keep) file_empty(file);
    if (!file) file = file_new(name, error);
    if (file) file->holders++;
    lock_release(&files_lock);
    return file;
}

void ram_file_release(struct ram_file *file) {
    if (!file) return;
    lock_acquire(&files_lock);
    ASSERT(file->holders > 0);
    if (--file->holders == 0 && !file->named) file_end(file);
    lock_release(&files_lock);
}

bool ram_file_remove(const char *name) {
    lock_acquire(&files_lock);
    struct ram_file *file = file_named(name);
    if (file) {
        list_remove(&file->elem);
        file_count--;
        file->named = false;
        if (file->holders == 0) file_end(file);
    }
    lock_release(&files_lock);
    return file != NULL;
}

uint32_t ram_file_bytes(const struct ram_file *file) { return file->bytes; }

uint32_t ram_file_read(struct ram_file *file, struct space *space, uint32_t offset, uint32_t bytes,
                       void *to) {
    if (!space_show_prepare(space)) return (uint32_t)ERROR_NO_MEMORY;
    lock_acquire(&files_lock);
    uint32_t left = offset < file->bytes ? file->bytes - offset : 0;
    if (bytes > left) bytes = left;
    file_copy(file, space, offset, bytes, to, NULL);
    lock_release(&files_lock);
    return bytes;
}

uint32_t ram_file_write(struct ram_file *file, struct space *space, uint32_t offset, uint32_t bytes,
                        const void *from) {
    if (bytes > RAM_FILE_BYTES_MAX || offset > RAM_FILE_BYTES_MAX - bytes) {
        return (uint32_t)ERROR_FULL;
    }
    if (bytes == 0) return 0;
    if (!space_show_prepare(space)) return (uint32_t)ERROR_NO_MEMORY;
    lock_acquire(&files_lock);
    uint32_t end = offset + bytes, error = file_grow(file, space, end);
    if (!error) file_copy(file, space, offset, bytes, NULL, from);
    if (!error && end > file->bytes) file->bytes = end;
    lock_release(&files_lock);
    return error ? error : bytes;
}

bool ram_file_at(uint32_t index, char name[ARCHIVE_NAME_MAX], uint32_t *bytes) {
    lock_acquire(&files_lock);
    struct list_elem *e = list_first(&files);
    while (e && index-- > 0) e = list_next(&files, e);
    if (e) {
        const struct ram_file *file = list_entry(e, struct ram_file, elem);
        strlcpy(name, file->name, ARCHIVE_NAME_MAX);
        *bytes = file->bytes;
    }
    lock_release(&files_lock);
    return e != NULL;
}
