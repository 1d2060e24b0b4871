// hands.c - see hands.h.
#include "kernel/measure/hands.h"

#include "kernel/processor.h"
#include "lib/print.h"
#include "lib/x86.h"

#define APART_TICKS 2000u      // twenty seconds at 100 Hz
#define NO_WAITING 0x40000000u // more than ever meet
#define LOOKS 2000u            // before a hand that waits rests

static volatile uint32_t standing[PROCESSORS_MAX]; // the processor each hand was last seen on, + 1
static volatile uint32_t met;

int hands_run(thread_function *function) {
    struct thread *hand[PROCESSORS_MAX];
    int sum = 0;
    met = 0;
    for (uint32_t i = 0; i < PROCESSORS_MAX; i++) standing[i] = 0;
    for (uint32_t i = 0; i < processors_online; i++) {
        char name[THREAD_NAME_MAX];
        ksnprintf(name, sizeof name, "hand%u", i);
        hand[i] = thread_create(name, PRIORITY_DEFAULT, function, (void *)(uintptr_t)i);
        if (!hand[i]) __atomic_add_fetch(&met, NO_WAITING, __ATOMIC_SEQ_CST);
    }
    for (uint32_t i = 0; i < processors_online; i++) {
        if (hand[i]) sum += thread_join(hand[i]);
    }
    return met < NO_WAITING ? sum : -1;
}

static bool all_apart(void) {
    uint32_t seen = 0;
    for (uint32_t i = 0; i < processors_online; i++) {
        if (standing[i] != 0) seen |= 1u << (standing[i] - 1);
    }
    return seen == (1u << processors_online) - 1;
}

bool hands_apart(uint32_t number) {
    const volatile uint32_t *ticks = &thread_current()->ticks;
    uint32_t start = *ticks;
    while (!all_apart() && *ticks - start < APART_TICKS) {
        standing[number] = processor_number + 1;
        cpu_pause();
    }
    return all_apart();
}

// Halts until all have met, or the next interrupt: an emulator whose host has fewer processors lets
// the one go on that is waited for. A kick that comes before the `hlt` ends it.
static void rest(uint32_t all) {
    uint32_t flags = irq_save();
    if (met < all) cpu_idle();
    irq_restore(flags);
}

void hands_meet(uint32_t step) {
    uint32_t all = step * processors_online;
    if (__atomic_add_fetch(&met, 1, __ATOMIC_SEQ_CST) == all) {
        for (uint32_t n = 0; n < processors_online; n++) processor_kick(n);
    }
    for (uint32_t looks = 1; met < all; looks++) {
        cpu_pause();
        if (looks % LOOKS == 0) rest(all);
    }
}
