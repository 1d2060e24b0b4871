; dump.asm - a boot sector that prints the firmware's memory map as C initialisers.
;
; This is how the maps in real_maps.h were got. It is a tool for that one file, not part of the kernel:
;
;   nasm -f bin dump.asm -o dump.img
;   truncate -s 1M dump.img
;   qemu-system-i386 -m 32 -drive file=dump.img,format=raw -display none -serial stdio
;
; Each entry becomes one line on COM1 and on port 0xe9 (Bochs's port_e9_hack):
;
;   {0x0000000000000000, 0x000000000009fc00, 1, 1},
;
; A line "end" closes the list. The fourth number is the ACPI attribute word if the BIOS gave 24
; bytes, else 1, as boot/loader.asm stores it. No checks beyond E820's own: a person reads what it prints.

        bits 16
        org 0x7c00

COM1            equ 0x3f8
COM1_STATUS     equ COM1 + 5
ENTRY           equ 0x600       ; where the BIOS puts an entry: free memory, below us
SMAP            equ 0x534d4150  ; "SMAP", E820's password and its signature

start:
        cli                     ; nothing here wants an interrupt; the BIOS turns them on as it needs
        xor ax, ax              ; flat: every segment at 0, as the addresses below assume
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7c00          ; the stack grows down from below the code
        cld
        mov dx, COM1 + 3        ; 8 data bits, no parity: the BIOS may have left anything
        mov al, 3
        out dx, al

        xor ebx, ebx            ; E820's continuation: 0 asks for the first entry
next:
        mov dword [ENTRY + 20], 1 ; stays if the BIOS writes only 20 bytes
        mov eax, 0xe820
        mov edx, SMAP
        mov ecx, 24
        mov di, ENTRY
        int 0x15
        jc done                 ; no more, or no E820 at all
        cmp eax, SMAP
        jne done                ; a BIOS that does not know the call
        push ebx

        mov si, text_open       ; {0x
        call print
        mov si, ENTRY + 8       ; base: eight bytes, printed from the highest down
        call print_qword
        mov si, text_between    ; , 0x
        call print
        mov si, ENTRY + 16      ; length
        call print_qword
        mov si, text_comma      ; type and attributes are small: one digit each
        call print
        mov al, [ENTRY + 16]
        call print_digit
        mov si, text_comma
        call print
        mov al, [ENTRY + 20]
        call print_digit
        mov si, text_close
        call print

        pop ebx
        test ebx, ebx           ; 0 again: that was the last one
        jnz next
done:
        mov si, text_end
        call print
halt:
        hlt
        jmp halt

; Prints the 8 bytes that end before SI, the highest first. Changes AX, CX, DX, SI.
print_qword:
        mov cx, 8
.byte:
        dec si
        mov al, [si]
        shr al, 4
        call print_digit
        mov al, [si]
        call print_digit
        loop .byte
        ret

; Prints the low four bits of AL. Changes AX, DX.
print_digit:
        and al, 0x0f
        cmp al, 10              ; the three instructions that make '0'..'9', 'a'..'f' of 0..15
        jb .decimal
        add al, 'a' - '0' - 10
.decimal:
        add al, '0'
        ; falls through

; Prints AL, on both ways out. Changes AX, DX.
print_char:
        out 0xe9, al
        mov ah, al
        mov dx, COM1_STATUS
.wait:
        in al, dx
        test al, 0x20           ; transmitter's holding register empty
        jz .wait
        mov dx, COM1
        mov al, ah
        out dx, al
        ret

; Prints the NUL-terminated text at SI. Changes AX, DX, SI.
print:
        lodsb
        test al, al
        jz .done
        call print_char
        jmp print
.done:
        ret

text_open:      db "{0x", 0
text_between:   db ", 0x", 0
text_comma:     db ", ", 0
text_close:     db "},", 10, 0
text_end:       db "end", 10, 0

        times 510 - ($ - $$) db 0
        dw 0xaa55               ; without it no BIOS takes this for a boot sector
