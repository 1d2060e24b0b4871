"""plots.py - the pictures of `make bench`, with matplotlib: dots for ratios, lines for growth.

The ground is transparent, and the letters on it are a grey that reads on white and on black; colours are those of
M. Okabe and K. Ito (2008), told apart by people who do not see red and green, and each allocator has a mark of its
own as well. The files hold no date and no random name: the same figures give the same bytes. Each SVG carries the
figures that it shows, as JSON: tests/e2e/test_pictures.py compares them with the tables of docs/bench.md.
"""

import json
import os

import stats
from cli import missing
from host import base
from inkernel import TABLES
from tables import footprint_ratios, good, trace_ratios

try:
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
except ImportError as error:
    raise missing("python3-matplotlib") from error

STYLE = {  # allocator: colour, mark
    "glibc": ("#808080", "s"), "mimalloc-2": ("#D55E00", "D"), "mimalloc-3": ("#E69F00", "d"),
    "jemalloc": ("#009E73", "^"), "tcmalloc": ("#CC79A7", "v"),
    "granary-seed": ("#56B4E9", "o"), "granary-fine": ("#0072B2", "P"),
    "seed": ("#56B4E9", "o"), "fine": ("#0072B2", "P"),
}
INK = "#767676"
SETTINGS = {"svg.hashsalt": "granary", "font.size": 11, "axes.spines.top": False, "axes.spines.right": False,
            "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "text.color": INK,
            "axes.edgecolor": INK, "axes.labelcolor": INK, "axes.titlecolor": INK, "xtick.color": INK,
            "ytick.color": INK, "grid.color": INK, "grid.alpha": 0.3, "legend.labelcolor": INK,
            "axes.axisbelow": True, "font.family": "DejaVu Sans"}
WIDTH = 9.0  # inches
SIZE = {"o": 150, "P": 75}  # our two are often in the same place: a cross on a larger disc shows both


def save(figure, folder, name, shown):
    """Writes the picture as SVG (for documents) and PNG (to look at)."""
    about = {"Date": None, "Description": json.dumps(shown, sort_keys=True)}
    for ending in ("svg", "png"):
        figure.savefig(os.path.join(folder, f"{name}.{ending}"), bbox_inches="tight", pad_inches=0.25, dpi=110,
                       metadata=about if ending == "svg" else None)
    pyplot.close(figure)


def dots(folder, name, title, rows, names, axis, line):
    """A row of marks for each trace: `rows` is [(label, {name: value})], the last one the mean."""
    figure, axes = pyplot.subplots(figsize=(WIDTH, 1.6 + 0.46 * len(rows)))
    low = min(value for _, row in rows for value in row.values())
    high = max(value for _, row in rows for value in row.values())
    for place, (_, row) in enumerate(rows):
        axes.plot([min(row.values()), max(row.values())], [place, place], color=INK, alpha=0.4, linewidth=1.5, zorder=1)
    for who in names:
        colour, mark = STYLE[who]
        points = [(row[who], place) for place, (_, row) in enumerate(rows) if who in row]
        axes.scatter([x for x, _ in points], [y for _, y in points], s=SIZE.get(mark, 62), color=colour,
                     marker=mark, label=who,
                     edgecolors="white", linewidths=0.7, zorder={"o": 4, "P": 5}.get(mark, 3))
    axes.axvline(line, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    axes.axhline(len(rows) - 1.5, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.get_yticklabels()[-1].set_fontweight("bold")
    if high / low > 4:  # far apart: steps that multiply
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.grid(axis="x")
    axes.set_xlabel(axis)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=34)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncol=len(names), frameon=False, handletextpad=0.1,
                columnspacing=1.2, borderaxespad=0.2)
    save(figure, folder, name, rows)


def with_mean(table, names):
    """[(trace, {name: value})] with the geometric means as the last row."""
    rows = list(table.items())
    rows.append(("geometric mean", {n: stats.geomean(row[n] for _, row in rows if n in row) for n in names}))
    return rows


def by_trace(figures, measure):
    """{trace: {allocator: value}} of a measure that gives {trace: value} for an allocator."""
    table = {}
    for name in figures["allocators"]:
        for trace, value in measure(figures, name).items():
            table.setdefault(trace, {})[name] = value
    return table


