; mbr.asm - sector 0: finds the loader on the disk, checks it, runs it.
;
; Who calls: the BIOS reads this sector to physical 0x7c00 and jumps to it in real mode, as
; 0000:7c00 or 07c0:0000, with the drive it came from in DL and nothing else promised: segment
; registers, stack, direction flag and interrupt flag can have any value.
;
; What it does:
;   1. jumps over the place of a FAT volume's parameters (below);
;   2. makes its surroundings known: CS = DS = ES = SS = 0, a stack, the drive remembered;
;   3. asks whether the BIOS can read by block number (int 13h extensions);
;   4. reads the first sector of the loader, which starts with the image's header;
;   5. reads as many sectors as the header says, compares the loader's CRC-32, jumps past the header.
;
; Where the loader is, how long it is and what its checksum must be comes from boot.inc and the
; header. No length is given in this file, so a loader that grows cannot be cut off silently.
;
; Why a gap of 87 bytes. A FAT volume keeps its parameters (the BPB) at 0x03 to 0x59 of its first
; sector. Some firmware takes every stick for such a volume and writes the drive's number, the
; partition's start or a geometry there before it jumps. No code is in that place. Two messages are,
; where FAT has a volume's name and type: these no firmware writes, and one that did would spoil a letter.
;
; Why a partition table. Some firmware does not boot a disk without an active partition.
; tools/mkimage.py enters one, which is the rest of the image; no code of ours reads it.
;
; Why the check of the loader is made here and not by the loader: damaged code cannot be trusted to
; find its own damage. This sector itself is guarded only by the BIOS, which looks at its last two bytes.
;
; Handed over at LOADER_ADDR + HEADER_BYTES: DL = drive, also in boot_info.boot_drive;
; CS = DS = ES = SS = 0, SP = MBR_ADDR, interrupts on, direction flag clear.
;
; Shortcomings: no CHS fallback, so no floppy disks; BIOSes older than about 1996 are refused. Needs a
; 386: an older processor hangs with no message. What else the processor must have, the loader asks.
;
; Sources: Intel SDM volume 3, chapter 20 (real-address mode); T13 EDD-3 (int 13h, functions 41h, 42h);
; Microsoft's FAT specification 1.03 (the place of the BPB).

%include "boot.inc"

FAT16_NAME          equ 0x2b            ; name and type of a FAT12 or FAT16 volume: 19 bytes of text
FAT32_NAME          equ 0x47            ; those of a FAT32 volume, 19 bytes as well
BPB_END             equ 0x5a            ; first byte after a FAT32 volume's parameters
CODE_BYTES_MAX      equ 440             ; six bytes follow where Windows signs a disk, then the partition table
FIRST_HARD_DISK     equ 0x80            ; as the BIOS counts drives
PACKET_BYTES        equ 16              ; a disk address packet

        bits 16                         ; real mode
        org MBR_ADDR                    ; addresses below count from segment 0

        jmp short start                 ; the only bytes before the gap
        nop                             ; a FAT volume's jump has three bytes; some firmware looks
        times FAT16_NAME - ($ - $$) db 0
text_read:      db "loader unreadable", 0
        times FAT32_NAME - ($ - $$) db 0
text_length:    db "loader size wrong", 0
        times BPB_END - ($ - $$) db 0

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
        sti                             ; the BIOS's disk code waits for interrupts
.drive:
        push dx                         ; DL: the BIOS's number of the disk we came from
        mov ah, 0x41                    ; are there int 13h extensions?
        mov bx, 0x55aa                  ; the question's signature
        int 0x13                        ; answer in BX, CX and the carry flag
        pop dx                          ; DH came back changed; leaves the flags alone
        jc .other                       ; the BIOS does not know the function, or not for this drive
        cmp bx, 0xaa55                  ; the answer's signature: the bytes swapped
        jne .other                      ; something else answered
        test cl, 1                      ; bit 0: functions 42h to 44h, extended read among them
        jnz .header                     ; if not, it knows the question, but not these functions
.other:                                 ; some firmware gives DL = 0, a floppy disk's number, to a hard disk
        mov si, text_no_lba             ; what `fail` will say, here and below: set before the checks it belongs to
        cmp dl, FIRST_HARD_DISK         ; was it that one already?
        je fail                         ; yes: no disk to be read
        mov dl, FIRST_HARD_DISK         ; the likeliest place; the header will show if it is ours
        jmp .drive                      ; ask once more

.header:
        mov bp, 1                       ; the header's sector alone: how many follow is in it
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
        xchg bp, ax                     ; the number for read_loader, and for the checksum below
        call read_loader                ; all of it, the first sector once more

        ; CRC-32 of what follows the header, bit by bit: slow, short, and at most 16 KiB.
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

        jmp LOADER_ADDR + HEADER_BYTES  ; CS is 0 already, DL still the drive

; read_loader - reads BP sectors from HEADER_LBA to LOADER_ADDR. Fails with a message. Keeps BP and DX.
; At most 32 sectors from a multiple of 32 KiB on: no transfer crosses a 64 KiB boundary.
read_loader:
        mov di, READ_TRIES              ; tries left
.try:
        push dx                         ; the drive
        push dword 0                    ; a disk address packet (EDD-3), its end first: block, upper half
        push dword HEADER_LBA           ; block, lower half
        push es                         ; to where: segment 0,
        push word LOADER_ADDR           ; offset
        push bp                         ; sectors; the BIOS writes back what it has read
        push byte PACKET_BYTES          ; the packet's length
        mov si, sp                      ; DS:SI is the packet
        mov ah, 0x42                    ; extended read
        int 0x13                        ; result in the carry flag
        lea sp, [si + PACKET_BYTES]     ; the packet is done with; leaves the flags alone
        pop dx                          ; the drive again
        jnc .done                       ; carry clear: all sectors are there
        xor ah, ah                      ; reset the drive before the next try
        int 0x13                        ; whether it worked shows at the next read
        dec di                          ; one try fewer
        jnz .try                        ; until none is left
        mov si, text_read               ; no try went well
        jmp fail
.done:
        ret                             ; the sectors are there

%include "fail.inc"

text_no_lba:    db "BIOS without LBA", 0
text_magic:     db "no image header", 0
text_checksum:  db "loader checksum wrong", 0

%if $ - $$ > CODE_BYTES_MAX
%error "the MBR's code runs into the partition table"
%endif
        times 510 - ($ - $$) db 0       ; the partition table, filled in by tools/mkimage.py
        db 0x55, 0xaa                   ; without these two no BIOS starts the disk
