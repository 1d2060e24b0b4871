; gate.asm - the way into the kernel by a program's `int 0x80`, and the way out to a program.
;
; Apart from kernel/entry.asm because a system call is neither an interrupt nor an exception: it runs
; as the program's thread with interrupts on, and its way out needs no look at the queues. What lies
; on the stack has the same shape, struct user_frame of kernel/interrupt_frame.h:
;
;     top of the kernel stack | ss esp eflags cs eip  |  pushed by the CPU, which takes esp0 of the TSS
;                             | error (0), vector     |
;                             | ds es fs gs           |
;     frame ----------------> | eax .. esi edi        |  pushad; eax is replaced by the result
;
; The CPU has cleared TF and NT and turned interrupts off (an interrupt gate); the direction flag and the
; data segments are the program's until they are set here.

bits 32

extern syscall_dispatch

KERNEL_DATA equ 0x10                ; selectors of kernel/gdt.h
USER_CODE   equ 0x2b
USER_DATA   equ 0x33
GATE_VECTOR equ 0x80

section .text

global gate_entry
gate_entry:
    push dword 0                    ; in place of an error code
    push dword GATE_VECTOR
    push ds
    push es
    push fs
    push gs
    pushad
    mov eax, KERNEL_DATA            ; C expects flat segments
    mov ds, eax
    mov es, eax
    cld                             ; and the direction flag clear
    xor ebp, ebp                    ; a call trace ends here: what follows is the program's
    mov eax, esp
    sti                             ; the thread can be switched away from here on
    push eax                        ; the argument: where the frame lies
    call syscall_dispatch           ; may not return: the program ends
    add esp, 4
    cli                             ; nothing may come between here and ring 3
    popad
    pop gs
    pop fs
    pop es
    pop ds
    add esp, 8                      ; vector and error code
    iret

; gate_leave(entry, esp, eflags): the first way of a thread to ring 3. Every register is cleared: what the
; kernel had in them is not for a program.
global gate_leave
gate_leave:
    cli
    mov eax, [esp + 4]              ; entry
    mov ecx, [esp + 8]              ; esp
    mov edx, [esp + 12]             ; eflags
    push dword USER_DATA            ; ss
    push ecx
    push edx
    push dword USER_CODE            ; cs
    push eax
    mov eax, USER_DATA
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    xor eax, eax
    xor ebx, ebx
    xor ecx, ecx
    xor edx, edx
    xor esi, esi
    xor edi, edi
    xor ebp, ebp
    iret
