// race_pages.c - pages on which nothing lives become another size's, or go back to the system.
//
// What only it can find: an arena that is cut where a block lives, a wrong free where one was cut
// that is not refused, pages that are taken from the system while there are others, content that is
// lost on the way.
//
// See owners_host.h for what it is linked with. One thread: the invariants are those of an owner.
#include "kernel/inspect/heapcheck.h"
#include "tests/host/owners_host.h"

// Pages that the process has, by what it has marked.
static uint32_t pages_there(void) {
    uint32_t pages = 0;
    for (uint32_t i = 0; i < k_heap.frames; i++)
        pages += granary_touched(k_heap.base + (uintptr_t)i * PG_SIZE);
    return pages;
}

// The process may have no more pages than it has.
static void pages_are_scarce(void) {
    granary_highest = pages_there();
    granary_credit = 1000;
}

// Frames of arenas of a size.
static uint32_t frames_of_size(size_t size) {
    uint32_t frames = 0;
    for (uint32_t i = 0; i < k_heap.frames; i++) {
        if (k_heap.arena[i].desc != &front_for(granary_me, size)->desc) continue;
        frames += owners_frames(&k_heap, &k_heap.arena[i]);
    }
    return frames;
}

// Blocks of one size are freed but for the first in each second arena; then another size wants
// pages, and the process may not have more. Where others may free, arenas stay long.
static void ends_of_arenas_become_another_sizes(void **state) {
    (void)state;
    static char *block[4096], *other[64];
    granary_malloc_trim(0);
    arenas_are_long(64);
    for (uint32_t i = 0; i < 4096; i++) block[i] = take(64); // on 64 pages, 4 to an arena
    for (uint32_t i = 0; i < 4096; i++) {
        if (i % 512 != 0) give(block[i]);
    }
    uint32_t before = pages_there(), frames = frames_of_size(64);
    assert_true(frames >= 32);
    pages_are_scarce();
    for (uint32_t i = 0; i < 56; i++) other[i] = take(4000);
    if (front_for(granary_me, 64)->foreign) {
        assert_in_range(frames_of_size(64), 32, 40); // 8 with a live block, a spare, one in hand
    } else {
        assert_in_range(pages_there(), before - 8, before + 8);
        assert_in_range(frames_of_size(64), 8, 12); // 8 pages have a live block
    }
    assert_int_equal(heap_check(), 0);
    for (uint32_t i = 0; i < 4096; i += 512) {
        for (uint32_t at = 0; at < 64; at++) assert_int_equal(block[i][at], 0x5a);
    }
    // They are wanted again, all of them.
    for (uint32_t i = 0; i < 4096; i++) {
        if (i % 512 != 0) block[i] = take(64);
    }
    assert_int_equal(overlaps, 0);
    assert_int_equal(heap_check(), 0);
    for (uint32_t i = 0; i < 4096; i++) give(block[i]);
    for (uint32_t i = 0; i < 56; i++) give(other[i]);
}

// Blocks of sizes that nothing else here asks for are on one page, until that is full.
static void sizes_share_a_page_until_it_is_full(void **state) {
    (void)state;
    char *small = take(150), *larger = take(180), *more[300];
    assert_ptr_equal(arena_at(small), arena_at(larger));
    uint32_t there = 0;
    for (uint32_t i = 0; i < 300; i++) more[i] = take(180);
    for (uint32_t i = 0; i < 300; i++) there += arena_at(more[i]) == arena_at(small);
    assert_in_range(there, 1, 254);
    assert_ptr_not_equal(front_for(granary_me, 180), front_for(granary_me, 150)); // still a guest
    assert_int_equal(arena_at(more[299])->desc->block_size, 192);
    char *moved = granary_realloc(larger, 185); // of the same size, but not of the same arena
    assert_ptr_not_equal(moved, larger);
    assert_int_equal(moved[179], 0x5a);
    unmark(larger);
    granary_free(moved);
    give(small);
    for (uint32_t i = 0; i < 300; i++) give(more[i]);
    assert_int_equal(heap_check(), 0);
}

