// shell.c - see shell.h. A line becomes words, the first word a command (kernel/prompt/commands.c).
//
// The line itself is kernel/prompt/lineedit.c's: editing, history, completion. What may be
// completed comes from here: names of commands, and what the command says its first argument may
// be.
//
// The shell is a thread like any other, of the default priority: while it waits for a key it sleeps
// (device/console.c), and whoever else is ready runs.
//
// Shortcomings: no quotes, no pipes.
#include "kernel/prompt/shell.h"

#include <stddef.h>

#include "device/console.h"
#include "kernel/prompt/lineedit.h"
#include "kernel/prompt/words.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"

#define WORDS_MAX 8

static const struct command *command_find(const char *name, size_t length) {
    for (uint32_t i = 0; i < shell_command_count; i++) {
        const char *known = shell_commands[i].name;
        if (strlen(known) == length && strncmp(known, name, length) == 0) return &shell_commands[i];
    }
    return NULL;
}

static bool count_right(const struct command *command, int words) {
    if (words >= command->words_min && words <= command->words_max) return true;
    kprintf("%s: too %s words\n", command->name, words < command->words_min ? "few" : "many");
    return false;
}

// Looks the first word up; the command gets all of them. Too few, too many, or a wrong one are
// named, and a usage line follows, so that a slip of the finger is never half obeyed.
static void line_run(char *line) {
    char *word[WORDS_MAX];
    int words = words_split(line, word, WORDS_MAX);
    if (words == 0) return;
    const struct command *command = command_find(word[0], strlen(word[0]));
    if (!command) {
        kprintf("unknown command '%s': try help\n", word[0]);
    } else if (!count_right(command, words) || !command->run(words, word)) {
        kprintf("usage: %s%s%s\n", command->name, *command->arguments ? " " : "",
                command->arguments);
    }
}

// ---- the line -----------------------------------------------------------------------------------

// For completion: a command's name, or a value of its first argument.
static const char *candidate(const char *line, size_t start, size_t index) {
    if (start == 0) return index < shell_command_count ? shell_commands[index].name : NULL;
    const char *blank = strchr(line, ' ');
    const struct command *command = command_find(line, (size_t)(blank - line));
    if (!command || !command->values || (size_t)(blank - line) + 1 != start) return NULL;
    return command->values[index];
}

// One caller at a time, as kprintf() has it, but as it stands: no format, and any length.
static void show(const char *text, size_t bytes) {
    uint32_t state = irq_save();
    console_write(text, bytes);
    irq_restore(state);
}

// The line lies in `edit`, and commands may cut it up. One buffer for all lines, as a command is
// done with its words when it returns.
noreturn void shell_run(void) {
    static struct lineedit edit = {.prompt = SHELL_PROMPT, .put = show, .candidate = candidate};
    put_str("Type help for a list of commands.\n");
    for (;;) {
        lineedit_begin(&edit);
        bool done;
        do done = lineedit_key(&edit, console_getc());
        while (!done);
        line_run(edit.line);
    }
}
