; loader.asm - from the BIOS's real mode to the kernel's first instruction.
;
; Who calls: mbr.asm, which has read all of this file to LOADER_ADDR and compared its checksum.
; On entry: real mode, CS = DS = ES = SS = 0, SP = MBR_ADDR, DL = the drive, interrupts on, direction
; flag clear.
;
; What it does, in this order, because the BIOS can be asked in real mode only:
;
;   real mode        processor -> header -> memory map -> command line -> kernel file -> A20 -> interrupts off
;   protected mode   kernel's checksum -> its ELF headers -> copy -> memory total -> page tables -> jump
;
; All of the kernel's file is checked before one byte of it is put in place. The file waits below
; 640 KiB, since the BIOS cannot write elsewhere; the segments go to 1 MiB and above.
;
; What the kernel finds is written down in docs/boot.md, in kernel/bootinfo.h and at enter_kernel below.
;
; Every failure has a message of its own on the screen and on COM1, ends an emulator with EXIT_FAILED,
; and stops. The texts are at the end of each half; docs/boot.md explains them.
;
; Shortcomings: one disk format (this image), 32-bit ELF only, kernel files to 512 KiB, segments
; below 4 MiB; segments are not compared with each other for overlap (the linker does not make any, and the
; checksum says that this is what it made). Memory entries that overlap count twice in the total at
; TOTAL_MEM_ADDR: it is the seed's plain sum, and the kernel works out its own from the map.
;
; Sources: Intel SDM volume 3, chapters 3, 4 and 9.9; ACPI 6.5 chapter 15 (E820h); T13 EDD-3 (int 13h);
; Ralf Brown's interrupt list (E801h, 88h, 2401h); System V ABI and its i386 supplement (ELF).

%include "boot.inc"

CHUNK_SECTORS       equ 64              ; 32 KiB: BIOSes promise 127, and 64 divides 64 KiB
FILE_STEP           equ 0x8000          ; 32 KiB: chunks from there on cross no 64 KiB boundary
MAP_COUNT_MIN       equ 2               ; any PC has two: memory below 640 KiB and memory from 1 MiB on
E820_CALLS_MAX      equ 1024            ; a BIOS that never says "last entry" is left after that many
EFLAGS_ID           equ 1 << 21         ; can be changed where CPUID is known
CPUID_TSC           equ 1 << 4          ; leaf 1, EDX: rdtsc
SMAP                equ 0x534d4150      ; "SMAP", E820h's password and signature
E820_USABLE         equ 1               ; entry type: memory that is free to use
E820_ENABLED        equ 1               ; bit 0 of the attributes: the entry counts
ENTRY_LENGTH        equ 8               ; offsets in an entry: the base is at 0
ENTRY_TYPE          equ 16
ENTRY_ACPI          equ 20

A20_PROBE           equ 0x7c00          ; the MBR's place: no longer needed
A20_CHECKS          equ 1000            ; the gate may take some microseconds to open
KBC_DATA            equ 0x60            ; keyboard controller (8042): data
KBC_STATUS          equ 0x64            ; status when read, command when written
SYSTEM_PORT_A       equ 0x92            ; bit 1: A20, bit 0: reset (never to be set by us)
A20_BIT             equ 2               ; in port 92h and in the 8042's output port alike

CODE_SEG            equ 0x08            ; the GDT's first and second entry after the null one
DATA_SEG            equ 0x10
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
ELF_32_LSB_V1       equ 0x010101        ; the three bytes after it: class, byte order, version
ELF_EXEC_386        equ 0x00030002      ; e_type 2 (executable), e_machine 3 (i386), one dword
E_TYPE              equ 16              ; offsets in the ELF header
E_ENTRY             equ 24
E_PHOFF             equ 28
E_PHENTSIZE         equ 42
E_PHNUM             equ 44
EHDR_BYTES          equ 52
PHDR_BYTES          equ 32
PT_LOAD             equ 1               ; p_type is at 0 of a program header
P_OFFSET            equ 4               ; offsets in a program header
P_VADDR             equ 8
P_PADDR             equ 12
P_FILESZ            equ 16
P_MEMSZ             equ 20
P_FLAGS             equ 24
PF_X                equ 1               ; p_flags: the segment is code

HEADER              equ LOADER_ADDR     ; where the image's header lies in memory

        bits 16                         ; the BIOS left us in real mode
        org LOADER_ADDR                 ; the assembler's addresses are the ones in memory

; The header. Its fields are filled in by tools/mkimage.py.
header:
        jmp near start                  ; three bytes, and a fourth: HEADER_JUMP has four
        nop
        dd HEADER_MAGIC                 ; by which the MBR knows that this is the image's second sector
        times HEADER_BYTES - ($ - header) db 0 ; the other fields: mkimage.py's

