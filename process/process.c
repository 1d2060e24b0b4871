// process.c - see process.h.
//
// Theory. A process is a thread with a space. The thread starts in the kernel, loads its own
// program (so that the file can be copied to its final addresses), and goes to ring 3 with `iret`;
// from then on it comes back by an interrupt, an exception or the gate of system calls, always to
// the top of its kernel stack (gate_set_stack()). It never returns from its function: it ends
// here.
//
// The switch hook changes what belongs to a program: the page directory, the stack that ring 3
// enters by, the registers of floating point. Between two kernel threads nothing changes.
//
// Why a killed process ends itself: in the middle of a system call it may hold a lock or half a
// change of its heap. It is told by a flag, and looks at it where it has nothing in hand: on its
// way to ring 3, and where it waits.
//
// Invariants:
//   Q1  A thread with an owner runs with that process's directory loaded, any other with one whose
//       upper half is the same; a directory is not freed while it is loaded (the thread gives up
//       its owner first).
//   Q2  A process in the list has a parent that is alive, or the kernel.
//   Q3  After `ended` is up, only the parent touches the process.
//
// Shortcomings: one thread a process; strict priorities as of all threads.
#include "process/process.h"

#include "kernel/fault.h"
#include "kernel/inspect/report.h"
#include "kernel/interrupt.h"
#include "kernel/memory.h"
#include "kernel/paging.h"
#include "kernel/panic.h"
#include "kernel/spinlock.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "process/elf.h"
#include "process/gate.h"
#include "process/layout.h"
#include "thread/stack.h"
#include "thread/thread.h"

#define REPORTS_MAX 100u   // of a program's wrong calls of its heap
#define EFLAGS_USER 0x202u // interrupts on, bit 1 always; IOPL 0: no port, no cli

static struct list processes; // in order of creation
static uint32_t next_pid = 1;
PER_PROCESSOR struct process *process_running;
static uint32_t default_pages = PROCESS_PAGES_DEFAULT; // written at boot

// ---- the switch ---------------------------------------------------------------------------------

static void on_switch(void *from, void *to) {
    struct process *before = from, *next = to;
    process_running = next;
    if (before) fpu_save(&before->fpu);
    if (!next) {
        paging_load(paging_directory());
        return;
    }
    paging_load(next->space.directory);
    gate_set_stack(next->kernel_stack);
    fpu_load(&next->fpu);
}

// ---- loading ------------------------------------------------------------------------------------

static bool memory_read(const struct program_source *source, uint32_t offset, uint32_t bytes,
                        void *to) {
    memcpy(to, (const uint8_t *)source->memory + offset, bytes);
    return true;
}

static bool archive_source_read(const struct program_source *source, uint32_t offset,
                                uint32_t bytes, void *to) {
    return archive_read(&source->file, offset, bytes, to);
}

struct program_source program_in_memory(const void *file, uint32_t bytes) {
    return (struct program_source){.read = memory_read, .bytes = bytes, .memory = file};
}

struct program_source program_in_archive(const struct archive_file *file) {
    return (struct program_source){
        .read = archive_source_read, .bytes = file->bytes, .file = *file};
}

// By the thread of the program that is being made.
static bool ram_source_read(const struct program_source *source, uint32_t offset, uint32_t bytes,
                            void *to) {
    return ram_file_read(source->ram, &process_running->space, offset, bytes, to) == bytes;
}

const char *program_find(struct program_source *out, const char *name) {
    struct archive_file file = {0};
    const char *why = archive_find(name, &file);
    *out = program_in_archive(&file);
    if (!why) return NULL;
    out->ram = ram_file_open(name);
    if (!out->ram) return why;
    out->read = ram_source_read;
    out->bytes = ram_file_bytes(out->ram);
    return NULL;
}

void program_release(struct program_source *source) {
    ram_file_release(source->ram);
    source->ram = NULL;
}

const char process_no_memory[] = "not enough memory";
const char process_no_file[] = "its file cannot be read";

