// print.c - see print.h.
//
// One pass over the format: each conversion is read into a struct spec, its digits are made in a
// small buffer, and emit() pads them. Output beyond the room is counted and not written, so
// ksnprintf() can tell the length it would need.
//
// 64-bit numbers are divided by 8, 10 or 16 in two 32-bit steps: the compiler's own 64-bit division
// is a call into a library that a kernel does not have.
#include "lib/print.h"

#include <stdbool.h>
#include <stdint.h>

#include "lib/string.h"
#include "lib/x86.h"

#define LINE_MAX 512  // characters of one kprintf()
#define DIGITS_MAX 24 // 2^64 - 1 in octal has 22

struct out {
    char *to;      // where the text goes
    size_t room;   // bytes there, NUL included
    size_t length; // characters so far, written or not
};

struct spec {
    bool left, zero, alternate;
    size_t width;
    size_t precision; // SIZE_MAX: none
    int size;         // bytes of the argument
};

static print_sink *sink;

void print_sink_set(print_sink *to) { sink = to; }

static void put(struct out *out, char c) {
    if (out->length + 1 < out->room) out->to[out->length] = c;
    out->length++;
}

static void put_many(struct out *out, char c, size_t count) {
    while (count-- > 0) put(out, c);
}

// value / base; *rest becomes value % base. base < 2^16, so that each step's dividend fits 32 bits.
static uint64_t divide(uint64_t value, uint32_t base, uint32_t *rest) {
    uint64_t quotient = 0;
    uint32_t r = 0;
    for (int shift = 48; shift >= 0; shift -= 16) {
        uint32_t part = r << 16 | (uint32_t)(value >> shift & 0xffff);
        quotient = quotient << 16 | part / base;
        r = part % base;
    }
    *rest = r;
    return quotient;
}

// Text of `length` characters behind a prefix ("-", "0x"): padded with zeros between the two, or
// blanks outside.
static void emit(struct out *out, const struct spec *spec, const char *prefix, const char *text,
                 size_t length) {
    size_t head = strlen(prefix), used = head + length;
    size_t pad = spec->width > used ? spec->width - used : 0;
    if (!spec->left && !spec->zero) put_many(out, ' ', pad);
    for (size_t i = 0; i < head; i++) put(out, prefix[i]);
    if (!spec->left && spec->zero) put_many(out, '0', pad);
    for (size_t i = 0; i < length; i++) put(out, text[i]);
    if (spec->left) put_many(out, ' ', pad);
}

static void emit_number(struct out *out, const struct spec *spec, const char *prefix,
                        uint64_t value, uint32_t base, bool upper) {
    char text[DIGITS_MAX];
    size_t at = DIGITS_MAX;
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    do {
        uint32_t digit;
        value = divide(value, base, &digit);
        text[--at] = digits[digit];
    } while (value != 0);
    emit(out, spec, prefix, text + at, DIGITS_MAX - at);
}

static size_t read_count(const char **format) {
    size_t count = 0;
    while (**format >= '0' && **format <= '9') count = count * 10 + (size_t)(*(*format)++ - '0');
    return count;
}

static void read_flags(const char **format, struct spec *spec) {
    for (;; (*format)++) {
        if (**format == '-') spec->left = true;
        else if (**format == '0') spec->zero = true;
        else if (**format == '#') spec->alternate = true;
        else return;
    }
}

static void read_size(const char **format, struct spec *spec) {
    spec->size = sizeof(int);
    for (;; (*format)++) {
        if (**format == 'l')
            spec->size = spec->size == sizeof(long) && (*format)[-1] == 'l' ? 8 : sizeof(long);
        else if (**format == 'z') spec->size = sizeof(size_t);
        else if (**format != 'h') return; // h and hh: the argument is an int all the same
    }
}

// A count or '*' for the next argument; a negative width means '-' and its size.
static size_t read_star(const char **format, va_list *args, bool *negative) {
    if (**format != '*') return read_count(format);
    (*format)++;
    int value = va_arg(*args, int);
    *negative = value < 0;
    return value < 0 ? (size_t)-value : (size_t)value;
}

