// race_paths.c - wrong calls and scarce memory where the heap has several owners: one case for each
// branch that no race takes.
//
// What only it can find: a wrong free of another thread's block that is called by another name, a
// record wrong in two places, a call without memory, a thread without an owner, that ends in a
// crash. `make coverage` says which branches are left.
//
// See owners_host.h for what it is linked with. One thread runs at a time: the main one, or another
// that does what it is told.
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kernel/inspect/heapcheck.h"
#include "tests/host/owners_host.h"

void *granary_calloc(size_t count, size_t size);
size_t granary_malloc_usable_size(void *p);

#define SIZE 320u                                  // bytes of a block
#define BLOCKS (ARENA_FRAMES_MAX * PG_SIZE / SIZE) // of a long arena: its end is no block
#define ALL_OF_SIZE ((size_t)4 * BLOCKS)           // blocks of four arenas
#define AREA 20000u                                // bytes of a large area

// ---- another thread -----------------------------------------------------------------------------

static void (*order)(void *argument); // what it is to do, or NULL: it waits
static void *order_for;
static void end(void *unused) { (void)unused; }

static void *do_orders(void *unused) {
    for (bool going = true; going;) {
        void (*call)(void *) = __atomic_load_n(&order, __ATOMIC_ACQUIRE);
        if (!call) {
            usleep(20);
            continue;
        }
        call(order_for);
        going = call != end;
        __atomic_store_n(&order, NULL, __ATOMIC_RELEASE);
    }
    return unused;
}

// The other thread does that, and this one waits.
static void there(void (*call)(void *argument), void *argument) {
    order_for = argument;
    __atomic_store_n(&order, call, __ATOMIC_RELEASE);
    while (__atomic_load_n(&order, __ATOMIC_ACQUIRE)) usleep(20);
}

static void here(void (*call)(void *argument), void *argument) { call(argument); }

// ---- what is said -------------------------------------------------------------------------------

static void frees(void *p) { granary_free(p); }

// `by` calls call(p): one report, and it has these words.
static void refused(void (*by)(void (*call)(void *), void *), void (*call)(void *), void *p,
                    const char *words) {
    char said[1024];
    int file = memfd_create("said", 0), saved = dup(STDERR_FILENO);
    uint32_t before = granary_reports;
    dup2(file, STDERR_FILENO);
    by(call, p);
    speak(saved);
    ssize_t length = pread(file, said, sizeof said - 1, 0);
    close(file);
    said[length > 0 ? length : 0] = '\0';
    if (!strstr(said, words)) fail_msg("`%s` is not said, but: %s", words, said);
    assert_int_equal(granary_reports - before, 1);
}

static void all_is_sound(void) {
    assert_int_equal(overlaps, 0);
    assert_int_equal(heap_check(), 0);
}

static void trims(void *unused) {
    (void)unused;
    granary_malloc_trim(0);
}

static void nothing_is_left(void) {
    there(trims, NULL);
    granary_malloc_trim(0);
    all_is_sound();
    assert_int_equal(k_heap.small_frames + k_heap.large_frames, 0);
}

// ---- blocks of the other thread -----------------------------------------------------------------

static void *block[ALL_OF_SIZE];
static size_t block_size = SIZE;

static void takes(void *count) {
    give(take(1)); // the thread has an owner from here on
    front_of_its_own(block_size);
    front_for(granary_me, block_size)->opened = 1000; // arenas are long
    for (size_t i = 0; i < (size_t)count; i++) block[i] = take(block_size);
}

static void gives(void *count) {
    for (size_t i = 0; i < (size_t)count; i++) give(block[i]);
}

// Each kind, by its owner and by another; before another has freed in that arena, and after.
static void wrong_frees_by(void (*by)(void (*call)(void *), void *)) {
    there(takes, (void *)10);
    char *base = (char *)arena_at(block[0])->base, *twice = block[5];
    refused(by, frees, base + 16, "interior pointer");
    refused(by, frees, base + (size_t)BLOCKS * SIZE, "interior pointer");
    refused(by, frees, base + (size_t)(BLOCKS - 1) * SIZE, "not allocated");
    unmark(twice);
    by(frees, twice);
    refused(by, frees, twice, "double free");
    refused(by, frees, base + 48, "interior pointer");
    block[5] = NULL;
    there(gives, (void *)10);
    nothing_is_left();
}

