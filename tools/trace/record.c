// record.c - build/host/mtrace-record.so: writes down what a program asks of malloc, while it runs.
//
//     LD_PRELOAD=.../mtrace-record.so MTRACE_LOG=/folder/name program arguments
//
// Every process writes to a log of its own, /folder/name.PID-N.raw; N counts from 0 where a process
// has become another program by exec(). tools/trace/trace.py does all that for its user, and makes
// a trace of a log (docs/traces.md). The heap underneath stays the program's own.
//
// Theory. A log is a header and then records of 24 bytes, in the order in which the heap was used,
// by address. The file is mapped, a window at a time, and a record is a store into the mapping:
// what is in the mapping belongs to the file already. So nothing has to be flushed, and nothing is
// lost when the program calls _exit() or exec(), or is killed: the log ends with its last call.
// The alternative, a buffer and write(), loses its buffer in each of those cases, or has to catch
// them.
//
// Invariants:
//   E1  The lock is held over the call of the heap and its record. Were it not, another thread
//       could get an address between its free and the record of that, and the log would hold two
//       blocks at one address.
//   E2  A record's first word, never 0, is stored last: the records are what comes before the
//       first 0, whenever the process dies. The file is reserved (posix_fallocate) before it is
//       mapped: a full disk ends the log, and is no SIGBUS.
//   E3  What the recorder itself calls is not recorded, nor what the heap calls of itself: `inside`
//       is the thread's own. Nothing the recorder does needs the heap that it records.
//   E4  A child of fork() finds `state` empty (MADV_WIPEONFORK): lock free, no log. It cannot write
//       to its parent's log, however it was made, and starts its own with its first call.
//   E5  The file is open for the moment in which a window is mapped: a program that closes all its
//       descriptors, or counts them, sees none of ours.
//   E6  errno is what the program's own call left there.
//
// Shortcomings:
//   - One lock: threads take turns, and meet in another order than without the recorder.
//   - What was live at a fork() is not in the child's log; its converter drops frees of it.
//   - A program that is linked statically, or is set-uid, does not load the library.
//   - A program that allocates by other means (mmap, sbrk, its own pools) shows only what it takes
//     from malloc.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

// ---- the log's format: tools/trace/rawlog.py reads it -------------------------------------------

enum kind { KIND_MALLOC = 1, KIND_FREE, KIND_REALLOC, KIND_CALLOC };

// 64 bits each, in a 32-bit program too: one format.
struct record {
    uint64_t what; // kind << 56 | size in bytes, as asked for; stored last (E2)
    uint64_t from; // the block that free and realloc were given, else 0
    uint64_t to;   // the block that came of it, 0 for a free
};
#define KIND_SHIFT 56

struct header {
    char magic[8];       // "MTRAWLG1", stored last
    uint32_t pid;        //
    uint32_t word_bytes; // of a pointer: 4 or 8
    int32_t stopped;     // errno of what ended the log early, or 0
    char program[4096 - 20];
};
static const char magic[8] = {'M', 'T', 'R', 'A', 'W', 'L', 'G', '1'};

// The header fills a page, so that what follows it can be mapped.
#define HEADER_BYTES 4096
_Static_assert(sizeof(struct header) == HEADER_BYTES, "rawlog.py skips this much");

// A window holds whole records and whole pages, of up to 64 KiB; small, because every process of a
// build takes one at least.
#define WINDOW_RECORDS 8192
#define WINDOW_BYTES (WINDOW_RECORDS * sizeof(struct record))
_Static_assert(WINDOW_BYTES % 65536 == 0, "a window is mapped by itself");

// ---- where a process writes ---------------------------------------------------------------------

// One page, cleared by fork() (E4). All of it belongs to the lock's holder.
struct state {
    pthread_mutex_t lock;  // all zero is an open one
    bool off;              // nothing is recorded any more, or at all
    struct header *header; // the log's first page; NULL: no log yet
    struct record *window; // the mapped piece of it; NULL: the first record will want one
    struct record *next;   // where in the window the next record goes
    off_t offset;          // of the next window in the file, bytes
    char path[2048];       // of the log
};
#define STATE_BYTES 4096
_Static_assert(sizeof(struct state) <= STATE_BYTES, "whole pages are cleared, and ours is one");

static struct state *state;                        // NULL: not started, or could not be
static pthread_once_t started = PTHREAD_ONCE_INIT; //
// E3. initial-exec: the other models may allocate when a thread first looks.
static __thread bool inside __attribute__((tls_model("initial-exec")));

