// probe.c - does an allocator clear what it hands out, and what does it say to a wrong free?
//
//   probe zero       for a few sizes: is the old content there when a freed block is handed out
//                    again?
//   probe whose      the file that malloc comes from: a library that cannot be preloaded is
//                    ignored, and the C library's figures would pass for its
//   probe reserve    one block of every size up to 16 KiB, freed before the next: what a heap of
//                    size classes holds then is what it keeps ready, one block's worth a class.
//                    Before that many of each, since a heap may keep more of what was used more
//   probe misuse     commits each wrong free in a child of its own, and tells what came of it
//
// One line each: `heap=PATH`, `size=N again=yes|no old=BYTES` and `misuse=NAME outcome=WORD`.
// Outcomes:
//
//   refused   the call returned, a message was written, and the heap still works
//   aborted   the process was ended, with a message or with SIGABRT
//   crashed   SIGSEGV and the like: the pointer was followed
//   silent    the call returned, nothing was said, and the test found no harm at once
//   harmed    nothing was said, and the heap then gave out one block twice, or one inside
//             another, or one in memory that is not the heap's, or hung
//
// This program makes the mistakes on purpose; its blocks are volatile so that no compiler sees
// them.
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"

#define LATER 1024u    // allocations after a wrong free that look for its harm
#define HANG_MS 3000   // a child that is silent for so long has hung
#define EXIT_HARMED 77 // what a child says

// ---- zero
// ----------------------------------------------------------------------------------------

#define OLD 0xa5
#define AGAIN 20000u // blocks

// Fills a block, frees it, and asks for as much until that memory comes back: some allocators hand
// out what is fresh first.
static void probe_zero(size_t size) {
    unsigned char *volatile p = malloc(size);
    if (p == NULL) fail("no memory for %zu bytes", size);
    memset(p, OLD, size);
    volatile uintptr_t was = (uintptr_t)p;
    free(p);
    for (uint32_t i = 0; i < AGAIN; i++) {
        unsigned char *volatile q = malloc(size);
        if (q == NULL) fail("no memory for %zu bytes", size);
        if ((uintptr_t)q >= was + size || was >= (uintptr_t)q + size) continue;
        size_t old = 0;
        for (size_t k = 0; k < size; k++) {
            // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): what is in it?
            old += q[k] == OLD;
        }
        printf("size=%zu again=yes old=%zu\n", size, old);
        return;
    }
    printf("size=%zu again=no old=0\n", size);
}

// ---- reserve
// -------------------------------------------------------------------------------------

#define RESERVE_MAX 16384u
#define RESERVE_STEP 16u

#define RESERVE_BLOCKS 600
#define RESERVE_ROUNDS 10

static void many(size_t size) {
    static char *volatile block[RESERVE_BLOCKS];
    for (int i = 0; i < RESERVE_BLOCKS; i++) {
        block[i] = malloc(size);
        if (block[i] == NULL) fail("no memory for %zu bytes", size);
    }
    for (int i = 0; i < RESERVE_BLOCKS; i++) free(block[i]);
}

// One at a time: what is kept then is what a freed block's arena leaves, not what many blocks need.
static void probe_reserve(void) {
    for (int round = 0; round < RESERVE_ROUNDS; round++) {
        for (size_t size = RESERVE_STEP; size <= RESERVE_MAX; size += RESERVE_STEP) many(size);
    }
    for (size_t size = RESERVE_STEP; size <= RESERVE_MAX; size += RESERVE_STEP) {
        char *volatile p = malloc(size);
        if (p == NULL) fail("no memory for %zu bytes", size);
        free(p);
    }
}

// ---- misuse
// --------------------------------------------------------------------------------------

static char data[256] __attribute__((aligned(64))) = {1};
static char *victim;        // a live block that no later one may touch
static size_t victim_size;  // bytes
static const char *foreign; // where no block may ever be, or NULL
static size_t foreign_size; // bytes

// NOLINTBEGIN(clang-analyzer-unix.Malloc): every one of them is meant
//
// The pointers pass through here: volatile, or the compiler would warn of what is done on purpose.
static void release(void *p) {
    void *volatile hidden = p;
    free(hidden);
}

static char *obtain(size_t size) {
    char *volatile p = malloc(size);
    if (p == NULL) fail("no memory for %zu bytes", size);
    memset(p, 1, size);
    return p;
}

// The plainest of all, with the first free's effects as fresh as can be.
static void double_free_of(size_t size) {
    char *p = obtain(size);
    char *other = obtain(size); // keeps the arena in use
    release(p);
    release(p);
    (void)other;
}

static void double_free_small(void) { double_free_of(48); }
static void double_free_large(void) { double_free_of(300000); }

// The other free is what glibc's first check does not see: the block is no longer the newest.
static void double_free_late(void) {
    char *p = obtain(48);
    char *q = obtain(48);
    release(p);
    release(q);
    release(p);
}

