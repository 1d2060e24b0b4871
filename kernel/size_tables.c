// size_tables.c - see size_tables.h.
//
// A table is wrong for the reasons block_desc_set() would refuse it for, but that function says
// only "no": here each fault has its words. The rules are in both places, and a test holds them
// together: whatever size_table_parse() takes, block_desc_set() takes.
#include "kernel/size_tables.h"

#include <stddef.h>

#include "lib/print.h"
#include "lib/string.h"

// A plain number's digits, for messages: static text, so that they need no buffer.
#define DIGITS(number) #number
#define NUMBER(macro) DIGITS(macro)

static const uint32_t seed[] = {SIZES_SEED};

// Chosen by measurement on recorded programs (make bench). Below 128 the alignment of 16 bytes sets
// the step, above it two or three steps to a power of two: finer ones round up less, but each is
// one more arena that is not full. 1152, 4352 and 5120 are for the 1024 and 4096 bytes and a
// header that programs like to ask for; whole frames would waste nearly half of the second. Above
// that a large area of two frames wastes as much as a block, but takes longer.
static const uint32_t fine[] = {16,   32,   48,   64,   80,   96,   112,  128,  160,
                                192,  256,  320,  384,  512,  640,  768,  1024, 1152,
                                1280, 1536, 2048, 2560, 3072, 4096, 4352, 5120, 8192};

static const struct {
    const char *name;
    const uint32_t *sizes;
    uint32_t count;
} tables[] = {
    {"seed", seed, sizeof seed / sizeof seed[0]},
    {"fine", fine, sizeof fine / sizeof fine[0]},
};
#define TABLES (sizeof tables / sizeof tables[0])

_Static_assert(sizeof fine / sizeof fine[0] <= DESC_MAX, "a descriptor for each size");
// Four digits and a comma for each size: BLOCK_SIZE_MAX has no more.
_Static_assert(5 * DESC_MAX < SIZE_TABLE_NAME_BYTES && BLOCK_SIZE_MAX < 10000,
               "room for any table");

// Commas where a blank would end the word on a command line, blanks where people write them.
static bool separator(char c) { return c == ',' || c == ' ' || c == '\t'; }

// One number and the separators after it. Its bound is checked before the next digit is added, so
// no number wraps into range.
static const char *table_size(const char **at, uint32_t *size) {
    const char *c = *at;
    if (*c < '0' || *c > '9') return "not a number";
    uint32_t value = 0;
    for (; *c >= '0' && *c <= '9'; c++) {
        value = value * 10 + (uint32_t)(*c - '0');
        if (value > BLOCK_SIZE_MAX) return "a size above " NUMBER(BLOCK_SIZE_MAX);
    }
    if (*c && !separator(*c)) return "not a number";
    while (separator(*c)) c++;
    *at = c;
    *size = value;
    return NULL;
}

// Rising order also keeps a size from being there twice. Before the first is 0.
static const char *size_fault(uint32_t size, uint32_t before) {
    if (size == 0 || size % BLOCK_ALIGN != 0)
        return "a size that is no multiple of " NUMBER(BLOCK_ALIGN);
    return size <= before ? "sizes that do not rise" : NULL;
}

// All sizes of a text. Separators may be anywhere, also before the first.
static const char *read_sizes(const char *at, uint32_t sizes[DESC_MAX], uint32_t *count) {
    uint32_t read = 0;
    while (separator(*at)) at++;
    while (*at) {
        uint32_t size;
        const char *why = table_size(&at, &size);
        if (!why) why = size_fault(size, read > 0 ? sizes[read - 1] : 0);
        if (!why && read == DESC_MAX) why = "more than " NUMBER(DESC_MAX) " sizes";
        if (why) return why;
        sizes[read++] = size;
    }
    *count = read;
    return read > 0 ? NULL : "no sizes";
}

const char *classes_known(size_t index) { return index < TABLES ? tables[index].name : NULL; }

// A name must be whole and alone: "seed,16" is not the seed's and one more.
const char *size_table_parse(const char *text, uint32_t sizes[DESC_MAX], uint32_t *count) {
    for (size_t i = 0; i < TABLES; i++) {
        if (strcmp(text, tables[i].name) != 0) continue;
        memcpy(sizes, tables[i].sizes, tables[i].count * sizeof *sizes);
        *count = tables[i].count;
        return NULL;
    }
    uint32_t read[DESC_MAX], n = 0; // apart, so that a wrong table changes nothing
    const char *why = read_sizes(text, read, &n);
    if (why) return why;
    memcpy(sizes, read, n * sizeof *sizes);
    *count = n;
    return NULL;
}

uint32_t size_table_of(const struct heap *heap, uint32_t sizes[DESC_MAX]) {
    for (uint32_t i = 0; i < heap->desc_count; i++) sizes[i] = heap->block_descs[i].block_size;
    return heap->desc_count;
}

// By its contents, not by the name it was given: the seven sizes typed one by one are the
// seed's.
const char *size_table_name(const uint32_t *sizes, uint32_t count, char to[SIZE_TABLE_NAME_BYTES]) {
    for (size_t i = 0; i < TABLES; i++) {
        if (count != tables[i].count || memcmp(sizes, tables[i].sizes, count * sizeof *sizes) != 0)
            continue;
        ksnprintf(to, SIZE_TABLE_NAME_BYTES, "%s", tables[i].name);
        return to;
    }
    int length = 0;
    to[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        length += ksnprintf(to + length, SIZE_TABLE_NAME_BYTES - (size_t)length, "%s%u",
                            i > 0 ? "," : "", sizes[i]);
    }
    return to;
}
