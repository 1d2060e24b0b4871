; loader.asm - from the BIOS's real mode to the kernel's first instruction.
;
; Who calls: mbr.asm, which has read all of this file to LOADER_ADDR and compared its checksum.
; On entry: real mode, CS = DS = ES = SS = 0, SP = MBR_ADDR, DL (and boot_info.boot_drive) = the
; drive, interrupts on, direction flag clear, boot_info.tsc_mbr filled in.
;
; What it does, in this order, because the BIOS can be asked in real mode only:
;
;   real mode        header -> command line -> kernel file -> memory map -> A20 -> interrupts off
;   protected mode   kernel's checksum -> its ELF headers -> copy -> memory total -> page tables -> jump
;
; All of the kernel's file is checked before one byte of it is put in place. The file waits below
; 640 KiB, since the BIOS cannot write elsewhere; the segments go to 1 MiB and above.
;
; What the kernel finds is written down in docs/boot.md, in kernel/bootinfo.h and at enter_kernel below.
;
; Every failure has a message of its own on the screen and on COM1, ends an emulator with EXIT_FAILED,
; and stops. The texts stand at the end of each half; docs/boot.md explains them.
;
; Shortcomings: one disk format (this image), 32-bit ELF only, kernel files to 512 KiB, segments
; below 4 MiB; segments are not compared with each other for overlap (the linker does not make any, and the
; checksum says that this is what it made). Memory entries that overlap count twice in the total at
; TOTAL_MEM_ADDR: it is the seed's plain sum, and the kernel works out its own from the map.
;
; Sources: Intel SDM volume 3, chapters 3, 4 and 9.9; ACPI 6.5 chapter 15 (E820h); T13 EDD-3 (int 13h);
; Ralf Brown's interrupt list (E801h, 88h, 2401h); System V ABI and its i386 supplement (ELF).

%include "boot.inc"

READ_TRIES          equ 4               ; as in mbr.asm
CHUNK_SECTORS       equ 64              ; 32 KiB: BIOSes promise 127, and 64 divides 64 KiB
LOW_KIB_NEEDED      equ 584             ; BOOT_PAGE_TABLE + 4 KiB = 0x92000 bytes
E820_CALLS_MAX      equ 1024            ; a BIOS that never says "last entry" is left after that many
SMAP                equ 0x534d4150      ; "SMAP", E820h's password and signature
E820_USABLE         equ 1               ; entry type: memory for everybody
E820_ENABLED        equ 1               ; bit 0 of the attributes: the entry counts
ENTRY_LENGTH        equ 8               ; offsets in an entry: base stands at 0
ENTRY_TYPE          equ 16
ENTRY_ACPI          equ 20

A20_PROBE           equ 0x7c00          ; the MBR's place: nobody needs it any more
A20_CHECKS          equ 1000            ; the gate may take some microseconds to open
KBC_DATA            equ 0x60            ; keyboard controller (8042): data
KBC_STATUS          equ 0x64            ; status when read, command when written
SYSTEM_PORT_A       equ 0x92            ; bit 1: A20, bit 0: reset (never to be set by us)
A20_BIT             equ 2               ; in port 92h and in the 8042's output port alike

CODE_SEG            equ 0x08            ; the GDT's first and second entry behind the null one
DATA_SEG            equ 0x10
VGA_TEXT            equ 0xb8000         ; 80 columns, 25 rows, a character and an attribute each
VGA_COLUMNS         equ 80
VGA_LAST_ROW        equ 24
BDA_CURSOR_ROW      equ 0x451           ; BIOS data area: row of page 0's cursor

KERNEL_LIMIT        equ 0x400000        ; the boot page table maps 4 MiB
PAGE_BYTES          equ 4096
PAGE_FLAGS          equ 3               ; present, writable
PAGE_ENTRIES        equ 1024
CR0_PE              equ 1               ; protection enable
CR0_WP_PG           equ 0x80010000      ; write protection holds for ring 0 too; paging

