// test_cmdline.c - kernel/cmdline.c: every option, every kind of wrong word, every bound.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/cmdline.h"

#define TEST(name) static void name(void **state __attribute__((unused)))

static struct options options;

static void parse(const char *text) {
    memset(&options, 0xa5, sizeof options); // what the parser leaves alone must show
    cmdline_parse(text, &options);
}

// Parses a line that has exactly one thing wrong, and compares what is said of it.
static void expect_problem(const char *text, const char *problem) {
    parse(text);
    assert_int_equal(options.problem_count, 1);
    assert_int_equal(options.problem_more, 0);
    assert_string_equal(options.problem[0], problem);
}

TEST(empty_line_gives_the_defaults) {
    static const char *const lines[] = {"", " ", "\t \r\n "};
    for (size_t i = 0; i < 3; i++) {
        parse(lines[i]);
        assert_false(options.batch || options.heap_panic);
        assert_true(options.demo);
        assert_null(options.test);
        assert_string_equal(options.classes, "seed");
        assert_false(options.classes_wrong || options.progress);
        assert_null(options.replay);
        assert_int_equal(options.hz, 0);
        assert_int_equal(options.selftest, SELFTEST_NONE);
        assert_int_equal(options.problem_count, 0);
    }
}

TEST(every_option_is_read) {
    parse("batch demo=no test=heap_*,boot_map heap=panic classes=seed hz=250 selftest=lie cpus=3");
    assert_int_equal(options.cpus, 3);
    assert_true(options.batch && options.heap_panic);
    assert_false(options.demo);
    assert_string_equal(options.test, "heap_*,boot_map");
    assert_string_equal(options.classes, "seed");
    assert_int_equal(options.hz, 250);
    assert_int_equal(options.selftest, SELFTEST_LIE);
    assert_int_equal(options.problem_count, 0);
}

TEST(test_without_a_name_means_all) {
    parse("test");
    assert_string_equal(options.test, "*");
    parse("test=");
    assert_string_equal(options.test, "");
    assert_int_equal(options.problem_count, 0);
}

TEST(selftests_have_their_numbers) {
    static const char *const line[] = {"selftest=panic",    "selftest=hang",  "selftest=lie",
                                       "selftest=silent",   "selftest=stack", "selftest=fault",
                                       "selftest=deadlock", "selftest=order", "selftest=crowd"};
    for (int i = 0; i < 9; i++) {
        parse(line[i]);
        assert_int_equal(options.selftest, SELFTEST_PANIC + i);
    }
}

TEST(blanks_of_all_kinds_separate) {
    parse("  batch\t\tdemo=no\r\nhz=19  ");
    assert_true(options.batch);
    assert_false(options.demo);
    assert_int_equal(options.hz, 19);
    assert_int_equal(options.problem_count, 0);
}

TEST(the_last_of_two_wins) {
    parse("demo=no heap=panic hz=100 demo=yes heap=report hz=200");
    assert_true(options.demo);
    assert_false(options.heap_panic);
    assert_int_equal(options.hz, 200);
}

TEST(quotes_keep_blanks) {
    parse("test=\"a b\" batch");
    assert_string_equal(options.test, "a b");
    assert_true(options.batch);
    parse("\"batch\" te\"st=\"x hz=\"2\"50");
    assert_true(options.batch);
    assert_string_equal(options.test, "x");
    assert_int_equal(options.hz, 250);
    assert_int_equal(options.problem_count, 0);
    parse("test=\"\"");
    assert_string_equal(options.test, "");
}

TEST(an_open_quote_is_named) {
    expect_problem("test=\"a b batch", "a quote is not closed");
    assert_string_equal(options.test, "a b batch");
    assert_false(options.batch);
    parse("\"");
    assert_int_equal(options.problem_count, 2); // and the empty word after it is no option
}

static void expect_soak(const char *text, uint32_t ops, uint32_t threads, uint32_t seed) {
    parse(text);
    assert_int_equal(options.problem_count, 0);
    assert_true(options.soak == ops && options.soak_crowd == threads);
    assert_true(options.soak_seed == seed);
}

TEST(soak_has_up_to_three_numbers) {
    expect_soak("", 0, 0, 0);
    expect_soak("soak=1", 1, 0, 1);
    expect_soak("soak=4000000000", 4000000000u, 0, 1);
    expect_soak("soak=100,64", 100, 64, 1);
    expect_soak("soak=100,0,4294967295", 100, 0, 4294967295u);
}

