// port.c - see port.h: the window of frames, the lock, reports and settings.
//
// One mapping, of which the system gives memory page by page as it is touched:
//
//      records of frames and arenas     nothing      window: frame 0, frame 1, ...
//     +-----------------------------+ - - - - - -  +---------------------------------+
//                                     unreadable   ^ granary_base, at 2 MiB
//
// Theory. The kernel owns its frames; a process borrows its pages from the system, and is measured
// by how many it has. So beside the pool's records stands one bit for each frame, "stale": the
// frame was handed out once and came back, so its page may be there and may be dirty. The bit says
// what can be given to the system, and what calloc() has to clear.
//
// Settings, all in the environment and read once:
//   GRANARY_CLASSES=fine | seed | "16 32 48 ..."   table of block sizes
//   GRANARY_WINDOW=32G                             bytes of address space for the heap, with K M G
//   GRANARY_HEAP=report | panic                    what follows a report: nothing, or abort()
//   GRANARY_STATS=1 | FILE                         a line of figures at exit, to stderr or FILE
//   GRANARY_CHECK=1                                the heap is checked whole at exit
//
// Invariants:
//   G1  A frame whose stale bit is 0, and which nobody was handed since that became so, is zero.
//   G2  stale, top_frame, peak_frames, returned and largest change under the lock only.
//   G3  A frame that is somebody's is never swept: sweep() goes by the tags of free runs alone.
//
// Shortcomings:
//   - Pages go to the system under the lock: another thread waits for the system call.
//   - A free page in a short run stays resident, up to sixteen in a row.
//   - A large area that cannot grow in place is copied, where glibc moves its pages (mremap).
//   - A process that makes its second thread by clone() itself, behind glibc's back, has no lock.
#include "tools/libgranary/port.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kernel/checked/checked.h"
#include "kernel/size_tables.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/port.h"
#include "kernel/inspect/who.h"
#include "lib/print.h"
#include "lib/string.h"

uintptr_t granary_base;
uint32_t granary_held;
bool granary_ready;

#define MIB ((size_t)1 << 20)
#define WINDOW_ALIGN (2 * MIB) // a large page's size: one must not hold records and frames
// arena.cnt has 24 bits, and pages of 4 KiB are what it counts.
#define FRAMES_MAX ((1u << 24) - 1)
#define FRAMES_MIN 256u
#if SIZE_MAX > UINT32_MAX
#define WINDOW_DEFAULT ((size_t)32 << 30)
#else
#define WINDOW_DEFAULT ((size_t)3 << 29) // half of what a 32-bit process has
#endif

static uint32_t frames; // in the window
static struct frame *frame_record;
static struct arena *arena_record;
static struct port_run whole;
static uint32_t *stale;      // bit f: frame f was handed out and came back, and the system has not
                             // been given its page since
static uint32_t top_frame;   // no frame from here on was ever given back
static uint32_t peak_frames; // held at once, at most: seen whenever some are given back
static uint32_t reports;

static bool told;         // run_give() calls granary_frames_back()
static uint32_t returned; // frames that came back since somebody counted
static uint32_t largest;  // of those that came back at once, LARGEST_MAX at most

static bool panics, checks, prints;
static const char *stats_to; // NULL: no line
static uint32_t sizes[DESC_MAX], size_count;

// ---- words --------------------------------------------------------------------------------------

