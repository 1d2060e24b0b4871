// words.c - see words.h.
#include "kernel/prompt/words.h"

int words_split(char *line, char **word, int max) {
    int count = 0;
    for (char *at = line;;) {
        while (*at == ' ' || *at == '\t') *at++ = '\0';
        if (!*at) return count;
        if (count == max) return count + 1;
        word[count++] = at;
        while (*at && *at != ' ' && *at != '\t') at++;
    }
}

// -1 for what is no digit of any base.
static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool words_number(const char *word, uint32_t *out) {
    uint32_t base = 10, value = 0;
    if (word[0] == '0' && (word[1] == 'x' || word[1] == 'X')) {
        base = 16;
        word += 2;
    }
    if (!*word) return false;
    for (; *word; word++) {
        int digit = digit_of(*word);
        if (digit < 0 || (uint32_t)digit >= base) return false;
        if (__builtin_mul_overflow(value, base, &value)) return false;
        if (__builtin_add_overflow(value, (uint32_t)digit, &value)) return false;
    }
    *out = value;
    return true;
}