ELF_MAGIC           equ 0x464c457f      ; 0x7f, "ELF"
ELF_32_LSB_V1       equ 0x010101        ; the three bytes behind it: class, byte order, version
ELF_EXEC_386        equ 0x00030002      ; e_type 2 (executable), e_machine 3 (i386), one dword
E_TYPE              equ 16              ; offsets in the ELF header
E_ENTRY             equ 24
E_PHOFF             equ 28
E_PHENTSIZE         equ 42
E_PHNUM             equ 44
EHDR_BYTES          equ 52
PHDR_BYTES          equ 32
PT_LOAD             equ 1               ; p_type stands at 0 of a program header
P_OFFSET            equ 4               ; offsets in a program header
P_VADDR             equ 8
P_PADDR             equ 12
P_FILESZ            equ 16
P_MEMSZ             equ 20
P_FLAGS             equ 24
PF_X                equ 1               ; p_flags: the segment is code

HEADER              equ LOADER_ADDR     ; where the image's header lies in memory

        bits 16
        org LOADER_ADDR

; The header. Its fields are filled in by tools/mkimage.py.
header:
        jmp near start                  ; three bytes, and a fourth: HEADER_JUMP has four
        nop
        dd HEADER_MAGIC
        times HEADER_BYTES - ($ - header) db 0

start:
        cld                             ; a loader started by another MBR would need it
        mov si, text_header
        cmp dword [HEADER + HEADER_JUMP], 0x90000000 | ((start - header - 3) << 8) | 0xe9
        jne fail                        ; our own first four bytes, which no checksum covers
        mov eax, [HEADER + HEADER_LOADER_SECS]
        add eax, HEADER_LBA             ; the header has no checksum; but its parts must follow
        cmp eax, [HEADER + HEADER_CMDLINE_LBA] ; each other, and that ties one field to the next
        jne fail
        inc eax                         ; the command line has one sector
        cmp eax, [HEADER + HEADER_KERNEL_LBA]
        jne fail
        mov si, text_kernel_size
        mov eax, [HEADER + HEADER_KERNEL_BYTES]
        dec eax                         ; 0 becomes the largest number: one comparison for both bounds
        cmp eax, KERNEL_MAX_BYTES - 1
        ja fail

        mov si, text_low_memory
        int 0x12                        ; AX = KiB of memory below the BIOS's own data
        mov [low_kib], ax               ; the fallback maps need it too
        cmp ax, LOW_KIB_NEEDED          ; file, page tables: would they overwrite the BIOS?
        jb fail

        mov word [read_text], text_read_cmdline
        mov eax, [HEADER + HEADER_CMDLINE_LBA]
        mov ecx, 1                      ; sectors
        mov edi, CMDLINE_ADDR
        call read_disk
        mov byte [CMDLINE_ADDR + CMDLINE_BYTES - 1], 0 ; whatever the disk says, the text ends

        mov word [read_text], text_read_kernel
        mov eax, [HEADER + HEADER_KERNEL_LBA]
        mov ecx, [HEADER + HEADER_KERNEL_BYTES]
        add ecx, SECTOR_BYTES - 1       ; rounded up to sectors; cannot wrap, the size is checked
        shr ecx, 9                      ; 2^9 = SECTOR_BYTES
        mov edi, KERNEL_FILE_ADDR
        call read_disk

        call read_map                   ; the firmware's memory map, to MAP_ADDR
        call open_a20                   ; from here on there is memory above 1 MiB

        cli                             ; protected mode has no interrupt table yet
        lgdt [gdtr]
        mov eax, cr0
        or al, CR0_PE                   ; protected mode, but CS still has its real-mode meaning
        mov cr0, eax
        jmp CODE_SEG:protected          ; the far jump loads CS and drops what was fetched ahead

; read_disk - reads ECX sectors from block EAX on to physical EDI (below 1 MiB).
; Fails with the text that read_text points to. Changes all registers.
read_disk:
        mov [packet.lba], eax
.chunk:
        mov ebp, CHUNK_SECTORS          ; EBP = sectors of this chunk
        cmp ecx, ebp
        jae .place
        mov ebp, ecx                    ; the last one is shorter
.place:
        mov eax, edi                    ; physical address as segment:offset, offset below 16,
        shr eax, 4                      ; so that 32 KiB never run over the segment's end
        mov [packet.segment], ax
        mov ax, di
        and ax, 15
        mov [packet.offset], ax
        call read_chunk                 ; keeps ECX, EDI, EBP
        add [packet.lba], ebp           ; on, on the disk
        mov eax, ebp
        shl eax, 9                      ; sectors to bytes
        add edi, eax                    ; and in memory
        sub ecx, ebp                    ; what is left
        jnz .chunk
        ret