start:
        cld                             ; a loader started by another MBR would need it
        mov [BOOT_INFO + INFO_DRIVE_OFF], dl ; one byte; fill_boot_info makes it a dword
        call check_processor            ; before the first rdtsc
        rdtsc                           ; EDX:EAX = cycles since power-on
        mov [BOOT_INFO + INFO_TSC_START_OFF], eax ; for the kernel's boot report
        mov [BOOT_INFO + INFO_TSC_START_OFF + 4], edx ; the upper half
        mov si, text_header             ; what `fail` will say, here and below: set before the checks it belongs to
        cmp dword [HEADER + HEADER_JUMP], 0x90000000 | ((start - header - 3) << 8) | 0xe9
        jne fail                        ; our own first four bytes, which no checksum covers
        mov eax, [HEADER + HEADER_LOADER_SECS] ; the loader's length
        add eax, HEADER_LBA             ; the header has no checksum; but its parts must follow
        cmp eax, [HEADER + HEADER_CMDLINE_LBA] ; each other, and that ties one field to the next
        jne fail                        ; the command line does not start where the loader ends
        inc eax                         ; the command line has one sector
        cmp eax, [HEADER + HEADER_KERNEL_LBA]
        jne fail                        ; the kernel does not start after it
        mov si, text_kernel_size
        mov eax, [HEADER + HEADER_KERNEL_BYTES] ; the file's length, of which 0 and too much are refused
        dec eax                         ; 0 becomes the largest number: one comparison for both bounds
        cmp eax, KERNEL_MAX_BYTES - 1
        ja fail                         ; empty, or too large for its place

        int 0x12                        ; AX = KiB of memory below the BIOS's own data
        mov [low_kib], ax               ; for the fallback maps, and for place_file
        call read_map                   ; the firmware's memory map, to MAP_ADDR
        call place_file                 ; which says what of it the kernel's file may use

        mov word [read_text], text_read_cmdline ; what read_disk says if it cannot
        mov eax, [HEADER + HEADER_CMDLINE_LBA] ; where it is: the header knows
        mov ecx, 1                      ; sectors
        mov edi, CMDLINE_ADDR           ; where it goes
        call read_disk                  ; does not come back from an error
        mov byte [CMDLINE_ADDR + CMDLINE_BYTES - 1], 0 ; whatever the disk says, the text ends

        mov word [read_text], text_read_kernel ; another part, another message
        mov eax, [HEADER + HEADER_KERNEL_LBA]
        mov ecx, [HEADER + HEADER_KERNEL_BYTES] ; the header has its length in bytes
        add ecx, SECTOR_BYTES - 1       ; rounded up to sectors; cannot wrap, the size is checked
        shr ecx, 9                      ; 2^9 = SECTOR_BYTES
        mov edi, [file_addr]            ; below 640 KiB
        call read_disk                  ; in chunks: the BIOS cannot do 512 KiB at once

        call open_a20                   ; from here on there is memory above 1 MiB

        cli                             ; protected mode has no interrupt table yet
        lgdt [gdtr]                     ; flat segments, for the far jump below
        mov eax, cr0                    ; the other bits of CR0 keep their values
        or al, CR0_PE                   ; protected mode, but CS still has its real-mode meaning
        mov cr0, eax                    ; on: the next jump makes it complete
        jmp CODE_SEG:protected          ; the far jump loads CS and drops what was fetched ahead

; check_processor - fails unless the processor has a time-stamp counter: a Pentium or later, or a 486's
; late clone. A 386 and most 486s do not know CPUID, by which one asks; but on these, bit 21 of EFLAGS,
; which says that CPUID is known, cannot be changed. Changes EAX, EBX, ECX, EDX.
check_processor:
        mov si, text_processor          ; for both checks
        pushfd                          ; EFLAGS as they are
        pushfd                          ; and once more, to look at
        pop eax                         ; EAX = EFLAGS
        mov ecx, eax                    ; to compare with
        xor eax, EFLAGS_ID              ; the other value
        push eax                        ; the way into EFLAGS
        popfd                           ; changed, if it can be
        pushfd                          ; what became of it
        pop eax                         ; EAX = EFLAGS once more
        popfd                           ; as they were
        xor eax, ecx                    ; bits that have changed
        test eax, EFLAGS_ID             ; this one?
        jz fail                         ; no: a processor without CPUID
        mov eax, 1                      ; leaf 1: what the processor can do; all that have CPUID have it
        cpuid                           ; bits in EDX
        test dl, CPUID_TSC              ; rdtsc?
        jz fail                         ; a 486 of the last years
        ret

; read_disk - reads ECX sectors from block EAX on to physical EDI (below 1 MiB).
; Fails with the text that read_text points to. Changes all registers.
read_disk:
        mov [packet.lba], eax           ; first block; moved on with each chunk
.chunk:
        mov ebp, CHUNK_SECTORS          ; EBP = sectors of this chunk
        cmp ecx, ebp                    ; enough left for a full one?
        jae .place
        mov ebp, ecx                    ; the last one is shorter
.place:
        mov eax, edi                    ; physical address as segment:offset, offset below 16,
        shr eax, 4                      ; so that 32 KiB never run over the segment's end
        mov [packet.segment], ax        ; 16 bits hold it: below 1 MiB
        mov ax, di                      ; the low four bits of the address
        and ax, 15                      ; and nothing else
        mov [packet.offset], ax         ; 0 for every address that is a multiple of 16
        call read_chunk                 ; keeps ECX, EDI, EBP
        add [packet.lba], ebp           ; on, on the disk
        mov eax, ebp                    ; what has been read
        shl eax, 9                      ; sectors to bytes
        add edi, eax                    ; and in memory
        sub ecx, ebp                    ; what is left
        jnz .chunk                      ; until nothing is
        ret

; read_chunk - reads BP sectors as `packet` says. Keeps all registers but EAX, EBX, EDX, ESI.
read_chunk:
        mov bl, READ_TRIES              ; tries left
.try:
        pushad                          ; BIOSes are careless with the upper halves
        mov [packet.count], bp          ; each time anew: the BIOS writes back what it has read
        mov ah, 0x42                    ; extended read (EDD)
        mov dl, [BOOT_INFO + INFO_DRIVE_OFF] ; the BIOS counts drives: 80h is the first hard disk
        mov si, packet                  ; DS:SI: what, where, how much
        int 0x13                        ; result in the carry flag
        popad                           ; leaves the carry flag alone
        jnc .done                       ; clear: all sectors are there
        pushad                          ; the reset destroys registers as well
        xor ah, ah                      ; reset the drive before the next try
        mov dl, [BOOT_INFO + INFO_DRIVE_OFF] ; the drive that failed
        int 0x13                        ; whether it worked shows at the next read
        popad                           ; tries left come back with BL
        dec bl                          ; one try fewer
        jnz .try                        ; the last try has failed?
        mov si, [read_text]             ; which part it was
        jmp fail                        ; with the part's name
.done:
        ret                             ; carry is clear

; read_map - writes the firmware's memory map to MAP_ADDR and its figures to boot_info.
; Three questions, newest first: E820h gives entries; E801h and 88h give one or two sizes, out of
; which entries are made. Fails if none has an answer. Changes all registers.
read_map:
        xor eax, eax
        mov [BOOT_INFO + INFO_COUNT_OFF], eax ; no entries yet
        mov [BOOT_INFO + INFO_DROPPED_OFF], eax ; none left out
        call map_e820                   ; leaves the number of entries in boot_info
        call trust_attributes           ; or not, as they are
        mov al, MAP_FROM_E820           ; who has answered, if it was E820h
        mov ebp, [BOOT_INFO + INFO_COUNT_OFF] ; kept, in case the others know even less
        cmp bp, MAP_COUNT_MIN           ; fewer than that: it broke off
        jae .done
        mov dword [BOOT_INFO + INFO_COUNT_OFF], 0 ; the older ones make the whole map
        push bp                         ; the calls use it
        call map_e801                   ; older: 1994
        pop bp
        mov al, MAP_FROM_E801
        jnc .done                       ; it has made the entries
        push bp
        call map_88                     ; oldest: the AT's, of 1984
        pop bp
        mov al, MAP_FROM_88
        jnc .done
        mov [BOOT_INFO + INFO_COUNT_OFF], bp ; the last resort: what E820h has said
        mov al, MAP_FROM_E820
        test bp, bp
        jnz .done
        mov si, text_no_map             ; there is no answer at all
        jmp fail
.done:
        movzx eax, al                   ; boot_info has dwords only
        mov [BOOT_INFO + INFO_SOURCE_OFF], eax
        ret

; map_e820 - asks int 15h/E820h for entries until the last, or until an answer makes no sense.
map_e820:
        mov di, MAP_ADDR                ; ES:DI, where the BIOS writes
        xor ebx, ebx                    ; 0: from the first entry on
        mov bp, E820_CALLS_MAX          ; calls left
.next:
        mov dword [di + ENTRY_ACPI], E820_ENABLED ; stays so if the BIOS writes 20 bytes only
        mov eax, 0xe820                 ; function: query system address map
        mov edx, SMAP                   ; anew each time: some BIOSes destroy it
        mov ecx, MAP_ENTRY_BYTES        ; room for one entry of the newer, longer kind
        push bp                         ; EBX, DI are the interface's own: they come back right
        push di
        int 0x15                        ; one entry to ES:DI, what comes next to EBX
        pop di
        pop bp
        jc .done                        ; not known; or, from the second time on, after the last
        cmp eax, SMAP                   ; the signature shows that E820h has answered
        jne .done                       ; something else answered: what it wrote is no entry
        cmp ecx, ENTRY_ACPI             ; CL or CX alone would do, but the manual says ECX
        jb .skip                        ; less than an entry: not counted, and overwritten by the next
        cmp ecx, MAP_ENTRY_BYTES        ; the longer kind?
        jae .count                      ; the BIOS wrote the attributes itself
        mov dword [di + ENTRY_ACPI], E820_ENABLED ; 20 bytes, but it may have used the rest as well
.count:
        cmp dword [BOOT_INFO + INFO_COUNT_OFF], MAP_MAX ; the table full?
        jae .drop
        inc dword [BOOT_INFO + INFO_COUNT_OFF] ; one more that the kernel will see
        add di, MAP_ENTRY_BYTES         ; may come to MAP_ADDR + MAP_MAX * 24: still below the command line
        jmp .skip                       ; the next entry, if there is one
.drop:
        inc dword [BOOT_INFO + INFO_DROPPED_OFF] ; the kernel can say that its map is not whole
.skip:
        test ebx, ebx                   ; 0: this was the last
        jz .done                        ; nothing follows it
        dec bp                          ; the bound against a BIOS that goes round in circles
        jnz .next
.done:
        ret

; trust_attributes - the attributes' bit 0 says that an entry counts. Some firmware gives entries of 24
; bytes and leaves the attributes 0 in all of them: then they mean nothing, and bit 0 is set.
; Changes CX, DI.
trust_attributes:
        mov cx, [BOOT_INFO + INFO_COUNT_OFF] ; entries to look at
        jcxz .done                      ; there are none
        mov di, MAP_ADDR                ; the first entry
.look:
        test byte [di + ENTRY_ACPI], E820_ENABLED
        jnz .done                       ; one that counts: the firmware knows what it says
        add di, MAP_ENTRY_BYTES         ; the next entry
        loop .look                      ; all of them
        mov cx, [BOOT_INFO + INFO_COUNT_OFF] ; none did: all of them once more, backwards
.set:
        sub di, MAP_ENTRY_BYTES         ; DI came to the end
        or byte [di + ENTRY_ACPI], E820_ENABLED
        loop .set                       ; to the first
.done:
        ret

; map_e801 - KiB from 1 to 16 MiB and blocks of 64 KiB above. Carry set: no answer.
map_e801:
        xor cx, cx                      ; BIOSes answer in AX and BX, in CX and DX, or in all:
        xor dx, dx                      ; what is still 0 afterwards was not used
        clc                             ; some set the carry flag on failure and never clear it
        mov ax, 0xe801                  ; function: get memory size for more than 64 MiB
        int 0x15                        ; AX and CX: KiB; BX and DX: 64 KiB blocks
        jc .done                        ; not known
        test cx, cx                     ; the second pair used?
        jz .chosen                      ; AX and BX it is
        mov ax, cx                      ; it replaces the first
        mov bx, dx
.chosen:
        test ax, ax                     ; no memory above 1 MiB is no answer
        stc                             ; says "no answer"
        jz .done                        ; (stc leaves the zero flag as it was)
        movzx ebp, bx                   ; 64 KiB blocks, kept while the first entries are made
        movzx eax, ax                   ; 16 bits are all there is
        call add_low_and_high           ; the first two entries
        shl ebp, 16                     ; blocks to bytes: at most 4 GiB - 64 KiB
        mov eax, 0x1000000              ; from 16 MiB on
        mov ecx, ebp                    ; how long
        call add_entry                  ; none if there are no such blocks
        clc                             ; says "answered"
