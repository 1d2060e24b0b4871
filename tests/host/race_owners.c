// race_owners.c - wrong frees by several threads at once: each is refused, and exactly once.
//
// What only it can find: a double free by two threads that each think they are the only one, a
// block that is live twice, a right call that is refused, each in a heap where no call takes a
// lock.
//
// Linked with all of libgranary (tools/libgranary), whose malloc() and free() carry a granary_ in
// front. Two threads meet at every step; a table of marks, one for every 16 bytes of the window,
// says which blocks are live.
#include <pthread.h>
#include <sched.h>

#include "kernel/inspect/heapcheck.h"
#include "tests/host/owners_host.h"

#define PAIRS_MAX 4u
#ifndef RACES_DEFAULT        // `make coverage` has fewer
#define RACES_DEFAULT 40000u // of one pair of threads
#endif
// Blocks that each takes when both have freed: as many as it takes to come to each word again, so
// that a block that was handed out twice is among them.
#define AFTER_MAX 404u
static uint32_t after(uint32_t number) { return 4 + number * 61 % (AFTER_MAX - 4); }

static uint32_t pairs, races;

// ---- two threads that meet ----------------------------------------------------------------------

struct pair {
    uint32_t arrived, round; // a barrier that spins: the two are to be close
    void *block, *swap[2];
    uint32_t late;  // reports that were missing when a call came back
    uint32_t first; // rounds in which a size became foreign
    uint32_t turns; // of this round
};
static struct pair pair_of[PAIRS_MAX];

static void meet(struct pair *pair) {
    uint32_t round = __atomic_load_n(&pair->round, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&pair->arrived, 1, __ATOMIC_ACQ_REL) == 2) {
        __atomic_store_n(&pair->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&pair->round, round + 1, __ATOMIC_RELEASE);
        return;
    }
    for (uint32_t spins = 0; __atomic_load_n(&pair->round, __ATOMIC_ACQUIRE) == round; spins++) {
        if (spins > 200) sched_yield();
    }
}

struct thread {
    struct pair *pair;
    bool first;
    void (*step)(struct pair *pair, bool first, uint32_t number);
};

static void *run(void *argument) {
    const struct thread *thread = argument;
    for (uint32_t i = 0; i < races; i++) thread->step(thread->pair, thread->first, i);
    return NULL;
}

// Runs `step` in every pair's two threads; returns the reports.
static uint32_t run_aloud(void (*step)(struct pair *pair, bool first, uint32_t number)) {
    static struct thread threads[PAIRS_MAX][2];
    pthread_t id[PAIRS_MAX][2];
    uint32_t before = granary_reports;
    overlaps = 0;
    for (uint32_t i = 0; i < pairs * 2; i++) {
        threads[i / 2][i % 2] = (struct thread){&pair_of[i / 2], i % 2 == 0, step};
        pthread_create(&id[i / 2][i % 2], NULL, run, &threads[i / 2][i % 2]);
    }
    for (uint32_t i = 0; i < pairs * 2; i++) pthread_join(id[i / 2][i % 2], NULL);
    granary_malloc_trim(0); // what is not collected yet comes home, and with it its reports
    assert_int_equal(overlaps, 0);
    assert_int_equal(heap_check(), 0);
    assert_int_equal(k_heap.small_frames + k_heap.large_frames, 0);
    return granary_reports - before;
}

static uint32_t run_all(void (*step)(struct pair *pair, bool first, uint32_t number)) {
    int saved = silence();
    uint32_t reports = run_aloud(step);
    speak(saved);
    return reports;
}

static size_t size_of(uint32_t number) { return (size_t)16 << number % 7; }

// ---- the steps ----------------------------------------------------------------------------------

// Both free the first one's block at the same time, and then take others.
static void step_race(struct pair *pair, bool first, uint32_t number) {
    void *more[AFTER_MAX];
    if (first) {
        pair->block = take(size_of(number));
        unmark(pair->block);
    }
    meet(pair);
    for (volatile uint32_t wait = number % 61 * first; wait > 0; wait--) {}
    granary_free(pair->block);
    meet(pair);
    for (uint32_t i = 0; i < after(number); i++) more[i] = take(size_of(number));
    meet(pair);
    for (uint32_t i = 0; i < after(number); i++) give(more[i]);
}

