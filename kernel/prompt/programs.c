// programs.c - see programs.h.
//
// Shortcoming: `run` looks for typed characters at each tick, so one is up to a tick late.
#include "kernel/prompt/programs.h"

#include "device/console.h"
#include "kernel/prompt/pager.h"
#include "lib/page.h"
#include "lib/print.h"
#include "lib/string.h"
#include "process/archive.h"
#include "process/process.h"
#include "process/terminal.h"
#include "thread/thread.h"

#define SHOWN_MAX 32 // programs that `ps` and `mem` can show
#define NAMES_MAX 64 // files that Tab knows
#define CTRL_C 3

// ---- files --------------------------------------------------------------------------------------

static bool file_line(const struct archive_file *file, void *argument) {
    if (!pager_line()) return false;
    kprintf("%8u  %s\n", file->bytes, file->name);
    return true;
}

bool programs_list(void) {
    const char *why = archive_for_each(file_line, NULL);
    if (why) kprintf("ls: %s\n", why);
    return why == NULL;
}

// The names as they were when the first was asked for: completion compares them with each other.
static char names[NAMES_MAX][ARCHIVE_NAME_MAX];
static size_t name_count;

static bool keep_name(const struct archive_file *file, void *argument) {
    strlcpy(names[name_count++], file->name, ARCHIVE_NAME_MAX);
    return name_count < NAMES_MAX;
}

const char *programs_file(size_t index) {
    if (index == 0) {
        name_count = 0;
        archive_for_each(keep_name, NULL);
    }
    return index < name_count ? names[index] : NULL;
}

// ---- running ------------------------------------------------------------------------------------

// The file that a line's first word names.
static const char *file_of_line(const char *line, struct archive_file *file) {
    char name[ARCHIVE_NAME_MAX];
    const char *blank = strchr(line, ' ');
    size_t length = blank ? (size_t)(blank - line) : strlen(line);
    if (length >= sizeof name) return "no such file";
    strlcpy(name, line, length + 1);
    return archive_find(name, file);
}

static struct process *create(const char *line, bool keyboard) {
    struct archive_file file = {0};
    const char *why = file_of_line(line, &file);
    struct process *process = NULL;
    if (!why) {
        struct program_source source = program_in_archive(&file);
        struct process_plan plan = {.line = line, .source = &source, .keyboard = keyboard};
        process = process_create(&plan, &why);
    }
    if (!process) kprintf("run: %s: %s (ls shows the files)\n", line, why);
    return process;
}

// What it ended with, if that was not 0. A fault has had its line.
static void status_line(const char *name, uint32_t pid, int status) {
    if (status == PROCESS_STATUS_KILLED) {
        kprintf("%s (pid %u): killed\n", name, pid);
    } else if (status != 0 && status < PROCESS_STATUS_FAULT) {
        kprintf("%s (pid %u): status %d\n", name, pid, status);
    }
}

// The keyboard is the program's meanwhile.
static int wait_for(struct process *process) {
    while (!process_has_ended(process)) {
        for (int c = console_try_getc(); c >= 0; c = console_try_getc()) {
            if (c == CTRL_C) process_kill(process);
            else terminal_type((char)c);
        }
        if (!process_has_ended(process)) thread_sleep(1);
    }
    return process_wait(process);
}

static bool in_front(const char *line) {
    terminal_clear();
    struct process *process = create(line, true);
    if (!process) return false;
    char name[PROCESS_NAME_MAX];
    uint32_t pid = process->pid;
    strlcpy(name, process->name, sizeof name);
    int status = wait_for(process);
    status_line(name, pid, status);
    return status == 0;
}

bool programs_run(const char *line) {
    char text[PROCESS_ARGS_MAX];
    size_t length = strlcpy(text, line, sizeof text);
    if (length >= sizeof text) {
        kprintf("run: longer than %u characters\n", PROCESS_ARGS_MAX - 1);
        return false;
    }
    bool beside = length > 2 && strcmp(text + length - 2, " &") == 0;
    if (!beside) return in_front(text);
    text[length - 2] = '\0';
    const struct process *process = create(text, false);
    if (process) kprintf("pid %u\n", process->pid);
    return process != NULL;
}

bool programs_boot(const char *words) {
    char line[PROCESS_ARGS_MAX];
    if (strlcpy(line, words, sizeof line) >= sizeof line) {
        kprintf("run: longer than %u characters\n", PROCESS_ARGS_MAX - 1);
        return false;
    }
    for (char *c = line; *c; c++) {
        if (*c == ',') *c = ' ';
    }
    return programs_run(line);
}

void programs_collect(void) {
    struct process *process;
    while ((process = process_child(NULL, 0, true)) != NULL) {
        char name[PROCESS_NAME_MAX];
        uint32_t pid = process->pid;
        strlcpy(name, process->name, sizeof name);
        kprintf("%s (pid %u): ended with status %d\n", name, pid, process_wait(process));
    }
}

void programs_kill(uint32_t pid) {
    struct process *process = process_find(pid);
    if (process) process_kill(process);
    else kprintf("no program has the number %u (ps shows them)\n", pid);
}

// ---- looking ------------------------------------------------------------------------------------

static struct process_info info[SHOWN_MAX]; // one prompt: nothing else uses it

void programs_ps(void) {
    size_t count = process_snapshot(info, SHOWN_MAX);
    if (count > 0) put_str(" pid program          state    parent\n");
    for (size_t i = 0; i < count && pager_line(); i++) {
        kprintf("%4u %-16s %-8s %6u\n", info[i].pid, info[i].name,
                info[i].state == PROCESS_RUNNING ? "running" : "ended", info[i].parent);
    }
}

void programs_mem(void) {
    size_t count = process_snapshot(info, SHOWN_MAX);
    if (count > 0) put_str(" pid program          frames   limit  of them in its heap  tables\n");
    for (size_t i = 0; i < count && pager_line(); i++) {
        kprintf("%4u %-16s %6u  %6u  %19u  %6u\n", info[i].pid, info[i].name, info[i].pages,
                info[i].limit, info[i].heap_frames, info[i].tables);
    }
}
