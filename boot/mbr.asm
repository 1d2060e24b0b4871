; mbr.asm - sector 0: finds the loader on the disk, checks it, runs it.
;
; Who calls: the BIOS reads this sector to physical 0x7c00 and jumps to it in real mode, as
; 0000:7c00 or 07c0:0000, with the drive it came from in DL and nothing else promised: segment
; registers, stack, direction flag and interrupt flag can have any value.
;
; What it does:
;   1. makes its surroundings known: CS = DS = ES = SS = 0, a stack, the drive remembered;
;   2. asks whether the BIOS can read by block number (int 13h extensions);
;   3. reads the first sector of the loader, which starts with the image's header;
;   4. reads as many sectors as the header says, compares the loader's CRC-32, jumps behind the header.
;
; Where the loader is, how long it is and what its checksum must be comes from boot.inc and the
; header. No length stands in this file, so a loader that grows cannot be cut off silently.
;
; Why the check of the loader is made here and not by the loader: damaged code cannot be trusted to
; find its own damage. This sector itself is guarded only by the BIOS, which looks at its last two bytes.
;
; Handed over at LOADER_ADDR + HEADER_BYTES: DL = drive, CS = DS = ES = SS = 0, SP = MBR_ADDR,
; interrupts on, direction flag clear, time-stamp counter in boot_info.tsc_mbr.
;
; Shortcomings: no CHS fallback, so no floppy disks; BIOSes older than about 1996 are refused.
; The counter is read behind the first dozen instructions, not before them: a processor without
; one (486 and older) would hang with no message.
;
; Sources: Intel SDM volume 3, chapter 20 (real-address mode); T13 EDD-3 (int 13h, functions 41h, 42h).

%include "boot.inc"

INVALID_OPCODE      equ 6               ; exception 6: the processor does not know an instruction
READ_TRIES          equ 4               ; a disk that spins up or was changed fails once or twice
CODE_BYTES_MAX      equ 446             ; behind these stands the partition table
DRIVE               equ BOOT_INFO + INFO_DRIVE_OFF ; one byte; the loader makes it a dword
CRC32_POLYNOMIAL    equ 0xedb88320      ; IEEE 802.3, lowest bit first

        bits 16                         ; real mode
        org MBR_ADDR                    ; addresses below count from segment 0

start:
        cli                             ; no interrupt between SS and SP
        xor ax, ax                      ; every segment starts at physical 0
        mov ss, ax                      ; from here to the next instruction the processor holds interrupts back itself
        mov sp, MBR_ADDR                ; the stack grows down from below this sector
        mov ds, ax                      ; for data
        mov es, ax                      ; for what the BIOS writes to ES:DI
        jmp 0:.flat                     ; and CS, which only a far jump can set
.flat:
        cld                             ; string instructions count upwards
        mov [DRIVE], dl                 ; before rdtsc, which changes EDX
        mov word [INVALID_OPCODE * 4], no_tsc ; where a processor without rdtsc goes:
        mov [INVALID_OPCODE * 4 + 2], ax      ; vector = offset, segment (AX is still 0)
        rdtsc                           ; EDX:EAX = cycles since power-on
        mov [BOOT_INFO + INFO_TSC_MBR_OFF], eax ; for the kernel's boot report, by way of boot_info
        mov [BOOT_INFO + INFO_TSC_MBR_OFF + 4], edx ; the upper half
        sti                             ; the BIOS's disk code waits for interrupts

        mov ah, 0x41                    ; are there int 13h extensions?
        mov bx, 0x55aa                  ; the question's signature
        mov dl, [DRIVE]                 ; rdtsc has destroyed DL
        int 0x13                        ; answer in BX, CX and the carry flag
        mov si, text_no_lba             ; what `fail` will say, here and below: set before the checks it belongs to
        jc fail                         ; the BIOS does not know the function
        cmp bx, 0xaa55                  ; the answer's signature: the bytes swapped
        jne fail                        ; something else answered
        test cl, 1                      ; bit 0: functions 42h to 44h, extended read among them
        jz fail                         ; it knows the question, but not these functions

        mov bp, 1                       ; the header's sector alone: how many follow stands in it
        call read_loader                ; does not come back from an error
        mov si, text_magic              ; for the next check
        cmp dword [LOADER_ADDR + HEADER_MAGIC_OFF], HEADER_MAGIC
        jne fail                        ; another disk's second sector, or an overwritten one
        mov si, text_length
        mov eax, [LOADER_ADDR + HEADER_LOADER_SECS] ; how long the loader says it is
        dec eax                         ; 0 becomes the largest number: one comparison for both bounds
        cmp eax, LOADER_MAX_SECTORS - 1
        ja fail                         ; 0, or more than the place from LOADER_ADDR on
        inc ax                          ; back to the length: 1 to LOADER_MAX_SECTORS
        mov bp, ax                      ; the number for read_loader, and for the checksum below
        call read_loader                ; all of it, the first sector once more

        ; CRC-32 of what lies behind the header, bit by bit: slow, short, and at most 16 KiB.
        mov cx, bp                      ; sectors once more
        shl cx, 9                       ; sectors to bytes
        sub cx, HEADER_BYTES            ; the header holds the sum, so it cannot be part of it
        mov si, LOADER_ADDR + HEADER_BYTES ; first byte of the sum
        or eax, -1                      ; CRC-32 starts with all bits set
