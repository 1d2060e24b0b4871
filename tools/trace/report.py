"""report.py - what a trace holds, in words: its operations, and figures about them.

Lifetimes are counted in operations of the trace, from the one that allocates a block to the one that frees it: a trace
knows no seconds. A realloc goes on with the same block.
"""

from collections import Counter

import traceformat as fmt

NAME_WIDTH = max(map(len, fmt.KIND_NAMES))
TOP_SIZES = 12


def header_line(trace):
    return f"{fmt.operation_count(trace)} operations, {trace.slots} slots, peak {trace.peak} bytes"


def operation_lines(trace, limit=None):
    """A line an operation, `limit` of them at most: number, kind, slot, size, and what was there before."""
    sizes = {}
    width = len(str(max(fmt.operation_count(trace) - 1, 0)))
    for number, (kind, slot, size) in enumerate(fmt.operations(trace)):
        if number == limit:
            yield f"... {fmt.operation_count(trace) - number} more"
            return
        line = f"{number:>{width}}  {fmt.KIND_NAMES[kind]:<{NAME_WIDTH}}  slot {slot}"
        if kind == fmt.FREE:
            line += f"  ({sizes.pop(slot)})"
        else:
            line += f"  {size}" + (f"  (was {sizes[slot]})" if kind == fmt.REALLOC else "")
            sizes[slot] = size
        yield line


class Figures:
    """Counts over a whole trace."""

    def __init__(self, trace):
        self.kinds = Counter()
        self.sizes = Counter()      # of requests, realloc's too
        self.lives = Counter()      # by bit length of the lifetime
        self.moves = Counter()      # reallocs: "grows", "shrinks", "stays"
        self.live = {}              # slot: (size, number of the operation it was born in)
        self.bytes = self.peak_at = self.most_blocks = 0
        self.peak = 0
        for number, operation in enumerate(fmt.operations(trace)):
            self.add(number, *operation)

    def add(self, number, kind, slot, size):
        self.kinds[kind] += 1
        old, born = self.live.pop(slot, (0, number))
        self.bytes += size - old
        if kind == fmt.FREE:
            self.lives[(number - born).bit_length()] += 1
            return
        self.live[slot] = size, born
        self.sizes[size] += 1
        if kind == fmt.REALLOC:
            self.moves["grows" if size > old else "shrinks" if size < old else "stays"] += 1
        if self.bytes > self.peak:
            self.peak, self.peak_at = self.bytes, number
        self.most_blocks = max(self.most_blocks, len(self.live))


def share(part, whole):
    return f"{100 * part / whole:5.1f} %" if whole else "  0.0 %"


def size_lines(sizes):
    """Requests by powers of two: 17 to 32 is one line, as those go into a block of 32."""
    buckets, amounts = Counter(), Counter()
    for size, count in sizes.items():
        buckets[(size - 1).bit_length()] += count
        amounts[(size - 1).bit_length()] += count * size
    requests, amount = sum(buckets.values()), sum(amounts.values())
    yield f"{'bytes':>23}  {'requests':>9}           of the bytes asked for"
    for bits in sorted(buckets):
        span = "1" if bits == 0 else f"{(1 << bits - 1) + 1} .. {1 << bits}"
        yield (f"{span:>23}  {buckets[bits]:>9}  {share(buckets[bits], requests)}  "
               f"{share(amounts[bits], amount)}")


def life_lines(figures):
    freed = sum(figures.lives.values())
    yield f"{'lifetime in operations':>23}  {'blocks':>9}"
    for bits in sorted(figures.lives):
        span = f"{1 << bits - 1} .. {(1 << bits) - 1}" if bits > 1 else "1"
        yield f"{span:>23}  {figures.lives[bits]:>9}  {share(figures.lives[bits], freed)}"
    yield f"{'live at the end':>23}  {len(figures.live):>9}"


def stats_lines(trace):
    """Everything `dump --stats` says after the first line."""
    figures = Figures(trace)
    yield "  ".join(f"{name} {figures.kinds[kind]}" for kind, name in enumerate(fmt.KIND_NAMES))
    if figures.moves:
        yield "reallocs: " + "  ".join(f"{name} {count}" for name, count in sorted(figures.moves.items()))
    yield (f"peak: {figures.peak} bytes at operation {figures.peak_at}; at most {figures.most_blocks} blocks live; "
           f"{figures.bytes} bytes in {len(figures.live)} blocks at the end")
    yield ""
    yield from size_lines(figures.sizes)
    yield ""
    yield from life_lines(figures)
    yield ""
    common = sorted(figures.sizes.items(), key=lambda item: (-item[1], item[0]))[:TOP_SIZES]
    yield "most asked for: " + "  ".join(f"{size} ({count})" for size, count in common)