.done:
        ret

; map_88 - KiB above 1 MiB, at most 64 MiB. Carry set: no answer.
map_88:
        clc                             ; as above
        mov ah, 0x88                    ; function: get extended memory size
        int 0x15                        ; AX: KiB above 1 MiB
        jc .done                        ; not known
        test ax, ax                     ; 0 is no answer
        stc                             ; says "no answer"
        jz .done                        ; the next source, or none
        movzx eax, ax
        call add_low_and_high           ; both entries at once
        clc                             ; says "answered"
.done:
        ret

; add_low_and_high - entries for the memory below 640 KiB and for EAX KiB from 1 MiB on.
add_low_and_high:
        shl eax, 10                     ; KiB to bytes: 16 bits become at most 64 MiB
        push eax                        ; the upper entry's length, for later
        movzx ecx, word [low_kib]       ; what int 12h said
        shl ecx, 10                     ; KiB to bytes
        xor eax, eax                    ; from 0 on
        call add_entry                  ; everything up to the BIOS's data
        pop ecx                         ; the upper entry's length, now
        mov eax, KERNEL_PHYS            ; from 1 MiB on
        ; falls through: the second entry

; add_entry - appends a usable range of ECX bytes at EAX; nothing if ECX is 0. Changes EDI, EDX.
add_entry:
        jecxz .done                     ; an empty range is no entry
        mov edx, [BOOT_INFO + INFO_COUNT_OFF] ; entries so far: at most 2, the table has room
        imul edi, edx, MAP_ENTRY_BYTES  ; 24 bytes each
        add edi, MAP_ADDR               ; where the next entry goes
        mov [edi], eax                  ; base and length are 64 bits wide
        mov dword [edi + 4], 0          ; the base's upper half
        mov [edi + ENTRY_LENGTH], ecx
        mov dword [edi + ENTRY_LENGTH + 4], 0 ; the length's upper half
        mov dword [edi + ENTRY_TYPE], E820_USABLE
        mov dword [edi + ENTRY_ACPI], E820_ENABLED ; as E820h's longer kind would say
        inc edx
        mov [BOOT_INFO + INFO_COUNT_OFF], edx ; and the kernel will find it
.done:
        ret

; place_file - where the kernel's file waits until it is unpacked: the lowest place of which the
; firmware's map keeps nothing back. If it does of each, the map is hardly right: then the lowest of all,
; as int 12h says that there is memory. Fails if that leaves no room. Changes EAX, EBX, CX, EDX, DI, ESI.
place_file:
        movzx edx, word [low_kib]       ; where the BIOS's own data begins
        shl edx, 10                     ; KiB to bytes
        sub edx, [HEADER + HEADER_KERNEL_BYTES] ; the last address at which the file fits
        mov si, text_low_memory
        cmp edx, KERNEL_FILE_ADDR       ; signed: it may be below 0
        jl fail                         ; better to stop than to overwrite the BIOS's data
        mov eax, KERNEL_FILE_ADDR       ; the first place
.place:
        call place_is_free              ; none of it kept back?
        jnc .found
        add eax, FILE_STEP              ; the next place
        cmp eax, edx                    ; still below the last?
        jbe .place
        mov eax, KERNEL_FILE_ADDR       ; nowhere
.found:
        mov [file_addr], eax            ; for the reads, and for all that unpacks it
        ret

; place_is_free - carry clear if no entry but usable ones has a byte of the file's place at EAX.
; Keeps EAX and EDX.
place_is_free:
        mov esi, eax                    ; start
        add esi, [HEADER + HEADER_KERNEL_BYTES] ; ESI = end
        mov cx, [BOOT_INFO + INFO_COUNT_OFF] ; not 0: read_map has made sure
        mov di, MAP_ADDR                ; the first entry
.entry:
        cmp dword [di + ENTRY_TYPE], E820_USABLE
        je .next                        ; ours to use
        test byte [di + ENTRY_ACPI], E820_ENABLED
        jz .next                        ; the firmware says: ignore this entry
        cmp dword [di + 4], 0           ; the base's upper half
        jne .next                       ; starts above 4 GiB
        cmp [di], esi                   ; its start, against the place's end
        jae .next                       ; it starts after it
        cmp dword [di + ENTRY_LENGTH + 4], 0 ; the length's upper half
        jne .taken                      ; 4 GiB or longer: ends after the place's start
        mov ebx, [di]                   ; its start
        add ebx, [di + ENTRY_LENGTH]    ; EBX = its end
        jc .taken                       ; above 4 GiB
        cmp eax, ebx                    ; the place's start, against its end
        jb .taken                       ; they have a byte in common
.next:
        add di, MAP_ENTRY_BYTES         ; the next entry
        loop .entry                     ; all of them
        clc                             ; says "free"
        ret
.taken:
        stc                             ; says "taken"
        ret

; open_a20 - lets address line 20 through, so that 1 MiB is not 0 again. The PC had the gate for
; programs of the 8086 that relied on the wrap. Three ways, gentlest first, each followed by a look.
open_a20:
        call a20_is_open                ; most BIOSes have done it
        jnc .done                       ; nothing to do
        mov ax, 0x2401                  ; the BIOS knows its board best
        int 0x15                        ; whether it worked is seen below
        call a20_is_open                ; the look, not the BIOS's word
        jnc .done                       ; that was enough
        call a20_by_keyboard            ; the first way there was: a pin of the keyboard controller
        call a20_is_open
        jnc .done                       ; that was enough
        in al, SYSTEM_PORT_A            ; "fast A20"; last, since some boards use the port otherwise
        or al, A20_BIT                  ; the gate's bit
        and al, ~1 & 0xff               ; bit 0 would reset the machine
        out SYSTEM_PORT_A, al           ; takes effect at once
        call a20_is_open
        jnc .done                       ; that was enough
        mov si, text_a20                ; three ways, and none went
        jmp fail                        ; without it 1 MiB is 0: the kernel would overwrite the vectors
