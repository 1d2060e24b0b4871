// commands.c - what can be typed at the prompt: one function and one row of the table each.
//
// A command gets the words of its line like a C program its arguments, and says false if one is
// wrong; the shell then shows its usage line. Everything a command shows it takes from the same
// calls that all other code has.
//
// Addresses and numbers are decimal, or hexadecimal with 0x. A wrong address is no reason for
// caution: the heap refuses it with a report, and that is what one may want to see.
#include <stddef.h>

#include "device/ata.h"
#include "device/console.h"
#include "device/timer.h"
#include "kernel/classic/classic.h"
#include "kernel/cmdline.h"
#include "kernel/museum/bugs.h"
#include "kernel/measure/heaplog.h"
#include "kernel/size_tables.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/inspect/heapmap.h"
#include "kernel/inspect/heapwalk.h"
#include "kernel/ktest.h"
#include "kernel/memory.h"
#include "kernel/inspect/report.h"
#include "kernel/measure/replay.h"
#include "kernel/measure/trace_format.h"
#include "kernel/prompt/address.h"
#include "kernel/prompt/nextboot.h"
#include "kernel/prompt/pager.h"
#include "kernel/prompt/programs.h"
#include "kernel/paging.h"
#include "kernel/power.h"
#include "kernel/prompt/shell.h"
#include "kernel/inspect/who.h"
#include "kernel/prompt/words.h"
#include "lib/page.h"
#include "lib/print.h"
#include "lib/string.h"
#include "processor/start.h"
#include "thread/thread.h"

#define PS_MAX 64        // threads that `ps` can show
#define PEEK_DEFAULT 64u // bytes
#define PEEK_MAX 512u
#define WATCH_PER_SECOND 2u // pictures
#define WATCH_SECONDS_MAX 3600u

// "0x88012000: byte 5 of block 3 of ..."
static void print_who(uintptr_t address) {
    char who[ADDRESS_WHO_MAX];
    kprintf("%p: %s\n", (void *)address, address_who(who, sizeof who, address));
}

// ---- words -------------------------------------------------------------------------------------

// Says what is wrong with a word; the shell's usage line follows.
static bool wrong(const char *word, const char *why) {
    kprintf("'%s': %s\n", word, why);
    return false;
}

static bool number(const char *word, uint32_t *out) {
    return words_number(word, out) || wrong(word, "not a number of 32 bits");
}

static bool number_within(const char *word, uint32_t least, uint32_t most, uint32_t *out) {
    if (!number(word, out)) return false;
    if (*out >= least && *out <= most) return true;
    kprintf("'%s': not within %u .. %u\n", word, least, most);
    return false;
}

// ---- what there is ------------------------------------------------------------------------------

// Frames in the seed's unit and in KiB; how they lie in a second line. The product fits 32 bits:
// 4 GiB are 2^22 KiB.
static void pool_line(enum pool_id id) {
    uint32_t total = frames_total(id), free = frames_free(id), runs, longest;
    kprintf("%-12s %8u frames, %8u free, %8u KiB free, from %#010llx\n", mem_pool[id]->name, total,
            free, free * (PG_SIZE / 1024), (unsigned long long)frame_address(id, 0));
    pool_free_runs(id, &runs, &longest);
    kprintf("%21u free run%s, the longest of %u frames\n", runs, runs == 1 ? "" : "s", longest);
}

// Counts may change while they are printed: other threads go on. Each line is right by itself.
static bool run_pools(int words, char **word) {
    for (int id = 0; id < POOL_COUNT; id++) pool_line((enum pool_id)id);
    return true;
}

static bool run_descs(int words, char **word) {
    uint32_t pid;
    if (words > 1) {
        if (!number(word[1], &pid)) return false;
        programs_descs(pid);
        return true;
    }
    kprintf("block size  blocks/arena  arenas  free blocks  live blocks\n");
    for (uint32_t i = 0; i < k_heap.desc_count && pager_line(); i++) {
        struct desc_state state;
        heap_desc_state(&k_heap, i, &state);
        kprintf("%10u  %12u  %6u  %11u  %11u\n", state.block_size, state.blocks_per_arena,
                state.arenas, state.free_blocks, state.live_blocks);
    }
    return true;
}

static bool run_mem(int words, char **word) {
    run_pools(words, word);
    kprintf("heap         %8u frames in arenas of blocks, %u in large areas\n", k_heap.small_frames,
            k_heap.large_frames);
    run_descs(words, word);
    programs_mem();
    return true;
}