#define AREA 20000u // bytes

// Both free a large area at the same time.
static void step_area(struct pair *pair, bool first, uint32_t number) {
    if (first) {
        pair->block = take(AREA);
        unmark(pair->block);
    }
    meet(pair);
    for (volatile uint32_t wait = number % 61 * first; wait > 0; wait--) {}
    granary_free(pair->block);
    meet(pair);
    void *mine = take(AREA);
    meet(pair);
    give(mine);
}

// One frees the block, and then the other: refused when that call comes back.
static void step_late(struct pair *pair, bool first, uint32_t number) {
    bool mine_first = (number & 1) == first;
    if (first) pair->block = take(size_of(number));
    meet(pair);
    if (mine_first) give(pair->block);
    meet(pair);
    if (!mine_first) {
        uint32_t before = __atomic_load_n(&granary_reports, __ATOMIC_RELAXED);
        granary_free(pair->block);
        if (__atomic_load_n(&granary_reports, __ATOMIC_RELAXED) == before) pair->late++;
    }
    meet(pair);
}

// No wrong call: each frees the other's block while that one takes its next.
static void step_right(struct pair *pair, bool first, uint32_t number) {
    pair->swap[first] = take(size_of(number));
    meet(pair);
    void *theirs = pair->swap[!first], *mine = take(size_of(number));
    give(theirs);
    give(mine);
    meet(pair);
}

// What an owner has learned of a size is forgotten. False if it has not learned it, or holds
// blocks.
static bool unlearn(size_t size) {
    struct front *front = front_for(granary_me, size);
    granary_malloc_trim(0);
    if (!front->foreign || front->desc.arenas > 0) return false;
    front->foreign = k_heap.owners->marks;
    return true;
}

static void unlearn_if_learned(size_t size) {
    assert_true(!front_for(granary_me, size)->foreign || unlearn(size));
}

#define FULL 256u // blocks of an arena
#define WARM 72u  // blocks: a word of them has been carved then, and is taken as it is

// Both free the first one's block at the same time, of a size of which no other has ever freed
// one; the owner goes on taking blocks of that word.
static void step_first(struct pair *pair, bool first, uint32_t number) {
    void *more[AFTER_MAX];
    size_t size = size_of(number);
    if (first) {
        for (uint32_t i = 0; i < WARM; i++) more[i] = take(size);
        for (uint32_t i = 0; i < WARM; i++) give(more[i]);
        for (uint32_t i = 0; i < 3; i++) more[i] = take(size);
        for (uint32_t i = 0; i < 3; i++) give(more[i]);
        pair->block = take(size);
        unmark(pair->block);
    }
    meet(pair);
    if (first) { // in the middle of what the other does then
        for (uint32_t spins = 0; spins < 1000000 && !LOOK(front_for(granary_me, size)->foreign);
             spins++) {}
        for (volatile uint32_t wait = number % 61 * 8; wait > 0; wait--) {}
    }
    granary_free(pair->block);
    meet(pair);
    for (uint32_t i = 0; i < after(number); i++) more[i] = take(size);
    meet(pair);
    for (uint32_t i = 0; i < after(number); i++) give(more[i]);
    meet(pair);
    if (first) pair->first += unlearn(size);
    meet(pair);
}

#define TURNS_MOST (2 * FULL)