static void a_wrong_free_is_called_by_its_name(void **state) {
    (void)state;
    wrong_frees_by(here);
    wrong_frees_by(there);
}

static void asks_size(void *p) { assert_int_equal(granary_malloc_usable_size(p), 0); }

// The size of what is no live block, asked for by its owner and by another.
static void wrong_sizes_by(void (*by)(void (*call)(void *), void *)) {
    there(takes, (void *)10);
    char *p = block[3];
    struct arena *arena = arena_at(p);
    assert_int_equal(granary_malloc_usable_size(p), SIZE);
    refused(by, asks_size, p + 16, "interior pointer");
    refused(by, asks_size, (void *)(k_heap.base - 16), "outside");
    refused(by, asks_size, (void *)(k_heap.base + k_heap.frames * (uintptr_t)PG_SIZE), "outside");
    arena->base += PG_SIZE;
    refused(by, asks_size, p, "corrupt arena");
    arena->base -= PG_SIZE;
    unmark(p);
    by(frees, p);
    refused(by, asks_size, p, "double free");
    block[3] = NULL;
    there(gives, (void *)10);
    nothing_is_left();
}

static void only_a_live_block_has_a_size(void **state) {
    (void)state;
    wrong_sizes_by(here);
    wrong_sizes_by(there);
}

static void grows(void *p) { assert_null(granary_realloc(p, SIZE)); }

// The same of what would be the thread's own block, and stay where it is.
static void only_a_live_block_grows(void **state) {
    (void)state;
    arenas_are_long(SIZE);
    char *p = take(SIZE);
    struct arena *arena = arena_at(p);
    refused(here, grows, p + 16, "interior pointer");
    refused(here, grows, (void *)(k_heap.base - 16), "outside");
    arena->base += PG_SIZE;
    refused(here, grows, p, "corrupt arena");
    arena->base -= PG_SIZE;
    assert_ptr_equal(granary_realloc(p, SIZE), p);
    give(p);
    refused(here, grows, p, "double free");
    nothing_is_left();
}

// Two fields of a record are wrong so that their sum is right.
static void a_record_wrong_in_two_places_is_not_followed(void **state) {
    (void)state;
    there(takes, (void *)10);
    struct arena *arena = arena_at(block[0]);
    const uintptr_t away[] = {sizeof(void *), sizeof(struct owner), -sizeof(struct owner)};
    for (uint32_t i = 0; i < sizeof away / sizeof *away; i++) {
        uintptr_t *desc = (uintptr_t *)&arena->desc, *base = (uintptr_t *)&arena->base;
        *desc += away[i];
        *base -= away[i];
        refused(here, frees, (char *)block[2] + 16, "corrupt arena");
        *desc -= away[i];
        *base += away[i];
    }
    there(gives, (void *)10);
    nothing_is_left();
}

// What is shown of a size at the exit: all blocks that are not live are free, wherever they wait.
static void what_another_freed_counts_as_free(void **state) {
    (void)state;
    struct desc_state now;
    uint32_t index = (uint32_t)(k_heap.desc_of[(SIZE - 1) / BLOCK_ALIGN] - k_heap.block_descs);
    there(takes, (void *)(size_t)BLOCKS);
    for (size_t i = 0; i < BLOCKS; i += 3) give(block[i]), block[i] = NULL;
    heap_desc_state(&k_heap, index, &now);
    assert_int_equal(now.arenas, 1);
    assert_int_equal(now.live_blocks, BLOCKS - (BLOCKS + 2) / 3);
    assert_int_equal(now.live_blocks + now.free_blocks, BLOCKS);
    there(gives, (void *)(size_t)BLOCKS);
    nothing_is_left();
}

// ---- a heap that is watched ---------------------------------------------------------------------

// Another frees in an arena for the first time, while its owner closes one that is all at home.
static void arenas_are_closed_while_others_free(void **state) {
    (void)state;
    static void *ballast[BALLAST];
    block_size = 384; // no other has freed one yet
    const size_t each = ARENA_FRAMES_MAX * PG_SIZE / block_size;
    arenas_are_long(4096);
    for (uint32_t i = 0; i < BALLAST; i++) ballast[i] = take(4096);
    there(takes, (void *)(4 * each));
    unmark(block[2 * each]);
    there(frees, block[2 * each]);    // the third is in the free list from here on, and watched
    give(block[2 * each + 1]);        // news of it
    there(gives, (void *)(2 * each)); // the first is spare, and the second closes it
    memset(block, 0, 2 * each * sizeof *block);
    block[2 * each] = block[2 * each + 1] = NULL;
    there(gives, (void *)(4 * each));
    for (uint32_t i = 0; i < BALLAST; i++) give(ballast[i]);
    block_size = SIZE;
    nothing_is_left();
}

