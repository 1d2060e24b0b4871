// A thread registers handlers for fork(), and another forks. glibc's list of them has a lock, under
// which it grows: who registers has the list and wants memory. fork() lets go of that lock while it
// is in a handler: in the heap's own, which locks the heap. Then it wants the list again.
//
// That both come so far at the same time is made certain here. The heap's handler waits for the
// list of streams, which a third thread has that waits for a stream, until the handlers' list wants
// memory; what it asks for comes through this program's own functions, and waits a while.
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE 300000  // bytes: no block, so that the heap's lock is needed
#define AWHILE 200000 // microseconds, for another thread to come as far as it can
#define TIMES 5       // so often, if the handlers' list may not grow meanwhile
#define SECONDS 10    // until it is a deadlock

static volatile int growing;
static __thread int registers;

static void let_fork(size_t bytes) {
    if (!registers || bytes < LARGE || growing) return;
    growing = 1;
    usleep(2 * AWHILE);
}

void *malloc(size_t bytes) {
    void *(*next)(size_t) = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    let_fork(bytes);
    return next(bytes);
}

void *realloc(void *p, size_t bytes) {
    void *(*next)(void *, size_t) = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    let_fork(bytes);
    return next(p, bytes);
}

static void *register_handlers(void *unused) {
    registers = 1;
    for (int i = 0; i < 20000; i++) {
        if (pthread_atfork(NULL, NULL, NULL) != 0) _exit(2);
    }
    return unused;
}

static void *fork_once(void *unused) {
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        free(malloc(LARGE));
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) _exit(3);
    return unused;
}

static void *flush_everything(void *unused) {
    fflush(NULL);
    return unused;
}

int main(void) {
    void *(*const work[])(void *) = {flush_everything, fork_once, register_handlers};
    pthread_t thread[3];
    alarm(SECONDS);
    flockfile(stdout);
    for (int i = 0; i < 3; i++) {
        if (pthread_create(&thread[i], NULL, work[i], NULL) != 0) return 2;
        usleep(AWHILE);
    }
    for (int times = 0; !growing && times < TIMES; times++) usleep(AWHILE);
    funlockfile(stdout);
    for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
    puts("alive");
    return 0;
}
