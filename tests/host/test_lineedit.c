// test_lineedit.c - the prompt's line, seen as the user sees it: on a terminal.
//
// What lineedit.c puts out goes to a model of a terminal's row. After every key the row must show
// the prompt and the line, and the cursor must be where the line's is: what is seen is what
// will be obeyed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/prompt/lineedit.h"

#define PROMPT "> "
#define COLUMNS 80
#define TEST(name) static void name(void **state __attribute__((unused)))

static struct lineedit edit;
static char row[COLUMNS + 1]; // blanks after the text
static size_t column, rows;   // rows: lines ended so far
static char all[8192];        // everything put out, escape sequences included
static size_t all_length;

// ---- the terminal -------------------------------------------------------------------------------

static void row_clear(size_t from) { memset(row + from, ' ', COLUMNS - from); }

static size_t sequence(const char *text, size_t bytes) {
    assert_true(bytes >= 3 && text[1] == '[');
    if (text[2] == 'K') row_clear(column);
    else if (text[2] == 'H') column = 0;
    else if (text[2] == '2' && text[3] == 'J') return row_clear(0), 4;
    else fail_msg("a sequence that the screen does not know");
    return 3;
}

static void put(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes && all_length < sizeof all - 1; i++) all[all_length++] = text[i];
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\033') {
            i += sequence(text + i, bytes - i) - 1;
        } else if (text[i] == '\a') {
            continue;
        } else if (text[i] == '\b') {
            assert_true(column > 0); // a terminal does not climb into the line above
            column--;
        } else if (text[i] == '\n') {
            column = 0;
            rows++;
            row_clear(0);
        } else {
            assert_true(text[i] >= ' ' && column < COLUMNS);
            row[column++] = text[i];
        }
    }
    all[all_length] = '\0';
}

static void check_seen(void) {
    char expected[COLUMNS + 1];
    assert_true(edit.cursor <= edit.length && edit.length < LINEEDIT_ROOM); // E1
    assert_int_equal(strlen(edit.line), edit.length);
    snprintf(expected, sizeof expected, "%-*s", COLUMNS, "");
    memcpy(expected, PROMPT, strlen(PROMPT));
    memcpy(expected + strlen(PROMPT), edit.line, edit.length);
    assert_memory_equal(row, expected, COLUMNS);
    assert_int_equal(column, strlen(PROMPT) + edit.cursor);
}

// ---- keys ---------------------------------------------------------------------------------------

static const char *const words[] = {"malloc", "map", "mem", "free", "ps", NULL};

static const char *candidate(const char *line, size_t start, size_t index) {
    static const char *const second[] = {"on", "off", NULL};
    if (start == 0) return words[index];
    return strncmp(line, "trace ", 6) == 0 ? second[index] : NULL;
}

static int start(void **state) {
    (void)state;
    memset(&edit, 0, sizeof edit);
    edit.prompt = PROMPT;
    edit.put = put;
    edit.candidate = candidate;
    column = rows = all_length = 0;
    row_clear(0);
    lineedit_begin(&edit);
    return 0;
}

// Types `keys`; true if the last of them ended the line.
static bool type(const char *keys) {
    bool done = false;
    for (; *keys; keys++) {
        done = lineedit_key(&edit, (unsigned char)*keys);
        if (!done) check_seen();
    }
    return done;
}

static void enter(const char *line) {
    assert_true(type(line) || type("\r"));
    lineedit_begin(&edit);
}

static void expect(const char *keys, const char *line, size_t cursor) {
    put("\n", 1); // a new line
    lineedit_begin(&edit);
    assert_false(type(keys));
    assert_string_equal(edit.line, line);
    assert_int_equal(edit.cursor, cursor);
}

// ---- tests --------------------------------------------------------------------------------------

TEST(text_is_taken_and_shown) {
    expect("abc", "abc", 3);
    assert_true(type("\r"));
    assert_string_equal(edit.line, "abc");
    lineedit_begin(&edit);
    assert_true(type("x\n"));
    assert_string_equal(edit.line, "x");
}

TEST(the_cursor_moves) {
    expect("abc\002\002", "abc", 1); // Ctrl-B
    expect("abc\033[D\033[D\033[C", "abc", 2);
    expect("abc\033OD", "abc", 2);
    expect("abc\001", "abc", 0);
    expect("abc\001\006\005", "abc", 3);
    expect("abc\033[H", "abc", 0);
    expect("abc\033[1~\033[4~", "abc", 3);
    expect("abc\033[7~\033[8~\033[F", "abc", 3);
    expect("abc\033[C\006\005", "abc", 3);
    expect("abc\001\002\033[D", "abc", 0);
}

