// race_owners.c - wrong frees by several threads at once: each is refused, and exactly once.
//
// What only it can find: a double free by two threads that each think they are the only one, a
// block that is live twice, a right call that is refused, each in a heap where no call takes a
// lock.
//
// Linked with all of libgranary (tools/libgranary), whose malloc() and free() carry a granary_ in
// front. Two threads meet at every step; a table of marks, one for every 16 bytes of the window,
// says which blocks are live.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/inspect/heapcheck.h"
#include "tools/libgranary/owners.h"
#include "tools/libgranary/settings.h"

void *granary_malloc(size_t size);
void granary_free(void *p);
int granary_malloc_trim(size_t pad);

#define PAIRS_MAX 4u
#define RACES_DEFAULT 40000u // of one pair of threads
#define WINDOW ((size_t)64 << 20)
#define AFTER \
    3u // blocks that each takes when both have freed: a block handed out twice is among them

static uint32_t pairs, races;

// ---- which blocks are live ----------------------------------------------------------------------

static uint8_t marks[WINDOW / BLOCK_ALIGN]; // by granule of 16 bytes
static uint32_t overlaps;

static uint8_t *mark_of(const void *p) {
    return &marks[((uintptr_t)p - k_heap.base) / BLOCK_ALIGN];
}

static void *take(size_t size) {
    void *p = granary_malloc(size);
    if (!p) return NULL;
    if (__atomic_exchange_n(mark_of(p), 1, __ATOMIC_ACQ_REL) != 0)
        __atomic_fetch_add(&overlaps, 1, __ATOMIC_RELAXED);
    memset(p, 0x5a, size);
    return p;
}

static void unmark(void *p) { __atomic_store_n(mark_of(p), 0, __ATOMIC_RELEASE); }

static void give(void *p) {
    if (p) unmark(p);
    granary_free(p);
}

// ---- two threads that meet ----------------------------------------------------------------------

struct pair {
    uint32_t arrived, round; // a barrier that spins: the two are to be close
    void *block, *swap[2];
    uint32_t late; // reports that were missing when a call came back
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

// No standard error, as thousands of lines would come; returns what it was.
static int silence(void) {
    int saved = dup(STDERR_FILENO), none = open("/dev/null", O_WRONLY);
    dup2(none, STDERR_FILENO);
    close(none);
    return saved;
}

static void speak(int saved) {
    dup2(saved, STDERR_FILENO);
    close(saved);
}

// Runs `step` in every pair's two threads; returns the reports.
static uint32_t run_all(void (*step)(struct pair *pair, bool first, uint32_t number)) {
    static struct thread threads[PAIRS_MAX][2];
    pthread_t id[PAIRS_MAX][2];
    uint32_t before = granary_reports;
    int saved = silence();
    overlaps = 0;
    for (uint32_t i = 0; i < pairs * 2; i++) {
        threads[i / 2][i % 2] = (struct thread){&pair_of[i / 2], i % 2 == 0, step};
        pthread_create(&id[i / 2][i % 2], NULL, run, &threads[i / 2][i % 2]);
    }
    for (uint32_t i = 0; i < pairs * 2; i++) pthread_join(id[i / 2][i % 2], NULL);
    granary_malloc_trim(0); // what is not collected yet comes home, and with it its reports
    speak(saved);
    assert_int_equal(overlaps, 0);
    assert_int_equal(heap_check(), 0);
    assert_int_equal(k_heap.small_frames + k_heap.large_frames, 0);
    return granary_reports - before;
}

static size_t size_of(uint32_t number) { return (size_t)16 << number % 7; }

// ---- the steps ----------------------------------------------------------------------------------

// Both free the first one's block at the same time, and then take others.
static void step_race(struct pair *pair, bool first, uint32_t number) {
    void *more[AFTER];
    if (first) {
        pair->block = take(size_of(number));
        unmark(pair->block);
    }
    meet(pair);
    for (volatile uint32_t wait = number % 61 * first; wait > 0; wait--) {}
    granary_free(pair->block);
    meet(pair);
    for (uint32_t i = 0; i < AFTER; i++) more[i] = take(size_of(number));
    meet(pair);
    for (uint32_t i = 0; i < AFTER; i++) give(more[i]);
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

// ---- the tests ----------------------------------------------------------------------------------

static void each_race_is_refused_once(void **state) {
    (void)state;
    assert_int_equal(run_all(step_race), pairs * races);
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

// Each bit of a record's sum, flipped: no free goes by it, that of its owner as little as that of a
// thread that owns nothing.
static void *free_it(void *p) {
    granary_free(p);
    return NULL;
}

static void a_record_with_a_flipped_bit_is_refused(void **state) {
    (void)state;
    void *p = take(64);
    struct arena *arena = &k_heap.arena[((uintptr_t)p - k_heap.base) / PG_SIZE];
    uint32_t *const fields[] = {(uint32_t *)&arena->desc, (uint32_t *)&arena->base, &arena->blocks,
                                &arena->seal};
    uint32_t before = granary_reports;
    int saved = silence();
    for (uint32_t i = 0; i < 4 * 32; i++) {
        pthread_t other;
        *fields[i / 32] ^= 1u << i % 32;
        granary_free(p);
        pthread_create(&other, NULL, free_it, p);
        pthread_join(other, NULL);
        *fields[i / 32] ^= 1u << i % 32;
    }
    for (uint32_t bit = 0; bit < 16; bit++) { // leads in front of all records: it is a low frame
        arena->back ^= 1u << bit;
        granary_free(p);
        arena->back ^= 1u << bit;
    }
    speak(saved);
    assert_int_equal(granary_reports - before, 2 * 4 * 32 + 16);
    give(p);
    assert_int_equal(granary_reports - before, 2 * 4 * 32 + 16);
    assert_int_equal(heap_check(), 0);
}

// A system that has no membarrier(), as old ones and some sandboxes: of this process and what it
// becomes (seccomp(2)).
static void without_barrier(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void every_arena_is_marked_where_there_is_no_barrier(void **state) {
    (void)state;
    assert_int_equal(k_heap.owners->marks, getenv("WITHOUT_BARRIER") != NULL);
}

// race_owners [RACES [PAIRS]]: all of it twice, the second time without membarrier().
int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_race_is_refused_once),
        cmocka_unit_test(a_late_double_free_is_refused_at_the_call),
        cmocka_unit_test(no_right_call_is_refused),
        cmocka_unit_test(a_record_with_a_flipped_bit_is_refused),
        cmocka_unit_test(every_arena_is_marked_where_there_is_no_barrier),
    };
    races = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : RACES_DEFAULT;
    pairs = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
    if (!getenv("GRANARY_WINDOW")) { // read before main()
        setenv("GRANARY_WINDOW", "64M", 1);
        execv("/proc/self/exe", argv);
    }
    if (pairs == 0 || pairs > PAIRS_MAX) return 2;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed || getenv("WITHOUT_BARRIER")) return failed;
    fflush(NULL);
    setenv("WITHOUT_BARRIER", "1", 1);
    without_barrier();
    execv("/proc/self/exe", argv);
    return 2;
}