TEST(frames_has_a_range) {
    parse("frames=16");
    assert_int_equal(options.frames, 16);
    parse("frames=262144");
    assert_int_equal(options.frames, 262144);
    expect_problem("frames=15", "bad value '15' for 'frames' (frames=16..262144)");
    expect_problem("frames=262145", "bad value '262145' for 'frames' (frames=16..262144)");
    expect_problem("frames=4294967312", "bad value '4294967312' for 'frames' (frames=16..262144)");
    expect_problem("frames=100k", "bad value '100k' for 'frames' (frames=16..262144)");
    assert_int_equal(options.frames, 0);
}

TEST(soak_refuses_other_numbers) {
    static const char *const values[] = {"",
                                         "0",
                                         ",",
                                         "x",
                                         "-1",
                                         "1,",
                                         "1,,",
                                         "1,65",
                                         "1,2,",
                                         "1,2,3,",
                                         "1,2,3x",
                                         "1,2,3,4",
                                         "1,2,4294967296",
                                         "4000000001",
                                         "1x",
                                         "1,64x",
                                         "99999999999"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char line[40], expected[CMDLINE_PROBLEM_BYTES];
        snprintf(line, sizeof line, "soak=%s", values[i]);
        snprintf(expected, sizeof expected, "bad value '%s' for 'soak' (soak=OPS[,THREADS[,SEED]])",
                 values[i]);
        expect_problem(line, expected);
        assert_int_equal(options.soak, 0);
    }
}

TEST(bugs_are_a_number_or_all) {
    parse("bugs=7");
    assert_true(options.bugs == 7 && !options.bugs_fixed);
    parse("bugs=7,fixed");
    assert_true(options.bugs == 7 && options.bugs_fixed);
    parse("bugs=all,fixed");
    assert_true(options.bugs == BUGS_ALL && options.bugs_fixed);
    parse("bugs=all");
    assert_true(options.bugs == BUGS_ALL && !options.bugs_fixed);
    assert_int_equal(options.problem_count, 0);
}

TEST(bugs_refuse_other_values) {
    static const char *const values[] = {"",         "0",      "-1",      "x",
                                         "alle",     "7,",     "7fix",    "7,fixedx",
                                         "7,fixed,", ",fixed", "all,fix", "4294967295"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char line[40], expected[CMDLINE_PROBLEM_BYTES];
        snprintf(line, sizeof line, "bugs=%s", values[i]);
        snprintf(expected, sizeof expected, "bad value '%s' for 'bugs' (bugs=N|all[,fixed])",
                 values[i]);
        expect_problem(line, expected);
        assert_int_equal(options.bugs, 0);
    }
}

TEST(flags_take_no_value) {
    parse("guard magic_break");
    assert_true(options.guard && options.magic_break);
    parse("guard=1 magic_break=yes");
    assert_false(options.guard || options.magic_break);
    assert_int_equal(options.problem_count, 2);
}

TEST(the_heaps_log_is_kept_or_printed) {
    parse("log");
    assert_true(options.log && !options.log_print);
    parse("log=print");
    assert_true(options.log && options.log_print);
    expect_problem("log=yes", "bad value 'yes' for 'log' (log[=print])");
    assert_false(options.log);
}

TEST(events_name_their_line) {
    parse("events=com2");
    assert_true(options.events);
    expect_problem("events=com1", "bad value 'com1' for 'events' (events=com2)");
    assert_false(options.events);
    expect_problem("events", "'events' wants a value (events=com2)");
}

// The longest message there is, whole: its last character is the list's.
TEST(the_list_of_the_known_fits) {
    parse("12345678901234567890123456789012345");
    assert_int_equal(options.problem_count, 1);
    size_t length = strlen(options.problem[0]);
    assert_true(length < CMDLINE_PROBLEM_BYTES - 1);
    assert_int_equal(options.problem[0][length - 1], ')');
}

TEST(an_unknown_option_is_named_with_the_known) {
    static const char known[] =
        "(known: batch, demo, sizes, heap, hz, cpus, guard, test, bugs, run, frames, scene, log, "
        "events, replay, together, progress, bench, soak, magic_break, selftest, classes)";
    char expected[CMDLINE_PROBLEM_BYTES];
    snprintf(expected, sizeof expected, "unknown option 'memory' %s", known);
    expect_problem("memory=64 batch", expected);
    assert_true(options.batch);
    snprintf(expected, sizeof expected, "unknown option '%s' %s",
             "abcdefghijklmnopqrstuvwxyz012345", known);
    expect_problem("abcdefghijklmnopqrstuvwxyz0123456789", expected);
    expect_problem("=batch", strcat(strcpy(expected, "unknown option '' "), known));
}

TEST(a_slip_is_answered_with_what_was_meant) {
    expect_problem("tset=heap_*", "unknown option 'tset': did you mean test[=NAME,NAME*]?");
    expect_problem("batsh", "unknown option 'batsh': did you mean batch?");
    expect_problem("size=fine",
                   "unknown option 'size': did you mean sizes=seed|fine|16,32,48,...?");
    expect_problem("hzz=100", "unknown option 'hzz': did you mean hz=19..10000?");
}

