// address.c - see address.h.
//
// From the address to its window (kernel/layout.h), and from there to what has the place. The low
// map is physical memory with KERNEL_BASE added, so what is there is told by the physical address;
// the same function answers for a number below KERNEL_BASE.
//
// Nothing but records, tables and the page tables is read, so the sentence is right about what
// belongs there even where nothing is mapped; then it says so.
#include "kernel/prompt/address.h"

#include <stdarg.h>
#include <stdbool.h>

#include "kernel/bootinfo.h"
#include "kernel/inspect/heapwalk.h"
#include "kernel/layout.h"
#include "kernel/memmap.h"
#include "kernel/memory.h"
#include "kernel/memory_plan.h"
#include "kernel/paging.h"
#include "kernel/symbol.h"
#include "lib/print.h"
#include "lib/string.h"
#include "thread/stack.h"
#include "thread/thread.h"

#define BDA 0x400u // the BIOS's data area
#define VIDEO 0xa0000u
#define VIDEO_TEXT 0xb8000u
#define VIDEO_END 0xc0000u
#define ROM_END 0x100000u
#define TEXT_COLUMNS 80u
#define TEXT_ROWS 25u

extern char kernel_start[], kernel_text_end[], kernel_rodata_end[], kernel_end[]; // kernel.ld

// A sentence, put together from left to right; what does not fit is cut.
struct sentence {
    char *to;
    size_t room;
};

static __attribute__((format(printf, 2, 3))) void say(struct sentence *said, const char *format,
                                                      ...) {
    size_t used = strlen(said->to);
    va_list args;
    va_start(args, format);
    kvsnprintf(said->to + used, said->room - used, format, args);
    va_end(args);
}

static void say_byte_of(struct sentence *said, uint32_t offset) {
    if (offset != 0) say(said, "byte %u of ", offset);
}

static bool mapped(uintptr_t address) {
    uint32_t entry;
    return paging_lookup(address & ~(uintptr_t)(PG_SIZE - 1), &entry);
}

// ---- stacks -------------------------------------------------------------------------------------

// What a visit of all threads looks for, and has found.
struct stack_search {
    uintptr_t address; // in a stack, or its guard page
    uint32_t entry;    // a frame's page table entry without its flags, where the frame is asked for
    const struct thread *thread;
};

static void stack_has_address(struct thread *thread, void *argument) {
    struct stack_search *search = argument;
    uintptr_t guard = stack_bottom(thread->slot) - PG_SIZE;
    if (search->address - guard < stack_top(thread->slot) - guard) search->thread = thread;
}

static void stack_has_frame(struct thread *thread, void *argument) {
    struct stack_search *search = argument;
    for (uintptr_t at = stack_bottom(thread->slot); at < stack_top(thread->slot); at += PG_SIZE) {
        uint32_t entry;
        bool there = paging_lookup(at, &entry);
        if (there && (entry & ~(PG_SIZE - 1)) == search->entry) search->thread = thread;
    }
}

// The boot stack is main's, once there are threads.
static bool stack_who(struct sentence *said, uintptr_t address) {
    struct stack_search search = {address, 0, NULL};
    thread_for_each(stack_has_address, &search);
    if (!search.thread) return false;
    const char *name = thread_name(search.thread);
    uintptr_t bottom = stack_bottom(search.thread->slot), top = stack_top(search.thread->slot);
    if (address < bottom) say(said, "the guard page below the stack of thread %s", name);
    else
        say(said, "%u bytes below the top of the stack of thread %s", (uint32_t)(top - address),
            name);
    return true;
}

// ---- the heap window ----------------------------------------------------------------------------

static void pool_hole(struct sentence *said, enum pool_id id, uint32_t frame) {
    say(said, "%s frame %u, no memory: a hole of the memory map", mem_pool[id]->name, frame);
}

static void heap_frame_who(struct sentence *said, uintptr_t address) {
    uint32_t frame = (uint32_t)((address - HEAP_BASE) >> PG_SHIFT);
    struct heap_block block;
    if (!mapped(address) && !heap_block_at(address, &block)) {
        pool_hole(said, POOL_KERNEL, frame);
        return;
    }
    size_t used = strlen(said->to);
    heap_who(said->to + used, said->room - used, address);
    struct stack_search search = {0, (uint32_t)frame_address(POOL_KERNEL, frame), NULL};
    thread_for_each(stack_has_frame, &search);
    if (search.thread) say(said, ": the stack of thread %s", thread_name(search.thread));
}

