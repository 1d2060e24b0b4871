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
        assert_int_equal(frames_of_size(64), frames);
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

// race_pages: all of it twice, the second time without membarrier(), where arenas stay long.
int main(int argc, char **argv) {
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_of_arenas_become_another_sizes),
        cmocka_unit_test(a_size_is_carved_from_pages_that_are_there),
        cmocka_unit_test(free_pages_go_back_for_a_large_area_that_is_worth_it),
        cmocka_unit_test(wrong_frees_where_an_arena_was_cut_are_refused),
        cmocka_unit_test(pages_of_an_aligned_area_count),
        cmocka_unit_test(an_overwritten_map_cuts_nothing),
        cmocka_unit_test(contents_stay_while_pages_come_and_go),
    };
    owners_window(argv);
    return owners_again(argv, cmocka_run_group_tests(tests, NULL, NULL));
}
