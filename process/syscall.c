// syscall.c - what a program can ask for: the dispatcher and one function a call. The table with
// arguments and errors is syscall_table.h.
//
// Trust. Everything in the registers is the program's, and may be any number. A pointer is checked
// for all its bytes before the first is touched (process/space.h), and what is read through one is
// copied once and used from the copy. The heap's calls need no check: memory.c judges a pointer by
// its records and follows none.
//
// Interrupts are on (process/gate.asm), so a long call can be switched away from; the space changes
// meanwhile only by this thread. For the three quick calls they are off from ring 3 to ring 3.
#include <stddef.h>

#include "device/timer.h"
#include "kernel/memory.h"
#include "kernel/panic.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "process/process.h"
#include "process/syscall_table.h"
#include "process/terminal.h"
#include "thread/thread.h"

#define QUICK __attribute__((regparm(1))) // the argument in eax

void syscall_dispatch(struct user_frame *call); // called by gate.asm, as are the quick ones
QUICK uint32_t quick_malloc(uint32_t size);
QUICK uint32_t quick_free(uint32_t p);
uint32_t quick_pid(void);

#define CHUNK 256u     // bytes of a write or read that are on the kernel's stack at a time
#define FIRST_FILE 3   // 0 is the keyboard, 1 and 2 the console
#define SLEEP_TICKS 5u // a sleeper looks this often whether it was killed
#define LINE_MAX PROCESS_ARGS_MAX

typedef uint32_t syscall(struct process *process, uint32_t a, uint32_t b, uint32_t c);

static uint32_t error_code(enum syscall_error error) { return (uint32_t)error; }
static void *pointer_to(uint32_t address) { return (void *)(uintptr_t)address; }

// ---- the program itself -------------------------------------------------------------------------

static uint32_t call_exit(struct process *process, uint32_t status, uint32_t b, uint32_t c) {
    process_end((int)(status & 0xff));
}

static uint32_t call_pid(struct process *process, uint32_t a, uint32_t b, uint32_t c) {
    return process->pid;
}

static uint32_t call_peak(struct process *process, uint32_t whose, uint32_t b, uint32_t c) {
    return whose ? process->children_peak : process->space.peak;
}

static uint32_t call_yield(struct process *process, uint32_t a, uint32_t b, uint32_t c) {
    thread_yield();
    return 0;
}

// Rounded up to ticks, in 64 bits: any number of milliseconds is a time.
static uint32_t call_sleep(struct process *process, uint32_t ms, uint32_t b, uint32_t c) {
    uint64_t ticks = ((uint64_t)ms * timer_hz() + 999) / 1000;
    while (ticks > 0) {
        uint32_t now = ticks < SLEEP_TICKS ? (uint32_t)ticks : SLEEP_TICKS;
        thread_sleep(now);
        process_check_killed();
        ticks -= now;
    }
    return 0;
}

static uint32_t call_time(struct process *process, uint32_t a, uint32_t b, uint32_t c) {
    return (uint32_t)((uint64_t)timer_ticks() * 1000 / timer_hz());
}

// ---- files --------------------------------------------------------------------------------------

// An open file by its number, NULL if it is none.
static struct open_file *file_at(struct process *process, uint32_t file) {
    uint32_t slot = file - FIRST_FILE;
    return slot < PROCESS_FILES && process->file[slot].open ? &process->file[slot] : NULL;
}

// A NUL would end kprintf()'s text: it is shown as a blank.
static void text_show(char *text, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        if (!text[i]) text[i] = ' ';
    }
    kprintf("%.*s", (int)bytes, text);
}

static uint32_t call_write(struct process *process, uint32_t file, uint32_t from, uint32_t count) {
    char text[CHUNK];
    struct open_file *at = file_at(process, file);
    if (file != 1 && file != 2 && !at) return error_code(ERROR_ARGUMENT);
    if (!space_readable(&process->space, from, count)) return error_code(ERROR_POINTER);
    if (at) return file_write(at, &process->space, count, pointer_to(from));
    for (uint32_t done = 0; done < count;) {
        uint32_t now = count - done < CHUNK ? count - done : CHUNK;
        memcpy(text, (const void *)(uintptr_t)(from + done), now);
        text_show(text, now);
        done += now;
        process_check_killed();
    }
    return count;
}

