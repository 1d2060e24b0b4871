// words.c - see settings.h: settings, reports, and the line of figures at exit.
//
// Theory. A program may write its own title over the environment (setproctitle), close standard
// error before it ends (ls, sort), change its folder, and call malloc() anywhere: so every setting
// is copied at the start, standard error is kept open for the figures, and whatever is said between
// start and end goes through lib/format.c and one system call.
//
// Shortcomings:
//   - A program that ends by _exit() or a signal prints no figures.
//   - A caller is named by the dynamic symbols only: functions of a program that exports none are
//     its file and an offset, which addr2line(1) takes.
#include "tools/libgranary/settings.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel/checked/checked.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/inspect/who.h"
#include "kernel/port.h"
#include "kernel/size_tables.h"
#include "lib/format.h"
#include "tools/libgranary/system.h"

#define NAME_BYTES 64

struct granary_settings granary_settings;

static bool prints;              // heap_check() may
static char stats_to[PATH_MAX];  // "": no figures; "1": to standard error
static char program[NAME_BYTES]; // its name
static int stats_fd = -1;        // standard error as it was at the start
static struct stat stats_place;  // and what it was
uint32_t granary_reports;

// ---- lines --------------------------------------------------------------------------------------

// Whole, whatever the system does with it.
static void say(int fd, const char *text, size_t bytes) {
    while (bytes > 0) {
        long written = SYSTEM(SYS_write, fd, text, bytes);
        if (written == -EINTR) continue;
        if (written <= 0) return; // it cannot be said
        text += written;
        bytes -= (size_t)written;
    }
}

// Names come from files and arguments: what would move a terminal's cursor, or end the line, does
// not get there.
static void make_plain(char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) text[i] = '?';
    }
}

// One line by one write(): lines of several processes do not mix.
static __attribute__((format(printf, 2, 3))) void say_line(int fd, const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    size_t length = (size_t)kvsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length > sizeof line - 2) length = sizeof line - 2;
    make_plain(line, length);
    line[length++] = '\n';
    say(fd, line, length);
}

_Noreturn void granary_refuse(const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    kvsnprintf(text, sizeof text, format, args);
    va_end(args);
    say_line(STDERR_FILENO, "libgranary: %s", text);
    SYSTEM(SYS_exit_group, 2);
    __builtin_unreachable();
}

// What the heap prints: its two lines at the start are not for users, those of heap_check() are.
void put_str(const char *text) {
    if (prints) say(STDERR_FILENO, text, strlen(text));
}

void kprintf(const char *format, ...) {
    if (!prints) return; // before any work: code that is not run takes no memory
    char line[512];
    va_list args;
    va_start(args, format);
    kvsnprintf(line, sizeof line, format, args);
    va_end(args);
    put_str(line);
}

// lib/string.h's, which glibc has from 2.38 on only. Hidden like all else.
size_t strlcpy(char *to, const char *from, size_t room) {
    return (size_t)ksnprintf(to, room, "%s", from);
}

// ---- settings -----------------------------------------------------------------------------------

// A number of bytes, e.g. 512M.
static size_t read_bytes(const char *name, const char *text) {
    size_t value = 0;
    const char *end = text;
    for (; *end >= '0' && *end <= '9'; end++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (size_t)(*end - '0'), &value)) {
            granary_refuse("%s=%s: more than an address can say", name, text);
        }
    }
    unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (end == text || end[shift != 0]) {
        granary_refuse("%s=%s: not a number of bytes (with K, M or G)", name, text);
    }
    if (value > SIZE_MAX >> shift)
        granary_refuse("%s=%s: more than an address can say", name, text);
    return value << shift;
}

// 0 and nothing are both "no", as a user expects of a switch.
static bool is_set(const char *value) { return value && *value && strcmp(value, "0") != 0; }

// One of the two words, or not said: false.
static bool read_choice(const char *name, const char *no, const char *yes) {
    const char *value = secure_getenv(name);
    if (!value || !*value || strcmp(value, no) == 0) return false;
    if (strcmp(value, yes) != 0) granary_refuse("%s=%s: neither %s nor %s", name, value, no, yes);
    return true;
}

