// window.c - see port.h: the address space of records and frames, opened as it is needed.
//
//      touched tags        arenas            window: frame 0, frame 1, ...
//     +---+...+-----+.....+--------+........+---------------------+.............
//     mapped  mapped      mapped            ^ granary_base         ^ opened
//
// Theory. memory.c wants one array of frames and one record for each of them, so all of them have
// their places from the start, in a stretch of address space that is long enough for the largest
// heap. But nothing is mapped there before it is used: a reserved mapping counts against the
// process's own limit (RLIMIT_AS), is made resident by mlockall(), lengthens a core, and costs a
// debugger such as valgrind as much as used memory. What is free now may be another's by the time
// that it is wanted; then the frames there become a hole, as other memory maps have them.
//
// The stretch lies some windows below the place that the system chooses for mappings, and so is out
// of the way of what it chooses next.
//
// Invariants:
//   W1  The frames below `opened` have mapped records; those of them that are no hole are mapped.
//   W2  opened only grows, under the heap's lock.
//
// Shortcoming: a mapping that was opened is not closed again; free pages in it go back to the
// system (port.c), its address space does not.
#include "kernel/port.h"
#include "tools/libgranary/owners.h"
#include "tools/libgranary/port.h"
#include "tools/libgranary/settings.h"
#include "tools/libgranary/system.h"

uintptr_t granary_records;
uintptr_t granary_base, granary_bytes;
uint8_t *granary_touched_at;

#define MIB ((size_t)1 << 20)
#define WINDOW_ALIGN (2 * MIB) // a large page's size: one must not hold records and frames
#define DISTANCE 8             // windows, from where the system maps
// arena.cnt has 24 bits, and pages of 4 KiB are what it counts.
#define FRAMES_MAX ((1u << 24) - 1)
#define FRAMES_MIN 256u

// Where an arena.back that was overwritten may lead, in front of the records: read, and refused.
#define BEFORE ((size_t)UINT16_MAX + 1)

// An arena's own record, from `desc` to the map, is one line of the cache; with 64 bits a frame's
// proof is in the line before it.
#define ARENA_OFFSET ((64 - offsetof(struct arena, desc)) % sizeof(struct arena))

#define STEP_MIN 512u   // frames that are opened at once: 2 MiB,
#define STEP_SHARE 8    // or this share of what there is,
#define STEP_MAX 16384u // up to 64 MiB

// An array of records in its place.
struct array {
    char *start;
    size_t element; // bytes
    size_t mapped;  // bytes, from `start` on: whole pages
};

static uint32_t frames; // in the window
static struct array touched, tags, arenas, shares, owners;

struct owners granary_owners;

static size_t page_up(size_t bytes) { return (bytes + PG_SIZE - 1) / PG_SIZE * PG_SIZE; }

// The array behind `at`, for all frames. Returns its end.
static char *array_place(struct array *array, char *at, size_t element, size_t bytes) {
    *array = (struct array){at, element, 0};
    return at + page_up(bytes);
}

// Looks for room for `count` frames and their records; false if there is none.
static bool window_place(uint32_t count) {
    size_t records = page_up((count + 1) * sizeof(struct arena)) +
                     page_up(count * sizeof(struct frame)) + BEFORE +
                     page_up(count * sizeof(struct share)) +
                     page_up(OWNERS_MAX * sizeof(struct owner)) + page_up(count);
    size_t window = (size_t)count * PG_SIZE, slack = PG_SIZE + WINDOW_ALIGN;
    if (window > SIZE_MAX - records - slack) return false; // 32 bits: no such room
    size_t bytes = records + slack + window;
    char *at = system_map(NULL, bytes, PROT_NONE, MAP_NORESERVE);
    if (!at) return false;
    system_unmap(at, bytes);
    if ((uintptr_t)at / DISTANCE > window) { // away from there; the system takes it for a wish
        char *away = system_map(at - DISTANCE * window, bytes, PROT_NONE, MAP_NORESERVE);
        if (away) system_unmap(away, bytes);
        if (away) at = away;
    }
    at = array_place(&touched, at, 1, count);
    at = array_place(&tags, at, sizeof(struct frame), count * sizeof(struct frame));
    at =
        array_place(&arenas, at + BEFORE, sizeof(struct arena), (count + 1) * sizeof(struct arena));
    at = array_place(&shares, at, sizeof(struct share), count * sizeof(struct share));
    at = array_place(&owners, at, sizeof(struct owner), OWNERS_MAX * sizeof(struct owner));
    granary_owners.share = (struct share *)shares.start;
    granary_owners.owner = (struct owner *)owners.start;
    granary_base = ((uintptr_t)at + PG_SIZE + WINDOW_ALIGN - 1) & -WINDOW_ALIGN;
    granary_touched_at = (uint8_t *)touched.start;
    frames = count;
    return true;
}

