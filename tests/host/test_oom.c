// test_oom.c - a call that is refused for want of memory has changed nothing: not a byte.
//
// What only it can find: a byte that a refused call has changed: every record and every frame is
// compared, which the kernel's own test has no room for.
//
// tests/kernel/test_oom.c lets the whole kernel run dry at every place; here each call of the heap
// does, one by one, and after a refused one every record and every byte of every frame is compared
// with what it was. The sanitizers watch.
//
// For this program memory.c and pool.c are compiled with their lock renamed (tools/mk/host.mk), and
// the lock they then call comes in here: before the k-th locked stretch of a call it takes all that
// is left, frames or blocks and frames, by the heap's own calls. A shortage that stays is compared
// byte by byte; one of a single stretch, or of two, gives everything back in the middle of the
// call, and is held against the counts.
//
// Shortcoming: one thread, so nothing else can take or give between two stretches.
#include "kernel/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/size_tables.h"
#include "kernel/inspect/heapcheck.h"
#include "tests/host/heap_host.h"

#define FRAMES 160u
#define PAGE ((size_t)PG_SIZE)
#define FOREVER UINT32_MAX
#define HELD_MAX 8192u // a frame of the smallest blocks holds 256

// ---- the shortage ------------------------------------------------------------------------------

static struct {
    bool armed;         // a call under test is running
    bool blocks;        // no free blocks either
    uint32_t first;     // stretch it begins with, from 1
    uint32_t stretches; // how long it lasts
    uint32_t seen;      // stretches of the call so far
    uint32_t taken;     // times that everything was taken
} shortage;

static struct {
    enum pool_id pool;
    uint32_t first, count;
} held_run[HELD_MAX];
static void *held_block[HELD_MAX];
static uint32_t held_runs, held_blocks;

static void runs_take(enum pool_id id) {
    for (uint32_t count = frames_free(id); count > 0;) {
        uint32_t first = frame_alloc(id, count);
        if (first == FRAME_NONE) {
            count--;
            continue;
        }
        held_run[held_runs].pool = id;
        held_run[held_runs].first = first;
        held_run[held_runs++].count = count;
        if (count > frames_free(id)) count = frames_free(id);
    }
}

static void blocks_take(void) {
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        void *p;
        while ((p = sys_malloc(k_heap.block_descs[i].block_size))) held_block[held_blocks++] = p;
    }
}

static void all_take(void) {
    for (int id = 0; id < POOL_COUNT; id++) runs_take((enum pool_id)id);
    if (shortage.blocks) blocks_take();
    assert_true(held_runs < HELD_MAX && held_blocks < HELD_MAX);
    if (shortage.taken++ == 0) host_state_save();
}

static void all_give(void) {
    while (held_blocks > 0) sys_free(held_block[--held_blocks]);
    while (held_runs > 0) {
        held_runs--;
        frame_free(held_run[held_runs].pool, held_run[held_runs].first, held_run[held_runs].count);
    }
}

// Every lock that memory.c and pool.c take. What is called from here locks by itself, and is not
// counted.
port_state oom_port_lock(const struct heap *heap) {
    if (shortage.armed) {
        shortage.armed = false;
        uint32_t at = ++shortage.seen;
        if (at >= shortage.first && at - shortage.first < shortage.stretches) all_take();
        else all_give();
        shortage.armed = true;
    }
    return port_lock(heap);
}

// ---- the calls ---------------------------------------------------------------------------------

// What a call starts with: a block, a large area with free frames after it, and one without.
static unsigned char *block, *area, *wedged, *wedge;
#define BLOCK_BYTES 100u
#define AREA_BYTES (3 * PAGE)

static void prepare(void) {
    block = sys_malloc(BLOCK_BYTES);
    wedged = sys_malloc(AREA_BYTES);
    wedge = sys_malloc(9000);
    area = sys_malloc(AREA_BYTES);
    assert_true(block && wedged && wedge && area);
    memset(block, 0xb1, BLOCK_BYTES);
    memset(wedged, 0xb2, AREA_BYTES);
    memset(area, 0xb3, AREA_BYTES);
}

// Each call gives back what it got. False: refused.
static bool got(void *p) {
    bool any = p != NULL;
    shortage.armed = false; // what follows is not the call
    sys_free(p);
    return any;
}

static bool call_smallest(void) { return got(sys_malloc(1)); }
static bool call_largest_block(void) { return got(sys_malloc(k_heap.block_max)); }
static bool call_area(void) { return got(sys_malloc(k_heap.block_max + 1)); }
static bool call_long_area(void) { return got(sys_malloc(40 * PAGE)); }
static bool call_calloc(void) { return got(sys_calloc(5, 50)); }
static bool call_calloc_area(void) { return got(sys_calloc(3, 2 * PAGE)); }
static bool call_aligned_block(void) { return got(sys_aligned_alloc(128, 90)); }
static bool call_aligned_page(void) { return got(sys_aligned_alloc(PAGE, 5000)); }
static bool call_aligned_area(void) { return got(sys_aligned_alloc(8 * PAGE, 5000)); }
static bool call_realloc_new(void) { return got(sys_realloc(NULL, 200)); }

static bool resized(unsigned char **p, size_t size) {
    unsigned char *to = sys_realloc(*p, size);
    if (to) *p = to;
    return to != NULL;
}

