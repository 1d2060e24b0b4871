// heaplog.c - see heaplog.h. Sources: Intel SDM volume 3, 17.2 (debug registers) and 17.3.1
// (debug exceptions).
//
// Theory. A breakpoint in a debug register stops before the instruction at its address, whatever
// thread comes there; nothing is written to the code. At a call's first instruction the stack holds
// where it returns to and its arguments. What it returns is known only there: so the call is
// stepped, with TF, up to the instruction at its return address, where eax has the result.
//
//     call sys_malloc --> [#DB, DR6.B0: arguments] insn insn ... ret --> [#DB, DR6.BS: eax]
//
// Who is under way is written down by thread: calls of several threads overlap, since a thread may
// be preempted inside a call. TF is in the flags that an interrupt saves, so it stays with its
// thread. At the stop the handler sets RF in the saved flags: without, the processor would stop at
// the same instruction for ever.
//
// A call from an interrupt handler (refused by the heap, with a report) is written down without its
// result: the thread it interrupted may be under way itself.
//
// Shortcomings: a traced call takes some hundred times longer, since each instruction is a debug
// exception. kernel/measure/step.c wants the same vector: who steps a call stops the trace first.
#include "kernel/measure/heaplog.h"

#include <stddef.h>

#include "kernel/fault.h"
#include "kernel/interrupt.h"
#include "kernel/memory.h"
#include "kernel/symbol.h"
#include "lib/print.h"
#include "lib/x86.h"
#include "thread/thread.h"

#define DR7_OFF 0x400u // bit 10 is always set
// Global enable of breakpoints 0 .. 3; their R/W and LEN fields stay 0: execution (17.2.4).
#define DR7_ON (DR7_OFF | 0x02u | 0x08u | 0x20u | 0x80u)
#define EFLAGS_RF 0x10000u

struct call_record call_ring[CALL_RING];
uint32_t call_count;

#define UNDER_WAY_MAX 64 // threads inside a call at a time

// A call that has not returned. Written in the handler, interrupts off.
static struct under_way {
    const struct thread *thread; // NULL: unused
    struct call_record record;
    uint32_t esp; // what it will be after the call's ret
} under_way[UNDER_WAY_MAX];

static bool on, printing;

static void dr7_write(uint32_t value) { __asm__ volatile("movl %0, %%dr7" : : "r"(value)); }

// In the order of enum call_kind.
static void breakpoints_set(void) {
    __asm__ volatile("movl %0, %%dr0" : : "r"(sys_malloc));
    __asm__ volatile("movl %0, %%dr1" : : "r"(sys_free));
    __asm__ volatile("movl %0, %%dr2" : : "r"(sys_realloc));
    __asm__ volatile("movl %0, %%dr3" : : "r"(sys_calloc));
}

// ---- what is written down -----------------------------------------------------------------------

static void print_record(const struct call_record *record) {
    char from[SYMBOL_TEXT_MAX], call[64];
    switch ((enum call_kind)record->kind) {
    case CALL_MALLOC:
        ksnprintf(call, sizeof call, "malloc(%u) = %p", record->size, (void *)record->result);
        break;
    case CALL_FREE: ksnprintf(call, sizeof call, "free(%p)", (void *)record->pointer); break;
    case CALL_REALLOC:
        ksnprintf(call, sizeof call, "realloc(%p, %u) = %p", (void *)record->pointer, record->size,
                  (void *)record->result);
        break;
    case CALL_CALLOC:
        ksnprintf(call, sizeof call, "calloc: %u bytes = %p", record->size, (void *)record->result);
        break;
    }
    kprintf("trace: %u: %s by %s, thread %u\n", record->number, call,
            symbol_text(from, sizeof from, record->caller), record->tid);
}

static void keep(const struct call_record *record) {
    call_ring[(record->number - 1) % CALL_RING] = *record;
    if (printing) print_record(record);
}

// The stack at a function's first instruction: [esp] is the return address, then the arguments.
static struct call_record read_call(enum call_kind kind, const uint32_t *stack) {
    struct call_record record = {.number = ++call_count, .kind = kind, .caller = stack[0]};
    const struct thread *thread = thread_current();
    record.tid = thread ? thread->tid : 0;
    record.size = kind == CALL_MALLOC    ? stack[1]
                  : kind == CALL_REALLOC ? stack[2]
                  : kind == CALL_CALLOC  ? stack[1] * stack[2]
                                         : 0;
    record.pointer = kind == CALL_FREE || kind == CALL_REALLOC ? stack[1] : 0;
    return record;
}

// ---- the two stops ------------------------------------------------------------------------------

static struct under_way *find(const struct thread *thread) {
    for (size_t i = 0; i < UNDER_WAY_MAX; i++) {
        if (under_way[i].thread == thread) return &under_way[i];
    }
    return NULL;
}

static void on_entry(struct interrupt_frame *frame, enum call_kind kind) {
    const struct thread *thread = thread_current();
    struct call_record record = read_call(kind, (const uint32_t *)(uintptr_t)frame->esp);
    struct under_way *free = find(NULL);
    frame->eflags |= EFLAGS_RF;
    if (interrupt_depth > 0 || !thread || !free || find(thread)) {
        keep(&record);
        return;
    }
    *free = (struct under_way){thread, record, frame->esp + 4};
    frame->eflags |= EFLAGS_TF;
}

static void on_step(struct interrupt_frame *frame) {
    struct under_way *call = interrupt_depth == 0 ? find(thread_current()) : NULL;
    if (call && (frame->eip != call->record.caller || frame->esp != call->esp)) return;
    frame->eflags &= ~EFLAGS_TF; // the call is over; or TF was left on by mistake
    if (!call) return;
    call->record.result = call->record.kind == CALL_FREE ? 0 : frame->eax;
    call->thread = NULL;
    keep(&call->record);
}

// A debug exception that is neither is what it was before: a panic.
static void heaplog_debug(struct interrupt_frame *frame) {
    uint32_t why = dr6_read();
    dr6_write(DR6_NOTHING);
    if (!(why & (DR6_BREAKPOINTS | DR6_SINGLE_STEP))) fault_panic(frame);
    if (why & DR6_SINGLE_STEP) on_step(frame);
    for (int kind = CALL_MALLOC; kind <= CALL_CALLOC; kind++) {
        if (why & 1u << kind) on_entry(frame, (enum call_kind)kind);
    }
}

// ---- on and off ---------------------------------------------------------------------------------

bool heaplog_on(void) { return on; }

bool heaplog_start(bool print) {
    if (on) return false;
    on = true;
    printing = print;
    interrupt_register(VECTOR_DEBUG, heaplog_debug);
    breakpoints_set();
    dr6_write(DR6_NOTHING);
    dr7_write(DR7_ON);
    return true;
}

// A thread that was preempted inside a call still has TF in its flags: the handler stays, and
// clears it there.
void heaplog_stop(void) {
    if (!on) return;
    dr7_write(DR7_OFF);
    on = printing = false;
}

void heaplog_print(uint32_t most) {
    uint32_t kept = call_count < CALL_RING ? call_count : CALL_RING;
    if (most > kept) most = kept;
    for (uint32_t number = call_count - most + 1; most > 0; number++, most--) {
        struct call_record record = call_ring[(number - 1) % CALL_RING];
        if (record.number == number) print_record(&record); // else it has not returned yet
    }
}
