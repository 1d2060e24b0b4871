// test_process.c - programs: from the image's archive, in ring 3, and everything back at the end.
//
// That every frame comes back is each test's own condition (tests/kernel/ktest.h). Only these find
// a page, table or record that is left when a program dies at some instruction, or when memory ends
// in the middle of making one.
#include "kernel/interrupt.h"
#include "kernel/inspect/report.h"
#include "kernel/layout.h"
#include "kernel/paging.h"
#include "kernel/measure/heaplog.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "process/archive.h"
#include "process/layout.h"
#include "process/process.h"
#include "tests/kernel/ktest.h"
#include "thread/thread.h"

// A program of the image in the kernel's memory: read once, run often.
struct held {
    void *bytes;
    struct program_source source;
};

static bool hold(struct held *held, const char *name) {
    struct archive_file file;
    *held = (struct held){0};
    if (archive_find(name, &file) != NULL) return false;
    held->bytes = sys_malloc(file.bytes);
    if (!held->bytes || !archive_read(&file, 0, file.bytes, held->bytes)) return false;
    held->source = program_in_memory(held->bytes, file.bytes);
    return true;
}

static void let_go(struct held *held) { sys_free(held->bytes); }

static const char *why; // of the last start()

static struct process *start(const struct held *held, const char *line) {
    struct process_plan plan = {.line = line, .source = &held->source};
    return process_create(&plan, &why);
}

// Runs a program to its end.
static int run(const char *line) {
    char name[16];
    struct held held;
    const char *blank = strchr(line, ' ');
    strlcpy(name, line, blank ? (size_t)(blank - line) + 1 : sizeof name);
    int status = -1;
    if (KCHECK(hold(&held, name))) {
        struct process *process = start(&held, line);
        if (KCHECK(process != NULL)) status = process_wait(process);
    }
    let_go(&held);
    return status;
}

KTEST(process_hello) {
    KCHECK_EQ(run("hello one two"), 0);
    KCHECK(ktest_contains(ktest_printed(), "hello from ring 3, pid "));
    KCHECK(ktest_contains(ktest_printed(), "argument 1: one\nargument 2: two\n"));
    KCHECK_EQ(process_current(), NULL);
}

KTEST(process_heap) {
    KCHECK_EQ(run("heapdemo"), 0);
    KCHECK(ktest_contains(ktest_printed(), "heapdemo: as it should be\n"));
}

KTEST(process_family) {
    KCHECK_EQ(run("family"), 0);
    KCHECK(ktest_contains(ktest_printed(), "family: as it should be\n"));
}

// ---- files in memory ----------------------------------------------------------------------------

KTEST(process_files) {
    KCHECK_EQ(run("scribe"), 0);
    KCHECK(ktest_contains(ktest_printed(), "scribe: as it should be\n"));
}

// All files together have a limit, whatever the pool has.
KTEST(process_files_full) {
    KNEED(frames_free(POOL_USER) > RAM_FRAMES_MAX + 100);
    KCHECK_EQ(run("scribe fill"), 0);
    KCHECK(ktest_contains(ktest_printed(), "scribe: 2048 pages, then: over 4 MiB for a file"));
}

// A file belongs to no program: it is there when the one that wrote it was killed with the file
// open, and its frames are what is missing.
KTEST(process_file_outlives) {
    struct held held;
    char name[ARCHIVE_NAME_MAX];
    uint32_t bytes = 0;
    KNEED(hold(&held, "scribe"));
    sys_trim();
    uint32_t user = frames_free(POOL_USER);
    struct process *process = start(&held, "scribe hold");
    if (KCHECK(process != NULL)) {
        thread_sleep(3);
        process_kill(process);
        KCHECK_EQ(process_wait(process), PROCESS_STATUS_KILLED);
    }
    KCHECK(ram_file_at(0, name, &bytes));
    KCHECK_EQ(strcmp(name, "scribe.tmp"), 0);
    KCHECK_EQ(bytes, PG_SIZE);
    KCHECK_EQ(frames_free(POOL_USER), user - 1);
    KCHECK(ram_file_remove("scribe.tmp"));
    KCHECK(!ram_file_at(0, name, &bytes));
    KCHECK_EQ(frames_free(POOL_USER), user);
    let_go(&held);
}