// One line; `arena` is a copy of the record at `frame`. An empty arena that is kept: reserve.
static void arena_line(const struct arena *arena, uint32_t frame) {
    const struct memory_block_desc *desc = arena->desc;
    if (arena->large) {
        kprintf("%5u  %p  large area of %u frames\n", frame, (void *)arena->base, arena->cnt);
        return;
    }
    uint32_t fresh = desc->blocks_per_arena - arena->carved,
             live = desc->blocks_per_arena - arena->cnt;
    char used[24] = "reserve";
    bool reserve = live == 0 && desc->reserve == &k_heap.arena[frame];
    if (!reserve) ksnprintf(used, sizeof used, "%u live", live);
    char owner[24] = "";
    uint32_t table = heap_desc_table(&k_heap, desc);
    if (table > 0) ksnprintf(owner, sizeof owner, ", processor %u's", table - 1);
    kprintf("%5u  %p  %4u-byte blocks: %s, %u free, %u never handed out%s\n", frame,
            (void *)arena->base, desc->block_size, used, arena->cnt - fresh, fresh, owner);
}

// Of one block size, or all. Records that are not sound are `check`'s business.
static bool run_arenas(int words, char **word) {
    uint32_t size = 0, shown = 0;
    if (words > 1 && !number(word[1], &size)) return false;
    kprintf("frame  base        holds\n");
    for (uint32_t frame = 0; frame < k_heap.frames; frame++) {
        struct arena arena = k_heap.arena[frame]; // it may change while it is printed
        if ((!arena.desc && !arena.large) || !arena_sealed(&arena)) continue;
        if (size != 0 && (arena.large || arena.desc->block_size != size)) continue;
        if (!pager_line()) return true;
        arena_line(&arena, frame);
        shown++;
    }
    if (shown == 0) put_str("none\n");
    return true;
}

// Ticks are those that found the thread running; a stack's use is the deepest so far. The array of
// 2.5 KiB is not on the stack, of which it would show as used for good.
// One that did not answer has no number: the others are numbered as they were started.
static bool run_cpus(int words, char **word) {
    uint32_t started = 0;
    put_str("  cpu  APIC id  state    runs                  busy        idle\n");
    for (uint32_t i = 0; i < processors_known() && pager_line(); i++) {
        struct processor_state state = processor_state(i);
        struct thread_processor info;
        if (!state.answers) {
            kprintf("    -  %7u  silent\n", state.apic);
            continue;
        }
        thread_processor_info(started, &info);
        kprintf("%5u  %7u  running  %-16s  %8u  %10u\n", started++, state.apic, info.running,
                info.busy, info.spare);
    }
    return true;
}

static bool run_ps(int words, char **word) {
    static struct thread_info info[PS_MAX]; // one shell: nothing else uses it
    size_t count = thread_snapshot(info, PS_MAX);
    bool several = processors_known() > 1;
    kprintf(" tid name             state     priority      ticks  stack used%s\n",
            several ? "     processor" : "");
    for (size_t i = 0; i < count && pager_line(); i++) {
        kprintf("%4u %-16s %-8s  %8u  %9u", info[i].tid, info[i].name,
                thread_state_text(info[i].state), info[i].priority, info[i].ticks);
        char stack[32] = "boot stack";
        if (info[i].stack_size) {
            ksnprintf(stack, sizeof stack, "%u of %u", info[i].stack_used, info[i].stack_size);
        }
        if (several) kprintf("  %-13s  %9u\n", stack, info[i].processor);
        else kprintf("  %s\n", stack);
    }
    programs_ps();
    programs_collect(); // those that have ended were shown once more
    return true;
}

static bool run_who(int words, char **word) {
    uint32_t address, pid;
    if (!number(word[1], &address)) return false;
    if (words > 2 && !number(word[2], &pid)) return false;
    if (words > 2) programs_who(pid, address);
    else print_who(address);
    return true;
}

static bool run_check(int words, char **word) {
    uint32_t broken = heap_check(); // it says what
    if (broken) kprintf("heap check: %u broken\n", broken);
    else put_str("heap check: every invariant holds\n");
    return true;
}

static bool run_leaks(int words, char **word) {
    uint32_t pid;
    if (words > 1 && !number(word[1], &pid)) return false;
    if (words > 1) programs_leaks(pid);
    else heap_leaks(pager_line);
    return true;
}

