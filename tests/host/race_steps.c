// race_steps.c - another thread frees at any instruction of a thread's calls, rightly and wrongly.
//
// What only it can find: a free that falls between two instructions which hold only together: a
// block that is lost or handed out twice, a wrong free that is not refused, a right one that is.
// The model (tests/model/owners.pml) looks at the design, with the processor's store buffers; this
// at the code that the compiler made, one thread standing still.
//
// Each wrong free is refused at the call, but the one of a block whose owner is just freeing it:
// then it is either of the two, and the report may come when the owner collects.
#include "kernel/inspect/heapcheck.h"
#include "tests/host/steps_host.h"

#define EVERY_DEFAULT 53u // each trial takes a thread of its own

static uint32_t wanted, missing; // reports in all; at their call
static uint32_t met;             // blocks that were just being freed

static void free_wrongly(void *p) {
    uint32_t before = granary_reports;
    granary_free(p);
    wanted++;
    missing += granary_reports == before;
}

// The next one that the thread has and is not about to free.
static struct slot *some_slot(void) {
    static uint32_t at;
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct slot *slot = &slots[at++ % SLOTS];
        if (slot->p && !slot->moving) return slot;
    }
    return NULL;
}

static struct slot *giving_slot(void) {
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (slots[i].giving) return &slots[i];
    }
    return NULL;
}

// Rightly, and once more.
static void free_one(void) {
    struct slot *slot = some_slot();
    if (!slot) return;
    void *p = slot->p;
    not_whole += !holds(slot->p, slot->size, content(slot));
    granary_free(p);
    slot->p = NULL;
    free_wrongly(p);
}

static void free_what_is_being_freed(void) {
    struct slot *slot = giving_slot();
    if (!slot) return;
    granary_free(slot->p);
    slot->giving = false; // once
    wanted++;
    met++;
}

static void free_what_was_freed(void) {
    if (freed) free_wrongly(freed);
}

// Blocks of this thread's own, so that its arenas and the pool change, too.
static uint8_t *own[4];
#define OWN_SIZE 1008u

static void take_some(void) {
    for (uint32_t i = 0; i < 4; i++) {
        own[i] = granary_malloc(OWN_SIZE);
        memset(own[i], (int)(0xc0 + i), OWN_SIZE);
    }
}

static void take_none(void) {
    for (uint32_t i = 0; i < 4; i++) {
        not_whole += own[i] && !holds(own[i], OWN_SIZE, (uint8_t)(0xc0 + i));
        granary_free(own[i]);
        own[i] = NULL;
    }
}

static uint8_t *freed_before; // by this thread

static void free_again(void) { free_wrongly(freed_before); }

static void (*meddle)(void); // one of these

// ---- a trial for each instruction ---------------------------------------------------------------

// Arenas are opened, a word is used up and the next one taken, a full arena has room again.
static void *work_of_two_sizes(void *unused) {
    work_begins();
    steps_done = true;
    fill(20, 200);
    freed_before = slots[9].p; // the last: what is taken below are the first ones
    for (uint32_t i = 0; meddle == free_again && i < 10; i++) slots[i].moving = true;
    stop(ASKS);
    steps_done = false;
    get(&slots[20], 200);
    put(&slots[13]);
    put(&slots[20]);
    for (uint32_t i = 21; i < 26; i++) get(&slots[i], 1008);
    for (uint32_t i = 21; i < 26; i++) put(&slots[i]);
    get(&slots[21], 70000);
    put(&slots[21]);
    get(&slots[13], 200);
    steps_done = true;
    return unused;
}

// No size is foreign any more, as if none had ever been: there are no arenas now.
static void forget(void) {
    struct owners *all = k_heap.owners;
    for (uint32_t i = 0; i < all->count; i++) {
        for (uint32_t j = 0; j < k_heap.desc_count; j++)
            all->owner[i].front[j].foreign = all->marks;
    }
}

static int spoke; // standard error, while nothing is said

// All is well, and nothing is held.
static void look(uint32_t before) {
    for (uint32_t i = 0; i < SLOTS; i++) {
        granary_free(slots[i].p);
        slots[i].p = NULL;
    }
    take_none();
    granary_malloc_trim(0);
    bool good = not_whole == 0 && missing == 0 && granary_reports - before == wanted &&
                heap_check() == 0 && k_heap.small_frames + k_heap.large_frames == 0;
    if (good) return;
    speak(spoke);
    fail_msg("at %#lx (addr2line), the %u-th: %u blocks overwritten, %u wrong frees not refused at "
             "their call, %u of %u reports",
             (unsigned long)stopped_at, due, not_whole, missing, granary_reports - before, wanted);
}

// At one instruction of one call. False if the call has fewer.
static bool trial(uint32_t call, uint32_t number) {
    uint32_t before = granary_reports;
    wanted = missing = not_whole = 0;
    only_call = call;
    due = number;
    steps_run(work_of_two_sizes, meddle);
    look(before);
    return steps == number;
}

static uint32_t every; // one instruction of so many

// Of each kind of frees, one at each instruction of a thread for itself.
static void frees_at_each_instruction(bool first) {
    static void (*const kinds[])(void) = {free_one, free_what_is_being_freed, free_what_was_freed,
                                          take_some, free_again};
    uint32_t trials = 0, call = 0;
    spoke = silence();
    met = 0;
    for (uint32_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        meddle = kinds[kind];
        call = 0;
        do {
            uint32_t number = 1 + ++call * 7 % every;
            for (; trial(call, number); number += every) {
                trials++;
                if (first) forget();
            }
        } while (calls >= call);
    }
    speak(spoke);
    print_message(
        "race_steps: %u trials in %u calls, %u of them while that block was being freed\n", trials,
        call - 1, met);
    assert_true(trials > 4000 / every && met > 200 / every);
}

static void are_exact_where_no_other_has_freed_before(void **unused) {
    (void)unused;
    frees_at_each_instruction(true);
}

static void are_exact_where_others_free(void **unused) {
    (void)unused;
    frees_at_each_instruction(false);
}

// race_steps [EVERY]: all of it twice, the second time without membarrier().
int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_exact_where_no_other_has_freed_before),
        cmocka_unit_test(are_exact_where_others_free),
    };
    every = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : EVERY_DEFAULT;
    owners_window(argv);
    if (every == 0) return 2;
    return owners_again(argv, cmocka_run_group_tests(tests, NULL, NULL));
}
