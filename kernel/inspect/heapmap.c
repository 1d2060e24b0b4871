// heapmap.c - see heapmap.h.
//
// Two steps, the first of which knows nothing of screens: frames are counted by kind into cells, in
// one pass over the records; then the cells are printed, a colour and a character each.
//
// Shortcoming: a cell for many frames shows one kind of them.
#include "kernel/inspect/heapmap.h"

#include <stdbool.h>

#include "kernel/inspect/heapwalk.h"
#include "kernel/port.h"
#include "lib/print.h"
#include "lib/string.h"

// ---- cells --------------------------------------------------------------------------------------

// The cell that is being counted.
struct tally {
    uint32_t frames[MAP_KINDS];
    uint32_t live, blocks; // in its small arenas, a frame's share of each
    uint32_t empty;        // of its frames of small arenas, those in which nothing lives
};

// What a run of frames is used for.
struct use {
    enum map_kind kind;
    uint32_t frames;       // in the run, from the frame asked about on
    uint32_t live, blocks; // of a small arena
};

static struct use arena_use(const struct heap *heap, const struct arena *arena, uint32_t length) {
    struct use use = {MAP_OTHER, length, 0, 0};
    if (arena_blank(arena)) return use;
    // Even of a record that is sealed, by chance, a wild descriptor must not be followed.
    if (!arena_sealed(arena) || (!arena->large && !heap_desc_known(heap, arena->desc)))
        use.kind = MAP_CORRUPT;
    else if (arena->large) use.kind = MAP_LARGE;
    else {
        use.kind = MAP_SMALL;
        use.blocks = arena->desc->blocks_per_arena;
        use.live = use.blocks - arena->cnt;
    }
    return use;
}

// The run that starts at `frame`, below `all`; a length that leaves the pool is cut, so that every
// walk ends.
static struct use use_of(const struct pool *pool, uint32_t frame, uint32_t all) {
    uint32_t tag = pool->frame[frame].run, length = FRAME_RUN(tag), most = all - frame;
    if (tag == 0) return (struct use){MAP_HOLE, 1, 0, 0};
    if (length == 0 || length > most) return (struct use){MAP_CORRUPT, 1, 0, 0};
    if (!(tag & FRAME_USED)) return (struct use){MAP_FREE, length, 0, 0};
    if (!pool->heap) return (struct use){MAP_OTHER, length, 0, 0};
    return arena_use(pool->heap, &pool->heap->arena[frame], length);
}

// 0 for nothing, else 1 to 8.
static uint8_t eighths_of(uint32_t part, uint32_t whole) {
    uint32_t eighths = whole ? (part * 8 + whole - 1) / whole : 0;
    return (uint8_t)(eighths > 8 ? 8 : eighths);
}

// What lives comes before an arena that is empty, and that before what is free or no memory.
static enum map_kind kind_of(const struct tally *tally) {
    if (tally->frames[MAP_CORRUPT]) return MAP_CORRUPT; // however few: it is what one looks for
    enum map_kind most = MAP_SMALL;
    uint32_t frames = tally->frames[MAP_SMALL] - tally->empty;
    for (int kind = MAP_LARGE; kind < MAP_CORRUPT; kind++) {
        if (tally->frames[kind] <= frames) continue;
        frames = tally->frames[kind];
        most = (enum map_kind)kind;
    }
    if (frames > 0 || tally->empty > 0) return most;
    return tally->frames[MAP_FREE] ? MAP_FREE : MAP_HOLE;
}

static struct map_cell cell_of(const struct tally *tally, uint32_t frames) {
    enum map_kind kind = kind_of(tally);
    uint32_t unused = tally->frames[MAP_FREE] + tally->frames[MAP_HOLE];
    uint8_t eighths = kind == MAP_SMALL ? eighths_of(tally->live, tally->blocks)
                                        : eighths_of(frames - unused, frames);
    return (struct map_cell){(uint8_t)kind, eighths};
}

static void tally_frame(struct tally *tally, const struct use *use) {
    tally->frames[use->kind]++;
    tally->live += use->live;     // an arena of several frames counts once for each: shares are the
    tally->blocks += use->blocks; // same
    tally->empty += use->kind == MAP_SMALL && use->live == 0;
}

// From the pool's first frame on, run by run: the records tell where a run begins only to one who
// comes from below. `all`: frames that have a record. Locked by the caller.
static uint32_t fill(const struct pool *pool, uint32_t all, uint32_t first, uint32_t frames,
                     struct map_cell *cells, uint32_t count) {
    uint32_t end = all, cell = 0, in_cell = 0;
    if (first >= end) return 0;
    if (frames < end - first) end = first + frames;
    uint32_t each = (end - first + count - 1) / count;
    struct tally tally = {{0}, 0, 0, 0};
    for (uint32_t run = 0; run < end;) {
        struct use use = use_of(pool, run, all);
        uint32_t frame = run < first ? first : run;
        run += use.frames;
        for (; frame < run && frame < end; frame++) {
            tally_frame(&tally, &use);
            if (++in_cell < each && frame + 1 < end) continue;
            cells[cell++] = cell_of(&tally, in_cell);
            memset(&tally, 0, sizeof tally);
            in_cell = 0;
        }
    }
    return cell;
}