// A segment's pages come as zeros; the file's bytes go in, and then the right to write goes if the
// program shall not have it.
static const char *segment_load(struct process *process, const struct elf_segment *segment) {
    const struct program_source *source = process->plan->source;
    uintptr_t first = segment->address & ~(uintptr_t)(PG_SIZE - 1);
    size_t bytes = segment->address + segment->bytes - first;
    if (!space_add_range(&process->space, first, bytes)) return process_no_memory;
    void *to = (void *)(uintptr_t)segment->address;
    if (segment->file_bytes > 0 &&
        !source->read(source, segment->offset, segment->file_bytes, to)) {
        return process_no_file;
    }
    if (!segment->writable) space_make_read_only(&process->space, first, bytes);
    return NULL;
}

static const char *image_load(struct process *process, uint32_t *entry) {
    const struct program_source *source = process->plan->source;
    struct elf_program program;
    uint8_t head[ELF_HEAD_BYTES];
    uint32_t head_bytes = source->bytes < sizeof head ? source->bytes : sizeof head;
    if (!source->read(source, 0, head_bytes, head)) return process_no_file;
    const char *why = elf_read(&program, head, head_bytes, source->bytes);
    for (uint32_t i = 0; !why && i < program.count; i++) {
        why = segment_load(process, &program.segment[i]);
    }
    *entry = program.entry;
    return why;
}

// Highest address first: the words, pointers to them with a null after the last, then what main()
// gets, argv and argc.
static const char *stack_load(struct process *process, uint32_t *esp) {
    if (!space_add(&process->space, USER_STACK_TOP - PG_SIZE)) return process_no_memory;
    uint32_t text = (USER_STACK_TOP - process->args_bytes) & ~15u, words = 0;
    memcpy((void *)(uintptr_t)text, process->args, process->args_bytes);
    for (uint32_t i = 0; i < process->args_bytes; i++) words += process->args[i] == '\0';
    uint32_t *argv = (uint32_t *)(uintptr_t)((text - (words + 1) * 4) & ~15u), at = text;
    for (uint32_t i = 0; i < words; i++) {
        argv[i] = at;
        at += strlen((const char *)(uintptr_t)at) + 1;
    }
    argv[-1] = (uint32_t)(uintptr_t)argv;
    argv[-2] = words;
    *esp = (uint32_t)(uintptr_t)(argv - 2);
    return NULL;
}

// What the thread runs.
static int process_run(void *argument) {
    struct process *process = argument;
    uint32_t entry = 0, esp = 0;
    process->kernel_stack = stack_top(thread_current()->slot);
    thread_set_owner(process);
    const char *why = image_load(process, &entry);
    if (!why) why = stack_load(process, &esp);
    uint32_t eflags = EFLAGS_USER | (process->plan->step ? EFLAGS_TF : 0);
    process->why = why;
    if (why) {
        thread_set_owner(NULL);
        sema_up(&process->started);
        return 0;
    }
    sema_up(&process->started);
    irq_disable(); // nothing may come between the look and ring 3
    process_check_killed();
    gate_leave(entry, esp, eflags, gate_has_sysenter());
}

// ---- birth --------------------------------------------------------------------------------------

// The line's words, each with its NUL.
static const char *args_take(struct process *process, const char *line) {
    uint32_t used = 0;
    for (const char *at = line; *at;) {
        if (*at == ' ') {
            at++;
            continue;
        }
        for (; *at && *at != ' '; at++) {
            if (used >= PROCESS_ARGS_MAX - 1) return "its arguments are too long";
            process->args[used++] = *at;
        }
        process->args[used++] = '\0';
    }
    process->args_bytes = used;
    strlcpy(process->name, process->args, sizeof process->name);
    return used > 0 ? NULL : "it has no name";
}

static void enlist(struct process *process) {
    uint32_t state = spin_save(&kernel_lock);
    process->pid = next_pid++;
    list_append(&processes, &process->elem);
    spin_restore(&kernel_lock, state);
}

static void delist(struct process *process) {
    uint32_t state = spin_save(&kernel_lock);
    list_remove(&process->elem);
    spin_restore(&kernel_lock, state);
}

