// test_heapcheck.c - kernel/inspect/heapcheck.c: a heap broken on purpose, and whether the check
// says so.
//
// Each test breaks one invariant of the heap by hand, in the middle of a heap at work, and wants
// its number in what is printed. A check that has never been seen to fail shows nothing. All of it
// runs with the seed's table of block sizes and with the fine one, whose arenas of several frames
// have records that the seed's never have.
#include "tests/host/heap_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/size_tables.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/inspect/who.h"

#define FRAMES 128u
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE ((size_t)PG_SIZE)

// A heap with a bit of everything: blocks live, freed and never carved, an arena full, areas,
// holes.
static struct { void *small, *freed, *full[4], *large, *wide; } at;

static uint32_t sizes[DESC_MAX], size_count; // the table under test

static struct pool *pool(void) { return &k_heap.pool; }

static uint32_t frame_of(const void *p) {
    return (uint32_t)(((uintptr_t)p - k_heap.base) >> PG_SHIFT);
}

static struct arena *arena_of(const void *p) { return &k_heap.arena[frame_of(p)]; }

static void make_heap(void) {
    host_heap_start(FRAMES);
    assert_int_equal(block_desc_set(&k_heap, sizes, size_count), 0);
    at.small = sys_malloc(64);
    at.freed = sys_malloc(64);
    sys_free(at.freed);
    for (size_t i = 0; i < COUNT(at.full); i++) at.full[i] = sys_malloc(1024);
    void *hole = sys_malloc(3 * PAGE);
    at.large = sys_malloc(3 * PAGE);
    sys_free(hole);
    at.wide = sys_malloc(40 * PAGE); // long enough for an anchor
    assert_int_equal(heap_check(), 0);
}

// First frame of the hole between the arenas and the area: a free run of three.
static uint32_t hole(void) { return frame_of(at.large) - 3; }

// ---- one thing broken --------------------------------------------------------------------------

static void f1_last_tag(void) { pool()->frame[hole() + 2].run = 0; }
static void f1_tag_inside(void) { pool()->frame[hole() + 1].run = FRAME_FREE | 1; }
static void f1_length_zero(void) { pool()->frame[hole()].run = FRAME_FREE; }
static void f1_leaves_pool(void) { pool()->frame[frame_of(at.large)].run = FRAME_USED | FRAMES; }

// The hole as two runs that touch, each well made in itself.
static void f2_touching(void) {
    struct frame *frame = &pool()->frame[hole()];
    frame[0].run = FRAME_FREE | 2;
    frame[1].run = FRAME_FREE | 2;
    frame[2].run = FRAME_FREE | 1;
}

static void f3_bit_missing(void) { pool()->nonempty[0] &= ~(1u << 2); }
static void f3_bit_too_many(void) { pool()->nonempty[0] |= 1u << 7; }
static void f3_word_missing(void) { pool()->nonempty_words = 0; }
static void f3_list_cut(void) { pool()->bin[2] = NULL; }
static void f3_list_leaves(void) { pool()->bin[2] = pool()->end + 5; }
static void f3_not_a_tail(void) { pool()->bin[2] = &pool()->frame[hole() + 1]; }
static void f3_wrong_bin(void) { pool()->frame[hole() + 2].bin = 3; }
static void f3_link_back(void) { pool()->frame[hole() + 2].link = &pool()->bin[3]; }
static void f3_circle(void) { pool()->frame[hole() + 2].next = &pool()->frame[hole() + 2]; }
static void f4_count(void) { pool()->free++; }

static void f5_no_anchor(void) { pool()->anchor[0] = 0; }
static void f5_anchor_too_many(void) { pool()->anchor[0] |= 1u << 3; }
static void f5_elsewhere(void) { pool()->frame[ANCHOR_STEP * anchor_of(frame_of(at.wide))].bin++; }
static void f5_word_missing(void) { pool()->anchor_words[0] = 0; }

static void a1_run(void) { pool()->frame[frame_of(at.large)].run = FRAME_USED | 4; }
static void a1_small_frames(void) { k_heap.small_frames++; }
static void a1_large_frames(void) { k_heap.large_frames--; }
static void a1_base(void) {
    arena_of(at.small)->base += PAGE;
    arena_of(at.small)->seal -= PAGE;
}

