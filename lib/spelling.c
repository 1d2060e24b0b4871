// spelling.c - see spelling.h.
//
// The distance of Damerau in its simpler form, row by row: row[i][j] is the distance from the first
// i characters of `a` to the first j of `b`. Only three rows are ever looked at, the third for two
// characters that changed places.
#include "lib/spelling.h"

#include "lib/string.h"

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

unsigned spelling_distance(const char *a, const char *b) {
    unsigned row[3][SPELLING_MAX + 1];
    size_t a_length = strlen(a), b_length = strlen(b);
    if (a_length > SPELLING_MAX || b_length > SPELLING_MAX) return SPELLING_MAX + 1;
    for (unsigned j = 0; j <= b_length; j++) row[0][j] = j;
    for (unsigned i = 1; i <= a_length; i++) {
        unsigned *now = row[i % 3], *before = row[(i + 2) % 3], *twice_before = row[(i + 1) % 3];
        now[0] = i;
        for (unsigned j = 1; j <= b_length; j++) {
            now[j] =
                least(before[j - 1] + (a[i - 1] != b[j - 1]), least(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], twice_before[j - 2] + 1);
        }
    }
    return row[a_length % 3][b_length];
}

const char *spelling_nearest(const char *typed, const char *(*word)(size_t index)) {
    const char *nearest = NULL, *candidate;
    unsigned best = strlen(typed) > 3 ? 3 : 2; // what is near is below it
    for (size_t i = 0; (candidate = word(i)) != NULL; i++) {
        unsigned distance = spelling_distance(typed, candidate);
        if (distance >= best || distance >= strlen(candidate)) continue;
        best = distance;
        nearest = candidate;
    }
    return nearest;
}