uint32_t heapmap_fill(enum pool_id id, uint32_t first, uint32_t frames, struct map_cell *cells,
                      uint32_t count) {
    port_state state = port_freeze(&k_heap);
    uint32_t filled = fill(mem_pool[id], mem_pool[id]->frames, first, frames, cells, count);
    port_thaw(&k_heap, state);
    return filled;
}

// ---- a picture of them --------------------------------------------------------------------------

#define ROW 64 // cells in a line
#define KERNEL_ROWS 10
#define USER_ROWS 4
#define CELLS (ROW * KERNEL_ROWS)
static struct map_cell cells[CELLS];

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

// 78 columns: a line that wrapped would shift the picture that `watch` draws over.
static void print_legend(void) {
    kprintf("%s0-8%s eighths live  %s#%s large area  %s+%s other owner  %s.%s free  blank: hole  "
            "%s!%s corrupt\033[K\n",
            colour[MAP_SMALL], colour[MAP_HOLE], colour[MAP_LARGE], colour[MAP_HOLE],
            colour[MAP_OTHER], colour[MAP_HOLE], colour[MAP_FREE], colour[MAP_HOLE],
            colour[MAP_CORRUPT], colour[MAP_HOLE]);
}

static void print_title(enum pool_id id, uint32_t each) {
    kprintf("%s: %u frames, %u free; a cell is %u frame%s\033[K\n", mem_pool[id]->name,
            frames_total(id), frames_free(id), each, each == 1 ? "" : "s");
}

static void print_pool(enum pool_id id, uint32_t rows) {
    uint32_t frames = mem_pool[id]->frames, each = (frames + ROW * rows - 1) / (ROW * rows);
    uint32_t count = heapmap_fill(id, 0, frames, cells, ROW * rows);
    print_title(id, each);
    for (uint32_t at = 0; at < count; at += ROW) {
        print_row(cells + at, count - at < ROW ? count - at : ROW, at * each);
    }
}

void heapmap_print(void) {
    print_pool(POOL_KERNEL, KERNEL_ROWS);
    print_pool(POOL_USER, USER_ROWS);
    print_legend();
}

// MAP_FREE or MAP_HOLE for a row that is nothing else, MAP_KINDS for all others.
static enum map_kind blank_of(const struct map_cell *row, uint32_t count) {
    enum map_kind kind = (enum map_kind)row[0].kind;
    if (count < ROW || kind > MAP_FREE) return MAP_KINDS;
    for (uint32_t i = 1; i < ROW; i++) {
        if (row[i].kind != kind) return MAP_KINDS;
    }
    return kind;
}

static void print_skipped(uint32_t rows) {
    if (rows > 0) kprintf("         ... %u more row%s of the same\n", rows, rows == 1 ? "" : "s");
}

// As many cells at a time as there is room for.
void heapmap_frames(enum pool_id id, uint32_t first, uint32_t frames, bool (*more)(void)) {
    uint32_t skipped = 0, end = mem_pool[id]->frames;
    enum map_kind before = MAP_KINDS;
    if (first < end && frames < end - first) end = first + frames;
    print_title(id, 1);
    for (uint32_t at = first; at < end; at += ROW) {
        const struct map_cell *row = cells + (at - first) % CELLS;
        uint32_t count = end - at < ROW ? end - at : ROW;
        if (row == cells) heapmap_fill(id, at, end - at < CELLS ? end - at : CELLS, cells, CELLS);
        enum map_kind blank = blank_of(row, count);
        if (blank != MAP_KINDS && blank == before) {
            skipped++;
            continue;
        }
        if (!more()) return;
        print_skipped(skipped);
        skipped = 0;
        before = blank;
        print_row(row, count, at);
    }
    print_skipped(skipped);
    print_legend();
}

// ---- one heap, a program's as well --------------------------------------------------------------

static struct {
    char name[24]; // the heap may be gone when it is printed
    uint32_t frames, free, each, cells;
} taken;

void heapmap_take(const struct heap *heap) {
    ksnprintf(taken.name, sizeof taken.name, "%s", heap->pool.name);
    taken.frames = heap->frames;
    taken.free = heap->pool.free;
    taken.each = heap->frames > CELLS ? (heap->frames + CELLS - 1) / CELLS : 1;
    taken.cells = heap->frames ? fill(&heap->pool, heap->frames, 0, UINT32_MAX, cells, CELLS) : 0;
}

void heapmap_show(bool (*more)(void)) {
    kprintf("%s: %u frames, %u free; a cell is %u frame%s\n", taken.name, taken.frames, taken.free,
            taken.each, taken.each == 1 ? "" : "s");
    for (uint32_t at = 0; at < taken.cells && more(); at += ROW) {
        print_row(cells + at, taken.cells - at < ROW ? taken.cells - at : ROW, at * taken.each);
    }
    print_legend();
}
