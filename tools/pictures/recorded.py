"""recorded.py - a run of the kernel as its records tell it (docs/events.md): what lived where, and who called.

    pictures.py --events my.events --out folder

Drawn from the records alone, so that a file that QEMU wrote with `-serial file:` will do: no kernel, no debugger. The
other two pictures of such a file are those of the trace that is made of it (tools/pictures/traces.py).
"""

import bisect
import os
import sys
from collections import Counter

import booted  # noqa: F401 pylint: disable=unused-import  # first: it shows Python where tools/ is
from style import BLUE, GREEN, INK, ORANGE, PURPLE, RED, SKY, WIDTH, Problem, matplotlib, pyplot, save

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "trace"))

import eventlog  # noqa: E402 (the line above makes it findable)
import traceformat as fmt  # noqa: E402

COLUMNS = 240      # of the raster: more than can be seen
FRAME = 4096
STEPS = 9          # of how full a frame is
FRAMES_MOST = 512  # that were ever used: above it several share a row
THREADS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)


class Heap:
    """What lives, as the records say: of each pointer the bytes asked for; of each frame the bytes in it."""

    def __init__(self, base):
        self.base, self.size_of, self.bytes_in, self.live = base, {}, Counter(), 0

    def put(self, pointer, size, sign):
        self.live += sign * size
        at, end = pointer - self.base, pointer - self.base + max(size, 1)
        while at < end:
            stop = min(end, (at // FRAME + 1) * FRAME)
            self.bytes_in[at // FRAME] += sign * (stop - at)
            at = stop

    def gone(self, pointer):
        if pointer in self.size_of:
            self.put(pointer, self.size_of.pop(pointer), -1)

    def call(self, event):
        if event.refused:
            return
        if event.kind == eventlog.FREE or event.kind == eventlog.REALLOC and (event.result or not event.size):
            self.gone(event.pointer)
        if event.result:
            self.gone(event.result)  # its free came before the first record
            self.size_of[event.result] = event.size
            self.put(event.result, event.size, 1)


def events_facts(found):
    """found: (name, head, [Event])."""
    name, head, events = found
    ends = sorted({-(-len(events) * column // COLUMNS) for column in range(1, COLUMNS + 1)})
    heap, columns, callers = Heap(head.heap_base), [], {}
    for number, event in enumerate(events, 1):
        heap.call(event)
        column = bisect.bisect_left(ends, number)
        callers.setdefault(str(event.tid), [0] * len(ends))[column] += 1
        if number == ends[column]:
            columns.append((heap.live, +heap.bytes_in))
    used = sorted({frame for _, held in columns for frame in held})
    rows = [[min(STEPS, -(-held[frame] * STEPS // FRAME)) for _, held in columns] for frame in used]
    return {"name": name, "calls": len(events), "ends": ends, "live": [live for live, _ in columns],
            "frames": used, "rows": ["".join(map(str, row)) for row in rows], "threads": callers,
            "refused": [number for number, event in enumerate(events, 1) if event.refused]}


def raster(rows):
    """At most FRAMES_MOST rows: neighbours share one, and the fullest is drawn."""
    each = -(-len(rows) // FRAMES_MOST)
    groups = [rows[at:at + each] for at in range(0, len(rows), each)]
    return [[max(int(row[x]) for row in group) for x in range(len(group[0]))] for group in groups]


def events(stated, folder):
    """Bytes live, which frames they lie in, and which thread made the calls: all over the calls."""
    facts = stated["facts"]
    figure, (upper, middle, lower) = pyplot.subplots(3, 1, figsize=(WIDTH, 7.4), sharex=True, gridspec_kw={
        "height_ratios": (2, 3, 1), "hspace": 0.28})
    upper.step(facts["ends"], [live / 1024 for live in facts["live"]], where="post", color=BLUE, linewidth=1.6)
    upper.set_ylabel("KiB")
    upper.set_ylim(0)
    head_line(upper, "bytes asked for and live" + (f"; refused calls: {len(facts['refused'])}" if facts["refused"]
                                                   else ""))
    if facts["refused"]:
        upper.plot(facts["refused"], [0] * len(facts["refused"]), linestyle="none", marker="x", color=RED,
                   markersize=7, clip_on=False)
    edges = [0, *facts["ends"]]
    table = raster(facts["rows"])
    blues = matplotlib.colormaps["Blues"].with_extremes(under=(0, 0, 0, 0))  # an empty frame is the ground
    middle.pcolormesh(edges, range(len(table) + 1), table, cmap=blues, vmin=0.5, vmax=STEPS, rasterized=True)
    middle.set_ylim(len(table), 0)
    middle.set_ylabel("frames that were used")
    head_line(middle, f"how full each of {len(facts['frames'])} frames is, the lowest address first: darker is fuller")
    bottom = [0] * len(facts["ends"])
    widths = [end - start for start, end in zip(edges, facts["ends"])]
    for place, (tid, counts) in enumerate(sorted(facts["threads"].items(), key=lambda item: int(item[0]))):
        shares = [count / width for count, width in zip(counts, widths)]
        lower.bar(edges[:-1], shares, widths, bottom, align="edge", color=THREADS[place % len(THREADS)],
                  hatch=("", "//", "..")[place // len(THREADS) % 3], label=f"thread {tid}" if tid != "0" else "boot")
        bottom = [low + share for low, share in zip(bottom, shares)]
    lower.set_ylim(0, 1)
    lower.set_yticks([])
    lower.set_xlabel("calls of the heap")
    lower.set_xlim(0, facts["calls"])
    head_line(lower, "which thread made the calls")
    lower.legend(loc="upper center", bbox_to_anchor=(0.5, -0.55), ncol=6, frameon=False, fontsize=9.5)
    figure.suptitle(f"{facts['calls']:,} calls of the heap, as {facts['name']} has them", x=0.125, y=0.95, ha="left",
                    fontsize=13, fontweight="bold")
    return save(figure, folder, "events", stated)


def head_line(axes, words):
    axes.set_title(words, loc="left", fontsize=11, color=INK)


def load(path):
    """(name, head, [Event]) of a file of records."""
    try:
        head, found = eventlog.load(path)
    except fmt.TraceError as error:
        raise Problem(str(error)) from None
    if not found:
        raise Problem(f"{path}: no call is in it")
    return os.path.basename(path), head, found


def trace_of(path, folder):
    """The path of the trace that is made of the records."""
    try:
        trace, _ = eventlog.convert(path)
    except fmt.TraceError as error:
        raise Problem(str(error)) from None
    made = os.path.join(folder, os.path.splitext(os.path.basename(path))[0] + ".mtrace")
    fmt.save(made, trace)
    return made
