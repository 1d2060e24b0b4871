// tour_scenes.c - see tour_scenes.h. One function for each tour: what it does is what the tour's
// text says.
//
// A debugger stops at these functions by name, so they are not inlined; and the heap is as the
// scene wants it, whatever stood in it before: a tour's claims are about what changes.
#include "kernel/museum/tour_scenes.h"

#include <stddef.h>
#include <stdint.h>

#include "kernel/classic/classic.h"
#include "kernel/interrupt.h"
#include "kernel/memory.h"
#include "kernel/measure/step.h"
#include "kernel/processor.h"
#include "kernel/symbol.h"
#include "lib/page.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "process/archive.h"
#include "process/process.h"
#include "thread/sync.h"
#include "thread/thread.h"

#define SCENE static __attribute__((noinline)) void
#define SPARE_IRQ 5 // no device: `int` raises it

// Where tours end: the last stop of each.
SCENE scene_end(void) { __asm__ volatile("" : : : "memory"); }

// A block from an arena that has room: the shortest way through sys_malloc.
SCENE scene_first_malloc(void) {
    void *before = sys_malloc(20);
    char *p = sys_malloc(24);
    if (p) memset(p, 'g', 24);
    sys_free(p);
    sys_free(before);
    scene_end();
}

// No arena of 512-byte blocks is there yet.
SCENE scene_arena_opens(void) {
    void *p = sys_malloc(500);
    scene_end();
    sys_free(p);
}

// Three blocks; the one in the middle comes back, and is the next that is handed out.
SCENE scene_block_list(void) {
    void *a = sys_malloc(60), *b = sys_malloc(60), *c = sys_malloc(60);
    sys_free(b);
    b = sys_malloc(60);
    scene_end();
    sys_free(a);
    sys_free(b);
    sys_free(c);
}

// More than the largest block: whole frames.
SCENE scene_large_area(void) {
    char *p = sys_malloc(5000);
    if (p) p[4999] = 'g';
    sys_free(p);
    scene_end();
}

// The last block of an arena comes back: the first empty arena stays in reserve, for the next
// request next; trimming closes it.
SCENE scene_last_block(void) {
    void *p = sys_malloc(500);
    sys_free(p);
    sys_trim();
    scene_end();
}

SCENE scene_double_free(void) {
    void *keep = sys_malloc(24), *p = sys_malloc(24);
    sys_free(p);
    sys_free(p);
    scene_end();
    sys_free(keep);
}

// ---- the seed's own heap ------------------------------------------------------------------------

SCENE scene_classic_malloc(void) {
    classic_init();
    void *p = classic_malloc(60), *q = classic_malloc(60);
    scene_end();
    classic_free(p);
    classic_free(q);
}

// The second block that comes back is the arena's last.
SCENE scene_classic_free(void) {
    classic_init();
    void *p = classic_malloc(500), *q = classic_malloc(500);
    classic_free(p);
    classic_free(q);
    scene_end();
}

// ---- a switch of threads inside sys_malloc ------------------------------------------------------

static struct semaphore scene_go;
static void *scene_mine, *scene_others;

static int scene_other_thread(void *argument) {
    sema_down(&scene_go);
    scene_others = sys_malloc(24);
    return 0;
}

// As the timer's handler does when a turn is over: on the way out the other thread runs.
static void scene_interrupt(struct interrupt_frame *frame) { sema_up(&scene_go); }

// After each instruction at which an interrupt could come: the first one inside sys_malloc.
static void scene_hook(const struct interrupt_frame *frame, uint32_t place, void *argument) {
    bool *done = argument;
    uint32_t offset;
    const char *name = symbol_find(frame->eip, &offset);
    if (*done || !name || strcmp(name, "sys_malloc") != 0 || offset == 0) return;
    *done = true;
    __asm__ volatile("int %0" : : "i"(IRQ_BASE + SPARE_IRQ) : "memory");
}

static void scene_call(void *argument) { scene_mine = sys_malloc(24); }

SCENE scene_switch_inside(void) {
    void *open = sys_malloc(24); // so that its arena is there
    bool done = false;
    struct step_count count;
    sema_init(&scene_go, 0);
    struct thread *other = thread_create("other", PRIORITY_DEFAULT + 1, scene_other_thread, NULL);
    interrupt_register(IRQ_BASE + SPARE_IRQ, scene_interrupt);
    step_run(scene_call, NULL, scene_hook, &done, &count);
    interrupt_register(IRQ_BASE + SPARE_IRQ, NULL);
    scene_end();
    if (other) thread_join(other);
    sys_free(scene_mine);
    sys_free(scene_others);
    sys_free(open);
}

// A thread's stack is the one thing that is mapped page by page.
SCENE scene_page_table_entry(void) {
    sema_init(&scene_go, 1);
    struct thread *thread = thread_create("mapped", PRIORITY_DEFAULT, scene_other_thread, NULL);
    scene_end();
    if (thread) thread_join(thread);
    sys_free(scene_others);
}

// ---- on two processors --------------------------------------------------------------------------

static volatile bool scene_freed;

static int scene_free_there(void *p) {
    sys_free(p);
    scene_freed = true;
    return 0;
}

// This thread keeps its processor, so the other one is run elsewhere. The block that stays keeps
// the arena from becoming empty.
SCENE scene_another_processor_frees(void) {
    if (!processors_many) {
        put_str("scene: there is one processor: CPUS=2\n");
        return;
    }
    void *keep = sys_malloc(24), *p = sys_malloc(24);
    scene_freed = false;
    struct thread *other = thread_create("other", PRIORITY_DEFAULT, scene_free_there, p);
    while (other && !scene_freed) cpu_pause();
    scene_end();
    if (other) thread_join(other);
    else sys_free(p);
    sys_free(keep);
}

// ---- a program ----------------------------------------------------------------------------------

// A program of the image that asks for memory. Its first call is malloc(24).
SCENE scene_program_malloc(void) {
    struct archive_file file = {0};
    const char *why = archive_find("little", &file);
    struct program_source source = program_in_archive(&file);
    struct process_plan plan = {.line = "little", .source = &source};
    struct process *process = why ? NULL : process_create(&plan, &why);
    if (process) process_wait(process);
    else kprintf("scene: little: %s\n", why);
    scene_end();
}

static const struct {
    const char *name;
    void (*run)(void);
} scenes[] = {
    {"first-malloc", scene_first_malloc},
    {"arena-opens", scene_arena_opens},
    {"block-list", scene_block_list},
    {"large-area", scene_large_area},
    {"last-block", scene_last_block},
    {"double-free", scene_double_free},
    {"switch-inside", scene_switch_inside},
    {"page-table-entry", scene_page_table_entry},
    {"classic-malloc", scene_classic_malloc},
    {"classic-free", scene_classic_free},
    {"program-malloc", scene_program_malloc},
    {"another-processor-frees", scene_another_processor_frees},
};
#define SCENES (sizeof scenes / sizeof scenes[0])

bool scene_run(const char *name) {
    for (size_t i = 0; i < SCENES; i++) {
        if (strcmp(scenes[i].name, name) != 0) continue;
        scenes[i].run();
        kprintf("scene: %s: done\n", name);
        return true;
    }
    kprintf("scene: no '%s'; there are", name);
    for (size_t i = 0; i < SCENES; i++) kprintf(" %s", scenes[i].name);
    put_str("\n");
    return false;
}
