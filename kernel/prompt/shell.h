// shell.h - the prompt: reads a line, runs a command, for ever.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

// Prints a prompt, reads a line from the console (screen or serial line), runs it. Threads only.
noreturn void shell_run(void);
// Runs one line, which it may cut up. `pages`: there may be a user at the keyboard for whom a long
// list stops (kernel/prompt/pager.h). Threads only; GDB's heap commands call it in a copy of the
// machine (tools/gdb/replica.c).
void shell_line(char *line, bool pages);

// ---- for shell.c and commands.c -----------------------------------------------------------------

// A row of the table of commands. All of it is text of the image: nothing is owned.
struct command {
    const char *name;
    const char *arguments;    // for the usage line, "" if it takes none
    int words_min, words_max; // with the name
    // False: a wrong word, which it has named; the usage line is to be shown. word[0] is the
    // command's name; the words are on the shell's stack.
    bool (*run)(int words, char **word);
    const char *help;    // for the list that `help` prints
    const char *example; // a line to type
    // The index-th thing that argument `at` (1 is the first) may be, NULL after the last; for
    // completion. NULL if nothing can be completed.
    const char *(*value)(int at, size_t index);
};
extern const struct command shell_commands[];
extern const uint32_t shell_command_count;

// The command of that name, also by another name it has ("?" for help); NULL if there is none. Any
// context.
const struct command *shell_command(const char *name);
// "unknown command 'x'", with what may have been meant.
void shell_unknown(const char *name);

// "granary> " for the one who wants to print it: a command that took the screen.
#define SHELL_PROMPT "granary> "