static void a1_no_frames(void) { arena_of(at.small)->desc->frames_per_arena = 0; }

static void a2_desc(void) { arena_of(at.small)->desc = &k_heap.block_descs[0]; }
static void a2_cnt(void) { arena_of(at.small)->cnt--; }
static void a2_large(void) { arena_of(at.large)->cnt++; }
static void a2_seal(void) { arena_of(at.large)->seal ^= 1; }

static void a3_bit(void) { arena_of(at.small)->map[0] |= 1; }
static void a3_bit_gone(void) { arena_of(at.small)->map[0] = 0; }
static void a3_bit_above(void) { arena_of(at.small)->map[1] |= 1u << 20; }
static void a3_room(void) { arena_of(at.small)->map_words = 0; }

static void a4_not_listed(void) { list_remove(&arena_of(at.small)->elem); }
static void a4_full_listed(void) {
    list_push(&arena_of(at.full[0])->desc->free_list, &arena_of(at.full[0])->elem);
}
static void a4_wild_link(void) {
    static struct list_elem elsewhere;
    arena_of(at.small)->desc->free_list.head.next = &elsewhere;
}
static void a4_end_written(void) { k_heap.block_descs[0].end.map_words = 1; }
static void a4_link_back(void) { arena_of(at.small)->elem.prev = NULL; }

static void a5_not_reserve(void) {
    sys_free(at.small);
    arena_of(at.small)->desc->reserve = NULL;
}

static void a6_not_blank(void) { k_heap.arena[hole()].seal = 1; }
static void a6_back(void) { k_heap.arena[hole()].back = 64; }
static void a6_inside_area(void) { k_heap.arena[frame_of(at.large) + 1].carving = 3; }

struct damage {
    const char *invariant;
    const char *name;
    void (*make)(void);
};

static const struct damage damages[] = {
    {"F1", "F1: the last tag of a free run is gone", f1_last_tag},
    {"F1", "F1: a tag inside a free run", f1_tag_inside},
    {"F1", "F1: a run of no frames", f1_length_zero},
    {"F1", "F1: a run longer than the pool", f1_leaves_pool},
    {"F2", "F2: two free runs touch", f2_touching},
    {"F3", "F3: a bin's bit is missing", f3_bit_missing},
    {"F3", "F3: a bit for an empty bin", f3_bit_too_many},
    {"F3", "F3: nonempty_words' bit is missing", f3_word_missing},
    {"F3", "F3: a free run is in no bin", f3_list_cut},
    {"F3", "F3: a bin holds a frame inside a run", f3_not_a_tail},
    {"F3", "F3: a run knows another bin", f3_wrong_bin},
    {"F3", "F3: a bin leads out of the pool", f3_list_leaves},
    {"F3", "F3: a link back is wrong", f3_link_back},
    {"F3", "F3: a bin's list is a circle", f3_circle},
    {"F4", "F4: free frames miscounted", f4_count},
    {"F5", "F5: an anchor is missing", f5_no_anchor},
    {"F5", "F5: an anchor too many", f5_anchor_too_many},
    {"F5", "F5: an anchor leads elsewhere", f5_elsewhere},
    {"F5", "F5: anchor_words' bit is missing", f5_word_missing},
    {"A1", "A1: an area's run has another length", a1_run},
    {"A1", "A1: small frames miscounted", a1_small_frames},
    {"A1", "A1: large frames miscounted", a1_large_frames},
    {"A1", "A1: base is elsewhere, well sealed", a1_base},
    {"A1", "A1: a descriptor's arenas of no frames", a1_no_frames}, // the walk must end
    {"A2", "A2: desc overwritten", a2_desc},
    {"A2", "A2: cnt overwritten", a2_cnt},
    {"A2", "A2: an area's cnt overwritten", a2_large},
    {"A2", "A2: seal overwritten", a2_seal},
    {"A3", "A3: a live block's bit is set", a3_bit},
    {"A3", "A3: a free block's bit is gone", a3_bit_gone},
    {"A3", "A3: a bit at or above carved", a3_bit_above},
    {"A3", "A3: map_words' bit is missing", a3_room},
    {"A4", "A4: an arena with room is in no list", a4_not_listed},
    {"A4", "A4: a full arena is in the list", a4_full_listed},
    {"A4", "A4: the list leads out of the records", a4_wild_link},
    {"A4", "A4: a link back is wrong", a4_link_back},
    {"A4", "A4: the list's end has room", a4_end_written},
    {"A5", "A5: an empty arena is not the reserve", a5_not_reserve},
    {"A6", "A6: a free frame's record is not blank", a6_not_blank},
    {"A6", "A6: back where there is no arena", a6_back},
    {"A6", "A6: a record inside an area is not blank", a6_inside_area},
};

