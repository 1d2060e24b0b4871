// user.c - see user.h.
#include "user/lib/user.h"

#include <stdarg.h>

#include "lib/format.h"

#define PRINTF_MAX 512

static inline uint32_t call(uint32_t number, uint32_t a, uint32_t b, uint32_t c) {
    __asm__ volatile("int $0x80" : "+a"(number) : "b"(a), "c"(b), "d"(c) : "memory");
    return number;
}

// With one argument.
static inline uint32_t call_1(uint32_t number, uint32_t a) {
    __asm__ volatile("int $0x80" : "+a"(number) : "b"(a) : "memory");
    return number;
}

uint32_t syscall(uint32_t number, uint32_t a, uint32_t b, uint32_t c) {
    return call(number, a, b, c);
}

static uint32_t of(const volatile void *p) { return (uint32_t)(uintptr_t)p; }
static void *pointer(uint32_t p) { return (void *)(uintptr_t)p; }

_Noreturn void exit(int status) {
    call(SYS_exit, (uint32_t)status, 0, 0);
    __builtin_unreachable();
}

int write(int file, const void *bytes, size_t count) {
    return (int)call(SYS_write, (uint32_t)file, of(bytes), count);
}

int read(int file, void *bytes, size_t count) {
    return (int)call(SYS_read, (uint32_t)file, of(bytes), count);
}

int open(const char *name) { return (int)call(SYS_open, of(name), 0, 0); }
int close(int file) { return (int)call(SYS_close, (uint32_t)file, 0, 0); }
void *malloc(size_t size) { return pointer(call_1(SYS_malloc, size)); }
void free(void *p) { call_1(SYS_free, of(p)); }

void *calloc(size_t count, size_t size) { return pointer(call(SYS_calloc, count, size, 0)); }

void *realloc(void *p, size_t size) { return pointer(call(SYS_realloc, of(p), size, 0)); }

void *aligned_alloc(size_t alignment, size_t size) {
    return pointer(call(SYS_aligned_alloc, alignment, size, 0));
}

size_t usable_size(void *p) { return call(SYS_usable_size, of(p), 0, 0); }
int yield(void) { return (int)call(SYS_yield, 0, 0, 0); }
int sleep_ms(uint32_t milliseconds) { return (int)call(SYS_sleep, milliseconds, 0, 0); }
int spawn(const char *line) { return (int)call(SYS_spawn, of(line), 0, 0); }
int wait(int child, int *status) { return (int)call(SYS_wait, (uint32_t)child, of(status), 0); }
uint32_t time_ms(void) { return call(SYS_time, 0, 0, 0); }
int kill(int child) { return (int)call(SYS_kill, (uint32_t)child, 0, 0); }
int pid(void) { return (int)call_1(SYS_pid, 0); }

int printf(const char *format, ...) {
    char text[PRINTF_MAX];
    va_list args;
    va_start(args, format);
    int length = kvsnprintf(text, sizeof text, format, args);
    va_end(args);
    write(1, text, strlen(text));
    return length;
}

#define ERROR_TEXT(number, name, meaning) [-(number)] = meaning,
const char *error_text(int error) {
    static const char *const text[] = {[0] = "no error", SYSCALL_ERRORS(ERROR_TEXT)};
    uint32_t index = -(uint32_t)error;
    return index < sizeof text / sizeof text[0] ? text[index] : "unknown error";
}

uint32_t number_of(const char *text) {
    uint32_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++) value = value * 10 + (uint32_t)(*text - '0');
    return value;
}
