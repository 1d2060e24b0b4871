// crt1.c - the first instructions of a program that is linked with newlib. The kernel enters at
// _start with argc and argv on the stack (process/process.c, stack_load()).
//
// Floating point rounds to 53 bits, the precision of a double: newlib's conversions count on it,
// and a program gets the same figures as on a machine that computes with SSE.
#include <stdlib.h>

int main(int argc, char **argv);
void start(int argc, char **argv);

__asm__(".globl _start\n"
        "_start:\n"
        "    mov (%esp), %eax\n"
        "    mov 4(%esp), %edx\n"
        "    and $-16, %esp\n"
        "    sub $8, %esp\n"
        "    push %edx\n"
        "    push %eax\n"
        "    call start\n");

void start(int argc, char **argv) {
    const unsigned short control = 0x27f; // exceptions masked, 53 bits, to nearest
    __asm__ volatile("fldcw %0" : : "m"(control));
    exit(main(argc, argv));
}
