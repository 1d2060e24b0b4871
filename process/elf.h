// elf.h - what a program's file says about itself. Pure: no hardware, no globals; for the kernel,
// the host's tests and a fuzzer.
//
// ELF32 for i386, an executable at fixed addresses (System V ABI, "Object Files"; i386 supplement).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ELF_HEAD_BYTES 512u // the first bytes of a file, where header and program headers must be
#define ELF_SEGMENTS_MAX 8u

// A piece of the file and where it goes. Checked: it lies inside the file and inside the image's
// addresses, and shares no page with another.
struct elf_segment {
    uint32_t address;    // of its first byte
    uint32_t bytes;      // in memory, not 0; those after file_bytes are zero
    uint32_t offset;     // in the file
    uint32_t file_bytes; // at most `bytes`
    bool writable;
};

struct elf_program {
    uint32_t entry; // address of the first instruction, inside a segment that may be executed
    uint32_t count;
    struct elf_segment segment[ELF_SEGMENTS_MAX];
};

// Fills *out from the file's first `head_bytes` bytes, ELF_HEAD_BYTES or all of a shorter file;
// `file_bytes` is its whole length. Returns NULL, or in a few words why this is no program for this
// kernel; *out is then half filled and of no use. Reads no byte outside the head. Any context.
const char *elf_read(struct elf_program *out, const void *head, uint32_t head_bytes,
                     uint32_t file_bytes);