def speed(figures, folder):
    names = figures["allocators"]
    dots(folder, "bench-speed", f"Time per operation over {base(figures)}'s",
         with_mean(by_trace(figures, trace_ratios), names), names, "ratio, left is faster", 1.0)


def footprint(figures, folder):
    names = figures["allocators"]
    dots(folder, "bench-footprint", "Peak resident memory over peak live bytes",
         with_mean(by_trace(figures, footprint_ratios), names), names,
         "ratio, left is tighter; at 1 no memory would be lost", 1.0)


def label_ends(axes, ends):
    """Names at the lines' right ends, moved apart where they would overlap (log scale)."""
    axes.figure.canvas.draw()
    to_pixels, back = axes.transData, axes.transData.inverted()
    placed = []
    for who, x, y in sorted(ends, key=lambda end: end[2]):
        pixel = to_pixels.transform((x, y))[1]
        if placed and pixel < placed[-1] + 17:
            pixel = placed[-1] + 17
        placed.append(pixel)
        axes.annotate(who, (x, back.transform((0, pixel))[1]), xytext=(7, 0), textcoords="offset points", va="center",
                      color=STYLE[who][0], fontsize=10, fontweight="bold" if who.startswith("granary") else "normal",
                      annotation_clip=False)


def growth_panel(axes, lines, title, log):
    """`lines`: {who: [(live, cost)]}. Returns the lines' ends, for label_ends()."""
    for who, points in lines.items():
        colour, mark = STYLE[who]
        axes.plot([x for x, _ in points], [y for _, y in points], color=colour, marker=mark, markersize=6.5,
                  linewidth=2, markeredgecolor="white")
    axes.set_xscale("log")
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    else:
        axes.set_ylim(0, 1.1 * max(y for points in lines.values() for _, y in points))
    axes.grid()
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel("live objects")
    return [(who, *points[-1]) for who, points in lines.items()]


def growth_lines(table, fold):
    """{who: [(live, cost)]} of the patterns live_N."""
    lines = {}
    for pattern, row in table.items():
        if pattern.startswith("live_"):
            for who, value in row.items():
                lines.setdefault(who, []).append((int(pattern[5:]), fold(value)))
    return {who: sorted(points) for who, points in lines.items()}


def kernel_lines(figures):
    """The same of the kernel's own patterns, in the largest machine that was measured."""
    lines = {}
    for table, sizes in figures["kernel_micro"].items():
        largest = max(sizes, key=int)
        points = [(line["live"], line["insn"]) for line in sizes[largest]
                  if line.get("name", "").startswith("live_") and "insn" in line]
        if points:
            lines[table] = sorted(points)
    return lines


def growth(figures, folder):
    panels = [(growth_lines(figures["micro_ns"], stats.median), "nanoseconds, caches and all", True),
              (growth_lines(figures["micro_insn"], float), "instructions, 64-bit, this machine", False),
              (kernel_lines(figures), "instructions, 32-bit, in the kernel", False)]
    growth_panels([panel for panel in panels if panel[0]], folder)


def growth_panels(panels, folder):
    figure, row = pyplot.subplots(1, len(panels), figsize=(WIDTH + 5, 4.4), gridspec_kw={"wspace": 0.75}, squeeze=False)
    ends = [growth_panel(axes, *panel) for axes, panel in zip(row[0], panels)]
    figure.suptitle("A malloc and free pair while live objects grow", x=0.08, y=1.02, ha="left", fontsize=13,
                    fontweight="bold")
    for axes, end in zip(row[0], ends):
        label_ends(axes, end)
    save(figure, folder, "bench-growth", [[title, lines] for lines, title, _ in panels])


def kernel(figures, folder):
    names = [table for table in TABLES if good(figures, table)]
    if not names:
        return
    traces = [trace for trace in figures["kernel_replay"] if all(trace in good(figures, table) for table in names)]
    rows = {trace: {table: good(figures, table)[trace]["insn_per_op"] for table in names} for trace in traces}
    dots(folder, "bench-kernel", "In the kernel: instructions per operation", with_mean(rows, names), names,
         "instructions; the dashed line is the figure to reach for the mean", 50)


def draw(figures, folder):
    """Every picture, into `folder`. Returns the names of the files made."""
    before = set(os.listdir(folder))
    with pyplot.rc_context(SETTINGS):
        for part in (speed, footprint, growth, kernel):
            part(figures, folder)
    return sorted(name for name in os.listdir(folder) if name.startswith("bench-") or name not in before)
