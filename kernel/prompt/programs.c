// programs.c - see programs.h.
//
// Shortcoming: `run` looks for typed characters at each tick, so one is up to a tick late.
#include "kernel/prompt/programs.h"

#include "device/console.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/inspect/heapmap.h"
#include "kernel/inspect/who.h"
#include "kernel/prompt/pager.h"
#include "lib/page.h"
#include "lib/print.h"
#include "lib/string.h"
#include "kernel/spinlock.h"
#include "process/archive.h"
#include "process/layout.h"
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
    char name[ARCHIVE_NAME_MAX];
    uint32_t bytes;
    for (uint32_t i = 0; ram_file_at(i, name, &bytes) && pager_line(); i++) {
        kprintf("%8u  %s (in memory)\n", bytes, name);
    }
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
static const char *file_of_line(const char *line, struct program_source *source) {
    char name[ARCHIVE_NAME_MAX];
    const char *blank = strchr(line, ' ');
    size_t length = blank ? (size_t)(blank - line) : strlen(line);
    if (length >= sizeof name) return "no such file";
    strlcpy(name, line, length + 1);
    return program_find(source, name);
}

static struct process *create(const char *line, bool keyboard) {
    struct program_source source = {0};
    const char *why = file_of_line(line, &source);
    struct process *process = NULL;
    if (!why) {
        struct process_plan plan = {.line = line, .source = &source, .keyboard = keyboard};
        process = process_create(&plan, &why);
        program_release(&source);
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
    if (!process_kill_pid(pid)) kprintf("no program has the number %u (ps shows them)\n", pid);
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

// Where in a program's addresses; in its heap, what of it. The heap stays while interrupts are off.
static void who_text(char *to, size_t room, const struct process *process, uint32_t address) {
    const struct heap *heap = process->heap ? &process->heap->heap : NULL;
    if (heap && address - heap->base < heap->frames << PG_SHIFT) {
        heap_who_in(to, room, heap, address);
    } else if (address >= KERNEL_BASE) {
        ksnprintf(to, room, "the kernel's");
    } else if (address - USER_IMAGE_BASE < USER_IMAGE_END - USER_IMAGE_BASE) {
        ksnprintf(to, room, "the program's image");
    } else if (address - USER_HEAP_BASE < USER_HEAP_END - USER_HEAP_BASE) {
        ksnprintf(to, room, "beyond the heap's end");
    } else if (address - USER_STACK_LIMIT < USER_STACK_BYTES) {
        ksnprintf(to, room, "the program's stack");
    } else {
        ksnprintf(to, room, "nothing of the program's");
    }
}

bool programs_who(uint32_t pid, uint32_t address) {
    char who[HEAP_WHO_MAX];
    uint32_t state = spin_save(&kernel_lock);
    const struct process *process = process_find(pid);
    bool there = process && process->space.directory;
    bool page = there && address < KERNEL_BASE && space_has(&process->space, address);
    if (there) who_text(who, sizeof who, process, address);
    spin_restore(&kernel_lock, state);
    if (there) {
        kprintf("%p: %s%s\n", (void *)(uintptr_t)address, who,
                page || address >= KERNEL_BASE ? "" : "; no page");
    } else {
        kprintf("no program has the number %u (ps shows them)\n", pid);
    }
    return there;
}

// Calls `look` with a program's heap and the lock held, so that it stays. False: there is none.
static bool with_heap(uint32_t pid, bool (*look)(const struct heap *heap, void *argument),
                      void *argument) {
    uint32_t state = spin_save(&kernel_lock);
    const struct process *process = process_find(pid);
    bool done = process && process->heap && look(&process->heap->heap, argument);
    spin_restore(&kernel_lock, state);
    return done;
}

static bool no_heap(uint32_t pid) {
    kprintf("no program with a heap has the number %u (mem shows them)\n", pid);
    return false;
}

struct desc_asked {
    uint32_t index;
    struct desc_state state;
};

// False: there are no more.
static bool desc_look(const struct heap *heap, void *argument) {
    struct desc_asked *desc = argument;
    if (desc->index >= heap->desc_count) return false;
    heap_desc_state(heap, desc->index, &desc->state);
    return true;
}

bool programs_descs(uint32_t pid) {
    struct desc_asked desc = {0};
    if (!with_heap(pid, desc_look, &desc)) return no_heap(pid);
    kprintf("block size  blocks/arena  arenas  free blocks  live blocks\n");
    for (; with_heap(pid, desc_look, &desc) && pager_line(); desc.index++) {
        kprintf("%10u  %12u  %6u  %11u  %11u\n", desc.state.block_size, desc.state.blocks_per_arena,
                desc.state.arenas, desc.state.free_blocks, desc.state.live_blocks);
    }
    return true;
}

// What `heap` says of one arena: copies, as the program may end between two lines.
struct arena_asked {
    uint32_t frame; // its first; where the search begins
    struct arena arena;
    uint32_t block_size, blocks;
    bool reserve;
};

static bool arena_look(const struct heap *heap, void *argument) {
    struct arena_asked *asked = argument;
    for (; asked->frame < heap->frames; asked->frame++) {
        const struct arena *arena = &heap->arena[asked->frame];
        if ((!arena->desc && !arena->large) || !arena_sealed(arena)) continue;
        asked->arena = *arena;
        if (arena->large) return true;
        asked->block_size = arena->desc->block_size;
        asked->blocks = arena->desc->blocks_per_arena;
        asked->reserve = arena->cnt == asked->blocks && arena->desc->reserve == arena;
        return true;
    }
    return false;
}

static void arena_print(const struct arena_asked *asked) {
    const struct arena *arena = &asked->arena;
    kprintf("%5u  %p  ", asked->frame, (void *)arena->base);
    if (arena->large) {
        kprintf("large area of %u frames\n", arena->cnt);
        return;
    }
    uint32_t fresh = asked->blocks - arena->carved, live = asked->blocks - arena->cnt;
    char used[24] = "reserve";
    if (!asked->reserve) ksnprintf(used, sizeof used, "%u live", live);
    kprintf("%4u-byte blocks: %s, %u free, %u never handed out\n", asked->block_size, used,
            arena->cnt - fresh, fresh);
}

struct heap_asked {
    char name[USER_HEAP_NAME_MAX];
    uint32_t frames, window, small, large, free;
};

static bool heap_look(const struct heap *heap, void *argument) {
    struct heap_asked *asked = argument;
    const struct user_heap *user = (const struct user_heap *)heap;
    *asked = (struct heap_asked){.frames = heap->frames,
                                 .window = user->window,
                                 .small = heap->small_frames,
                                 .large = heap->large_frames,
                                 .free = heap->pool.free};
    strlcpy(asked->name, user->name, sizeof asked->name);
    return true;
}

bool programs_heap(uint32_t pid) {
    struct heap_asked heap;
    struct arena_asked asked = {0};
    if (!with_heap(pid, heap_look, &heap)) return no_heap(pid);
    kprintf("%s: %u frames of at most %u, %u in arenas of blocks, %u in large areas, %u free\n",
            heap.name, heap.frames, heap.window, heap.small, heap.large, heap.free);
    kprintf("frame  base        holds\n");
    for (; with_heap(pid, arena_look, &asked) && pager_line(); asked.frame++) arena_print(&asked);
    return true;
}

static bool map_look(const struct heap *heap, void *argument) {
    heapmap_take(heap);
    return true;
}

bool programs_map(uint32_t pid) {
    if (!with_heap(pid, map_look, NULL)) return no_heap(pid);
    heapmap_show(pager_line);
    return true;
}

static bool leaks_look(const struct heap *heap, void *argument) {
    heap_leaks_count(heap);
    return true;
}

bool programs_leaks(uint32_t pid) {
    if (!with_heap(pid, leaks_look, NULL)) return no_heap(pid);
    heap_leaks_print(pager_line);
    return true;
}