; read_chunk - reads BP sectors as `packet` says. Keeps all registers but EAX, EBX, EDX, ESI.
read_chunk:
        mov bl, READ_TRIES
.try:
        pushad                          ; BIOSes are careless with the upper halves
        mov [packet.count], bp          ; each time anew: the BIOS writes back what it has read
        mov ah, 0x42                    ; extended read (EDD)
        mov dl, [BOOT_INFO + INFO_DRIVE_OFF]
        mov si, packet
        int 0x13
        popad                           ; leaves the carry flag alone
        jnc .done                       ; clear: all sectors are there
        pushad
        xor ah, ah                      ; reset the drive before the next try
        mov dl, [BOOT_INFO + INFO_DRIVE_OFF]
        int 0x13
        popad
        dec bl
        jnz .try
        mov si, [read_text]             ; which part it was
        jmp fail
.done:
        ret

; read_map - writes the firmware's memory map to MAP_ADDR and its figures to boot_info.
; Three questions, newest first: E820h gives entries; E801h and 88h give one or two sizes, out of
; which entries are made. Fails if none has an answer. Changes all registers.
read_map:
        xor eax, eax
        mov [BOOT_INFO + INFO_COUNT_OFF], eax ; no entries yet
        mov [BOOT_INFO + INFO_DROPPED_OFF], eax
        call map_e820
        mov al, MAP_FROM_E820
        cmp dword [BOOT_INFO + INFO_COUNT_OFF], 0
        jne .done                       ; at least one entry
        call map_e801
        mov al, MAP_FROM_E801
        jnc .done
        call map_88
        mov al, MAP_FROM_88
        jnc .done
        mov si, text_no_map
        jmp fail
.done:
        movzx eax, al
        mov [BOOT_INFO + INFO_SOURCE_OFF], eax
        ret

; map_e820 - asks int 15h/E820h for entries until the last, or until an answer makes no sense.
map_e820:
        mov di, MAP_ADDR                ; ES:DI, where the BIOS writes
        xor ebx, ebx                    ; 0: from the first entry on
        mov bp, E820_CALLS_MAX
.next:
        mov dword [di + ENTRY_ACPI], E820_ENABLED ; stays so if the BIOS writes 20 bytes only
        mov eax, 0xe820
        mov edx, SMAP                   ; anew each time: some BIOSes destroy it
        mov ecx, MAP_ENTRY_BYTES
        push bp                         ; EBX, DI are the interface's own: they come back right
        push di
        int 0x15
        pop di
        pop bp
        jc .done                        ; not known; or, from the second time on, behind the last
        cmp eax, SMAP
        jne .done                       ; something else answered: what it wrote is no entry
        cmp ecx, ENTRY_ACPI
        jb .skip                        ; less than an entry: not counted, and overwritten by the next
        cmp ecx, MAP_ENTRY_BYTES
        jae .count                      ; the BIOS wrote the attributes itself
        mov dword [di + ENTRY_ACPI], E820_ENABLED ; 20 bytes, but it may have used the rest as well
.count:
        cmp dword [BOOT_INFO + INFO_COUNT_OFF], MAP_MAX
        jae .drop
        inc dword [BOOT_INFO + INFO_COUNT_OFF]
        add di, MAP_ENTRY_BYTES         ; may come to MAP_ADDR + MAP_MAX * 24: still below the command line
        jmp .skip
.drop:
        inc dword [BOOT_INFO + INFO_DROPPED_OFF] ; the kernel can say that its map is not whole
.skip:
        test ebx, ebx                   ; 0: this was the last
        jz .done
        dec bp                          ; the bound against a BIOS that goes round in circles
        jnz .next
.done:
        ret

; map_e801 - KiB from 1 to 16 MiB and blocks of 64 KiB above. Carry set: no answer.
map_e801:
        xor cx, cx                      ; BIOSes answer in AX and BX, in CX and DX, or in all:
        xor dx, dx                      ; what is still 0 afterwards was not used
        clc                             ; some set the carry flag on failure and never clear it
        mov ax, 0xe801
        int 0x15
        jc .done
        test cx, cx
        jz .chosen                      ; AX and BX it is
        mov ax, cx
        mov bx, dx