// ---- physical memory ----------------------------------------------------------------------------

// What the BIOS and the loader have left below PLAN_LOW_END (boot/boot.inc).
static void boot_who(struct sentence *said, uint32_t pa) {
    static const struct {
        uint32_t start, end;
        const char *what;
    } part[] = {
        {0, BDA, "real mode's interrupt vectors"},
        {BDA, BOOT_INFO, "the BIOS's data area"},
        {BOOT_INFO, BOOT_INFO + INFO_SIZE, "the boot information (struct boot_info)"},
        {TOTAL_MEM_ADDR, TOTAL_MEM_ADDR + 4, "the total memory in bytes"},
        {MAP_ADDR, MAP_ADDR + MAP_MAX * MAP_ENTRY_BYTES, "the firmware's memory map"},
        {CMDLINE_ADDR, CMDLINE_ADDR + CMDLINE_BYTES, "the command line"},
        {MBR_ADDR, MBR_ADDR + SECTOR_BYTES, "the boot sector"},
        {LOADER_ADDR, CRC_TABLE, "the loader"},
        {0, PLAN_LOW_END, "memory that only booting used"},
    };
    size_t i = 0;
    while (pa < part[i].start || pa >= part[i].end) i++;
    say_byte_of(said, pa - part[i].start);
    say(said, "%s", part[i].what);
}

static void video_who(struct sentence *said, uint32_t pa) {
    uint32_t cell = (pa - VIDEO_TEXT) / 2;
    if (pa < VIDEO_TEXT || cell >= TEXT_COLUMNS * TEXT_ROWS) {
        say(said, "video memory that is not on the text screen");
    } else {
        say(said, "VGA text screen, row %u, column %u, its %s", cell / TEXT_COLUMNS,
            cell % TEXT_COLUMNS, pa % 2 == 0 ? "character" : "colours");
    }
}

static void image_who(struct sentence *said, uintptr_t address) {
    uint32_t offset;
    const char *name = symbol_find(address, &offset);
    if (name) {
        say(said, "kernel code, %s+%#x", name, offset);
        return;
    }
    uintptr_t into = address - (uintptr_t)k_heap.block_descs;
    uint32_t desc = into / sizeof k_heap.block_descs[0];
    if (desc < k_heap.desc_count) {
        say_byte_of(said, into % sizeof k_heap.block_descs[0]);
        say(said, "the descriptor of %u-byte blocks", k_heap.block_descs[desc].block_size);
        return;
    }
    const char *kind = address < (uintptr_t)kernel_rodata_end ? "constants" : "data";
    name = symbol_object(address, &offset);
    if (name) say(said, "kernel %s, %s+%#x", kind, name, offset);
    else say(said, "kernel %s without a name", kind);
}

// Records of frames and of arenas, by what they are the record of.
static bool record_who(struct sentence *said, uintptr_t address) {
    for (int id = 0; id < POOL_COUNT; id++) {
        const struct pool *pool = mem_pool[id];
        uintptr_t into = address - (uintptr_t)pool->frame;
        if (into >= pool->frames * sizeof *pool->frame) continue;
        say_byte_of(said, into % sizeof *pool->frame);
        say(said, "the frame record of %s frame %u", pool->name, into / sizeof *pool->frame);
        return true;
    }
    uintptr_t into = address - (uintptr_t)k_heap.arena, frame = into / sizeof *k_heap.arena;
    if (into >= k_heap.frames * sizeof *k_heap.arena) return false;
    say_byte_of(said, into % sizeof *k_heap.arena);
    const struct arena *arena = &k_heap.arena[frame];
    say(said, "the arena record of kernel_pool frame %u", frame);
    if (arena->desc == NULL && arena->head == 0) return true;
    if (!arena_sealed(arena)) say(said, ", overwritten");
    else if (!arena->desc) say(said, ": the large area %p", (void *)arena->base);
    else say(said, ": the %u-byte arena %p", arena->desc->block_size, (void *)arena->base);
    return true;
}