// ---- a program's faults are its own -------------------------------------------------------------

static void check_fault(const char *line, int vector, const char *words) {
    ktest_printed_clear();
    KCHECK_EQ(run(line), PROCESS_STATUS_FAULT + vector);
    if (!KCHECK(ktest_contains(ktest_printed(), words))) kprintf("not printed: %s\n", words);
    KCHECK(ktest_contains(ktest_printed(), "program museum (pid "));
}

KTEST(process_faults) {
    check_fault("museum null-write", VECTOR_PAGE_FAULT,
                "page fault: write to 0x00000000, which is not mapped (a null pointer?), at 0x004");
    check_fault("museum text-write", VECTOR_PAGE_FAULT, "which is write-protected, at 0x004");
    check_fault("museum kernel-read", VECTOR_PAGE_FAULT,
                "page fault: read of 0x80100000, which is the kernel's, at 0x004");
    check_fault("museum kernel-write", VECTOR_PAGE_FAULT,
                "page fault: write to 0x88000000, which is the kernel's, at 0x004");
    check_fault("museum late-read", VECTOR_PAGE_FAULT, "page fault: read of 0x10000000, which is");
    check_fault("museum wild-jump", VECTOR_PAGE_FAULT, "page fault: execution of 0x12345678");
    check_fault("museum stack-overflow", VECTOR_PAGE_FAULT, "stack overflow: page fault: write to");
    check_fault("museum divide", 0, "divide error, at 0x004");
    check_fault("museum cli", 13, "general protection fault, at 0x004");
    check_fault("museum port", 13, "general protection fault, at 0x004");
    check_fault("museum sysenter-jump", VECTOR_PAGE_FAULT,
                "page fault: execution of 0x80100000, which is the kernel's, at 0x80100000");
    check_fault("museum sysenter-stack", VECTOR_PAGE_FAULT,
                "page fault: write to 0x880000ff, which is the kernel's, at 0x004");
    check_fault("museum int", 13, "general protection fault: interrupt 32, at 0x004");
}

// The trap flag is a program's to set. The heap's log has a handler of its own for the exception
// that follows, which must not be asked.
KTEST(process_trap_flag) {
    check_fault("museum trap-flag", VECTOR_DEBUG, "debug, at 0x004");
    if (!KCHECK(heaplog_start(false))) return;
    check_fault("museum trap-flag", VECTOR_DEBUG, "debug, at 0x004");
    check_fault("museum sysenter-trap", VECTOR_DEBUG, "debug, at 0x004");
    heaplog_stop();
    check_fault("museum sysenter-trap", VECTOR_DEBUG, "debug, at 0x004");
}

// What a program has in its flags and segments when it calls is not the kernel's.
KTEST(process_sysenter_flags) {
    KCHECK_EQ(run("museum sysenter-flags"), 0);
    KCHECK(ktest_contains(ktest_printed(), "64 of 64 calls answered\n"));
}

// In QEMU a fault at an address of real mode, elsewhere nothing at all; nowhere the kernel's.
KTEST(process_virtual_8086) {
    int status = run("museum virtual-8086");
    bool refused = ktest_contains(ktest_printed(), "still in protected mode");
    KCHECK_EQ(status, refused ? 0 : PROCESS_STATUS_FAULT + VECTOR_PAGE_FAULT);
}

// ---- a program's wrong calls of its heap, in the same words -------------------------------------