TEST(text_is_inserted_where_the_cursor_is) {
    expect("ac\002b", "abc", 2);
    expect("bc\001a", "abc", 1);
}

TEST(text_is_deleted) {
    expect("abc\b", "ab", 2);
    expect("abc\177\177", "a", 1);
    expect("abc\002\b", "ac", 1);
    expect("abc\001\004", "bc", 0);
    expect("abc\001\033[3~\033[3~", "c", 0);
    expect("abc\001\b", "abc", 0);
    expect("abc\004\033[3~", "abc", 3);
    expect("abc\002\025", "c", 0);
    expect("abc\002\002\013", "a", 1);
    expect("free 0x12 34\027", "free 0x12 ", 10);
    expect("free 0x12 \027", "free ", 5);
    expect("  \027", "", 0);
}

TEST(a_long_line_ends_with_the_screen) {
    char keys[200];
    memset(keys, 'x', sizeof keys - 1);
    keys[sizeof keys - 1] = '\0';
    type(keys);
    assert_int_equal(edit.length, LINEEDIT_ROOM - 1);
    type("\001y"); // no room in the middle either
    assert_int_equal(edit.length, LINEEDIT_ROOM - 1);
    assert_int_equal(edit.line[0], 'x');
    type("\004y");
    assert_int_equal(edit.line[0], 'y');
}

// Part of a command is never run: a pasted line that is too long is refused whole.
TEST(a_line_that_was_cut_is_not_handed_over) {
    char keys[LINEEDIT_ROOM + 1];
    memset(keys, 'x', LINEEDIT_ROOM);
    keys[LINEEDIT_ROOM] = '\0';
    assert_false(type(keys));
    assert_int_equal(all[all_length - 1], '\a');
    assert_false(type("\t\002\r")); // neither Tab nor a movement is a second thought
    assert_int_equal(edit.length, 0);
    assert_non_null(strstr(all, "longer than a line may be: not run\n" PROMPT));
    assert_int_equal(edit.history_count, 0);
    assert_true(type("short\r"));
    lineedit_begin(&edit);
    type(keys);
    assert_true(type("\b\r")); // seen and mended
    lineedit_begin(&edit);
    type(keys);
    assert_true(type("\020\020\r")); // another line altogether
    assert_string_equal(edit.line, "short");
}

TEST(control_d_in_an_empty_line_types_the_end) {
    type("\004");
    assert_int_equal(edit.length, 0); // its owner has none
    edit.end = "exit";
    type("x\001\004"); // a line with something in it: a character
    assert_int_equal(edit.length, 0);
    assert_true(type("\004"));
    assert_string_equal(edit.line, "exit");
    assert_non_null(strstr(all, "exit\n"));
}

TEST(other_keys_do_nothing) {
    expect("a\001\002\033[5~\033[Z\033[200~\033[", "a", 0);
    type("A"); // ends the sequence that was open
    expect("a\x80\xff\x07\x1d\x7f", "", 0);
}

// After a lone Escape the next key counts as itself.
TEST(a_lone_escape_costs_no_key) {
    expect("a\033b", "ab", 2);
    expect("a\033\033[Db", "ba", 1);
    expect("a\033", "a", 1);
    assert_true(type("\r"));
}

TEST(an_open_sequence_ends_with_the_line) {
    expect("ab\033[12", "ab", 2);
    assert_true(type("\r"));
    assert_string_equal(edit.line, "ab");
}

TEST(control_c_gives_the_line_up) {
    type("abc\003");
    assert_int_equal(edit.length, 0);
    assert_non_null(strstr(all, "abc^C\n" PROMPT));
    expect("\020", "", 0); // and it is not remembered
}

// The rest of the line stays before the ^C, not after it.
TEST(control_c_inside_a_line_leaves_a_clean_line) {
    type("abc\002\002");
    all_length = 0;
    type("\003");
    assert_string_equal(all, "bc^C\n" PROMPT);
}

TEST(control_l_shows_the_line_on_a_clear_screen) {
    expect("abc\002\014", "abc", 2);
    assert_non_null(strstr(all, "\033[2J\033[H" PROMPT "abc\b"));
}

TEST(history_goes_back_and_forth) {
    enter("one");
    enter("two");
    expect("\020", "two", 3);
    expect("\020\020", "one", 3);
    expect("\020\020\020", "one", 3); // the oldest
    put("\n", 1);
    lineedit_begin(&edit);
    type("new\033[A\033[A\033[B\033[B");
    assert_string_equal(edit.line, "new"); // what was being typed
    type("\016");
    assert_string_equal(edit.line, "new");
    type("\020!\r");
    assert_string_equal(edit.line, "two!");
    lineedit_begin(&edit);
    type("\020\020");
    assert_string_equal(edit.line, "two"); // an old line that was changed stays as it was
}

