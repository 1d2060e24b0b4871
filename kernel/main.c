// main.c - the order of initialisation, a line and a reason each.
//
// Everything is called from here and nothing calls back: what a part needs at its start it gets as
// an argument. Interrupts stay off until the end of start_up().
#include "kernel/measure/bench.h"
#include "kernel/bootinfo.h"
#include "kernel/museum/bugs.h"
#include "kernel/checked/checked_port.h"
#include "kernel/size_tables.h"
#include "kernel/cmdline.h"
#include "kernel/museum/demo.h"
#include "kernel/fault.h"
#include "kernel/gdt.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/interrupt.h"
#include "kernel/layout.h"
#include "kernel/bochs_break.h"
#include "kernel/memmap.h"
#include "kernel/ktest.h"
#include "kernel/memory.h"
#include "kernel/paging.h"
#include "kernel/prompt/nextboot.h"
#include "kernel/prompt/programs.h"
#include "kernel/panic.h"
#include "kernel/memory_plan.h"
#include "kernel/port_kernel.h"
#include "kernel/power.h"
#include "kernel/measure/events.h"
#include "kernel/measure/heaplog.h"
#include "kernel/measure/replay.h"
#include "kernel/measure/together.h"
#include "kernel/inspect/report.h"
#include "kernel/museum/tour_scenes.h"
#include "kernel/museum/misbehave.h"
#include "kernel/prompt/shell.h"
#include "kernel/measure/soak.h"
#include "device/ata.h"
#include "device/console.h"
#include "device/serial.h"
#include "device/timer.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "process/process.h"
#include "processor/start.h"
#include "thread/thread.h"

noreturn void kmain(void); // called by start.asm

extern char kernel_end[]; // from kernel.ld

static const struct boot_info *const boot = P2V(BOOT_INFO);

static struct memmap usable_map;
static struct memory_plan plan;
static struct options options;
static uint64_t tsc_main, tsc_memory; // rdtsc at kmain()'s start and at "mem_init done"

// A kernel started by anything but its own loader would read rubbish from low memory.
static void boot_info_check(void) {
    if (boot->magic != BOOT_INFO_MAGIC || boot->bytes != sizeof *boot ||
        boot->map_count > MAP_MAX) {
        panic("no boot information at %#x: the loader is not of this build", BOOT_INFO);
    }
}

// Options that were passed over: at the start, and once more above the prompt, where it is seen.
static void options_complain(void) {
    for (uint32_t i = 0; i < options.problem_count; i++)
        kprintf("cmdline: %s\n", options.problem[i]);
    if (options.problem_more) kprintf("cmdline: %u more\n", options.problem_more);
}

static void options_read(void) {
    static char text[CMDLINE_BYTES + NEXTBOOT_MAX + 2]; // what does not fit, cmdline_parse() names
    char once[NEXTBOOT_MAX + 1];
    strlcpy(text, P2V(CMDLINE_ADDR), CMDLINE_BYTES);
    if (nextboot_take(once, sizeof once)) {
        kprintf("for this boot only: %s\n", once);
        strlcpy(text + strlen(text), " ", 2);
        strlcpy(text + strlen(text), once, sizeof once);
    }
    kprintf("command line: %s\n", text[0] ? text : "(empty)");
    cmdline_parse(text, &options);
    options_complain();
    heap_report_panics(options.heap_panic);
    bochs_breaks = options.magic_break;
}

// The firmware's entries as they are, then what they come to.
static void memory_map_read(void) {
    static const char *const source[] = {"?", "E820", "E801", "88h"};
    const struct e820_entry *raw = P2V(MAP_ADDR);
    for (uint32_t i = 0; i < boot->map_count; i++) {
        kprintf("e820: 0x%016llx + 0x%016llx %s\n", (unsigned long long)raw[i].base,
                (unsigned long long)raw[i].length, memmap_type_name(raw[i].type));
    }
    if (boot->map_dropped) kprintf("memory: %u map entries dropped\n", boot->map_dropped);
    if (memmap_normalize(raw, boot->map_count, &usable_map) != 0) panic("memory: no usable range");
    kprintf("memory: %u KiB usable below 4 GiB in %u ranges (from %s)",
            (uint32_t)(usable_map.total >> 10), (uint32_t)usable_map.count,
            source[boot->map_source & 3]);
    if (usable_map.beyond)
        kprintf(", %u KiB above out of reach", (uint32_t)(usable_map.beyond >> 10));
    kprintf("\n");
}

static void memory_start(void) {
    memory_map_read();
    const char *why = memory_plan_make(&plan, &usable_map, V2P(kernel_end));
    if (why) {
        kprintf("memory: refused: %s\n", why);
        power_off(EXIT_FAILED);
    }
    paging_init(&plan); // before the records are touched: they may lie beyond 4 MiB
    gdt_set_double_fault_cr3(paging_directory()); // its task brings its own CR3
    port_plan_set(&plan);                         // what memory_init() asks its port for
    memory_init();                                // pools, descriptors
    tsc_memory = rdtsc();
}

