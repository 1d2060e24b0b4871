// fuzz_heap.c - kernel/memory.c under any sequence of calls, right and wrong, beside a shadow.
//
// What only it can find: a sequence of right and wrong calls that nobody thought of: coverage
// leads it into paths that random calls do not reach.
//
// An input is a table of block sizes (one byte), then operations of four bytes: what to do, to
// which of 64 slots, with which size. The shadow is a byte for each 16 bytes of the window: whose
// block lies there. It knows nothing of arenas, and every block that is handed out must lie where
// the shadow has no owner, with the contents it was given until it goes back. A wrong pointer must
// be refused with the words that fit what the shadow knows. heap_check() walks the invariants now
// and then, and at the end everything must be home.
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "kernel/inspect/heapcheck.h"
#include "kernel/size_tables.h"
#include "tests/host/heap_host.h"

#define FRAMES 96u
#define GRANULES (FRAMES * PG_SIZE / BLOCK_ALIGN)
#define SLOTS 64u
#define OPERATIONS_MAX 4000u
#define UNOWNED 0

static struct slot {
    unsigned char *p;
    size_t size;
} slot[SLOTS];
static uint8_t owner[GRANULES]; // slot number + 1, or UNOWNED

static const uint32_t table_seed[] = {SIZES_SEED};
static const uint32_t table_fine[] = {16,   32,   48,   64,   80,   96,   112,  128,  160,
                                      192,  256,  320,  384,  512,  640,  768,  1024, 1152,
                                      1280, 1536, 2048, 2560, 3072, 4096, 4352, 5120, 8192};
static const uint32_t table_odd[] = {48, 4096};

static void table_choose(uint32_t which) {
    static const struct {
        const uint32_t *sizes;
        uint32_t count;
    } tables[] = {{table_seed, 7}, {table_fine, 26}, {table_odd, 2}};
    REQUIRE(block_desc_set(&k_heap, tables[which % 3].sizes, tables[which % 3].count) == 0);
}

static uint32_t granule_of(const void *p) {
    return (uint32_t)(((uintptr_t)p - k_heap.base) / BLOCK_ALIGN);
}

// The whole of what was asked for, and what the block has beyond it, is one slot's.
static void shadow_set(const struct slot *of, size_t bytes, uint8_t from, uint8_t to) {
    for (size_t at = 0; at < bytes; at += BLOCK_ALIGN) {
        uint32_t granule = granule_of(of->p + at);
        REQUIRE(granule < GRANULES && owner[granule] == from);
        owner[granule] = to;
    }
}

static unsigned char pattern(const struct slot *of, size_t at) {
    return (unsigned char)((size_t)(of - slot) * 31 + at * 7 + of->size);
}

// First and last bytes, and some between: enough to see a block move or another written over it.
static void contents(struct slot *of, size_t known, int write) {
    for (size_t at = 0; at < known; at += at < 8 || at + 9 > known ? 1 : known / 16 + 1) {
        if (write) of->p[at] = pattern(of, at);
        else REQUIRE(of->p[at] == pattern(of, at));
    }
}

static void slot_fill(struct slot *to, void *p, size_t size) {
    to->p = p;
    to->size = size;
    if (!p) return;
    REQUIRE((uintptr_t)p % BLOCK_ALIGN == 0);
    shadow_set(to, sys_usable_size(p), UNOWNED, (uint8_t)(to - slot + 1));
    contents(to, size, 1);
}

static void slot_empty(struct slot *of) {
    if (!of->p) return;
    contents(of, of->size, 0);
    shadow_set(of, sys_usable_size(of->p), (uint8_t)(of - slot + 1), UNOWNED);
    sys_free(of->p);
    of->p = NULL;
}

