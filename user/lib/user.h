// user.h - what a program of Granary has: the system calls under their names, and printf().
//
// The calls, their errors and limits: docs/processes.md. lib/string.h is linked in as well.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/string.h"
#include "process/syscall_table.h"

_Noreturn void exit(int status);
int write(int file, const void *bytes, size_t count);
int read(int file, void *bytes, size_t count);
int open(const char *name);
int close(int file);
void *malloc(size_t size);
void free(void *p);
void *calloc(size_t count, size_t size);
void *realloc(void *p, size_t size);
void *aligned_alloc(size_t alignment, size_t size);
size_t usable_size(void *p);
int yield(void);
int sleep_ms(uint32_t milliseconds);
int spawn(const char *line);
int wait(int pid, int *status); // pid 0: any child; status may be NULL
uint32_t time_ms(void);
int kill(int pid);
int pid(void);

// The call itself, with any numbers.
uint32_t syscall(uint32_t number, uint32_t a, uint32_t b, uint32_t c);

// As the kernel's own (lib/format.h), to the console; cut at 512 characters. Returns the length.
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
// The text of an error, -1 .. -9.
const char *error_text(int error);
// A decimal number, 0 where there is none.
uint32_t number_of(const char *text);
