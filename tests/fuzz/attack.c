// attack.c - random programs that misbehave, and what the allocator under them hands out.
//
//   attack ACTIONS [SEED [THREADS]]     with an allocator in LD_PRELOAD, or the C library's own
//
// What only it can find: what an allocator hands out once a program has written where it may not.
//
// A run is a fresh process that allocates, frees, writes past the end of blocks, writes to freed
// blocks, frees twice and frees addresses inside blocks. What it writes there is what an attacker
// would: addresses of a target that the allocator must never hand out, plain and as glibc encodes
// its links, sizes that look like a header's, numbers. The allocator may refuse, ignore or abort;
// what it must not do is
//
//   overlap      hand out a block that shares a byte with one that is live
//   wild         hand out an address that is not its own: inside the target, in this program's
//                books or code, on its stack, or where no memory is mapped
//
// This is the method of ArcHeap (I. Yun, D. Kapil, T. Kim, "Automatic Techniques to Systematically
// Discover New Heap Exploitation Primitives", USENIX Security 2020), without its search for the
// shortest program.
//
// With THREADS, as many take turns, for a few actions each: what one allocates, another frees,
// twice or inside, and writes to. One at a time, as a wrong free is one only as long as no other
// thread is being handed that block.
//
// Books: everything the program knows of its blocks lies in one shared mapping, out of reach of an
// overflow. A pointer counts as live from malloc() until the first free() of it, by whatever name.
//
// A run ends with its first overlap or wild pointer, at RUN_ACTIONS, or when the process dies; the
// next one starts with the next seed. The same seed makes the same program; what it finds also
// depends on where the system puts the heap.
//
// Shortcoming: a process that dies of its own late write to an unmapped page counts as crashed,
// though the allocator did nothing wrong.
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_ACTIONS 500u
#define SLOTS 48u       // pointers that a run remembers, live or freed
#define OVERFLOW_MAX 64 // bytes written past an end: a neighbour's header and first words
#define SMALL_MAX 1100u // a larger one may end at an unmapped page: nothing is written after it
#define RUN_SECONDS 1   // of processor time: an allocator that loops on broken lists is stopped
#define THREADS_MAX 16u
#define TURN_MAX 16u // actions of a thread before another's turn

struct slot {
    char *p; // NULL: never used
    size_t size;
    bool live;
};

enum outcome { RUNNING, DONE, OVERLAP, WILD };

// Shared with the process of a run.
struct books {
    struct slot slot[SLOTS];
    uint64_t actions;
    enum outcome outcome;
};
static struct books *books;

// Looks like a row of chunk headers to an allocator that believes what it finds.
static uintptr_t target[512] __attribute__((aligned(4096)));

static uint64_t state; // of the generator: xorshift64*, S. Vigna, 2016

static uint64_t next(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1du;
}

static uint64_t below(uint64_t n) { return (next() >> 16) % n; }

static size_t any_size(void) {
    static const size_t usual[] = {16, 24, 32, 48, 64, 100, 128, 200, 256, 512, 1000, 1024};
    uint64_t kind = below(20);
    if (kind == 0) return 2000 + below(150000);
    if (kind < 5) return 1 + below(SMALL_MAX - 1);
    return usual[below(sizeof usual / sizeof usual[0])]; // few, so that freed blocks come back soon
}

static struct slot *any_slot(void) { return &books->slot[below(SLOTS)]; }

// A slot that is live, or was: NULL if a few tries find none.
static struct slot *find_slot(bool live) {
    for (int tries = 0; tries < 8; tries++) {
        struct slot *slot = any_slot();
        if (slot->p && slot->live == live) return slot;
    }
    return NULL;
}

// ---- what an allocator must not hand out --------------------------------------------------------

static bool touches(uintptr_t p, size_t size, const void *area, size_t length) {
    uintptr_t start = (uintptr_t)area;
    return p < start + length && start < p + size;
}

static bool unmapped(uintptr_t p) {
    unsigned char in_core;
    return mincore((void *)(p & ~(uintptr_t)4095), 1, &in_core) != 0 && errno == ENOMEM;
}

static bool is_wild(uintptr_t p, size_t size) {
    extern char __executable_start, end; // from the linker: this program's first and last byte
    char here;
    uintptr_t image = (uintptr_t)&__executable_start;
    return touches(p, size, target, sizeof target) || touches(p, size, books, sizeof *books) ||
           touches(p, size, &__executable_start, (uintptr_t)&end - image) ||
           touches(p, size, &here, 4096) || unmapped(p) || unmapped(p + size - 1);
}

static bool overlaps(uintptr_t p, size_t size) {
    for (uint32_t i = 0; i < SLOTS; i++) {
        const struct slot *slot = &books->slot[i];
        if (slot->p && slot->live && touches(p, size, slot->p, slot->size)) return true;
    }
    return false;
}

static void look_at(uintptr_t p, size_t size) {
    if (is_wild(p, size)) books->outcome = WILD;
    else if (overlaps(p, size)) books->outcome = OVERLAP;
}

// ---- actions ------------------------------------------------------------------------------------

static void keep(struct slot *slot, char *p, size_t size) {
    look_at((uintptr_t)p, size);
    if (books->outcome != RUNNING) return;
    *slot = (struct slot){p, size, true};
    memset(p, (int)below(256), size < 64 ? size : 64);
}

static void allocate(void) {
    struct slot *slot = any_slot();
    if (slot->p && slot->live) return; // a live one is never forgotten
    size_t size = any_size();
    char *p = malloc(size);
    if (p) keep(slot, p, size);
}

static void release(void) {
    struct slot *slot = find_slot(true);
    if (!slot) return;
    slot->live = false;
    free(slot->p);
}