.done:
        ret

; a20_is_open - carry clear if 0:A20_PROBE and the word 1 MiB above it are two places.
; Looks A20_CHECKS times before it says no. Changes AX, CX; FS is used for the upper place.
a20_is_open:
        mov ax, 0xffff                  ; ffff:0010 is physical 1 MiB, the lowest beyond
        mov fs, ax                      ; FS: the segment whose end lies beyond 1 MiB
        mov cx, A20_CHECKS              ; looks left
.look:
        mov [A20_PROBE], cx             ; a different value each time
        mov ax, cx
        not ax                          ; its opposite: never the same as the value
        mov [fs:A20_PROBE + 0x10], ax   ; the upper place gets what the lower one has not
        out 0x80, al                    ; an unused port: about a microsecond, and the bus is drained
        cmp [A20_PROBE], cx             ; did the write beyond 1 MiB arrive here?
        clc                             ; open if the lower one has kept its value
        je .done                        ; (clc leaves the zero flag as it was)
        loop .look                      ; perhaps it is still on its way
        stc                             ; says "closed"
.done:
        ret

; a20_by_keyboard - sets the A20 bit in the keyboard controller's output port. Gives up quietly when
; the controller does not answer: the look that follows decides. Changes AX, CX.
a20_by_keyboard:
        cli                             ; the BIOS's keyboard handler must not read our answer
        mov al, 0xad                    ; keyboard off, lest a key comes in between
        call kbc_command                ; waits first, until it takes a command
        mov al, 0xd0                    ; "read output port"
        call kbc_command                ; the port has other bits, which must stay
        mov cx, 0xffff                  ; the bound
.wait:
        in al, KBC_STATUS               ; bit 0: an answer; bit 1: still busy
        test al, 1                      ; bit 0: an answer is there
        loopz .wait                     ; none yet, and the bound not reached
        jz .on                          ; none came
        in al, KBC_DATA                 ; the port's bits as they are
        or al, A20_BIT | 1              ; bit 0 is the reset line, active low: keep it high
        push ax                         ; the next two calls use AL
        mov al, 0xd1                    ; "write output port": the next data byte goes there
        call kbc_command                ; takes the command
        call kbc_ready                  ; until it has taken it
        pop ax                          ; the bits again, A20 among them
        out KBC_DATA, al                ; the gate opens, if there is one
.on:
        mov al, 0xae                    ; keyboard on
        call kbc_command                ; also after a failure: keys are to work
        call kbc_ready                  ; the last command has been taken
        sti                             ; the BIOS may have its interrupts back
        ret

; kbc_command - sends AL to the keyboard controller as a command. Changes CX.
kbc_command:
        push ax                         ; the wait below reads into AL
        call kbc_ready                  ; a byte sent too early is lost
        pop ax                          ; the command again
        out KBC_STATUS, al              ; the same port as the status: reading and writing differ
        ret

; kbc_ready - waits, within bounds, until the controller takes a byte. Changes AL, CX.
kbc_ready:
        mov cx, 0xffff                  ; the bound
.wait:
        in al, KBC_STATUS               ; no side effect: may be read again and again
        test al, 2                      ; bit 1: the last byte has not been taken yet
        loopnz .wait                    ; still busy, and the bound not reached
        ret

%include "fail.inc"

text_processor:     db "this processor has no time-stamp counter: a Pentium or later is needed", 0
text_header:        db "image header damaged", 0
text_kernel_size:   db "kernel size in the image header is wrong", 0
text_low_memory:    db "too little memory below 640 KiB for the kernel's file", 0
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
        align 4, db 0
file_addr: dd 0                         ; where the kernel's file waits: place_file

        align 8, db 0
gdt:    dq 0                            ; entry 0 is never used
        dq 0x00cf9a000000ffff           ; 0x08: code, ring 0, base 0, limit 4 GiB, 32-bit
        dq 0x00cf92000000ffff           ; 0x10: data, ring 0, the same
gdtr:   dw $ - gdt - 1                  ; last byte of the table
        dd gdt                          ; its physical address, segments' base being 0

; ------------------------------------------------------------------------------------------------
; Protected mode. Flat segments, paging off, interrupts off: addresses are physical.

        bits 32                         ; from the far jump on
protected:
        mov ax, DATA_SEG                ; only the null selector and this one may be loaded
        mov ds, ax                      ; for everything the program reads and writes
        mov es, ax                      ; for string instructions' targets
        mov ss, ax                      ; the stack stays where it was
        mov fs, ax                      ; not used; loaded lest a real-mode value stays
        mov gs, ax
        mov esp, MBR_ADDR               ; all 32 bits of it

        call check_file                 ; is it what was put on the disk?
        call check_elf                  ; is it a kernel that can be loaded here?
        call load_segments              ; only now is anything written above 1 MiB
        call total_memory               ; the seed's figure
        call fill_boot_info             ; the kernel's other source of knowledge
        call make_page_tables           ; for the jump to the higher half

; enter_kernel - paging on, and away. The kernel finds: CS 0x08, other segments 0x10, flat; paging
; with CR0.WP, 0 to 4 MiB mapped at 0 and at KERNEL_BASE; interrupts off, direction flag clear; ESP at
; MBR_ADDR, some 19 KiB of stack below it; boot_info at BOOT_INFO. No IDT: an exception is a reset.
enter_kernel:
        mov eax, BOOT_PAGE_DIR          ; physical, as CR3 wants it
        mov cr3, eax                    ; paging is still off: nothing changes yet
        mov eax, cr0                    ; protected mode stays on
        or eax, CR0_WP_PG               ; two bits at once: no moment of paging without write protection
        mov cr0, eax                    ; the next instruction is fetched through the map at 0
        mov ebx, [file_addr]            ; the ELF header
        mov ebx, [ebx + E_ENTRY]        ; a virtual address in the higher half
        cld                             ; the i386 ABI's promise to C code
        rdtsc                           ; end of the loader's time
        mov [BOOT_INFO + INFO_TSC_LOADER_OFF], eax ; the lower half
        mov [BOOT_INFO + INFO_TSC_LOADER_OFF + 4], edx ; the upper half; both through the map at 0
        jmp ebx                         ; not a call: the kernel does not return