static void check_report(const char *line, enum heap_fault fault, const char *words) {
    ktest_printed_clear();
    ktest_report_expect();
    int status = run(line);
    ktest_report_check(fault, heap_last_report.pointer, __FILE__, __LINE__);
    KCHECK_EQ(status, 0);
    if (!KCHECK(ktest_contains(ktest_printed(), words))) kprintf("not printed: %s\n", words);
    KCHECK(ktest_contains(ktest_printed(), "; called from 0x004"));
    KCHECK(ktest_contains(ktest_printed(), " in museum (pid "));
}

KTEST(process_wrong_frees) {
    check_report("museum double-free", HEAP_DOUBLE_FREE,
                 "heap: double free: 0x10000000: block 0 of the 32-byte arena 0x10000000, museum.");
    check_report("museum interior-free", HEAP_INTERIOR_POINTER,
                 "heap: interior pointer: 0x10000010: byte 16 of block 0 of the 128-byte arena");
    check_report("museum never-free", HEAP_NOT_ALLOCATED,
                 "heap: not allocated: 0x10000040: block 2 of the 32-byte arena");
    check_report("museum stack-free", HEAP_OUTSIDE, "heap: outside the heap: 0x7fff");
    check_report("museum kernel-free", HEAP_OUTSIDE, "heap: outside the heap: 0x88005000: ");
    KCHECK_EQ(run("museum overflow"), 0);
}

// ---- making one ---------------------------------------------------------------------------------

KTEST(process_refused) {
    static const char text[] = "no program at all, but long enough for a header of fifty-two bytes";
    struct held held = {.source = program_in_memory(text, sizeof text)};
    KCHECK_EQ(start(&held, "text"), NULL);
    KCHECK_EQ(strcmp(why, "not an ELF file of 32 bits"), 0);
    held.source.bytes = 20;
    KCHECK_EQ(start(&held, "text"), NULL);
    KCHECK_EQ(strcmp(why, "too short for a program"), 0);
    KCHECK_EQ(start(&held, "  "), NULL);
    KCHECK_EQ(strcmp(why, "it has no name"), 0);
}

// Memory ends at the k-th page, for each k that a program needs to start and a few more.
KTEST(process_page_limit) {
    struct held held;
    KNEED(hold(&held, "heapdemo"));
    uint32_t refused = 0;
    for (uint32_t pages = 1; pages <= 24; pages++) {
        struct process_plan plan = {.line = "heapdemo", .source = &held.source, .pages = pages};
        struct process *process = process_create(&plan, &why);
        if (process) process_wait(process); // it may fault on a null pointer; nothing else may
        else refused++;
    }
    KCHECK(refused >= 2 && refused < 8);
    let_go(&held);
}

// The pools end at the k-th frame: all but k are taken while a program is made and runs.
static void with_frames_left(enum pool_id pool, uint32_t left, const struct held *held,
                             const char *line) {
    struct taken { // a list through frames would need them mapped
        uint32_t first, count;
    } taken[64];
    uint32_t runs = 0;
    while (frames_free(pool) > left && runs < 64) {
        uint32_t count = frames_free(pool) - left, first = FRAME_NONE;
        for (; count > 0 && first == FRAME_NONE; count -= first == FRAME_NONE ? (count + 7) / 8 : 0)
            first = frame_alloc(pool, count);
        if (first == FRAME_NONE) break;
        taken[runs].first = first;
        taken[runs++].count = count;
    }
    KCHECK_EQ(frames_free(pool), left);
    struct process *process = start(held, line);
    if (process) process_wait(process);
    while (runs > 0) {
        runs--;
        frame_free(pool, taken[runs].first, taken[runs].count);
    }
}

KTEST(process_out_of_frames) {
    struct held held;
    KNEED(hold(&held, "hello"));
    for (uint32_t left = 0; left < 8; left++) with_frames_left(POOL_USER, left, &held, "hello");
    for (uint32_t left = 0; left < 40; left++) with_frames_left(POOL_KERNEL, left, &held, "hello");
    let_go(&held);
}

