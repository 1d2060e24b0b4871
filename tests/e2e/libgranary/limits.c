// Address space that the heap does not use costs nothing: it is not charged to the process
// (RLIMIT_AS), not made resident (mlockall), and another mapping may lie where the heap would grow.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define MIB ((size_t)1 << 20)

static void *nothing(void *unused) { return unused; }

// A figure of /proc/self/status, KiB.
static long status(const char *name) {
    char line[256];
    long value = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0) value = atol(line + strlen(name) + 1);
    }
    if (file) fclose(file);
    return value;
}

// Threads and mappings still work, and malloc() ends before the limit.
static int limit(void) {
    const struct rlimit most = {200 * MIB, 200 * MIB};
    setrlimit(RLIMIT_AS, &most);
    pthread_t thread;
    int threads = pthread_create(&thread, NULL, nothing, NULL);
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t mib = 0;
    while (mib < 1000 && malloc(MIB - 4096)) mib++;
    printf("%s, %s, %s\n", threads == 0 ? "thread" : "no thread",
           page != MAP_FAILED ? "page" : "no page",
           mib > 150 && mib < 200 ? "malloc up to the limit" : "malloc elsewhere");
    return 0;
}

static int lock(void) {
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) return 1;
    for (int i = 0; i < 20; i++) {
        char *p = malloc(100000);
        if (!p) return 1;
        memset(p, 1, 100000);
    }
    printf("%s\n", status("VmRSS:") < 64 * 1024 ? "resident what is used" : "resident more");
    return 0;
}

// Where the mapping that holds `p` ends.
static char *end_of_mapping(const void *p) {
    char line[512];
    unsigned long long from, to = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%llx-%llx", &from, &to) == 2 && (uintptr_t)p >= from && (uintptr_t)p < to)
            break;
    }
    if (file) fclose(file);
    return (char *)(uintptr_t)to;
}

// Four times a foreign page right after the heap: it goes on after that.
static int hole(void) {
    char *last = malloc(3 * MIB);
    for (int i = 0; i < 4; i++) {
        char *end = end_of_mapping(last);
        char *page = mmap(end, 4096, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (page != end) return 1;
        *page = 'x';
        for (int k = 0; k < 5; k++) {
            last = malloc(3 * MIB);
            if (!last) return 2;
            memset(last, 1, 3 * MIB);
        }
        if (last <= page || *page != 'x') return 3;
    }
    puts("grown over four holes");
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    free(malloc(10));
    if (strcmp(what, "limit") == 0) return limit();
    if (strcmp(what, "lock") == 0) return lock();
    if (strcmp(what, "hole") == 0) return hole();
    printf("%s\n", status("VmSize:") < 32 * 1024 ? "small" : "large");
    return 0;
}
