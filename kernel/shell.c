// shell.c - see shell.h.
//
// A new command is one row of commands[] and one function, which gets the words of the line like a
// C program its arguments. Everything a command shows it takes from the same calls that everybody
// else has.
//
// Line editing: backspace, Ctrl-U and Ctrl-C (an empty line). Cursor keys arrive as "ESC [ A" and
// are dropped.
//
// The shell is a thread like any other, of the default priority: while it waits for a key it sleeps
// (device/console.c), and whoever else is ready runs.
//
// Shortcomings: no history, no quotes, no pipes; the key after a lone Escape is taken for the rest
// of a cursor key's sequence and lost.
#include "kernel/shell.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/console.h"
#include "kernel/heapcheck.h"
#include "kernel/memory.h"
#include "kernel/power.h"
#include "lib/print.h"
#include "lib/string.h"
#include "thread/thread.h"

#define PROMPT "granary> "
#define LINE_ROOM 72 // a line of the screen behind the prompt, with the NUL
#define WORDS_MAX 8
#define PS_MAX 64 // threads that `ps` can show

#define KEY_CTRL_C 3
#define KEY_CTRL_U 21
#define KEY_ESCAPE 27
#define KEY_DELETE 127 // what most terminals send for backspace

// A row of the table of commands. All of it is text of the image: nothing is owned.
struct command {
    const char *name;
    const char *arguments;               // for the usage line, "" if it takes none
    int words_max;                       // with the name
    void (*run)(int words, char **word); // word[0] is the name; the words are on the shell's stack
    const char *help;                    // for the list that `help` prints
};

// ---- commands -----------------------------------------------------------------------------------

// Frames in one line, in the seed's unit and in KiB. The product fits 32 bits: 4 GiB are 2^22 KiB.
static void pool_line(enum pool_id id) {
    uint32_t total = frames_total(id), free = frames_free(id);
    kprintf("%-12s %8u frames, %8u free, %8u KiB free, from %#010llx\n", mem_pool[id].name, total,
            free, free * (PG_SIZE / 1024), (unsigned long long)frame_address(id, 0));
}

// Counts may change while they are printed: other threads go on. Each line is right by itself.
static void run_mem(int words, char **word) {
    for (int id = 0; id < POOL_COUNT; id++) pool_line((enum pool_id)id);
    kprintf("heap         %8u frames in arenas of blocks, %u in large areas\n", heap.small_frames,
            heap.large_frames);
    kprintf("block size  blocks/arena  arenas  free blocks  live blocks\n");
    for (uint32_t i = 0; i < heap.desc_count; i++) {
        struct desc_state state;
        heap_desc_state(i, &state);
        kprintf("%10u  %12u  %6u  %11u  %11u\n", state.block_size, state.blocks_per_arena,
                state.arenas, state.free_blocks, state.live_blocks);
    }
}

// Ticks are those that found the thread running; a stack's use is the deepest so far. The array of
// 2.5 KiB is not on the stack, of which it would show as used for good.
static void run_ps(int words, char **word) {
    static struct thread_info info[PS_MAX]; // one shell: nobody else uses it
    size_t count = thread_snapshot(info, PS_MAX);
    kprintf(" tid name             state     priority      ticks  stack used\n");
    for (size_t i = 0; i < count; i++) {
        kprintf("%4u %-16s %-8s  %8u  %9u", info[i].tid, info[i].name,
                thread_state_text(info[i].state), info[i].priority, info[i].ticks);
        if (info[i].stack_size) kprintf("  %u of %u\n", info[i].stack_used, info[i].stack_size);
        else put_str("  boot stack\n");
    }
}

// Neither comes back. A session that is left by `halt` counts as one that passed.
static void run_halt(int words, char **word) { power_off(EXIT_PASSED); }
static void run_reboot(int words, char **word) { power_reboot(); }
static void run_help(int words, char **word); // needs the table it stands in

