// museum.c - the bugs of the museum, by a program: each ends in its report, and the kernel goes on.
//
//     run museum           the list
//     run museum NAME      one of them
#include "user/lib/user.h"

int main(int argc, char **argv);

// ---- wrong calls of the heap: a report, and the program goes on ---------------------------------

static void double_free(void) {
    void *p = malloc(24);
    free(p);
    free(p); // NOLINT: the bug
}

static void interior_free(void) {
    char *p = malloc(100);
    free(p + 16);
}

static void never_free(void) {
    char *p = malloc(32);
    free(p + 64);
}

static void stack_free(void) {
    int here;
    free(&here);
}

static void kernel_free(void) { free((void *)0x88005000); }

// The neighbour's data is lost, the heap is not: its records are the kernel's.
static void overflow(void) {
    char *p = malloc(32), *next = malloc(32);
    memset(p, 0xff, 64);
    free(p);
    free(next);
    printf("written over the next block, and both are freed\n");
}

// ---- faults: a report, and the program ends -----------------------------------------------------

static volatile uintptr_t address; // unknown to the compiler

static void write_to(uintptr_t at) {
    address = at;
    *(volatile int *)address = 1;
}

static void read_from(uintptr_t at) {
    address = at;
    (void)*(volatile int *)address;
}

static void null_write(void) { write_to(0); }
static void text_write(void) { write_to((uintptr_t)main); }
static void kernel_read(void) { read_from(0x80100000); }
static void kernel_write(void) { write_to(0x88000000); }

// The large area's pages went when it was freed.
static void late_read(void) {
    void *p = malloc(100000);
    free(p);
    read_from((uintptr_t)p);
}

static void wild_jump(void) {
    address = 0x12345678;
    ((void (*)(void))address)();
}

static int deeper(volatile int *above) {
    volatile int here[256];
    here[0] = *above + 1;
    if (here[0] < 0) return 0; // never so deep
    return deeper(here) + here[0];
}

static void stack_overflow(void) {
    volatile int here = 0;
    deeper(&here);
}

static void divide(void) {
    volatile int some = 1000, nothing = 0;
    some = some / nothing;
}

static void cli(void) { __asm__ volatile("cli"); }
static void port(void) { __asm__ volatile("outb %%al, $0xf4" : : "a"(0)); }
static void trap_flag(void) {
    __asm__ volatile("pushfl; orl $0x100, (%%esp); popfl; nop" : : : "cc");
}

// An `iret` to virtual 8086 mode: a processor ignores the flag in ring 3 and goes on at the label;
// QEMU obeys, and what is at that address of real mode is no page.
static void virtual_8086(void) {
    __asm__ volatile("pushl $0\n\tpushl $0\n\tpushl $0\n\tpushl $0\n\t" // gs fs ds es
                     "pushl $0\n\tpushl $0x1000\n\t"                    // ss esp
                     "pushfl\n\torl $0x20000, (%%esp)\n\t"
                     "pushl %%cs\n\tpushl $1f\n\tiret\n"
                     "1:\taddl $24, %%esp"
                     :
                     :
                     : "memory", "cc");
    printf("still in protected mode\n");
}

// ---- sysenter, with what no compiler would write ------------------------------------------------

// `sysenter` with these in ecx and edx, and flags and data segments as they are; what follows the
// call is at the label.
static void sysenter_with(uint32_t number, uint32_t esp, uint32_t eip) {
    __asm__ volatile("sysenter" : : "a"(number), "b"(24), "c"(esp), "d"(eip) : "memory");
}

static void sysenter_jump(void) { sysenter_with(SYS_pid, 0x7fffe000, 0x80100000); }

static void push_something(void) { __asm__ volatile("pushl $1"); }
static void sysenter_stack(void) {
    sysenter_with(SYS_malloc, 0x88000103, address_of((void *)push_something));
}

// The instruction that sets the flag lets one more go by, and that is sysenter.
static void sysenter_trap(void) {
    __asm__ volatile("pushfl; orl $0x100, (%%esp); movl %%esp, %%ecx; addl $4, %%ecx; movl $1f, "
                     "%%edx; popfl; sysenter; 1: nop; nop"
                     :
                     : "a"(SYS_time)
                     : "ecx", "edx", "memory", "cc");
}

#define EFLAGS_DF 0x400u
#define EFLAGS_NT 0x4000u
#define EFLAGS_AC 0x40000u

// Flags and segments that would harm the kernel if it took them over. The flat segments and the
// usual flags come back afterwards.
static uint32_t odd_call(uint32_t number, uint32_t flags, uint32_t segment) {
    __asm__ volatile("pushl %[flags]; movl %[segment], %%edx; movl %%edx, %%ds; movl %%edx, %%es; "
                     "movl %%edx, %%fs; movl %%edx, %%gs; popfl; movl %%esp, %%ecx; movl $1f, "
                     "%%edx; sysenter; 1: movl %%ss, %%edx; movl %%edx, %%ds; movl %%edx, %%es; "
                     "pushl $0x202; popfl"
                     : "+a"(number)
                     : "b"(24), [flags] "S"(flags), [segment] "D"(segment)
                     : "ecx", "edx", "memory", "cc");
    return number;
}

// By the quick way and by the full one; sleeping, too, so that other threads run meanwhile.
static void sysenter_flags(void) {
    static const uint32_t flags[] = {EFLAGS_DF, EFLAGS_NT, EFLAGS_AC,
                                     EFLAGS_DF | EFLAGS_NT | EFLAGS_AC};
    static const uint32_t segments[] = {0, 3, 0x1b, 0x23};
    uint32_t good = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t odd = flags[i] | 0x202;
        for (int k = 0; k < 4; k++) {
            good += odd_call(SYS_malloc, odd, segments[k]) >= 0x10000000;
            good += odd_call(SYS_pid, odd, segments[k]) == (uint32_t)pid();
            good += odd_call(SYS_sleep, odd, segments[k]) == 0;
            good += odd_call(SYSCALL_COUNT, odd, segments[k]) == (uint32_t)ERROR_NO_CALL;
        }
    }
    printf("%u of 64 calls answered\n", (unsigned)good);
}

static void wrong_int(void) { __asm__ volatile("int $0x20"); }

static const struct {
    const char *name;
    void (*run)(void);
} exhibits[] = {
    {"double-free", double_free},
    {"interior-free", interior_free},
    {"never-free", never_free},
    {"stack-free", stack_free},
    {"kernel-free", kernel_free},
    {"overflow", overflow},
    {"null-write", null_write},
    {"text-write", text_write},
    {"kernel-read", kernel_read},
    {"kernel-write", kernel_write},
    {"late-read", late_read},
    {"wild-jump", wild_jump},
    {"stack-overflow", stack_overflow},
    {"divide", divide},
    {"cli", cli},
    {"port", port},
    {"int", wrong_int},
    {"trap-flag", trap_flag},
    {"virtual-8086", virtual_8086},
    {"sysenter-jump", sysenter_jump},
    {"sysenter-stack", sysenter_stack},
    {"sysenter-trap", sysenter_trap},
    {"sysenter-flags", sysenter_flags},
};
#define EXHIBITS (sizeof exhibits / sizeof exhibits[0])

int main(int argc, char **argv) {
    for (size_t i = 0; i < EXHIBITS; i++) {
        if (argc < 2) {
            printf("%s\n", exhibits[i].name);
        } else if (strcmp(argv[1], exhibits[i].name) == 0) {
            exhibits[i].run();
            return 0;
        }
    }
    if (argc < 2) return 0;
    printf("museum: no exhibit is named '%s': run museum shows the list\n", argv[1]);
    return 1;
}