void granary_window_place(size_t bytes) {
    uint32_t count = bytes / PG_SIZE < FRAMES_MAX ? (uint32_t)(bytes / PG_SIZE) : FRAMES_MAX;
    // A process may have been given less address space than the window wants (ulimit -v).
    for (; !window_place(count); count /= 2) {
        if (count / 2 < FRAMES_MIN) granary_refuse("no address space for a heap");
    }
    if (system_map_at(arenas.start - BEFORE, BEFORE) != 0) granary_refuse("no memory for a heap");
}

uint32_t granary_memory(void) {
    uint64_t bytes = (uint64_t)frames * PG_SIZE;
    return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

// All frames are the kernel pool's: user frames have no use here.
void port_pool(enum pool_id id, struct port_pool *out) {
    static uint32_t anchors[POOL_ANCHOR_WORDS(FRAMES_MAX)], no_anchors[POOL_ANCHOR_WORDS(0)];
    *out = (struct port_pool){.anchor = no_anchors};
    if (id != POOL_KERNEL) return;
    out->anchor = anchors;
    out->base = granary_base;
    out->frames = frames;
    out->frame = (struct frame *)tags.start;
    out->arena = (struct arena *)(arenas.start + ARENA_OFFSET);
    granary_records = (uintptr_t)out->arena - granary_base / PG_SIZE * sizeof(struct arena);
}

// ---- opening ------------------------------------------------------------------------------------

// Records for frames up to `end`.
static bool array_open(struct array *array, uint32_t end) {
    size_t bytes = page_up(end * array->element);
    if (bytes <= array->mapped) return true;
    char *at = array->start + array->mapped;
    if (system_map_at(at, bytes - array->mapped) != 0) return false;
    // Records are touched here and there, one for each 4 KiB of heap: large pages would be waste.
    system_advise(at, bytes - array->mapped, MADV_NOHUGEPAGE);
    array->mapped = bytes;
    return true;
}

bool port_owner_open(struct owner *owner) {
    return array_open(&owners, (uint32_t)(owner - granary_owners.owner) + 1);
}

// 0, or the system's reason against it.
static int frames_open(uint32_t first, uint32_t count) {
    uint32_t end = first + count;
    if (!array_open(&touched, end) || !array_open(&tags, end) || !array_open(&arenas, end + 1) ||
        !array_open(&shares, end))
        return -ENOMEM;
    return system_map_at((void *)(granary_base + (uintptr_t)first * PG_SIZE),
                         (size_t)count * PG_SIZE);
}

// At `first` as much as is good for a heap of that size, or else `least` frames. Returns how many;
// 0 with *why.
static uint32_t open_some(uint32_t first, uint32_t least, int *why) {
    uint32_t step = first / STEP_SHARE < STEP_MAX ? first / STEP_SHARE : STEP_MAX;
    if (step < STEP_MIN) step = STEP_MIN;
    const uint32_t tries[] = {(least + step - 1) / step * step,
                              (least + STEP_MIN - 1) / STEP_MIN * STEP_MIN, least};
    for (uint32_t i = 0; i < 3; i++) {
        if (i > 0 && tries[i] == tries[i - 1]) continue;
        uint32_t count = tries[i] < frames - first ? tries[i] : frames - first;
        *why = frames_open(first, count);
        if (*why == 0) return count;
    }
    return 0;
}

uint32_t granary_open(uint32_t *first, uint32_t behind, uint32_t count) {
    int why = -EEXIST;
    // As many may be free already, and not have been found (run_find()): what grows is found first.
    for (uint32_t least = behind < count ? count - behind : 1; why == -EEXIST; least = count) {
        if (*first >= frames || least > frames - *first) return 0;
        uint32_t opened = open_some(*first, least, &why);
        if (opened > 0) return opened;
        *first = (*first / STEP_MIN + 1) * STEP_MIN; // the frames that are passed over are a hole
    }
    return 0;
}

// They are zero but for links that are never read (A6), and so is a page that comes anew.
void granary_records_back(uint32_t first, uint32_t count) {
    uintptr_t start = (uintptr_t)arenas.start + ARENA_OFFSET + first * sizeof(struct arena);
    uintptr_t end = (start + count * sizeof(struct arena)) & -(uintptr_t)PG_SIZE;
    start = (start + PG_SIZE - 1) & -(uintptr_t)PG_SIZE;
    if (start < end) system_advise((void *)start, end - start, MADV_DONTNEED);
}