// The heap underneath, NULL until start() has found it.
static struct {
    void *(*malloc)(size_t);
    void (*free)(void *);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void *(*reallocarray)(void *, size_t, size_t);
    void *(*memalign)(size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
} heap;

// One line for the user, without the heap or stdio's buffers.
static void complain(const char *what, const char *why) {
    char line[2304];
    int length = snprintf(line, sizeof line, "mtrace-record: %s: %s\n", what, why);
    if (length > (int)sizeof line - 1) length = sizeof line - 1;
    if (write(STDERR_FILENO, line, (size_t)length) < 0) return; // no one there to be told
}

// A write past the user's limit would be a signal to the program, and its end.
static bool within_limit(off_t end) {
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
           (rlim_t)end <= limit.rlim_cur;
}

// Reserves and maps `bytes` of the log from `offset` on. NULL: errno says why.
static void *map_log(int flags, off_t offset, size_t bytes) {
    if (!within_limit(offset + (off_t)bytes)) {
        errno = EFBIG;
        return NULL;
    }
    int file = open(state->path, O_RDWR | O_CLOEXEC | flags, 0600);
    if (file < 0) return NULL;
    int error = posix_fallocate(file, offset, (off_t)bytes);
    void *at = MAP_FAILED;
    if (error == 0) {
        at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, offset);
        if (at == MAP_FAILED) error = errno;
    }
    close(file);
    errno = error;
    if (at == MAP_FAILED) return NULL;
    madvise(at, bytes, MADV_DONTFORK); // no use to a child, see E4
    return at;
}

// The header: who this is. /proc and not argv: a constructor may run before main() has those.
static void write_header(struct header *header) {
    header->pid = (uint32_t)getpid();
    header->word_bytes = sizeof(void *);
    ssize_t length = readlink("/proc/self/exe", header->program, sizeof header->program - 1);
    if (length < 0) header->program[0] = '\0';
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(header->magic, magic, sizeof magic);
}

// Makes PREFIX.PID-N.raw with the first free N: a file that is there is another program's that ran
// in this process.
static bool create_log(const char *prefix) {
    for (unsigned n = 0; n < 100000; n++) {
        int length =
            snprintf(state->path, sizeof state->path, "%s.%d-%u.raw", prefix, (int)getpid(), n);
        if (length >= (int)sizeof state->path) break;
        state->header = map_log(O_CREAT | O_EXCL, 0, HEADER_BYTES);
        if (state->header) return true;
        if (errno != EEXIST) {
            complain(state->path, strerror(errno));
            return false;
        }
    }
    complain(prefix, "no name left for a log");
    return false;
}

// False: nothing is to be recorded.
static bool open_log(void) {
    const char *prefix = getenv("MTRACE_LOG");
    if (!prefix || !*prefix) return false; // loaded, but not asked
    if (*prefix != '/') {                  // the program may change its folder between windows
        complain(prefix, "MTRACE_LOG has to be a path from the root");
        return false;
    }
    if (!create_log(prefix)) return false;
    write_header(state->header);
    state->offset = HEADER_BYTES;
    return true;
}

// Room for at least one record. False: the log ends here, and its header says why.
static bool next_window(void) {
    if (!state->header && !open_log()) return false;
    if (state->window) munmap(state->window, WINDOW_BYTES);
    state->next = state->window = map_log(0, state->offset, WINDOW_BYTES);
    if (!state->window) {
        state->header->stopped = errno;
        return false;
    }
    state->offset += (off_t)WINDOW_BYTES;
    return true;
}

static void put(enum kind kind, size_t size, uintptr_t from, uintptr_t to) {
    if (state->off || !environ) return; // so early that the environment is not there yet
    int saved = errno;
    if (!state->window || state->next == state->window + WINDOW_RECORDS) {
        state->off = !next_window();
    }
    if (!state->off) {
        struct record *record = state->next++;
        record->from = from;
        record->to = to;
        __atomic_store_n(&record->what, (uint64_t)kind << KIND_SHIFT | size, __ATOMIC_RELEASE);
    }
    errno = saved;
}

// ---- the first calls ----------------------------------------------------------------------------

// What dlsym() allocates while we look for the heap comes from here, and is never given back.
static _Alignas(16) char first[16384];
static size_t first_used; // bytes; start() runs once, and nothing else comes here

static bool is_first(const void *p) {
    return (uintptr_t)p >= (uintptr_t)first && (uintptr_t)p < (uintptr_t)first + sizeof first;
}

static void *first_take(size_t size) {
    size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded < size || rounded > sizeof first - first_used) return NULL;
    void *p = first + first_used;
    first_used += rounded;
    return p; // zero, as .bss is: good for calloc() too
}

// The block's size is not known; what follows it is `first` too, or not there.
static void *first_move(void *p, size_t size) {
    void *to = malloc(size);
    size_t most = (size_t)(first + sizeof first - (char *)p);
    return to ? memcpy(to, p, size < most ? size : most) : NULL;
}