static void slot_resize(struct slot *of, size_t size) {
    size_t room = of->p ? sys_usable_size(of->p) : 0, before = of->size;
    unsigned char *was = of->p;
    if (was) {
        contents(of, before, 0);
        shadow_set(of, room, (uint8_t)(of - slot + 1), UNOWNED);
    }
    unsigned char first = was ? was[0] : 0;
    void *p = sys_realloc(was, size);
    if (!p && size != 0) { // no memory: as it was
        if (was) shadow_set(of, room, UNOWNED, (uint8_t)(of - slot + 1));
        return;
    }
    if (p && was) REQUIRE(*(unsigned char *)p == first);
    slot_fill(of, p, size);
}

// Whichever call: the words that fit, or others that are as true of such an address.
static void wrong_call(uint32_t call, uintptr_t p) {
    uint32_t granule = (uint32_t)((p - k_heap.base) / BLOCK_ALIGN);
    bool inside = p - k_heap.base < FRAMES * PG_SIZE;
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (slot[i].p == (unsigned char *)p) return; // not wrong at all
    }
    switch (call % 3) {
    case 0: sys_free((void *)p); break;
    case 1: REQUIRE(sys_realloc((void *)p, 100) == NULL); break;
    default: REQUIRE(sys_usable_size((void *)p) == 0);
    }
    enum heap_fault fault = host_report_take().fault;
    if (!inside) REQUIRE(fault == HEAP_OUTSIDE);
    else if (owner[granule] != UNOWNED) REQUIRE(fault == HEAP_INTERIOR_POINTER);
    else
        REQUIRE(fault == HEAP_DOUBLE_FREE || fault == HEAP_NOT_ALLOCATED ||
                fault == HEAP_INTERIOR_POINTER);
}

// Small sizes more often than large ones, and the edges of the tables.
static size_t size_of(uint32_t bits) {
    uint32_t value = bits >> 3;
    switch (bits & 7) {
    case 0: return value % 32;
    case 1: return 1 + value % 300;
    case 2: return 1 + value % 6000;
    case 3: return (value % 8 + 1) * 1024;
    case 4: return (value % 8 + 1) * 1024 + 1;
    case 5: return 1 + value % 65536;
    case 6: return (size_t)value * PG_SIZE;
    default: return SIZE_MAX - value % 5000;
    }
}

static void operate(uint32_t kind, struct slot *at, uint32_t bits) {
    size_t size = size_of(bits);
    switch (kind % 10) {
    case 0:
    case 1:
    case 2:
        slot_empty(at);
        slot_fill(at, sys_malloc(size), size);
        break;
    case 3:
    case 4: slot_empty(at); break;
    case 5: slot_resize(at, size); break;
    case 6:
        slot_empty(at);
        slot_fill(at, sys_calloc(1, size), size);
        break;
    case 7:
        slot_empty(at);
        slot_fill(at, sys_aligned_alloc((size_t)1 << bits % 16, size), size);
        if (at->p) REQUIRE((uintptr_t)at->p % ((size_t)1 << bits % 16) == 0);
        break;
    case 8: wrong_call(kind / 10, k_heap.base + bits * 8 % (FRAMES * PG_SIZE + 4096)); break;
    default: sys_trim();
    }
}

static void check(void) {
    if (heap_check() == 0) return;
    fputs(host_printed(), stderr);
    REQUIRE(!"the invariants hold");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct input in = {data, bytes};
    host_heap_start(FRAMES);
    table_choose(take(&in, 1));
    memset(slot, 0, sizeof slot);
    memset(owner, UNOWNED, sizeof owner);
    for (uint32_t i = 0; in.left > 0 && i < OPERATIONS_MAX; i++) {
        uint32_t kind = take(&in, 1), which = take(&in, 1);
        operate(kind, &slot[which % SLOTS], take(&in, 2));
        if (i % 64 == 0) check();
    }
    for (uint32_t i = 0; i < SLOTS; i++) slot_empty(&slot[i]);
    sys_trim();
    check();
    REQUIRE(frames_free(POOL_KERNEL) == FRAMES);
    return 0;
}
