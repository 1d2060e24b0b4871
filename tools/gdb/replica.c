// replica.c - the kernel's own functions, run on a copy of the stopped machine's memory.
//
// GDB's heap commands say what the kernel would say, of a machine that cannot answer: it stands
// still in the middle of a call, hangs, or has a broken heap. To call a function in the machine
// itself would change it, and a replay (`make rewind`) refuses that. So this program of the host,
// 32 bits like the kernel, leaves the kernel's half of the address space empty and calls the
// function there at its own address. Each page that it touches is asked for on standard output and
// comes from the stopped machine on standard input. It is a copy from then on: whatever the
// function writes, the machine never sees.
//
// What a process may not do: cli and sti are passed over, nothing interrupts here; anything else
// (the hlt at a panic's end, a division by zero of a descriptor that was overwritten) ends the
// replica with a message, as a page does that the machine has not got.
//
// The other end is tools/gdb/granary/replica.py. Both ends speak in words of 32 bits,
// little-endian:
//
//   from here   SINK address            first: a print_sink() for the kernel's print_sink_set()
//               PAGES address           answer: a word, then a page for each bit set in it
//               TEXT length, bytes      printed
//               RETURNED value          the call's result
//               WILD address            nothing can be read there; the replica ends
//               STOPPED address         an instruction that only a kernel may run; it ends
//   to here     function, 4 arguments, length, bytes of text
//               an argument that is TEXT_HERE becomes the address of the text; with the length 0 it
//               is the call's before, or what a function has written there
//
// Runs where Linux runs 32-bit programs for x86, and elsewhere under QEMU's user mode (qemu-i386).
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

enum message { SINK, PAGES, TEXT, RETURNED, WILD, STOPPED };

#define KERNEL_HALF 0x80000000u
#define PROCESS_END 0xffffe000u // Linux's, of a 32-bit process on a 64-bit processor
#define PAGE 4096u
#define CHUNK_PAGES 16u // asked for together: a bit each in the answer
#define CHUNK (CHUNK_PAGES * PAGE)
#define ARGUMENTS 4
#define TEXT_HERE 0x7e47u // no address of the kernel's
#define SECONDS_MAX 2     // of computing, for a call: those of 4 GiB take less than one

void _start(void);

// ---- Linux, without a C library: arch/x86/entry/syscalls/syscall_32.tbl ------------------------

enum {
    NR_EXIT = 1,
    NR_READ = 3,
    NR_WRITE = 4,
    NR_SETITIMER = 104,
    NR_MMAP = 90,
    NR_MUNMAP = 91,
    NR_RT_SIGACTION = 174,
    NR_SIGALTSTACK = 186
};

static int32_t linux_call(uint32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    int32_t result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d)
                     : "memory");
    return result;
}

static noreturn void leave(void) {
    for (;;) linux_call(NR_EXIT, 0, 0, 0, 0);
}

// All of it, or the replica ends: GDB is gone.
static void transfer(uint32_t number, uint32_t file, void *at, uint32_t bytes) {
    for (uint32_t done = 0; done < bytes;) {
        int32_t now = linux_call(number, file, (uint32_t)at + done, bytes - done, 0);
        if (now <= 0) leave();
        done += (uint32_t)now;
    }
}

static void get(void *to, uint32_t bytes) { transfer(NR_READ, 0, to, bytes); }
static void put(void *from, uint32_t bytes) { transfer(NR_WRITE, 1, from, bytes); }

static void say(enum message kind, uint32_t value) {
    uint32_t words[] = {kind, value};
    put(words, sizeof words);
}

// ---- pages -------------------------------------------------------------------------------------

static uint8_t asked[KERNEL_HALF / CHUNK / 8]; // bit set: that chunk has been answered

// Maps what the machine has of the 16 pages around an address that was not there.
static void pages_fetch(uint32_t address) {
    uint32_t chunk = address / CHUNK * CHUNK, bit = (chunk - KERNEL_HALF) / CHUNK, present;
    if (address < KERNEL_HALF || (asked[bit / 8] >> bit % 8 & 1)) {
        say(WILD, address);
        leave();
    }
    asked[bit / 8] |= (uint8_t)(1u << bit % 8);
    say(PAGES, chunk);
    get(&present, sizeof present);
    // Readable, writable, executable; private, at this address, of no file.
    uint32_t wanted[] = {chunk, CHUNK, 7, 0x32, (uint32_t)-1, 0};
    if (present) linux_call(NR_MMAP, (uint32_t)wanted, 0, 0, 0);
    for (uint32_t i = 0; present && i < CHUNK_PAGES; i++) {
        if (present >> i & 1) get((void *)(chunk + i * PAGE), PAGE);
        else linux_call(NR_MUNMAP, chunk + i * PAGE, PAGE, 0, 0);
    }
}

