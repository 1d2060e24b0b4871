// race_fork.c - fork() while another thread is in the middle of a call, at any of its instructions.
//
// What only it can find: a child whose heap has a block in two lists or in none, because the thread
// that was about to change the second is not there any more; frames that no one has.
//
// The child takes over what the thread had: its blocks hold what it wrote, new ones are no one's,
// each is freed without a report, and in the end no frame is held.
//
// Linked with all of libgranary, whose malloc() and free() carry a granary_ in front.
#include <sys/wait.h>

#include "kernel/inspect/heapcheck.h"
#include "tests/host/steps_host.h"

#define DUE_DEFAULT 97u

static uint32_t forks;

// ---- the thread -------------------------------------------------------------------------------

static void grow(struct slot *slot, size_t size) {
    freed = NULL;
    slot->moving = true;
    steps_begin();
    uint8_t *p = granary_realloc(slot->p, size);
    steps_end();
    memset(p, content(slot), size);
    slot->p = p;
    slot->size = size;
    slot->moving = false;
}

static void trim(void) {
    steps_begin();
    granary_malloc_trim(0);
    steps_end();
}

// Each second one, and then the rest: arenas were opened, carved and full, and are not full any
// more, at home, and closed.
static void empty(uint32_t count) {
    for (uint32_t i = 0; i < 2 * count; i++) put(&slots[i < count ? i | 1 : i - count]);
}

// The main thread frees each third of them.
static void let_free(uint32_t count) {
    for (uint32_t i = 0; i < count; i += 3) slots[i].moving = slots[i].p != NULL;
    stop(ASKS);
}

static void *work_of_all_kinds(void *unused) {
    work_begins();
    fill(20, 1008); // an owner, arenas of it, and pages
    empty(20);
    fill(20, 80);   // guests, and a front of their own
    fill(50, 2000); // so many frames that arenas are watched from here on
    empty(50);
    trim();
    for (uint32_t round = 0; round < 2; round++) {
        fill(70, 200); // and where another frees, words are claimed and collected
        let_free(70);
        fill(80, 200);
        empty(80);
    }
    get(&slots[0], 20000);
    grow(&slots[0], 300000);
    get(&slots[1], 40000);
    put(&slots[0]);
    grow(&slots[1], 30000);
    fill(30, 1008);
    steps_begin();
    return unused;
}

// ---- the child ----------------------------------------------------------------------------------

#define CHILD_SECONDS 20u // it takes some milliseconds

enum outcome { SOUND, NO_BLOCK, OVERLAP, REPORTED, BROKEN, FRAMES_HELD };
static const char *const outcome_names[] = {"sound",
                                            "no block",
                                            "a block is another's, too",
                                            "a right free was reported",
                                            "heap_check() finds invariants broken",
                                            "frames are held"};

static bool slots_hold(void) {
    for (uint32_t i = 0; i < SLOTS; i++) {
        const struct slot *slot = &slots[i];
        if (slot->p && !slot->moving && !holds(slot->p, slot->size, content(slot))) return false;
    }
    return true;
}

#define NEW 40u
static const size_t new_sizes[] = {80, 200, 1008, 2000, 20000};

// An owner that was left, or was that thread's, is of use: it has blocks, and they are its own.
static enum outcome owner_works(struct owner *one) {
    uint8_t *p[NEW];
    for (uint32_t which = 0; which < sizeof new_sizes / sizeof *new_sizes; which++) {
        size_t size = new_sizes[which];
        uint32_t count = size > 2000 ? 2 : NEW;
        for (uint32_t i = 0; i < count; i++) {
            p[i] = shared_malloc(one, size);
            if (!p[i]) return NO_BLOCK;
            memset(p[i], (int)(0x80 + i), size);
        }
        bool good = slots_hold();
        for (uint32_t i = 0; i < count; i++) {
            good = holds(p[i], size, (uint8_t)(0x80 + i)) && good;
            shared_free(&k_heap, one, (uintptr_t)p[i], 0);
        }
        if (!good) return OVERLAP;
    }
    return SOUND;
}

// Frames that a block may hold about which a call was under way: it is free or live.
static uint32_t moving_frames(void) {
    for (uint32_t i = 0; i < SLOTS; i++) {
        size_t size = slots[i].size;
        if (slots[i].moving) return size > k_heap.block_max ? UINT32_MAX : ARENA_FRAMES_MAX;
    }
    return 0;
}

static enum outcome child(void) {
    uint32_t before = granary_reports, count = k_heap.owners->count;
    struct owner *one, *all = NULL;
    if (!slots_hold()) return OVERLAP;
    while (k_heap.owners->count == count && (one = owner_take(&k_heap, OWNERS_MAX))) {
        one->next_idle = all;
        all = one;
    }
    for (one = all; one; one = one->next_idle) {
        enum outcome outcome = owner_works(one);
        if (outcome != SOUND) return outcome;
    }
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (slots[i].p && !slots[i].moving) granary_free(slots[i].p);
    }
    if (heap_check() != 0) return BROKEN;
    while ((one = all)) {
        all = one->next_idle;
        owner_leave(one);
    }
    granary_malloc_trim(0);
    if (granary_reports != before) return REPORTED;
    if (heap_check() != 0) return BROKEN;
    return k_heap.small_frames + k_heap.large_frames > moving_frames() ? FRAMES_HELD : SOUND;
}

static void fork_here(void) {
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        _exit((int)child());
    }
    if (pid > 0) waitpid(pid, &status, 0);
    forks++;
    if (status == 0) return;
    bool told = WIFEXITED(status) && WEXITSTATUS(status) <= FRAMES_HELD;
    fail_msg("at %#lx (addr2line), the %u-th of them: %s", (unsigned long)stopped_at, steps,
             told ? outcome_names[WEXITSTATUS(status)] : "the child did not end by itself");
}

static void a_child_has_the_heap_of_a_thread_that_was_in_a_call(void **unused) {
    steps_run(work_of_all_kinds, fork_here);
    assert_true(steps > 20000 && forks == steps / due);
    for (uint32_t i = 0; i < SLOTS; i++) granary_free(slots[i].p);
    granary_malloc_trim(0);
    assert_int_equal(k_heap.small_frames + k_heap.large_frames, 0);
    print_message("race_fork: %u instructions, %u forks\n", steps, forks);
}

// race_fork [DUE]: all of it twice, the second time without membarrier().
int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_has_the_heap_of_a_thread_that_was_in_a_call),
    };
    due = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : DUE_DEFAULT;
    owners_window(argv);
    if (due == 0) return 2;
    return owners_again(argv, cmocka_run_group_tests(tests, NULL, NULL));
}
