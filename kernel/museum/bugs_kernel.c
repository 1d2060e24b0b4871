// bugs_kernel.c - the museum's third room: threads, interrupts, page tables. See bugs.h.
//
// Faults around the heap rather than in it: except for the first the heap has nothing to say, and
// the exhibit looks for itself what comes of them. Where chance would decide (a tick at the wrong
// moment) the exhibit takes chance's part, so that the fault is there each time.
//
// The last exhibits end in a panic, as they would anywhere else in the kernel.
#include <stddef.h>

#include "kernel/museum/bugs.h"
#include "kernel/interrupt.h"
#include "kernel/layout.h"
#include "kernel/paging.h"
#include "kernel/processor.h"
#include "lib/page.h"
#include "lib/print.h"
#include "lib/x86.h"
#include "thread/sync.h"
#include "thread/thread.h"

#define SPARE_IRQ 5 // no device: `int` raises it

// ---- interrupts ---------------------------------------------------------------------------------

static void *shared_block;
static volatile bool block_done;

// The easy way out: the handler frees what it has finished with.
static void handler_frees(struct interrupt_frame *frame) { sys_free(shared_block); }
static void handler_marks(struct interrupt_frame *frame) { block_done = true; }

static bool free_in_interrupt(bool fixed) {
    shared_block = sys_malloc(64);
    if (!shared_block) return false;
    block_done = false;
    interrupt_register(IRQ_BASE + SPARE_IRQ, fixed ? handler_marks : handler_frees);
    // As if the device had raised it: through the same gate, with interrupt_depth counted up.
    __asm__ volatile("int %0" : : "i"(IRQ_BASE + SPARE_IRQ) : "memory");
    interrupt_register(IRQ_BASE + SPARE_IRQ, NULL);
    sys_free(shared_block); // the thread may: the handler's call was refused, or never made
    return block_done == fixed;
}

// An early return forgets what the normal one does.
static int locked_look(int value, bool fixed) {
    uint32_t state = irq_save();
    if (value < 0) {
        if (fixed) irq_restore(state);
        return -1;
    }
    irq_restore(state);
    return value;
}

static bool interrupts_left_off(bool fixed) {
    // No call of a thread function before the flag is looked at: those restore what they find.
    locked_look(-1, fixed);
    bool off = !irq_enabled();
    irq_enable();
    if (fixed) return !off;
    return bugs_saw(off, "interrupts are still off: no tick, no key, no other thread from here on");
}

// ---- threads ------------------------------------------------------------------------------------

#define ROUNDS 200

static struct lock counter_lock;
static bool counter_locked; // the twin
static volatile int counter;

// Read, be interrupted, write: bugs_meet() plays the tick that comes at that point, and lets the
// other thread read as well. Volatile alone is no cure: each access is made, and they come in the
// wrong order all the same.
static int count_up(void *unused) {
    for (uint32_t i = 0; i < ROUNDS; i++) {
        if (counter_locked) lock_acquire(&counter_lock);
        int value = counter;
        if (counter_locked)
            thread_yield(); // the other waits for the lock, and cannot meet this one
        else bugs_meet(i + 1);
        counter = value + 1;
        if (counter_locked) lock_release(&counter_lock);
    }
    return 0;
}

static bool lost_update(bool fixed) {
    lock_init(&counter_lock);
    counter_locked = fixed;
    counter = 0;
    if (!bugs_run_two(count_up)) return false;
    kprintf("bug: two threads counted to %d each, together to %d\n", ROUNDS, counter);
    return counter == (fixed ? 2 * ROUNDS : ROUNDS);
}

// Each takes one, then wants the other's. Semaphores and not locks: a lock is released by its
// holder only, and here another thread must let the two go again.
static struct semaphore fork_left, fork_right;
static volatile int ate;
static bool same_order; // the twin

static int eat(void *argument) {
    bool second = (uintptr_t)argument == 2 && !same_order;
    sema_down(second ? &fork_right : &fork_left);
    thread_sleep(2); // until the other has its first
    sema_down(second ? &fork_left : &fork_right);
    ate++;
    sema_up(&fork_left);
    sema_up(&fork_right);
    return 0;
}

static bool deadlock(bool fixed) {
    sema_init(&fork_left, 1);
    sema_init(&fork_right, 1);
    same_order = fixed;
    ate = 0;
    struct thread *one = thread_create("philosopher1", PRIORITY_DEFAULT, eat, (void *)1);
    struct thread *two = thread_create("philosopher2", PRIORITY_DEFAULT, eat, (void *)2);
    thread_sleep(10);
    // Long after both could have eaten: who is blocked now stays so.
    bool stuck = one && two && one->state == THREAD_BLOCKED && two->state == THREAD_BLOCKED;
    if (stuck) {
        kprintf("bug: %s and %s wait for each other, for ever: deadlock\n", thread_name(one),
                thread_name(two));
        sema_up(&fork_left);
        sema_up(&fork_right);
    }
    if (one) thread_join(one);
    if (two) thread_join(two);
    return fixed ? ate == 2 && !stuck : stuck;
}

// ---- page tables --------------------------------------------------------------------------------

#define SPARE_PAGE (STACK_END - PG_SIZE) // of the last stack's slot, which is not in use yet

static volatile char *frame_at(uint32_t frame) { return F2V(frame); }

