; switch.asm - from one thread's stack to another's.
;
; void switch_to(uint32_t *save, uint32_t load);
;
; Called with interrupts off. The i386 ABI lets a function change eax, ecx and edx; the other
; registers go on the old thread's stack, its stack pointer to *save, and the same comes back from
; the new one's. The `ret` at the end thus returns to where the new thread called switch_to, or, the
; first time, to thread_begin().

bits 32
section .text

global switch_to
switch_to:
    mov eax, [esp + 4]      ; save: where the old stack pointer goes
    mov edx, [esp + 8]      ; load: the new stack pointer
    push ebp                ; what the ABI makes a called function keep
    push ebx
    push esi
    push edi
    mov [eax], esp          ; the old thread sleeps here ...
    mov esp, edx            ; ... and the new one wakes up
    pop edi                 ; in the reverse order
    pop esi
    pop ebx
    pop ebp
    ret