static bool run_heap(int words, char **word) {
    uint32_t pid;
    if (!number(word[1], &pid)) return false;
    programs_heap(pid);
    return true;
}

// ---- bytes --------------------------------------------------------------------------------------

// Sixteen in hexadecimal, then as text. A page that is not mapped is said to be, not read.
static bool peek_line(uintptr_t address, uint32_t bytes) {
    char hex[16 * 3 + 1], text[17];
    uint32_t entry;
    if (!paging_lookup(address & ~(uintptr_t)(PG_SIZE - 1), &entry)) {
        kprintf("%p: not mapped\n", (void *)address);
        return false;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        uint8_t byte = ((const volatile uint8_t *)address)[i];
        ksnprintf(hex + (size_t)i * 3, 4, " %02x", byte);
        text[i] = byte >= ' ' && byte <= '~' ? (char)byte : '.';
    }
    text[bytes] = '\0';
    kprintf("%p:%-48s  %s\n", (void *)address, hex, text);
    return true;
}

// No line crosses a page: each is checked by one look.
static bool run_peek(int words, char **word) {
    uint32_t address, bytes = PEEK_DEFAULT;
    if (!number(word[1], &address)) return false;
    if (words > 2 && !number_within(word[2], 1, PEEK_MAX, &bytes)) return false;
    if (bytes - 1 > UINT32_MAX - address) bytes = UINT32_MAX - address + 1; // to the very end
    while (bytes > 0) {
        uint32_t now = 16 - address % 16;
        if (now > bytes) now = bytes;
        if (!pager_line() || !peek_line(address, now)) return true;
        address += now;
        bytes -= now;
    }
    return true;
}

// ---- calls --------------------------------------------------------------------------------------

// What a call gave. Null has three reasons, and each its words; a refused call has said more in the
// heap's report.
static void print_result(const void *p, uint32_t size, uint32_t reports_before) {
    if (p) print_who((uintptr_t)p);
    else if (heap_report_count != reports_before) put_str("null: refused\n");
    else if (size == 0) put_str("null: nothing was asked for\n");
    else kprintf("null: no memory for %u bytes\n", size);
}

static bool run_malloc(int words, char **word) {
    uint32_t size, reports = heap_report_count;
    if (!number(word[1], &size)) return false;
    print_result(sys_malloc(size), size, reports);
    return true;
}

static bool run_free(int words, char **word) {
    uint32_t address;
    if (!number(word[1], &address)) return false;
    sys_free((void *)(uintptr_t)address);
    return true;
}

static bool run_realloc(int words, char **word) {
    uint32_t address, size, reports = heap_report_count;
    if (!number(word[1], &address) || !number(word[2], &size)) return false;
    print_result(sys_realloc((void *)(uintptr_t)address, size), size, reports);
    return true;
}

// ---- pictures -----------------------------------------------------------------------------------

static bool run_map_of(int words, char **word) {
    uint32_t pid;
    if (words < 3) return wrong(word[1], "of which program?");
    if (words > 3) return wrong(word[3], "one word too many");
    if (!number(word[2], &pid)) return false;
    programs_map(pid);
    return true;
}

// `map`, `map FROM [COUNT]`, `map user FROM [COUNT]`, `map of PID`.
static bool run_map(int words, char **word) {
    uint32_t from, count = UINT32_MAX;
    enum pool_id pool = POOL_KERNEL;
    if (words == 1) {
        heapmap_print();
        return true;
    }
    if (strcmp(word[1], "of") == 0) return run_map_of(words, word);
    if (strcmp(word[1], "user") == 0) {
        pool = POOL_USER;
        words--, word++;
    }
    if (words == 1) return wrong(word[0], "from which frame?");
    if (words > 3) return wrong(word[3], "one word too many");
    if (!number_within(word[1], 0, mem_pool[pool]->frames - 1, &from)) return false;
    if (words > 2 && !number_within(word[2], 1, UINT32_MAX, &count)) return false;
    heapmap_frames(pool, from, count, pager_line);
    return true;
}

// Something to look at: blocks of all sizes that come and go.
static volatile bool load_ends;

static int load(void *argument) {
    void *block[96] = {NULL};
    uint32_t random = (uint32_t)(uintptr_t)argument;
    while (!load_ends) {
        random = random * 1664525 + 1013904223;
        void **at = &block[(random >> 8) % 96];
        sys_free(*at);
        *at = sys_malloc(1 + (random >> 16) % (random >> 30 ? 1500 : 40000));
        if ((random >> 20) % 8 == 0) thread_sleep(1);
    }
    for (size_t i = 0; i < 96; i++) sys_free(block[i]);
    return 0;
}

