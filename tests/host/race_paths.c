// race_paths.c - wrong calls and scarce memory where the heap has several owners: what takes no
// race.
//
// What only it can find: a crash, or the wrong words, where another thread's block is freed
// wrongly, a record is wrong in two places, memory is out, or a thread has no owner. `make
// coverage` says which branches are left, tests/host/unreachable.txt why.
//
// See owners_host.h for what it is linked with. One thread runs at a time, but for the last tests:
// the main one, or another that does what it is told.
#include <limits.h>
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
#define SOME 10u                                   // blocks
#define AREA 20000u                                // bytes of a large area, of five frames

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

typedef void caller(void (*call)(void *argument), void *argument); // one of these two

// ---- what is said -------------------------------------------------------------------------------

static void frees(void *p) { granary_free(p); }

// `by` calls call(p): one report, and it has these words.
static void refused(caller *by, void (*call)(void *), void *p, const char *words) {
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

// Every frame is free again, too: one that was lost is in no run.
static void nothing_is_left(void) {
    there(trims, NULL);
    granary_malloc_trim(0);
    all_is_sound();
    assert_int_equal(k_heap.small_frames + k_heap.large_frames, 0);
    assert_int_equal(k_heap.pool.free, k_heap.pool.usable);
}

// ---- blocks of the other thread -----------------------------------------------------------------

struct blocks {
    size_t size, count;
    struct owner *owner; // who took them
    void *p[OWNERS_MAX + 20];
};

static void takes(void *argument) {
    struct blocks *blocks = argument;
    give(take(1)); // the thread has an owner from here on
    front_of_its_own(blocks->size);
    front_for(granary_me, blocks->size)->opened = 1000; // arenas are long
    for (size_t i = 0; i < blocks->count; i++) blocks->p[i] = take(blocks->size);
    blocks->owner = granary_me;
}

// But for those that are NULL.
static void gives(void *argument) {
    struct blocks *blocks = argument;
    for (size_t i = 0; i < blocks->count; i++) {
        give(blocks->p[i]);
        blocks->p[i] = NULL;
    }
}

// Whether another owner has freed blocks of that size of this one's before, or it may be so.
static bool is_foreign(const struct blocks *blocks) {
    return front_for(blocks->owner, blocks->size)->foreign;
}

// A test by a block's owner and by another, before others have freed such blocks and after.
static void by_both(void (*test)(caller *by, bool foreign)) {
    test(there, false);
    test(here, false);
    test(there, true);
    test(here, true);
}

static void wrong_frees_by(caller *by, bool foreign) {
    static struct blocks blocks = {.size = SIZE, .count = SOME};
    there(takes, &blocks);
    assert_int_equal(is_foreign(&blocks), foreign || k_heap.owners->marks);
    char *base = (char *)arena_at(blocks.p[0])->base, *twice = blocks.p[5];
    refused(by, frees, base + 16, "interior pointer");
    refused(by, frees, base + (size_t)BLOCKS * SIZE, "interior pointer");
    refused(by, frees, base + (size_t)(BLOCKS - 1) * SIZE, "not allocated");
    unmark(twice);
    by(frees, twice);
    refused(by, frees, twice, "double free");
    refused(by, frees, base + 48, "interior pointer");
    blocks.p[5] = NULL;
    there(gives, &blocks);
    nothing_is_left();
}

static void a_wrong_free_is_called_by_its_name(void **state) {
    (void)state;
    by_both(wrong_frees_by);
}

static size_t room;
static void asks_room(void *p) { room = granary_malloc_usable_size(p); }

static void no_room(caller *by, void *p, const char *words) {
    room = 1;
    refused(by, asks_room, p, words);
    assert_int_equal(room, 0);
}

static void wrong_rooms_by(caller *by, bool foreign) {
    static struct blocks blocks = {.size = 640, .count = SOME};
    there(takes, &blocks);
    assert_int_equal(is_foreign(&blocks), foreign || k_heap.owners->marks);
    char *p = blocks.p[3];
    struct arena *arena = arena_at(p);
    by(asks_room, p);
    assert_int_equal(room, 640);
    no_room(by, p + 16, "interior pointer");
    no_room(by, (void *)(k_heap.base - 16), "outside");
    no_room(by, (void *)(k_heap.base + k_heap.frames * (uintptr_t)PG_SIZE), "outside");
    arena->base += PG_SIZE;
    no_room(by, p, "corrupt arena");
    arena->base -= PG_SIZE;
    unmark(p);
    by(frees, p);
    no_room(by, p, "double free");
    blocks.p[3] = NULL;
    there(gives, &blocks);
    nothing_is_left();
}

static void only_a_live_block_has_room(void **state) {
    (void)state;
    by_both(wrong_rooms_by);
}

static void *resized;
static void resizes(void *p) { resized = granary_realloc(p, SIZE); }

static void not_resized(void *p, const char *words) {
    resized = p;
    refused(here, resizes, p, words);
    assert_null(resized);
}

// A thread's own block, which would stay where it is.
static void only_a_live_block_is_resized(void **state) {
    (void)state;
    arenas_are_long(SIZE);
    char *p = take(SIZE);
    struct arena *arena = arena_at(p);
    not_resized(p + 16, "interior pointer");
    not_resized((void *)(k_heap.base - 16), "outside");
    arena->base += PG_SIZE;
    not_resized(p, "corrupt arena");
    arena->base -= PG_SIZE;
    assert_ptr_equal(granary_realloc(p, SIZE), p);
    give(p);
    not_resized(p, "double free");
    nothing_is_left();
}

// Two fields of a record are wrong so that their sum is right.
static void a_record_wrong_in_two_places_is_not_followed(void **state) {
    (void)state;
    static struct blocks blocks = {.size = SIZE, .count = SOME};
    there(takes, &blocks);
    struct arena *arena = arena_at(blocks.p[0]);
    uintptr_t *desc = (uintptr_t *)&arena->desc, *base = (uintptr_t *)&arena->base;
    const uintptr_t away[] = {sizeof(void *), sizeof(struct owner), -sizeof(struct owner)};
    for (uint32_t i = 0; i < sizeof away / sizeof *away; i++) {
        *desc += away[i];
        *base -= away[i];
        refused(here, frees, (char *)blocks.p[2] + 16, "corrupt arena");
        *desc -= away[i];
        *base += away[i];
    }
    there(gives, &blocks);
    nothing_is_left();
}

// What is shown of a size at the exit: all blocks that are not live are free, wherever they wait.
static void what_another_freed_counts_as_free(void **state) {
    (void)state;
    static struct blocks blocks = {.size = SIZE, .count = BLOCKS};
    struct desc_state now;
    uint32_t index = (uint32_t)(k_heap.desc_of[(SIZE - 1) / BLOCK_ALIGN] - k_heap.block_descs);
    there(takes, &blocks);
    for (size_t i = 0; i < BLOCKS; i += 3) give(blocks.p[i]), blocks.p[i] = NULL;
    heap_desc_state(&k_heap, index, &now);
    assert_int_equal(now.arenas, 1);
    assert_int_equal(now.live_blocks, BLOCKS - (BLOCKS + 2) / 3);
    assert_int_equal(now.live_blocks + now.free_blocks, BLOCKS);
    there(gives, &blocks);
    nothing_is_left();
}

// ---- arenas -------------------------------------------------------------------------------------

#define WATCHED 384u // bytes
#define EACH (ARENA_FRAMES_MAX * PG_SIZE / WATCHED)

// In a heap so large that arenas are watched, another frees in one for the first time; then its
// owner closes another one.
static void arenas_are_closed_while_others_free(void **state) {
    (void)state;
    static void *ballast[BALLAST];
    static struct blocks blocks = {.size = WATCHED, .count = (size_t)4 * EACH};
    arenas_are_long(4096);
    for (uint32_t i = 0; i < BALLAST; i++) ballast[i] = take(4096);
    there(takes, &blocks);
    const struct front *front = front_for(blocks.owner, WATCHED);
    void **third = &blocks.p[(size_t)2 * EACH];
    unmark(third[0]);
    there(frees, third[0]); // the third arena is in the free list from here on
    give(third[1]);
    third[0] = third[1] = NULL;
    if (!k_heap.owners->marks) assert_non_null(blocks.owner->news);
    blocks.count = (size_t)2 * EACH;
    there(gives, &blocks); // the first arena is spare; the second closes it
    assert_null(blocks.owner->news);
    assert_int_equal(front->desc.arenas, 3);
    blocks.count = (size_t)4 * EACH;
    there(gives, &blocks);
    for (uint32_t i = 0; i < BALLAST; i++) give(ballast[i]);
    nothing_is_left();
}

#define MANY 300u // arenas, more than are looked at in one call: 256

// Pages are wanted, and of many arenas none has any to give. (One has an overwritten record.)
static void no_call_looks_at_every_arena(void **state) {
    (void)state;
    static void *small[MANY * ARENA_BLOCKS_MAX], *area[4];
    const uint32_t count = MANY * ARENA_BLOCKS_MAX, last = ARENA_BLOCKS_MAX - 1;
    arenas_are_long(16);
    for (uint32_t i = 0; i < count; i++) small[i] = take(16);
    for (uint32_t i = last; i < count; i += ARENA_BLOCKS_MAX) give(small[i]), small[i] = NULL;
    struct arena *arena = arena_at(small[0]);
    const struct list *list = &front_for(granary_me, 16)->desc.free_list;
    const struct list_elem *first = list_front(list);
    uint32_t before = granary_reports, same = 0;
    arena->base += PG_SIZE;
    for (uint32_t i = 0; i < 4; i++) { // each call begins where the one before left off
        granary_highest = 0;
        area[i] = take(AREA);
        same += list_front(list) == first; // all of the list were looked at, or none
        first = list_front(list);
    }
    arena->base -= PG_SIZE;
    pages_are_plenty();
    assert_int_equal(same, 0);
    assert_int_equal(granary_reports, before);
    for (uint32_t i = 0; i < count; i++) give(small[i]);
    for (uint32_t i = 0; i < 4; i++) give(area[i]);
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
    assert_true(is_full(arena)); // in no free list
    give(p);
    nothing_is_left();
}

// All of the pool but a few frames in a row, which are free.
static void *all_but(uint32_t frames) {
    void *free = take((size_t)frames * PG_SIZE);
    void *rest = granary_malloc((size_t)k_heap.pool.free * PG_SIZE);
    assert_true(free && rest);
    give(free);
    assert_int_equal(k_heap.pool.free, frames);
    return rest;
}

// An arena that comes home for a size that finds no room is that size's as a whole.
static void what_comes_home_is_opened_whole(void **state) {
    (void)state;
    enum { FRAMES = ARENA_FRAMES_MAX };
    void *page[2 * FRAMES];
    arenas_are_long(256); // of 16 frames, too
    arenas_are_long(4096);
    void *rest = all_but(2 * FRAMES);
    for (uint32_t i = 0; i < 2 * FRAMES; i++) page[i] = take(4096);
    assert_int_equal(k_heap.pool.free, 0);
    for (uint32_t i = 0; i < FRAMES; i++) give(page[i]);
    void *p = take(256);
    assert_int_equal(owners_frames(&k_heap, arena_at(p)), FRAMES);
    assert_int_equal(k_heap.pool.free, 0);
    all_is_sound();
    give(p);
    for (uint32_t i = FRAMES; i < 2 * FRAMES; i++) give(page[i]);
    granary_free(rest);
    nothing_is_left();
}

// Where others free, an arena is long, as long as the pool can grow: a gap is left as it is.
static void a_gap_is_not_taken_while_the_pool_grows(void **state) {
    (void)state;
    static struct blocks blocks = {.size = SIZE, .count = 2};
    there(takes, &blocks);
    give(blocks.p[0]); // others free from here on
    blocks.p[0] = NULL;
    there(gives, &blocks);
    nothing_is_left();
    assert_true(k_heap.pool.usable < k_heap.pool.frames);
    void *rest = all_but(3);
    there(takes, &blocks);
    assert_int_equal(owners_frames(&k_heap, arena_at(blocks.p[0])), ARENA_FRAMES_MAX);
    there(gives, &blocks);
    granary_free(rest);
    nothing_is_left();
}

// ---- pages --------------------------------------------------------------------------------------

// A process that grows may have more pages each time, but not many more than it has.
static void a_process_grows(void **state) {
    (void)state;
    static void *grown[2000]; // of two pages each
    for (uint32_t i = 0; i < 2000; i++) grown[i] = take(8000);
    assert_in_range(granary_highest, 4000, 4000 + 4000 / 16 + 64); // a sixteenth, and some
    for (uint32_t i = 0; i < 2000; i++) give(grown[i]);
    pages_are_plenty();
    nothing_is_left();
}

// Two carvings to a page: while pages are scarce, the second goes on where the first was, though
// there are others.
static void a_page_that_is_there_is_carved_to_its_end(void **state) {
    (void)state;
    void *small[2 * WORD_BLOCKS];
    arenas_are_long(32); // of two frames
    small[0] = take(32);
    void *area = take(AREA), *wall = take(AREA);
    give(area);
    granary_highest = 0;
    for (uint32_t i = 1; i < 2 * WORD_BLOCKS; i++) small[i] = take(32);
    pages_are_plenty();
    assert_int_equal(owners_frames(&k_heap, arena_at(small[0])), 2); // nothing was cut off
    uint32_t apart = 0;
    for (uint32_t i = 1; i < 2 * WORD_BLOCKS; i++)
        apart += arena_at(small[i]) != arena_at(small[0]);
    assert_int_equal(apart, 0);
    for (uint32_t i = 0; i < 2 * WORD_BLOCKS; i++) give(small[i]);
    give(wall);
    nothing_is_left();
}

// Every second of `count` areas of so many frames is free, and its pages went back to the system.
// More of them, or of their frames, than one call looks at: what is asked for is had all the same.
static void blocks_among_gaps(size_t frames, uint32_t count) {
    static void *area[4000];
    for (uint32_t i = 0; i < count; i++) assert_non_null(area[i] = take(frames * PG_SIZE));
    for (uint32_t i = 0; i < count; i += 2) give(area[i]);
    granary_malloc_trim(0);
    front_of_its_own(SIZE);
    granary_highest = 0; // pages that are there come first
    granary_credit = 1000;
    char *small = take(SIZE), *large = take(AREA);
    pages_are_plenty();
    assert_true(small && large);
    give(small);
    give(large);
    for (uint32_t i = 1; i < count; i += 2) give(area[i]);
    nothing_is_left();
}

static void memory_among_many_gaps_is_found(void **state) {
    (void)state;
    blocks_among_gaps(3, 4000); // 64 gaps are looked at for pages, 1,024 when some are to go back
    blocks_among_gaps(30, 100); // and 1,024 frames of them
}

// Pages that are locked into memory stay dirty: calloc() clears them.
static void locked_pages_are_cleared(void **state) {
    (void)state;
    unsigned char *area = take(AREA);
    bool locked = mlock(area, AREA) == 0;
    give(area);
    granary_malloc_trim(0);
    unsigned char *again = granary_calloc(1, AREA);
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < AREA; i++) wrong += again[i] != 0;
    munlock(area, AREA);
    granary_free(again);
    nothing_is_left();
    if (!locked) {
        print_message("locked pages: not tried, as there is no right to lock\n");
        return;
    }
    assert_ptr_equal(again, area);
    assert_int_equal(wrong, 0);
}

