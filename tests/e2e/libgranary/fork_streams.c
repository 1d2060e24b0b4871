// Threads fork, read lines and flush all streams at the same time. fork() locks glibc's list of
// streams; a reader has its stream and wants memory; the flusher has the list and wants the stream.
// A heap that locks itself before the list waits for ever: then neither forks nor lines go on.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE 50000 // longer than any buffer: getline() has to ask for memory again and again
#define TENTHS 8   // of a second. With the wrong order it stops within the first
#define DEAD 30    // tenths without a step

static volatile int stop, steps;
static const char *path;

static void *fork_all_the_time(void *unused) {
    while (!stop) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        if (child > 0) waitpid(child, NULL, 0);
        steps++;
    }
    return unused;
}

static void *read_lines(void *unused) {
    FILE *file = fopen(path, "r");
    while (file && !stop) {
        char *line = NULL;
        size_t room = 0;
        rewind(file);
        if (getline(&line, &room, file) != LINE + 1) abort();
        free(line);
        steps++;
    }
    return unused;
}

static void *flush_everything(void *unused) {
    while (!stop) fflush(NULL);
    return unused;
}

int main(int argc, char **argv) {
    void *(*const work[])(void *) = {fork_all_the_time, fork_all_the_time, read_lines,
                                     read_lines,        read_lines,        read_lines,
                                     flush_everything};
    path = argc > 1 ? argv[1] : "line.txt";
    FILE *file = fopen(path, "w");
    if (!file) return 2;
    for (int i = 0; i < LINE; i++) fputc('x', file);
    fputc('\n', file);
    fclose(file);
    for (size_t i = 0; i < sizeof work / sizeof *work; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work[i], NULL) != 0) return 2;
    }
    int last = -1, still = 0;
    for (int tenth = 0; still < DEAD && (tenth < TENTHS || still > 0); tenth++) {
        usleep(100000);
        still = last == steps ? still + 1 : 0;
        last = steps;
    }
    // No stdio any more, and no exit(), which flushes: their locks may be the dead ones.
    const char *word = still >= DEAD ? "deadlock\n" : "alive\n";
    if (write(STDOUT_FILENO, word, still >= DEAD ? 9 : 6) < 0) _exit(3);
    _exit(still >= DEAD);
}