static const struct command commands[] = {
    {"help", "", 1, run_help, "this list"},
    {"mem", "", 1, run_mem, "page-frame pools, block descriptors"},
    {"ps", "", 1, run_ps, "threads"},
    {"halt", "", 1, run_halt, "switch the machine off"},
    {"reboot", "", 1, run_reboot, "start again"},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void run_help(int words, char **word) {
    for (size_t i = 0; i < COMMANDS; i++) {
        kprintf("%-8s %-12s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
    }
}

// ---- one line -----------------------------------------------------------------------------------

// Cuts a line into words at its blanks. Returns how many; one more than WORDS_MAX if there were
// more, which is too many for every command. The words are pieces of `line`, ended in place: no
// memory is taken for them, and none has to be given back.
static int words_split(char *line, char **word) {
    int count = 0;
    for (char *at = line;;) {
        while (*at == ' ' || *at == '\t') *at++ = '\0';
        if (!*at) return count;
        if (count == WORDS_MAX) return count + 1;
        word[count++] = at;
        while (*at && *at != ' ' && *at != '\t') at++;
    }
}

// Looks the first word up; the command gets all of them. Too many words are a usage line, so that
// a slip of the finger is never half obeyed.
static void line_run(char *line) {
    char *word[WORDS_MAX];
    int words = words_split(line, word);
    if (words == 0) return;
    for (size_t i = 0; i < COMMANDS; i++) {
        const struct command *command = &commands[i];
        if (strcmp(word[0], command->name) != 0) continue;
        if (words <= command->words_max) command->run(words, word);
        else
            kprintf("usage: %s%s%s\n", command->name, *command->arguments ? " " : "",
                    command->arguments);
        return;
    }
    kprintf("unknown command '%s': try help\n", word[0]);
}

// ---- editing ------------------------------------------------------------------------------------

// Back, a blank over it, back: what a terminal and the screen both understand.
static void rub_out(size_t characters) {
    while (characters-- > 0) put_str("\b \b");
}

// Reads what follows an escape character: "[", then anything up to a letter or '~'. Without this a
// cursor key would leave "[A" on the line.
static void escape_drop(void) {
    int c = console_getc();
    if (c != '[') return;
    do {
        c = console_getc();
    } while (c < '@' || c > '~');
}

// A key that is no character of the line. Returns the line's new length; the characters themselves
// stay in the buffer and are written over.
static size_t key_edit(int c, size_t length) {
    switch (c) {
    case '\b':
    case KEY_DELETE:
        if (length == 0) return 0;
        rub_out(1);
        return length - 1;
    case KEY_CTRL_U: rub_out(length); return 0;
    case KEY_CTRL_C: put_str("^C\n" PROMPT); return 0;
    case KEY_ESCAPE: escape_drop(); return length;
    default: return length; // another control character: nothing
    }
}

// Reads a line with echo, without its end. What does not fit is not taken, and not echoed, so that
// what is seen is what will be obeyed; and a line ends with the screen's last column, as a
// terminal's backspace does not climb into the line above. Bytes from 128 on are no characters
// here.
static void line_read(char *line, size_t room) {
    size_t length = 0;
    for (;;) {
        int c = console_getc();
        if (c == '\r' || c == '\n') break;
        if (c < ' ' || c >= KEY_DELETE) {
            length = key_edit(c, length);
        } else if (length + 1 < room) {
            line[length++] = (char)c;
            kprintf("%c", c);
        }
    }
    line[length] = '\0';
    put_str("\n");
}

// The line lies on this thread's stack: commands may cut it up. One buffer for all lines, as a
// command is done with its words when it returns.
noreturn void shell_run(void) {
    char line[LINE_ROOM];
    put_str("Type help for a list of commands.\n");
    for (;;) {
        put_str(PROMPT);
        line_read(line, sizeof line);
        line_run(line);
    }
}