// ---- large areas, and the last of the memory ----------------------------------------------------

static void a_wrong_free_of_an_area_is_called_by_its_name(void **state) {
    (void)state;
    char *area = granary_malloc(AREA), *aligned = granary_aligned_alloc(65536, 100);
    assert_int_equal(granary_malloc_usable_size(area), 5 * PG_SIZE);
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

// The last free run is the ninth of its bin, and long enough: eight are looked at.
static void a_run_at_the_end_that_was_not_found_is_had(void **state) {
    (void)state;
    enum { BEFORE = 8, SHORT = 65, WANTED = 67, LAST = 70 }; // 64 to 71 frames share a bin
    void *gap[BEFORE], *wall[BEFORE];
    nothing_is_left();
    for (uint32_t i = 0; i < BEFORE; i++) {
        gap[i] = granary_malloc(SHORT * PG_SIZE);
        wall[i] = granary_malloc(3 * PG_SIZE);
    }
    void *rest = granary_malloc((size_t)(k_heap.pool.free - LAST) * PG_SIZE);
    assert_int_equal(k_heap.pool.free, LAST);
    assert_true(k_heap.pool.usable < k_heap.pool.frames);
    for (uint32_t i = 0; i < BEFORE; i++) granary_free(gap[i]);
    void *p = granary_malloc(WANTED * PG_SIZE);
    assert_non_null(p);
    granary_free(p);
    granary_free(rest);
    for (uint32_t i = 0; i < BEFORE; i++) granary_free(wall[i]);
    nothing_is_left();
}

static void what_cannot_be_had_is_refused(void **state) {
    (void)state;
    errno = 0;
    assert_null(granary_malloc(SIZE_MAX / 2));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(granary_calloc(1, SIZE_MAX / 2));
    assert_int_equal(errno, ENOMEM);
    assert_null(heap_malloc(&k_heap, 0, 0));
    nothing_is_left();
}

static void is_freed_by_the_heaps_own_name(void **state) {
    (void)state;
    void *p = granary_malloc(SIZE);
    assert_non_null(p);
    assert_true(heap_free(&k_heap, p, 0));
    nothing_is_left();
}

// But for an area of five frames: so the last arena is shorter than the others.
static void takes_all(void *count) {
    static void *all[WINDOW / 8192];
    size_t n = 0;
    void *area = granary_malloc(AREA);
    while (n < WINDOW / 8192 && (all[n] = granary_malloc(8192)) != NULL) n++;
    *(size_t *)count = n;
    while (n > 0) granary_free(all[--n]);
    granary_free(area);
}

// One has all there is, and frees it; then another, but for what the first keeps at home.
static void all_memory_is_one_threads_and_then_anothers(void **state) {
    (void)state;
    size_t first, second;
    here(takes_all, &first);
    there(takes_all, &second);
    assert_int_equal(first, (WINDOW / PG_SIZE - 5) / 2);
    assert_in_range(second, (WINDOW / PG_SIZE - HOME_FRAMES) / 2, WINDOW / 8192);
    nothing_is_left();
}

// ---- fork(), more threads than owners, a thread's end -------------------------------------------

static uint32_t owners_idle(void) {
    uint32_t count = 0;
    for (const struct owner *owner = k_heap.owners->idle; owner; owner = owner->next_idle) count++;
    return count;
}

// A child has its parent's blocks, whosever they were: no free of one is refused. All owners but
// so many are idle.
static bool child_has(struct blocks *blocks, uint32_t busy) {
    if (owners_idle() != k_heap.owners->count - busy) return false;
    uint32_t before = granary_reports;
    gives(blocks);
    for (size_t i = 0; i < 100; i++) {
        void *p = take(SIZE);
        if (!p) return false;
        give(p);
    }
    return overlaps == 0 && granary_reports == before && heap_check() == 0;
}

// Of a child that is to have them: 0.
static int child_status(struct blocks *blocks, uint32_t busy) {
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) _exit(child_has(blocks, busy) ? 0 : 1);
    waitpid(child, &status, 0);
    return status;
}