// An old word is read, and no list shows it.
TEST(classes_is_the_old_word_for_sizes) {
    parse("classes=fine");
    assert_string_equal(options.classes, "fine");
    parse("sizes=16,64 classes=fine sizes=32,64");
    assert_string_equal(options.classes, "32,64");
    assert_int_equal(options.problem_count, 0);
    for (uint32_t i = 0; i < cmdline_option_count; i++)
        assert_int_equal(cmdline_options[i].help == NULL,
                         strcmp(cmdline_options[i].name, "classes") == 0);
}

TEST(names_are_compared_whole) {
    static const char *const line[] = {"batc", "batchx", "Batch", "-batch", "it's", "hzz=100", "h"};
    for (size_t i = 0; i < sizeof line / sizeof line[0]; i++) {
        parse(line[i]);
        assert_int_equal(options.problem_count, 1);
        assert_false(options.batch);
        assert_int_equal(options.hz, 0);
    }
}

TEST(bad_values_are_named) {
    expect_problem("demo=maybe", "bad value 'maybe' for 'demo' (demo=yes|no)");
    assert_true(options.demo);
    expect_problem("heap=", "bad value '' for 'heap' (heap=report|panic)");
    expect_problem("demo=no=yes", "bad value 'no=yes' for 'demo' (demo=yes|no)");
    expect_problem("batch=1", "bad value '1' for 'batch' (batch)");
    expect_problem("cpus=0", "bad value '0' for 'cpus' (cpus=1..16)");
    expect_problem("cpus=17", "bad value '17' for 'cpus' (cpus=1..16)");
    expect_problem("cpus=2x", "bad value '2x' for 'cpus' (cpus=1..16)");
    expect_problem("selftest=none",
                   "bad value 'none' for 'selftest' "
                   "(selftest=panic|hang|lie|silent|stack|fault|deadlock|order|crowd)");
    assert_int_equal(options.selftest, SELFTEST_NONE);
}

#define SIZES_FORM " (sizes=seed|fine|16,32,48,...)"

TEST(tables_of_block_sizes_are_kept_as_text) {
    static const char *const good[] = {"seed", "fine", "16", "16,32,48", "16 32 4096"};
    char line[64];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(line, sizeof line, "classes=\"%s\"", good[i]);
        parse(line);
        assert_string_equal(options.classes, good[i]);
        assert_false(options.classes_wrong);
        assert_int_equal(options.problem_count, 0);
    }
}

TEST(a_wrong_table_is_named_and_the_one_before_stays) {
    expect_problem("classes=huge", "bad value 'huge' for 'sizes': not a number" SIZES_FORM);
    assert_string_equal(options.classes, "seed");
    assert_true(options.classes_wrong);
    expect_problem("classes=fine classes=32,16",
                   "bad value '32,16' for 'sizes': sizes that do not rise" SIZES_FORM);
    assert_string_equal(options.classes, "fine");
    assert_true(options.classes_wrong);
    expect_problem("classes=24 classes=seed",
                   "bad value '24' for 'sizes': a size that is no multiple of 16" SIZES_FORM);
    assert_false(options.classes_wrong);
    expect_problem("classes=", "bad value '' for 'sizes': no sizes" SIZES_FORM);
    expect_problem("classes", "'classes' wants a value (classes=seed|fine|16,32,48,...)");
}

TEST(replay_has_a_name) {
    parse("replay");
    assert_string_equal(options.replay, "trace");
    parse("replay=");
    assert_string_equal(options.replay, "trace");
    parse("replay=perl32 progress");
    assert_string_equal(options.replay, "perl32");
    assert_true(options.progress);
    assert_int_equal(options.problem_count, 0);
    assert_false(options.together);
    parse("together");
    assert_true(options.together && options.replay);
    parse("together replay=perl32");
    assert_string_equal(options.replay, "perl32");
    expect_problem("together=2", "bad value '2' for 'together' (together)");
    expect_problem("progress=yes", "bad value 'yes' for 'progress' (progress)");
    assert_false(options.progress);
}

TEST(a_missing_value_is_named) {
    expect_problem("demo", "'demo' wants a value (demo=yes|no)");
    expect_problem("hz", "'hz' wants a value (hz=19..10000)");
    expect_problem("selftest", "'selftest' wants a value "
                               "(selftest=panic|hang|lie|silent|stack|fault|deadlock|order|crowd)");
}

