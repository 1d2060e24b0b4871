// interrupt_frame.h - what an interrupt leaves on the stack, and the vectors that have names.
//
// Apart from interrupt.h, so that what only reads a frame (a panic) needs no interrupts.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define VECTOR_DEBUG 1
#define VECTOR_NMI 2
#define VECTOR_DOUBLE_FAULT 8
#define VECTOR_PAGE_FAULT 14
#define VECTOR_SYSCALL 0x80 // a program's call of the kernel (process/gate.asm)

// What entry.asm pushes, lowest address first (Intel SDM volume 3, 6.12 for the CPU's part). It is
// not a copy: what a handler changes here, except esp, is what the interrupted code goes on with.
struct interrupt_frame {
    uint32_t edi, esi, ebp; // pushad, eight registers
    uint32_t esp; // when it happened: interrupt_dispatch() puts it here, popad leaves it alone
    uint32_t ebx, edx, ecx, eax;
    uint32_t gs, fs, es, ds;
    uint32_t vector;
    uint32_t error; // the CPU's error code, 0 where it pushes none
    uint32_t eip, cs, eflags;
};

// The same from ring 3: there the CPU changes stacks and pushes the old one first.
struct user_frame {
    struct interrupt_frame frame;
    uint32_t esp, ss;
};

#define EFLAGS_VM 0x20000u

// True if the interrupted code was a program's. In virtual 8086 mode cs is any number; no program
// gets there by a processor's rules, but QEMU 7 takes an `iret` of ring 3 as if it were ring 0's.
static inline bool frame_from_user(const struct interrupt_frame *frame) {
    return (frame->cs & 3) != 0 || (frame->eflags & EFLAGS_VM);
}