#define MANY 300u // arenas: more than are looked at in one call

// Pages are wanted, and no arena of many has any, but one whose record was overwritten.
static void no_call_looks_at_every_arena(void **state) {
    (void)state;
    static void *small[MANY * ARENA_BLOCKS_MAX];
    const uint32_t count = MANY * ARENA_BLOCKS_MAX, last = ARENA_BLOCKS_MAX - 1;
    nothing_is_left();
    arenas_are_long(16);
    for (uint32_t i = 0; i < count; i++) small[i] = take(16);
    for (uint32_t i = last; i < count; i += ARENA_BLOCKS_MAX) give(small[i]), small[i] = NULL;
    struct arena *arena = arena_at(small[0]);
    uint32_t before = granary_reports;
    arena->base += PG_SIZE;
    for (uint32_t i = 0; i < 4; i++) { // each call begins where the one before left off
        granary_highest = 0;
        give(take(AREA));
    }
    arena->base -= PG_SIZE;
    assert_int_equal(granary_reports, before);
    for (uint32_t i = 0; i < count; i++) give(small[i]);
    nothing_is_left();
}

// An arena that was just opened and whose record was overwritten stays where it is, at a trim call.
static void an_overwritten_record_in_hand_stays(void **state) {
    (void)state;
    arenas_are_long(SIZE);
    void *p = take(SIZE);
    struct arena *arena = arena_at(p);
    arena->base += PG_SIZE;
    granary_malloc_trim(0);
    arena->base -= PG_SIZE;
    give(p);
    nothing_is_left();
}

// ---- pages --------------------------------------------------------------------------------------

// A process that grows may have more pages each time.
static void a_process_grows(void **state) {
    (void)state;
    static void *grown[2000];
    for (uint32_t i = 0; i < 2000; i++) grown[i] = take(8000);
    assert_in_range(granary_highest, 4000, 5000);
    for (uint32_t i = 0; i < 2000; i++) give(grown[i]);
    nothing_is_left();
}

// Four carvings to a page: while pages are scarce, the second goes on where the first was.
static void a_page_that_is_there_is_carved_to_its_end(void **state) {
    (void)state;
    static void *small[ARENA_BLOCKS_MAX];
    granary_malloc_trim(0);
    arenas_are_long(16);
    small[0] = take(16);
    granary_highest = 0;
    for (uint32_t i = 1; i < ARENA_BLOCKS_MAX; i++) small[i] = take(16);
    for (uint32_t i = 1; i < ARENA_BLOCKS_MAX; i++)
        assert_ptr_equal(arena_at(small[i]), arena_at(small[0]));
    for (uint32_t i = 0; i < ARENA_BLOCKS_MAX; i++) give(small[i]);
    nothing_is_left();
}

// Free runs whose pages went back to the system, of so many frames each: an arena is opened there,
// however many had to be looked at in vain.
static void arenas_among_free_runs(size_t frames, uint32_t count) {
    static void *run[4000];
    pages_are_plenty();
    for (uint32_t i = 0; i < count; i++) run[i] = take(frames * PG_SIZE);
    for (uint32_t i = 0; i < count; i += 2) give(run[i]);
    granary_malloc_trim(0);
    front_of_its_own(SIZE);
    granary_highest = 0;
    granary_credit = 1000;
    void *p = take(SIZE), *area = take(AREA);
    give(p);
    give(area);
    pages_are_plenty();
    for (uint32_t i = 1; i < count; i += 2) give(run[i]);
    nothing_is_left();
}

static void no_call_looks_at_every_free_run(void **state) {
    (void)state;
    arenas_among_free_runs(3, 4000);
    arenas_among_free_runs(30, 100);
}