static uint32_t keyboard_read(struct process *process, uint32_t to, uint32_t count) {
    char text[CHUNK];
    uint32_t got = terminal_read(process, text, count < CHUNK ? count : CHUNK);
    memcpy((void *)(uintptr_t)to, text, got);
    return got;
}

static uint32_t call_read(struct process *process, uint32_t file, uint32_t to, uint32_t count) {
    struct open_file *at = file_at(process, file);
    if (file != 0 && !at) return error_code(ERROR_ARGUMENT);
    if (!space_writable(&process->space, to, count)) return error_code(ERROR_POINTER);
    return at ? file_read(at, &process->space, count, pointer_to(to))
              : keyboard_read(process, to, count);
}

// A place in the table of open files as the program's number for it; an error stays one.
static uint32_t file_number(uint32_t slot) {
    return slot < PROCESS_FILES ? slot + FIRST_FILE : slot;
}

static uint32_t call_open(struct process *process, uint32_t name, uint32_t b, uint32_t c) {
    char text[ARCHIVE_NAME_MAX];
    if (!space_string(&process->space, name, text, sizeof text)) return error_code(ERROR_POINTER);
    return file_number(file_open(process->file, PROCESS_FILES, text));
}

static uint32_t call_create(struct process *process, uint32_t name, uint32_t keep, uint32_t c) {
    char text[ARCHIVE_NAME_MAX];
    if (!space_string(&process->space, name, text, sizeof text)) return error_code(ERROR_POINTER);
    return file_number(file_create(process->file, PROCESS_FILES, text, keep != 0));
}

static uint32_t call_remove(struct process *process, uint32_t name, uint32_t b, uint32_t c) {
    char text[ARCHIVE_NAME_MAX];
    if (!space_string(&process->space, name, text, sizeof text)) return error_code(ERROR_POINTER);
    return file_remove(text);
}

static uint32_t call_close(struct process *process, uint32_t file, uint32_t b, uint32_t c) {
    struct open_file *at = file_at(process, file);
    if (!at) return error_code(ERROR_ARGUMENT);
    file_close(at);
    return 0;
}

static uint32_t call_seek(struct process *process, uint32_t file, uint32_t offset, uint32_t from) {
    struct open_file *at = file_at(process, file);
    return at ? file_seek(at, offset, from) : error_code(ERROR_ARGUMENT);
}

// ---- the heap -----------------------------------------------------------------------------------

// Made at the first call; NULL: no memory for its records.
static __attribute__((noinline)) struct user_heap *heap_make(struct process *process) {
    char name[USER_HEAP_NAME_MAX];
    ksnprintf(name, sizeof name, "%s.%u", process->name, process->pid);
    process->heap = user_heap_make(&process->space, process->space.limit, name);
    return process->heap;
}

static inline struct user_heap *heap_of_process(struct process *process) {
    return process->heap ? process->heap : heap_make(process);
}

static uint32_t call_malloc(struct process *process, uint32_t size, uint32_t b, uint32_t c) {
    struct user_heap *heap = heap_of_process(process);
    return heap ? user_malloc(heap, size) : 0;
}

static uint32_t call_free(struct process *process, uint32_t p, uint32_t b, uint32_t c) {
    struct user_heap *heap = heap_of_process(process);
    if (heap && p) user_free(heap, p);
    return 0;
}

static uint32_t call_calloc(struct process *process, uint32_t count, uint32_t size, uint32_t c) {
    struct user_heap *heap = heap_of_process(process);
    return heap ? user_calloc(heap, count, size) : 0;
}

static uint32_t call_realloc(struct process *process, uint32_t p, uint32_t size, uint32_t c) {
    struct user_heap *heap = heap_of_process(process);
    return heap ? user_realloc(heap, p, size) : 0;
}

static uint32_t call_aligned_alloc(struct process *process, uint32_t alignment, uint32_t size,
                                   uint32_t c) {
    struct user_heap *heap = heap_of_process(process);
    return heap ? user_aligned_alloc(heap, alignment, size) : 0;
}

