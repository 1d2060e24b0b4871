// bugs_processors.c - the museum's fourth room: two processors at one block. See bugs.h.
//
// Two threads do each exhibit, on two processors where the machine has two. They wait for each
// other at the place where the mistake is made, so that it is made each time, and with one
// processor as well: there a tick at that place would do the same.
#include <stddef.h>

#include "kernel/memory.h"
#include "kernel/museum/bugs.h"
#include "lib/print.h"

static bool room_fixed; // the twin

// ---- a lost remote free -------------------------------------------------------------------------

// A heap in which only the owner of a block frees it: the others send it back. The blocks are their
// own letters.
#define LETTERS 10 // each

struct letter {
    struct letter *next;
};

static struct letter *volatile mailbox;
static struct letter *letters[2][LETTERS]; // better memory than the fault's: it must clean up

// Read the first, put the new one before it. With plain instructions, two that have read the same
// first one both write, and the one that wrote before is forgotten, with all that only it
// leads to.
static void send_back(struct letter *letter, uint32_t times) {
    struct letter *first = mailbox;
    letter->next = first;
    bugs_meet(times);
    if (!room_fixed) mailbox = letter;
    // Only if it is still the first; else `first` is the new one, and once more.
    while (room_fixed && !__atomic_compare_exchange_n(&mailbox, &first, letter, false,
                                                      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        letter->next = first;
    }
}

static int send_all_back(void *argument) {
    struct letter **mine = letters[(uintptr_t)argument];
    for (uint32_t i = 0; i < LETTERS; i++) send_back(mine[i], i + 1);
    return 0;
}

static void forget(const struct letter *letter) {
    for (uint32_t i = 0; i < 2 * LETTERS; i++) {
        if (letters[i / LETTERS][i % LETTERS] == letter) letters[i / LETTERS][i % LETTERS] = NULL;
    }
}

// The owner frees what has come. How many.
static uint32_t open_mailbox(void) {
    uint32_t came = 0;
    for (struct letter *letter = mailbox, *next; letter; letter = next, came++) {
        next = letter->next;
        forget(letter);
        sys_free(letter);
    }
    return came;
}

static bool lost_remote_free(bool fixed) {
    bool made = true;
    for (uint32_t i = 0; i < 2 * LETTERS; i++) {
        struct letter *letter = letters[i / LETTERS][i % LETTERS] = sys_malloc(sizeof *letter);
        made = made && letter;
    }
    mailbox = NULL;
    room_fixed = fixed;
    bool sent = made && bugs_run_two(send_all_back);
    uint32_t came = sent ? open_mailbox() : 0;
    for (uint32_t i = 0; i < 2 * LETTERS; i++) sys_free(letters[i / LETTERS][i % LETTERS]);
    if (!sent) return false;
    kprintf("bug: %d blocks were sent back to their owner, and %u came\n", 2 * LETTERS, came);
    return fixed ? came == 2 * LETTERS : came < 2 * LETTERS;
}

// ---- a double free from two processors ----------------------------------------------------------

static void *volatile session; // NULL: closed
static volatile uint32_t went_on;

// Each looks whether it is open still. Both find that it is.
static int close_session(void *argument) {
    void *p = session;
    if (!p) return 0;
    __atomic_add_fetch(&went_on, 1, __ATOMIC_SEQ_CST);
    bugs_meet(1);
    if (room_fixed) p = __atomic_exchange_n(&session, NULL, __ATOMIC_SEQ_CST);
    else session = NULL;
    sys_free(p);  // the twin's second gets NULL here
    bugs_meet(2); // until the report has named both
    return 0;
}

static bool racing_free(bool fixed) {
    void *p = session = sys_malloc(100);
    went_on = 0;
    room_fixed = fixed;
    if (!p) return false;
    if (!bugs_run_two(close_session)) {
        if (session) sys_free(p);
        return false;
    }
    return went_on == 2;
}

const struct bug processor_bugs[] = {
    {29,
     "lost-remote-free",
     "two send back blocks to their owner, and half are lost",
     lost_remote_free,
     {HEAP_OK, HEAP_OK, HEAP_OK},
     false},
    {30,
     "racing-free",
     "two look whether a block is in use, and both free it",
     racing_free,
     {HEAP_DOUBLE_FREE, HEAP_DOUBLE_FREE, HEAP_DOUBLE_FREE},
     false},
};
const uint32_t processor_bug_count = sizeof processor_bugs / sizeof processor_bugs[0];