// Everything but the thread.
static struct process *process_new(const struct process_plan *plan, const char **why) {
    struct process *process = sys_calloc(1, sizeof *process);
    *why = process_no_memory;
    if (!process) return NULL;
    process->parent = plan->parent;
    process->keyboard = plan->keyboard;
    process->plan = plan;
    sema_init(&process->started, 0);
    sema_init(&process->ended, 0);
    sema_init(&process->event, 0);
    fpu_fresh(&process->fpu);
    const char *fault = args_take(process, plan->line);
    uint32_t pages = plan->pages ? plan->pages : default_pages;
    if (fault) *why = fault;
    if (fault || !space_make(&process->space, pages)) {
        sys_free(process);
        return NULL;
    }
    return process;
}

// Of a process that runs no program: what it holds.
static void process_free(struct process *process) {
    space_end(&process->space);
    user_heap_end(process->heap);
    sys_free(process);
}

struct process *process_create(const struct process_plan *plan, const char **why) {
    struct process *process = process_new(plan, why);
    if (!process) return NULL;
    enlist(process);
    process->thread = thread_create(process->name, PRIORITY_DEFAULT, process_run, process);
    if (process->thread) {
        sema_down(&process->started);
        process->plan = NULL;
        if (!process->why) return process;
        *why = process->why;
        thread_join(process->thread);
    }
    delist(process);
    process_free(process);
    return NULL;
}

// ---- the end ------------------------------------------------------------------------------------

struct process *process_child(const struct process *parent, uint32_t pid, bool ended) {
    struct process *found = NULL;
    uint32_t state = spin_save(&kernel_lock);
    for (struct list_elem *e = list_first(&processes); e && !found; e = list_next(&processes, e)) {
        struct process *process = list_entry(e, struct process, elem);
        bool wanted = process->parent == parent && (pid == 0 || process->pid == pid);
        if (wanted && (!ended || process->state == PROCESS_ENDED)) found = process;
    }
    spin_restore(&kernel_lock, state);
    return found;
}

// A child may end by itself meanwhile: then there is one less, or it is collected as it is.
static void children_end(const struct process *parent) {
    struct process *child;
    while ((child = process_child(parent, 0, false)) != NULL) {
        process_kill(child);
        process_wait(child);
    }
}

// The parent's semaphore first: with `ended` up the parent may collect this one and end itself.
noreturn void process_end(int status) {
    struct process *process = process_running;
    ASSERT(interrupt_depth == 0);
    irq_enable();
    children_end(process);
    for (uint32_t i = 0; i < PROCESS_FILES; i++) file_close(&process->file[i]);
    process->peak = process->space.peak;
    thread_set_owner(NULL); // the kernel's directory, before this one goes
    space_end(&process->space);
    struct user_heap *heap = process->heap;
    uint32_t state = spin_save(&kernel_lock);
    process->heap = NULL; // who looks at it has the lock: from here on there is none
    spin_restore(&kernel_lock, state);
    user_heap_end(heap);
    spin_save(&kernel_lock); // to the end: the next thread gives it back
    process->status = status;
    process->state = PROCESS_ENDED;
    if (process->parent) sema_up(&process->parent->event);
    sema_up(&process->ended);
    thread_exit(0);
}

bool process_has_ended(const struct process *process) { return process->state == PROCESS_ENDED; }

int process_wait(struct process *process) {
    sema_down(&process->ended);
    int status = process->status;
    struct process *parent = process->parent;
    if (parent && parent->children_peak < process->peak) parent->children_peak = process->peak;
    thread_join(process->thread);
    delist(process);
    process_free(process);
    return status;
}

bool process_kill_pid(uint32_t pid) {
    uint32_t state = spin_save(&kernel_lock);
    struct process *process = process_find(pid);
    if (process) process_kill(process);
    spin_restore(&kernel_lock, state);
    return process != NULL;
}

void process_kill(struct process *process) {
    uint32_t state = spin_save(&kernel_lock);
    process->killed = true;
    sema_up(&process->event);
    spin_restore(&kernel_lock, state);
}