// Draws over the picture before; until a key is pressed, or `seconds` are over (0: never).
static void watch(uint32_t seconds) {
    uint32_t start = timer_ticks(), pictures = seconds * WATCH_PER_SECOND;
    put_str("\033[2J");
    for (uint32_t i = 0; (pictures == 0 || i < pictures) && pager_key() == PAGER_NONE; i++) {
        put_str("\033[H");
        heapmap_print();
        kprintf("%u ticks; any key ends\033[K\n", timer_ticks() - start);
        thread_sleep(timer_hz() / WATCH_PER_SECOND);
    }
}

static bool run_watch(int words, char **word) {
    bool with_load = words > 1 && strcmp(word[words - 1], "load") == 0;
    uint32_t seconds = 0;
    int numbers = words - 1 - with_load;
    if (numbers > 1) return wrong(word[2], "not load");
    if (numbers == 1 && !number_within(word[1], 0, WATCH_SECONDS_MAX, &seconds)) return false;
    struct thread *thread[2] = {NULL, NULL};
    load_ends = false;
    for (uintptr_t i = 0; with_load && i < 2; i++) {
        thread[i] = thread_create("load", PRIORITY_DEFAULT, load, (void *)(i + 1));
        if (!thread[i]) put_str("no memory for a thread\n");
    }
    watch(seconds);
    load_ends = true;
    for (int i = 0; i < 2; i++) {
        if (thread[i]) thread_join(thread[i]);
    }
    return true;
}

// ---- what happens -------------------------------------------------------------------------------

static bool run_trace(int words, char **word) {
    if (words == 1) {
        kprintf("trace is %s; the last calls:\n", heaplog_on() ? "on" : "off");
        heaplog_print(20);
    } else if (strcmp(word[1], "on") == 0) {
        // Its stops are debug registers and single steps, which each processor has for itself.
        if (processors_known() > 1) put_str("trace follows one processor: boot with cpus=1\n");
        else if (!heaplog_start(true)) put_str("trace is on already\n");
    } else if (strcmp(word[1], "off") == 0) {
        heaplog_stop();
    } else {
        return wrong(word[1], "neither on nor off");
    }
    return true;
}

// A test may step through calls by the same exception that the trace is made by.
static bool run_test(int words, char **word) {
    heaplog_stop();
    ktest_run(words > 1 ? word[1] : "*");
    return true;
}

static bool run_bugs(int words, char **word) {
    uint32_t which;
    if (words == 1) {
        bugs_list(pager_line);
        return true;
    }
    bool fixed = words > 2;
    if (fixed && strcmp(word[2], "fixed") != 0) return wrong(word[2], "not fixed");
    which = bugs_number(word[1]);
    if (!which && !number_within(word[1], 1, bugs_count(), &which)) return false;
    bugs_run(which, fixed);
    return true;
}

// ---- programs -----------------------------------------------------------------------------------

static bool run_ls(int words, char **word) {
    programs_list();
    return true;
}

// The words as one line again.
static bool run_run(int words, char **word) {
    char line[128] = "";
    for (int i = 1; i < words; i++) {
        size_t used = strlen(line);
        ksnprintf(line + used, sizeof line - used, "%s%s", i > 1 ? " " : "", word[i]);
    }
    programs_collect();
    programs_run(line);
    return true;
}

static bool run_kill(int words, char **word) {
    uint32_t pid;
    if (!number(word[1], &pid)) return false;
    programs_kill(pid);
    return true;
}

// ---- the machine --------------------------------------------------------------------------------

// Text typed ahead would reach the next boot with its beginning missing: all of it is taken away,
// up to a pause that no pasted text has. The line before is for a runner, which must send nothing
// into a machine that starts.
static void before_restart(void) {
    uint32_t dropped = 0;
    put_str("granary: restart\n");
    for (uint32_t quiet = 0; quiet < timer_hz() / 10; quiet++) {
        for (; console_try_getc() >= 0; quiet = 0) dropped++;
        thread_sleep(1);
    }
    if (dropped) kprintf("%u characters typed ahead are dropped\n", dropped);
}

static bool current(const uint32_t *sizes, uint32_t count) {
    if (count != k_heap.desc_count) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (sizes[i] != k_heap.block_descs[i].block_size) return false;
    }
    return true;
}

