// hostile.c - system calls with random numbers and random pointers, and programs made of random
// bytes of itself. The kernel must answer each with a result or an error, and go on.
//
//     run hostile [CALLS [SEED]]
//
// What it prints at the end is that it came so far: whether the kernel's memory is as it was, the
// kernel's own test says (tests/kernel/test_process.c).
#include "user/lib/user.h"

#define BLOCKS 64
#define PROGRAM_FILES 19u // numbers of files are below it

static const char file_name[] = "hostile.tmp";

static uint32_t state;

static uint32_t random32(void) {
    state = state * 1664525u + 1013904223u;
    return state ^ state >> 15;
}

static void *block[BLOCKS]; // some live, some freed
static char area[3 * 4096];

// Places where a check could be wrong by one.
static uint32_t edge(void) {
    static const uint32_t edges[] = {0,          0x1000,     0x400000,   0x10000000,
                                     0x70000000, 0x7ffbf000, 0x7ffff000, 0x80000000,
                                     0x88000000, 0xf8000000, 0xfffff000, 0x80100000};
    return edges[random32() % (sizeof edges / sizeof edges[0])] + random32() % 33 - 16;
}

static uint32_t any_pointer(void) {
    switch (random32() % 7) {
    case 0: return random32();
    case 1: return edge();
    case 2: return (uint32_t)(uintptr_t)area + random32() % sizeof area;
    case 3: return (uint32_t)(uintptr_t)&state;
    case 4: return random32() % 64;
    case 5: return 0x80000000u + (random32() & 0x0ffffffc);
    default: return (uint32_t)(uintptr_t)block[random32() % BLOCKS] + (random32() % 8 ? 0 : 16);
    }
}

static uint32_t any_number(void) {
    switch (random32() % 4) {
    case 0: return random32();
    case 1: return random32() % 8192;
    case 2: return 1u << random32() % 32;
    default: return any_pointer();
    }
}

static uint32_t odd_flags, odd_segment;

// By sysenter, with any stack pointer, and flags and segments that no compiler would leave so.
static uint32_t odd_call(uint32_t number, uint32_t a, uint32_t b, uint32_t c) {
    static const uint32_t segments[] = {0, 3, 0x1b, 0x23}; // what ring 3 may load
    uint32_t esp = any_number();
    if (!user_sysenter) return syscall(number, a, b, c);
    odd_flags = 0x202 | (random32() & 0x2444d5); // ID, AC, NT, DF and those of arithmetic
    odd_segment = segments[random32() % 4];
    __asm__ volatile("pushl %%ebp; movl %%esp, %%ebp; pushl %[flags]; movl %[segment], %%edx; "
                     "movl %%edx, %%ds; movl %%edx, %%es; movl %%edx, %%fs; movl %%edx, %%gs; "
                     "popfl; movl $1f, %%edx; sysenter; 1: movl %%ebp, %%esp; movl %%ss, %%edx; "
                     "movl %%edx, %%ds; movl %%edx, %%es; pushl $0x202; popfl; popl %%ebp"
                     : "+a"(number), "+c"(esp)
                     : "b"(a), "S"(b), "D"(c), [flags] "m"(odd_flags), [segment] "m"(odd_segment)
                     : "edx", "memory", "cc");
    return number;
}

// Calls that would end it, or wait, are not among them; nor is writing to the console what it is
// there for.
static void call(void) {
    static const uint32_t calls[] = {
        SYS_write,   SYS_read,    SYS_open,   SYS_close, SYS_malloc,        SYS_free,
        SYS_calloc,  SYS_realloc, SYS_malloc, SYS_free,  SYS_aligned_alloc, SYS_usable_size,
        SYS_wait,    SYS_kill,    SYS_pid,    SYS_time,  SYS_spawn,         SYSCALL_COUNT,
        0x80000000u, 0xffffffffu, SYS_create, SYS_seek,  SYS_remove,        SYS_peak};
    uint32_t number = calls[random32() % (sizeof calls / sizeof calls[0])];
    uint32_t a = any_number(), b = any_number(), c = any_number();
    if (number == SYS_write && random32() % 4 == 0) a = 3 + a % 16; // a file, with any pointer
    else if (number == SYS_write) a = a % 2 ? 1 : a, b = edge(), c = c % 2 ? 0 : c | 0x80000000u;
    if (number == SYS_read || number == SYS_open || number == SYS_spawn || number == SYS_create ||
        number == SYS_remove) {
        if (random32() % 256) return; // the disk is slow
    }
    if (number == SYS_spawn) a = edge();
    if (number == SYS_create) a = random32() % 2 ? address_of(file_name) : edge();
    if (number == SYS_read && a == 0) return;
    uint32_t result = random32() % 2 ? syscall(number, a, b, c) : odd_call(number, a, b, c);
    if (number == SYS_create && result < PROGRAM_FILES && a != address_of(file_name)) {
        remove(pointer_to(a)); // what lies there was a name
    }
    if (number == SYS_malloc || number == SYS_calloc || number == SYS_aligned_alloc) {
        block[random32() % BLOCKS] = (void *)(uintptr_t)result;
    }
}

int main(int argc, char **argv) {
    uint32_t calls = argc > 1 ? number_of(argv[1]) : 20000;
    state = argc > 2 ? number_of(argv[2]) : 1;
    for (uint32_t i = 0; i < calls; i++) call();
    remove(file_name);
    printf("hostile: %u calls, and the kernel is still there\n", (unsigned)calls);
    return 0;
}
