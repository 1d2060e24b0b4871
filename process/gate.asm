; gate.asm - a program's two ways into the kernel, `int 0x80` and `sysenter`, and the ways back.
;
; Apart from kernel/entry.asm because a system call is neither an interrupt nor an exception: it runs
; as the program's thread with interrupts on, and its way out needs no look at the queues.
;
;             | number | arguments     | the program's esp, eip | result | changed besides
;   int 0x80  | eax    | ebx, ecx, edx | pushed by the CPU      | eax    | nothing
;   sysenter  | eax    | ebx, esi, edi | ecx, edx               | eax    | ecx, edx, flags; ds es fs gs are
;             |        |               |                        |        | the flat ones afterwards
;
; The quick way. malloc and free are tried with interrupts off from the first instruction to the last, and
; save only what a C function may change. They need no lock, since nothing can come between; no look at
; `killed`, since nothing can have set it; and no register of the program, since they cannot be switched away
; from. Where they do not serve (a new arena, a large area, a wrong pointer) they have changed
; nothing, and the full way does it all. `pid` is there as well: it is what a gate alone costs.
;
; The full way has the same shape on the stack for both gates, struct user_frame of
; kernel/interrupt_frame.h:
;
;     top of the kernel stack | ss esp eflags cs eip  |  pushed by the CPU, which takes esp0 of the TSS;
;                             |                       |  by the code below after sysenter
;                             | error (0), vector     |
;                             | ds es fs gs           |
;     frame ----------------> | eax .. esi edi        |  pushad; eax is replaced by the result
;
; What a program brings along:
;   - int 0x80 clears TF and NT and turns interrupts off. sysenter only turns interrupts off: NT would make the
;     kernel's next `iret` a switch of tasks, so the full way clears it; the quick way has no `iret`.
;   - TF raises a debug exception before the first instruction after sysenter, in ring 0. gate_debug
;     knows that place, and goes on at gate_stepped, which steps the program after the call.
;   - DF: C expects it clear. AC means nothing to ring 0.
;   - Segments: any that ring 3 may load, or none. From virtual 8086 mode even what is no selector at all, hence fs
;     and gs: the next `pop fs` would be a fault of the kernel.
;   - ecx and edx, after sysenter, are any numbers: they are kept and loaded, and nothing is read there.

bits 32

extern syscall_dispatch
extern quick_malloc, quick_free, quick_pid      ; process/syscall.c: eax -> eax
extern interrupt_stubs                          ; kernel/entry.asm

KERNEL_DATA equ 0x10                ; selectors of kernel/gdt.h
USER_CODE   equ 0x1b
USER_DATA   equ 0x23
GATE_VECTOR equ 0x80
EFLAGS_FIXED equ 0x2                ; bit 1 is always set
EFLAGS_TF   equ 0x100
EFLAGS_IF   equ 0x200
DR6_NOTHING equ 0xffff0ff0          ; lib/x86.h
SYS_MALLOC  equ 5                   ; process/syscall_table.h; process/syscall.c holds them against it
SYS_FREE    equ 6
SYS_PID     equ 17

section .text

; ---- sysenter -----------------------------------------------------------------------------------

; The stack is the one of gate_set_stack(), empty.
global gate_sysenter
gate_sysenter:
    push ecx                        ; the program's esp
    push edx                        ; where it goes on
    mov ecx, USER_DATA              ; flat, and ring 3 keeps it: nothing to restore
    mov ds, ecx
    mov es, ecx
    mov fs, ecx
    mov gs, ecx
    cld
    cmp eax, SYS_MALLOC
    jne .not_malloc
    mov eax, ebx
    call quick_malloc
    test eax, eax
    jz .malloc_full
    pop edx
    pop ecx
    sti                             ; takes effect after the next instruction, in ring 3
    sysexit
.not_malloc:
    cmp eax, SYS_FREE
    jne .not_free
    mov eax, ebx
    call quick_free
    test eax, eax
    jz .free_full
    xor eax, eax                    ; the result
    pop edx
    pop ecx
    sti
    sysexit
.not_free:
    cmp eax, SYS_PID
    jne .full
    call quick_pid
    pop edx
    pop ecx
    sti
    sysexit
.malloc_full:
    mov eax, SYS_MALLOC
    jmp .full
.free_full:
    mov eax, SYS_FREE
