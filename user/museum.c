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
