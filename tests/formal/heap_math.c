// heap_math.c - the arithmetic of kernel/memory.c and kernel/pool.h, for Eva: all block sizes, all
// lengths of run.
//
// What only it can find: one number among all 2^32 for which the arithmetic is wrong: tests try
// some of them.
//
// Theory. Eva runs C on sets of values and warns wherever one of them could do harm or break an
// assertion. Where the sets are single numbers that is plain execution: so are the loops over all
// 512 sizes of blocks. Where a range goes in, what comes out holds for each number of it: so is
// each of the 256 bins asked about all its lengths at once, and the question has an answer since
// bin_of() shifts a whole bin to one number.
//
// The sources are included, so that their static functions can be called; what they want of their
// surroundings is declared here and never called.
#define GRANARY_PORT "tests/formal/formal_port.h"
#include "kernel/memory.c"
#include "kernel/pool.c"

#include "__fc_builtin.h"

// The compiler's two, by their meaning in GCC's manual (Other Builtins).
int __builtin_clz(unsigned n) {
    int zeros = 0;
    for (; n < 0x80000000u; n <<= 1) zeros++;
    return zeros;
}

int __builtin_ctz(unsigned n) {
    int zeros = 0;
    for (; (n & 1) == 0; n >>= 1) zeros++;
    return zeros;
}

#define POOL_FRAMES (1u << 20) // 4 GiB: no pool is longer (port.h)

// Each bin holds the lengths from its floor to the next one's, and bin_of() knows them all.
static void bins(void) {
    bin_floors_init();
    for (uint32_t bin = 0; bin + 1 < POOL_BINS && bin_floor[bin] <= POOL_FRAMES; bin++) {
        uint32_t first = bin_floor[bin], last = bin_floor[bin + 1] - 1;
        //@ assert rising: first <= last;
        uint32_t count = Frama_C_unsigned_int_interval(first, last);
        uint32_t found = bin_of(count);
        //@ assert bin: found == bin;
        //@ assert not_the_last: found + 1 < POOL_BINS;
    }
}

// Every size a table may name: the frames of its arenas, and the number of each block.
static void sizes(void) {
    struct memory_block_desc desc;
    for (uint32_t size = BLOCK_ALIGN; size <= BLOCK_SIZE_MAX; size += BLOCK_ALIGN) {
        uint32_t frames = frames_for(size), blocks = frames * PG_SIZE / size;
        //@ assert frames: 1 <= frames <= ARENA_FRAMES_MAX;
        //@ assert blocks: 1 <= blocks <= ARENA_BLOCKS_MAX;
        uint32_t rest = frames * PG_SIZE - blocks * size;
        //@ assert waste: size <= 1024 || rest <= frames * PG_SIZE / 8;
        desc.shift = (uint32_t)__builtin_ctz(size);
        uint32_t odd = size >> desc.shift;
        desc.inverse = inverse_of(odd);
        uint32_t one = odd * desc.inverse;
        //@ assert inverse: one == 1;
        for (uint32_t block = 0; block <= blocks; block++) {
            uint32_t index = block_index(&desc, block * size);
            //@ assert index: index == block;
        }
    }
}

// Frames for any number of bytes: no sum wraps, none too few.
static void frames(void) {
    for (uint32_t page = 0; page < 32; page++) {
        size_t first = page == 0 ? 1 : (page << 27) + 1, last = (page << 27) + ((1u << 27) - 1);
        size_t count = frames_of(Frama_C_unsigned_int_interval(first, last));
        //@ assert enough: page << 15 <= count <= (page + 1) << 15;
    }
}

int main(void) {
    bins();
    sizes();
    frames();
    return 0;
}
