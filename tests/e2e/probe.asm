; probe.asm - a kernel that prints what the loader hands over, and ends.
;
; Flat code at KERNEL_BASE + KERNEL_PHYS; test_firmware.py puts it into an ELF file. It prints dwords in
; hexadecimal, a space after each: the state at the entry, then the boot information.

%include "boot.inc"

        bits 32
        org KERNEL_BASE + KERNEL_PHYS

entry:
        pushfd                  ; at the top: the flags as they were, on the loader's stack
        mov ebx, cr0
        xor ecx, ecx
        mov cx, cs
        push ecx
        mov cx, ss
        push ecx
        lea ecx, [esp + 12]     ; ESP at the entry
        push ecx
        push ebx
        mov ebp, esp            ; CR0, ESP, SS, CS, EFLAGS
        mov dx, 0x3fb           ; 115200, 8N1
        mov al, 0x83
        out dx, al
        mov dx, 0x3f8
        mov ax, 1
        out dx, ax
        mov dx, 0x3fb
        mov al, 3
        out dx, al
        mov esi, ebp
        mov ecx, 5
        call dwords
        mov esi, bss            ; 64 KiB that must have been cleared
        xor eax, eax
        mov ecx, 0x4000
        mov edi, esi
        repe scasd
        setne al
        call hex
        mov eax, [entry - KERNEL_BASE] ; physical 1 MiB is seen at 1 MiB too
        sub eax, [entry]
        call hex
        mov esi, KERNEL_BASE + BOOT_INFO
        mov ecx, INFO_SIZE / 4
        call dwords
        mov esi, KERNEL_BASE + TOTAL_MEM_ADDR
        mov ecx, 1
        call dwords
        mov ecx, [KERNEL_BASE + BOOT_INFO + INFO_COUNT_OFF]
        imul ecx, MAP_ENTRY_BYTES / 4
        mov esi, KERNEL_BASE + MAP_ADDR
        call dwords
        mov dx, 0x3fd
.wait:
        in al, dx
        test al, 0x40           ; the last byte has left
        jz .wait
        mov dx, DEBUG_EXIT_PORT
        mov eax, EXIT_PASSED
        out dx, eax
        hlt

dwords:                         ; ECX dwords at ESI
        lodsd
        call hex
        loop dwords
        ret

hex:                            ; EAX, eight digits and a space
        push ecx
        mov ebx, eax
        mov ecx, 8
.digit:
        rol ebx, 4
        mov al, bl
        and al, 15
        cmp al, 10
        sbb al, 0x69            ; 0 to 15 become '0' to '9', 'A' to 'F'
        das
        call send
        loop .digit
        mov al, ' '
        call send
        pop ecx
        ret

send:
        push eax
        mov dx, 0x3fd
.wait:
        in al, dx
        test al, 0x20
        jz .wait
        pop eax
        mov dx, 0x3f8
        out dx, al
        ret

        align 16, db 0x90
bss:                            ; past the file's end
