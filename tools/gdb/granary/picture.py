"""picture.py - `heap map FILE.svg`: the kernel pool as the prompt's `map 0` shows it, a square for each frame."""

import re
from html import escape
from itertools import groupby

COLUMNS, SIDE = 64, 12  # of a square: pixels
USES = {".": ("#d8d8d8", "free"), "#": ("#ee9944", "large area"), "+": ("#2299bb", "held outside the heap"),
        "!": ("#cc2222", "corrupt")}
SMALL = "#33aa55"
# Seen on a light and a dark ground alike.
INK = "#808080"


def look(cell):
    """Colour, how full, words."""
    if cell.isdigit():
        return SMALL, 0.25 + 0.75 * int(cell) / 8, f"blocks, {cell} eighths live"
    return USES[cell][0], 1.0, USES[cell][1]


def rows(lines):
    """(number of the first frame, cells), rows that the map has left out as well."""
    before = ""
    for line in lines:
        row, skipped = re.match(r" *(\d+) (.*)", line), re.match(r" *\.\.\. (\d+) more row", line)
        for _ in range(int(skipped[1]) if skipped else 0):
            yield before
        if row and not skipped:
            before = row[2].ljust(COLUMNS)
            yield before


def squares(cells, row):
    """Neighbours that are alike are one rectangle."""
    at = 0
    for cell, group in groupby(cells):
        count = len(list(group))
        first, last = row * COLUMNS + at, row * COLUMNS + at + count - 1
        if cell != " ":
            colour, full, words = look(cell)
            frames = f"frame {first}" if count == 1 else f"frames {first} to {last}"
            yield (f'<rect x="{10 + at * SIDE}" y="{50 + row * SIDE}" width="{count * SIDE - 1}" height="{SIDE - 1}" '
                   f'fill="{colour}" fill-opacity="{full:.2f}"><title>{frames}: {words}</title></rect>')
        at += count


def svg(lines):
    """`lines`: what `map 0` prints, without colours."""
    title, *rest = lines
    made = list(rows(rest))
    width, height = COLUMNS * SIDE + 20, len(made) * SIDE + 70
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="{INK}">')
    yield f"<title>{escape(title)}</title>"
    yield f'<text x="10" y="18">{escape(title)}</text>'
    x = 10
    for colour, name in [(SMALL, "blocks"), *USES.values()]:
        yield f'<rect x="{x}" y="28" width="10" height="10" fill="{colour}"/><text x="{x + 14}" y="37">{name}</text>'
        x += 30 + 7 * len(name)
    for row, cells in enumerate(made):
        yield from squares(cells, row)
    yield "</svg>"