// Pages that are locked into memory stay dirty: calloc() clears them.
static void locked_pages_are_cleared(void **state) {
    (void)state;
    char *area = take(AREA);
    if (mlock(area, AREA) != 0) {
        give(area);
        skip();
    }
    give(area);
    granary_malloc_trim(0);
    char *again = granary_calloc(1, AREA);
    for (uint32_t i = 0; again == area && i < AREA; i++) assert_int_equal(again[i], 0);
    munlock((void *)((uintptr_t)area & -(uintptr_t)PG_SIZE), AREA);
    granary_free(again);
    nothing_is_left();
}

// ---- large areas --------------------------------------------------------------------------------

static void a_wrong_free_of_an_area_is_called_by_its_name(void **state) {
    (void)state;
    char *area = granary_malloc(AREA), *aligned = granary_aligned_alloc(65536, 100);
    refused(there, frees, area + 16, "interior pointer");
    refused(there, frees, area + PG_SIZE, "interior pointer");
    refused(there, frees, aligned + 16, "interior pointer");
    there(frees, aligned); // of one frame
    granary_free(area);
    refused(there, frees, area, "not allocated");
    refused(here, frees, aligned, "not allocated");
    refused(there, frees, (void *)(k_heap.base + WINDOW), "outside");
    nothing_is_left();
}

static void what_cannot_be_had_is_refused(void **state) {
    (void)state;
    errno = 0;
    assert_null(granary_malloc((size_t)1 << 40));
    assert_null(granary_calloc(1, (size_t)1 << 40));
    assert_int_equal(errno, ENOMEM);
    assert_null(heap_malloc(&k_heap, 0, 0));
    assert_true(heap_free(&k_heap, granary_malloc(SIZE), 0));
    nothing_is_left();
}

// ---- the last of the memory ---------------------------------------------------------------------

static void takes_all(void *count) {
    static void *all[WINDOW / 8192];
    size_t n = 0;
    while (n < WINDOW / 8192 && (all[n] = granary_malloc(8192)) != NULL) n++;
    *(size_t *)count = n;
    while (n > 0) granary_free(all[--n]);
}

// One has all there is, and frees it; then another, but for what the first keeps at home.
static void all_memory_is_one_threads_and_then_anothers(void **state) {
    (void)state;
    size_t first, second;
    here(takes_all, &first);
    there(takes_all, &second);
    assert_in_range(first, WINDOW / 8192 - 1, WINDOW / 8192); // a frame may be left
    assert_in_range(second, (WINDOW / PG_SIZE - HOME_FRAMES) / 2, WINDOW / 8192);
    nothing_is_left();
}

// ---- a thread's end, fork(), and more threads than owners ---------------------------------------

static pthread_key_t late;
static void *late_block, *late_area, *too_much;

// Called twice: the second time the thread has left its owner.
static void takes_late(void *again) {
    if (again == &late) {
        pthread_setspecific(late, &late_block);
        return;
    }
    late_block = take(SIZE);
    granary_highest = 0; // no pages that may be taken
    late_area = take(AREA);
    pages_are_plenty();
    too_much = granary_aligned_alloc(PG_SIZE, (size_t)1 << 40);
}

static void *ends_late(void *unused) {
    give(take(SIZE));
    pthread_setspecific(late, &late);
    return unused;
}

static void a_thread_that_is_about_to_end_is_served(void **state) {
    (void)state;
    pthread_t thread;
    void *held = take(100 * PG_SIZE); // more than threads may not have told of yet
    pthread_key_create(&late, takes_late);
    pthread_create(&thread, NULL, ends_late, NULL);
    pthread_join(thread, NULL);
    pthread_key_delete(late);
    assert_true(late_block && late_area && !too_much);
    give(late_block);
    give(late_area);
    give(held);
    nothing_is_left();
}

// A child has the blocks of its thread, and the other thread's.
static int child_goes_on(void *mine) {
    for (size_t i = 0; i < 10; i++) give(block[i]);
    give(mine);
    for (size_t i = 0; i < 100; i++) give(take(SIZE));
    return overlaps != 0 || heap_check() != 0;
}

static void a_child_frees_what_its_parent_had(void **state) {
    (void)state;
    int status = -1;
    there(takes, (void *)10);
    void *mine = take(SIZE);
    pid_t child = fork();
    if (child == 0) _exit(child_goes_on(mine));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    give(mine);
    there(gives, (void *)10);
    nothing_is_left();
}

#define THREADS (OWNERS_MAX + 20)

static uint32_t served;                                  // threads that have a block and an area
static sem_t have;                                       // each has asked
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; // they wait here

