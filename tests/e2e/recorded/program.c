// program.c - what the recorder of traces is tried on: it knows exactly what it asked of the heap,
// and says so.
//
//     program WAY [argument]
//
// Every block's size leaves 37 if divided by 64, as no block of the C library's does; so the test
// can tell the program's own operations from those that printf() or a new thread makes. The counts
// are those of a trace: aligned calls and realloc(NULL) are mallocs, realloc(p, 0) is a free.
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MALLOC, FREE, REALLOC, CALLOC, KINDS };

static struct {
    pthread_mutex_t lock; // held over a call and its count: the peak is the heap's own
    unsigned long count[KINDS];
    unsigned long live, peak; // bytes
} told = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct block {
    unsigned char *at;
    size_t size;
};

static size_t own_size(unsigned x) { return (size_t)(x % 200) * 64 + 37; }

static void count(int kind, size_t gone, size_t come) {
    told.count[kind]++;
    told.live = told.live - gone + come;
    if (told.live > told.peak) told.peak = told.live;
}

static void say(void) {
    printf("malloc=%lu free=%lu realloc=%lu calloc=%lu peak=%lu live=%lu\n", told.count[MALLOC],
           told.count[FREE], told.count[REALLOC], told.count[CALLOC], told.peak, told.live);
}

// One of the ways to get a block. `way` 0 to 8.
static void *take(unsigned way, size_t size) {
    void *p = NULL;
    switch (way) {
    case 0: return calloc(1, size);
    case 1: return memalign(64, size);
    case 2: return aligned_alloc(128, size);
    case 3: return posix_memalign(&p, 256, size) == 0 ? p : NULL;
    case 4: return valloc(size);
    case 5: return pvalloc(size);
    case 6: return realloc(NULL, size);
    case 7: return reallocarray(NULL, size, 1);
    default: return malloc(size);
    }
}

static void fail(const char *what) {
    printf("%s\n", what);
    exit(1);
}

// Frees a block, or takes it into an empty struct, or changes its size.
static void step(struct block *block, unsigned x) {
    size_t size = own_size(x >> 8);
    if (!block->at) {
        unsigned way = (x >> 4) % 12;
        block->at = take(way, size);
        count(way == 0 ? CALLOC : MALLOC, 0, size);
    } else if (x % 3 == 0) {
        block->at = x % 2 ? realloc(block->at, size) : reallocarray(block->at, 1, size);
        count(REALLOC, block->size, size);
    } else {
        if (x % 7 == 0) block->at = realloc(block->at, 0);
        else free(block->at);
        count(FREE, block->size, 0);
        block->at = NULL;
        return;
    }
    if (!block->at) fail("no memory");
    block->size = size;
    memset(block->at, 1, size);
}

static void *thread(void *arg) {
    unsigned x = (unsigned)(uintptr_t)arg;
    struct block block[100] = {{0}};
    for (int i = 0; i < 6000; i++) {
        x = x * 1664525 + 1013904223;
        pthread_mutex_lock(&told.lock);
        step(&block[(x >> 16) % 100], x >> 3);
        pthread_mutex_unlock(&told.lock);
    }
    return NULL; // what is live stays live
}

static void threads(void *(*run)(void *)) {
    pthread_t id[4];
    for (uintptr_t i = 0; i < 4; i++) pthread_create(&id[i], NULL, run, (void *)i);
    for (int i = 0; i < 4; i++) pthread_join(id[i], NULL);
}

// Blocks go from thread to thread without the lock: only the order of the log keeps them apart.
static void *shelf[64];

static void *pass_on(void *arg) {
    unsigned x = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < 40000; i++) {
        x = x * 1664525 + 1013904223;
        void *old = __atomic_exchange_n(&shelf[x >> 26], malloc(37), __ATOMIC_ACQ_REL);
        if (x & 1 << 20) old = realloc(old, 101);
        free(old);
    }
    return NULL;
}

static void some(int blocks, void **at) {
    for (int i = 0; i < blocks; i++) {
        at[i] = malloc(37);
        count(MALLOC, 0, 37);
    }
}

// The child frees three of its parent's blocks, which its log knows nothing of, and has seven.
static void forks(void) {
    void *at[10], *own[7];
    some(10, at);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 3; i++) free(at[i]);
        some(7, own);
        _exit(own[6] == NULL); // past everything that atexit() and stdio would do
    }
    waitpid(child, NULL, 0);
    for (int i = 0; i < 10; i++) free(at[i]);
    told.count[FREE] = 10;
    told.live = 0;
    say();
}

// Becomes itself again, in the same process.
static void becomes(const char *path) {
    void *at[500];
    some(500, at);
    execl(path, path, "five", (char *)NULL);
    fail("exec failed");
}

static void killed(void) {
    void *at[1000];
    some(1000, at);
    raise(SIGKILL);
}

// More records than a window holds, and errno never changes; nor is any descriptor in the way.
static void unseen(void) {
    for (int i = 0; i < 30000; i++) {
        errno = 77;
        free(malloc(37));
        if (errno != 77) fail("errno changed");
    }
    for (int file = 3; file < 64; file++) close(file);
    void *at[30000];
    some(30000, at);
    printf("next descriptor %d\n", open("/dev/null", O_RDONLY));
}

// A size of 0, twice; calls that cannot be; and a large area, which grows.
static void odd(void) {
    void *volatile none = malloc(0);
    free(none);
    none = calloc(0, 8);
    volatile size_t most = SIZE_MAX / 2;
    if (malloc(most) || calloc(most, 3) || reallocarray(NULL, most, 3)) fail("too much memory");
    void *volatile large = realloc(malloc(2000037), 3000037);
    free(large);
    puts("odd");
}

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "";
    if (strcmp(way, "threads") == 0) {
        threads(thread);
        say();
    } else if (strcmp(way, "pass") == 0) threads(pass_on);
    else if (strcmp(way, "fork") == 0) forks();
    else if (strcmp(way, "exec") == 0) becomes(argv[0]);
    else if (strcmp(way, "five") == 0) some(5, (void *[5]){0});
    else if (strcmp(way, "kill") == 0) killed();
    else if (strcmp(way, "unseen") == 0) unseen();
    else if (strcmp(way, "odd") == 0) odd();
    else return 3;
    return 0;
}
