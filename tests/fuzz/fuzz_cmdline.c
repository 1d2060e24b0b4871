// fuzz_cmdline.c - kernel/cmdline.c on any text: options that are sound, problems in whole lines.
//
// What only it can find: a text of options that reads past its end or leaves an option out of
// bounds, found by coverage and not by a list of cases.
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "kernel/size_tables.h"
#include "kernel/cmdline.h"

// Printable and ended: it goes to the console as it is.
static void require_text(const char *text, size_t room) {
    REQUIRE(memchr(text, '\0', room) != NULL);
    for (; *text; text++) REQUIRE((unsigned char)*text >= ' ' && (unsigned char)*text < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static struct options options;
    char *text = malloc(bytes + 1); // of just that length, so that ASan sees a step outside
    REQUIRE(text != NULL);
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    memset(&options, 0xa5, sizeof options);
    cmdline_parse(text, &options);
    REQUIRE(options.problem_count <= CMDLINE_PROBLEMS_MAX);
    for (uint32_t i = 0; i < options.problem_count; i++) {
        require_text(options.problem[i], CMDLINE_PROBLEM_BYTES);
    }
    REQUIRE(options.hz == 0 || (options.hz >= 19 && options.hz <= 10000));
    uint32_t sizes[DESC_MAX], count;
    REQUIRE(size_table_parse(options.classes, sizes, &count) == NULL);
    REQUIRE(options.selftest <= SELFTEST_FAULT);
    if (options.test) REQUIRE(strnlen(options.test, CMDLINE_BYTES) < CMDLINE_BYTES);
    free(text);
    return 0;
}