static void damage_is_seen(void **state) {
    const struct damage *damage = *state;
    char want[32];
    snprintf(want, sizeof want, "heap check: %s broken: ", damage->invariant);
    make_heap();
    damage->make();
    host_state_save();
    uint32_t broken = heap_check();
    assert_true(broken > 0);
    host_state_assert_unchanged(); // it looks and leaves alone
    if (!strstr(host_printed(), want)) fail_msg("wanted %s, got:\n%s", want, host_printed());
}

// Blocks of no bytes: no division by that.
static void a_descriptor_without_a_size_is_survived(void **state) {
    (void)state;
    char text[HEAP_WHO_MAX];
    make_heap();
    arena_of(at.small)->desc->block_size = 0;
    heap_check();
    heap_who(text, sizeof text, (uintptr_t)at.small);
    assert_non_null(strstr(text, "the last block of the 0-byte arena"));
}

// However much is broken, a few lines are printed, and all is counted.
static void lines_are_bounded(void **state) {
    (void)state;
    make_heap();
    for (uint32_t i = 20; i < 60; i++) k_heap.arena[i].seal = i;
    assert_true(heap_check() >= 40);
    int lines = 0;
    const char *text = host_printed();
    while ((text = strstr(text, "heap check: "))) {
        lines++;
        text++;
    }
    assert_in_range(lines, 1, 8);
}

// Records full of random bytes: the walk ends, and reads nothing outside them (ASan looks on).
static void random_damage_is_survived(void **state) {
    (void)state;
    uint32_t random = 1;
    for (int round = 0; round < 300; round++) {
        make_heap();
        for (int i = 0; i < 1 + round % 20; i++) {
            random = random * 1664525 + 1013904223;
            uint32_t frame = random >> 8 & (FRAMES - 1);
            random = random * 1664525 + 1013904223;
            struct frame *f = &pool()->frame[frame];
            struct arena *a = &k_heap.arena[frame];
            switch (random >> 29) {
            case 0: f->run = random; break;
            case 1: f->run = FRAME_FREE | (random >> 8 & 255); break;
            case 2: f->next = (struct frame *)(uintptr_t)random; break;
            case 3: a->head = random; break;
            case 4: a->carving = random >> 4; break;
            case 5: a->base = random; break;
            case 6: a->map[random >> 8 & 7] = random; break;
            default: a->desc = (struct memory_block_desc *)(uintptr_t)random; break;
            }
        }
        heap_check();
        char text[HEAP_WHO_MAX];
        for (uint32_t frame = 0; frame < FRAMES; frame++) {
            heap_who(text, sizeof text, k_heap.base + frame * PAGE + 16);
        }
    }
}

// ---- heap_who ----------------------------------------------------------------------------------

static const char *who(const void *p, uintptr_t more) {
    static char text[HEAP_WHO_MAX];
    return heap_who(text, sizeof text, (uintptr_t)p + more);
}

static void assert_says(const char *said, const char *part) {
    if (!strstr(said, part)) fail_msg("wanted \"%s\" in: %s", part, said);
}