; check_file - the kernel file's CRC-32 must be the header's.
check_file:
        call make_crc_table             ; used below, byte by byte
        mov esi, [file_addr]            ; where the checked bytes start
        mov ecx, [HEADER + HEADER_KERNEL_BYTES] ; not 0: checked in real mode
        or eax, -1                      ; CRC-32 starts with all bits set
.byte:
        movzx ebx, al                   ; the sum's low eight bits
        xor bl, [esi]                   ; the byte and the low end of the sum choose the entry
        inc esi                         ; the next byte
        shr eax, 8                      ; they leave the sum
        xor eax, [CRC_TABLE + ebx * 4]  ; eight divisions at once
        loop .byte                      ; all bytes of the file
        not eax                         ; and ends with all bits turned round
        mov esi, text_checksum          ; what to say unless
        cmp eax, [HEADER + HEADER_KERNEL_CRC] ; both are what zlib's crc32() gives
        jne fail32                      ; the file is not the one that mkimage.py has seen
        ret

; make_crc_table - entry n: what eight bit-wise steps of CRC-32 (IEEE 802.3, lowest bit first) make of n.
; 512 KiB bit by bit would be noticed in Bochs.
make_crc_table:
        xor ebx, ebx                    ; n
.entry:
        mov eax, ebx                    ; the byte that the steps divide
        mov ecx, 8                      ; bits
.bit:
        shr eax, 1                      ; the lowest bit leaves, into the carry flag
        jnc .next                       ; clear: nothing to subtract
        xor eax, CRC32_POLYNOMIAL       ; it was set: subtract the polynomial (without borrows)
.next:
        loop .bit                       ; eight of them
        mov [CRC_TABLE + ebx * 4], eax  ; a dword for each byte
        inc bl                          ; 256 entries: until the byte wraps to 0
        jnz .entry                      ; BL is 0 again: done
        ret

; check_elf - refuses what cannot be loaded. Every bound is compared as "n > max - k", which cannot wrap.
check_elf:
        mov edi, [file_addr]            ; the ELF header
        mov edx, [HEADER + HEADER_KERNEL_BYTES] ; the file's length: no header may point beyond
        mov esi, text_elf               ; for the five checks of the ELF header
        cmp edx, EHDR_BYTES             ; before its fields are read
        jb fail32                       ; shorter than the header itself
        cmp dword [edi], ELF_MAGIC
        jne fail32                      ; no ELF file
        mov eax, [edi + 4]              ; three bytes that must be 1 each, and one more
        and eax, 0xffffff               ; without the fourth byte, the OS's ABI: any will do
        cmp eax, ELF_32_LSB_V1          ; 32 bits, lowest byte first, the only version of ELF
        jne fail32                      ; 64-bit, or the other byte order
        cmp dword [edi + E_TYPE], ELF_EXEC_386
        jne fail32                      ; an object file, a shared one, another processor
        mov esi, text_phdr              ; for the checks of the program header table
        cmp word [edi + E_PHENTSIZE], PHDR_BYTES ; the size this code steps by
        jne fail32                      ; a table of something else
        movzx ecx, word [edi + E_PHNUM] ; at most 65,535
        test ecx, ecx                   ; a table at all?
        jz fail32                       ; nothing to load
        mov eax, ecx                    ; how long the table is
        shl eax, 5                      ; headers to bytes: below 2 MiB
        cmp eax, edx                    ; against the file's length
        ja fail32                       ; more than the whole file
        sub edx, eax                    ; EDX = the last offset at which the table fits
        cmp [edi + E_PHOFF], edx        ; its offset
        ja fail32                       ; they would end after the file's end
        mov ebx, [edi + E_PHOFF]        ; the offset as an address
        add ebx, edi                    ; EBX = the first program header
        mov byte [entry_found], 0       ; no segment seen so far
.segment:
        cmp dword [ebx], PT_LOAD        ; only these go to memory
        jne .next                       ; notes, stack flags: nothing for memory
        call check_segment              ; does not come back if it is bad
.next:
        add ebx, PHDR_BYTES             ; the next header
        loop .segment                   ; all of them
        mov esi, text_entry             ; seen in none of the segments?
        cmp byte [entry_found], 0       ; note_entry would have set it
        je fail32                       ; the jump would go astray
        ret

; check_segment - one PT_LOAD at EBX: inside the file, inside [1 MiB, 4 MiB), linked for
; KERNEL_BASE, in usable memory. Notes whether it has the entry. Keeps EBX, ECX, EDI.
check_segment:
        mov esi, text_segment_file      ; for the three checks against the file
        mov eax, [ebx + P_FILESZ]       ; bytes in the file
        mov edx, [HEADER + HEADER_KERNEL_BYTES] ; the file's own length
        cmp eax, [ebx + P_MEMSZ]        ; bytes in memory: never fewer
        ja fail32                       ; more in the file than in memory
        cmp eax, edx                    ; before the subtraction, so that it cannot wrap
        ja fail32                       ; more than the whole file
        sub edx, eax                    ; EDX = the last offset at which it fits
        cmp [ebx + P_OFFSET], edx       ; where it starts in the file
        ja fail32                       ; it would end after the file's end
        mov esi, text_segment_place     ; for the checks of its place
        mov eax, [ebx + P_PADDR]        ; where it shall lie
        cmp eax, KERNEL_PHYS            ; 1 MiB: below are the BIOS, the loader and the file itself
        jb fail32                       ; that would overwrite the loader, or video memory
        mov edx, KERNEL_LIMIT           ; 4 MiB: above nothing is mapped at the entry
        cmp eax, edx                    ; before the subtraction, so that it cannot wrap
        ja fail32                       ; above the mapped 4 MiB
        sub edx, eax                    ; room from there to the end of the boot page table's reach
        cmp [ebx + P_MEMSZ], edx        ; .bss counts: memsz, not filesz
        ja fail32                       ; its end would lie above
        lea edx, [eax + KERNEL_BASE]    ; below 4 MiB + KERNEL_BASE: cannot wrap
        cmp edx, [ebx + P_VADDR]        ; the address it was linked for
        jne fail32                      ; paging would show other bytes there
        call note_entry                 ; is the entry in this one?
        ; falls through: the last check

