// soak_heap.c - the kernel's stream of random heap calls (kernel/measure/random_calls.h), on the
// host.
//
// What only it can find: a fault that comes after 10^9 calls, and a host build that decides
// otherwise than the kernel: both print the same hash.
//
//   soak_heap OPS [SEED]
//
// One thread, the heap over stand-in frames, every invariant checked each 10,000 calls. Prints the
// line that the kernel's own soak prints, and ends with status 1 if anything in it is wrong. The
// hash has every address in it, relative to the heap's base: the same seed gives the same.
#include "tests/host/heap_host.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernel/inspect/heapcheck.h"
#include "kernel/measure/random_calls.h"

#define FRAMES 800u // full now and then: calls are refused, and nothing may be lost
#define BLOCKS 4000u
#define SIZE_MAX_ASKED 20000u
#define CHECK_OPS 10000u

static struct stream_block block[BLOCKS];

// A number up to 4,000,000,000, or 0 if the text is none.
static uint32_t read_number(const char *text) {
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && value <= 4000000000u ? (uint32_t)value : 0;
}

int main(int count, char **word) {
    uint32_t ops = count > 1 ? read_number(word[1]) : 0,
             seed = count > 2 ? read_number(word[2]) : 1;
    if (count > 3 || ops == 0 || seed == 0) {
        fprintf(stderr, "usage: soak_heap OPS [SEED]   (1 .. 4000000000)\n");
        return 2;
    }
    struct stream soak;
    uint32_t checks = 0, broken = 0;
    host_heap_start(FRAMES);
    stream_begin(&soak, block, BLOCKS, SIZE_MAX_ASKED, seed);
    soak.addresses = true;
    while (soak.ops < ops && broken == 0) {
        stream_calls(&soak, ops - soak.ops < CHECK_OPS ? ops - soak.ops : CHECK_OPS);
        broken += heap_check();
        checks++;
    }
    stream_end(&soak);
    sys_trim();
    broken += heap_check();
    uint32_t leaked = FRAMES - frames_free(POOL_KERNEL);
    printf("soak: seed=%u threads=0 ops=%u checks=%u spoilt=%u refused=%u broken=%u leaked=%u "
           "hash=%08x\n",
           seed, soak.ops, checks, soak.spoilt, soak.refused, broken, leaked, soak.hash);
    if (broken) fputs(host_printed(), stdout);
    return broken || soak.spoilt || leaked || host_report_take().fault != HEAP_OK;
}