static void a_child_frees_what_its_parent_had(void **state) {
    (void)state;
    static struct blocks blocks = {.size = SIZE, .count = SOME};
    there(takes, &blocks);
    void *mine = blocks.p[0];
    there(frees, mine);
    unmark(mine);
    blocks.p[0] = take(SIZE); // this thread's
    assert_int_equal(child_status(&blocks, 1), 0);
    there(gives, &blocks);
    nothing_is_left();
}

static struct blocks held = {.size = 16};                // a block of each thread
#define THREADS (sizeof held.p / sizeof *held.p)         // 20 more than owners
static uint32_t served;                                  // threads that have a block and an area
static sem_t asked;                                      // each has asked for them
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; // they wait here

static void *holds_a_block(void *number) {
    void **p = &held.p[(uintptr_t)number], *area = take(3 * PG_SIZE);
    *p = take(held.size);
    if (*p && area) __atomic_add_fetch(&served, 1, __ATOMIC_SEQ_CST);
    sem_post(&asked);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    give(*p);
    give(area);
    return NULL;
}

// As many as can be, which wait; returns how many.
static size_t start_threads(pthread_t *thread, size_t most) {
    pthread_attr_t small;
    size_t count = 0;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, (size_t)64 << 10);
    while (count < most &&
           pthread_create(&thread[count], &small, holds_a_block, (void *)count) == 0)
        count++;
    pthread_attr_destroy(&small);
    for (size_t i = 0; i < count; i++) sem_wait(&asked);
    return count;
}