TEST(history_keeps_no_line_twice_in_a_row_and_no_empty_one) {
    enter("a");
    enter("b");
    enter("b");
    enter("");
    assert_int_equal(edit.history_count, 2);
    expect("\020\020", "a", 1);
}

TEST(history_forgets_the_oldest) {
    char line[16];
    for (int i = 0; i < 40; i++) {
        snprintf(line, sizeof line, "line %d", i);
        enter(line);
    }
    for (int i = 0; i < 100; i++) type("\020");
    snprintf(line, sizeof line, "line %d", 40 - LINEEDIT_HISTORY);
    assert_string_equal(edit.line, line);
}

TEST(tab_completes) {
    expect("fr\t", "free ", 5);
    expect("m\t", "m", 1);
    expect("ma\t", "ma", 2);
    expect("mal\t", "malloc ", 7);
    expect("x\t", "x", 1);
    expect("\t", "", 0);
    expect("trace o\t", "trace o", 7);
    expect("trace of\t", "trace off ", 10);
    expect("other o\t", "other o", 7);
    expect("fr x\001\006\006\t", "free x", 4); // in the middle: no blank is added
}

TEST(a_second_tab_lists) {
    type("m\t");
    assert_null(strstr(all, "malloc"));
    type("\t");
    assert_non_null(strstr(all, "malloc  map  mem  \n" PROMPT "m"));
    all_length = 0;
    type("a\t"); // a new word: the first tab again
    assert_null(strstr(all, "map"));
}

static const char *hint(const char *line) {
    return strncmp(line, "free ", 5) ? NULL : "an address";
}

TEST(a_second_tab_shows_a_hint_where_nothing_can_be_completed) {
    type("free \t\t");
    assert_null(strstr(all, "\n")); // its owner has none
    edit.hint = hint;
    type("\025free 0\t");
    assert_null(strstr(all, "an address"));
    type("\t");
    assert_non_null(strstr(all, "\nan address\n" PROMPT "free 0"));
    all_length = 0;
    type("\025other \t\t");
    assert_null(strstr(all, "\n"));
}

TEST(a_line_full_takes_no_completion) {
    char keys[LINEEDIT_ROOM];
    memset(keys, ' ', sizeof keys - 1);
    keys[sizeof keys - 1] = '\0';
    memcpy(keys, "trace ", 6);
    keys[sizeof keys - 3] = 'o';
    keys[sizeof keys - 2] = 'f';
    type(keys);
    type("\t\t");
    assert_int_equal(edit.length, LINEEDIT_ROOM - 1);
}

// Whatever is typed: the row shows it. The same numbers in every run.
TEST(random_keys_are_always_seen) {
    static const char *const keys[] = {
        "\033[A", "\033[B", "\033[C", "\033[D", "\033[3~", "\t",     "\b",   "\001", "\005",
        "\013",   "\025",   "\027",   "\004",   "\014",    "\020",   "\016", "ma",   "trace ",
        " ",      "\033",   "[",      "x",      "\003",    "0x1234", "\r"};
    uint32_t random = 1;
    for (int i = 0; i < 200000; i++) {
        random = random * 1664525 + 1013904223;
        if (type(keys[(random >> 8) % (sizeof keys / sizeof keys[0])])) lineedit_begin(&edit);
        all_length = 0;
    }
}

int main(void) {
#define RUN(name) cmocka_unit_test_setup(name, start)
    const struct CMUnitTest tests[] = {
        RUN(text_is_taken_and_shown),
        RUN(the_cursor_moves),
        RUN(text_is_inserted_where_the_cursor_is),
        RUN(text_is_deleted),
        RUN(a_long_line_ends_with_the_screen),
        RUN(a_line_that_was_cut_is_not_handed_over),
        RUN(control_d_in_an_empty_line_types_the_end),
        RUN(other_keys_do_nothing),
        RUN(a_lone_escape_costs_no_key),
        RUN(an_open_sequence_ends_with_the_line),
        RUN(control_c_gives_the_line_up),
        RUN(control_c_inside_a_line_leaves_a_clean_line),
        RUN(control_l_shows_the_line_on_a_clear_screen),
        RUN(history_goes_back_and_forth),
        RUN(history_keeps_no_line_twice_in_a_row_and_no_empty_one),
        RUN(history_forgets_the_oldest),
        RUN(tab_completes),
        RUN(a_second_tab_lists),
        RUN(a_second_tab_shows_a_hint_where_nothing_can_be_completed),
        RUN(a_line_full_takes_no_completion),
        RUN(random_keys_are_always_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
