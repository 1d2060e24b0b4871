// again.c - takes and gives the same 16 MiB of areas over and over; prints how many pages it was
// given on the way: in all, and in the last half.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { ROUNDS = 400, AREAS = 64, AREA = 256 << 10 };

static long faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

int main(void) {
    static void *area[AREAS];
    long start = faults(), half = 0;
    for (int round = 0; round < ROUNDS; round++) {
        if (round == ROUNDS / 2) half = faults();
        for (int i = 0; i < AREAS; i++) {
            area[i] = malloc(AREA);
            if (!area[i]) return 1;
            memset(area[i], round, AREA);
        }
        for (int i = 0; i < AREAS; i++) free(area[i]);
    }
    printf("%ld %ld\n", faults() - start, faults() - half);
    return 0;
}
