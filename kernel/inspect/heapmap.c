// heapmap.c - see heapmap.h.
//
// Two steps, the first of which knows nothing of screens: frames are counted by kind into cells, in
// one pass over the records; then the cells are printed, a colour and a character each.
//
// Shortcoming: with much memory a cell stands for many frames, and shows one kind of them.
#include "kernel/inspect/heapmap.h"

#include <stdbool.h>

#include "kernel/port.h"
#include "lib/print.h"
#include "lib/string.h"

// ---- cells --------------------------------------------------------------------------------------

// The cell that is being counted.
struct tally {
    uint32_t frames[MAP_KINDS];
    uint32_t live, blocks; // in its small arenas, a frame's share of each
};

// What a run of frames is used for.
struct use {
    enum map_kind kind;
    uint32_t frames;       // in the run, from the frame asked about on
    uint32_t live, blocks; // of a small arena
};

static struct use arena_use(const struct arena *arena, uint32_t length) {
    struct use use = {MAP_OTHER, length, 0, 0};
    if (arena_blank(arena)) return use;
    // Even of a record that is sealed, by chance, a wild descriptor must not be followed.
    bool known = arena->desc >= k_block_descs && arena->desc < k_block_descs + DESC_MAX;
    if (!arena_sealed(arena) || (!arena->large && !known)) use.kind = MAP_CORRUPT;
    else if (arena->large) use.kind = MAP_LARGE;
    else {
        use.kind = MAP_SMALL;
        use.blocks = arena->desc->blocks_per_arena;
        use.live = use.blocks - arena->cnt;
    }
    return use;
}

// The run that starts at `frame`; a length that leaves the pool is cut, so that every walk ends.
static struct use use_of(enum pool_id id, uint32_t frame) {
    const struct pool *pool = &mem_pool[id];
    uint32_t tag = pool->frame[frame].run, length = FRAME_RUN(tag), most = pool->frames - frame;
    if (tag == 0) return (struct use){MAP_HOLE, 1, 0, 0};
    if (length == 0 || length > most) return (struct use){MAP_CORRUPT, 1, 0, 0};
    if (tag & FRAME_FREE) return (struct use){MAP_FREE, length, 0, 0};
    if (id != POOL_KERNEL) return (struct use){MAP_OTHER, length, 0, 0};
    return arena_use(&heap.arena[frame], length);
}

static uint8_t eighths_of(uint32_t part, uint32_t whole) {
    uint32_t eighths = whole ? (part * 8 + whole - 1) / whole : 0;
    return (uint8_t)(eighths < 1 ? 1 : eighths > 8 ? 8 : eighths);
}

static struct map_cell cell_of(const struct tally *tally, uint32_t frames) {
    enum map_kind most = MAP_HOLE;
    uint32_t used = 0;
    for (int kind = MAP_SMALL; kind < MAP_KINDS; kind++) {
        uint32_t more_than = most == MAP_HOLE ? 0 : tally->frames[most];
        used += tally->frames[kind];
        if (tally->frames[kind] > more_than) most = (enum map_kind)kind;
    }
    if (tally->frames[MAP_CORRUPT]) most = MAP_CORRUPT; // however few: it is what one looks for
    if (used == 0) most = tally->frames[MAP_FREE] ? MAP_FREE : MAP_HOLE;
    bool small = most == MAP_SMALL;
    return (struct map_cell){(uint8_t)most, small ? eighths_of(tally->live, tally->blocks)
                                                  : eighths_of(used, frames)};
}

uint32_t heapmap_fill(enum pool_id id, struct map_cell *cells, uint32_t count,
                      uint32_t *frames_per_cell) {
    const struct pool *pool = &mem_pool[id];
    uint32_t each = (pool->frames + count - 1) / count, cell = 0, in_cell = 0;
    struct tally tally = {{0}, 0, 0};
    if (each == 0) each = 1;
    port_state state = port_lock();
    for (uint32_t frame = 0; frame < pool->frames;) {
        struct use use = use_of(id, frame);
        for (uint32_t left = use.frames; left > 0; left--) {
            tally.frames[use.kind]++;
            tally.live += use.live; // an arena of several frames counts once for each: shares are
            tally.blocks += use.blocks; // the same
            if (++in_cell < each && frame + use.frames - left + 1 < pool->frames) continue;
            cells[cell++] = cell_of(&tally, in_cell);
            memset(&tally, 0, sizeof tally);
            in_cell = 0;
        }
        frame += use.frames;
    }
    port_unlock(state);
    *frames_per_cell = each;
    return cell;
}

// ---- a picture of them --------------------------------------------------------------------------

#define ROW 64 // cells in a line
#define KERNEL_ROWS 10
#define USER_ROWS 4
static struct map_cell cells[ROW * KERNEL_ROWS];

// Background and foreground: what is used stands out, what is free or no memory does not.
static const char *const colour[MAP_KINDS] = {
    [MAP_HOLE] = "\033[0m",        [MAP_FREE] = "\033[0;90m",     [MAP_SMALL] = "\033[0;30;42m",
    [MAP_LARGE] = "\033[0;30;43m", [MAP_OTHER] = "\033[0;30;46m", [MAP_CORRUPT] = "\033[0;1;37;41m",
};

// Without colours it can be read as well: digits are how full a small arena is.
static char character(struct map_cell cell) {
    static const char letter[MAP_KINDS] = {
        [MAP_HOLE] = ' ',  [MAP_FREE] = '.',  [MAP_SMALL] = '0',
        [MAP_LARGE] = '#', [MAP_OTHER] = '+', [MAP_CORRUPT] = '!',
    };
    return cell.kind == MAP_SMALL ? (char)('0' + cell.eighths) : letter[cell.kind];
}

// A colour's sequence only where it changes: a line stays far below what kprintf() takes.
static void print_row(const struct map_cell *row, uint32_t count, uint32_t first) {
    kprintf("%8u ", first);
    int last = -1;
    for (uint32_t i = 0; i < count; i++) {
        kprintf("%s%c", row[i].kind != last ? colour[row[i].kind] : "", character(row[i]));
        last = row[i].kind;
    }
    put_str("\033[0m\033[K\n");
}

static void print_pool(enum pool_id id, uint32_t rows) {
    uint32_t each, count = heapmap_fill(id, cells, ROW * rows, &each);
    kprintf("%s: %u frames, %u free; a cell is %u frame%s\033[K\n", mem_pool[id].name,
            frames_total(id), frames_free(id), each, each == 1 ? "" : "s");
    for (uint32_t at = 0; at < count; at += ROW) {
        print_row(cells + at, count - at < ROW ? count - at : ROW, at * each);
    }
}

void heapmap_print(void) {
    print_pool(POOL_KERNEL, KERNEL_ROWS);
    print_pool(POOL_USER, USER_ROWS);
    // 78 columns: a line that wrapped would shift the picture that `watch` draws over.
    kprintf("%s1-8%s eighths live  %s#%s large area  %s+%s other owner  %s.%s free  blank: hole  "
            "%s!%s corrupt\033[K\n",
            colour[MAP_SMALL], colour[MAP_HOLE], colour[MAP_LARGE], colour[MAP_HOLE],
            colour[MAP_OTHER], colour[MAP_HOLE], colour[MAP_FREE], colour[MAP_HOLE],
            colour[MAP_CORRUPT], colour[MAP_HOLE]);
}