// Wherever a run of frames begins and ends: by these frames' bytes, one by one.
static void touched_frames_are_found_wherever_a_run_begins(void **state) {
    (void)state;
    enum { FRAMES = 40 };
    char *area = granary_malloc(FRAMES * PG_SIZE);
    uint32_t first = (uint32_t)(((uintptr_t)area - k_heap.base) / PG_SIZE), random = 1, wrong = 0;
    for (uint32_t turn = 0; turn < 50; turn++) {
        for (uint32_t i = 0; i < FRAMES; i++) {
            random = random * 1664525 + 1013904223;
            granary_touched_at[first + i] = (uint8_t)((random >> 24) % 7 > turn % 7 ? PAGE_TOUCHED
                                                      : random >> 31                ? PAGE_PAID
                                                                                    : PAGE_GONE);
        }
        for (uint32_t from = 0; from < FRAMES; from++) {
            for (uint32_t to = from + 1; to <= FRAMES; to++) {
                uint32_t at = from, end, found = UINT32_MAX;
                while (at < to && !granary_touched((uintptr_t)area + at * PG_SIZE)) at++;
                for (end = at; end < to && granary_touched((uintptr_t)area + end * PG_SIZE);) end++;
                uint32_t where = granary_touched_run(first + from, to - from, 1, &found);
                wrong += where != first + at || found != end - at;
                bool all = at == from && end == to;
                wrong += granary_touched_all(first + from, to - from) != all;
            }
        }
    }
    for (uint32_t i = 0; i < FRAMES; i++) granary_touched_at[first + i] = PAGE_TOUCHED;
    granary_free(area);
    assert_int_equal(wrong, 0);
}

// Everything of a size is freed. Below 16 MiB its frames stay until others are wanted than there
// are; above it they go back, but for an arena that is spare and one in hand.
static void what_is_at_home_is_there_for_all(void **state) {
    (void)state;
    static void *ballast[BALLAST], *block[2048], *other[64];
    for (uint32_t large = 0; large < 2; large++) {
        granary_malloc_trim(0);
        arenas_are_long(4096);
        front_of_its_own(208);
        for (uint32_t i = 0; large && i < BALLAST; i++) ballast[i] = take(4096);
        for (uint32_t i = 0; i < 2048; i++) block[i] = take(208);
        for (uint32_t i = 0; i < 2048; i++) give(block[i]);
        if (large) assert_in_range(frames_of_size(208), 1, 32);
        else assert_true(frames_of_size(208) >= 104);
        uint32_t before = pages_there();
        pages_are_scarce();
        granary_credit = 0;
        for (uint32_t i = 0; i < 20; i++) other[i] = take(4000);
        if (!k_heap.owners->marks) assert_in_range(pages_there(), 1, before + 2);
        pages_are_plenty();
        for (uint32_t i = 0; i < 20; i++) give(other[i]);
        for (uint32_t i = 0; large && i < BALLAST; i++) give(ballast[i]);
    }
    granary_malloc_trim(0);
    assert_int_equal(heap_check(), 0);
}

// Nothing is left but what small blocks had: a large area has it, aligned or not.
static void a_large_area_has_what_is_at_home(void **state) {
    (void)state;
    static void *block[20000];
    for (uint32_t aligned = 0; aligned < 2; aligned++) {
        uint32_t count = 0;
        granary_malloc_trim(0);
        arenas_are_long(208);
        void *rest = granary_malloc((size_t)(k_heap.pool.frames - 900) * PG_SIZE);
        assert_non_null(rest);
        while (count < 20000 && (block[count] = granary_malloc(208)) != NULL) count++;
        assert_in_range(count, 300 * 19, 19999); // 19 on a page
        for (uint32_t i = 0; i < count; i++) granary_free(block[i]);
        void *area = aligned ? granary_aligned_alloc((size_t)64 << 10, 200 * PG_SIZE)
                             : granary_malloc(280 * PG_SIZE);
        assert_non_null(area);
        granary_free(area);
        granary_free(rest);
    }
    granary_malloc_trim(0);
    assert_int_equal(heap_check(), 0);
}