// All owners are taken but the common one, which the last threads have: and its blocks, too, are
// everyone's to free, and a child's.
static void there_may_be_more_threads_than_owners(void **state) {
    (void)state;
    static pthread_t thread[THREADS];
    sem_init(&asked, 0, 0);
    pthread_mutex_lock(&gate);
    held.count = start_threads(thread, THREADS);
    bool enough = held.count == THREADS;
    uint32_t owners = k_heap.owners->count, had = served;
    granary_malloc_trim(0);
    int status = enough ? child_status(&held, 2) : 0; // this thread's and the common one
    pthread_mutex_unlock(&gate);
    for (size_t i = 0; i < held.count; i++) pthread_join(thread[i], NULL);
    granary_malloc_trim(0);
    all_is_sound();
    if (!enough) {
        print_message("more threads: not tried, as there may be no more of them\n");
        return;
    }
    assert_int_equal(status, 0);
    assert_int_equal(had, THREADS);
    assert_int_equal(owners, OWNERS_MAX);
}

static pthread_key_t late;
static void *late_block, *late_area, *too_much;

// Called as often as can be: from the second time on the thread has left its owner.
static void takes_late(void *times) {
    pthread_setspecific(late, (char *)times + 1);
    if ((uintptr_t)times != PTHREAD_DESTRUCTOR_ITERATIONS) return;
    late_block = take(SIZE);
    granary_highest = 0; // pages that are there come first
    late_area = take(AREA);
    pages_are_plenty();
    too_much = granary_aligned_alloc(PG_SIZE, SIZE_MAX / 2);
}