// Whole, whatever write() does with it.
static void say(int fd, const char *text, size_t bytes) {
    while (bytes > 0) {
        ssize_t written = write(fd, text, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return; // nobody is there to hear it
        text += written;
        bytes -= (size_t)written;
    }
}

// One line by one write(): lines of several processes do not mix. vsnprintf() allocates nothing for
// the conversions used here.
static __attribute__((format(printf, 2, 3))) void say_line(int fd, const char *format, ...) {
    char line[1024];
    int saved = errno;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length > 0) say(fd, line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
    errno = saved;
}

// A setting that cannot be: said once, and the program does not start.
static _Noreturn void refuse(const char *name, const char *value, const char *why) {
    say_line(STDERR_FILENO, "libgranary: %s=%s: %s\n", name, value, why);
    _exit(2);
}

// What the heap prints: its two lines at the start are nobody's business here, those of
// heap_check() are.
void put_str(const char *text) {
    if (prints) say(STDERR_FILENO, text, strlen(text));
}

void kprintf(const char *format, ...) {
    if (!prints) return; // before any work: text of libc that is not run takes no memory
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    put_str(line);
}

int ksnprintf(char *to, size_t room, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(to, room, format, args);
    va_end(args);
    return length;
}

// lib/string.h's, which glibc has from 2.38 on only. Hidden like all else.
size_t strlcpy(char *to, const char *from, size_t room) {
    return (size_t)ksnprintf(to, room, "%s", from);
}

// ---- the lock -----------------------------------------------------------------------------------

// Looks before it sleeps: about as long as the stretches under the lock are. To look longer costs
// more than it wins: while two processors fight for the heap's cache lines each call of both is
// slow, and one that sleeps for a moment lets the other do thousands at full speed.
#define LOOKS 4
#define SLEEP_NS 100000

void granary_wait(void) {
    for (;;) {
        for (uint32_t i = 0; i < LOOKS; i++) {
            __builtin_ia32_pause();
            if (__atomic_load_n(&granary_held, __ATOMIC_RELAXED) == 0 && granary_try()) return;
        }
        // Unlike nanosleep() it leaves errno alone (L2).
        clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
    }
}

// fork() copies the heap as it is at that moment: nobody may be in the middle of it.
static void fork_prepare(void) {
#ifdef HEAP_CHECKED
    port_checked_lock();
#endif
    port_lock();
}

// In the parent and in the child.
static void fork_done(void) {
    port_unlock(0);
#ifdef HEAP_CHECKED
    port_checked_unlock(0);
#endif
}

// ---- settings -----------------------------------------------------------------------------------

// A number of bytes, e.g. 512M.
static size_t read_bytes(const char *name, const char *text) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (end == text || *text == '-' || errno != 0) refuse(name, text, "not a number of bytes");
    if (shift != 0) end++;
    if (*end) refuse(name, text, "not a number of bytes (with K, M or G)");
    if (value > SIZE_MAX >> shift) refuse(name, text, "more than an address can say");
    return (size_t)value << shift;
}

// 0 and nothing are both "no", as a user expects of a switch.
static bool is_set(const char *value) { return value && *value && strcmp(value, "0") != 0; }

// The window's frames as asked for.
static uint32_t settings_read(void) {
    const char *classes = getenv("GRANARY_CLASSES"), *window = getenv("GRANARY_WINDOW");
    const char *on_fault = getenv("GRANARY_HEAP"), *why;
    if (!classes) classes = "fine";
    why = classes_parse(classes, sizes, &size_count);
    if (why) refuse("GRANARY_CLASSES", classes, why);
    if (on_fault && strcmp(on_fault, "panic") != 0 && strcmp(on_fault, "report") != 0) {
        refuse("GRANARY_HEAP", on_fault, "neither report nor panic");
    }
    panics = on_fault && strcmp(on_fault, "panic") == 0;
    checks = is_set(getenv("GRANARY_CHECK"));
    stats_to = is_set(getenv("GRANARY_STATS")) ? getenv("GRANARY_STATS") : NULL;
    size_t bytes = window ? read_bytes("GRANARY_WINDOW", window) : WINDOW_DEFAULT;
    if (bytes / PG_SIZE < FRAMES_MIN) refuse("GRANARY_WINDOW", window, "less than 1M");
    return bytes / PG_SIZE < FRAMES_MAX ? (uint32_t)(bytes / PG_SIZE) : FRAMES_MAX;
}

// ---- the window ---------------------------------------------------------------------------------

// The three kinds of records and the window each begin at a page, so that each can be protected.
static size_t page_up(size_t bytes) { return (bytes + PG_SIZE - 1) / PG_SIZE * PG_SIZE; }