// Of two places for a large area, the one whose pages are the process's is taken.
static void a_large_area_goes_where_pages_are(void **state) {
    (void)state;
    granary_malloc_trim(0);
    pages_are_plenty();
    void *there = take(10 * PG_SIZE), *between = take(PG_SIZE), *gone = take(10 * PG_SIZE);
    void *last = take(PG_SIZE);
    uint32_t frame = (uint32_t)(((uintptr_t)gone - k_heap.base) >> PG_SHIFT);
    give(there);
    give(gone); // the first of its bin
    assert_int_equal(granary_pages_give(frame, 10, 1, PAGE_GONE), 10);
    uint32_t before = pages_there();
    void *area = take(10 * PG_SIZE);
    assert_ptr_equal(area, there);
    assert_int_equal(pages_there(), before);
    give(area);
    give(between);
    give(last);
    assert_int_equal(heap_check(), 0);
}

// Six frames between two large areas are free, and their pages are not there: an arena of four of
// them is opened, rather than of sixteen beyond everything.
static void what_was_used_once_is_used_up_first(void **state) {
    (void)state;
    static void *fill[4096];
    uint32_t count = 0, end;
    granary_malloc_trim(0);
    arenas_are_long(768);
    char *hole = take(6 * PG_SIZE), *wall = take(PG_SIZE);
    while ((char *)(fill[count] = take(PG_SIZE)) < wall) count++;
    give(fill[count]);
    end = granary_touched_end;
    granary_touched_end = (uint32_t)(((uintptr_t)wall - k_heap.base) >> PG_SHIFT) + 1;
    give(hole);
    granary_pages_give((uint32_t)(((uintptr_t)hole - k_heap.base) >> PG_SHIFT), 6, 1, PAGE_GONE);
    void *p = take(768);
    granary_touched_end = end;
    if (!k_heap.owners->marks) {
        assert_in_range((uintptr_t)p - (uintptr_t)hole, 0, 6 * PG_SIZE - 1);
        assert_int_equal(owners_frames(&k_heap, arena_at(p)), 4);
    }
    give(p);
    give(wall);
    for (uint32_t i = 0; i < count; i++) give(fill[i]);
    granary_malloc_trim(0);
    assert_int_equal(heap_check(), 0);
}

// A size that has an arena with pages to come goes on where pages are there.
static void a_size_is_carved_from_pages_that_are_there(void **state) {
    (void)state;
    static void *block[8 * 16];
    granary_malloc_trim(0);
    arenas_are_long(256);
    void *first = take(256), *area = take(8 * PG_SIZE);
    uintptr_t start = (uintptr_t)area;
    give(area);
    uint32_t before = pages_there();
    pages_are_scarce();
    for (uint32_t i = 0; i < 8 * 16; i++) block[i] = take(256);
    uint32_t there = 0;
    for (uint32_t i = 0; i < 8 * 16; i++) there += (uintptr_t)block[i] - start < 8 * PG_SIZE;
    if (front_for(granary_me, 256)->foreign) {
        assert_int_equal(there, 0);
    } else {
        assert_true(there >= 7 * 16); // the first arena's page had 15 more
        assert_int_equal(pages_there(), before);
    }
    assert_int_equal(heap_check(), 0);
    for (uint32_t i = 0; i < 8 * 16; i++) give(block[i]);
    give(first);
}

