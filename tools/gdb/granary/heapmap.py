"""heapmap.py - the kernel pool as a picture: a cell for each frame, as text or as SVG.

    a .. z  a frame of an arena of blocks, by size, the smallest first; a capital where no block is free
    [ =     a large area: its first frame, its others
    #       a frame that is held outside the heap: a stack, say
    .       free        (blank) no memory
"""

from collections import namedtuple
from html import escape
from itertools import groupby

from granary import model

COLUMNS = 64
FREE, HOLE, HELD, LARGE, LARGE_MORE = ".", " ", "#", "[", "="

# What a frame is: the character, the descriptor's number or None, how much of it is in use (0 to 1), and words.
Cell = namedtuple("Cell", "mark index used text")

# Colours that differ in lightness as well: a row of 256-colour numbers for a terminal, one of RGB for SVG.
TERMINAL = (39, 45, 48, 84, 154, 220, 214, 208, 203, 205, 171, 135)
RGB = ("#4477aa", "#66ccee", "#228833", "#88cc55", "#ccbb44", "#ee9944", "#ee6677", "#aa3377", "#994455", "#997700",
       "#6699cc", "#555599")
OTHER = {FREE: "#e8e8e8", HOLE: "#ffffff", HELD: "#333333", LARGE: "#8866aa", LARGE_MORE: "#8866aa"}
TERMINAL_OTHER = {FREE: 240, HELD: 250, LARGE: 141, LARGE_MORE: 141}


def cells(heap):
    """A Cell for each frame of the kernel pool."""
    pool = heap.pools[0]
    tags, made = pool.tags(), [None] * heap.frames
    for frame, arena, desc in heap.arenas():
        if desc is None:
            for i in range(min(arena.cnt, heap.frames - frame)):
                made[frame + i] = Cell(LARGE_MORE if i else LARGE, None, 1.0,
                                       f"large area 0x{arena.base:08x} of {arena.cnt} frames")
            continue
        index = heap.descs.index(desc)
        live = desc.blocks_per_arena - arena.cnt
        letter = chr(ord("a") + index % 26)
        cell = Cell(letter if arena.cnt else letter.upper(), index, live / max(1, desc.blocks_per_arena),
                    f"arena 0x{arena.base:08x} of {desc.block_size}-byte blocks, {live} of "
                    f"{desc.blocks_per_arena} live")
        for i in range(min(desc.frames_per_arena, heap.frames - frame)):
            made[frame + i] = cell
    at = 0
    while at < heap.frames:
        tag = tags[at] if at < len(tags) else 0
        length = max(1, min(model.run_length(tag), heap.frames - at))
        free = tag & model.FRAME_FREE
        cell = Cell(FREE, None, 0.0, "free") if free else Cell(HELD, None, 1.0, "held outside the heap") if tag else \
            Cell(HOLE, None, 0.0, "no memory")
        for i in range(at, at + length):
            made[i] = made[i] or cell
        at += length
    return made


def colour_of(cell):
    return TERMINAL[cell.index % len(TERMINAL)] if cell.index is not None else TERMINAL_OTHER.get(cell.mark)


def paint(row, colours):
    """A row of cells; neighbours of one colour share its escape sequence."""
    text = ""
    for number, group in groupby(row, colour_of):
        marks = "".join(cell.mark for cell in group)
        text += marks if number is None or not colours else f"\033[38;5;{number}m{marks}\033[0m"
    return text


def text(heap, colours):
    """Rows of cells; rows that are all free, or all no memory, are told as one line."""
    made = cells(heap)
    rows = [made[i:i + COLUMNS] for i in range(0, len(made), COLUMNS)]
    skipped = 0
    for number, row in enumerate(rows + [None]):
        marks = {cell.mark for cell in row} if row else set()
        if row and number and marks in ({FREE}, {HOLE}) and marks == {cell.mark for cell in rows[number - 1]}:
            skipped += 1
            continue
        if skipped:
            yield f"         ... {skipped} more row{'' if skipped == 1 else 's'} of the same"
            skipped = 0
        if row:
            yield f"{number * COLUMNS:7}  " + paint(row, colours).rstrip()
    sizes = sorted({cell.index for cell in made if cell.index is not None})
    names = ", ".join(f"{paint([Cell(chr(ord('a') + i % 26), i, 0, '')], colours)} {heap.descs[i].block_size}"
                      for i in sizes)
    if names:
        yield f"blocks of: {names} bytes; a capital: none free"
    yield "[= large area   # held outside the heap   . free   blank: no memory"


SIDE = 12  # of a cell, pixels


def fill(cell):
    if cell.index is None:
        return OTHER[cell.mark], 1.0
    return RGB[cell.index % len(RGB)], 0.25 + 0.75 * cell.used


def svg(heap):
    """The map as an SVG document: a square for each frame, fuller where more blocks live, with words to point at."""
    made = cells(heap)
    rows = -(-len(made) // COLUMNS)
    width, height = COLUMNS * SIDE + 20, rows * SIDE + 70
    pool = heap.pools[0]
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">')
    yield f'<title>{escape(pool.name)}, frame by frame</title>'
    yield f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    yield (f'<text x="10" y="18">{escape(pool.name)}: {pool.usable} frames of 4 KiB, {pool.free} free, '
           f'{heap.small_frames} in arenas, {heap.large_frames} in large areas</text>')
    yield from svg_legend(heap, made)
    at = 0
    while at < len(made):  # cells that are alike are one rectangle as long as a row goes
        end = at + 1
        while end < len(made) and end % COLUMNS and made[end] == made[at] and made[at].mark in (FREE, HOLE):
            end += 1
        if made[at].mark != HOLE:
            colour, full = fill(made[at])
            x, y = 10 + at % COLUMNS * SIDE, 50 + at // COLUMNS * SIDE
            frames = f"frame {at}" if end == at + 1 else f"frames {at} to {end - 1}"
            yield (f'<rect x="{x}" y="{y}" width="{(end - at) * SIDE - 1}" height="{SIDE - 1}" fill="{colour}" '
                   f'fill-opacity="{full:.2f}"><title>{frames}: {escape(made[at].text)}</title></rect>')
        at = end
    yield "</svg>"


def svg_legend(heap, made):
    x = 10
    names = [(RGB[i % len(RGB)], f"{heap.descs[i].block_size}")
             for i in sorted({cell.index for cell in made if cell.index is not None})]
    names += [(OTHER[LARGE], "large"), (OTHER[HELD], "held"), (OTHER[FREE], "free")]
    for colour, name in names:
        yield f'<rect x="{x}" y="28" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{x + 14}" y="37">{name}</text>'
        x += 24 + 8 * len(name)
