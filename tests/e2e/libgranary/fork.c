// fork.c - a process forks again and again while its threads are in the middle of the heap. Each
// child takes and gives blocks, and starts a thread of its own.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORKS = 100, THREADS = 3 };

static int stop;

static void work(unsigned x, int steps) {
    void *slot[64] = {0};
    for (int i = 0; i < steps; i++) {
        x = x * 1664525 + 1013904223;
        free(slot[x >> 26]);
        slot[x >> 26] = malloc((x >> 12) % 3000 + 1);
        if (!slot[x >> 26]) abort();
        memset(slot[x >> 26], 1, (x >> 12) % 3000 + 1);
    }
    for (int i = 0; i < 64; i++) free(slot[i]);
}

static void *busy(void *arg) {
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) work((unsigned)(size_t)arg, 1000);
    return NULL;
}

static void *once(void *arg) {
    work((unsigned)(size_t)arg, 500);
    return NULL;
}

static int child(size_t number) {
    pthread_t thread;
    alarm(20); // a lock that is never given back: better killed than waiting
    work((unsigned)number, 500);
    if (pthread_create(&thread, NULL, once, (void *)number) != 0) return 1;
    work((unsigned)number + 1, 500);
    return pthread_join(thread, NULL);
}

int main(void) {
    pthread_t thread[THREADS];
    int good = 0;
    for (size_t i = 0; i < THREADS; i++) pthread_create(&thread[i], NULL, busy, (void *)i);
    for (size_t i = 0; i < FORKS; i++) {
        pid_t pid = fork();
        if (pid == 0) exit(child(i));
        int status = -1;
        if (pid > 0) waitpid(pid, &status, 0);
        good += status == 0;
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    printf("children: %d of %d good\n", good, FORKS);
    return good != FORKS;
}
