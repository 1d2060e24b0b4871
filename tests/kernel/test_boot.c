// test_boot.c - the state the loader and the first lines of the kernel leave, and the totals made
// from it.
#include "kernel/bootinfo.h"
#include "kernel/layout.h"
#include "kernel/memmap.h"
#include "kernel/memory.h"
#include "kernel/memory_plan.h"
#include "lib/print.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"

// From kernel.ld; only the addresses mean something.
extern char kernel_start[], kernel_end[];

static const struct boot_info *const boot = P2V(BOOT_INFO);
static const struct e820_entry *const raw = P2V(MAP_ADDR);

KTEST(boot_info) {
    KCHECK_EQ(boot->magic, BOOT_INFO_MAGIC);
    KCHECK_EQ(boot->bytes, sizeof *boot);
    KCHECK(boot->boot_drive >= 0x80 && boot->boot_drive <= 0xff); // a hard disk's number
    KCHECK(boot->map_source >= MAP_FROM_E820 && boot->map_source <= MAP_FROM_88);
    KCHECK(boot->map_count >= 1 && boot->map_count <= MAP_MAX);
    KCHECK(boot->kernel_bytes > 0 && boot->kernel_bytes <= KERNEL_MAX_BYTES);
    KCHECK(boot->tsc_start < boot->tsc_loader && boot->tsc_loader < rdtsc());
}

// 0xb00 holds, as in the seed, the total in bytes: here the bytes of all usable entries below 4
// GiB. Worked out from the raw entries without the normaliser, so only where no two of them
// overlap.
KTEST(boot_total_at_0xb00) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < boot->map_count; i++) {
        uint64_t end = raw[i].base + raw[i].length;
        if (raw[i].type != 1 || raw[i].base >= 1ull << 32) continue;
        if (end > 1ull << 32) end = 1ull << 32;
        sum += end - raw[i].base;
    }
    uint32_t total = *(const volatile uint32_t *)P2V(TOTAL_MEM_ADDR);
    KCHECK_EQ(total, sum);
}

static struct memmap map; // 4 KiB: too much for a stack of 16

// Nothing usable is lost between the firmware's map and the pools but what the kernel holds, to the
// frame.
KTEST(boot_map_and_pools) {
    KNEED(memmap_normalize(raw, boot->map_count, &map) == 0);
    uint32_t total = *(const volatile uint32_t *)P2V(TOTAL_MEM_ADDR);
    KCHECK(map.total <= total && total - map.total < map.count * 2 * PG_SIZE); // rounding only
    uint64_t sum = 0;
    for (size_t i = 0; i < map.count; i++) sum += map.range[i].end - map.range[i].start;
    KCHECK(sum == map.total);
    uint32_t pools = frames_total(POOL_KERNEL) + frames_total(POOL_USER);
    uint32_t usable = (uint32_t)(map.total >> PG_SHIFT);
    uint32_t image = (V2P(kernel_end) - V2P(kernel_start)) >> PG_SHIFT;
    uint32_t records = frames_total(POOL_KERNEL) * (sizeof(struct frame) + sizeof(struct arena)) +
                       frames_total(POOL_USER) * sizeof(struct frame);
    uint32_t held = usable - pools;
    KCHECK(pools < usable);
    KCHECK(held >= image + records / PG_SIZE);
    KCHECK(held <=
           PLAN_LOW_END / PG_SIZE + image + records / PG_SIZE * 5 / 4 + usable / 1024 + 128);
}

// The pools' frames are usable memory, and neither pool's is the other's.
KTEST(boot_pools_are_usable_memory) {
    KNEED(memmap_normalize(raw, boot->map_count, &map) == 0);
    for (int id = 0; id < POOL_COUNT; id++) {
        const struct pool *pool = mem_pool[id];
        uint32_t inside = 0;
        for (uint32_t i = 0; i < pool->frames; i++) {
            int at = memmap_find(&map, frame_address((enum pool_id)id, i));
            inside += at >= 0;
        }
        KCHECK(inside >= pool->usable);
    }
    uint64_t kernel_last = frame_address(POOL_KERNEL, k_heap.pool.frames - 1);
    KCHECK(kernel_last < frame_address(POOL_USER, 0));
}

// Two pages that have not been written to since the loader cleared them, in the middle of .bss.
static volatile uint8_t never_written[2 * 4096];

KTEST(boot_bss_is_clear) {
    uint32_t set = 0;
    for (size_t i = 0; i < sizeof never_written; i++) set |= never_written[i];
    KCHECK_EQ(set, 0);
}

KTEST(boot_processor_state) {
    uint32_t cr0, flags = eflags_read();
    __asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
    KCHECK(cr0 & 0x80000000u); // PG
    KCHECK(cr0 & 0x00010000u); // WP
    KCHECK(cr0 & 0x00000001u); // PE
    KCHECK(flags & EFLAGS_IF);
    KCHECK(!(flags & 0x400));     // direction flag
    KCHECK_EQ(flags & 0x3000, 0); // I/O privilege 0
}
