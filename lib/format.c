// format.c - see format.h.
//
// One pass over the format: each conversion is read into a struct spec, its digits are made in a
// small buffer, and emit() pads them. Output beyond the room is counted and not written, so
// ksnprintf() can tell the length it would need.
//
// 64-bit numbers are divided by 8, 10 or 16 as on paper, with digits of 16 bits: the processor's
// `div` has a 32-bit quotient, so the compiler makes a 64-bit division a call into its library.
//
// Invariant L1: out.length counts every character, written or not; those below room - 1 are in
// `to`.
//
// Shortcomings: no floating point (the kernel does not save those registers), no %n, no precision
// for numbers.
#include "lib/format.h"

#include <stdbool.h>
#include <stdint.h>

#include "lib/string.h"

#define DIGITS_MAX 24 // 2^64 - 1 in octal has 22

// The state of one ksnprintf(); lives as long as that call.
struct out {
    char *to;      // where the text goes
    size_t room;   // bytes there, NUL included
    size_t length; // characters so far, written or not
};

// One conversion, between '%' and its letter.
struct spec {
    bool left, zero, alternate; // flags '-', '0', '#'
    size_t width;               // characters at the least, 0: as many as there are
    size_t precision;           // SIZE_MAX: none
    int size;                   // bytes of the argument
};

// `length + 1`, not `room - 1`: with room 0 the latter is the largest number there is, and the text
// would go wherever `to` points.
static void put(struct out *out, char c) {
    if (out->length + 1 < out->room) out->to[out->length] = c;
    out->length++;
}

static void put_many(struct out *out, char c, size_t count) {
    while (count-- > 0) put(out, c);
}

// value / base; *rest becomes value % base. From the highest 16 bits down, each step takes the rest
// of the one before as its upper half. base < 2^16, so that each step's dividend fits 32 bits; r is
// below base, so part / base is below 2^16 and fits its place in the quotient.
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

// Text of `length` characters after a prefix ("-", "0x"): padded with zeros between the two, or
// with blanks outside. That is why the prefix is separate: "00-5", with zeros before the minus
// sign, is not a number. '-' beats '0', as in C.
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

// Digits come out last first, so the buffer is filled from its end. A `do`, because 0 has a digit
// too.
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

// Formats are written by the kernel's authors and checked by the compiler: a count is not guarded
// against wrapping.
static size_t read_count(const char **format) {
    size_t count = 0;
    while (**format >= '0' && **format <= '9') count = count * 10 + (size_t)(*(*format)++ - '0');
    return count;
}

// Flags in any order and as often as one likes, as in C. '0' is read here and not as the first
// digit of the width, which cannot begin with one.
static void read_flags(const char **format, struct spec *spec) {
    for (;; (*format)++) {
        if (**format == '-') spec->left = true;
        else if (**format == '0') spec->zero = true;
        else if (**format == '#') spec->alternate = true;
        else return;
    }
}

// On i386 int, long and size_t have one size, so "ll" cannot be told from "l" by the size so far:
// the letter before decides. What counts is the number of bytes that va_arg() takes: with four of
// eight taken, every later argument would be read from the wrong place.
static void read_size(const char **format, struct spec *spec) {
    spec->size = sizeof(int);
    for (;; (*format)++) {
        if (**format == 'l')
            spec->size = spec->size == sizeof(long) && (*format)[-1] == 'l' ? 8 : sizeof(long);
        else if (**format == 'z') spec->size = sizeof(size_t);
        else if (**format != 'h') return; // h and hh: the argument is an int all the same
    }
}

// A count or '*' for the next argument; a negative width means '-' and its size, a negative
// precision means none (ISO C11 7.21.6.1).
static size_t read_star(const char **format, va_list *args, bool *negative) {
    if (**format != '*') return read_count(format);
    (*format)++;
    int value = va_arg(*args, int);
    *negative = value < 0;
    return value < 0 ? (size_t)-value : (size_t)value;
}

// In the order in which C's formats have them: flags, width, precision, length. Moves *format to
// the conversion's letter, or to the NUL of a format that ends too early.
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

// Widened here, so that one function makes the digits of all sizes. Smaller ones than int do not
// exist as arguments: C passes them as int.
static uint64_t unsigned_argument(const struct spec *spec, va_list *args) {
    return spec->size == 8 ? va_arg(*args, unsigned long long) : va_arg(*args, unsigned int);
}

static int64_t signed_argument(const struct spec *spec, va_list *args) {
    return spec->size == 8 ? va_arg(*args, long long) : va_arg(*args, int);
}

// A null pointer is shown, not followed: a line that is printed to find a fault must not make one.
// The precision bounds the reading as well, so %.*s serves text that has no NUL.
static void convert_text(struct out *out, const struct spec *spec, const char *text) {
    struct spec plain = *spec;
    plain.zero = false;
    if (!text) text = "(null)";
    emit(out, &plain, "", text, strnlen(text, spec->precision));
}

// True if `kind` is a conversion this file knows; nothing is taken from `args` otherwise. The most
// negative number has no positive of its type, hence the subtraction from an unsigned 0.
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

// The caller's va_list is copied: helpers take arguments through a pointer, and where va_list is an
// array (x86-64) a parameter of that type is no longer an array, so its address has another type.
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
            while (start < format) put(&out, *start++); // not known: unchanged
    }
    va_end(rest);
    if (room > 0) to[out.length < room ? out.length : room - 1] = '\0';
    return (int)out.length;
}

// Returns an int as C does; a kernel prints no text of nearly 2^31 characters.
int ksnprintf(char *to, size_t room, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = kvsnprintf(to, room, format, args);
    va_end(args);
    return length;
}