// The owner takes a block of another word each time, when the size becomes foreign.
static void step_turns(struct pair *pair, bool first, uint32_t number) {
    void *block[TURNS_MOST];
    size_t size = size_of(number % 3);
    uint32_t count = 0;
    if (first) {
        give(take(size)); // an owner has the thread from here on
        arenas_are_long(size);
        const struct front *front = front_for(granary_me, size);
        do block[count++] = take(size);
        while (count < FULL ||
               (count < TURNS_MOST && (front->young || (*front->take & front->mask) != 0)));
        pair->block = block[--count];
        unmark(pair->block);
        pair->turns = 0;
    }
    meet(pair);
    if (first) {
        const struct front *front = front_for(granary_me, size);
        for (uint32_t turn = 0, left = 1000; turn < 1000000 && left > 0; turn++) {
            void **one = &block[turn % 3 * WORD_BLOCKS];
            give(*one);
            *one = take(size);
            STORE(pair->turns, turn);
            if (LOOK(front->foreign)) left--;
        }
    } else {
        for (uint32_t spins = 0; LOOK(pair->turns) < 100 + number % 61; spins++) {
            if (spins > 200) sched_yield();
        }
        granary_free(pair->block);
    }
    meet(pair);
    while (count > 0) give(block[--count]);
    if (first) pair->first += unlearn(size);
    meet(pair);
}

// ---- the tests ----------------------------------------------------------------------------------

static void each_race_is_refused_once(void **state) {
    (void)state;
    assert_int_equal(run_all(step_race), pairs * races);
}

static void each_race_is_refused_once_where_it_is_the_first_free_by_another(void **state) {
    (void)state;
    uint32_t all = races, first = 0;
    races = all / 4;
    assert_int_equal(run_all(step_first), pairs * races);
    for (uint32_t i = 0; i < pairs; i++) first += pair_of[i].first;
    if (!k_heap.owners->marks) assert_int_equal(first, pairs * races);
    races = all;
}

static void each_race_for_a_large_area_is_refused_once(void **state) {
    (void)state;
    if (pairs > 1) skip(); // one's area may be another's before it is freed once more
    assert_int_equal(run_all(step_area), races);
}

static void a_size_that_becomes_foreign_in_the_middle_of_a_call_gives_blocks(void **state) {
    (void)state;
    uint32_t all = races, first = 0;
    races = all / 100 + 1;
    for (uint32_t i = 0; i < pairs; i++) pair_of[i].first = 0;
    assert_int_equal(run_aloud(step_turns), 0);
    for (uint32_t i = 0; i < pairs; i++) first += pair_of[i].first;
    if (!k_heap.owners->marks) assert_int_equal(first, pairs * races);
    races = all;
}

static void a_late_double_free_is_refused_at_the_call(void **state) {
    (void)state;
    uint32_t late = 0;
    assert_int_equal(run_all(step_late), pairs * races);
    for (uint32_t i = 0; i < pairs; i++) late += pair_of[i].late;
    if (pairs == 1) assert_int_equal(late, 0); // others' reports would hide it
}

static void no_right_call_is_refused(void **state) {
    (void)state;
    assert_int_equal(run_all(step_right), 0);
}

// Each bit of what a free goes by, flipped: it is refused. With 64 bits all go by the frame's
// proof, and others than the owner by the arena's own record as well.
static void *free_it(void *p) {
    granary_free(p);
    return NULL;
}

static void in_a_thread(void *(*call)(void *), void *p) {
    pthread_t other;
    pthread_create(&other, NULL, call, p);
    pthread_join(other, NULL);
}

enum who { OWNER = 1, OTHER = 2, BOTH = 3 };

static void *asked; // what the other thread is to free, or &asked: that is all
static uint32_t flips;

static void *frees_what_is_asked(void *unused) {
    for (void *p; (p = __atomic_load_n(&asked, __ATOMIC_ACQUIRE)) != &asked;) {
        if (!p) sched_yield();
        if (p) granary_free(p);
        if (p) __atomic_store_n(&asked, NULL, __ATOMIC_RELEASE);
    }
    return unused;
}

static void ask(void *p) {
    __atomic_store_n(&asked, p, __ATOMIC_RELEASE);
    while (__atomic_load_n(&asked, __ATOMIC_ACQUIRE)) sched_yield();
}

// Flips each bit of a field in turn, and each of these frees p. Returns the frees that went
// unreported.
static uint32_t flip(void *field, size_t bytes, void *p, enum who who) {
    uint32_t missing = 0;
    for (uint32_t bit = 0; bit < bytes * 8; bit++) {
        uint8_t *byte = (uint8_t *)field + bit / 8; // the lowest comes first
        uint32_t before = granary_reports;
        flips++;
        *byte ^= 1u << bit % 8;
        if (who & OWNER) granary_free(p);
        if (who & OTHER) ask(p);
        *byte ^= 1u << bit % 8;
        missing += (who == BOTH ? 2 : 1) - (granary_reports - before);
    }
    return missing;
}