.chosen:
        test ax, ax
        stc                             ; says "no answer"
        jz .done                        ; (stc leaves the zero flag as it was)
        movzx ebp, bx                   ; 64 KiB blocks, kept while the first entries are made
        movzx eax, ax
        call add_low_and_high
        shl ebp, 16                     ; blocks to bytes: at most 4 GiB - 64 KiB
        mov eax, 0x1000000              ; from 16 MiB on
        mov ecx, ebp
        call add_entry                  ; none if there are no such blocks
        clc
.done:
        ret

; map_88 - KiB above 1 MiB, at most 64 MiB. Carry set: no answer.
map_88:
        clc                             ; as above
        mov ah, 0x88
        int 0x15
        jc .done
        test ax, ax
        stc                             ; says "no answer"
        jz .done
        movzx eax, ax
        call add_low_and_high
        clc
.done:
        ret

; add_low_and_high - entries for the memory below 640 KiB and for EAX KiB from 1 MiB on.
add_low_and_high:
        shl eax, 10                     ; KiB to bytes: 16 bits become at most 64 MiB
        push eax
        movzx ecx, word [low_kib]
        shl ecx, 10
        xor eax, eax                    ; from 0 on
        call add_entry
        pop ecx
        mov eax, KERNEL_PHYS            ; from 1 MiB on
        ; falls through: the second entry

; add_entry - appends a usable range of ECX bytes at EAX; nothing if ECX is 0. Changes EDI, EDX.
add_entry:
        jecxz .done
        mov edx, [BOOT_INFO + INFO_COUNT_OFF]
        imul edi, edx, MAP_ENTRY_BYTES
        add edi, MAP_ADDR               ; where the next entry goes
        mov [edi], eax                  ; base and length are 64 bits wide
        mov dword [edi + 4], 0
        mov [edi + ENTRY_LENGTH], ecx
        mov dword [edi + ENTRY_LENGTH + 4], 0
        mov dword [edi + ENTRY_TYPE], E820_USABLE
        mov dword [edi + ENTRY_ACPI], E820_ENABLED
        inc edx
        mov [BOOT_INFO + INFO_COUNT_OFF], edx
.done:
        ret

; open_a20 - lets address line 20 through, so that 1 MiB is not 0 again. The PC had the gate for
; programs of the 8086 that relied on the wrap. Three ways, gentlest first, each followed by a look.
open_a20:
        call a20_is_open                ; most BIOSes have done it
        jnc .done
        mov ax, 0x2401                  ; the BIOS knows its board best
        int 0x15
        call a20_is_open
        jnc .done
        call a20_by_keyboard            ; the first way there was: a pin of the keyboard controller
        call a20_is_open
        jnc .done
        in al, SYSTEM_PORT_A            ; "fast A20"; last, since some boards use the port otherwise
        or al, A20_BIT
        and al, ~1 & 0xff               ; bit 0 would reset the machine
        out SYSTEM_PORT_A, al
        call a20_is_open
        jnc .done
        mov si, text_a20
        jmp fail
.done:
        ret

; a20_is_open - carry clear if 0:A20_PROBE and the word 1 MiB above it are two places.
; Looks A20_CHECKS times before it says no. Changes AX, CX; FS is used for the upper place.
a20_is_open:
        mov ax, 0xffff                  ; ffff:0010 is physical 1 MiB, the lowest beyond
        mov fs, ax
        mov cx, A20_CHECKS
.look:
        mov [A20_PROBE], cx             ; a different value each time
        mov ax, cx
        not ax
        mov [fs:A20_PROBE + 0x10], ax   ; the upper place gets what the lower one has not
        out 0x80, al                    ; a port nobody uses: about a microsecond, and the bus is drained
        cmp [A20_PROBE], cx
        clc                             ; open if the lower one has kept its value
        je .done                        ; (clc leaves the zero flag as it was)
        loop .look
        stc
.done:
        ret

; a20_by_keyboard - sets the A20 bit in the keyboard controller's output port. Gives up quietly when
; the controller does not answer: the look that follows decides. Changes AX, CX.
a20_by_keyboard:
        cli                             ; the BIOS's keyboard handler must not read our answer
        mov al, 0xad                    ; keyboard off, lest a key comes in between
        call kbc_command
        mov al, 0xd0                    ; "read output port"
        call kbc_command
        mov cx, 0xffff                  ; the bound
