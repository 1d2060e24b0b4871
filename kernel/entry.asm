; entry.asm - what happens between an interrupt and its handler in C.
;
; The CPU pushes eflags, cs, eip and for some exceptions an error code (Intel SDM volume 3, 6.12 and
; 6.13), then jumps to one of the 64 stubs below. Each stub makes the stack look the same - an error
; code and a vector number on top - and goes on in interrupt_common, which saves the registers as
; struct interrupt_frame of kernel/interrupt_frame.h describes them, and calls interrupt_dispatch(frame):
;
;     higher addresses   | eflags cs eip        |  pushed by the CPU
;                        | error code           |  by the CPU or the stub
;                        | vector               |  by the stub
;                        | ds es fs gs          |  by interrupt_common
;     frame -----------> | eax .. esi edi       |  pushad: edi lies lowest
;                        | eip, ebp once more   |  looks like a function's frame, for call traces
;                        | frame                |  the argument
;
; The interrupted thread's esp is not pushed where privilege does not change: the CPU stays on its
; stack, and the frame lies there. From ring 3 the CPU takes the stack of the task state segment and
; pushes the program's ss and esp before eflags. If the handler's way out is a switch of threads, all of this
; stays on that stack until the thread is chosen again; then the same code takes it down.

bits 32

extern interrupt_dispatch
extern double_fault_report

KERNEL_DATA equ 0x10                ; selector of the flat data segment, kernel/gdt.c
FRAME_EIP equ 56                    ; offset of eip in struct interrupt_frame

section .text

; The vectors for which the CPU pushes an error code itself: 8, 10 .. 14, 17, 21.
%define HAS_ERROR(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17 || (v) == 21)

; One stub a vector: the CPU does not say which vector it was, the place it jumps to does.
%macro STUB 1
stub_%1:
%if !HAS_ERROR(%1)
    push dword 0                    ; so that every frame has the same shape
%endif
    push dword %1
    jmp interrupt_common
%endmacro

%assign v 0
%rep 64
    STUB v
%assign v v + 1
%endrep

; Registers go as they came, flags too: `iret` restores eflags, and interrupts with them.
interrupt_common:
    push ds
    push es
    push fs
    push gs
    pushad                          ; eax, ecx, edx, ebx, esp, ebp, esi, edi
    mov eax, KERNEL_DATA            ; C expects flat segments, whatever was interrupted
    mov ds, eax
    mov es, eax
    cld                             ; the ABI wants the direction flag clear at a call
    mov eax, esp                    ; where the frame lies
    push dword [eax + FRAME_EIP]    ; the two words of a function's frame, as if the interrupted
    push ebp                        ; instruction had called: a call trace that starts in a
    mov ebp, esp                    ; handler goes on in the interrupted function
    push eax                        ; the argument
    call interrupt_dispatch         ; may come back much later, after other threads have run
    lea esp, [ebp + 8]              ; ebp is kept by every C function: down to the frame again
    popad                           ; which may have been changed by the handler
    pop gs
    pop fs
    pop es
    pop ds
    add esp, 8                      ; vector and error code
    iret                            ; eip, cs, eflags

; The double-fault task starts here, by a task switch: its own stack, registers from its own TSS.
global double_fault_entry
double_fault_entry:
    call double_fault_report        ; does not return
.halt:
    cli
    hlt
    jmp .halt

; Addresses of the stubs, by vector: kernel/interrupt.c fills the IDT from them.
section .rodata
global interrupt_stubs
interrupt_stubs:
%assign v 0
%rep 64
    dd stub_%+v
%assign v v + 1
%endrep