static void *ends_late(void *unused) {
    give(take(SIZE));
    pthread_setspecific(late, (void *)1);
    return unused;
}

static void run_late(void) {
    pthread_t thread;
    pthread_key_create(&late, takes_late);
    assert_int_equal(pthread_create(&thread, NULL, ends_late, NULL), 0);
    pthread_join(thread, NULL);
    pthread_key_delete(late);
    assert_non_null(late_block);
    assert_non_null(late_area);
    assert_null(too_much);
    give(late_block);
    give(late_area);
}

// It took an owner, and left it; and had the common one.
static void a_thread_that_is_about_to_end_is_served(void **state) {
    (void)state;
    void *pages = take(100 * PG_SIZE); // so that the process surely has some
    run_late();
    uint32_t idle = owners_idle();
    run_late();
    assert_int_equal(owners_idle(), idle);
    give(pages);
    nothing_is_left();
}

// ---- another table of sizes ---------------------------------------------------------------------

// None may be another's guest: what is large enough is more than twice as large, less aligned, or
// is not there.
static const size_t odd_sizes[] = {16, 80, 96, 176, 1008};
#define ODD_SIZES "16 80 96 176 1008"

static uint32_t guests;
static void takes_of_each(void *unused) {
    (void)unused;
    for (uint32_t i = 0; i < sizeof odd_sizes / sizeof *odd_sizes; i++) {
        void *p = take(odd_sizes[i]);
        guests += arena_at(p)->desc->block_size != odd_sizes[i];
        give(p);
    }
}

