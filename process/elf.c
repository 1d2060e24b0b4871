// elf.c - see elf.h.
//
// Every number of the file is an attacker's. Each is compared with what is left before it is added
// to anything (n > max - k), so no sum can wrap; fields are copied out of the bytes, which need no
// alignment.
//
// Shortcoming: no dynamic linking, no notes, no thread-local storage.
#include "process/elf.h"

#include <stddef.h>

#include "lib/page.h"
#include "lib/string.h"
#include "process/layout.h"

struct elf_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version, entry, phoff, shoff, flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct elf_header) == 52, "the format's");

struct elf_program_header {
    uint32_t type, offset, vaddr, paddr, filesz, memsz, flags, align;
};
_Static_assert(sizeof(struct elf_program_header) == 32, "the format's");

#define TYPE_EXECUTABLE 2
#define MACHINE_386 3
#define SEGMENT_LOAD 1
#define SEGMENT_INTERPRETER 3
#define FLAG_EXECUTE 1u
#define FLAG_WRITE 2u

// Class 32 bits, little-endian, version 1.
static bool ident_right(const uint8_t *ident) {
    static const uint8_t wanted[] = {0x7f, 'E', 'L', 'F', 1, 1, 1};
    return memcmp(ident, wanted, sizeof wanted) == 0;
}

static const char *header_fault(const struct elf_header *header, uint32_t head_bytes) {
    if (!ident_right(header->ident)) return "not an ELF file of 32 bits";
    if (header->machine != MACHINE_386) return "not for this processor";
    if (header->type != TYPE_EXECUTABLE) return "not an executable at fixed addresses";
    if (header->phentsize != sizeof(struct elf_program_header)) return "damaged: program headers";
    if (header->phnum == 0) return "no program headers";
    if (header->phoff > head_bytes ||
        header->phnum > (head_bytes - header->phoff) / sizeof(struct elf_program_header)) {
        return "program headers beyond the first 512 bytes";
    }
    return NULL;
}

static uint32_t elf_page(uint32_t address) { return address >> PG_SHIFT; }

static bool pages_shared(const struct elf_segment *a, const struct elf_segment *b) {
    return elf_page(a->address) <= elf_page(b->address + b->bytes - 1) &&
           elf_page(b->address) <= elf_page(a->address + a->bytes - 1);
}

static const char *segment_fault(const struct elf_program_header *from, uint32_t file_bytes) {
    if (from->filesz > from->memsz) return "a segment longer in the file than in memory";
    if (from->filesz > file_bytes || from->offset > file_bytes - from->filesz) {
        return "a segment beyond the file's end";
    }
    if (from->vaddr < USER_IMAGE_BASE || from->vaddr >= USER_IMAGE_END ||
        from->memsz > USER_IMAGE_END - from->vaddr) {
        return "a segment outside a program's addresses";
    }
    if ((from->flags & FLAG_WRITE) && (from->flags & FLAG_EXECUTE)) {
        return "a segment to be written and executed";
    }
    return NULL;
}

static const char *segment_add(struct elf_program *out, const struct elf_program_header *from,
                               uint32_t file_bytes, bool *entry_inside) {
    const char *fault = segment_fault(from, file_bytes);
    if (fault) return fault;
    if (out->count == ELF_SEGMENTS_MAX) return "too many segments";
    struct elf_segment *segment = &out->segment[out->count];
    *segment = (struct elf_segment){from->vaddr, from->memsz, from->offset, from->filesz,
                                    (from->flags & FLAG_WRITE) != 0};
    for (uint32_t i = 0; i < out->count; i++) {
        if (pages_shared(segment, &out->segment[i])) return "two segments in one page";
    }
    out->count++;
    if ((from->flags & FLAG_EXECUTE) && out->entry - from->vaddr < from->memsz) {
        *entry_inside = true;
    }
    return NULL;
}

const char *elf_read(struct elf_program *out, const void *head, uint32_t head_bytes,
                     uint32_t file_bytes) {
    struct elf_header header;
    bool entry_inside = false;
    if (head_bytes < sizeof header) return "too short for a program";
    memcpy(&header, head, sizeof header);
    const char *fault = header_fault(&header, head_bytes);
    if (fault) return fault;
    *out = (struct elf_program){.entry = header.entry};
    for (uint32_t i = 0; i < header.phnum; i++) {
        struct elf_program_header from;
        memcpy(&from, (const uint8_t *)head + header.phoff + i * sizeof from, sizeof from);
        if (from.type == SEGMENT_INTERPRETER) return "needs a dynamic linker";
        if (from.type != SEGMENT_LOAD || from.memsz == 0) continue;
        fault = segment_add(out, &from, file_bytes, &entry_inside);
        if (fault) return fault;
    }
    return entry_inside ? NULL : "its first instruction is in no segment";
}