.wait:
        in al, KBC_STATUS
        test al, 1                      ; bit 0: an answer is there
        loopz .wait
        jz .on                          ; none came
        in al, KBC_DATA
        or al, A20_BIT | 1              ; bit 0 is the reset line, active low: keep it high
        push ax
        mov al, 0xd1                    ; "write output port": the next data byte goes there
        call kbc_command
        call kbc_ready
        pop ax
        out KBC_DATA, al
.on:
        mov al, 0xae                    ; keyboard on
        call kbc_command
        call kbc_ready                  ; the last command has been taken
        sti
        ret

; kbc_command - sends AL to the keyboard controller as a command. Changes CX.
kbc_command:
        push ax
        call kbc_ready
        pop ax
        out KBC_STATUS, al
        ret

; kbc_ready - waits, within bounds, until the controller takes a byte. Changes AL, CX.
kbc_ready:
        mov cx, 0xffff
.wait:
        in al, KBC_STATUS
        test al, 2                      ; bit 1: the last byte has not been taken yet
        loopnz .wait
        ret

%include "fail.inc"

text_header:        db "image header damaged", 0
text_kernel_size:   db "kernel size in the image header is wrong", 0
text_low_memory:    db "less than 584 KiB of memory below 640 KiB", 0
text_read_cmdline:  db "disk read error at the command line: image cut off?", 0
text_read_kernel:   db "disk read error at the kernel: image cut off?", 0
text_no_map:        db "the firmware does not say how much memory there is", 0
text_a20:           db "address line A20 stays off", 0

        align 4, db 0
packet:                                 ; disk address packet (EDD-3)
        db 16, 0                        ; its length; reserved
.count:   dw 0                          ; sectors to read
.offset:  dw 0                          ; to where
.segment: dw 0
.lba:     dd 0, 0                       ; from where: 64 bits, the upper half always 0

low_kib:  dw 0                          ; what int 12h said
read_text: dw 0                         ; what to say if a read fails

        align 8, db 0
gdt:    dq 0                            ; entry 0 is never used
        dq 0x00cf9a000000ffff           ; 0x08: code, ring 0, base 0, limit 4 GiB, 32-bit
        dq 0x00cf92000000ffff           ; 0x10: data, ring 0, the same
gdtr:   dw $ - gdt - 1                  ; last byte of the table
        dd gdt

; ------------------------------------------------------------------------------------------------
; Protected mode. Flat segments, paging off, interrupts off: addresses are physical.

        bits 32
protected:
        mov ax, DATA_SEG
        mov ds, ax
        mov es, ax
        mov ss, ax                      ; the stack stays where it was
        mov fs, ax
        mov gs, ax
        mov esp, MBR_ADDR               ; all 32 bits of it

        call check_file                 ; is it what was put on the disk?
        call check_elf                  ; is it a kernel that can be loaded here?
        call load_segments              ; only now is anything written above 1 MiB
        call total_memory
        call fill_boot_info
        call make_page_tables

; enter_kernel - paging on, and away. The kernel finds: CS 0x08, other segments 0x10, flat; paging
; with CR0.WP, 0 to 4 MiB mapped at 0 and at KERNEL_BASE; interrupts off, direction flag clear; ESP at
; MBR_ADDR, some 19 KiB of stack below it; boot_info at BOOT_INFO. No IDT: an exception is a reset.
enter_kernel:
        mov eax, BOOT_PAGE_DIR
        mov cr3, eax
        mov eax, cr0
        or eax, CR0_WP_PG
        mov cr0, eax                    ; the next instruction is fetched through the map at 0
        mov ebx, [KERNEL_FILE_ADDR + E_ENTRY] ; a virtual address in the higher half
        cld                             ; the i386 ABI's promise to C code
        rdtsc                           ; end of the loader's time
        mov [BOOT_INFO + INFO_TSC_LOADER_OFF], eax
        mov [BOOT_INFO + INFO_TSC_LOADER_OFF + 4], edx
        jmp ebx

; check_file - the kernel file's CRC-32 must be the header's.
check_file:
        call make_crc_table
        mov esi, KERNEL_FILE_ADDR
        mov ecx, [HEADER + HEADER_KERNEL_BYTES] ; not 0: checked in real mode
        or eax, -1                      ; CRC-32 starts with all bits set
