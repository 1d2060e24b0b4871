// Writes its title over arguments and environment, as setproctitle() does in servers; with an
// argument it then closes standard error and opens that file, which gets the number 2.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    char *start = argv[0], *end = argv[argc - 1], *file = argc > 1 ? strdup(argv[1]) : NULL;
    size_t count = 0;
    while (environ[count]) end = environ[count++];
    end += strlen(end);
    char **copy = calloc(count + 1, sizeof *copy);
    if (!copy) return 2;
    for (size_t i = 0; i < count; i++) copy[i] = strdup(environ[i]);
    environ = copy;
    memset(start, 0, (size_t)(end - start));
    for (char *at = start; at + 14 < end; at += 14) memcpy(at, "worker: idle. ", 14);
    if (file) {
        close(STDERR_FILENO);
        if (open(file, O_WRONLY | O_CREAT | O_TRUNC, 0666) != STDERR_FILENO) return 3;
    }
    return chdir("/") != 0;
}
