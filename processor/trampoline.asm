; trampoline.asm - a further processor's way from real mode to the kernel.
;
; Copied to TRAMPOLINE, a page of low memory, where the message "start up" lets the processor begin: in
; real mode, cs:ip = TRAMPOLINE / 16 : 0, interrupts off, all else undefined (Intel SDM volume 3, 8.4.4).
; Until paging is on, addresses are physical, so every reference is to the copy. Paging goes on with the
; processor's own directory, in which the first 4 MiB are mapped at 0, too, as long as this runs.
;
; start.c fills in the three words at trampoline_words of the copy: the directory, the stack, and where
; to go on, which is C.

TRAMPOLINE equ 0x3000               ; processor/start.c has it once more
CODE       equ 0x08
DATA       equ 0x10
%define COPY(label) (TRAMPOLINE + (label) - trampoline_start)

section .rodata
global trampoline_start
global trampoline_words
global trampoline_end

bits 16
trampoline_start:
    cli
    cld
    xor ax, ax
    mov ds, ax
    lgdt [COPY(table_pointer)]
    mov eax, cr0
    or al, 1                        ; protected mode
    mov cr0, eax
    jmp dword CODE:COPY(protected)  ; loads cs

bits 32
protected:
    mov eax, DATA
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    mov ss, eax
    mov eax, [COPY(trampoline_words)]
    mov cr3, eax
    mov eax, cr0
    and eax, 0x9fffffff             ; caches on: after a reset they are off (CD, NW)
    or eax, 0x80010000              ; paging, and write protection for ring 0, too
    mov cr0, eax
    mov esp, [COPY(trampoline_words) + 4]
    mov eax, [COPY(trampoline_words) + 8]
    xor ebp, ebp                    ; a call trace ends here
    push ebp                        ; no return address: it does not return
    jmp eax

align 8
table:                              ; flat, as the kernel's (kernel/gdt.c), which the C code loads next
    dq 0
    dq 0x00cf9a000000ffff
    dq 0x00cf92000000ffff
table_pointer:
    dw table_pointer - table - 1
    dd COPY(table)
align 4
trampoline_words:
    dd 0, 0, 0
trampoline_end:
