// sample.c - replays a trace through kernel/memory.c on the host, and says what the heap holds
// while it goes on.
//
//   sample TRACE CLASSES POINTS      TRACE is unpacked; CLASSES as after `sizes=`
//
// Three kinds of line, for tools/pictures/traces.py:
//
//   at OPERATION LIVE BLOCKS FRAMES  about POINTS of them: bytes asked for and live; bytes of the
//                                    blocks and areas that hold them; frames that arenas and
//                                    areas take from the pool
//   peak FRAMES                      the most after any operation, sampled or not
//   size SIZE REQUESTS USABLE        one for each size that was ever asked for: how often, and the
//                                    bytes of the block or area that such a request got
//
// Why on the host: the same file as in the kernel decides (kernel/memory.c, over stand-in frames as
// in tests/host), which sizes share an arena and when frames go back does not depend on what a
// pointer's width is, and a look at the heap after every operation disturbs no clock.
//
// Shortcoming: the records of frames and arenas are left out of FRAMES. In the kernel they take
// 80 bytes a frame, whatever is allocated.
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel/port.h"
#include "kernel/memory.h"
#include "kernel/size_tables.h"
#include "kernel/measure/trace_format.h"
#include "lib/print.h"

#define WINDOW_FRAMES 65536u // 256 MiB, touched only where it is written: never
#define SIZES_MAX (1u << 20) // sizes above this are left out of the lines `size`
#define MESSAGE_MAX 256      // bytes of a line on standard error

uintptr_t sample_heap_base;

static _Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void fail(const char *format, ...) {
    char text[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "sample: %s\n", text);
    exit(2);
}

// ---- what the heap wants of its surroundings ----------------------------------------------------

static void *zeroed(size_t count, size_t bytes) {
    void *p = calloc(count, bytes);
    if (p == NULL) fail("no memory");
    return p;
}

// The kernel pool is the whole window; the user pool has one frame, because it must be there.
void port_pool(enum pool_id id, struct port_pool *out) {
    static struct port_run run[POOL_COUNT];
    uint32_t frames = id == POOL_KERNEL ? WINDOW_FRAMES : 1;
    run[id] = (struct port_run){0, frames};
    *out = (struct port_pool){.frames = frames, .run = &run[id], .runs = 1};
    out->base = sample_heap_base;
    out->anchor = zeroed(POOL_ANCHOR_WORDS(frames), sizeof *out->anchor);
    out->frame = zeroed(frames, sizeof *out->frame);
    if (id == POOL_KERNEL) out->arena = zeroed(frames, sizeof *out->arena);
}

// A sound trace makes no wrong call, so this is the end.
void port_report(const struct heap *heap, enum heap_fault fault, uintptr_t pointer,
                 uintptr_t caller) {
    (void)heap;
    (void)caller;
    fail("the heap refuses %#" PRIxPTR ": %s", pointer, heap_fault_text(fault));
}

// memory_init()'s lines are of no use here.
void kprintf(const char *format, ...) { (void)format; }
void put_str(const char *text) { (void)text; }

// Our conversions are a part of the C library's.
int ksnprintf(char *to, size_t room, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(to, room, format, args);
    va_end(args);
    return length;
}

// For kernel/measure/trace_format.c's messages; not in every C library.
size_t strlcpy(char *to, const char *from, size_t room);
size_t strlcpy(char *to, const char *from, size_t room) {
    return (size_t)snprintf(to, room, "%s", from);
}

// ---- the trace ----------------------------------------------------------------------------------

// A whole file in memory.
static uint8_t *file_read(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) fail("%s: cannot be read", path);
    if (fseek(file, 0, SEEK_END) != 0 || ftell(file) < 0) fail("%s: has no length", path);
    *bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = zeroed(*bytes + 1, 1);
    if (fread(data, 1, *bytes, file) != *bytes) fail("%s: cannot be read", path);
    fclose(file);
    return data;
}

static struct trace trace;
static void **slot;         // what each slot of the trace holds
static uint64_t blocks;     // bytes of the blocks and areas that are live
static uint32_t *requests;  // by size: how often it was asked for
static uint32_t *usable_of; // by size: bytes of what it got

// A request of `size` bytes was answered with p.
static void note(uint32_t size, void *p) {
    size_t usable = sys_usable_size(p);
    blocks += usable;
    if (size >= SIZES_MAX) return;
    requests[size]++;
    usable_of[size] = (uint32_t)usable;
}

static void operation_do(struct trace_operation op) {
    void **at = &slot[op.slot];
    if (*at) blocks -= sys_usable_size(*at);
    if (op.kind == TRACE_FREE) {
        sys_free(*at);
        *at = NULL;
        return;
    }
    if (op.kind == TRACE_MALLOC) *at = sys_malloc(op.size);
    else if (op.kind == TRACE_CALLOC) *at = sys_calloc(1, op.size);
    else *at = sys_realloc(*at, op.size);
    if (*at == NULL) fail("operation %u: no memory for %u bytes", trace.done - 1, op.size);
    note(op.size, *at);
}

static void sample_print(uint32_t frames) {
    printf("at %u %" PRIu64 " %" PRIu64 " %u\n", trace.done, trace.live_bytes, blocks, frames);
}

static void replay(const uint8_t *data, uint32_t every) {
    uint32_t peak = 0;
    for (uint32_t i = 0; i < trace.operations; i++) {
        uint32_t raw[2];
        memcpy(raw, data + TRACE_HEADER_BYTES + (size_t)i * TRACE_OPERATION_BYTES, sizeof raw);
        struct trace_operation op = trace_decode(raw);
        if (!trace_check(&trace, op)) fail("%s", trace.fault);
        operation_do(op);
        uint32_t frames = k_heap.small_frames + k_heap.large_frames;
        if (frames > peak) peak = frames;
        if (trace.done % every == 0 || trace.done == trace.operations) sample_print(frames);
    }
    printf("peak %u\n", peak);
}

static void heap_start(const char *classes) {
    uint32_t sizes[DESC_MAX], count;
    const char *why = size_table_parse(classes, sizes, &count);
    if (why) fail("classes=%s: %s", classes, why);
    void *window = mmap(NULL, (size_t)WINDOW_FRAMES * PG_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (window == MAP_FAILED) fail("no memory for the window");
    sample_heap_base = (uintptr_t)window;
    memory_init();
    if (block_desc_set(&k_heap, sizes, count) != 0) fail("the heap refuses its table");
}

int main(int argc, char **argv) {
    size_t bytes;
    unsigned long points = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    if (points == 0 || points > UINT32_MAX) fail("usage: sample TRACE CLASSES POINTS");
    uint8_t *data = file_read(argv[1], &bytes);
    if (!trace_open(&trace, data, bytes)) fail("%s: %s", argv[1], trace.fault);
    heap_start(argv[2]);
    trace_start(&trace, zeroed(trace.slots, sizeof *trace.live));
    slot = zeroed(trace.slots, sizeof *slot);
    requests = zeroed(SIZES_MAX, sizeof *requests);
    usable_of = zeroed(SIZES_MAX, sizeof *usable_of);
    uint32_t every = trace.operations / (uint32_t)points;
    replay(data, every ? every : 1);
    for (uint32_t size = 1; size < SIZES_MAX; size++) {
        if (requests[size]) printf("size %u %u %u\n", size, requests[size], usable_of[size]);
    }
    return 0;
}