// The block stays live: if the heap takes the inner pointer for a block, it will hand out memory
// that the victim holds.
static void interior_at(size_t size, size_t offset) {
    victim = obtain(size);
    victim_size = size;
    release(victim + offset);
}

static void interior_small(void) { interior_at(48, 16); }
static void interior_odd(void) { interior_at(48, 5); }
static void interior_large(void) { interior_at(300000, 4096); }

// Zeros and ones where a heap with headers looks for one.
static void not_the_heaps(void) {
    foreign = data;
    foreign_size = sizeof data;
    release(data + 64);
}

static void on_the_stack(void) {
    char local[256];
    memset(local, 1, sizeof local);
    foreign = local;
    foreign_size = sizeof local;
    release(local + 64);
}

// Free blocks around it, so that the pointer looks right but was never handed out or is back.
static void never_handed_out(void) {
    char *p = obtain(48);
    release(p + 64 * 48);
}

// NOLINTEND(clang-analyzer-unix.Malloc)

struct misuse {
    const char *name;
    void (*commit)(void);
};

static const struct misuse misuses[] = {
    {"double-free-small", double_free_small}, {"double-free-late", double_free_late},
    {"double-free-large", double_free_large}, {"interior-small", interior_small},
    {"interior-odd", interior_odd},           {"interior-large", interior_large},
    {"not-heap-data", not_the_heaps},         {"not-heap-stack", on_the_stack},
    {"never-handed-out", never_handed_out},
};

static bool overlap(const char *a, size_t a_size, const char *b, size_t b_size) {
    return a != NULL && b != NULL && a < b + b_size && b < a + a_size;
}

// Asks for blocks after the deed; two of them, or one and the victim, must not share a byte.
static bool heap_is_harmed(void) {
    static char *got[LATER];
    static const size_t sizes[] = {48, 32, 48, 300000};
    for (uint32_t i = 0; i < LATER; i++) {
        size_t size = sizes[i % 4];
        got[i] = malloc(size);
        if (got[i] == NULL || overlap(got[i], size, victim, victim_size)) return true;
        if (overlap(got[i], size, foreign, foreign_size)) return true;
        for (uint32_t k = 0; k < i; k++) {
            if (overlap(got[i], size, got[k], sizes[k % 4])) return true;
        }
    }
    return false;
}

// Reads the child's standard error until it ends. Returns the bytes read, or -1 if it hung.
static ssize_t listen_to(int pipe_end) {
    char text[512];
    ssize_t total = 0;
    struct pollfd ready = {.fd = pipe_end, .events = POLLIN};
    while (poll(&ready, 1, HANG_MS) == 1) {
        ssize_t got = read(pipe_end, text, sizeof text);
        if (got <= 0) return total;
        total += got;
    }
    return -1;
}

// In order of what it means for a user: a hang and two owners of a block are harm, whatever was
// written.
static const char *outcome(int status, ssize_t said) {
    if (said < 0) return "harmed";
    if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        return number == SIGABRT || number == SIGTRAP || said > 0 ? "aborted" : "crashed";
    }
    if (WEXITSTATUS(status) == EXIT_HARMED) return "harmed";
    if (WEXITSTATUS(status) != 0) return "aborted";
    return said > 0 ? "refused" : "silent";
}

static void probe_misuse(const struct misuse *misuse) {
    int ends[2];
    if (pipe(ends) != 0) fail("no pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child < 0) fail("cannot fork");
    if (child == 0) {
        // What the heap says goes through the pipe; that it says anything is what counts.
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        misuse->commit();
        _exit(heap_is_harmed() ? EXIT_HARMED : 0);
    }
    close(ends[1]);
    ssize_t said = listen_to(ends[0]);
    if (said < 0) kill(child, SIGKILL); // hung: it will not end by itself
    int status = 0;
    waitpid(child, &status, 0);
    close(ends[0]);
    dprintf(STDOUT_FILENO, "misuse=%s outcome=%s\n", misuse->name, outcome(status, said));
}

int main(int argc, char **argv) {
    const char *mode = argc == 2 ? argv[1] : "";
    if (strcmp(mode, "zero") == 0) {
        static const size_t sizes[] = {64, 1000, 5000, 50000};
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            probe_zero(sizes[i]);
        }
    } else if (strcmp(mode, "misuse") == 0) {
        for (size_t i = 0; i < sizeof misuses / sizeof misuses[0]; i++) {
            probe_misuse(&misuses[i]);
        }
    } else if (strcmp(mode, "reserve") == 0) {
        probe_reserve();
    } else if (strcmp(mode, "whose") == 0) {
        Dl_info found;
        if (!dladdr(dlsym(RTLD_DEFAULT, "malloc"), &found)) fail("malloc comes from nowhere");
        printf("heap='%s'\n", found.dli_fname);
    } else {
        fail("usage: probe whose|zero|reserve|misuse");
    }
    return 0;
}
