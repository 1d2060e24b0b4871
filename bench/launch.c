// launch.c - starts a command with an allocator preloaded, waits, and says what it took.
//
//   launch OUT SECONDS [NAME=VALUE]... -- COMMAND [ARGUMENT]...
//
// Writes `status=N wall_ns=N cpu_ns=N peak_kb=N` to the file OUT and ends with status 0 if the
// command could be started; the variables are set for the command alone. peak_kb is its largest
// resident size (getrusage(2), ru_maxrss), libraries and program text included. A command that
// takes longer than SECONDS is ended with all that it started, and its status is 124. It is killed
// when launch is.
//
// Why not from Python: Linux starts a new program's largest size with that of the process that
// called exec, so a command started by a big process is never smaller than that. This one is tiny.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"

#define STATUS_NOT_STARTED 127
#define STATUS_HUNG 124 // as timeout(1) has it

static pid_t child;
static volatile sig_atomic_t hung;

static void on_alarm(int number) {
    (void)number;
    hung = 1;
    kill(-child, SIGKILL); // its process group: gcc's compiler is a child of gcc's
}

static uint64_t microseconds(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_usec;
}

// In the child: the variables, then the command. They are set here and not in launch itself, which
// an allocator in LD_PRELOAD would make as large as the commands are.
static _Noreturn void become(char **variables, char **command, pid_t parent) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(STATUS_NOT_STARTED); // it ended before the line above
    for (; strcmp(*variables, "--") != 0; variables++) {
        if (putenv(*variables) != 0) _exit(STATUS_NOT_STARTED);
    }
    execvp(command[0], command);
    dprintf(STDERR_FILENO, "launch: %s: %s\n", command[0], strerror(errno));
    _exit(STATUS_NOT_STARTED);
}

int main(int argc, char **argv) {
    int split = 3;
    while (split < argc && strcmp(argv[split], "--") != 0) {
        split++;
    }
    if (split + 1 >= argc)
        fail("usage: launch OUT SECONDS [NAME=VALUE]... -- COMMAND [ARGUMENT]...");
    unsigned long seconds = strtoul(argv[2], NULL, 10);
    int out = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (out < 0) fail("%s: %s", argv[1], strerror(errno));
    pid_t self = getpid();
    uint64_t start = wall_ns();
    child = fork();
    if (child < 0) fail("cannot fork");
    if (child == 0) become(argv + 3, argv + split + 1, self);
    setpgid(child, child);     // whichever of the two comes first
    signal(SIGALRM, on_alarm); // BSD semantics: wait4() goes on
    alarm((unsigned)seconds);
    int status = 0;
    struct rusage usage;
    // The usage of the command and of all its descendants that were waited for: gcc's largest size
    // is that of the compiler proper.
    if (wait4(child, &status, 0, &usage) != child) fail("lost the command");
    uint64_t wall = wall_ns() - start;
    uint64_t cpu = (microseconds(usage.ru_utime) + microseconds(usage.ru_stime)) * 1000;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (hung) code = STATUS_HUNG;
    dprintf(out, "status=%d wall_ns=%llu cpu_ns=%llu peak_kb=%ld\n", code, (unsigned long long)wall,
            (unsigned long long)cpu, usage.ru_maxrss);
    return code == STATUS_NOT_STARTED ? 2 : 0;
}
