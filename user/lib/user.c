// user.c - see user.h.
#include "user/lib/user.h"

#include <stdarg.h>

#include "lib/format.h"

#define PRINTF_MAX 512

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