// Maps records and window for `count` frames; false if there is no such room.
static bool window_map(uint32_t count) {
    size_t arenas = page_up(count * sizeof(struct arena));
    size_t tags = page_up(count * sizeof(struct frame)), bits = page_up(count / 8 + 4);
    size_t records = arenas + tags + bits, window = (size_t)count * PG_SIZE;
    if (window > SIZE_MAX - records - 2 * WINDOW_ALIGN) return false; // 32 bits: no such room
    size_t bytes = records + PG_SIZE + WINDOW_ALIGN + window;
    char *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return false;
    uintptr_t base = ((uintptr_t)at + records + PG_SIZE + WINDOW_ALIGN - 1) & -WINDOW_ALIGN;
    if (mprotect(at, records, PROT_READ | PROT_WRITE) != 0 ||
        mprotect((void *)base, window, PROT_READ | PROT_WRITE) != 0) {
        munmap(at, bytes);
        return false;
    }
    // Records are touched here and there, one for each 4 KiB of heap: large pages would be waste.
    madvise(at, records, MADV_NOHUGEPAGE);
    arena_record = (struct arena *)at;
    frame_record = (struct frame *)(at + arenas);
    stale = (uint32_t *)(at + arenas + tags);
    granary_base = base;
    frames = count;
    return true;
}

// A process may have been given less address space than the window wants (ulimit -v).
static void window_open(uint32_t count) {
    while (!window_map(count)) {
        count /= 2;
        if (count < FRAMES_MIN) {
            say_line(STDERR_FILENO, "libgranary: no address space for a heap\n");
            _exit(2);
        }
    }
    whole.count = count;
}