// The table of block sizes that the command line asks for: while the heap is still empty.
static void classes_use(void) {
    uint32_t sizes[DESC_MAX], count = 0;
    char name[SIZE_TABLE_NAME_BYTES];
    const char *why = size_table_parse(options.classes, sizes, &count); // read once, found good
    if (why || block_desc_set(&k_heap, sizes, count) != 0)
        panic("classes: the heap refuses its table");
    kprintf("classes: %s, %u sizes up to %u bytes\n", size_table_name(sizes, count, name), count,
            sizes[count - 1]);
}

static const char *trace_read(uint32_t sector, uint32_t count, void *to) {
    enum ata_status status = ata_read(TRACE_DRIVE, sector, count, to);
    return status == ATA_OK ? NULL : ata_status_text(status);
}

static bool trace_replay(bool (*run)(const struct replay *replay)) {
    uint32_t sectors;
    if (options.classes_wrong) {
        kprintf("replay: failed: no such table of block sizes\n");
        return false;
    }
    enum ata_status status = ata_identify(TRACE_DRIVE, &sectors);
    if (status != ATA_OK) {
        kprintf("replay: failed: second disk: %s\n", ata_status_text(status));
        return false;
    }
    struct replay replay = {.name = options.replay,
                            .progress = options.progress || !options.batch,
                            .disk_bytes = (uint64_t)sectors * ATA_SECTOR_BYTES,
                            .read = trace_read};
    return run(&replay);
}

// Before there is anything else on the heap. Every interrupt line is still masked.
static void replay_first(void) {
    irq_enable(); // as the heap's callers have it
    bool good = trace_replay(replay_run);
    irq_disable();
    if (options.batch) power_off(good ? EXIT_PASSED : EXIT_FAILED);
}

// Before the first allocation. An option that this build cannot obey is not passed over in silence.
static void checks_start(void) {
#ifdef HEAP_CHECKED
    checked_start(options.guard);
#else
    static const char why[] = "'guard' needs the checked build: make run CHECK=1";
    if (!options.guard) return;
    cmdline_problem(&options, why);
    kprintf("cmdline: %s\n", why);
#endif
}

// Before the first allocation, so that none is missing. A machine without the line goes on without.
static void events_begin(void) {
    static const char why[] = "'events=com2': there is no second serial line";
    if (!options.events) return;
    if (serial2_init()) {
        events_start(serial2_write);
        return;
    }
    cmdline_problem(&options, why);
    kprintf("cmdline: %s\n", why);
}

static void start_up(void) {
    console_init(); // first: whatever goes wrong from here on can be read
    kprintf("Granary\n");
    gdt_init(
        fault_panic); // own segments: the loader's table lies in memory that is no longer mapped
    interrupt_init();
    fault_init();      // exceptions from here on end in a report, not in a triple fault
    boot_info_check(); // before anything trusts low memory
    options_read();
    memory_start();
    classes_use();
    checks_start();
    events_begin();
    if (options.replay && !options.together) replay_first(); // a measurement wants the heap
    thread_init(); // needs sys_malloc; this code becomes thread "main"
    process_init(options.frames);
    timer_init(options.hz ? options.hz : TIMER_HZ_DEFAULT, thread_tick);
    console_input_init();
    if (options.log) heaplog_start(options.log_print);
    irq_enable(); // every handler's data exists now
    // Last: another processor runs threads at once.
    processors_start(options.cpus, options.log ? "as 'log' follows the calls of one" : NULL);
    kprintf("boot: %llu instructions or cycles from the loader to main, %llu to mem_init done\n",
            (unsigned long long)(tsc_main - boot->tsc_start),
            (unsigned long long)(tsc_memory - boot->tsc_start));
}

noreturn void kmain(void) {
    tsc_main = rdtsc();
    start_up();
    if (options.selftest != SELFTEST_NONE) misbehave(options.selftest);
    bool good = true;
    if (options.test) power_off(ktest_run(options.test) == 0 ? EXIT_PASSED : EXIT_FAILED);
    if (options.replay && options.together) good = trace_replay(together_run);
    if (options.demo) good = demo_run() && good;
    if (options.run) good = programs_boot(options.run) && good;
    if (options.scene) good = scene_run(options.scene) && good;
    if (options.bugs) good = bugs_boot(options.bugs, options.bugs_fixed) && good;
    if (options.bench) good = bench_run() && good;
    uint32_t hash; // in the line that soak_run() prints, too
    if (options.soak)
        good = soak_run(options.soak, options.soak_crowd, options.soak_seed, &hash) && good;
    if (options.batch) power_off(good ? EXIT_PASSED : EXIT_FAILED);
    options_complain();
    shell_run();
}