// The file for the figures, by its whole path: the program may go to another folder.
static void read_stats(void) {
    const char *value = secure_getenv("GRANARY_STATS");
    if (!is_set(value)) return;
    size_t used = 0;
    if (strcmp(value, "1") == 0) {
        stats_fd = (int)SYSTEM(SYS_fcntl, STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
        if (stats_fd >= 0) fstat(stats_fd, &stats_place);
    } else if (*value != '/') {
        long length = SYSTEM(SYS_getcwd, stats_to, sizeof stats_to);
        used = length > 1 ? (size_t)length - 1 : 0;
        if (used > 0) stats_to[used++] = '/';
    }
    if (strlen(value) >= sizeof stats_to - used) {
        granary_refuse("GRANARY_STATS=%.40s...: a path that is too long", value);
    }
    strlcpy(stats_to + used, value, sizeof stats_to - used);
}

#if SIZE_MAX > UINT32_MAX
#define WINDOW_DEFAULT "32G"
#else
#define WINDOW_DEFAULT "1536M" // half of what a 32-bit process has
#endif
#define WINDOW_MIN ((size_t)1 << 20)

void granary_settings_read(void) {
    struct granary_settings *to = &granary_settings;
    const char *classes = secure_getenv("GRANARY_CLASSES"), *why;
    const char *window = secure_getenv("GRANARY_WINDOW");
    if (!classes) classes = "fine";
    why = size_table_parse(classes, to->sizes, &to->size_count);
    if (why) granary_refuse("GRANARY_CLASSES=%s: %s", classes, why);
    to->window = read_bytes("GRANARY_WINDOW", window ? window : WINDOW_DEFAULT);
    if (to->window < WINDOW_MIN) granary_refuse("GRANARY_WINDOW=%s: less than 1M", window);
    to->panics = read_choice("GRANARY_HEAP", "report", "panic");
    to->checks = read_choice("GRANARY_CHECK", "0", "1");
    read_stats();
}

// ---- reports ------------------------------------------------------------------------------------

// The dynamic symbols of a loaded file, and how many: their hash table knows.
struct symbols {
    const ElfW(Sym) * symbol;
    const char *names;
    uint32_t count;
};

static uint32_t symbol_count(const uint32_t *hash) {
    uint32_t buckets = hash[0], first = hash[1], bloom = hash[2], last = 0;
    const uint32_t *bucket = (const uint32_t *)((const ElfW(Addr) *)(hash + 4) + bloom);
    const uint32_t *chain = bucket + buckets;
    for (uint32_t i = 0; i < buckets; i++) {
        if (bucket[i] > last) last = bucket[i];
    }
    if (last < first) return first;
    while (!(chain[last - first] & 1)) last++;
    return last + 1;
}

static struct symbols symbols_of(const struct link_map *map) {
    struct symbols found = {0};
    const uint32_t *hash = NULL;
    for (const ElfW(Dyn) *entry = map->l_ld; entry && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB) found.symbol = (const ElfW(Sym) *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_STRTAB) found.names = (const char *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_GNU_HASH) hash = (const uint32_t *)entry->d_un.d_ptr;
    }
    if (found.symbol && found.names && hash) found.count = symbol_count(hash);
    return found;
}

uintptr_t granary_symbol(const void *in, const char *name) {
    struct dl_find_object object;
    if (_dl_find_object((void *)(uintptr_t)in, &object) != 0) return 0;
    struct symbols all = symbols_of(object.dlfo_link_map);
    for (uint32_t i = 0; i < all.count; i++) {
        const ElfW(Sym) *symbol = &all.symbol[i];
        if (symbol->st_shndx != SHN_UNDEF && strcmp(all.names + symbol->st_name, name) == 0)
            return object.dlfo_link_map->l_addr + symbol->st_value;
    }
    return 0;
}