static uint32_t flip_all(void *p) {
    uintptr_t into = (uintptr_t)p - k_heap.base;
    struct arena *arena = arena_at(p), *frame = &k_heap.arena[into / PG_SIZE];
    uint32_t missing = flip(&arena->head, sizeof arena->head, p, BOTH);
#ifdef ARENA_PROOFS
    enum who record = OTHER;
    missing += flip(&frame->proof.factor, sizeof(uint64_t), p, BOTH);
    missing += flip(&frame->proof.start, sizeof(uint64_t), p, BOTH);
    missing += flip(&frame->proof.arena, sizeof(void *), p, BOTH);
    missing += flip(&frame->proof.seal, sizeof(uintptr_t), p, BOTH);
#else
    enum who record = BOTH;
    // Leads in front of all records, too: it is a low frame.
    missing += flip(&frame->back, sizeof frame->back, p, OTHER);
#endif
    missing += flip(&arena->desc, sizeof(void *), p, record);
    missing += flip(&arena->base, sizeof(uintptr_t), p, record);
    missing += flip(seal_of(arena), sizeof(uintptr_t), p, record);
    return missing;
}

#define FLIPPED 32u // blocks of a size, of several frames

// Of each second block but the last. Returns the frees that went unreported.
static uint32_t flip_each(void **block) {
    pthread_t other;
    uint32_t missing = 0;
    asked = NULL;
    pthread_create(&other, NULL, frees_what_is_asked, NULL);
    for (uint32_t i = 0; i < FLIPPED - 3; i += 2) missing += flip_all(block[i]);
    __atomic_store_n(&asked, &asked, __ATOMIC_RELEASE);
    pthread_join(other, NULL);
    return missing;
}

static void flips_are_refused(size_t size) {
    void *block[FLIPPED];
    unlearn_if_learned(size);
    arenas_are_long(size);
    for (uint32_t i = 0; i < FLIPPED; i++) block[i] = take(size);
    const struct arena *arena = arena_at(block[0]);
    assert_ptr_equal(arena_at(block[FLIPPED - 4]), arena);
    assert_true((uintptr_t)block[FLIPPED - 4] / PG_SIZE > (uintptr_t)block[0] / PG_SIZE);
    give(block[FLIPPED - 2]); // it is in the free list from here on: no free is a slow one
    assert_int_equal(arena->ever, k_heap.owners->marks ? ARENA_EVER >> 8 : 0);
    int saved = silence();
    uint32_t missing = k_heap.owners->marks ? 0 : flip_each(block);
    unmark(block[FLIPPED - 1]);
    in_a_thread(free_it, block[FLIPPED - 1]); // it is marked from here on
    assert_int_equal(arena->head & ~ARENA_KNOWN, ARENA_EVER);
    missing += flip_each(block);
    speak(saved);
    assert_int_equal(missing, 0);
    for (uint32_t i = 0; i < FLIPPED - 2; i++) give(block[i]);
    granary_malloc_trim(0);
    assert_int_equal(heap_check(), 0);
}

static void flips_of_an_area_are_refused(void) {
    void *p = take(AREA);
    struct arena *arena = arena_at(p);
    int saved = silence();
    uint32_t missing = flip(&arena->head, sizeof arena->head, p, OWNER);
    missing += flip(&arena->desc, sizeof(void *), p, OWNER);
    missing += flip(&arena->base, sizeof(uintptr_t), p, OWNER);
    missing += flip(&arena->seal, sizeof arena->seal, p, OWNER);
    missing += flip(&arena->carving, sizeof arena->carving, p, OWNER);
    speak(saved);
    assert_int_equal(missing, 0);
    give(p);
}