// For a large area free pages go back, as long as there is credit for those that are taken again.
static void free_pages_go_back_for_a_large_area_that_is_worth_it(void **state) {
    (void)state;
    for (uint32_t worth = 0; worth < 2; worth++) {
        granary_malloc_trim(0);
        pages_are_plenty();
        char *free = take(20 * PG_SIZE), *between = take(3 * PG_SIZE);
        give(free);
        pages_are_scarce();
        granary_credit = worth ? 100 : 0;
        uint32_t before = pages_there();
        char *area = take(40 * PG_SIZE);
        assert_int_equal(pages_there() - before, worth ? 20 : 40);
        assert_true(granary_highest >= pages_there()); // what was found is not enough
        int32_t credit = granary_credit;
        pages_are_plenty(); // so that nothing is looked for
        char *again = take(20 * PG_SIZE);
        assert_ptr_equal(again, free);
        assert_int_equal(credit - granary_credit, worth ? 20 : 0);
        give(area);
        give(between);
        give(again);
    }
    assert_int_equal(heap_check(), 0);
}

// A trim call cuts every arena, whatever the process had; what is freed there again is refused, and
// what lives there next is not.
static void wrong_frees_where_an_arena_was_cut_are_refused(void **state) {
    (void)state;
    static void *block[256], *next[64];
    granary_malloc_trim(0);
    arenas_are_long(256);
    for (uint32_t i = 0; i < 256; i++) block[i] = take(256);
    assert_int_equal(frames_of_size(256), 16);
    for (uint32_t i = 1; i < 256; i++) give(block[i]);
    granary_malloc_trim(0);
    assert_int_equal(frames_of_size(256), 1);
    assert_int_equal(heap_check(), 0);
    int saved = silence();
    uint32_t before = granary_reports;
    granary_free(block[15]); // of the arena still
    granary_free(block[16]); // no longer
    granary_free(block[255]);
    assert_int_equal(granary_reports - before, 3);
    for (uint32_t i = 0; i < 64; i++) next[i] = take(1000);
    before = granary_reports;
    granary_free((char *)next[63] + 16);
    assert_int_equal(granary_reports - before, 1);
    speak(saved);
    for (uint32_t i = 0; i < 64; i++) give(next[i]);
    give(block[0]);
    granary_malloc_trim(0);
    assert_int_equal(frames_of_size(256), 0);
    assert_int_equal(overlaps, 0);
    assert_int_equal(heap_check(), 0);
}

static void pages_of_an_aligned_area_count(void **state) {
    (void)state;
    granary_malloc_trim(0);
    void *area = granary_aligned_alloc((size_t)64 << 10, 10 * PG_SIZE);
    for (uint32_t i = 0; i < 10; i++)
        assert_true(granary_touched((uintptr_t)area + (uintptr_t)i * PG_SIZE));
    granary_free(area);
}

// A bit of a block that does not exist says that it is live: beyond the arena's last frame.
static void an_overwritten_map_cuts_nothing(void **state) {
    (void)state;
    static void *block[100];
    granary_malloc_trim(0);
    arenas_are_long(640);
    for (uint32_t i = 0; i < 100; i++) block[i] = take(640);
    block_bits *word = word_of(arena_at(block[0]), 127);
    uint32_t frames = frames_of_size(640);
    assert_int_equal(frames, 16); // 102 blocks
    for (uint32_t i = 1; i < 100; i++) give(block[i]);
    *word &= ~((block_bits)1 << 63);
    granary_malloc_trim(0);
    assert_int_equal(frames_of_size(640), frames);
    *word |= (block_bits)1 << 63;
    granary_malloc_trim(0);
    assert_int_equal(frames_of_size(640), 1);
    give(block[0]);
    assert_int_equal(heap_check(), 0);
}

#define RANDOM_BLOCKS 3000u

static uint32_t step_of(uint32_t *seed) { return (*seed = *seed * 1664525 + 1013904223) >> 8; }

