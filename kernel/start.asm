; start.asm - the kernel's first instructions.
;
; The loader jumps to _start, the ELF entry, with
;   - 32-bit protected mode, paging on, CR0.WP set, flat segments, interrupts off, direction flag
;     clear;
;   - physical 0 .. 4 MiB mapped at 0 and at KERNEL_BASE;
;   - esp somewhere in low memory, which is about to be unmapped.

bits 32

BOOT_STACK_BYTES equ 16384

extern paging_drop_identity
extern kmain

; The boot stack, thread "main"'s for good. The page below it stays unmapped (kernel/paging.c), so
; that running over the end is a page fault with a name, not a silent overwrite.
section .stack_guarded nobits alloc noexec write align=4096
global boot_stack_guard
global boot_stack_bottom
global boot_stack_top
boot_stack_guard:
    resb 4096
boot_stack_bottom:
    resb BOOT_STACK_BYTES
boot_stack_top:

section .text.entry progbits alloc exec nowrite align=16
global _start
_start:
    mov esp, boot_stack_top         ; in the higher half: stays mapped
    xor ebp, ebp                    ; a call trace ends where the frame pointer is 0
    push ebp                        ; no return address either: there is no caller
    call paging_drop_identity       ; from here on address 0 is not mapped
    call kmain                      ; does not return
.halt:
    cli                             ; in case it does
    hlt
    jmp .halt
