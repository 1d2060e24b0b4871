; firmware.asm - a boot sector that makes the BIOS worse, then starts the real MBR.
;
; No emulator's firmware is as odd as what the loader must put up with. This sector hooks int 12h, 13h
; and 15h, does one thing wrong as FAULT says, and loads the image's own MBR, which the test has
; put into sector MBR_LBA. The hooks live at HOOKS, where neither the MBR nor the loader writes.
;
; Assembled by test_firmware.py: nasm -f bin -Iboot/ -DFAULT=... -DMBR_LBA=...

%include "boot.inc"

HOOKS       equ 0xd000
NO_E820     equ 1               ; E820h not known
NO_E801     equ 2               ; E820h, E801h not known
NO_MAP      equ 3               ; nor 88h
MANY        equ 4               ; E820h gives 200 entries
ENDLESS     equ 5               ; E820h never comes to an end
BYTES_20    equ 6               ; 20 bytes an entry, rubbish behind them
DISABLED    equ 7               ; all entries say "ignore this"
A20_OFF     equ 8               ; A20 closed, and int 15h/2401h does not open it
LOW_MEMORY  equ 9               ; int 12h: 583 KiB
NO_LBA      equ 10              ; no int 13h extensions
READS_3     equ 11              ; each block can be read at the fourth try only
READS_4     equ 12              ; the kernel's second chunk can never be read
E801_CX     equ 13              ; E801h answers in CX and DX alone
HUGE        equ 14              ; E820h: one entry, 1 MiB to the end of 64 bits, wrapping

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
        mov si, MBR_ADDR        ; out of the way of the real MBR
        mov di, HOOKS
        mov cx, 256
        rep movsw
        jmp 0:moved
moved:
        mov [drive], dl
        mov si, packet
        mov ah, 0x42            ; the real MBR, to its place
        int 0x13
        jc $
        mov eax, [0x12 * 4]     ; the vectors, each kept and replaced
        mov [old12], eax
        mov eax, [0x13 * 4]
        mov [old13], eax
        mov eax, [0x15 * 4]
        mov [old15], eax
        mov dword [0x12 * 4], hook12
        mov dword [0x13 * 4], hook13
        mov dword [0x15 * 4], hook15
%if FAULT == A20_OFF
        in al, 0x92
        and al, 0xfc
        out 0x92, al
%endif
        mov dl, [drive]
        jmp 0:MBR_ADDR

hook12:
%if FAULT == LOW_MEMORY
        mov ax, 583
        iret
%endif
        jmp far [cs:old12]

hook13:
%if FAULT == NO_LBA
        cmp ah, 0x41
        je fails
%elif FAULT == READS_3
        cmp ah, 0x42
        jne .old
        inc byte [cs:tries]
        test byte [cs:tries], 3
        jnz fails
.old:
%elif FAULT == READS_4
        cmp ah, 0x42
        jne .old
        cmp word [si + 6], (KERNEL_FILE_ADDR + 0x8000) >> 4
        je fails
.old:
%endif
        jmp far [cs:old13]

fails:                          ; returns with the caller's carry flag set
        push bp
        mov bp, sp
        or byte [bp + 6], 1
        pop bp
        mov ah, 0x86
        iret

hook15:
%if FAULT == NO_E820 || FAULT == NO_E801 || FAULT == NO_MAP || FAULT == E801_CX
        cmp ax, 0xe820
        je fails
%endif
%if FAULT == NO_E801 || FAULT == NO_MAP
        cmp ax, 0xe801
        je fails
%endif
%if FAULT == NO_MAP
        cmp ah, 0x88
        je fails
%endif
%if FAULT == E801_CX
        cmp ax, 0xe801
        jne .old
        xor ax, ax
        xor bx, bx
        mov cx, 0x3c00          ; 15 MiB
        mov dx, 0x0100          ; 16 MiB
        iret
.old:
%endif
%if FAULT == A20_OFF
        cmp ax, 0x2401
        je fails
%endif
%if FAULT >= MANY && FAULT <= DISABLED || FAULT == HUGE
        cmp ax, 0xe820
        je entry
%endif
        jmp far [cs:old15]

%if FAULT >= MANY && FAULT <= DISABLED || FAULT == HUGE
entry:                          ; entry n: 1 MiB at (n + 1) MiB, usable; EBX counts
        push edx
        mov edx, ebx
        inc edx
        shl edx, 20
        mov [es:di], edx
        xor edx, edx
        mov [es:di + 4], edx
        mov [es:di + 12], edx
        mov dword [es:di + 8], 0x100000
        mov dword [es:di + 16], 1
%if FAULT == HUGE
        dec edx
        mov [es:di + 8], edx
        mov [es:di + 12], edx
%endif
        mov dword [es:di + 20], (FAULT != BYTES_20 && FAULT != DISABLED) & 1
        pop eax                 ; "SMAP"
        mov edx, 0xdeadbeef     ; as some BIOSes do
        mov ecx, 24 - 4 * ((FAULT == BYTES_20) & 1)
        inc ebx
%if FAULT == MANY
        cmp ebx, 200
%elif FAULT == ENDLESS
        cmp ebx, 0
%else
        cmp ebx, 3 - 2 * ((FAULT == HUGE) & 1)
%endif
        jne .more
        xor ebx, ebx
.more:
        push bp
        mov bp, sp
        and byte [bp + 6], 0xfe ; carry clear
        pop bp
        iret
%endif

packet: db 16, 0
        dw 1, MBR_ADDR, 0
        dd MBR_LBA, 0
old12:  dd 0
old13:  dd 0
old15:  dd 0
drive:  db 0
tries:  db 0
        times 510 - ($ - $$) db 0
        db 0x55, 0xaa