// Entries are of 4 bytes; a page table's tells which page, the directory's which 4 MiB.
static bool page_table_who(struct sentence *said, uint32_t pa) {
    uint32_t entry = pa % PG_SIZE / 4, table = pa & ~(PG_SIZE - 1);
    if (table == paging_directory()) {
        say(said, "entry %u of the page directory: from %p", entry,
            (void *)((uintptr_t)entry << 22));
        return true;
    }
    uintptr_t start;
    if (!paging_table_at(table, &start)) return false;
    say(said, "entry %u of the page table from %p: page %p", entry, (void *)start,
        (void *)(start + ((uintptr_t)entry << PG_SHIFT)));
    return true;
}

// The firmware's word for a physical address; the last entry that has it counts.
static const char *firmware_type(uint32_t pa) {
    const struct boot_info *boot = P2V(BOOT_INFO);
    const struct e820_entry *entry = P2V(MAP_ADDR);
    const char *type = NULL;
    for (uint32_t i = 0; i < boot->map_count && i < MAP_MAX; i++) {
        if (pa - entry[i].base < entry[i].length) type = memmap_type_name(entry[i].type);
    }
    return type;
}

static bool pool_frame_at(enum pool_id id, uint32_t pa, uint32_t *frame) {
    uint64_t into = pa - mem_pool[id]->phys; // below the pool: huge
    *frame = (uint32_t)(into >> PG_SHIFT);
    return into >> PG_SHIFT < mem_pool[id]->frames;
}

static bool pool_who(struct sentence *said, uint32_t pa) {
    uint32_t frame;
    if (pool_frame_at(POOL_KERNEL, pa, &frame)) {
        uintptr_t at = (uintptr_t)F2V(frame) + pa % PG_SIZE;
        if (!mapped(at)) return false;
        say(said, "at %p: ", (void *)at);
        heap_frame_who(said, at);
        return true;
    }
    if (!pool_frame_at(POOL_USER, pa, &frame)) return false;
    size_t used = strlen(said->to);
    heap_user_frame_who(said->to + used, said->room - used, frame);
    return true;
}

static void physical_who(struct sentence *said, uint32_t pa) {
    uintptr_t low = (uintptr_t)P2V(pa);
    if (pa < PLAN_LOW_END) boot_who(said, pa);
    else if (pa >= VIDEO && pa < VIDEO_END) video_who(said, pa);
    else if (pa >= VIDEO_END && pa < ROM_END) say(said, "ROMs and the BIOS");
    else if (low >= (uintptr_t)kernel_start && low < (uintptr_t)kernel_end) image_who(said, low);
    else if (!page_table_who(said, pa) && !record_who(said, low) && !pool_who(said, pa)) {
        const char *type = firmware_type(pa);
        say(said, type ? "in no pool; the firmware calls it %s" : "no memory", type);
    }
}

// ---- windows ------------------------------------------------------------------------------------

static void low_map_who(struct sentence *said, uintptr_t address) {
    if (stack_who(said, address)) return; // the boot stack, inside the image
    physical_who(said, V2P(address));
}

static void stack_window_who(struct sentence *said, uintptr_t address) {
    if (!stack_who(said, address)) say(said, "a place for a stack that no thread has");
}

static void user_half_who(struct sentence *said, uintptr_t address) {
    say(said, address < PG_SIZE ? "the null page" : "user half");
    say(said, ", not mapped; as a physical address, ");
    physical_who(said, (uint32_t)address);
}

char *address_who(char *to, size_t room, uintptr_t address) {
    struct sentence said = {to, room};
    *to = '\0';
    if (address < KERNEL_BASE) {
        user_half_who(&said, address);
        return to;
    }
    if (address < HEAP_BASE) low_map_who(&said, address);
    else if ((address - HEAP_BASE) >> PG_SHIFT < k_heap.frames) heap_frame_who(&said, address);
    else if (address < STACK_BASE) say(&said, "the heap window, beyond the frames of kernel_pool");
    else if (address < STACK_END) stack_window_who(&said, address);
    else say(&said, "beyond the kernel's windows");
    if (!mapped(address)) say(&said, ", not mapped");
    return to;
}