static uint32_t call_usable_size(struct process *process, uint32_t p, uint32_t b, uint32_t c) {
    struct user_heap *heap = heap_of_process(process);
    return heap && p ? user_usable_size(heap, p) : 0;
}

// ---- other programs -----------------------------------------------------------------------------

// The line is the kernel's copy; its first word is the file's name.
static uint32_t call_spawn(struct process *process, uint32_t line, uint32_t b, uint32_t c) {
    char text[LINE_MAX], name[ARCHIVE_NAME_MAX];
    struct program_source source;
    if (!space_string(&process->space, line, text, sizeof text)) return error_code(ERROR_POINTER);
    const char *blank = strchr(text, ' ');
    size_t length = blank ? (size_t)(blank - text) : strlen(text);
    if (length >= sizeof name) return error_code(ERROR_NO_FILE);
    strlcpy(name, text, length + 1);
    if (program_find(&source, name) != NULL) return error_code(ERROR_NO_FILE);
    struct process_plan plan = {
        .line = text, .source = &source, .parent = process, .pages = process->space.limit};
    const char *why;
    struct process *child = process_create(&plan, &why);
    program_release(&source);
    if (child) return child->pid;
    if (why == process_no_memory) return error_code(ERROR_NO_MEMORY);
    return error_code(why == process_no_file ? ERROR_DISK : ERROR_NO_PROGRAM);
}

// The place for the status is checked first: a child that was collected is gone. It is still good
// after the wait, since only this thread changes the space.
static uint32_t call_wait(struct process *process, uint32_t pid, uint32_t status, uint32_t c) {
    if (status && !space_writable(&process->space, status, sizeof(int))) {
        return error_code(ERROR_POINTER);
    }
    struct process *child;
    while ((child = process_child(process, pid, true)) == NULL) {
        if (!process_child(process, pid, false)) return error_code(ERROR_NO_CHILD);
        process_check_killed();
        sema_down(&process->event);
    }
    uint32_t ended = child->pid;
    int value = process_wait(child);
    if (status) memcpy((void *)(uintptr_t)status, &value, sizeof value);
    return ended;
}

static uint32_t call_kill(struct process *process, uint32_t pid, uint32_t b, uint32_t c) {
    struct process *child = pid ? process_child(process, pid, false) : NULL;
    if (!child) return error_code(ERROR_NO_CHILD);
    process_kill(child);
    return 0;
}

// ---- the quick way ------------------------------------------------------------------------------
//
// Called by gate.asm with interrupts off, for a program that has none of its registers saved. 0:
// nothing has changed, and the dispatcher is to do it.

_Static_assert(SYS_malloc == 5 && SYS_free == 6 && SYS_pid == 17, "the numbers of gate.asm");

QUICK uint32_t quick_malloc(uint32_t size) {
    struct user_heap *user = process_running->heap;
    return user ? (uint32_t)(uintptr_t)heap_take_block(&user->heap, size) : 0;
}

QUICK uint32_t quick_free(uint32_t p) {
    struct user_heap *user = process_running->heap;
    return user && heap_give_block(&user->heap, p);
}

uint32_t quick_pid(void) { return process_running->pid; }

// ---- the dispatcher -----------------------------------------------------------------------------

#define ROW(number, name, arguments, result, errors) [number] = call_##name,
static syscall *const calls[] = {SYSCALLS(ROW)};
_Static_assert(sizeof calls / sizeof calls[0] == SYSCALL_COUNT, "the table's numbers");

// The gate is open to ring 0 as well, where nothing uses it. Nothing may come between the last look
// at `killed` and ring 3, so interrupts go off here.
void syscall_dispatch(struct user_frame *call) {
    struct process *process = process_current();
    struct interrupt_frame *frame = &call->frame;
    if (!frame_from_user(frame)) panic_at(frame, "a system call by the kernel");
    if (frame->eflags & EFLAGS_VM) process_end(PROCESS_STATUS_KILLED); // its stack is another
    uint32_t number = frame->eax;
    process->call = call;
    frame->eax = number < SYSCALL_COUNT ? calls[number](process, frame->ebx, frame->ecx, frame->edx)
                                        : error_code(ERROR_NO_CALL);
    irq_disable();
    process_check_killed();
}