// Whatever is given back meanwhile: a block's content stays, and calloc() clears.
static void contents_stay_while_pages_come_and_go(void **state) {
    (void)state;
    static unsigned char *block[RANDOM_BLOCKS];
    static uint32_t size_at[RANDOM_BLOCKS];
    uint32_t seed = 7, wrong = 0;
    for (uint32_t step = 0; step < 60000; step++) {
        uint32_t i = step_of(&seed) % RANDOM_BLOCKS, size = size_at[i];
        if (block[i]) {
            wrong += block[i][0] != (i & 255) || block[i][size - 1] != (i & 255);
            wrong += block[i][size / 2] != (i & 255);
            give(block[i]);
        }
        block[i] = NULL;
        if (step_of(&seed) % 3 == 0) continue; // a third is free at a time
        size = size_at[i] = 1 + step_of(&seed) % (step_of(&seed) % 8 ? 300 : 12000);
        if (step_of(&seed) % 4 == 0) {
            block[i] = granary_calloc(1, size);
            *mark_of(block[i]) = 1;
            for (uint32_t at = 0; at < size; at++) wrong += block[i][at] != 0;
        } else {
            block[i] = take(size);
        }
        memset(block[i], (int)(i & 255), size);
        if (step % 128 == 0) pages_are_scarce();
        if (step % 128 == 64) pages_are_plenty();
        if (step % 5000 == 0) granary_malloc_trim(0);
        if (step % 5000 == 2500) wrong += heap_check() != 0;
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(overlaps, 0);
    for (uint32_t i = 0; i < RANDOM_BLOCKS; i++) give(block[i]);
    granary_malloc_trim(0);
    assert_int_equal(heap_check(), 0);
}

// 24 MiB in areas are taken and freed, and a small area over and over in between.
static void much_and_little(void) {
    static void *area[768];
    for (uint32_t i = 0; i < 768; i++) area[i] = take(32768);
    for (uint32_t i = 0; i < 768; i++) give(area[i]);
    for (uint32_t i = 0; i < 6000; i++) give(take(32768));
}

// Much that is freed goes back to the system. A process that asks for it again and again has it
// from the third time on, however much comes and goes meanwhile.
static void what_is_wanted_again_and_again_stays(void **state) {
    (void)state;
    granary_malloc_trim(0);
    pages_are_plenty();
    much_and_little();
    assert_true(pages_there() < 768 * 8 / 4);
    for (uint32_t round = 0; round < 2; round++) much_and_little();
    uint32_t before = granary_touches();
    for (uint32_t round = 0; round < 10; round++) much_and_little();
    assert_true(granary_touches() - before < 768 * 8 / 10);
    granary_malloc_trim(0);
    assert_int_equal(heap_check(), 0);
}

// race_pages: all of it twice, the second time without membarrier(), where arenas stay long.
int main(int argc, char **argv) {
    (void)argc;
    const struct CMUnitTest tests[] = {
        // First: what may stay goes by the largest area ever.
        cmocka_unit_test(what_is_wanted_again_and_again_stays),
        cmocka_unit_test(sizes_share_a_page_until_it_is_full),
        cmocka_unit_test(what_is_at_home_is_there_for_all),
        cmocka_unit_test(a_large_area_has_what_is_at_home),
        cmocka_unit_test(a_large_area_goes_where_pages_are),
        cmocka_unit_test(what_was_used_once_is_used_up_first),
        cmocka_unit_test(ends_of_arenas_become_another_sizes),
        cmocka_unit_test(a_size_is_carved_from_pages_that_are_there),
        cmocka_unit_test(free_pages_go_back_for_a_large_area_that_is_worth_it),
        cmocka_unit_test(wrong_frees_where_an_arena_was_cut_are_refused),
        cmocka_unit_test(pages_of_an_aligned_area_count),
        cmocka_unit_test(an_overwritten_map_cuts_nothing),
        cmocka_unit_test(touched_frames_are_found_wherever_a_run_begins),
        cmocka_unit_test(contents_stay_while_pages_come_and_go),
    };
    owners_window(argv);
    return owners_again(argv, cmocka_run_group_tests(tests, NULL, NULL));
}