// 10^5 of them where there are proofs and owners that are not marked.
static void a_record_with_a_flipped_bit_is_refused(void **state) {
    (void)state;
    flips = 0;
    flips_of_an_area_are_refused();
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        size_t size = k_heap.block_descs[i].block_size;
        if (size > 2 * PG_SIZE / FLIPPED && size <= PG_SIZE / 2) flips_are_refused(size);
    }
    if (sizeof(void *) == 8 && !k_heap.owners->marks) assert_in_range(flips, 100000, UINT32_MAX);
}

// Overwrites the record of the arena that a block is in, so that following it ends in a crash; and
// puts it right again.
static void overwrite(void *p) {
    uintptr_t *desc = (uintptr_t *)&arena_at(p)->desc;
    *desc ^= UINTPTR_MAX / 2 + 1;
}

// An arena's last block closes it in a heap of more than 16 MiB: for that the record is followed.
static void the_last_block_of_an_overwritten_record_is_refused(void **state) {
    (void)state;
    static void *block[2 * WORD_BLOCKS], *ballast[BALLAST];
    arenas_are_long(4096);
    unlearn_if_learned(240);
    arenas_are_long(240);
    for (uint32_t i = 0; i < BALLAST; i++) ballast[i] = take(4096);
    for (uint32_t i = 0; i < 2 * WORD_BLOCKS; i++) block[i] = take(240);
    for (uint32_t i = 1; i < 2 * WORD_BLOCKS; i++) give(block[i]);
    uint32_t before = granary_reports;
    int saved = silence();
    overwrite(block[0]);
    granary_free(block[0]);
    overwrite(block[0]);
    speak(saved);
    assert_int_equal(granary_reports - before, 1);
    give(block[0]);
    for (uint32_t i = 0; i < BALLAST; i++) give(ballast[i]);
    granary_malloc_trim(0);
    assert_int_equal(heap_check(), 0);
}

// Takes `count` blocks of `size`, gives the first `back` of them back, takes one, and overwrites
// the record of the last one's arena: of what is taken then, no more is of that arena than a word
// that was in hand, and what is reported is that, once.
static void gives_no_blocks(size_t size, uint32_t count, uint32_t back, bool marked) {
    static void *block[3 * FULL], *more[3 * FULL];
    uint32_t inside = 0, before = granary_reports;
    arenas_are_long(size);
    for (uint32_t i = 0; i < count; i++) block[i] = take(size);
    struct arena *arena = arena_at(block[back - 1]);
    for (uint32_t i = 0; i < back; i++) {
        unmark(block[i]);
        if (marked && i == 0) in_a_thread(free_it, block[i]);
        else granary_free(block[i]);
    }
    int saved = silence();
    for (uint32_t i = 0; i < 3 * FULL; i++) {
        more[i] = take(size);
        if (i == 0) overwrite(block[back - 1]);
        inside += arena_at(more[i]) == arena;
    }
    granary_malloc_trim(0); // looks at all arenas
    overwrite(block[back - 1]);
    speak(saved);
    assert_in_range(inside, 0, WORD_BLOCKS);
    assert_int_equal(granary_reports - before, 1);
    for (uint32_t i = back; i < count; i++) give(block[i]);
    for (uint32_t i = 0; i < 3 * FULL; i++) give(more[i]);
    granary_malloc_trim(0);
    assert_int_equal(heap_check(), 0);
}

static void an_overwritten_record_gives_no_blocks(void **state) {
    (void)state;
    gives_no_blocks(96, 2 * FULL, FULL / 2, false);        // of an arena whose turn comes
    gives_no_blocks(112, FULL, FULL - WORD_BLOCKS, false); // of the one in hand
    gives_no_blocks(128, FULL / 4, FULL / 8, false);       // of one that is carved
    gives_no_blocks(144, 2 * FULL, FULL / 2, true);        // in which others have freed
    gives_no_blocks(80, 3 * FULL, 3 * FULL / 2, false);    // of one after the one in hand
    gives_no_blocks(192, FULL, FULL - WORD_BLOCKS, false); // of which words are all at home
}