static void sizes_line(const char *name, const uint32_t *sizes, uint32_t count) {
    kprintf("%-4s%s", name, current(sizes, count) ? " *" : "  ");
    for (uint32_t i = 0; i < count; i++) kprintf(" %u", sizes[i]);
    put_str("\n");
}

// The known tables, and the one of now if it is none of them.
static void sizes_list(void) {
    uint32_t sizes[DESC_MAX], count;
    bool known = false;
    for (size_t i = 0; classes_known(i); i++) {
        size_table_parse(classes_known(i), sizes, &count);
        known |= current(sizes, count);
        sizes_line(classes_known(i), sizes, count);
    }
    count = size_table_of(&k_heap, sizes);
    if (!known) sizes_line("own", sizes, count);
    put_str("*: of this boot. sizes NAME or sizes 16,32,... starts again with another\n");
}

// The heap's table of block sizes belongs to its first block: another one is for another boot.
static bool run_sizes(int words, char **word) {
    uint32_t sizes[DESC_MAX], count;
    if (words == 1) {
        sizes_list();
        return true;
    }
    const char *why = size_table_parse(word[1], sizes, &count);
    if (why) return wrong(word[1], why);
    char options[SIZE_TABLE_NAME_BYTES];
    ksnprintf(options, sizeof options, "sizes=%s", word[1]);
    if (strlen(options) > NEXTBOOT_MAX) {
        kprintf("too long to hand over to the next boot: make run ARGS=\"%s\"\n", options);
        return true;
    }
    before_restart();
    nextboot_start(options);
    return true;
}

static bool run_classic(int words, char **word) {
    classic_show();
    return true;
}

static bool run_halt(int words, char **word) { power_off(EXIT_PASSED); }

static bool run_reboot(int words, char **word) {
    before_restart();
    power_reboot();
}

// Why the second disk cannot be replayed; NULL if it can. It is read before the machine starts
// again: what is wrong is said while there still is a heap to look at.
static const char *trace_fault(void) {
    static uint8_t sector[ATA_SECTOR_BYTES];
    static struct trace trace; // has the words
    uint32_t sectors;
    enum ata_status status = ata_identify(TRACE_DRIVE, &sectors);
    if (status == ATA_OK) status = ata_read(TRACE_DRIVE, 0, 1, sector);
    if (status != ATA_OK) return ata_status_text(status);
    return trace_open(&trace, sector, (uint64_t)sectors * ATA_SECTOR_BYTES) ? NULL : trace.fault;
}

static bool run_replay(int words, char **word) {
    const char *fault = trace_fault();
    if (fault) {
        kprintf("no trace on the second disk: %s (make replay TRACE=FILE)\n", fault);
        return true;
    }
    before_restart();
    nextboot_start("demo=no replay");
    return true;
}

// ---- help ---------------------------------------------------------------------------------------

static bool run_options(int words, char **word) {
    for (uint32_t i = 0; i < cmdline_option_count; i++) {
        const struct option *option = &cmdline_options[i];
        if (option->help && !pager_line()) break;
        if (option->help) kprintf("%-26s %s\n", option->form, option->help);
    }
    return true;
}

static bool help_on(const char *name) {
    const struct command *command = shell_command(name);
    if (!command) {
        shell_unknown(name);
        return true;
    }
    kprintf("%s%s%s: %s\nexample: %s\n", command->name, *command->arguments ? " " : "",
            command->arguments, command->help, command->example);
    return true;
}

static bool run_help(int words, char **word) {
    if (words > 1) return help_on(word[1]);
    for (uint32_t i = 0; i < shell_command_count && pager_line(); i++) {
        kprintf("%-8s %-17s %s\n", shell_commands[i].name, shell_commands[i].arguments,
                shell_commands[i].help);
    }
    return true;
}

// ---- what may be completed ----------------------------------------------------------------------

static const char *one_of(const char *const *words, size_t index) {
    for (size_t i = 0; words[i]; i++) {
        if (i == index) return words[i];
    }
    return NULL;
}

static const char *help_value(int at, size_t index) {
    return at == 1 && index < shell_command_count ? shell_commands[index].name : NULL;
}

static const char *map_value(int at, size_t index) {
    static const char *const words[] = {"user", "of", NULL};
    return at == 1 ? one_of(words, index) : NULL;
}

static const char *watch_value(int at, size_t index) {
    return at <= 2 && index == 0 ? "load" : NULL;
}

