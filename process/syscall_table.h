// syscall_table.h - every system call, in one table: the kernel's dispatcher, the programs' library
// and the page docs/processes.md are made from it (tests/e2e/test_processes.py holds the page
// against it).
//
// How a program calls: process/gate.asm. A result of -1 .. -11 is an error below, except from the
// calls of the heap, whose only error is null.
#pragma once

// number, name, arguments, result, errors and limits
#define SYSCALLS(CALL)                                                                           \
    CALL(0, exit, "status", "does not return", "the lowest 8 bits count")                        \
    CALL(1, write, "file, bytes, count", "count",                                                \
         "POINTER; ARGUMENT: not open; READ_ONLY; FULL; NO_MEMORY")                              \
    CALL(2, read, "file, bytes, count", "how many were read, 0 at the end",                      \
         "POINTER; ARGUMENT: not open; DISK; NO_MEMORY")                                         \
    CALL(3, open, "name", "a file, 3 or more", "POINTER; NO_FILE; TOO_MANY: 16 are open; DISK")  \
    CALL(4, close, "file", "0", "ARGUMENT: not open")                                            \
    CALL(5, malloc, "size", "a pointer", "null: no memory")                                      \
    CALL(6, free, "pointer", "0", "a wrong pointer is reported, and nothing changes")            \
    CALL(7, calloc, "count, size", "a pointer", "null: no memory, or count * size overflows")    \
    CALL(8, realloc, "pointer, size", "a pointer", "null: no memory, or a wrong pointer")        \
    CALL(9, aligned_alloc, "alignment, size", "a pointer", "null: no memory, no power of two")   \
    CALL(10, usable_size, "pointer", "bytes", "0: a wrong pointer")                              \
    CALL(11, yield, "", "0", "")                                                                 \
    CALL(12, sleep, "milliseconds", "0", "to the next tick")                                     \
    CALL(13, spawn, "line", "the child's pid",                                                   \
         "POINTER; NO_FILE; NO_PROGRAM; NO_MEMORY; DISK; 255 characters")                        \
    CALL(14, wait, "pid or 0, status", "the pid that ended", "POINTER; NO_CHILD")                \
    CALL(15, time, "", "milliseconds since the start", "wraps after 49 days")                    \
    CALL(16, kill, "pid", "0", "NO_CHILD: not a child of the program")                           \
    CALL(17, pid, "", "the program's number", "")                                                \
    CALL(18, create, "name, keep", "a file, 3 or more; empty if keep is 0",                      \
         "POINTER; ARGUMENT: no name; READ_ONLY; TOO_MANY: 16 are open, or 32 there; NO_MEMORY") \
    CALL(19, seek, "file, offset, from", "the offset from the start",                            \
         "from: 0 the start, 1 where it is, 2 the end; ARGUMENT: not open, or before the start") \
    CALL(20, remove, "name", "0", "POINTER; NO_FILE; READ_ONLY")                                 \
    CALL(21, peak, "whose", "frames", "the most it has had; of its children, collected: 1")

#define SYSCALL_COUNT 22u

// Errors: number, name, meaning.
#define SYSCALL_ERRORS(ERROR)                                                  \
    ERROR(-1, POINTER, "some byte is not the program's to read, or to write")  \
    ERROR(-2, ARGUMENT, "a number that the call does not take")                \
    ERROR(-3, NO_FILE, "no file of that name, or no archive on the image")     \
    ERROR(-4, TOO_MANY, "as many are open as may be")                          \
    ERROR(-5, NO_MEMORY, "no frame, record or stack, or the limit is reached") \
    ERROR(-6, NO_CHILD, "no child with that number")                           \
    ERROR(-7, NO_CALL, "no system call with that number")                      \
    ERROR(-8, NO_PROGRAM, "the file is no program for this kernel")            \
    ERROR(-9, DISK, "the disk refused")                                        \
    ERROR(-10, READ_ONLY, "a file of the image, or open to be read only")      \
    ERROR(-11, FULL, "over 4 MiB for a file in memory, or 8 MiB for all")

#define SYSCALL_NUMBER(number, name, arguments, result, errors) SYS_##name = number,
#define ERROR_NUMBER(number, name, meaning) ERROR_##name = number,
enum syscall_number { SYSCALLS(SYSCALL_NUMBER) };
enum syscall_error { SYSCALL_ERRORS(ERROR_NUMBER) };