.byte:
        movzx ebx, al
        xor bl, [esi]                   ; the byte and the low end of the sum choose the entry
        inc esi
        shr eax, 8
        xor eax, [CRC_TABLE + ebx * 4]  ; eight divisions at once
        loop .byte
        not eax                         ; and ends with all bits turned round
        mov esi, text_checksum
        cmp eax, [HEADER + HEADER_KERNEL_CRC]
        jne fail32
        ret

; make_crc_table - entry n: what eight bit-wise steps of CRC-32 (IEEE 802.3, lowest bit first) make of n.
; 512 KiB bit by bit would be noticed in Bochs.
make_crc_table:
        xor ebx, ebx                    ; n
.entry:
        mov eax, ebx
        mov ecx, 8                      ; bits
.bit:
        shr eax, 1                      ; the lowest bit leaves, into the carry flag
        jnc .next
        xor eax, 0xedb88320             ; it was set: subtract the polynomial (without borrows)
.next:
        loop .bit
        mov [CRC_TABLE + ebx * 4], eax
        inc bl                          ; 256 entries: until the byte wraps to 0
        jnz .entry
        ret

; check_elf - refuses what cannot be loaded. Every bound is compared as "n > max - k", which cannot wrap.
check_elf:
        mov edi, KERNEL_FILE_ADDR       ; the ELF header
        mov edx, [HEADER + HEADER_KERNEL_BYTES]
        mov esi, text_elf
        cmp edx, EHDR_BYTES
        jb fail32                       ; shorter than the header itself
        cmp dword [edi], ELF_MAGIC
        jne fail32
        mov eax, [edi + 4]
        and eax, 0xffffff               ; without the fourth byte, the OS's ABI: any will do
        cmp eax, ELF_32_LSB_V1
        jne fail32                      ; 64-bit, or the other byte order
        cmp dword [edi + E_TYPE], ELF_EXEC_386
        jne fail32                      ; an object file, a shared one, another processor
        mov esi, text_phdr
        cmp word [edi + E_PHENTSIZE], PHDR_BYTES
        jne fail32
        movzx ecx, word [edi + E_PHNUM]
        test ecx, ecx
        jz fail32                       ; nothing to load
        mov eax, ecx
        shl eax, 5                      ; headers to bytes: below 2 MiB
        cmp eax, edx
        ja fail32                       ; more than the whole file
        sub edx, eax
        cmp [edi + E_PHOFF], edx
        ja fail32                       ; they would end behind the file's end
        mov ebx, [edi + E_PHOFF]
        add ebx, edi                    ; EBX = the first program header
        mov byte [entry_found], 0
.segment:
        cmp dword [ebx], PT_LOAD
        jne .next                       ; notes, stack flags: nothing for memory
        call check_segment
.next:
        add ebx, PHDR_BYTES
        loop .segment
        mov esi, text_entry
        cmp byte [entry_found], 0
        je fail32                       ; the jump would go astray
        ret

; check_segment - one PT_LOAD at EBX: inside the file, inside [1 MiB, 4 MiB), linked for
; KERNEL_BASE, in usable memory. Notes whether it has the entry. Keeps EBX, ECX, EDI.
check_segment:
        mov esi, text_segment_file
        mov eax, [ebx + P_FILESZ]
        mov edx, [HEADER + HEADER_KERNEL_BYTES]
        cmp eax, [ebx + P_MEMSZ]
        ja fail32                       ; more in the file than in memory
        cmp eax, edx
        ja fail32                       ; more than the whole file
        sub edx, eax
        cmp [ebx + P_OFFSET], edx
        ja fail32                       ; it would end behind the file's end
        mov esi, text_segment_place
        mov eax, [ebx + P_PADDR]
        cmp eax, KERNEL_PHYS
        jb fail32                       ; that would overwrite the loader, or video memory
        mov edx, KERNEL_LIMIT
        cmp eax, edx
        ja fail32
        sub edx, eax                    ; room from there to the end of the boot page table's reach
        cmp [ebx + P_MEMSZ], edx
        ja fail32
        lea edx, [eax + KERNEL_BASE]    ; below 4 MiB + KERNEL_BASE: cannot wrap
        cmp edx, [ebx + P_VADDR]
        jne fail32                      ; paging would show other bytes there
        call note_entry
        ; falls through: the last check

; find_memory - one usable entry of the firmware's map must hold the whole segment at EBX.
find_memory:
        push ecx
        mov ecx, [BOOT_INFO + INFO_COUNT_OFF] ; not 0: read_map has made sure
        mov edx, MAP_ADDR
