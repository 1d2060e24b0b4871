// footprint.c - how many KiB the process has resident, with much allocated and with all given back.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 200000, SIZE = 700, AREAS = 8, AREA = 32 << 20 };

static void *block[BLOCKS];

static long resident(void) {
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm || fscanf(statm, "%*d %ld", &pages) != 1) exit(1);
    fclose(statm);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static long with(int count, size_t size) {
    for (int i = 0; i < count; i++) {
        block[i] = malloc(size);
        if (!block[i]) exit(1);
        memset(block[i], 1, size);
    }
    long held = resident();
    for (int i = 0; i < count; i++) free(block[i]);
    return held;
}

int main(void) {
    printf("small %ld", with(BLOCKS, SIZE));
    printf(" then %ld\n", resident());
    printf("large %ld", with(AREAS, AREA));
    printf(" then %ld\n", resident());
    char *sparse = calloc(1, (size_t)1 << 30); // a GiB of zeros of which one byte is looked at
    if (!sparse || sparse[12345678] != 0) return 1;
    printf("sparse %ld\n", resident());
    free(sparse);
    return 0;
}