static bool call_block_moves(void) { return resized(&block, BLOCK_BYTES * 5); }
static bool call_block_to_area(void) { return resized(&block, 2 * k_heap.block_max); }
static bool call_area_grows(void) { return resized(&area, 9 * PAGE); }
static bool call_area_moves(void) { return resized(&wedged, 9 * PAGE); }
static bool call_area_shrinks(void) { return resized(&area, PAGE + k_heap.block_max); }
static bool call_area_to_block(void) { return resized(&area, 64); }

static bool frames_got(enum pool_id id, uint32_t count) {
    uint32_t first = frame_alloc(id, count);
    shortage.armed = false;
    if (first != FRAME_NONE) frame_free(id, first, count);
    return first != FRAME_NONE;
}

static bool call_frame(void) { return frames_got(POOL_KERNEL, 1); }
static bool call_frames(void) { return frames_got(POOL_KERNEL, 33); }
static bool call_user_frames(void) { return frames_got(POOL_USER, 7); }

static const struct {
    const char *name;
    bool (*run)(void);
    bool always;      // served from what it has: shrinking, and a block where it is
    bool blocks_only; // refused only where there are no blocks either
} calls[] = {
    {"malloc, smallest", call_smallest, false, false},
    {"malloc, largest block", call_largest_block, false, false},
    {"malloc, area", call_area, false, false},
    {"malloc, long area", call_long_area, false, false},
    {"calloc", call_calloc, false, false},
    {"calloc, area", call_calloc_area, false, false},
    {"aligned block", call_aligned_block, false, true},
    {"aligned page", call_aligned_page, false, false},
    {"aligned area", call_aligned_area, false, false},
    {"realloc of NULL", call_realloc_new, false, false},
    {"realloc, block moves", call_block_moves, false, false},
    {"realloc, block to area", call_block_to_area, false, false},
    {"realloc, area grows", call_area_grows, false, false},
    {"realloc, area moves", call_area_moves, false, false},
    {"realloc, area shrinks", call_area_shrinks, true, false},
    {"realloc, area to block", call_area_to_block, true, false},
    {"frame", call_frame, false, false},
    {"frames", call_frames, false, false},
    {"frames, user pool", call_user_frames, false, false},
};
#define CALLS (sizeof calls / sizeof calls[0])

// ---- the runs ----------------------------------------------------------------------------------

static uint32_t points; // calls refused

static void assert_filled(const unsigned char *p, unsigned char value, size_t bytes) {
    size_t room = sys_usable_size((void *)p);
    for (size_t i = 0; i < bytes && i < room; i++) assert_int_equal(p[i], value);
}

// Only the arenas that a call found open have blocks: a call that wants one opens an arena, or
// takes one of these. Returns true if the shortage came before the call was over.
static bool run_at(size_t call, uint32_t k) {
    prepare();
    shortage.first = k;
    shortage.seen = shortage.taken = 0;
    shortage.armed = true;
    bool served = calls[call].run();
    shortage.armed = false;
    if (!served) points++;
    if (shortage.taken == 0) assert_true(served);
    if (!served && shortage.stretches == FOREVER) host_state_assert_unchanged();
    if (calls[call].always) assert_true(served);
    all_give();
    assert_int_equal(heap_check(), 0);
    assert_filled(block, 0xb1, BLOCK_BYTES);
    assert_filled(wedged, 0xb2, AREA_BYTES);
    assert_filled(area, 0xb3, 64);
    sys_free(block);
    sys_free(wedged);
    sys_free(wedge);
    sys_free(area);
    sys_trim();
    assert_int_equal(frames_free(POOL_KERNEL), FRAMES);
    assert_int_equal(frames_free(POOL_USER), HOST_USER_FRAMES);
    return shortage.taken > 0;
}

static void heap_start(const char *classes) {
    uint32_t sizes[DESC_MAX], count;
    host_heap_start(FRAMES);
    assert_null(size_table_parse(classes, sizes, &count));
    assert_int_equal(block_desc_set(&k_heap, sizes, count), 0);
}

static void every_call(const char *classes, bool irqs_off) {
    heap_start(classes);
    host_irqs_off = irqs_off;
    for (size_t call = 0; call < CALLS; call++) {
        uint32_t before = points;
        for (uint32_t k = 1; run_at(call, k); k++) {}
        // A shortage that stays is felt by every call that needs memory.
        bool felt = !calls[call].always && (shortage.blocks || !calls[call].blocks_only);
        if (shortage.stretches == FOREVER && felt && points == before)
            fail_msg("%s was never refused", calls[call].name);
    }
    host_irqs_off = false;
    host_heap_end();
}

static void every_point(bool blocks) {
    static const uint32_t lengths[] = {1, 2, FOREVER};
    shortage.blocks = blocks;
    points = 0;
    for (size_t i = 0; i < 3; i++) {
        shortage.stretches = lengths[i];
        every_call("seed", false);
        every_call("seed", true);
        every_call("fine", false);
    }
    print_message("oom: %u calls refused\n", points);
    assert_true(points > 100);
}

static void no_frames(void **state) {
    (void)state;
    every_point(false);
}

static void no_frames_and_no_blocks(void **state) {
    (void)state;
    every_point(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_frames),
        cmocka_unit_test(no_frames_and_no_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
