; crt0.asm - a program's first instructions. The kernel enters at _start with argc and argv on the stack
; (process/process.c, stack_load()), and every register clear but eax: 1 where `sysenter` may be used
; (process/gate.h). What main() returns is the status.

bits 32

extern main

SYS_EXIT equ 0                      ; process/syscall_table.h

section .text
global _start
_start:
    mov [user_sysenter], eax
    mov eax, [esp]                  ; argc
    mov edx, [esp + 4]              ; argv
    and esp, -16                    ; as the ABI wants it at a call
    sub esp, 8
    push edx
    push eax
    call main
    mov ebx, eax
    mov eax, SYS_EXIT
    int 0x80                        ; does not return

section .bss
global user_sysenter                ; user/lib/user.h
user_sysenter: resd 1