// The same while a file is written: the write that finds no frame, or no block for the file's list,
// is an error.
KTEST(process_files_out_of_frames) {
    struct held held;
    KNEED(hold(&held, "scribe"));
    for (uint32_t left = 8; left < 48; left += 3) {
        ktest_printed_clear();
        with_frames_left(POOL_USER, left, &held, "scribe fill");
        KCHECK(ktest_contains(ktest_printed(), " pages, then: no frame, record or stack"));
    }
    for (uint32_t left = 0; left < 40; left++) {
        with_frames_left(POOL_KERNEL, left, &held, "scribe step");
    }
    let_go(&held);
}

// The checked build's quarantine keeps blocks of the kernel's heap for a while.
#ifdef HEAP_CHECKED
#define KERNEL_FRAMES_FREE 0
#else
#define KERNEL_FRAMES_FREE frames_free(POOL_KERNEL)
#endif

// One after the other; the pools are as before after each.
static void check_many(uint32_t count) {
    struct held held;
    KNEED(hold(&held, "nothing"));
    uint32_t bad = 0, kernel = 0, user = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct process *process = start(&held, "nothing");
        bad += !process || process_wait(process) != 0;
        if (i == 1) kernel = KERNEL_FRAMES_FREE, user = frames_free(POOL_USER);
        if (i > 1) bad += KERNEL_FRAMES_FREE != kernel || frames_free(POOL_USER) != user;
    }
    KCHECK_EQ(bad, 0);
    kprintf("process: %u made and ended, %u not as they should be\n", count, bad);
    let_go(&held);
}

KTEST(process_many) { check_many(1000); }
KTEST(long_process_many) { check_many(100000); } // make soak-programs

// What making and ending one costs: under -icount instructions, else cycles. Three pages and three
// tables are cleared or copied, 1024 instructions each. tests/e2e/test_processes.py has the bounds.
KTEST(process_cost) {
    struct held held;
    KNEED(hold(&held, "nothing"));
    uint64_t ticks = 0;
    uint32_t bad = 0;
    for (uint32_t i = 0; i < 101; i++) {
        uint32_t kernel = frames_free(POOL_KERNEL);
        uint64_t from = rdtsc();
        struct process *process = start(&held, "nothing");
        if (!process) bad++;
        else bad += process_wait(process) != 0;
        if (i > 0) ticks += rdtsc() - from; // the first one warms the heap
        if (frames_free(POOL_KERNEL) > kernel) bad++;
    }
    KCHECK_EQ(bad, 0);
    kprintf("process: made and ended in %u instructions or cycles\n", (uint32_t)(ticks / 100));
    let_go(&held);
}

KTEST(process_side_by_side) {
    struct held held;
    struct process *process[20];
    KNEED(hold(&held, "spin"));
    for (uint32_t i = 0; i < 20; i++) process[i] = start(&held, i % 2 ? "spin" : "spin sleeping");
    thread_sleep(10);
    for (uint32_t i = 0; i < 20; i++) {
        if (KCHECK(process[i] != NULL)) process_kill(process[i]);
    }
    for (uint32_t i = 0; i < 20; i++) {
        if (process[i]) KCHECK_EQ(process_wait(process[i]), PROCESS_STATUS_KILLED);
    }
    let_go(&held);
}

// A frame that another program filled comes back as zeros: `zeros` looks at its fresh pages of
// data, stack and heap, after one that left none of them so.
KTEST(process_pages_come_as_zeros) {
    KCHECK_EQ(run("zeros fill"), 0);
    KCHECK_EQ(run("zeros"), 0);
    KCHECK(ktest_contains(ktest_printed(), "zeros: every byte is 0"));
}

// ---- killed at every instruction ----------------------------------------------------------------

static uint32_t steps, last_step;

