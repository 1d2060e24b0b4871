// threads.c - eight threads that take, resize and give blocks, and give blocks that another one
// took. Each block is full of its owner's number. Prints a sum that is always the same.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 8, STEPS = 100000, SLOTS = 256, SHELF = 512 };

struct block {
    size_t size;
    unsigned char owner;
    unsigned char byte[];
};

static struct block *shelf[SHELF]; // blocks that change hands
static unsigned long freed[THREADS];

static void check(const struct block *block) {
    for (size_t i = 0; i < block->size; i += 61) {
        if (block->byte[i] == block->owner) continue;
        printf("a block was written to by a stranger\n");
        exit(1);
    }
}

static struct block *fill(struct block *block, size_t size, unsigned owner) {
    if (!block) {
        printf("no memory\n");
        exit(1);
    }
    block->size = size;
    block->owner = (unsigned char)owner;
    memset(block->byte, (int)owner, size);
    return block;
}

static void give(struct block *block) {
    if (block) check(block);
    free(block);
}

static void *run(void *arg) {
    unsigned id = (unsigned)(size_t)arg, x = id;
    struct block *slot[SLOTS] = {0};
    for (int step = 0; step < STEPS; step++) {
        x = x * 1664525 + 1013904223;
        unsigned at = (x >> 8) % SLOTS;
        size_t size = x >> 29 ? (x >> 16) % 500 : (x >> 10) % 20000;
        if (!slot[at]) {
            slot[at] = fill(malloc(sizeof **slot + size), size, id);
        } else if (x % 5 == 0) {
            check(slot[at]);
            slot[at] = fill(realloc(slot[at], sizeof **slot + size), size, id);
        } else {
            struct block *old = slot[at];
            if (x % 3 == 0) {
                old = __atomic_exchange_n(&shelf[(x >> 4) % SHELF], old, __ATOMIC_ACQ_REL);
            }
            give(old);
            slot[at] = NULL;
            freed[id - 1]++;
        }
    }
    for (int i = 0; i < SLOTS; i++) give(slot[i]);
    return NULL;
}

int main(void) {
    pthread_t thread[THREADS];
    for (size_t i = 0; i < THREADS; i++) pthread_create(&thread[i], NULL, run, (void *)(i + 1));
    unsigned long sum = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        sum += freed[i];
    }
    for (int i = 0; i < SHELF; i++) give(shelf[i]);
    printf("freed %lu\n", sum);
    return 0;
}
