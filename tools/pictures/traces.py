"""traces.py - what becomes of the memory of a recorded program: over its life, by size, and in instructions.

The first two are replayed by tools/pictures/sample.c, which is kernel/memory.c on the host; the third in the kernel
itself, whose replayer counts each call (kernel/measure/replay.c).
"""

import os
import subprocess
import tempfile

import booted  # first: it shows Python where tools/ is
import replay
import traceformat as fmt
from style import BLUE, INK, ORANGE, RED, SKY, WIDTH, Problem, matplotlib, pyplot, save

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TABLES = {"seed": (SKY, "-"), "fine": (BLUE, (0, (5, 2)))}
POINTS = 400  # of a line: more than can be seen
SHARE = 0.9999


def trace_path(name):
    """A file, or the trace of that name in tests/traces."""
    stored = os.path.join(ROOT, "tests", "traces", f"{name}.mtrace.xz")
    return name if os.path.sep in name or not os.path.exists(stored) else stored


def read(name):
    """The trace, as tools/traceformat.py has it."""
    try:
        return fmt.load(trace_path(name))
    except fmt.TraceError as error:
        raise Problem(str(error)) from None


def sample(program, trace, table):
    """{"at": [(operation, live, blocks, frames)], "peak": [(frames,)], "size": [(size, requests, usable)]}."""
    with tempfile.NamedTemporaryFile(prefix="granary-pictures-") as file:
        file.write(fmt.to_bytes(read(trace)))
        file.flush()
        try:
            done = subprocess.run([program, file.name, table, str(POINTS)], capture_output=True, text=True, check=False)
        except OSError as error:
            raise Problem(f"{program}: {error.strerror}: make pictures builds it") from None
    if done.returncode != 0:
        raise Problem(done.stderr.strip() or f"{program} failed")
    found = {"at": [], "peak": [], "size": []}
    for line in done.stdout.splitlines():
        kind, *numbers = line.split()
        found[kind].append([int(number) for number in numbers])
    return found


def samples(program, trace):
    return {"trace": fmt.trace_name(trace), "tables": {table: sample(program, trace, table) for table in TABLES}}


def head(axes, words):
    axes.set_title(words, loc="left", fontsize=11)


def over_all(figure, words, y):
    figure.suptitle(words, x=0.125, y=y, ha="left", fontsize=13, fontweight="bold")


def thousands(axis):
    axis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))


def fragmentation_facts(found):
    return {"trace": found["trace"], "tables": {table: {kind: points[kind] for kind in ("at", "peak")}
                                                for table, points in found["tables"].items()}}


def fragmentation(stated, folder):
    """Live bytes, the blocks they lie in, and the frames that are held: the distance is what is lost."""
    figure, row = pyplot.subplots(1, 2, figsize=(WIDTH + 1.5, 4.2), sharey=True, gridspec_kw={"wspace": 0.08})
    for axes, table in zip(row, TABLES):
        points = stated["facts"]["tables"][table]["at"]
        done = [point[0] for point in points]
        live, blocks = ([point[k] / 1024 for point in points] for k in (1, 2))
        frames = [point[3] * 4 for point in points]
        axes.fill_between(done, live, blocks, color=ORANGE, alpha=0.45, linewidth=0, label="lost in blocks: rounded up")
        axes.fill_between(done, blocks, frames, color=RED, alpha=0.55, linewidth=0, hatch="///", edgecolor=INK,
                          label="lost in frames: blocks that are free")
        axes.plot(done, frames, color=INK, linewidth=1.6, label="frames held")
        axes.plot(done, live, color=BLUE, linewidth=1.6, linestyle=(0, (5, 1.5)), label="bytes asked for and live")
        head(axes, f"sizes={table}: at most {stated['facts']['tables'][table]['peak'][0][0]:,} frames")
        axes.set_xlabel("operations")
        axes.set_xlim(0, done[-1])
        thousands(axes.xaxis)
        axes.grid()
    row[0].set_ylabel("KiB")
    row[0].set_ylim(0)
    thousands(row[0].yaxis)
    figure.legend(*row[0].get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=2,
                  frameon=False, fontsize=9.5)
    over_all(figure, f"The memory of {stated['facts']['trace']}, over its life", 1.0)
    return save(figure, folder, "fragmentation", stated)


def steps(points):
    """(x, y) of a line that stays at each value until the next."""
    xs, ys = [], []
    for before, (x, y) in zip([(0, 0)] + points, points):
        xs += [x, x]
        ys += [before[1], y]
    return xs, ys