uint32_t granary_memory(void) {
    uint64_t bytes = (uint64_t)frames * PG_SIZE;
    return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

// All frames are the kernel pool's: nobody here has a use for user frames.
void port_pool(enum pool_id id, struct port_pool *out) {
    *out = (struct port_pool){0};
    if (id != POOL_KERNEL) return;
    out->frames = frames;
    out->frame = frame_record;
    out->arena = arena_record;
    out->run = &whole;
    out->runs = 1;
}

// From the first call of malloc() or, in a program that makes none, before main(): in either case
// before there is a second thread. The environment is there: glibc sets it before anything of a
// program's libraries runs. pthread_atfork() as early as this makes our handlers the last ones
// before a fork and the first ones after it, so that others' handlers may allocate.
__attribute__((constructor)) void granary_start(void) {
    if (granary_ready) return;
    window_open(settings_read());
    memory_init(); // with the seed's table
    if (block_desc_init(k_block_descs, sizes, size_count) != 0) {
        char name[CLASSES_NAME_BYTES];
        refuse("GRANARY_CLASSES", classes_name(sizes, size_count, name), "no table for memory.c");
    }
    if (!told) { // G1 stands on it
        say_line(STDERR_FILENO, "libgranary: memory.c does not tell which frames come back\n");
        _exit(2);
    }
    pthread_atfork(fork_prepare, fork_done, fork_done);
    granary_ready = true;
}

// ---- pages back to the system -------------------------------------------------------------------
//
// A free run's pages are worth keeping: the next area goes there, and a page that is taken back
// and touched again costs a fault. So they go back to the system only when many have gathered,
// many for a heap of this size; and not the short runs, which would cost a system call each for
// little.

// In frames. Kept are 4 MiB, or a quarter of what the heap holds, or twice the largest area that
// came back, itself counted as 32 MiB at most: who had one that big asks for it again (glibc has
// the same rule and bound, mallopt(3), M_MMAP_THRESHOLD).
#define KEEP_MIN 1024u
#define KEEP_SHARE 4
#define LARGEST_MAX 8192u
// Stale pages in a row that are worth a system call.
#define RUN_MIN 16u

static void mark(uint32_t first, uint32_t count, bool on) {
    for (uint32_t end = first + count, at = first; at < end;) {
        uint32_t bits = 32 - at % 32;
        if (bits > end - at) bits = end - at;
        uint32_t mask = (UINT32_MAX >> (32 - bits)) << at % 32;
        uint32_t word = on ? stale[at / 32] | mask : stale[at / 32] & ~mask;
        __atomic_store_n(&stale[at / 32], word, __ATOMIC_RELAXED); // granary_clear() has no lock
        at += bits;
    }
}

// The next frame from `at` on, below `end`, that is stale (or, with `wanted` false, that is not);
// `end` if none is. Whole words at a time: a free run may be the greater part of the window.
static uint32_t next_stale(uint32_t at, uint32_t end, bool wanted) {
    while (at < end) {
        uint32_t word = __atomic_load_n(&stale[at / 32], __ATOMIC_RELAXED);
        uint32_t bits = (wanted ? word : ~word) >> at % 32;
        if (bits != 0) {
            at += (uint32_t)__builtin_ctz(bits);
            return at < end ? at : end;
        }
        at = (at / 32 + 1) * 32;
    }
    return end;
}

// Gives the stale pages of free frames back, or, with `give` false, counts them only. Returns how
// many. Stretches shorter than `run_min` are left.
static uint32_t sweep_run(uint32_t first, uint32_t count, uint32_t run_min, bool give) {
    uint32_t total = 0, end = first + count;
    for (uint32_t at = next_stale(first, end, true); at < end; at = next_stale(at, end, true)) {
        uint32_t start = at;
        at = next_stale(at, end, false);
        if (at - start < run_min) continue;
        total += at - start;
        if (!give) continue;
        void *page = (void *)(granary_base + (uintptr_t)start * PG_SIZE);
        if (madvise(page, (size_t)(at - start) * PG_SIZE, MADV_DONTNEED) == 0) {
            mark(start, at - start, false);
        }
    }
    return total;
}

// Every free run of the pool, found by its tags (F1), so that no order of bins is relied on; and
// the `count` frames from `first` on, which are about to become one and have no tags.
static uint32_t sweep(uint32_t first, uint32_t count, uint32_t run_min, bool give) {
    uint32_t total = 0, length;
    for (uint32_t at = 0; at < top_frame; at += length) {
        uint32_t tag = at == first ? FRAME_FREE | count : frame_record[at].run;
        length = FRAME_RUN(tag) > 0 ? FRAME_RUN(tag) : 1;
        if (!(tag & FRAME_FREE)) continue;
        if (length > top_frame - at) length = top_frame - at;
        total += sweep_run(at, length, run_min, give);
    }
    return total;
}

// Stale frames that may stay free.
static uint32_t keep_limit(void) {
    uint32_t limit = (heap.small_frames + heap.large_frames) / KEEP_SHARE;
    if (limit < 2 * largest) limit = 2 * largest;
    return limit > KEEP_MIN ? limit : KEEP_MIN;
}

// Counts first: frames that came back may have been handed out again, and a heap that takes and
// gives the same areas all the time is to keep their pages.
static __attribute__((noinline)) void keep_less(uint32_t first, uint32_t count, uint32_t limit) {
    int saved = errno;
    returned = 0;
    if (sweep(first, count, RUN_MIN, false) > limit) sweep(first, count, RUN_MIN, true);
    errno = saved;
}

// From run_give(), before anything is changed: these frames still count as held.
void granary_frames_back(uint32_t first, uint32_t count) {
    told = true;
    if (!granary_ready) return; // the pool's first frames: nobody has had them
    uint32_t held = frames - mem_pool[POOL_KERNEL].free, limit;
    if (held > peak_frames) peak_frames = held;
    if (first + count > top_frame) top_frame = first + count;
    mark(first, count, true);
    if (count > largest) largest = count < LARGEST_MAX ? count : LARGEST_MAX;
    returned += count;
    limit = keep_limit();
    if (returned > limit / 2) keep_less(first, count, limit);
}

// For malloc_trim(): nothing is kept.
uint32_t granary_give_back(void) {
    int saved = errno;
    port_state state = port_lock();
    uint32_t total = sweep(FRAME_NONE, 0, 1, true);
    returned = 0;
    port_unlock(state);
    errno = saved;
    return total;
}

// Pages of frames that are not stale are zero already. The area is the caller's, and so are its
// frames' bits, but for neighbours in the first and last word: those may be changed meanwhile, so
// a word is read as one and only its own bits are looked at.
void granary_clear(void *area, size_t bytes) {
    uint32_t first = (uint32_t)(((uintptr_t)area - granary_base) >> PG_SHIFT);
    uint32_t end = first + (uint32_t)((bytes + PG_SIZE - 1) >> PG_SHIFT);
    for (uint32_t at = next_stale(first, end, true); at < end; at = next_stale(at, end, true)) {
        size_t from = (size_t)(at - first) * PG_SIZE;
        at = next_stale(at, end, false);
        size_t to = (size_t)(at - first) * PG_SIZE;
        memset((char *)area + from, 0, (to < bytes ? to : bytes) - from);
    }
}

// ---- reports ------------------------------------------------------------------------------------

char *granary_caller_text(char *to, size_t room, uintptr_t caller) {
    Dl_info info;
    if (!dladdr((void *)caller, &info)) ksnprintf(to, room, "%p", (void *)caller);
    else if (info.dli_sname) {
        ksnprintf(to, room, "%s+%#zx", info.dli_sname,
                  (size_t)(caller - (uintptr_t)info.dli_saddr));
    } else {
        ksnprintf(to, room, "%s+%#zx", info.dli_fname,
                  (size_t)(caller - (uintptr_t)info.dli_fbase));
    }
    return to;
}

// dladdr() allocates nothing, and its lock may be held by this thread already (recursive).
static void report(enum heap_fault fault, uintptr_t pointer, const char *verb, uintptr_t caller) {
    char who[HEAP_WHO_MAX], from[256];
    __atomic_add_fetch(&reports, 1, __ATOMIC_RELAXED);
    say_line(STDERR_FILENO, "heap: %s: %p: %s; %s from %s, thread %d\n", heap_fault_text(fault),
             (void *)pointer, heap_who(who, sizeof who, pointer), verb,
             granary_caller_text(from, sizeof from, caller), (int)gettid());
    if (panics) abort();
}

void port_report(enum heap_fault fault, uintptr_t pointer, uintptr_t caller) {
    report(fault, pointer, "called", caller);
}

#ifdef HEAP_CHECKED
void port_report_access(enum heap_fault fault, uintptr_t pointer, uintptr_t eip) {
    report(fault, pointer, "accessed", eip);
}
#endif

// ---- at exit ------------------------------------------------------------------------------------

// In blocks as they are, not as they were asked for: a request's size is written down nowhere.
static uint64_t live_bytes(void) {
    uint64_t bytes = (uint64_t)heap.large_frames * PG_SIZE;
    for (uint32_t i = 0; i < heap.desc_count; i++) {
        struct desc_state state;
        heap_desc_state(i, &state);
        bytes += (uint64_t)state.live_blocks * state.block_size;
    }
    return bytes;
}

static void print_stats(uint32_t broken) {
    char name[CLASSES_NAME_BYTES];
    bool to_file = strcmp(stats_to, "1") != 0;
    int fd =
        to_file ? open(stats_to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : STDERR_FILENO;
    if (fd < 0) return say_line(STDERR_FILENO, "libgranary: %s: %m\n", stats_to);
    uint32_t held = heap.small_frames + heap.large_frames;
    say_line(fd,
             "granary: program=%s classes=%s frames_peak=%u frames_held=%u live=%llu checked=%d "
             "broken=%u reports=%u\n",
             program_invocation_short_name, classes_name(sizes, size_count, name),
             peak_frames > held ? peak_frames : held, held, (unsigned long long)live_bytes(),
             checks, broken, reports);
    if (to_file) close(fd);
}

// A program that ends by _exit() or a signal says nothing. Other libraries may still allocate after
// this: the heap works on.
__attribute__((destructor)) static void at_exit(void) {
    prints = true;
    uint32_t broken = checks ? heap_check() : 0;
    prints = false;
    if (stats_to) print_stats(broken);
    if (broken != 0) abort();
}