// The frame's proof, too, is looked at by heap_check(), and by realloc().
static void a_wrong_proof_is_found(void **state) {
    (void)state;
#ifdef ARENA_PROOFS
    char *p = take(3000), *q = take(3000);
    uintptr_t into = (uintptr_t)p - k_heap.base;
    uint32_t before = granary_reports;
    int saved = silence();
    k_heap.arena[into / PG_SIZE].proof.start++;
    uint32_t found = heap_check();
    char *moved = granary_realloc(p, 6000);
    k_heap.arena[into / PG_SIZE].proof.start--;
    speak(saved);
    assert_int_equal(found, 1);
    assert_null(moved);
    assert_int_equal(granary_reports - before, 1);
    give(p);
    give(q);
    granary_malloc_trim(0);
#endif
    assert_int_equal(heap_check(), 0);
}

// Every address of an arena of each size, by its frame's proof and by block_index().
static void each_address_has_the_block_that_block_index_says(void **state) {
    (void)state;
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        const struct memory_block_desc *desc = &granary_me->front[i].desc;
        front_of_its_own(desc->block_size);
        void *p = take(desc->block_size);
        const struct arena *arena = arena_at(p);
        for (uint32_t off = 0; off < owners_frames(&k_heap, arena) * PG_SIZE; off++) {
            struct place at = {0};
            bool found = place_find(&granary_me->seal, &k_heap, arena->base + off, &at);
            uint32_t block = block_index(desc, off);
            bool same = block < ARENA_BLOCKS_MAX
                            ? at.block == block && at.word == block / WORD_BLOCKS
                            : at.block >= ARENA_BLOCKS_MAX;
            wrong += !(found && at.arena == arena && same);
        }
        give(p);
    }
    assert_int_equal(wrong, 0);
}

// Where another has freed, a block stays as well if its new size is the same; a wrong one is
// refused.
static void realloc_knows_what_another_has_freed(void **state) {
    (void)state;
    arenas_are_long(224);
    void *p = take(224), *q = take(224);
    unmark(q);
    in_a_thread(free_it, q);
    assert_true(LOOK(arena_at(p)->head) & ARENA_EVER);
    assert_ptr_equal(granary_realloc(p, 220), p);
    uint32_t before = granary_reports;
    int saved = silence();
    assert_null(granary_realloc(q, 220));
    speak(saved);
    assert_int_equal(granary_reports - before, 1);
    give(p);
    granary_malloc_trim(0);
    assert_int_equal(heap_check(), 0);
}

// A block of a thread that goes on.
static void *lends(void *unused) {
    void *p = take(200);
    __atomic_store_n(&asked, p, __ATOMIC_RELEASE);
    while (__atomic_load_n(&asked, __ATOMIC_ACQUIRE)) sched_yield();
    return unused;
}

// Of a block, whose it is does not matter; of anything else, there is none, and a report.
static void the_size_of_anothers_block_is_known(void **state) {
    (void)state;
    pthread_t other;
    char *p;
    asked = NULL;
    pthread_create(&other, NULL, lends, NULL);
    while (!(p = __atomic_load_n(&asked, __ATOMIC_ACQUIRE))) sched_yield();
    port_state locked = port_lock(&k_heap); // it needs none
    size_t size = sys_usable_size(p);
    port_unlock(&k_heap, locked);
    assert_in_range(size, 200, 256); // a guest's is a larger one
    uint32_t before = granary_reports;
    int saved = silence();
    size_t inside = sys_usable_size(p + 16), next = sys_usable_size(p + size);
    give(p);
    size_t freed = sys_usable_size(p);
    speak(saved);
    assert_int_equal(inside + next + freed, 0);
    assert_int_equal(granary_reports - before, 3);
    __atomic_store_n(&asked, NULL, __ATOMIC_RELEASE);
    pthread_join(other, NULL);
}

// ---- claimed blocks of an arena in which no other has freed -------------------------------------