// More than there can be, if it is more than a size_t holds.
static size_t product(size_t count, size_t size) {
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes;
}

static void *find(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (!function) {
        complain(name, "the program's C library has none");
        _exit(127); // going on would jump to 0
    }
    return function;
}

static void start(void) {
    heap.free = find("free");
    heap.calloc = find("calloc");
    heap.realloc = find("realloc");
    heap.reallocarray = find("reallocarray");
    heap.memalign = find("memalign");
    heap.aligned_alloc = find("aligned_alloc");
    heap.posix_memalign = find("posix_memalign");
    heap.valloc = find("valloc");
    heap.pvalloc = find("pvalloc");
    heap.malloc = find("malloc"); // the last: from now on the heap is there
    void *page =
        mmap(NULL, STATE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || madvise(page, STATE_BYTES, MADV_WIPEONFORK) != 0) {
        complain("nothing is recorded", strerror(errno)); // Linux before 4.14
        return;
    }
    state = page;
}

// True: this is a call of the program's, and leave() follows. False: pass it on.
static bool enter(void) {
    if (inside) return false;
    inside = true;
    pthread_once(&started, start);
    if (!state) {
        inside = false;
        return false;
    }
    pthread_mutex_lock(&state->lock);
    return true;
}

static void leave(void) {
    pthread_mutex_unlock(&state->lock);
    inside = false;
}

// ---- what programs call -------------------------------------------------------------------------

// Ends every entrance that allocates: a call that failed leaves no trace.
static void *taken(enum kind kind, size_t size, void *to) {
    if (to) put(kind, size, 0, (uintptr_t)to);
    leave();
    return to;
}

PUBLIC void *malloc(size_t size) {
    if (!enter()) return heap.malloc ? heap.malloc(size) : first_take(size);
    return taken(KIND_MALLOC, size, heap.malloc(size));
}

PUBLIC void free(void *p) {
    if (!p || is_first(p)) return;
    if (!enter()) {
        heap.free(p);
        return;
    }
    put(KIND_FREE, 0, (uintptr_t)p, 0);
    heap.free(p);
    leave();
}

// A product that overflows makes the call fail, so the one that is recorded did not.
PUBLIC void *calloc(size_t count, size_t size) {
    if (!enter()) return heap.malloc ? heap.calloc(count, size) : first_take(product(count, size));
    return taken(KIND_CALLOC, count * size, heap.calloc(count, size));
}

// Of realloc(p, 0) there are two kinds: glibc's frees p and returns NULL, others return a block.
static void *resized(uintptr_t from, size_t size, void *to) {
    if (to) put(KIND_REALLOC, size, from, (uintptr_t)to);
    else if (from && size == 0) put(KIND_FREE, 0, from, 0);
    leave();
    return to;
}

PUBLIC void *realloc(void *p, size_t size) {
    if (is_first(p)) return first_move(p, size);
    if (!enter()) return heap.malloc ? heap.realloc(p, size) : first_take(size);
    uintptr_t from = (uintptr_t)p;
    return resized(from, size, heap.realloc(p, size));
}

PUBLIC void *reallocarray(void *p, size_t count, size_t size) {
    if (is_first(p)) return first_move(p, product(count, size));
    if (!enter()) return heap.malloc ? heap.reallocarray(p, count, size) : NULL;
    uintptr_t from = (uintptr_t)p;
    return resized(from, count * size, heap.reallocarray(p, count, size));
}

// The aligned ones are recorded as malloc of their size: a trace has no alignment. Before the heap
// is found they are not needed.

PUBLIC void *memalign(size_t alignment, size_t size) {
    if (!enter()) return heap.malloc ? heap.memalign(alignment, size) : NULL;
    return taken(KIND_MALLOC, size, heap.memalign(alignment, size));
}

PUBLIC void *aligned_alloc(size_t alignment, size_t size) {
    if (!enter()) return heap.malloc ? heap.aligned_alloc(alignment, size) : NULL;
    return taken(KIND_MALLOC, size, heap.aligned_alloc(alignment, size));
}

PUBLIC int posix_memalign(void **to, size_t alignment, size_t size) {
    if (!enter()) return heap.malloc ? heap.posix_memalign(to, alignment, size) : ENOMEM;
    int error = heap.posix_memalign(to, alignment, size);
    taken(KIND_MALLOC, size, error == 0 ? *to : NULL);
    return error;
}

PUBLIC void *valloc(size_t size) {
    if (!enter()) return heap.malloc ? heap.valloc(size) : NULL;
    return taken(KIND_MALLOC, size, heap.valloc(size));
}

PUBLIC void *pvalloc(size_t size) {
    if (!enter()) return heap.malloc ? heap.pvalloc(size) : NULL;
    return taken(KIND_MALLOC, size, heap.pvalloc(size));
}
