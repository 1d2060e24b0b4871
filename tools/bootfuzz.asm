; bootfuzz.asm - a boot sector that stands before the MBR and makes the firmware say what a table says.
;
; tools/bootfuzz.py puts it into sector 0 of a copy of the image, the image's own MBR and the table behind the
; image's end. It hooks int 15h, so that E820h gives the table's entries, and starts the MBR with the
; registers that the table holds. The hook and the table live at HOOKS, where neither MBR nor loader writes.
;
; Assembled by tools/bootfuzz.py: nasm -f bin -Iboot/ -DMBR_LBA=... (the table follows the MBR)

%include "boot.inc"

HOOKS           equ 0xd000
TABLE           equ HOOKS + 0x200
TABLE_SECTORS   equ 8               ; 4 KiB: the head and 165 entries
COUNT           equ TABLE           ; dword: entries
FLAGS           equ TABLE + 4       ; dword: how E820h behaves
REGISTERS       equ TABLE + 8       ; edi esi ebp - ebx edx ecx eax, as popad wants them
EFLAGS_START    equ TABLE + 40      ; dword
SEGMENTS        equ TABLE + 44      ; words: ds es
ENTRIES         equ TABLE + 64

BYTES_20        equ 1               ; bits of FLAGS: entries of 20 bytes
END_BY_CARRY    equ 2               ; the last entry is not marked, the call behind it fails
ENDLESS         equ 4               ; behind the last comes the first
START_AT_7C0    equ 8               ; the MBR is entered as 07c0:0000, not as 0000:7c00
FIRMWARE_MAP    equ 16              ; E820h is left alone

        bits 16
        org HOOKS

start:
        cli
        xor ax, ax
        mov ss, ax
        mov sp, MBR_ADDR
        mov ds, ax
        mov es, ax
        cld
        mov si, MBR_ADDR            ; out of the way of the real MBR
        mov di, HOOKS
        mov cx, 256
        rep movsw
        jmp 0:moved
moved:
        mov [drive], dl
        mov si, packet_mbr          ; the real MBR, to its place
        call read
        mov si, packet_table
        call read
        mov eax, [0x15 * 4]         ; the vector, kept and replaced
        mov [old15], eax
        mov dword [0x15 * 4], hook15
        mov word [target + 2], 0
        mov word [target], MBR_ADDR
        test byte [FLAGS], START_AT_7C0
        jz .registers
        mov word [target + 2], MBR_ADDR >> 4
        mov word [target], 0
.registers:
        mov al, [drive]             ; the one register that the firmware promises
        mov [REGISTERS + 20], al    ; DL in popad's order
        mov es, [SEGMENTS + 2]
        mov sp, REGISTERS           ; where the registers lie is the stack for a moment
        popad
        mov sp, EFLAGS_START
        popfd                       ; the direction flag is anything; interrupts off, with no stack yet
        mov sp, MBR_ADDR
        push word [target + 2]      ; last of all DS, by which the target is read
        push word [target]
        mov ds, [SEGMENTS]
        retf

read:
        mov dl, [drive]
        mov ah, 0x42
        int 0x13
        jc $                        ; the emulator's own disk: never
        ret

hook15:
        cmp ax, 0xe820
        jne .old
        test byte [cs:FLAGS], FIRMWARE_MAP
        jz .entry
.old:
        jmp far [cs:old15]
.entry:
        mov [cs:signature], edx
        cmp dword [cs:COUNT], 0
        je .fails                   ; there is none
        test byte [cs:FLAGS], ENDLESS
        jnz .give
        cmp ebx, [cs:COUNT]
        jae .fails                  ; behind the last
.give:
        push esi
        push edi
        push ds
        xor si, si
        mov ds, si
        mov eax, ebx
        xor edx, edx
        div dword [COUNT]           ; endless: behind the last comes the first
        imul esi, edx, MAP_ENTRY_BYTES
        add esi, ENTRIES
        movzx edi, di
        mov ecx, MAP_ENTRY_BYTES
        test byte [FLAGS], BYTES_20
        jz .copy
        mov cl, 20
.copy:
        push ecx
        cld
        a32 rep movsb               ; ES:EDI from DS:ESI
        pop ecx
        inc ebx
        test byte [FLAGS], END_BY_CARRY | ENDLESS
        jnz .more
        cmp ebx, [COUNT]
        jb .more
        xor ebx, ebx                ; the last
.more:
        pop ds
        pop edi
        pop esi
        mov eax, [cs:signature]     ; "SMAP"
        mov edx, eax
        push bp
        mov bp, sp
        and byte [bp + 6], 0xfe     ; returns with the caller's carry flag clear
        pop bp
        iret
.fails:
        push bp
        mov bp, sp
        or byte [bp + 6], 1         ; and set
        pop bp
        mov ah, 0x86
        iret

packet_mbr:
        db 16, 0
        dw 1, MBR_ADDR, 0
        dd MBR_LBA, 0
packet_table:
        db 16, 0
        dw TABLE_SECTORS, TABLE, 0
        dd MBR_LBA + 1, 0
old15:  dd 0
target: dd 0
signature: dd 0
drive:  db 0
        times 446 - ($ - $$) db 0
        times 510 - ($ - $$) db 0
        db 0x55, 0xaa
