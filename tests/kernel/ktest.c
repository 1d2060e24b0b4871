// ktest.c - see ktest.h. Runs the tests and holds each to what all of them must do.
//
// The kernel prints through one sink (lib/print.h). While a test runs, that sink is sink_keep()
// below, so that a test can assert the text of a report, word by word, and the transcript stays
// readable:
//
//     test heap_zero ... ok                    nothing was printed meanwhile
//     test lib_print ...                       something was
//     lib_print: this line is the test's own
//     test lib_print ... ok
//
// Shortcomings: a test that hangs or panics ends the run, and those after it do not run; what is
// printed by other threads counts as the test's.
#include "tests/kernel/ktest.h"

#include "device/console.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/inspect/report.h"
#include "kernel/spinlock.h"
#include "lib/print.h"
#include "lib/string.h"

// From kernel.ld: the section .ktests.
extern const struct ktest ktests_start[], ktests_end[];

#define LONG "long_"

static bool failed;                // the current test
static bool line_open;             // "test NAME ..." is on the console without its end
static uint32_t reports_announced; // by KREPORT() in the current test
static uint32_t reports_before;    // heap_report_count at the current KREPORT()
static bool report_due;            // inside a KREPORT()

static char printed[KTEST_PRINTED_MAX];
static size_t printed_length;

static void console_show(const char *text, size_t bytes) {
    if (line_open)
        console_write("\n", 1); // the first text of a test ends the line that its name began
    line_open = false;
    console_write(text, bytes);
}

// kprintf's sink while a test runs: to the console as always, and into `printed`. A report that the
// test waits for is kept and not shown: hundreds of them would hide the one that was not expected.
// Any context, on any processor.
static void sink_keep(const char *text, size_t bytes) {
    uint32_t state = spin_save(&console_lock);
    bool expected = report_due && strncmp(text, "heap: ", 6) == 0;
    if (!expected) console_show(text, bytes);
    size_t room = sizeof printed - 1 - printed_length;
    size_t kept = bytes < room ? bytes : room;
    memcpy(printed + printed_length, text, kept);
    printed_length += kept;
    printed[printed_length] = '\0';
    spin_restore(&console_lock, state);
}

const char *ktest_printed(void) { return printed; }

void ktest_printed_clear(void) {
    printed_length = 0;
    printed[0] = '\0';
}

bool ktest_contains(const char *text, const char *part) {
    size_t length = strlen(part);
    for (; *text; text++) {
        if (strncmp(text, part, length) == 0) return true;
    }
    return length == 0;
}

// May be called from any thread that the test started.
bool ktest_check(bool good, const char *file, int line, const char *text) {
    if (good) return true;
    failed = true;
    kprintf("%s:%d: check failed: %s\n", file, line, text);
    return false;
}

bool ktest_check_eq(uint32_t a, uint32_t b, const char *file, int line, const char *text) {
    if (a == b) return true;
    failed = true;
    kprintf("%s:%d: check failed: %s (%#x and %#x)\n", file, line, text, a, b);
    return false;
}

void ktest_report_expect(void) {
    reports_announced++;
    reports_before = heap_report_count;
    report_due = true;
}

// Says which of the three went wrong: how many reports, which fault, whose pointer.
void ktest_report_check(enum heap_fault fault, uintptr_t pointer, const char *file, int line) {
    uint32_t reports = heap_report_count - reports_before;
    report_due = false;
    if (reports != 1) {
        failed = true;
        kprintf("%s:%d: check failed: one report, not %u, of \"%s\" for %p\n", file, line, reports,
                heap_fault_text(fault), (void *)pointer);
        return;
    }
    if (heap_last_report.fault == fault && heap_last_report.pointer == pointer) return;
    failed = true;
    kprintf("%s:%d: check failed: report of \"%s\" for %p, not \"%s\" for %p\n", file, line,
            heap_fault_text(fault), (void *)pointer, heap_fault_text(heap_last_report.fault),
            (void *)heap_last_report.pointer);
}

void ktest_reports_any(uint32_t count) {
    report_due = false;
    reports_announced += count - 1; // one was by ktest_report_expect()
}

// What a test must leave as it was.
struct balance {
    uint32_t free[POOL_COUNT];
    uint32_t reports;
};

static void balance_take(struct balance *out) {
    sys_trim(); // empty arenas in reserve are no leak
    for (int id = 0; id < POOL_COUNT; id++) out->free[id] = frames_free((enum pool_id)id);
    out->reports = heap_report_count;
}

static void balance_check(const struct balance *before) {
    struct balance after;
    balance_take(&after);
    for (int id = 0; id < POOL_COUNT; id++) {
        if (after.free[id] == before->free[id]) continue;
        failed = true;
        kprintf("leak: %s has %u frames free, %u before the test\n", mem_pool[id]->name,
                after.free[id], before->free[id]);
    }
    uint32_t reports = after.reports - before->reports;
    if (reports != reports_announced) {
        failed = true;
        kprintf("reports of the heap: %u, announced: %u\n", reports, reports_announced);
    }
    if (heap_check() != 0) failed = true; // it says why
}

// The name first, so that a hang has one; if anything was printed meanwhile, the result is on a
// line of its own that has the name again.
static bool run_one(const struct ktest *test) {
    struct balance before;
    balance_take(&before);
    failed = false;
    reports_announced = 0;
    ktest_printed_clear();
    kprintf("test %s ...", test->name);
    line_open = true;
    print_sink_set(sink_keep);
    test->run();
    balance_check(&before);
    print_sink_set(console_write);
    if (!line_open) kprintf("test %s ...", test->name);
    line_open = false;
    kprintf(" %s\n", failed ? "FAILED" : "ok");
    return !failed;
}

// True if the first `length` characters of `pattern`, maybe ending in '*', name this test. A test
// named long_... takes minutes, and only a pattern that begins like that means it.
static bool matches(const char *pattern, size_t length, const char *name) {
    if (strncmp(name, LONG, sizeof LONG - 1) == 0 && strncmp(pattern, LONG, sizeof LONG - 1) != 0) {
        return false;
    }
    if (length > 0 && pattern[length - 1] == '*') return strncmp(pattern, name, length - 1) == 0;
    return strlen(name) == length && strncmp(pattern, name, length) == 0;
}

// All tests that one entry of the list names. One that names none is a test that failed.
static void run_matching(const char *pattern, size_t length, int *passed, int *bad) {
    int found = 0;
    for (const struct ktest *test = ktests_start; test != ktests_end; test++) {
        if (!matches(pattern, length, test->name)) continue;
        found++;
        if (run_one(test)) ++*passed;
        else ++*bad;
    }
    if (found > 0) return;
    // The reader of the lines counts them too: silence must not look like success.
    kprintf("no test is named '%.*s'\ntest (none) ... FAILED\n", (int)length, pattern);
    ++*bad;
}

const char *ktest_name(size_t index) {
    return index < (size_t)(ktests_end - ktests_start) ? ktests_start[index].name : NULL;
}

int ktest_run(const char *list) {
    int passed = 0, bad = 0;
    for (const char *at = list;;) {
        const char *comma = strchr(at, ',');
        size_t length = comma ? (size_t)(comma - at) : strlen(at);
        run_matching(at, length, &passed, &bad);
        if (!comma) break;
        at = comma + 1;
    }
    kprintf("tests: %d passed, %d failed\n", passed, bad);
    return bad;
}