// On the way to ring 3.
static void on_way_out(void) { process_check_killed(); }

// ---- faults and reports -------------------------------------------------------------------------

static void (*step_hook)(void); // process_set_step_hook()

void process_set_step_hook(void (*hook)(void)) { step_hook = hook; }

// An exception in ring 3: the stack grows, or the program ends with a line that says why.
static void user_fault(const struct interrupt_frame *frame) {
    struct process *process = process_running;
    uint32_t address = fault_address();
    bool page = frame->vector == VECTOR_PAGE_FAULT;
    if (frame->vector == VECTOR_DEBUG && step_hook) {
        step_hook();
        return;
    }
    char text[FAULT_TEXT_MAX];
    fault_text(text, sizeof text, frame);
    irq_enable();
    if (page && address < KERNEL_BASE && space_grow_stack(&process->space, address)) {
        irq_disable();
        return;
    }
    bool below = page && address - USER_HEAP_END < USER_STACK_LIMIT - USER_HEAP_END &&
                 frame->esp - USER_HEAP_END <= USER_STACK_LIMIT - USER_HEAP_END + PG_SIZE;
    kprintf("program %s (pid %u): %s%s, at 0x%08x; ended\n", process->name, process->pid,
            below ? "stack overflow: " : "", text, frame->eip);
    process_end(PROCESS_STATUS_FAULT + (int)frame->vector);
}

// "0x00400123 in hello (pid 3)". After REPORTS_MAX of them a program gets no more lines; each wrong
// call is refused all the same.
static enum report_place report_place(char *to, size_t room, const struct heap *heap) {
    struct process *process = process_running;
    if (!process || !process->heap || heap != &process->heap->heap) return PLACE_UNKNOWN;
    if (!process->call) return PLACE_UNKNOWN;
    if (process->reports++ >= REPORTS_MAX) return PLACE_QUIET;
    if (process->reports == REPORTS_MAX) {
        kprintf("program %s (pid %u): the last report, more are not printed\n", process->name,
                process->pid);
    }
    ksnprintf(to, room, "0x%08x in %s (pid %u)", process->call->frame.eip, process->name,
              process->pid);
    return PLACE_WRITTEN;
}

void process_init(uint32_t pages) {
    if (pages) default_pages = pages;
    list_init(&processes);
    fpu_init();
    processor_on_start(fpu_init);
    archive_init();
    ram_files_init();
    thread_set_switch_hook(on_switch);
    interrupt_set_user_hook(on_way_out);
    fault_set_user(user_fault);
    heap_report_set_place(report_place);
    gate_init();
}

// ---- looking ------------------------------------------------------------------------------------

struct process *process_find(uint32_t pid) {
    struct process *found = NULL;
    uint32_t state = spin_save(&kernel_lock);
    for (struct list_elem *e = list_first(&processes); e && !found; e = list_next(&processes, e)) {
        struct process *process = list_entry(e, struct process, elem);
        if (process->pid == pid) found = process;
    }
    spin_restore(&kernel_lock, state);
    return found;
}

static void process_info_fill(struct process_info *info, const struct process *process) {
    *info = (struct process_info){.pid = process->pid,
                                  .parent = process->parent ? process->parent->pid : 0,
                                  .state = process->state,
                                  .status = process->status,
                                  .pages = process->space.pages,
                                  .limit = process->space.limit,
                                  .tables = process->space.tables};
    memcpy(info->name, process->name, sizeof info->name);
    const struct user_heap *heap = process->heap;
    if (heap) info->heap_frames = heap->heap.small_frames + heap->heap.large_frames;
}

size_t process_snapshot(struct process_info *out, size_t max) {
    size_t count = 0;
    uint32_t state = spin_save(&kernel_lock);
    for (struct list_elem *e = list_first(&processes); e && count < max;
         e = list_next(&processes, e)) {
        process_info_fill(&out[count++], list_entry(e, struct process, elem));
    }
    spin_restore(&kernel_lock, state);
    return count;
}
