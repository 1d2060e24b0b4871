// calls.c - what newlib asks of an operating system (its manual, "System Calls"), on the kernel's
// system calls.
//
// Shortcomings: no folders, no links, no dates, no signals; one process group, one user. The time
// is that since the machine's start.
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/times.h>
#include <unistd.h>

#include "user/newlib/call.h"
#include "user/newlib/line.h"

// The kernel's error as C's, or the result.
static int result(uint32_t value) {
    static const int codes[] = {
        [-ERROR_POINTER] = EFAULT,  [-ERROR_ARGUMENT] = EINVAL,    [-ERROR_NO_FILE] = ENOENT,
        [-ERROR_TOO_MANY] = EMFILE, [-ERROR_NO_MEMORY] = ENOMEM,   [-ERROR_NO_CHILD] = ECHILD,
        [-ERROR_NO_CALL] = ENOSYS,  [-ERROR_NO_PROGRAM] = ENOEXEC, [-ERROR_DISK] = EIO,
        [-ERROR_READ_ONLY] = EROFS, [-ERROR_FULL] = ENOSPC};
    uint32_t index = -value;
    if (index == 0 || index >= sizeof codes / sizeof codes[0]) return (int)value;
    errno = codes[index];
    return -1;
}

static int refuse(int error) {
    errno = error;
    return -1;
}

// ---- files --------------------------------------------------------------------------------------

// The kernel's names have no folder that they are relative to.
static uint32_t name_of(const char *path) {
    while (path[0] == '.' && path[1] == '/') path += 2;
    return address_of(path);
}

// Written to at its end: newlib goes there before each write.
int open(const char *path, int flags, ...) {
    if ((flags & O_ACCMODE) == O_RDONLY) return result(call(SYS_open, name_of(path), 0, 0));
    if (!(flags & O_CREAT) || (flags & O_EXCL)) {
        int there = (int)call(SYS_open, name_of(path), 0, 0);
        if (there >= 0) call(SYS_close, (uint32_t)there, 0, 0);
        if (there >= 0 && (flags & O_CREAT)) return refuse(EEXIST);
        if (there < 0 && !(flags & O_CREAT)) return result((uint32_t)there);
    }
    return result(call(SYS_create, name_of(path), !(flags & O_TRUNC), 0));
}

int close(int file) { return result(call(SYS_close, (uint32_t)file, 0, 0)); }

int read(int file, void *to, size_t count) {
    if (file == STDIN_FILENO) return line_read(to, count);
    return result(call(SYS_read, (uint32_t)file, address_of(to), count));
}

int write(int file, const void *from, size_t count) {
    return result(call(SYS_write, (uint32_t)file, address_of(from), count));
}

off_t lseek(int file, off_t offset, int from) {
    if (isatty(file)) return refuse(ESPIPE);
    return result(call(SYS_seek, (uint32_t)file, (uint32_t)offset, (uint32_t)from));
}

int isatty(int file) { return file >= STDIN_FILENO && file <= STDERR_FILENO; }

// Blocks of a page: fewer calls, and fewer sectors that are read twice.
int fstat(int file, struct stat *to) {
    memset(to, 0, sizeof *to);
    to->st_nlink = 1;
    to->st_blksize = isatty(file) ? 256 : 4096;
    to->st_mode = isatty(file) ? S_IFCHR | 0666 : S_IFREG | 0777;
    if (isatty(file)) return 0;
    off_t at = lseek(file, 0, SEEK_CUR), end = lseek(file, 0, SEEK_END);
    if (at < 0 || end < 0) return -1;
    to->st_size = end;
    return lseek(file, at, SEEK_SET) < 0 ? -1 : 0;
}

int stat(const char *path, struct stat *to) {
    int file = open(path, O_RDONLY);
    if (file < 0) return -1;
    int done = fstat(file, to);
    close(file);
    return done;
}

int unlink(const char *path) { return result(call(SYS_remove, name_of(path), 0, 0)); }
int link(const char *from, const char *to) { return refuse(ENOSYS); }

// The one folder there is.
char *getcwd(char *to, size_t room) {
    if (room < sizeof "/") {
        errno = ERANGE;
        return NULL;
    }
    return strcpy(to, "/");
}

// ---- the program itself -------------------------------------------------------------------------

void _exit(int status) {
    call(SYS_exit, (uint32_t)status, 0, 0);
    __builtin_unreachable();
}

int execvp(const char *path, char *const words[]) { return refuse(ENOSYS); }
int getpid(void) { return (int)call(SYS_pid, 0, 0, 0); }

// A signal to the program itself ends it: that is how abort() and a failed assert() do. 128 and the
// number, as a shell has it.
int kill(int pid, int number) {
    if (pid == getpid()) _exit(128 + number);
    return result(call(SYS_kill, (uint32_t)pid, 0, 0));
}

int gettimeofday(struct timeval *to, void *zone) {
    uint32_t ms = call(SYS_time, 0, 0, 0);
    to->tv_sec = ms / 1000;
    to->tv_usec = ms % 1000 * 1000;
    return 0;
}

clock_t times(struct tms *to) {
    clock_t now = (clock_t)((uint64_t)call(SYS_time, 0, 0, 0) * CLOCKS_PER_SEC / 1000);
    *to = (struct tms){.tms_utime = now};
    return now;
}

// The processor has no right to execute apart from that to read (without PAE), so every page of the
// heap has it; a right cannot be taken away.
int mprotect(void *start, size_t bytes, int rights) { return 0; }
