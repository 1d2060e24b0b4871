// race_heap.c - threads of one process on the library's heap, under ThreadSanitizer: every access
// that no lock orders is reported, whether or not it did harm this time.
//
// What only it can find: two accesses that no lock orders, although this time they did no harm.
//
// Linked with all of libgranary (tools/libgranary), whose malloc() and its kin carry a granary_ in
// front here, so that the sanitizer and cmocka keep their own. Two programs: race_heap, and
// race_checked with the checks of kernel/checked/checked.c between.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/inspect/heapcheck.h"

#define THREADS 4
#define STEPS 20000
#define SLOTS 64
#define SHELF 64 // blocks that change hands

void *granary_malloc(size_t size);
void *granary_calloc(size_t count, size_t size);
void *granary_realloc(void *p, size_t size);
size_t granary_malloc_usable_size(void *p);
void *granary_memalign(size_t alignment, size_t size);
void granary_free(void *p);
int granary_malloc_trim(size_t pad);

static void *shelf[SHELF];
static bool faults; // one thread frees what is free, one trims and checks
static uint32_t broken;

// ---- what was said ------------------------------------------------------------------------------

static int saved_stderr;
static FILE *said;
static char text[1 << 16];

static void listen(void) {
    said = tmpfile();
    assert_non_null(said);
    saved_stderr = dup(STDERR_FILENO);
    dup2(fileno(said), STDERR_FILENO);
}

// All of it in `text`, the heap's reports and the sanitizer's.
static void listen_end(void) {
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    rewind(said);
    text[fread(text, 1, sizeof text - 1, said)] = '\0';
    fclose(said);
}

// ---- the threads --------------------------------------------------------------------------------

static void *take(unsigned x) {
    size_t size = (x >> 10) % 3000 + 1;
    void *p = x >> 30 == 0   ? granary_calloc(1, size)
              : x >> 30 == 1 ? granary_memalign((size_t)64 << (x >> 8) % 4, size)
                             : granary_malloc(size);
    if (p) memset(p, 0x5a, size);
    return p;
}

// A block goes back, or grows, or another thread's does.
static void change(void **slot, unsigned x) {
    if (x >> 30 == 0) {
        void *p = granary_realloc(*slot, (x >> 4) % 9000 + 1);
        if (p) *slot = p;
        return;
    }
    if (x >> 30 == 1) {
        *slot = __atomic_exchange_n(&shelf[(x >> 4) % SHELF], *slot, __ATOMIC_ACQ_REL);
        if (*slot && granary_malloc_usable_size(*slot) == 0)
            __atomic_fetch_add(&broken, 1, __ATOMIC_RELAXED);
    }
    granary_free(*slot);
    *slot = NULL;
}

static void do_wrong(size_t id, void *mine) {
    if (id == 0) granary_free((char *)mine + 1);
    if (id == 1) granary_malloc_trim(0);
    if (id == 2) __atomic_fetch_add(&broken, heap_check(), __ATOMIC_RELAXED);
}

static void *run(void *argument) {
    size_t id = (size_t)argument;
    unsigned x = (unsigned)id;
    void *slot[SLOTS] = {0}, *mine = granary_malloc(100);
    for (int step = 0; step < STEPS; step++) {
        x = x * 1664525 + 1013904223;
        void **at = &slot[(x >> 20) % SLOTS];
        if (*at) change(at, x);
        else *at = take(x);
        if (faults && step % 200 == 0) do_wrong(id, mine);
    }
    for (int i = 0; i < SLOTS; i++) granary_free(slot[i]);
    granary_free(mine);
    return NULL;
}

static void run_all(bool with_faults) {
    pthread_t thread[THREADS];
    faults = with_faults;
    broken = 0;
    listen();
    for (size_t i = 0; i < THREADS; i++) pthread_create(&thread[i], NULL, run, (void *)i);
    for (size_t i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    for (size_t i = 0; i < SHELF; i++) granary_free(shelf[i]);
    memset(shelf, 0, sizeof shelf);
    granary_malloc_trim(0);
    listen_end();
    assert_int_equal(broken, 0);
    assert_int_equal(heap_check(), 0);
    assert_int_equal(k_heap.large_frames + k_heap.small_frames, 0);
}

// ---- the tests ----------------------------------------------------------------------------------

static void right_calls_are_not_reported(void **state) {
    (void)state;
    run_all(false);
    if (text[0]) fail_msg("%s", text);
}

// A wrong free, and no other; the report describes a record that no other thread was changing.
static void wrong_calls_are_reported_each_for_itself(void **state) {
    (void)state;
    int lines = 0;
    run_all(true);
    for (char *line = text; *line; lines++) {
        char *end = strchr(line, '\n');
        bool good = strncmp(line, "heap: interior pointer: ", 24) == 0 && strstr(line, "byte ") &&
                    end && strstr(line, ", live") && strstr(line, ", live") < end;
        if (!good) fail_msg("line %d of: %s", lines + 1, text);
        line = end + 1;
    }
    assert_int_equal(lines, STEPS / 200);
}

// The library reads its settings before main(). A small window: heap_check() walks all of it, and
// large areas meet.
int main(int argc, char **argv) {
    (void)argc;
    if (!getenv("GRANARY_WINDOW")) {
        setenv("GRANARY_WINDOW", "16M", 1);
        execv("/proc/self/exe", argv);
        return 2;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_calls_are_not_reported),
        cmocka_unit_test(wrong_calls_are_reported_each_for_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