// Two arenas are full, and another frees in the second of them. Then a block of the first is taken:
// with it others were claimed, and those are as free as before.
static void what_is_claimed_is_not_live(void **state) {
    (void)state;
    static void *block[2 * FULL];
    size_t size = 48;
    arenas_are_long(size);
    for (uint32_t i = 0; i < 2 * FULL; i++) block[i] = take(size);
    unmark(block[2 * FULL - 1]);
    in_a_thread(free_it, block[2 * FULL - 1]);
    for (uint32_t i = 0; i < 32; i++) give(block[i]);
    uint32_t before = granary_reports, live = 0;
    int saved = silence();
    for (uint32_t turn = 0; turn < 24; turn++) {
        void *p = take(size);
        live += *mark_of(p);
        for (uint32_t i = 0; i < 32; i++) {
            if (!*mark_of(block[i])) granary_free(block[i]);
        }
    }
    speak(saved);
    assert_int_equal(overlaps, 0);
    assert_true(front_for(granary_me, size)->foreign);
    uint32_t wrong = 0;
    for (uint32_t i = 0, free = 31; i < 24; i++, free--) wrong += free;
    assert_in_range(granary_reports - before, wrong, wrong + 32); // the other's block may be first
    for (uint32_t i = 0; i < 2 * FULL; i++) {
        if (*mark_of(block[i])) give(block[i]);
    }
    assert_int_equal(live, 24);
    granary_malloc_trim(0);
    assert_int_equal(heap_check(), 0);
}

// ---- a thread's end -----------------------------------------------------------------------------

static void *left[FULL];

// Leaves each second block of its arenas, and ends.
static void *leaves_half(void *unused) {
    for (uint32_t i = 0; i < FULL; i++) left[i] = take(1008);
    for (uint32_t i = 0; i < FULL; i += 2) give(left[i]);
    return unused;
}

// Has blocks of the arenas that were left before it opens one.
static void *goes_on(void *unused) {
    void *block[FULL / 2];
    uint32_t frames = LOOK(k_heap.small_frames), others = 0;
    for (uint32_t i = 0; i < FULL / 2; i++) block[i] = take(1008);
    others = LOOK(k_heap.small_frames) - frames;
    for (uint32_t i = 0; i < FULL / 2; i++) give(block[i]);
    return others == 0 ? NULL : unused;
}

static void the_next_thread_goes_on_with_what_one_left(void **state) {
    pthread_t thread;
    void *failed;
    granary_malloc_trim(0);
    in_a_thread(leaves_half, NULL);
    pthread_create(&thread, NULL, goes_on, state);
    pthread_join(thread, &failed);
    assert_null(failed);
    for (uint32_t i = 1; i < FULL; i += 2) give(left[i]);
    granary_malloc_trim(0);
    assert_int_equal(heap_check(), 0);
    assert_int_equal(k_heap.small_frames, 0);
}

static void every_arena_is_marked_where_there_is_no_barrier(void **state) {
    (void)state;
    assert_int_equal(k_heap.owners->marks, getenv("WITHOUT_BARRIER") != NULL);
}

// race_owners [RACES [PAIRS]]: all of it twice, the second time without membarrier().
int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_race_is_refused_once),
        cmocka_unit_test(each_race_is_refused_once_where_it_is_the_first_free_by_another),
        cmocka_unit_test(each_race_for_a_large_area_is_refused_once),
        cmocka_unit_test(a_size_that_becomes_foreign_in_the_middle_of_a_call_gives_blocks),
        cmocka_unit_test(a_late_double_free_is_refused_at_the_call),
        cmocka_unit_test(no_right_call_is_refused),
        cmocka_unit_test(each_address_has_the_block_that_block_index_says),
        cmocka_unit_test(realloc_knows_what_another_has_freed),
        cmocka_unit_test(the_size_of_anothers_block_is_known),
        cmocka_unit_test(a_record_with_a_flipped_bit_is_refused),
        cmocka_unit_test(the_last_block_of_an_overwritten_record_is_refused),
        cmocka_unit_test(an_overwritten_record_gives_no_blocks),
        cmocka_unit_test(a_wrong_proof_is_found),
        cmocka_unit_test(what_is_claimed_is_not_live),
        cmocka_unit_test(the_next_thread_goes_on_with_what_one_left),
        cmocka_unit_test(every_arena_is_marked_where_there_is_no_barrier),
    };
    races = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : RACES_DEFAULT;
    pairs = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
    owners_window(argv);
    if (pairs == 0 || pairs > PAIRS_MAX) return 2;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return owners_again(argv, failed);
}