.entry:
        cmp dword [edx + ENTRY_TYPE], E820_USABLE
        jne .next
        test byte [edx + ENTRY_ACPI], E820_ENABLED
        jz .next                        ; the firmware says: ignore this entry
        cmp dword [edx + 4], 0
        jne .next                       ; starts above 4 GiB
        mov eax, [ebx + P_PADDR]
        sub eax, [edx]                  ; EAX = where in the entry the segment starts
        jb .next                        ; before it
        cmp dword [edx + ENTRY_LENGTH + 4], 0
        jne .found                      ; 4 GiB or longer: holds anything below 4 MiB
        add eax, [ebx + P_MEMSZ]        ; both below 4 MiB: cannot wrap
        cmp eax, [edx + ENTRY_LENGTH]
        jbe .found
.next:
        add edx, MAP_ENTRY_BYTES
        loop .entry
        mov esi, text_segment_memory
        jmp fail32
.found:
        pop ecx
        ret

; note_entry - sets entry_found if the kernel's entry lies in the file's part of the code segment at EBX.
note_entry:
        test byte [ebx + P_FLAGS], PF_X
        jz .done                        ; data: no place to jump to
        mov eax, [edi + E_ENTRY]
        sub eax, [ebx + P_VADDR]
        jb .done                        ; before it
        cmp eax, [ebx + P_FILESZ]
        jae .done                       ; behind it
        mov byte [entry_found], 1
.done:
        ret

; load_segments - copies each PT_LOAD to its physical address and clears the rest of it (.bss).
load_segments:
        mov ebx, [KERNEL_FILE_ADDR + E_PHOFF]
        add ebx, KERNEL_FILE_ADDR
        movzx edx, word [KERNEL_FILE_ADDR + E_PHNUM]
.segment:
        cmp dword [ebx], PT_LOAD
        jne .next
        mov esi, [ebx + P_OFFSET]
        add esi, KERNEL_FILE_ADDR       ; from the file below 640 KiB
        mov edi, [ebx + P_PADDR]        ; to 1 MiB or above: the two cannot overlap
        mov ecx, [ebx + P_FILESZ]
        rep movsb
        mov ecx, [ebx + P_MEMSZ]
        sub ecx, [ebx + P_FILESZ]       ; not negative: checked
        xor al, al
        rep stosb                       ; goes on where the copy ended
.next:
        add ebx, PHDR_BYTES
        dec edx
        jnz .segment
        ret

; total_memory - sums the usable entries, each clipped at 4 GiB, to TOTAL_MEM_ADDR: the seed's one
; figure for the machine's memory. A sum past 32 bits stays at the last whole frame, 0xfffff000.
total_memory:
        xor edi, edi                    ; the sum
        mov ecx, [BOOT_INFO + INFO_COUNT_OFF]
        mov ebx, MAP_ADDR
.entry:
        cmp dword [ebx + ENTRY_TYPE], E820_USABLE
        jne .next
        test byte [ebx + ENTRY_ACPI], E820_ENABLED
        jz .next
        cmp dword [ebx + 4], 0
        jne .next                       ; starts at or above 4 GiB: out of reach
        mov eax, [ebx]
        neg eax                         ; 4 GiB - base: what there is room for
        jnz .room
        mov eax, 0xfffff000             ; base 0: 2^32 does not fit, and the sum would stop here anyway
.room:
        cmp dword [ebx + ENTRY_LENGTH + 4], 0
        jne .add                        ; 4 GiB or longer: all the room
        cmp eax, [ebx + ENTRY_LENGTH]
        jbe .add                        ; longer than the room, which also stops base + length wrapping
        mov eax, [ebx + ENTRY_LENGTH]
.add:
        add edi, eax
        jc .full
        cmp edi, 0xfffff000             ; not only when it wraps: the largest value is the same in both cases
        ja .full
.next:
        add ebx, MAP_ENTRY_BYTES
        loop .entry
        mov [TOTAL_MEM_ADDR], edi
        ret
.full:
        mov dword [TOTAL_MEM_ADDR], 0xfffff000
        ret

