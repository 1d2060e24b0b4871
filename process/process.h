// process.h - programs: made, waited for, killed.
//
// Who owns what. A process has one thread and one space; the space belongs to that thread. Its
// heap's records, its open files and the struct itself are the kernel's memory. When a process
// ends, its own thread gives back everything but the struct and its kernel stack; those go when its
// parent collects it (process_wait()). A program's children end with it, so no process is without a
// parent; those that the kernel made have the kernel for one.
//
//                 process_create()               process_end()              process_wait()
//     (nothing) -----------------> RUNNING -----------------------> ENDED -----------------> gone
//                                     | process_kill() sets `killed`: it ends itself on its next
//                                     | way to ring 3, or where it waits
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include "kernel/interrupt_frame.h"
#include "lib/list.h"
#include "process/archive.h"
#include "process/file.h"
#include "process/fpu.h"
#include "process/heap.h"
#include "process/space.h"
#include "thread/sync.h"

#define PROCESS_NAME_MAX 16
#define PROCESS_ARGS_MAX 256u       // bytes of a program's words, each with its NUL
#define PROCESS_FILES 16u           // open at a time, beside 0, 1 and 2
#define PROCESS_PAGES_DEFAULT 1024u // 4 MiB, stack and image included
#define PROCESS_STATUS_FAULT 128    // + the exception's vector
#define PROCESS_STATUS_KILLED 137

// Where a program's file is read from.
struct program_source {
    // `bytes` bytes from `offset` on, which lie inside the file; false: they cannot be read.
    bool (*read)(const struct program_source *source, uint32_t offset, uint32_t bytes, void *to);
    uint32_t bytes; // the file's length
    const void *memory;
    struct archive_file file;
    struct ram_file *ram; // held; program_release() gives it back
};
// A file in the kernel's memory, which must stay until process_create() returns.
struct program_source program_in_memory(const void *file, uint32_t bytes);
struct program_source program_in_archive(const struct archive_file *file);
// A file of the archive, or one in memory, by its name. NULL, or why there is none; if NULL, the
// caller must program_release() it after process_create().
const char *program_find(struct program_source *out, const char *name);
void program_release(struct program_source *source);

// What a program is to be.
struct process_plan {
    const char *line;                    // its name and arguments, words between blanks
    const struct program_source *source; // its file
    struct process *parent;              // NULL: the kernel
    uint32_t pages;                      // limit, frames of the user pool; 0: process_init()'s
    bool keyboard;                       // what is typed is its own (process/terminal.h)
    bool step;                           // for tests: a debug exception after each instruction
};

// Two reasons why a program could not be made, to be compared with process_create()'s *why.
extern const char process_no_memory[], process_no_file[];

enum process_state { PROCESS_RUNNING, PROCESS_ENDED };

// Protected by kernel_lock: the list, state, killed, and that `heap` stays while one looks at it.
// The rest is the process's thread's, once it
// runs.
struct process {
    struct fpu_state fpu; // while another program runs. First: aligned to 16
    struct list_elem elem;
    uint32_t pid;
    char name[PROCESS_NAME_MAX];
    struct process *parent; // NULL: the kernel
    enum process_state state;
    volatile bool killed;
    bool keyboard; // as the plan had it
    int status;
    struct thread *thread;
    uintptr_t kernel_stack; // top of the thread's stack: where ring 3 enters
    struct space space;
    struct user_heap *heap; // NULL before its first call
    struct open_file file[PROCESS_FILES];
    uint32_t peak;                   // once it has ended: the most frames it had
    uint32_t children_peak;          // the most that one of its children had, of those collected
    struct semaphore started;        // up when the program is loaded, or is not going to be
    struct semaphore ended;          // up once, at the end
    struct semaphore event;          // up when a child ends, and when this one is killed
    const struct process_plan *plan; // until `started`
    const char *why;                 // it was not loaded; NULL: it was
    uint32_t reports;                // of wrong calls of its heap
    const struct user_frame *call;   // the system call that runs, for reports
    uint32_t args_bytes;
    char args[PROCESS_ARGS_MAX]; // words, each with its NUL
};

// For tests: called after each instruction of a program whose plan says `step`, interrupts off.
// NULL: none, and a debug exception is a program's fault again.
void process_set_step_hook(void (*hook)(void));

// Hooks, gate, floating point. `pages`: the limit of a program whose plan has none; 0: the default.
// Boot, after thread_init().
void process_init(uint32_t pages);

// Loads a program and lets it run. NULL: *why says in a few words why it cannot be, and nothing is
// taken. The caller (the plan's parent) must process_wait() for it once. Threads only.
struct process *process_create(const struct process_plan *plan, const char **why);
// Waits for its end, gives back what is left of it; its status. The pointer is dead afterwards.
// Threads only.
int process_wait(struct process *process);
bool process_has_ended(const struct process *process);
// It ends on its next way to ring 3, or where it waits, with PROCESS_STATUS_KILLED. Any context.
void process_kill(struct process *process);
bool process_kill_pid(uint32_t pid); // the same by number; false: there is none. Any context
// Ends the running process. By its own thread.
noreturn void process_end(int status);
// Whose thread runs, NULL: the kernel's. Written by the switch of threads alone. Any context.
extern struct process *process_running; // PER_PROCESSOR
static inline struct process *process_current(void) { return process_running; }
// A process by number, NULL if there is none. The pointer is good while the caller knows that it is
// not collected.
struct process *process_find(uint32_t pid);
// A child that has ended, or any child; NULL if there is none.
struct process *process_child(const struct process *parent, uint32_t pid, bool ended);
// For a process that has nothing in hand: ends it if it was killed meanwhile.
static inline void process_check_killed(void) {
    if (process_running->killed) process_end(PROCESS_STATUS_KILLED);
}

// What `ps` shows.
struct process_info {
    char name[PROCESS_NAME_MAX];
    uint32_t pid, parent; // parent 0: the kernel
    enum process_state state;
    int status;
    uint32_t pages, limit, tables, heap_frames;
};
size_t process_snapshot(struct process_info *out, size_t max); // as thread_snapshot()
