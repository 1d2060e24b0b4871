// fuzz_elf.c - process/elf.c on any bytes: reads none outside the head, and what it takes can be
// loaded.
//
// What only it can find: a field whose sum with another wraps, so that a segment lies where no
// program may.
//
// The oracle is plain arithmetic in 64 bits on the answer. The first four bytes are the file's
// length; the rest is the file's beginning.
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "process/elf.h"
#include "process/layout.h"

static uint64_t page_of(uint64_t address) { return address >> 12; }

static void check_segment(const struct elf_program *program, uint32_t at, uint32_t file_bytes) {
    const struct elf_segment *segment = &program->segment[at];
    uint64_t start = segment->address, end = start + segment->bytes;
    REQUIRE(segment->bytes > 0 && segment->file_bytes <= segment->bytes);
    REQUIRE(start >= USER_IMAGE_BASE && end <= USER_IMAGE_END);
    REQUIRE((uint64_t)segment->offset + segment->file_bytes <= file_bytes);
    for (uint32_t i = 0; i < at; i++) {
        uint64_t other = program->segment[i].address, last = other + program->segment[i].bytes - 1;
        REQUIRE(page_of(last) < page_of(start) || page_of(end - 1) < page_of(other));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    uint32_t file_bytes;
    struct elf_program program;
    if (bytes < sizeof file_bytes) return 0;
    memcpy(&file_bytes, data, sizeof file_bytes);
    size_t head_bytes = bytes - sizeof file_bytes;
    if (head_bytes > ELF_HEAD_BYTES) head_bytes = ELF_HEAD_BYTES;
    uint8_t *head = malloc(head_bytes + 1); // its end is the sanitizer's
    uint8_t *start = head + 1;
    memcpy(start, data + sizeof file_bytes, head_bytes);
    bool good = elf_read(&program, start, (uint32_t)head_bytes, file_bytes) == NULL;
    bool inside = false;
    if (good) REQUIRE(program.count <= ELF_SEGMENTS_MAX);
    for (uint32_t i = 0; good && i < program.count; i++) {
        check_segment(&program, i, file_bytes);
        inside |= program.entry - program.segment[i].address < program.segment[i].bytes;
    }
    REQUIRE(!good || inside);
    free(head);
    return 0;
}
