// bench.c - what a program pays, in instructions where the machine counts them (the time-stamp
// counter under QEMU's -icount), else in cycles.
//
//     run bench
//     run bench crowd      a pair alone, and beside 1, 10, 100 other programs
#include "user/lib/user.h"

#define ROUNDS 1000u
#define PAIR_MOST 200u // instructions

static uint32_t now(void) {
    uint32_t low;
    __asm__ volatile("rdtsc" : "=a"(low) : : "edx", "memory");
    return low;
}

static void gate(void) { pid(); }     // the quick way
static void call(void) { time_ms(); } // the full one

static void pair_32(void) { free(malloc(32)); }
static void pair_5000(void) { free(malloc(5000)); }
static void nothing(void) { __asm__ volatile(""); }

static uint32_t ticks_of(void (*run)(void)) {
    run();
    uint32_t start = now();
    for (uint32_t i = 0; i < ROUNDS; i++) run();
    return now() - start;
}

// In tenths.
static uint32_t figure(const char *name, void (*run)(void), uint32_t own) {
    uint32_t tenths = (ticks_of(run) - own) / (ROUNDS / 10);
    printf("bench: name=%s rounds=%u insn=%u.%u\n", name, ROUNDS, (unsigned)tenths / 10,
           (unsigned)tenths % 10);
    return tenths;
}

// A pair beside more and more sleeping programs, each with a heap. They end with this one.
static int crowd(uint32_t own) {
    static const uint32_t others[] = {0, 1, 10, 100};
    static const char *const name[] = {"beside_0", "beside_1", "beside_10", "beside_100"};
    uint32_t least = UINT32_MAX, most = 0, made = 0;
    for (int i = 0; i < 4; i++) {
        for (; made < others[i]; made++) {
            int child = spawn("spin quietly");
            if (child < 0) {
                printf("bench: the %u-th program: %s\n", (unsigned)made + 1, error_text(child));
                return 1;
            }
        }
        sleep_ms(200); // each has its heap by then
        uint32_t tenths = figure(name[i], pair_32, own);
        if (tenths < least) least = tenths;
        if (tenths > most) most = tenths;
    }
    int good = most * 10 < least * 11;
    printf("bench: a pair beside 0, 1, 10 and 100 programs grows by less than a tenth: %s\n",
           good ? "yes" : "no");
    return !good;
}

int main(int argc, char **argv) {
    void *other[4];
    uint32_t own = ticks_of(nothing), sysenter = user_sysenter;
    for (int i = 0; i < 4; i++) other[i] = malloc(32); // an arena with room, one block come back
    free(other[1]);
    if (argc > 1 && strcmp(argv[1], "crowd") == 0) return crowd(own);
    user_sysenter = 0;
    figure("int_gate", gate, own);
    figure("int_call", call, own);
    uint32_t pair = figure("int_user_pair_32", pair_32, own);
    user_sysenter = sysenter;
    if (sysenter) {
        figure("gate", gate, own);
        figure("call", call, own);
        pair = figure("user_pair_32", pair_32, own);
    }
    figure("user_pair_5000", pair_5000, own);
    printf("bench: a pair of 32 bytes, both gates included, in at most %u: %s\n", PAIR_MOST,
           pair <= 10 * PAIR_MOST ? "yes" : "no");
    return pair > 10 * PAIR_MOST;
}