static void *holds_a_block(void *unused) {
    char *p = take(16), *area = take(AREA);
    if (p && area) __atomic_add_fetch(&served, 1, __ATOMIC_SEQ_CST);
    sem_post(&have);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    give(p);
    give(area);
    return unused;
}

// The last of them have the common owner: its blocks are everyone's to free, and a child goes on
// with it.
static void there_may_be_more_threads_than_owners(void **state) {
    (void)state;
    static pthread_t thread[THREADS];
    pthread_attr_t small;
    int status = -1;
    pages_are_plenty();
    sem_init(&have, 0, 0);
    pthread_mutex_lock(&gate);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, (size_t)64 << 10);
    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], &small, holds_a_block, NULL), 0);
    for (uint32_t i = 0; i < THREADS; i++) sem_wait(&have);
    assert_int_equal(served, THREADS);
    assert_int_equal(k_heap.owners->count, OWNERS_MAX);
    granary_malloc_trim(0);
    for (size_t i = 0; i < 10; i++) block[i] = NULL;
    pid_t child = fork();
    if (child == 0) _exit(child_goes_on(NULL));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    pthread_mutex_unlock(&gate);
    for (uint32_t i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    pthread_attr_destroy(&small);
    granary_malloc_trim(0);
    all_is_sound();
}

// ---- another table of sizes ---------------------------------------------------------------------

#define ODD_SIZES "16 80 96 176 1008"

// None may be another's guest: what is large enough is more than twice as large, less aligned, or
// is not there.
static void takes_of_each(void *unused) {
    (void)unused;
    const size_t sizes[] = {16, 80, 96, 176, 1008};
    for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *p = take(sizes[i]);
        assert_int_equal(arena_at(p)->desc->block_size, sizes[i]);
        give(p);
    }
}

static void a_size_that_no_other_serves_has_its_own_arena(void **state) {
    (void)state;
    here(takes_of_each, NULL);
    there(takes_of_each, NULL);
    nothing_is_left();
}

// race_paths: all of it twice, the second time without membarrier(); and the last with its table.
int main(int argc, char **argv) {
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_grows), // first: it goes by what the process had
        cmocka_unit_test(a_wrong_free_is_called_by_its_name),
        cmocka_unit_test(only_a_live_block_has_a_size),
        cmocka_unit_test(only_a_live_block_grows),
        cmocka_unit_test(a_record_wrong_in_two_places_is_not_followed),
        cmocka_unit_test(what_another_freed_counts_as_free),
        cmocka_unit_test(arenas_are_closed_while_others_free),
        cmocka_unit_test(no_call_looks_at_every_arena),
        cmocka_unit_test(an_overwritten_record_in_hand_stays),
        cmocka_unit_test(a_page_that_is_there_is_carved_to_its_end),
        cmocka_unit_test(no_call_looks_at_every_free_run),
        cmocka_unit_test(locked_pages_are_cleared),
        cmocka_unit_test(a_wrong_free_of_an_area_is_called_by_its_name),
        cmocka_unit_test(what_cannot_be_had_is_refused),
        cmocka_unit_test(all_memory_is_one_threads_and_then_anothers),
        cmocka_unit_test(a_child_frees_what_its_parent_had),
        cmocka_unit_test(there_may_be_more_threads_than_owners), // none had the common owner yet
        cmocka_unit_test(a_thread_that_is_about_to_end_is_served),
    };
    const struct CMUnitTest odd[] = {
        cmocka_unit_test(a_size_that_no_other_serves_has_its_own_arena),
    };
    pthread_t other;
    owners_window(argv);
    pthread_create(&other, NULL, do_orders, NULL);
    bool with_odd = getenv("GRANARY_CLASSES") != NULL;
    int failed = with_odd ? cmocka_run_group_tests(odd, NULL, NULL)
                          : cmocka_run_group_tests(tests, NULL, NULL);
    there(end, NULL);
    pthread_join(other, NULL);
    if (with_odd) {
        unsetenv("GRANARY_CLASSES");
        return owners_again(argv, failed);
    }
    if (failed || getenv("WITHOUT_BARRIER")) return failed;
    fflush(NULL);
    setenv("GRANARY_CLASSES", ODD_SIZES, 1);
    execv("/proc/self/exe", argv);
    return 2;
}
