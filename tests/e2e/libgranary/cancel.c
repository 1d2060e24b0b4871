// A thread that is to be cancelled goes on to its next cancellation point. malloc() and free() are
// none (POSIX 2.9.5.2), not even when they wait for the heap, or report a wrong call.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static volatile int stop, go;
static int lost; // threads

static void *keep_busy(void *unused) {
    while (!stop) {
        void *p[64];
        for (int i = 0; i < 64; i++) p[i] = malloc(16 + (size_t)i * 8);
        for (int i = 0; i < 64; i++) free(p[i]);
    }
    return unused;
}

static void *victim(void *wrong) {
    while (!go) continue;
    for (int i = 0; i < 30000; i++) {
        void *volatile p = malloc(100 + (size_t)i % 1000);
        free(p);
    }
    if (wrong) free(&lost);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return (void *)1;
}

int main(void) {
    pthread_t busy[3], thread;
    for (int i = 0; i < 3; i++) pthread_create(&busy[i], NULL, keep_busy, NULL);
    for (int round = 0; round < 6; round++) {
        void *result;
        go = 0;
        pthread_create(&thread, NULL, victim, round == 5 ? (void *)1 : NULL);
        pthread_cancel(thread);
        go = 1;
        pthread_join(thread, &result);
        lost += result == PTHREAD_CANCELED;
    }
    stop = 1;
    for (int i = 0; i < 3; i++) pthread_join(busy[i], NULL);
    printf("%d threads ended inside the heap\n", lost);
    return lost != 0;
}