; fill_boot_info - the fields that nobody has written yet. tsc_loader follows at the jump.
fill_boot_info:
        mov dword [BOOT_INFO + INFO_MAGIC_OFF], BOOT_INFO_MAGIC
        mov dword [BOOT_INFO + INFO_BYTES_OFF], INFO_SIZE
        and dword [BOOT_INFO + INFO_DRIVE_OFF], 0xff ; the MBR wrote one byte
        mov eax, [HEADER + HEADER_KERNEL_BYTES]
        mov [BOOT_INFO + INFO_KERNEL_LEN_OFF], eax
        mov eax, [HEADER + HEADER_KERNEL_CRC] ; the same as counted: check_file
        mov [BOOT_INFO + INFO_KERNEL_CRC_OFF], eax
        ret

; make_page_tables - one page table for 0 to 4 MiB, entered twice in the page directory.
make_page_tables:
        mov edi, BOOT_PAGE_DIR
        xor eax, eax                    ; not present
        mov ecx, PAGE_ENTRIES
        rep stosd                       ; and EDI is at BOOT_PAGE_TABLE, the next page
        mov eax, PAGE_FLAGS             ; frame 0
        mov ecx, PAGE_ENTRIES
.page:
        stosd
        add eax, PAGE_BYTES             ; the next frame
        loop .page
        mov dword [BOOT_PAGE_DIR], BOOT_PAGE_TABLE | PAGE_FLAGS ; where we run now
        mov dword [BOOT_PAGE_DIR + (KERNEL_BASE >> 22) * 4], BOOT_PAGE_TABLE | PAGE_FLAGS ; the kernel
        ret

; fail32 - as `fail` in fail.inc, without a BIOS: the text at ESI goes to video memory and COM1.
; The line goes where the BIOS's cursor was; its data area still knows.
fail32:
        movzx eax, byte [BDA_CURSOR_ROW]
        cmp eax, VGA_LAST_ROW
        jbe .row
        mov eax, VGA_LAST_ROW           ; a screen of more rows, or rubbish
.row:
        imul edi, eax, VGA_COLUMNS * 2  ; two bytes a cell
        add edi, VGA_TEXT
        mov dx, COM1_LCR                ; the serial line's speed and format, as in fail.inc
        mov al, 0x83
        out dx, al
        mov dx, COM1
        mov ax, 1
        out dx, ax
        mov dx, COM1_LCR
        mov al, 0x03
        out dx, al
        push esi
        mov esi, text_prefix            ; fail.inc's "granary: "
        call say32
        pop esi
        call say32
        mov al, 13                      ; the end of the line, for the serial side only
        call send32
        mov al, 10
        call send32
        mov dx, DEBUG_EXIT_PORT         ; QEMU ends here
        mov eax, EXIT_FAILED
        out dx, eax
        mov dx, BOCHS_EXIT_PORT         ; Bochs ends here
        mov esi, text_shutdown
        mov ecx, 8                      ; letters in "Shutdown"
        rep outsb
.stop:
        hlt                             ; interrupts are off; only an NMI gets past this
        jmp .stop

; say32 - text at ESI to the screen at EDI (moved on) and to COM1. Changes EAX, ECX, EDX, ESI.
say32:
        lodsb
        test al, al                     ; NUL: the end
        jz .done
        mov ah, 0x07                    ; grey on black
        stosw                           ; character and attribute
        call send32
        jmp say32
.done:
        ret

; send32 - AL to COM1, waiting for it within bounds. Changes ECX, EDX.
send32:
        push eax
        mov ecx, 0x10000                ; the bound: then write all the same
        mov dx, COM1_LSR
.wait:
        in al, dx
        test al, 0x20                   ; transmitter empty?
        loopz .wait
        pop eax
        mov dx, COM1
        out dx, al
        ret

text_checksum:       db "kernel checksum wrong: image altered or cut off", 0
text_elf:            db "kernel is not a 32-bit i386 ELF executable", 0
text_phdr:           db "kernel's program headers make no sense", 0
text_segment_file:   db "kernel segment lies outside its file", 0
text_segment_place:  db "kernel segment lies outside 1 MiB to 4 MiB, or is linked elsewhere", 0
text_segment_memory: db "kernel does not fit in the machine's memory", 0
text_entry:          db "kernel's entry lies outside its code", 0

entry_found:         db 0               ; set by note_entry

%if $ - $$ > LOADER_MAX_SECTORS * SECTOR_BYTES
%error "the loader outgrows its place"
%endif