// After each instruction of ring 3; in the kernel the gate has cleared the trap flag.
static void after_step(void) {
    dr6_write(DR6_NOTHING);
    if (++steps == last_step) process_kill(process_current());
}

// The instructions it took; `at`: the one after which it is killed, 0: none.
static uint32_t stepped(const struct held *held, const char *line, uint32_t at, int *status) {
    struct process_plan plan = {.line = line, .source = &held->source, .step = true};
    steps = 0;
    last_step = at;
    struct process *process = process_create(&plan, &why);
    *status = process ? process_wait(process) : -1;
    return steps;
}

static void killed_everywhere(const char *name, const char *line) {
    struct held held;
    int status;
    KNEED(hold(&held, name));
    process_set_step_hook(after_step);
    uint32_t all = stepped(&held, line, 0, &status), wrong = 0;
    KCHECK_EQ(status, 0);
    KCHECK(all > 20);
    sys_trim();
    uint32_t kernel = frames_free(POOL_KERNEL), user = frames_free(POOL_USER);
    for (uint32_t at = 1; at <= all; at++) {
        stepped(&held, line, at, &status);
        ram_file_remove("scribe.tmp");
        sys_trim();
        wrong += status != PROCESS_STATUS_KILLED || frames_free(POOL_KERNEL) != kernel ||
                 frames_free(POOL_USER) != user;
    }
    KCHECK_EQ(wrong, 0);
    process_set_step_hook(NULL);
    let_go(&held);
}

// By sysenter, where the processor has it, and by int 0x80.
KTEST(process_killed_at_every_instruction) {
    killed_everywhere("little", "little");
    killed_everywhere("little", "little int");
}

KTEST(process_killed_with_a_file) { killed_everywhere("scribe", "scribe step"); }

// ---- floating point is each program's own -------------------------------------------------------

KTEST(process_floating_point) {
    struct held held;
    struct process *process[3];
    KNEED(hold(&held, "float"));
    process[0] = start(&held, "float 1");
    process[1] = start(&held, "float 2");
    process[2] = start(&held, "float 3");
    for (int i = 0; i < 3; i++) {
        if (KCHECK(process[i] != NULL)) KCHECK_EQ(process_wait(process[i]), 0);
    }
    let_go(&held);
}

// ---- files and code of random bytes -------------------------------------------------------------

static uint32_t random_state;

static uint32_t random_below(uint32_t bound) {
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)random_state * bound) >> 32);
}

#define ELF_ENTRY 24         // offset of the first instruction's address in the file
#define HEADERS_BYTES 160u   // with the program headers
#define FIRST_CODE_BYTES 48u // from _start to the call of main(), and beyond

// Changes bytes of the headers, of the whole file, of the first instructions; or makes those random
// altogether. The first segment's bytes lie in the file as they do in memory.
static void mutate(uint8_t *bytes, uint32_t count) {
    uint32_t changes = 1 + random_below(8), from = 0, within = HEADERS_BYTES, entry;
    uint32_t kind = random_below(4);
    memcpy(&entry, bytes + ELF_ENTRY, sizeof entry);
    if (kind == 1) within = count;
    if (kind >= 2) from = entry % PG_SIZE, within = FIRST_CODE_BYTES;
    for (uint32_t i = 0; kind < 3 && i < changes; i++) {
        bytes[from + random_below(within)] = (uint8_t)random_below(256);
    }
    for (uint32_t i = 0; kind == 3 && i < within; i++) bytes[from + i] = (uint8_t)random_below(256);
}

// Its end, or after some ticks the kernel's.
static void wait_or_kill(struct process *process) {
    for (uint32_t ticks = 0; ticks < 3 && !process_has_ended(process); ticks++) thread_sleep(1);
    process_kill(process);
    process_wait(process);
}