// The page table's entry, reached as paging.c reaches it; that file owns it, and would have done
// right what is done wrong here. Any processor's directory does: they differ in its own pages. A
// further one's is a frame of the kernel pool.
static uint32_t *museum_entry(uintptr_t va) {
    uint32_t state = irq_save(); // or the thread moves between the two
    uint32_t pa = paging_directory(), frame = (pa - (uint32_t)k_heap.pool.phys) >> PG_SHIFT;
    const volatile uint32_t *directory =
        processor_number == 0 ? P2V(pa) : (const volatile void *)frame_at(frame);
    irq_restore(state);
    return (uint32_t *)P2V(directory[va >> 22] & ~(PG_SIZE - 1)) + (va >> PG_SHIFT) % 1024;
}

// Another frame for a page. The instruction wants the page; it gets the variable that holds its
// address, and the page's old translation stays in the TLB.
static void remap(uintptr_t page, uint32_t pa, bool fixed) {
    *museum_entry(page) = pa | PAGE_WRITE | PAGE_PRESENT;
    if (fixed) __asm__ volatile("invlpg (%0)" : : "r"(page) : "memory");
    else __asm__ volatile("invlpg %0" : : "m"(page) : "memory");
}

// Interrupts off: a switch of threads would flush nothing here, but let it be this code alone.
static char read_after_remap(uint32_t from, uint32_t to, bool fixed) {
    uint32_t state = irq_save();
    paging_map(SPARE_PAGE, (uint32_t)frame_address(POOL_KERNEL, from), PAGE_WRITE);
    (void)*(volatile char *)SPARE_PAGE; // now the TLB has it
    remap(SPARE_PAGE, (uint32_t)frame_address(POOL_KERNEL, to), fixed);
    char seen = *(volatile char *)SPARE_PAGE;
    paging_unmap(SPARE_PAGE);
    irq_restore(state);
    return seen;
}

// QEMU's TLB and Bochs's both keep the page. A processor may forget a translation at any time, so a
// machine on which nothing is seen is right, too (Intel SDM volume 3, 4.10.2): it is said.
static bool wrong_invlpg(bool fixed) {
    uint32_t old = frame_alloc(POOL_KERNEL, 2), new = old + 1; // both, or none
    if (old == FRAME_NONE) return false;
    *frame_at(old) = 'o';
    *frame_at(new) = 'n';
    char seen = read_after_remap(old, new, fixed);
    frame_free(POOL_KERNEL, old, 2);
    if (fixed) return seen == 'n';
    if (seen == 'n')
        return bugs_saw(
            true, "this machine's TLB forgot the page by itself: seen in QEMU and Bochs only");
    return bugs_saw(seen == 'o',
                    "the page still reads the frame it had before: two owners of one frame");
}

// ---- ends in a panic ----------------------------------------------------------------------------

// The null return is not checked. More is asked for than 32 bits can address beside the
// kernel, so it fails on every machine.
static bool null_write(bool fixed) {
    volatile char *p = sys_malloc(0xf0000000u);
    if (fixed && !p) return true;
    p[0] = 'x'; // NOLINT(clang-analyzer-core.NullDereference): that is the exhibit
    return false;
}

// A buffer that is too large for a stack, a few calls deep. 100 of them are 50 KiB, four times a
// stack. Volatile, or the compiler would leave the buffer out.
// NOLINTNEXTLINE(misc-no-recursion): what this is for
static __attribute__((noinline)) int bug_dive(int depth) {
    volatile char buffer[512];
    buffer[0] = (char)depth;
    return depth == 0 ? 0 : bug_dive(depth - 1) + buffer[0];
}

static int diver(void *argument) { return bug_dive((int)(uintptr_t)argument); }

// In a thread of its own, which the report must name.
static bool stack_overflow(bool fixed) {
    uintptr_t depth = fixed ? 4 : 100;
    struct thread *thread = thread_create("diver", PRIORITY_DEFAULT, diver, (void *)depth);
    if (!thread) return false;
    thread_join(thread);
    return true;
}

// The function locks, and so does the one that it calls. A semaphore would wait for itself for
// ever; thread/sync.c knows who has a lock, and panics.
static struct lock table_lock;

static int table_entries(bool locked) {
    if (!locked) lock_acquire(&table_lock);
    int entries = 3;
    if (!locked) lock_release(&table_lock);
    return entries;
}

static bool lock_twice(bool fixed) {
    lock_init(&table_lock);
    lock_acquire(&table_lock);
    int entries = table_entries(fixed);
    lock_release(&table_lock);
    return entries == 3;
}

// The heap reports the first and none of the others: they are no calls of it.
#define NOWHERE \
    { HEAP_OK, HEAP_OK, HEAP_OK }

const struct bug kernel_bugs[] = {
    {21,
     "free-in-interrupt",
     "an interrupt handler frees a block",
     free_in_interrupt,
     {HEAP_FROM_INTERRUPT, HEAP_FROM_INTERRUPT, HEAP_FROM_INTERRUPT},
     false},
    {22, "interrupts-left-off", "an early return forgets to turn interrupts on",
     interrupts_left_off, NOWHERE, false},
    {23, "lost-update", "two threads count without a lock", lost_update, NOWHERE, false},
    {24, "deadlock", "two locks, taken in two orders", deadlock, NOWHERE, false},
    {25, "wrong-invlpg", "invlpg of a variable's address, not of the page's", wrong_invlpg, NOWHERE,
     false},
    {26, "null-write", "the null return is not checked", null_write, NOWHERE, true},
    {27, "lock-twice", "a lock is taken by the thread that holds it", lock_twice, NOWHERE, true},
    {28, "stack-overflow", "a large buffer in a deep recursion", stack_overflow, NOWHERE, true},
};
const uint32_t kernel_bug_count = sizeof kernel_bugs / sizeof kernel_bugs[0];