TEST(numbers_have_bounds) {
    static const char *const bad[] = {"hz=",      "hz=0",          "hz=18",
                                      "hz=10001", "hz=4294967396", "hz=-100",
                                      "hz=1e3",   "hz=100x",       "hz=99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        parse(bad[i]);
        assert_int_equal(options.problem_count, 1);
        assert_int_equal(options.hz, 0);
    }
    parse("hz=19");
    assert_int_equal(options.hz, 19);
    parse("hz=10000");
    assert_int_equal(options.hz, 10000);
    parse("hz=0000000000100");
    assert_int_equal(options.hz, 100);
}

TEST(problems_are_bounded_and_counted) {
    parse("a b c d e f g h i j batch");
    assert_int_equal(options.problem_count, CMDLINE_PROBLEMS_MAX);
    assert_int_equal(options.problem_more, 2);
    assert_memory_equal(options.problem[7], "unknown option 'h'", 18);
    assert_true(options.batch);
}

TEST(a_full_sector_is_read) {
    char line[CMDLINE_BYTES];
    memset(line, ' ', sizeof line);
    memcpy(line + CMDLINE_BYTES - 6, "batch", 6);
    parse(line);
    assert_true(options.batch);
    assert_int_equal(options.problem_count, 0);
}

TEST(a_longer_line_is_cut_and_named) {
    char line[CMDLINE_BYTES + 100];
    memset(line, ' ', sizeof line);
    memcpy(line, "batch", 5);
    snprintf(line + CMDLINE_BYTES - 3, 8, "demo=no"); // "de" is left of it
    parse(line);
    assert_true(options.batch && options.demo);
    assert_int_equal(options.problem_count, 2);
    assert_string_equal(options.problem[0], "longer than 511 characters, cut there");
    assert_memory_equal(options.problem[1], "unknown option 'de'", 19);
}

TEST(what_cannot_be_shown_becomes_a_question_mark) {
    parse("\x01\x1b[31m\x7f\xff");
    assert_memory_equal(options.problem[0], "unknown option '?\?[31m?\?'", 25);
}

// Any bytes at all: no crash (the sanitizers look), and every problem ends inside its line.
TEST(random_lines_are_safe) {
    static const char *const piece[] = {"batch", "demo=", "no",    "\"",   " ", "=",
                                        "hz=",   "77",    "test=", "\x80", ","};
    char line[CMDLINE_BYTES + 200];
    srand(20);
    for (int round = 0; round < 20000; round++) {
        size_t length = 0, pieces = (size_t)rand() % 90;
        for (size_t i = 0; i < pieces; i++) {
            const char *next = piece[(size_t)rand() % (sizeof piece / sizeof piece[0])];
            memcpy(line + length, next, strlen(next));
            length += strlen(next);
        }
        line[length] = '\0';
        parse(line);
        for (uint32_t i = 0; i < options.problem_count; i++) {
            assert_in_range(strnlen(options.problem[i], CMDLINE_PROBLEM_BYTES), 1,
                            CMDLINE_PROBLEM_BYTES - 1);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_line_gives_the_defaults),
        cmocka_unit_test(every_option_is_read),
        cmocka_unit_test(test_without_a_name_means_all),
        cmocka_unit_test(selftests_have_their_numbers),
        cmocka_unit_test(blanks_of_all_kinds_separate),
        cmocka_unit_test(the_last_of_two_wins),
        cmocka_unit_test(quotes_keep_blanks),
        cmocka_unit_test(an_open_quote_is_named),
        cmocka_unit_test(frames_has_a_range),
        cmocka_unit_test(soak_has_up_to_three_numbers),
        cmocka_unit_test(soak_refuses_other_numbers),
        cmocka_unit_test(bugs_are_a_number_or_all),
        cmocka_unit_test(bugs_refuse_other_values),
        cmocka_unit_test(flags_take_no_value),
        cmocka_unit_test(the_heaps_log_is_kept_or_printed),
        cmocka_unit_test(events_name_their_line),
        cmocka_unit_test(the_list_of_the_known_fits),
        cmocka_unit_test(an_unknown_option_is_named_with_the_known),
        cmocka_unit_test(a_slip_is_answered_with_what_was_meant),
        cmocka_unit_test(classes_is_the_old_word_for_sizes),
        cmocka_unit_test(names_are_compared_whole),
        cmocka_unit_test(bad_values_are_named),
        cmocka_unit_test(tables_of_block_sizes_are_kept_as_text),
        cmocka_unit_test(a_wrong_table_is_named_and_the_one_before_stays),
        cmocka_unit_test(replay_has_a_name),
        cmocka_unit_test(a_missing_value_is_named),
        cmocka_unit_test(numbers_have_bounds),
        cmocka_unit_test(problems_are_bounded_and_counted),
        cmocka_unit_test(a_full_sector_is_read),
        cmocka_unit_test(a_longer_line_is_cut_and_named),
        cmocka_unit_test(what_cannot_be_shown_becomes_a_question_mark),
        cmocka_unit_test(random_lines_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