static void resize(void) {
    struct slot *slot = find_slot(true);
    if (!slot) return;
    size_t size = any_size();
    slot->live = false; // it is the allocator's while the call lasts
    char *p = realloc(slot->p, size);
    if (p) keep(slot, p, size);
    else slot->live = true;
}

// The same address once more, unless it has been handed out again: that would be a right free.
static void release_twice(void) {
    struct slot *slot = find_slot(false);
    if (!slot || overlaps((uintptr_t)slot->p, 1)) return;
    free(slot->p);
}

static void release_inside(void) {
    struct slot *slot = find_slot(true);
    if (slot && slot->size > 16) free(slot->p + 16 * (1 + below((slot->size - 1) / 16)));
}

// A word for `where`: what an attacker would write who knows the allocator.
static uintptr_t crafted(const void *where) {
    uintptr_t aim = (uintptr_t)&target[2 * below(200)];
    const struct slot *slot = any_slot();
    switch (below(6)) {
    case 0: return aim;
    case 1: return aim ^ (uintptr_t)where >> 12; // glibc's encoding of links since 2.32
    case 2: return 0x10 * (1 + below(70)) | 1;   // a size, and "the block before is in use"
    case 3: return (uintptr_t)slot->p;
    case 4: return below(4);
    default: return next();
    }
}

static void write_words(char *to, size_t bytes) {
    for (size_t at = 0; at + sizeof(uintptr_t) <= bytes; at += sizeof(uintptr_t)) {
        uintptr_t word = crafted(to + at);
        memcpy(to + at, &word, sizeof word);
    }
}

static void write_past_the_end(void) {
    const struct slot *slot = find_slot(true);
    if (!slot || slot->size > SMALL_MAX) return;
    write_words(slot->p + slot->size, 8 + below(OVERFLOW_MAX - 7));
}

static void write_late(void) {
    const struct slot *slot = find_slot(false);
    if (slot && slot->size <= SMALL_MAX) write_words(slot->p, slot->size < 32 ? slot->size : 32);
}

static void act(void) {
    uint64_t kind = below(100);
    if (kind < 42) allocate();
    else if (kind < 66) release();
    else if (kind < 70) resize();
    else if (kind < 80) write_past_the_end();
    else if (kind < 90) write_late();
    else if (kind < 96) release_twice();
    else release_inside();
}

// ---- runs ---------------------------------------------------------------------------------------

static uint32_t threads = 1;
static sem_t turn[THREADS_MAX], over;

// False at the run's end.
static bool act_some(uint64_t count) {
    for (; count > 0 && books->actions < RUN_ACTIONS && books->outcome == RUNNING; count--) {
        books->actions++;
        act();
    }
    return books->actions < RUN_ACTIONS && books->outcome == RUNNING;
}

// It does not end: what belongs to a thread may have been written over, too.
static void *take_turns(void *argument) {
    sem_t *mine = argument;
    for (;;) {
        sem_wait(mine);
        sem_post(act_some(1 + below(TURN_MAX)) ? &turn[below(threads)] : &over);
    }
    return NULL;
}

// The process of one run: `seed` is its program. Reports of the allocator are not wanted here.
static void run(uint64_t seed) {
    state = seed * 0x9e3779b97f4a7c15u + 1;
    if (!freopen("/dev/null", "w", stderr)) _exit(2);
    struct rlimit limit = {RUN_SECONDS, RUN_SECONDS};
    setrlimit(RLIMIT_CPU, &limit);
    alarm(10 * RUN_SECONDS); // or one that waits for ever
    if (threads == 1) {
        act_some(RUN_ACTIONS);
    } else {
        pthread_t thread;
        sem_init(&over, 0, 0);
        for (uint32_t i = 0; i < threads; i++) sem_init(&turn[i], 0, 0);
        for (uint32_t i = 0; i < threads; i++) {
            if (pthread_create(&thread, NULL, take_turns, &turn[i]) != 0) _exit(2);
        }
        sem_post(&turn[0]);
        sem_wait(&over);
    }
    if (books->outcome == RUNNING) books->outcome = DONE;
    _exit(0);
}

struct tally {
    uint64_t actions, runs, overlaps, wild, aborted, crashed;
};

// False if no process can be had.
static bool one_run(uint64_t seed, struct tally *tally) {
    memset(books, 0, sizeof *books);
    pid_t child = fork();
    if (child == 0) run(seed);
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child) return false;
    tally->runs++;
    tally->actions += books->actions;
    tally->overlaps += books->outcome == OVERLAP;
    tally->wild += books->outcome == WILD;
    if (books->outcome == RUNNING) { // it died on the way
        bool aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
        tally->aborted += aborted;
        tally->crashed += !aborted;
    }
    return true;
}

int main(int argc, char **argv) {
    uint64_t actions = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    threads = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 1;
    if (actions == 0 || threads == 0 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: attack ACTIONS [SEED [THREADS]], of 1 to %u\n", THREADS_MAX);
        return 2;
    }
    books = mmap(NULL, sizeof *books, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (books == MAP_FAILED) return perror("attack: mmap"), 2;
    for (size_t i = 0; i < sizeof target / sizeof target[0]; i++) target[i] = i % 2 ? 0x41 : 0;
    struct tally tally = {0};
    while (tally.actions < actions) {
        if (!one_run(seed++, &tally)) return perror("attack: fork"), 2;
    }
    printf("attack: actions=%" PRIu64 " runs=%" PRIu64 " overlaps=%" PRIu64 " wild=%" PRIu64
           " aborted=%" PRIu64 " crashed=%" PRIu64 "\n",
           tally.actions, tally.runs, tally.overlaps, tally.wild, tally.aborted, tally.crashed);
    return 0;
}