// dladdr() takes a lock of the dynamic loader's, whose holder may be waiting for this thread;
// _dl_find_object() takes none.
char *granary_caller_text(char *to, size_t room, uintptr_t caller) {
    struct dl_find_object object;
    if (_dl_find_object((void *)caller, &object) != 0) {
        ksnprintf(to, room, "%#zx", (size_t)caller);
        return to;
    }
    const struct link_map *map = object.dlfo_link_map;
    struct symbols all = symbols_of(map);
    size_t offset = caller - map->l_addr;
    for (uint32_t i = 0; i < all.count; i++) {
        const ElfW(Sym) *symbol = &all.symbol[i];
        if (ELF32_ST_TYPE(symbol->st_info) != STT_FUNC || offset < symbol->st_value ||
            offset - symbol->st_value >= symbol->st_size) {
            continue;
        }
        ksnprintf(to, room, "%s+%#zx", all.names + symbol->st_name, offset - symbol->st_value);
        return to;
    }
    ksnprintf(to, room, "%s+%#zx", *map->l_name ? map->l_name : program, offset);
    return to;
}

static void report(enum heap_fault fault, uintptr_t pointer, const char *verb, uintptr_t caller) {
    char who[HEAP_WHO_MAX], from[256];
    __atomic_add_fetch(&granary_reports, 1, __ATOMIC_RELAXED);
    if (caller) granary_caller_text(from, sizeof from, caller);
    else ksnprintf(from, sizeof from, "two threads at once"); // and found out by a third, perhaps
    say_line(STDERR_FILENO, "heap: %s: %p: %s; %s from %s, thread %u", heap_fault_text(fault),
             (void *)pointer, heap_who(who, sizeof who, pointer), verb, from, system_thread());
    if (granary_settings.panics) abort();
}

void port_report(const struct heap *heap, enum heap_fault fault, uintptr_t pointer,
                 uintptr_t caller) {
    (void)heap;
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
    uint64_t bytes = (uint64_t)k_heap.large_frames * PG_SIZE;
    for (uint32_t i = 0; i < k_heap.desc_count; i++) {
        struct desc_state state;
        heap_desc_state(&k_heap, i, &state);
        bytes += (uint64_t)state.live_blocks * state.block_size;
    }
    return bytes;
}

// The file for the figures. Standard error may have been closed, and its number, as that of the
// copy, may be another file's by now.
static int stats_open(void) {
    struct stat now;
    if (strcmp(stats_to, "1") != 0) {
        return (int)SYSTEM(SYS_openat, AT_FDCWD, stats_to,
                           O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    }
    const int candidates[] = {STDERR_FILENO, stats_fd};
    for (size_t i = 0; i < 2; i++) {
        bool there = candidates[i] >= 0 && fstat(candidates[i], &now) == 0;
        if (there && now.st_dev == stats_place.st_dev && now.st_ino == stats_place.st_ino) {
            return candidates[i];
        }
    }
    return -1;
}

static void print_stats(uint32_t broken) {
    char name[SIZE_TABLE_NAME_BYTES];
    const struct granary_settings *set = &granary_settings;
    int fd = stats_open();
    if (fd < 0) {
        if (*stats_to == '/')
            say_line(STDERR_FILENO, "libgranary: %s: cannot be written", stats_to);
        return;
    }
    uint32_t held = k_heap.small_frames + k_heap.large_frames, peak = granary_peak_frames;
    uint32_t home = 0; // of arenas on which nothing lives: who wants frames has them
#ifndef HEAP_CHECKED
    home = owners_home(&k_heap);
#endif
    say_line(fd,
             "granary: program=%s classes=%s frames_peak=%u frames_held=%u live=%llu checked=%d "
             "broken=%u reports=%u",
             program, size_table_name(set->sizes, set->size_count, name), peak > held ? peak : held,
             held - home, (unsigned long long)live_bytes(), set->checks, broken, granary_reports);
}

// After the C library's own start, which makes the name; before main(), which may write over it.
__attribute__((constructor)) static void keep_name(void) {
    strlcpy(program, program_invocation_short_name, sizeof program);
    for (char *c = program; *c; c++) {
        if (*c == ' ') *c = '?'; // the line is words
    }
}

// Other libraries may still allocate after this: the heap works on.
__attribute__((destructor)) static void at_exit(void) {
    prints = true;
    uint32_t broken = granary_settings.checks ? heap_check() : 0;
    prints = false;
    if (*stats_to) print_stats(broken);
    if (broken != 0) abort();
}