static void a_size_that_no_other_serves_has_its_own_arena(void **state) {
    (void)state;
    here(takes_of_each, NULL);
    there(takes_of_each, NULL);
    assert_int_equal(guests, 0);
    nothing_is_left();
}

// race_paths: the tests; once more with another table, but only the one that is of it; and the
// tests without membarrier().
int main(int argc, char **argv) {
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_grows), // first: it goes by what the process had
        cmocka_unit_test(a_wrong_free_is_called_by_its_name),
        cmocka_unit_test(only_a_live_block_has_room),
        cmocka_unit_test(only_a_live_block_is_resized),
        cmocka_unit_test(a_record_wrong_in_two_places_is_not_followed),
        cmocka_unit_test(what_another_freed_counts_as_free),
        cmocka_unit_test(a_gap_is_not_taken_while_the_pool_grows),
        cmocka_unit_test(what_comes_home_is_opened_whole),
        cmocka_unit_test(a_run_at_the_end_that_was_not_found_is_had),
        cmocka_unit_test(arenas_are_closed_while_others_free),
        cmocka_unit_test(no_call_looks_at_every_arena),
        cmocka_unit_test(an_overwritten_record_in_hand_stays),
        cmocka_unit_test(a_page_that_is_there_is_carved_to_its_end),
        cmocka_unit_test(memory_among_many_gaps_is_found),
        cmocka_unit_test(locked_pages_are_cleared),
        cmocka_unit_test(a_wrong_free_of_an_area_is_called_by_its_name),
        cmocka_unit_test(what_cannot_be_had_is_refused),
        cmocka_unit_test(is_freed_by_the_heaps_own_name),
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
    if (pthread_create(&other, NULL, do_orders, NULL) != 0) return 2;
    bool with_odd = getenv("WITH_ODD_SIZES") != NULL;
    int failed = with_odd ? cmocka_run_group_tests(odd, NULL, NULL)
                          : cmocka_run_group_tests(tests, NULL, NULL);
    there(end, NULL);
    pthread_join(other, NULL);
    if (with_odd) {
        unsetenv("GRANARY_CLASSES");
        unsetenv("WITH_ODD_SIZES");
        return owners_again(argv, failed);
    }
    if (failed || getenv("WITHOUT_BARRIER")) return failed;
    fflush(NULL);
    setenv("GRANARY_CLASSES", ODD_SIZES, 1);
    setenv("WITH_ODD_SIZES", "1", 1);
    execv("/proc/self/exe", argv);
    return 2;
}