// ---- exceptions, as Linux hands them on: arch/x86/include/uapi/asm/sigcontext.h ----------------
//
// Which it was stands in `code` (sigaction(2)): QEMU's user mode sets neither vector nor cr2.

#define SIGSEGV 11
#define SEGV_MAPERR 1 // a page fault: no page,
#define SEGV_ACCERR 2 // or one that may not be written to
#define SI_KERNEL 128 // a general protection fault
#define CLI 0xfa
#define STI 0xfb

struct info {
    int32_t number, error, code;
    uint32_t address;
};

struct context {
    uint32_t before[17]; // flags, link, the signal's stack; segments and general registers
    uint32_t vector, error, eip, cs, eflags, esp, ss, fpu, mask, cr2;
};

static void on_signal(int number, const struct info *info, struct context *at) {
    if (number == SIGSEGV && (info->code == SEGV_MAPERR || info->code == SEGV_ACCERR)) {
        pages_fetch(info->address);
        return;
    }
    const uint8_t *code = (const uint8_t *)at->eip;
    if (number != SIGSEGV || info->code != SI_KERNEL || (*code != CLI && *code != STI)) {
        say(STOPPED, at->eip);
        leave();
    }
    at->eip++;
}

__asm__("signal_return: movl $173, %eax\n\tint $0x80"); // rt_sigreturn
extern char signal_return[];

static void signals_catch(void) {
    static uint8_t stack[16384];
    uint32_t room[] = {(uint32_t)stack, 0, sizeof stack};
    // SA_SIGINFO, SA_ONSTACK, SA_NODEFER, SA_RESTORER: the handler itself may read a new page.
    uint32_t action[] = {(uint32_t)on_signal, 0x4c000004, (uint32_t)signal_return, 0, 0};
    linux_call(NR_SIGALTSTACK, (uint32_t)room, 0, 0, 0);
    static const uint8_t signals[] = {4, 5, 7, 8, 11}; // ILL, TRAP, BUS, FPE, SEGV
    for (size_t i = 0; i < sizeof signals; i++) {
        linux_call(NR_RT_SIGACTION, signals[i], (uint32_t)action, 0, 8);
    }
}

// The kernel's walks are bounded by counts, and a count may have been overwritten. Then Linux ends
// the replica (SIGVTALRM), and its other end says so.
static void timer_start(void) {
    uint32_t once[] = {0, 0, SECONDS_MAX, 0};
    linux_call(NR_SETITIMER, 1, (uint32_t)once, 0, 0); // ITIMER_VIRTUAL: waiting for pages is free
}

// ---- calls -------------------------------------------------------------------------------------

static void sink(const char *text, size_t bytes) {
    say(TEXT, (uint32_t)bytes);
    transfer(NR_WRITE, 1, (void *)(uintptr_t)text, (uint32_t)bytes);
}

typedef uint32_t kernel_function(uint32_t, uint32_t, uint32_t, uint32_t);

static noreturn __attribute__((used)) void serve(void) {
    static char text[4096];
    struct {
        uint32_t function, argument[ARGUMENTS], length;
    } call;
    linux_call(NR_MUNMAP, KERNEL_HALF, PROCESS_END - KERNEL_HALF, 0, 0); // the first stack, vdso
    signals_catch();
    say(SINK, (uint32_t)sink);
    for (;;) {
        get(&call, sizeof call);
        if (call.length >= sizeof text) leave();
        if (call.length) {
            get(text, call.length);
            text[call.length] = '\0';
        }
        for (int i = 0; i < ARGUMENTS; i++) {
            if (call.argument[i] == TEXT_HERE) call.argument[i] = (uint32_t)text;
        }
        timer_start();
        const uint32_t *a = call.argument;
        uint32_t result = ((kernel_function *)call.function)(a[0], a[1], a[2], a[3]);
        say(RETURNED, result);
    }
}

// A stack of its own, below the kernel's half, before the one that Linux gave is unmapped.
__attribute__((used)) static uint8_t own_stack[65536];
__asm__(".globl _start\n_start: movl $own_stack + 65536, %esp\n\tcall serve");
