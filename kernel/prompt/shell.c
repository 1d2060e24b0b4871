// shell.c - see shell.h. A line becomes words, the first word a command (kernel/prompt/commands.c).
//
// The line itself is kernel/prompt/lineedit.c's: editing, history, completion. What may be
// completed comes from here: names of commands, and what a command says its arguments may be.
//
// The shell is a thread like any other, of the default priority: while it waits for a key it sleeps
// (device/console.c), and other ready threads run.
//
// Shortcomings: no quotes, no pipes.
#include "kernel/prompt/shell.h"

#include <stddef.h>

#include "device/console.h"
#include "kernel/prompt/lineedit.h"
#include "kernel/prompt/pager.h"
#include "kernel/prompt/words.h"
#include "lib/print.h"
#include "lib/spelling.h"
#include "lib/string.h"
#include "lib/x86.h"

#define WORDS_MAX 8

// Other words for a command: the usual ones, and those it once had. Ctrl-D types `exit`.
static const struct {
    const char *name, *command;
} other_names[] = {{"?", "help"}, {"exit", "halt"}, {"quit", "halt"}, {"classes", "sizes"}};
#define OTHER_NAMES (sizeof other_names / sizeof other_names[0])

// All names that may be typed, for completion and for slips.
static const char *name_at(size_t index) {
    if (index < shell_command_count) return shell_commands[index].name;
    index -= shell_command_count;
    return index < OTHER_NAMES ? other_names[index].name : NULL;
}

const struct command *shell_command(const char *name) {
    for (size_t i = 0; i < OTHER_NAMES; i++) {
        if (strcmp(other_names[i].name, name) == 0) name = other_names[i].command;
    }
    for (uint32_t i = 0; i < shell_command_count; i++) {
        if (strcmp(shell_commands[i].name, name) == 0) return &shell_commands[i];
    }
    return NULL;
}

void shell_unknown(const char *name) {
    const char *meant = spelling_nearest(name, name_at);
    if (meant) kprintf("unknown command '%s': did you mean %s?\n", name, meant);
    else kprintf("unknown command '%s': try help\n", name);
}

static bool count_right(const struct command *command, int words) {
    if (words >= command->words_min && words <= command->words_max) return true;
    kprintf("%s: too %s words\n", command->name, words < command->words_min ? "few" : "many");
    return false;
}

static const char *usage(const struct command *command) {
    static char text[64];
    ksnprintf(text, sizeof text, "usage: %s%s%s", command->name, *command->arguments ? " " : "",
              command->arguments);
    return text;
}

// Looks the first word up; the command gets all of them. Too few, too many, or a wrong one are
// named, and a usage line follows, so that a slip of the finger is never half obeyed.
void shell_line(char *line, bool pages) {
    char *word[WORDS_MAX];
    int words = words_split(line, word, WORDS_MAX);
    if (words == 0) return;
    pager_start(pages);
    const struct command *command = shell_command(word[0]);
    if (!command) shell_unknown(word[0]);
    else if (!count_right(command, words) || !command->run(words, word))
        kprintf("%s\n", usage(command));
}

// ---- the line -----------------------------------------------------------------------------------

// The command that a line begins with; NULL while its name is being typed.
static const struct command *command_of(const char *line) {
    char name[SPELLING_MAX + 1];
    const char *blank = strchr(line, ' ');
    if (!blank || (size_t)(blank - line) >= sizeof name) return NULL;
    strlcpy(name, line, (size_t)(blank - line) + 1);
    return shell_command(name);
}

// For completion: a command's name, or what the argument there may be.
static const char *candidate(const char *line, size_t start, size_t index) {
    if (start == 0) return name_at(index);
    const struct command *command = command_of(line);
    if (!command || !command->value) return NULL;
    int at = 0;
    for (size_t i = 1; i < start; i++) at += line[i] != ' ' && line[i - 1] == ' ';
    return command->value(at + 1, index);
}

static const char *hint(const char *line) {
    const struct command *command = command_of(line);
    return command ? usage(command) : NULL;
}

// One caller at a time, as kprintf() has it, but unchanged: no format, and any length.
static void show(const char *text, size_t bytes) {
    uint32_t state = irq_save();
    console_write(text, bytes);
    irq_restore(state);
}

// The line lies in `edit`, and commands may cut it up. One buffer for all lines, as a command is
// done with its words when it returns.
noreturn void shell_run(void) {
    static struct lineedit edit = {
        .prompt = SHELL_PROMPT, .put = show, .candidate = candidate, .hint = hint, .end = "exit"};
    put_str("Type help for a list of commands, exit to leave.\n");
    for (;;) {
        lineedit_begin(&edit);
        bool done;
        do done = lineedit_key(&edit, console_getc());
        while (!done);
        shell_line(edit.line, true);
    }
}