; find_memory - usable entries of the firmware's map must hold the whole segment at EBX: one, or several
; that follow each other. Keeps EBX, ECX, EDI.
find_memory:
        push ecx                        ; the caller counts segments with it
        push edi                        ; and has the ELF header here
        mov eax, [ebx + P_PADDR]        ; EAX = how far memory has been found
        mov edi, eax                    ; EDI = where the segment ends: both below 4 MiB, cannot wrap
        add edi, [ebx + P_MEMSZ]
.from:
        mov ecx, [BOOT_INFO + INFO_COUNT_OFF] ; not 0: read_map has made sure
        mov edx, MAP_ADDR               ; the first entry
.entry:
        call entry_reach                ; ESI = where this entry's memory ends, if it has the byte at EAX
        jnc .next                       ; it has not
        mov eax, esi                    ; as far as that
        cmp eax, edi                    ; the whole segment?
        jb .from                        ; no: which entry goes on from there?
        pop edi
        pop ecx
        ret                             ; to check_elf: check_segment falls through to here
.next:
        add edx, MAP_ENTRY_BYTES        ; the next entry
        loop .entry                     ; all of them
        mov esi, text_segment_memory    ; none has that byte
        jmp fail32                      ; the machine is too small, or has a hole there

; entry_reach - carry set if the map's entry at EDX is usable and holds the byte at EAX; then ESI is its
; end, or the last address if that lies above 4 GiB. Keeps the rest.
entry_reach:
        cmp dword [edx + ENTRY_TYPE], E820_USABLE ; memory that is free to use?
        jne .no                         ; reserved, ACPI's, bad or unknown
        test byte [edx + ENTRY_ACPI], E820_ENABLED ; does it count at all?
        jz .no                          ; the firmware says: ignore this entry
        cmp dword [edx + 4], 0          ; the base's upper half
        jne .no                         ; starts above 4 GiB
        mov esi, [edx]                  ; where it starts
        cmp eax, esi                    ; against the byte
        jb .no                          ; after it
        cmp dword [edx + ENTRY_LENGTH + 4], 0 ; the length's upper half
        jne .far                        ; 4 GiB or longer
        add esi, [edx + ENTRY_LENGTH]   ; where it ends
        jc .far                         ; above 4 GiB
        cmp eax, esi                    ; carry set if the byte lies before the end
        ret
.far:
        or esi, -1                      ; the last address: no segment reaches that far
        stc                             ; says "holds it"
        ret
.no:
        clc                             ; says "does not"
        ret

; note_entry - sets entry_found if the kernel's entry lies in the file's part of the code segment at EBX.
note_entry:
        test byte [ebx + P_FLAGS], PF_X ; code?
        jz .done                        ; data: no place to jump to
        mov eax, [edi + E_ENTRY]        ; the address of the first instruction
        sub eax, [ebx + P_VADDR]        ; as an offset in the segment
        jb .done                        ; before it
        cmp eax, [ebx + P_FILESZ]       ; .bss has no instructions
        jae .done                       ; after it
        mov byte [entry_found], 1       ; once is enough
.done:
        ret

; load_segments - copies each PT_LOAD to its physical address and clears the rest of it (.bss).
load_segments:
        mov ebp, [file_addr]            ; the ELF header
        mov ebx, [ebp + E_PHOFF]        ; the table's offset, checked by check_elf
        add ebx, ebp                    ; as an address
        movzx edx, word [ebp + E_PHNUM] ; how many headers
.segment:
        cmp dword [ebx], PT_LOAD        ; as in check_elf
        jne .next                       ; notes and the like stay in the file
        mov esi, [ebx + P_OFFSET]       ; where it starts in the file
        add esi, ebp                    ; from the file below 640 KiB
        mov edi, [ebx + P_PADDR]        ; to 1 MiB or above: the two cannot overlap
        mov ecx, [ebx + P_FILESZ]       ; as much as the file has
        rep movsb                       ; upwards: the direction flag is clear
        mov ecx, [ebx + P_MEMSZ]        ; what it takes in memory
        sub ecx, [ebx + P_FILESZ]       ; not negative: checked
        xor al, al                      ; C expects zeros
        rep stosb                       ; goes on where the copy ended
.next:
        add ebx, PHDR_BYTES             ; the next header
        dec edx                         ; one header fewer
        jnz .segment                    ; until none is left
        ret

; total_memory - sums the usable entries, each clipped at 4 GiB, to TOTAL_MEM_ADDR: the seed's one
; figure for the machine's memory. A sum past 32 bits stays at the last whole frame, 0xfffff000.
total_memory:
        xor edi, edi                    ; the sum
        mov ecx, [BOOT_INFO + INFO_COUNT_OFF] ; not 0: read_map has made sure
        mov ebx, MAP_ADDR               ; the first entry
.entry:
        cmp dword [ebx + ENTRY_TYPE], E820_USABLE ; only usable memory counts
        jne .next                       ; not this one
        test byte [ebx + ENTRY_ACPI], E820_ENABLED ; does the entry count at all?
        jz .next                        ; the firmware says: ignore it
        cmp dword [ebx + 4], 0          ; the base's upper half
        jne .next                       ; starts at or above 4 GiB: out of reach
        mov eax, [ebx]                  ; the base
        neg eax                         ; 4 GiB - base: what there is room for
        jnz .room                       ; any base but 0
        mov eax, 0xfffff000             ; base 0: 2^32 does not fit, and the sum would stop here anyway