static const char *trace_value(int at, size_t index) {
    static const char *const words[] = {"on", "off", NULL};
    return at == 1 ? one_of(words, index) : NULL;
}

static const char *test_value(int at, size_t index) { return at == 1 ? ktest_name(index) : NULL; }

static const char *bugs_value(int at, size_t index) {
    if (at == 2) return index == 0 ? "fixed" : NULL;
    return at == 1 && index < bugs_count() ? bug_at((uint32_t)index + 1)->name : NULL;
}

static const char *run_value(int at, size_t index) { return at == 1 ? programs_file(index) : NULL; }

static const char *sizes_value(int at, size_t index) {
    return at == 1 ? classes_known(index) : NULL;
}

const struct command shell_commands[] = {
    {"help", "[COMMAND]", 1, 2, run_help, "this list, or more on one command", "help who",
     help_value},
    {"mem", "", 1, 1, run_mem, "page-frame pools, block descriptors", "mem", NULL},
    {"pools", "", 1, 1, run_pools, "page-frame pools", "pools", NULL},
    {"descs", "[PID]", 1, 2, run_descs, "block descriptors; of a program", "descs", NULL},
    {"arenas", "[SIZE]", 1, 2, run_arenas, "arenas and large areas, one a line", "arenas 64", NULL},
    {"heap", "PID", 2, 2, run_heap, "a program's heap and its arenas", "heap 1", NULL},
    {"map", "[[user] FROM [COUNT] | of PID]", 1, 4, run_map,
     "pictures: of pools, frames, a program", "map 0 640", map_value},
    {"watch", "[SECONDS] [load]", 1, 3, run_watch, "the picture, live; load: with threads at work",
     "watch 10 load", watch_value},
    {"who", "ADDRESS [PID]", 2, 3, run_who, "what any address belongs to; of a program",
     "who 0x88000000", NULL},
    {"peek", "ADDRESS [BYTES]", 2, 3, run_peek, "bytes of memory, 512 at most",
     "peek 0x800b8000 160", NULL},
    {"malloc", "SIZE", 2, 2, run_malloc, "allocate", "malloc 24", NULL},
    {"free", "ADDRESS", 2, 2, run_free, "free", "free 0x88000020", NULL},
    {"realloc", "ADDRESS SIZE", 3, 3, run_realloc, "make larger or smaller",
     "realloc 0x88000020 5000", NULL},
    {"check", "", 1, 1, run_check, "walk every invariant of the heap", "check", NULL},
    {"leaks", "[PID]", 1, 2, run_leaks, "what is not freed; of a program", "leaks", NULL},
    {"trace", "[on|off]", 1, 2, run_trace, "print each heap call; alone: the last ones", "trace on",
     trace_value},
    {"test", "[NAME,NAME*]", 1, 2, run_test, "the kernel's own tests", "test heap_*,lib_print",
     test_value},
    {"bugs", "[BUG [fixed]]", 1, 3, run_bugs, "the museum of planted faults",
     "bugs off-by-one fixed", bugs_value},
    {"classic", "", 1, 1, run_classic, "the seed's own heap, beside ours", "classic", NULL},
    {"sizes", "[TABLE]", 1, 2, run_sizes, "the tables of block sizes; another: starts again",
     "sizes 16,48,256", sizes_value},
    {"replay", "", 1, 1, run_replay, "start again and replay the trace on the second disk",
     "replay", NULL},
    {"ls", "", 1, 1, run_ls, "the files of the image", "ls", NULL},
    {"run", "NAME [WORD...] [&]", 2, 8, run_run, "a program; &: beside the prompt. Ctrl-C ends it",
     "run hello world", run_value},
    {"kill", "PID", 2, 2, run_kill, "end a program", "kill 1000", NULL},
    {"ps", "", 1, 1, run_ps, "threads and programs", "ps", NULL},
    {"cpus", "", 1, 1, run_cpus, "processors: what each runs, ticks busy and idle", "cpus", NULL},
    {"options", "", 1, 1, run_options, "the kernel command line: make run ARGS=\"hz=1000\"",
     "options", NULL},
    {"halt", "", 1, 1, run_halt, "switch the machine off; exit, quit, Ctrl-D too", "exit", NULL},
    {"reboot", "", 1, 1, run_reboot, "start again", "reboot", NULL},
};
const uint32_t shell_command_count = sizeof shell_commands / sizeof shell_commands[0];
