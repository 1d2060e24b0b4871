// ktest.h - tests that run inside the kernel, on the real machine or an emulator of one.
//
//     KTEST(heap_zero) {
//         KCHECK_EQ(sys_malloc(0), NULL);
//         KREPORT(HEAP_OUTSIDE, 7, sys_free((void *)7));
//     }
//
// KTEST() puts the test's name and function into the linker's section .ktests; nothing else lists
// it. A failed check says where, marks the test as failed, and goes on: a test leaves nothing
// behind, whatever happens.
//
// Beside its own checks every test must
//   - give back all it took: frames_free() of both pools, after sys_trim(), as before;
//   - leave the heap sound: heap_check() finds nothing;
//   - cause no report of the heap but those it announces with KREPORT().
//
// Context: tests run one after the other in thread "main", interrupts on.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/ktest.h"
#include "kernel/memory.h"

struct ktest {
    const char *name;
    void (*run)(void);
};

// Keeps the entries, and with them the tests, in the order of the file; clang does that by itself.
#ifdef __clang__
#define KTEST_IN_ORDER
#else
#define KTEST_IN_ORDER __attribute__((no_reorder))
#endif

// `aligned` keeps the compiler from spreading the entries: the section is an array.
#define KTEST(name)                                                                          \
    static void ktest_##name(void);                                                          \
    static const struct ktest ktest_entry_##name KTEST_IN_ORDER                              \
        __attribute__((section(".ktests"), used, aligned(sizeof(void *)))) = {#name,         \
                                                                              ktest_##name}; \
    static void ktest_##name(void)

#define KCHECK(condition) ktest_check((condition) != 0, __FILE__, __LINE__, #condition)

// Compares as 32-bit numbers, pointers too; the message has both values.
#define KCHECK_EQ(a, b) \
    ktest_check_eq((uint32_t)(a), (uint32_t)(b), __FILE__, __LINE__, #a " == " #b)

// As KCHECK, and leaves the test (a void function) if it fails: for what the rest relies on.
#define KNEED(condition)                                        \
    do {                                                        \
        if (!(condition)) {                                     \
            ktest_check(false, __FILE__, __LINE__, #condition); \
            return;                                             \
        }                                                       \
    } while (0)

// Runs `call`, a statement, which must give exactly one report: this fault, for this pointer. The
// report is in ktest_printed(), not on the console.
#define KREPORT(expected_fault, pointer, call)                                          \
    do {                                                                                \
        ktest_report_expect();                                                          \
        call;                                                                           \
        ktest_report_check((expected_fault), (uintptr_t)(pointer), __FILE__, __LINE__); \
    } while (0)

// What was printed since the current test's start, or since ktest_printed_clear(); the first
// KTEST_PRINTED_MAX - 1 characters of it.
#define KTEST_PRINTED_MAX 2048
const char *ktest_printed(void);
void ktest_printed_clear(void);
bool ktest_contains(const char *text, const char *part); // as strstr(), yes or no

// For the macros.
bool ktest_check(bool good, const char *file, int line, const char *text);
bool ktest_check_eq(uint32_t a, uint32_t b, const char *file, int line, const char *text);
void ktest_report_expect(void);
void ktest_report_check(enum heap_fault fault, uintptr_t pointer, const char *file, int line);
// In place of ktest_report_check(): there were `count` reports since ktest_report_expect(), of
// whatever kind.
void ktest_reports_any(uint32_t count);

// ---- accesses that may fault (ktest_fault.c) ----------------------------------------------------

struct ktest_fault {
    bool faulted;
    uint32_t address; // CR2
    uint32_t
        error; // error code: bit 0 the page is present, bit 1 a write (Intel SDM volume 3, 4.7)
};
#define FAULT_PRESENT 1u
#define FAULT_WRITING 2u

// Reads / writes one byte and comes back even if that is a page fault. A write that succeeds leaves
// the byte as it was: it writes what it read, unless the read faulted. Threads only.
struct ktest_fault ktest_try_read(uintptr_t address);
struct ktest_fault ktest_try_write(uintptr_t address);
// Writes `value` without reading first.
struct ktest_fault ktest_try_store(uintptr_t address, uint8_t value);
