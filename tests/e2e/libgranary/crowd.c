// A thousand threads begin at the same moment. Each allocates for itself: they share nothing but
// the heap, and a thread that waits for it must be neither forgotten nor woken in vain.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 1000, STEPS = 2000, SLOTS = 32 };

static pthread_barrier_t gate;

static void *work(void *number) {
    unsigned random = (unsigned)(size_t)number;
    void *slot[SLOTS] = {0};
    pthread_barrier_wait(&gate);
    for (int i = 0; i < STEPS; i++) {
        random = random * 1664525 + 1013904223;
        void **at = &slot[random >> 27];
        free(*at);
        *at = malloc((random >> 10) % 3000 + 1);
    }
    for (int i = 0; i < SLOTS; i++) free(slot[i]);
    return NULL;
}

int main(void) {
    static pthread_t thread[THREADS];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_barrier_init(&gate, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        if (pthread_create(&thread[i], &small, work, (void *)i) != 0) return 2;
    }
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    puts("all done");
    return 0;
}