.byte:
        xor al, [si]                    ; eight bits of the text enter at the low end
        inc si                          ; the next byte
        mov bl, 8                       ; and are divided out one after the other
.bit:
        shr eax, 1                      ; the lowest bit leaves, into the carry flag
        jnc .next                       ; clear: nothing to subtract
        xor eax, CRC32_POLYNOMIAL       ; it was set: subtract the polynomial (without borrows)
.next:
        dec bl                          ; one bit fewer
        jnz .bit                        ; eight of them
        loop .byte                      ; CX bytes
        not eax                         ; and ends with all bits turned round
        mov si, text_checksum           ; for the last check
        cmp eax, [LOADER_ADDR + HEADER_LOADER_CRC] ; what mkimage.py has counted
        jne fail                        ; not the loader that was put there

        mov dl, [DRIVE]                 ; what the BIOS told us, for the loader
        jmp LOADER_ADDR + HEADER_BYTES  ; CS is 0 already

; read_loader - reads BP sectors from HEADER_LBA to LOADER_ADDR. Fails with a message.
; At most 32 sectors from a multiple of 32 KiB on: no transfer crosses a 64 KiB boundary.
read_loader:
        mov di, READ_TRIES              ; tries left
.try:
        mov [packet.count], bp          ; each time anew: the BIOS writes back what it has read
        mov ah, 0x42                    ; extended read
        mov dl, [DRIVE]                 ; the BIOS's number of the disk
        mov si, packet                  ; DS:SI: what, where, how much
        int 0x13                        ; result in the carry flag
        jnc .done                       ; carry clear: all sectors are there
        xor ah, ah                      ; reset the drive before the next try (DL still names it)
        int 0x13                        ; whether it worked shows at the next read
        dec di                          ; one try fewer
        jnz .try                        ; until none is left
        mov si, text_read               ; no try went well
        jmp fail
.done:
        ret                             ; the sectors are there

no_tsc:                                 ; exception 6 comes here; its stack frame does not matter
        mov si, text_cpu
        jmp fail

%include "fail.inc"

text_no_lba:    db "BIOS without LBA", 0
text_read:      db "loader unreadable", 0
text_magic:     db "no image header", 0
text_length:    db "loader size wrong", 0
text_checksum:  db "loader checksum wrong", 0
text_cpu:       db "CPU without rdtsc", 0

packet:                                 ; disk address packet (EDD-3)
        db 16, 0                        ; its length; reserved
.count: dw 0                            ; sectors to read
        dw LOADER_ADDR, 0               ; to where: offset, segment
        dd HEADER_LBA, 0                ; from where: 64 bits

%if $ - $$ > CODE_BYTES_MAX
%error "the MBR's code runs into the partition table"
%endif
        times 510 - ($ - $$) db 0       ; an empty partition table
        db 0x55, 0xaa                   ; without these two no BIOS starts the disk