// A damaged file is refused or runs, and what runs does whatever its bytes say.
static void check_mutants(uint32_t mutants) {
    struct held held;
    KNEED(hold(&held, "little"));
    uint32_t bytes = held.source.bytes, refused = 0, reports = heap_report_count;
    uint8_t *mutant = sys_malloc(bytes);
    KNEED(mutant);
    held.source.memory = mutant;
    random_state = 1;
    ktest_report_expect();
    for (uint32_t i = 0; i < mutants; i++) {
        memcpy(mutant, held.bytes, bytes);
        mutate(mutant, bytes);
        struct process *process = start(&held, "mutant");
        if (process) wait_or_kill(process);
        else refused++;
    }
    ktest_reports_any(heap_report_count - reports);
    KCHECK(refused > 10 && refused < mutants / 2);
    KCHECK(ktest_contains(ktest_printed(), "program mutant (pid "));
    sys_free(mutant);
    let_go(&held);
}

KTEST(process_mutants) { check_mutants(600); }
KTEST(long_process_mutants) { check_mutants(5000); } // make soak-programs

// ---- a hostile program --------------------------------------------------------------------------

// FNV-1a over what no system call has a reason to change: the kernel's text and constants, its
// tables, another block of its heap, and another program's memory.
static uint32_t hash_more(uint32_t hash, const void *from, size_t bytes) {
    const uint8_t *at = from;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ at[i]) * 16777619u;
    return hash;
}

static uint32_t hash_of(const void *from, size_t bytes) {
    return hash_more(2166136261u, from, bytes);
}

// A program's text, data and heap; its stack changes as it wakes and sleeps.
static uint32_t hash_of_program(struct process *process) {
    uint32_t hash = 2166136261u, state = irq_save();
    paging_load(process->space.directory);
    for (uintptr_t table = USER_IMAGE_BASE; table < USER_HEAP_END; table += 1024 * PG_SIZE) {
        if (!process->space.view[table >> 22]) continue;
        for (uintptr_t va = table; va < table + 1024 * PG_SIZE; va += PG_SIZE) {
            if (space_has(&process->space, va)) hash = hash_more(hash, (const void *)va, PG_SIZE);
        }
    }
    paging_load(paging_directory());
    irq_restore(state);
    return hash;
}

extern char kernel_start[], kernel_rodata_end[]; // kernel.ld

#define VICTIM_BYTES 20000u

static void check_hostile(const char *line) {
    struct held held, other;
    void *victim = sys_malloc(VICTIM_BYTES);
    KNEED(victim && hold(&held, "hostile") && hold(&other, "spin"));
    memset(victim, 0x5a, VICTIM_BYTES);
    struct process *bystander = start(&other, "spin quietly");
    KNEED(bystander != NULL);
    thread_sleep(10); // it has its block, and sleeps
    size_t image = (size_t)(kernel_rodata_end - kernel_start);
    const uint32_t before[] = {hash_of(kernel_start, image), hash_of(victim, VICTIM_BYTES),
                               hash_of(P2V(paging_directory()), PG_SIZE),
                               hash_of_program(bystander)};
    uint32_t reports = heap_report_count;
    ktest_report_expect(); // its lines are kept from the console
    struct process *process = start(&held, line);
    if (KCHECK(process != NULL)) KCHECK_EQ(process_wait(process), 0);
    ktest_reports_any(heap_report_count - reports);
    KCHECK(heap_report_count - reports > 1000);
    KCHECK_EQ(hash_of(kernel_start, image), before[0]);
    KCHECK_EQ(hash_of(victim, VICTIM_BYTES), before[1]);
    KCHECK_EQ(hash_of(P2V(paging_directory()), PG_SIZE), before[2]);
    KCHECK_EQ(hash_of_program(bystander), before[3]);
    process_kill(bystander);
    process_wait(bystander);
    sys_free(victim);
    let_go(&held);
    let_go(&other);
}

KTEST(process_hostile) { check_hostile("hostile 50000 7"); }
KTEST(long_process_hostile) { check_hostile("hostile 10000000 7"); } // make soak-programs
