; firmware.asm - a boot sector that makes the firmware say and do what a table says, then starts the MBR.
;
; No emulator's firmware is as odd as what the boot code must put up with. tools/firmware.py puts this into
; sector 0 of a copy of the image, and the image's own MBR and the table after the image's end. The sector hooks
; int 12h, 13h and 15h as the table's flags say, and starts the MBR with the registers that the table holds. Hooks
; and table live at HOOKS, where neither MBR nor loader writes as long as the BIOS is asked.
;
; Assembled by tools/firmware.py: nasm -f bin -Iboot/ -DMBR_LBA=... (the table follows the MBR)

%include "boot.inc"

HOOKS           equ 0xd000
TABLE           equ HOOKS + 0x200
TABLE_SECTORS   equ 10              ; 5 KiB: the head and 210 entries
COUNT           equ TABLE           ; dword: entries
FLAGS           equ TABLE + 4       ; dword: bits below
REGISTERS       equ TABLE + 8       ; edi esi ebp - ebx edx ecx eax, as popad wants them
EFLAGS_START    equ TABLE + 40      ; dword
SEGMENTS        equ TABLE + 44      ; words: ds es
LOW_KIB         equ TABLE + 48      ; word: the answer of int 12h
E801            equ TABLE + 50      ; words ax bx cx dx: the answer of int 15h/E801h
ENTRIES         equ TABLE + 64

; Bits of FLAGS, the names in tools/firmware.py.
BYTES_20        equ 1 << 0          ; entries of 20 bytes; what follows is written all the same
END_BY_CARRY    equ 1 << 1          ; the last entry is not marked, the call after it fails
ENDLESS         equ 1 << 2          ; after the last comes the first
START_AT_7C0    equ 1 << 3          ; the MBR is entered as 07c0:0000, not as 0000:7c00
OWN_E820        equ 1 << 4          ; the table's entries; without it, E820h is left alone
NO_E820         equ 1 << 5          ; not known
OWN_E801        equ 1 << 6
NO_E801         equ 1 << 7
NO_88           equ 1 << 8
OWN_LOW         equ 1 << 9          ; int 12h answers LOW_KIB
NO_LBA          equ 1 << 10         ; no int 13h extensions
READS_3         equ 1 << 11         ; each block can be read at the fourth try only
READS_4         equ 1 << 12         ; the kernel's second chunk can never be read
A20_OFF         equ 1 << 13         ; A20 closed, and int 15h/2401h does not open it
OWN_DRIVE       equ 1 << 14         ; DL as the table has it, not as the firmware gave it

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
        mov si, 0x12 * 4            ; the vectors, each kept and replaced
        mov di, old12
        movsd
        movsd                       ; old13
        mov si, 0x15 * 4
        movsd                       ; old15
        mov dword [0x12 * 4], hook12
        mov dword [0x13 * 4], hook13
        mov dword [0x15 * 4], hook15
        test word [FLAGS], A20_OFF
        jz .entry
        in al, 0x92
        and al, 0xfc
        out 0x92, al
.entry:
        test byte [FLAGS], START_AT_7C0
        jz .drive
        mov dword [target], MBR_ADDR << 12
.drive:
        test word [FLAGS], OWN_DRIVE
        jnz .registers
        mov al, [drive]             ; the one register that the firmware promises
        mov [REGISTERS + 20], al    ; DL in popad's order
.registers:
        mov es, [SEGMENTS + 2]
        mov sp, REGISTERS           ; where the registers lie is the stack for a moment
        popad
        popfd                       ; the direction flag is anything; interrupts off, with no stack yet
        mov sp, MBR_ADDR
        push dword [target]         ; last of all DS, by which the target is read
        mov ds, [SEGMENTS]
        retf

read:
        mov dl, [drive]
        mov ah, 0x42
        int 0x13
        jc $                        ; the emulator's own disk: never
        ret

hook12:
        test word [cs:FLAGS], OWN_LOW
        jz .old
        mov ax, [cs:LOW_KIB]
        iret
.old:
        jmp far [cs:old12]

hook13:
        test word [cs:FLAGS], NO_LBA
        jz .read
        cmp ah, 0x41
        je fails
.read:
        cmp ah, 0x42
        jne .old
        test word [cs:FLAGS], READS_3
        jz .chunk
        inc byte [cs:tries]
        test byte [cs:tries], 3
        jnz fails
.chunk:
        test word [cs:FLAGS], READS_4
        jz .old
        cmp word [si + 6], (KERNEL_FILE_ADDR + 0x8000) >> 4
        je fails
.old:
        jmp far [cs:old13]

hook15:
        cmp ax, 0xe820
        je e820
        cmp ax, 0xe801
        je e801
        cmp ah, 0x88
        jne .a20
        test word [cs:FLAGS], NO_88
        jnz fails
.a20:
        cmp ax, 0x2401
        jne old
        test word [cs:FLAGS], A20_OFF
        jnz fails
old:
        jmp far [cs:old15]

e801:
        test byte [cs:FLAGS], NO_E801
        jnz fails
        test byte [cs:FLAGS], OWN_E801
        jz old
        mov ax, [cs:E801]
        mov bx, [cs:E801 + 2]
        mov cx, [cs:E801 + 4]
        mov dx, [cs:E801 + 6]
        iret

fails:                              ; returns with the caller's carry flag set
        mov ah, 0x86
        push bp
        mov bp, sp
        or byte [bp + 6], 1
        pop bp
        iret

e820:
        test byte [cs:FLAGS], NO_E820
        jnz fails
        test byte [cs:FLAGS], OWN_E820
        jz old
        cmp ebx, [cs:COUNT]
        jb .give
        test byte [cs:FLAGS], ENDLESS
        jz fails                    ; after the last, or there is none
.give:
        push ds
        push si
        push di
        push edx                    ; "SMAP"
        push cs                     ; 0
        pop ds
        mov eax, ebx
        xor edx, edx
        div dword [COUNT]           ; endless: after the last comes the first
        imul si, dx, MAP_ENTRY_BYTES
        add si, ENTRIES
        mov cx, MAP_ENTRY_BYTES
        cld
        rep movsb                   ; ES:DI from DS:SI
        mov cl, MAP_ENTRY_BYTES
        test byte [FLAGS], BYTES_20
        jz .next
        mov cl, 20
.next:
        movzx ecx, cl
        inc ebx
        test byte [FLAGS], END_BY_CARRY | ENDLESS
        jnz .more
        cmp ebx, [COUNT]
        jb .more
        xor ebx, ebx                ; the last
.more:
        pop eax
        mov edx, 0xdeadbeef         ; as some firmware does
        pop di
        pop si
        pop ds
        push bp
        mov bp, sp
        and byte [bp + 6], 0xfe     ; returns with the caller's carry flag clear
        pop bp
        iret

packet_mbr:
        db 16, 0
        dw 1, MBR_ADDR, 0
        dd MBR_LBA, 0
packet_table:
        db 16, 0
        dw TABLE_SECTORS, TABLE, 0
        dd MBR_LBA + 1, 0
target: dd MBR_ADDR
old12:  dd 0
old13:  dd 0
old15:  dd 0
drive:  db 0
tries:  db 0
        times 510 - ($ - $$) db 0
        db 0x55, 0xaa