SIZE_MAX = 16384


def classes_facts(found):
    return {"trace": found["trace"], "tables": {table: points["size"] for table, points in found["tables"].items()}}


def classes(stated, folder):
    """By the size that was asked for: what one block loses, and what all requests have lost up to there."""
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(WIDTH, 6.4), sharex=True, gridspec_kw={"hspace": 0.25})
    for table, (colour, dashes) in TABLES.items():
        sizes = [entry for entry in stated["facts"]["tables"][table] if entry[0] <= SIZE_MAX]
        lost = [(size, 100 * (usable - size) / usable) for size, _, usable in sizes]
        total, sums = 0, []
        for size, requests, usable in sizes:
            total += requests * (usable - size)
            sums.append((size, total / 1024))
        upper.scatter(*zip(*lost), s=14 if table == "seed" else 20, color=colour, label=table, zorder=3,
                      marker="o" if table == "seed" else "P", linewidths=0)
        lower.plot(*steps(sums), color=colour, linewidth=2, linestyle=dashes, label=f"{table}: {sums[-1][1]:,.0f} KiB")
    upper.set_xscale("log", base=2)
    upper.set_xlim(1, SIZE_MAX)
    upper.xaxis.set_major_locator(matplotlib.ticker.LogLocator(base=2, numticks=20))
    upper.xaxis.set_major_formatter(lambda x, _: f"{x:g}" if x < 1024 else f"{x / 1024:g} Ki")
    upper.set_ylim(0, 100)
    upper.set_ylabel("per cent of its block")
    head(upper, "one request: how much of its block is lost")
    lower.set_ylabel("KiB")
    lower.set_ylim(0)
    thousands(lower.yaxis)
    lower.set_xlabel("bytes asked for")
    head(lower, "all requests up to this size: what they lost together")
    for axes in (upper, lower):
        axes.grid()
        axes.legend(loc="upper right" if axes is upper else "upper left")
    over_all(figure, f"Two tables of block sizes, and what {stated['facts']['trace']} asked for", 0.96)
    return save(figure, folder, "classes", stated)


# ---- instructions -------------------------------------------------------------------------------

def rank(calls, share):
    """Nearest rank, as kernel/measure/replay.c has it."""
    wanted, seen = -(-sum(count for _, count in calls) * int(share * 10000) // 10000), 0
    for cost, count in calls:
        seen += count
        if seen >= wanted:
            return cost
    return calls[-1][0]


def mark(axes, x, words, side):
    """A line with words to its left (-1) or right (1)."""
    axes.axvline(x, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(words, (x, 0.93), xycoords=("data", "axes fraction"), xytext=(5 * side, 0),
                  textcoords="offset points", fontsize=9.5, va="center", ha="left" if side > 0 else "right")


def replayed(build, trace):
    """How many calls cost how many instructions: every call of the trace, none left out."""
    name, found = fmt.trace_name(trace), read(trace)
    args, mem = f"batch replay={name} sizes=seed", replay.default_mem(found)
    return {"trace": name, "calls": booted.look("replay", build, args, mem, fmt.to_bytes(found))["calls"]}


def latency_facts(found):
    return found


def latency(stated, folder):
    name, calls = stated["facts"]["trace"], stated["facts"]["calls"]
    number = sum(count for _, count in calls)
    figure, axes = pyplot.subplots(figsize=(WIDTH, 4.2))
    axes.bar([cost for cost, _ in calls], [count for _, count in calls], width=2.2, color=BLUE)
    axes.set_yscale("log")
    axes.set_ylim(0.7, max(count for _, count in calls) * 4)
    axes.set_xlim(0, calls[-1][0] * 1.2)
    thousands(axes.yaxis)
    axes.grid(axis="y")
    mean = sum(cost * count for cost, count in calls) / number
    mark(axes, mean, f"mean {mean:.1f}", 1)
    mark(axes, rank(calls, SHARE), f"99.99 %: {rank(calls, SHARE)}", -1)
    mark(axes, calls[-1][0], f"largest {calls[-1][0]}", 1)
    axes.set_xlabel("instructions of one call")
    axes.set_ylabel("calls")
    axes.set_title(f"All {number:,} calls of {name}, in the kernel, sizes=seed", loc="left", fontsize=13,
                   fontweight="bold", pad=12)
    return save(figure, folder, "latency", stated)