.room:
        cmp dword [ebx + ENTRY_LENGTH + 4], 0 ; the length's upper half
        jne .add                        ; 4 GiB or longer: all the room
        cmp eax, [ebx + ENTRY_LENGTH]   ; the smaller one of room
        jbe .add                        ; longer than the room, which also stops base + length wrapping
        mov eax, [ebx + ENTRY_LENGTH]   ; and length
.add:
        add edi, eax                    ; on to the sum
        jc .full                        ; it has wrapped
        cmp edi, 0xfffff000             ; not only when it wraps: the largest value is the same in both cases
        ja .full                        ; no room for a larger figure
.next:
        add ebx, MAP_ENTRY_BYTES        ; the next entry
        loop .entry                     ; all of them
        mov [TOTAL_MEM_ADDR], edi       ; the place that the seed names
        ret
.full:
        mov dword [TOTAL_MEM_ADDR], 0xfffff000 ; the largest multiple of a frame
        ret

; fill_boot_info - the fields that are not written yet. tsc_loader follows at the jump.
fill_boot_info:
        mov dword [BOOT_INFO + INFO_MAGIC_OFF], BOOT_INFO_MAGIC ; says that a loader was here, and which
        mov dword [BOOT_INFO + INFO_BYTES_OFF], INFO_SIZE ; the kernel compares it with its own struct
        and dword [BOOT_INFO + INFO_DRIVE_OFF], 0xff ; one byte was written at the start
        mov eax, [HEADER + HEADER_KERNEL_BYTES] ; already checked against the header's bounds
        mov [BOOT_INFO + INFO_KERNEL_LEN_OFF], eax ; for the kernel's boot report
        mov eax, [HEADER + HEADER_KERNEL_CRC] ; the same as counted: check_file
        mov [BOOT_INFO + INFO_KERNEL_CRC_OFF], eax ; likewise
        ret

; make_page_tables - one page table for 0 to 4 MiB, entered twice in the page directory.
make_page_tables:
        mov edi, BOOT_PAGE_DIR          ; the directory first
        xor eax, eax                    ; not present
        mov ecx, PAGE_ENTRIES           ; all 4 GiB
        rep stosd                       ; and EDI is at BOOT_PAGE_TABLE, the next page
        mov eax, PAGE_FLAGS             ; frame 0
        mov ecx, PAGE_ENTRIES           ; all 4 MiB
.page:
        stosd                           ; physical frame, present, writable
        add eax, PAGE_BYTES             ; the next frame
        loop .page                      ; 1024 frames
        mov dword [BOOT_PAGE_DIR], BOOT_PAGE_TABLE | PAGE_FLAGS ; where we run now
        mov dword [BOOT_PAGE_DIR + (KERNEL_BASE >> 22) * 4], BOOT_PAGE_TABLE | PAGE_FLAGS ; the kernel
        ret

; fail32 - as `fail` in fail.inc, without a BIOS: the text at ESI goes to video memory and COM1.
; The line goes where the BIOS's cursor was; its data area still knows.
fail32:
        movzx eax, byte [BDA_CURSOR_ROW] ; 0 at the top
        cmp eax, VGA_LAST_ROW           ; inside the screen?
        jbe .row                        ; yes
        mov eax, VGA_LAST_ROW           ; a screen of more rows, or rubbish
.row:
        imul edi, eax, VGA_COLUMNS * 2  ; two bytes a cell
        add edi, VGA_TEXT               ; start of that row
        mov dx, COM1_LCR                ; the serial line's speed and format, as in fail.inc
        mov al, 0x83                    ; 8 bits, no parity, 1 stop bit; divisor selected
        out dx, al
        mov dx, COM1                    ; the divisor
        mov ax, COM1_DIVISOR            ; the line's speed
        out dx, ax
        mov dx, COM1_LCR                ; back to the data register
        mov al, 0x03                    ; the same format
        out dx, al
        push esi                        ; the reason, until the line before it is out
        mov esi, text_prefix            ; fail.inc's "granary: "
        call say32                      ; on both devices
        pop esi                         ; the reason itself
        call say32                      ; after the prefix: EDI has moved on
        mov al, 13                      ; the end of the line, for the serial side only
        call send32                     ; carriage return
        mov al, 10                      ; line feed
        call send32                     ; the line is out
        mov dx, DEBUG_EXIT_PORT         ; QEMU ends here
        mov eax, EXIT_FAILED            ; the value; its exit status is 35
        out dx, eax                     ; a dword: the device has four bytes
        mov dx, BOCHS_EXIT_PORT         ; Bochs ends here
        mov esi, text_shutdown          ; the word that the port waits for
        mov ecx, 8                      ; letters in "Shutdown"
        rep outsb                       ; a byte at a time
.stop:
        hlt                             ; interrupts are off; only an NMI gets past this
        jmp .stop                       ; sleep again

; say32 - text at ESI to the screen at EDI (moved on) and to COM1. Changes EAX, ECX, EDX, ESI.
say32:
        lodsb                           ; the next byte; ESI moves on
        test al, al                     ; NUL: the end
        jz .done                        ; the text is out
        mov ah, 0x07                    ; grey on black
        stosw                           ; character and attribute
        call send32                     ; the same byte to the serial line
        jmp say32                       ; the next one
.done:
        ret

; send32 - AL to COM1, waiting for it within bounds. Changes ECX, EDX.
send32:
        push eax                        ; reading the status destroys AL
        mov ecx, 0x10000                ; the bound: then write all the same
        mov dx, COM1_LSR                ; the status register
.wait:
        in al, dx                       ; a look
        test al, 0x20                   ; transmitter empty?
        loopz .wait                     ; not yet, and the bound not reached
        pop eax                         ; the byte
        mov dx, COM1                    ; the data register
        out dx, al                      ; it is on its way
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