static void who_names_blocks(void **state) {
    (void)state;
    make_heap();
    char frame[40];
    snprintf(frame, sizeof frame, "kernel_pool frame %u", frame_of(at.small));
    assert_says(who(at.small, 0), "block 0 of the 64-byte arena");
    assert_says(who(at.small, 0), frame);
    assert_says(who(at.small, 0), "live");
    assert_says(who(at.small, 5), "byte 5 of block 0 of the 64-byte arena");
    assert_says(who(at.freed, 0), "block 1 of the 64-byte arena");
    assert_says(who(at.freed, 0), "free");
    assert_says(who(at.small, 640), "never handed out");
}

static void who_names_areas_and_the_rest(void **state) {
    (void)state;
    make_heap();
    assert_says(who(at.large, 0), "byte 0 of the large area");
    assert_says(who(at.large, PAGE + 7), "byte 4103 of the large area");
    assert_says(who(at.large, 0), "of 3 frames");
    assert_says(who((void *)(k_heap.base + hole() * PAGE), 9), "not handed out");
    uint32_t frame = frame_alloc(POOL_KERNEL, 1);
    assert_says(who((void *)(k_heap.base + frame * PAGE), 0), "held outside the heap");
    assert_says(who(NULL, 7), "no frame of kernel_pool");
    assert_says(who((void *)(k_heap.base + FRAMES * PAGE), 0), "no frame of kernel_pool");
    arena_of(at.small)->cnt ^= 1;
    assert_says(who(at.small, 0), "overwritten");
}

static void who_fits_its_room(void **state) {
    (void)state;
    make_heap();
    char small[12];
    assert_ptr_equal(heap_who(small, sizeof small, (uintptr_t)at.large + 4000), small);
    assert_true(strlen(small) < sizeof small);
    assert_true(strlen(who(at.large, 3 * PAGE - 1)) < HEAP_WHO_MAX - 1);
}

static void who_reads_no_frame(void **state) {
    (void)state;
    make_heap();
    host_window_close();
    for (uint32_t i = 0; i < FRAMES; i++) who((void *)k_heap.base, i * PAGE + 48);
    assert_int_equal(heap_check(), 0);
    host_window_open();
}

// The descriptor of an arena's blocks, by its number.
static uint32_t desc_of(const void *block) {
    return (uint32_t)(arena_of(block)->desc - k_heap.block_descs);
}

static void desc_state_counts(void **state) {
    (void)state;
    struct desc_state desc;
    make_heap();
    heap_desc_state(&k_heap, desc_of(at.small), &desc);
    assert_int_equal(desc.block_size, 64);
    assert_int_equal(desc.blocks_per_arena, 64);
    assert_int_equal(desc.arenas, 1);
    assert_int_equal(desc.free_blocks, 63);
    assert_int_equal(desc.live_blocks, 1);
    heap_desc_state(&k_heap, desc_of(at.full[0]), &desc);
    assert_int_equal(desc.block_size, 1024);
    assert_int_equal(desc.free_blocks, 0);
    assert_int_equal(desc.live_blocks, 4);
    heap_desc_state(&k_heap, 0, &desc);
    assert_int_equal(desc.arenas, 0);
    assert_int_equal(desc.live_blocks, 0);
}

static const struct CMUnitTest others[] = {
    cmocka_unit_test(lines_are_bounded),
    cmocka_unit_test(a_descriptor_without_a_size_is_survived),
    cmocka_unit_test(random_damage_is_survived),
    cmocka_unit_test(who_names_blocks),
    cmocka_unit_test(who_names_areas_and_the_rest),
    cmocka_unit_test(who_fits_its_room),
    cmocka_unit_test(who_reads_no_frame),
    cmocka_unit_test(desc_state_counts),
};

static int run_with(const char *classes) {
    static struct CMUnitTest tests[COUNT(damages) + COUNT(others)];
    for (size_t i = 0; i < COUNT(damages); i++) {
        void *damage = (void *)(uintptr_t)&damages[i]; // cmocka's state is not const
        tests[i] = (struct CMUnitTest){damages[i].name, damage_is_seen, NULL, NULL, damage};
    }
    memcpy(&tests[COUNT(damages)], others, sizeof others);
    if (size_table_parse(classes, sizes, &size_count) != NULL) return 1;
    return cmocka_run_group_tests_name(classes, tests, NULL, NULL);
}

int main(void) { return run_with("seed") + run_with("fine"); }