.full:
    pop edx
    pop ecx
    push dword USER_DATA            ; ss: what int 0x80 finds on the stack
    push ecx
    pushfd
    or dword [esp], EFLAGS_IF       ; as they were before sysenter
frame_make:
    push dword USER_CODE
    push edx
    push dword EFLAGS_FIXED         ; NT, AC and DF off
    popfd
    push dword 0                    ; in place of an error code
    push dword GATE_VECTOR
    mov ecx, USER_DATA
    push ecx                        ; ds es fs gs
    push ecx
    push ecx
    push ecx
    mov fs, ecx
    mov gs, ecx
    mov ecx, esi                    ; the second and third argument, where int 0x80 has them
    mov edx, edi
    jmp full_call

; The same after a debug exception: the full way, and the program is stepped on.
gate_stepped:
    push dword USER_DATA
    push ecx
    pushfd
    or dword [esp], EFLAGS_IF | EFLAGS_TF
    jmp frame_make

; The debug exception's entry. Its frame (eip, cs, eflags) lies on the stack; data segments may be the
; program's.
global gate_debug
gate_debug:
    cmp dword [esp], gate_sysenter
    jne .other
    test byte [esp + 4], 3          ; ring 3 cannot be there, but may have tried
    jnz .other
    mov dword [esp], gate_stepped
    and dword [esp + 8], ~EFLAGS_TF
    push eax
    mov eax, DR6_NOTHING            ; the processor never clears it
    mov dr6, eax
    pop eax
    iret
.other:
    jmp [cs:interrupt_stubs + 4]

; ---- int 0x80 -----------------------------------------------------------------------------------

; Every register comes back as it was, so those that a C function may change are saved. The quick way
; only for a program in protected mode: another frame is longer, or has no esp.
global gate_int
gate_int:
    test byte [esp + 4], 3          ; cs
    jz int_full
    test byte [esp + 10], 2         ; EFLAGS.VM
    jnz int_full
    cmp eax, SYS_MALLOC
    je .quick
    cmp eax, SYS_FREE
    je .quick
    cmp eax, SYS_PID
    jne int_full
.quick:
    push ecx
    push edx
    push ds
    push es
    mov ecx, USER_DATA
    mov ds, ecx
    mov es, ecx
    cld
    cmp eax, SYS_FREE
    mov eax, ebx
    je .free
    ja .pid
    call quick_malloc
    test eax, eax
    jz .malloc_full
    pop es
    pop ds
    pop edx
    pop ecx
    iret
.pid:
    call quick_pid
    pop es
    pop ds
    pop edx
    pop ecx
    iret
.free:
    call quick_free
    test eax, eax
    jz .free_full
    xor eax, eax
    pop es
    pop ds
    pop edx
    pop ecx
    iret
.malloc_full:
    mov eax, SYS_MALLOC
    jmp .full
.free_full:
    mov eax, SYS_FREE
.full:
    pop es
    pop ds
    pop edx
    pop ecx
int_full:
    push dword 0                    ; in place of an error code
    push dword GATE_VECTOR
    push ds
    push es
    push fs
    push gs
full_call:
    pushad
    mov eax, KERNEL_DATA            ; C expects flat segments
    mov ds, eax
    mov es, eax
    cld                             ; and the direction flag clear
    xor ebp, ebp                    ; a call trace ends here: what follows is the program's
    mov eax, esp
    sti                             ; the thread can be switched away from here on
    push eax                        ; the argument: where the frame lies
    call syscall_dispatch           ; comes back with interrupts off, or not at all: the program ends
    add esp, 4
    popad
    pop gs
    pop fs
    pop es
    pop ds
    add esp, 8                      ; vector and error code
    iret

; ---- the first way ------------------------------------------------------------------------------

; gate_leave(entry, esp, eflags, eax): a thread's first way to ring 3. Every register but eax is cleared: what
; the kernel had in them is not for a program.
global gate_leave
gate_leave:
    cli
    mov ebx, [esp + 4]              ; entry
    mov ecx, [esp + 8]              ; esp
    mov edx, [esp + 12]             ; eflags
    mov eax, [esp + 16]
    push dword USER_DATA            ; ss
    push ecx
    push edx
    push dword USER_CODE            ; cs
    push ebx
    mov ecx, USER_DATA
    mov ds, ecx
    mov es, ecx
    mov fs, ecx
    mov gs, ecx
    xor ebx, ebx
    xor ecx, ecx
    xor edx, edx
    xor esi, esi
    xor edi, edi
    xor ebp, ebp
    iret