static void read_spec(const char **format, struct spec *spec, va_list *args) {
    bool negative = false;
    read_flags(format, spec);
    spec->width = read_star(format, args, &negative);
    if (negative) spec->left = true;
    spec->precision = SIZE_MAX;
    if (**format == '.') {
        (*format)++;
        negative = false;
        spec->precision = read_star(format, args, &negative);
        if (negative) spec->precision = SIZE_MAX;
    }
    read_size(format, spec);
}

static uint64_t unsigned_argument(const struct spec *spec, va_list *args) {
    return spec->size == 8 ? va_arg(*args, unsigned long long) : va_arg(*args, unsigned int);
}

static int64_t signed_argument(const struct spec *spec, va_list *args) {
    return spec->size == 8 ? va_arg(*args, long long) : va_arg(*args, int);
}

static void convert_text(struct out *out, const struct spec *spec, const char *text) {
    struct spec plain = *spec;
    plain.zero = false;
    if (!text) text = "(null)";
    emit(out, &plain, "", text, strnlen(text, spec->precision));
}

// True if `kind` is a conversion this file knows.
static bool convert(struct out *out, char kind, struct spec *spec, va_list *args) {
    char c;
    int64_t value;
    switch (kind) {
    case 'd':
    case 'i':
        value = signed_argument(spec, args);
        emit_number(out, spec, value < 0 ? "-" : "",
                    value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, false);
        return true;
    case 'u': emit_number(out, spec, "", unsigned_argument(spec, args), 10, false); return true;
    case 'o': emit_number(out, spec, "", unsigned_argument(spec, args), 8, false); return true;
    case 'x':
    case 'X': {
        uint64_t number = unsigned_argument(spec, args);
        const char *prefix = spec->alternate && number != 0 ? (kind == 'x' ? "0x" : "0X") : "";
        emit_number(out, spec, prefix, number, 16, kind == 'X');
        return true;
    }
    case 'p': {
        struct spec full = {.zero = true, .width = 2 + 2 * sizeof(void *)};
        emit_number(out, &full, "0x", (uintptr_t)va_arg(*args, void *), 16, false);
        return true;
    }
    case 'c':
        c = (char)va_arg(*args, int);
        spec->zero = false;
        emit(out, spec, "", &c, 1);
        return true;
    case 's': convert_text(out, spec, va_arg(*args, const char *)); return true;
    default: return false;
    }
}

int kvsnprintf(char *to, size_t room, const char *format, va_list args) {
    struct out out = {to, room, 0};
    va_list rest;
    va_copy(rest, args);
    while (*format) {
        if (*format != '%') {
            put(&out, *format++);
            continue;
        }
        const char *start = format++;
        struct spec spec = {0};
        if (*format == '%') {
            put(&out, *format++);
            continue;
        }
        read_spec(&format, &spec, &rest);
        if (*format && convert(&out, *format, &spec, &rest)) format++;
        else
            while (start < format) put(&out, *start++); // not known: as it stands
    }
    va_end(rest);
    if (room > 0) to[out.length < room ? out.length : room - 1] = '\0';
    return (int)out.length;
}

int ksnprintf(char *to, size_t room, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = kvsnprintf(to, room, format, args);
    va_end(args);
    return length;
}

// One piece for the sink: nobody else's text comes between.
static void sink_write(const char *text, size_t bytes) {
    if (!sink) return;
#ifdef __i386__
    uint32_t state = irq_save();
    sink(text, bytes);
    irq_restore(state);
#else
    sink(text, bytes);
#endif
}

void kprintf(const char *format, ...) {
    char line[LINE_MAX];
    va_list args;
    va_start(args, format);
    size_t length = (size_t)kvsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length >= sizeof line) {
        length = sizeof line - 1;
        for (size_t i = 0; i < 4; i++) line[length - 4 + i] = "...\n"[i];
    }
    sink_write(line, length);
}

void put_str(const char *text) { sink_write(text, strlen(text)); }
