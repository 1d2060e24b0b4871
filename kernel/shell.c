// shell.c - the prompt: a line is read, cut into words, and looked up in a table of commands.
#include "kernel/shell.h"

#include <stddef.h>
#include <stdint.h>

#include "device/console.h"
#include "kernel/demo.h"
#include "kernel/heapcheck.h"
#include "kernel/memory.h"
#include "kernel/power.h"
#include "lib/print.h"
#include "lib/string.h"
#include "thread/thread.h"

#define LINE_MAX 128
#define WORDS_MAX 8
#define PS_MAX 32

#define KEY_CTRL_C 3
#define KEY_CTRL_U 21
#define KEY_DELETE 127
#define KEY_ESCAPE 27

// ---- reading a line ---------------------------------------------------------------------------------

// Reads past an escape sequence such as "[A": cursor keys have no meaning here yet.
static void escape_skip(void) {
    if (console_getc() != '[') return;
    int c;
    do c = console_getc();
    while (c < '@');
}

static void erase(size_t characters) {
    while (characters-- > 0) put_str("\b \b");
}

// The next line, without its end. Backspace, Ctrl-U and Ctrl-C work as on a terminal.
static void line_read(char *line) {
    size_t length = 0;
    for (;;) {
        int c = console_getc();
        if (c == '\r' || c == '\n') break;
        if (c == KEY_ESCAPE) {
            escape_skip();
        } else if ((c == '\b' || c == KEY_DELETE) && length > 0) {
            erase(1);
            length--;
        } else if (c == KEY_CTRL_C || c == KEY_CTRL_U) {
            erase(length);
            length = 0;
        } else if (c >= ' ' && c < KEY_DELETE && length < LINE_MAX - 1) {
            line[length++] = (char)c;
            kprintf("%c", c);
        }
    }
    line[length] = '\0';
    put_str("\n");
}

static int words_split(char *line, char *words[WORDS_MAX]) {
    int count = 0;
    for (char *c = line; *c && count < WORDS_MAX;) {
        while (*c == ' ') *c++ = '\0';
        if (*c) words[count++] = c;
        while (*c && *c != ' ') c++;
    }
    return count;
}

// ---- the commands --------------------------------------------------------------------------------------

static void command_help(void);

static void command_mem(void) {
    for (int id = 0; id < POOL_COUNT; id++) {
        kprintf("  %s: %u of %u frames free\n", mem_pool[id].name, frames_free((enum pool_id)id),
                frames_total((enum pool_id)id));
    }
    kprintf("  heap: %u frames in arenas, %u in large areas\n", heap.small_frames, heap.large_frames);
    demo_descs_print();
}

static void command_ps(void) {
    static struct thread_info info[PS_MAX];
    size_t count = thread_snapshot(info, PS_MAX);
    put_str("  tid  name             state     priority  ticks  stack\n");
    for (size_t i = 0; i < count; i++) {
        kprintf("  %3u  %-15s  %-8s  %8u  %5u  ", info[i].tid, info[i].name, thread_state_text(info[i].state),
                info[i].priority, info[i].ticks);
        if (info[i].stack_size) kprintf("%u of %u\n", info[i].stack_used, info[i].stack_size);
        else put_str("boot stack\n");
    }
}

static void command_check(void) {
    uint32_t broken = heap_check();
    kprintf(broken ? "  %u invariants broken\n" : "  the heap is sound (%u broken)\n", broken);
}

static void command_halt(void) { power_off(EXIT_PASSED); }

static void command_reboot(void) { power_reboot(); }

static const struct command {
    const char *name;
    void (*run)(void);
    const char *help;
} commands[] = {
    {"help", command_help, "this list"},
    {"mem", command_mem, "pools, heap, block descriptors"},
    {"ps", command_ps, "threads"},
    {"check", command_check, "walks every invariant of the heap"},
    {"halt", command_halt, "powers off"},
    {"reboot", command_reboot, "starts again"},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void command_help(void) {
    for (size_t i = 0; i < COMMAND_COUNT; i++) kprintf("  %-8s %s\n", commands[i].name, commands[i].help);
}

static void command_run(int count, char *words[]) {
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(words[0], commands[i].name) != 0) continue;
        if (count > 1) kprintf("usage: %s (it takes no arguments)\n", words[0]);
        else commands[i].run();
        return;
    }
    kprintf("unknown command '%s': try help\n", words[0]);
}

noreturn void shell_run(void) {
    static char line[LINE_MAX];
    char *words[WORDS_MAX];
    for (;;) {
        put_str("granary> ");
        line_read(line);
        int count = words_split(line, words);
        if (count > 0) command_run(count, words);
    }
}
