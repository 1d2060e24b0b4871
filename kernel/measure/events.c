// events.c - see events.h. Source: Intel SDM volume 2, JMP.
//
// Theory. A jump is written over the first bytes of each call:
//
//     caller --call--> sys_malloc: jmp on_malloc --> sys_malloc_for(size, caller) --> record, ret
//
// on_malloc() finds the stack as sys_malloc() would: the same return address, which is the caller,
// and the same arguments. The heap's own code is reached by sys_malloc_for() and its kin, which do
// the same and name that caller in a report; so nothing of what the jump overwrote is needed.
//
// Interrupts are off from the call's start to the record's last byte. So no other call comes in
// between: records are in the order of what happened, and who reads memory at the moment of the
// last byte sees the heap exactly as this call left it.
//
// Why not as kernel/measure/heaplog.c does it: debug registers and the trap flag are what an
// emulator in a browser lacks (v86), and stepping a call takes a hundred times as long.
//
// Shortcomings: sys_usable_size(), sys_trim() and frame_alloc() give no record, nor do the heap_
// calls, which have other heaps. A call that ends in a panic gives none. With interrupts off the
// heap takes its slow path: the same blocks, more instructions.
#include "kernel/measure/events.h"

#include "kernel/inspect/report.h"
#include "kernel/memory.h"
#include "kernel/paging.h"
#include "lib/string.h"
#include "kernel/spinlock.h"
#include "thread/thread.h"

#define CALLER ((uint32_t)__builtin_return_address(0))
// Of the fast build the sys_ calls are those of k_heap, and nothing more.
#ifndef HEAP_CHECKED
#define sys_malloc_for(...) heap_malloc(&k_heap, __VA_ARGS__)
#define sys_free_for(...) heap_free(&k_heap, __VA_ARGS__)
#define sys_calloc_for(...) heap_calloc(&k_heap, __VA_ARGS__)
#define sys_realloc_for(...) heap_realloc(&k_heap, __VA_ARGS__)
#define sys_aligned_alloc_for(...) heap_aligned_alloc(&k_heap, __VA_ARGS__)
#endif
#define JMP_REL32 0xe9 // and four bytes: from the next instruction on
#define JUMP_BYTES 5u

static void (*writer)(const void *data, size_t bytes); // NULL: off
static uint32_t count;                                 // changed with interrupts off

uint32_t events_count(void) { return count; }

// A call under way.
struct call {
    struct event event;
    uint32_t flags, reports;
};

static struct call begin(enum event_kind kind, uint32_t size, uint32_t pointer, uint32_t caller) {
    const struct thread *thread = thread_current();
    struct call call = {.flags = spin_save(&kernel_lock), .reports = heap_report_count};
    call.event = (struct event){.mark = EVENT_MARK,
                                .kind = (uint8_t)kind,
                                .tid = thread ? thread->tid : 0,
                                .size = size,
                                .pointer = pointer,
                                .caller = caller};
    return call;
}

static void *end(struct call *call, void *result) {
    call->event.result = (uint32_t)result;
    call->event.number = (uint16_t)++count;
    if (heap_report_count != call->reports) call->event.kind |= EVENT_REFUSED;
    writer(&call->event, sizeof call->event);
    spin_restore(&kernel_lock, call->flags);
    return result;
}

// ---- what the calls jump to ---------------------------------------------------------------------

static void *on_malloc(size_t size) {
    uint32_t caller = CALLER;
    struct call call = begin(EVENT_MALLOC, size, 0, caller);
    return end(&call, sys_malloc_for(size, caller));
}

static void on_free(void *p) {
    uint32_t caller = CALLER;
    struct call call = begin(EVENT_FREE, 0, (uint32_t)p, caller);
    sys_free_for(p, caller);
    end(&call, NULL);
}

static void *on_realloc(void *p, size_t size) {
    uint32_t caller = CALLER;
    struct call call = begin(EVENT_REALLOC, size, (uint32_t)p, caller);
    return end(&call, sys_realloc_for(p, size, caller));
}

static void *on_calloc(size_t number, size_t size) {
    uint32_t caller = CALLER;
    size_t bytes;
    if (__builtin_mul_overflow(number, size, &bytes)) bytes = UINT32_MAX;
    struct call call = begin(EVENT_CALLOC, bytes, 0, caller);
    return end(&call, sys_calloc_for(number, size, caller));
}

static void *on_aligned_alloc(size_t alignment, size_t size) {
    uint32_t caller = CALLER;
    struct call call = begin(EVENT_ALIGNED, size, alignment, caller);
    return end(&call, sys_aligned_alloc_for(alignment, size, caller));
}

// ---- on and off ---------------------------------------------------------------------------------

static struct detour {
    uintptr_t call, to;
    uint8_t before[JUMP_BYTES]; // what the jump has replaced
} detours[] = {
    {(uintptr_t)sys_malloc, (uintptr_t)on_malloc, {0}},
    {(uintptr_t)sys_free, (uintptr_t)on_free, {0}},
    {(uintptr_t)sys_realloc, (uintptr_t)on_realloc, {0}},
    {(uintptr_t)sys_calloc, (uintptr_t)on_calloc, {0}},
    {(uintptr_t)sys_aligned_alloc, (uintptr_t)on_aligned_alloc, {0}},
};
#define DETOURS (sizeof detours / sizeof detours[0])

static void jump_write(struct detour *detour) {
    uint8_t jump[JUMP_BYTES] = {JMP_REL32};
    uint32_t distance = (uint32_t)(detour->to - (detour->call + JUMP_BYTES));
    memcpy(jump + 1, &distance, sizeof distance);
    memcpy(detour->before, (const void *)detour->call, JUMP_BYTES);
    paging_text_write(detour->call, jump, JUMP_BYTES);
}

static void head_write(void) {
    struct event_head head = {
        .bytes = EVENT_BYTES, .heap_base = k_heap.base, .heap_bytes = k_heap.frames << PG_SHIFT};
    memcpy(head.magic, EVENT_MAGIC, sizeof head.magic);
    writer(&head, sizeof head);
}

// A thread that was preempted after the first of the instructions that the jump replaces would go
// on in the middle of the jump. So this is for the boot, when there is no other thread, and for
// tests, when no other thread calls the heap.
bool events_start(void (*write)(const void *data, size_t bytes)) {
    if (writer) return false;
    writer = write;
    head_write();
    for (size_t i = 0; i < DETOURS; i++) jump_write(&detours[i]);
    return true;
}

void events_stop(void) {
    if (!writer) return;
    for (size_t i = 0; i < DETOURS; i++) {
        paging_text_write(detours[i].call, detours[i].before, JUMP_BYTES);
    }
    writer = NULL;
}
