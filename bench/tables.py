"""tables.py - the figures of `make bench` as text: one function a table, each from the figures alone.

Everything printed is computed here from the saved figures (build/bench/figures.json), so an old run can be
printed again. A `-` means not measured, or failed; means are over what there is, and what failed is
listed by name.
"""

import stats
from host import base
from inkernel import PROCESSORS, TABLES
from programs import THREADED

KIB = 1024


def cell(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def aligned(rows, left=1):
    """Rows of cells as lines: the first `left` columns to the left, the others to the right."""
    rows = [[str(text) for text in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [text.ljust(width) if i < left else text.rjust(width)
                 for i, (text, width) in enumerate(zip(row, widths))]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def titled(title, lines):
    return [title, "-" * len(title), *lines, ""]


# ---- on this machine ---------------------------------------------------------------------------------------------

def trace_ratios(figures, name, table="speed"):
    """{trace: an allocator's time over the base's}, the median over the rounds of the paired ratios."""
    other = base(figures)
    return {trace: stats.paired_ratio(row[name], row[other]) for trace, row in figures[table].items()
            if name in row and other in row}


def mean_speed(figures, name, table="speed"):
    return stats.mean_ratio(figures[table], name, base(figures))


def range_text(bounds):
    return "-" if bounds is None else f"{bounds[0]:.2f}-{bounds[1]:.2f}"


def speed(figures):
    names = figures["allocators"]
    times = [["trace", "loop", *names]]
    for trace, row in figures["speed"].items():
        times.append([trace, *(cell(stats.median(row[n]) if n in row else None, 1) for n in ["loop", *names])])
    each = {name: trace_ratios(figures, name) for name in names}
    ratios = [["trace", *names]]
    for trace in figures["speed"]:
        ratios.append([trace, *(cell(each[n].get(trace)) for n in names)])
    ratios.append(["geometric mean", *(cell(mean_speed(figures, n)) for n in names)])
    ratios.append(["  of single rounds",
                   *(range_text(stats.round_range(figures["speed"], n, base(figures))) for n in names)])
    ratios.append(["a thread sleeps, mean", *(cell(mean_speed(figures, n, "asleep")) for n in names)])
    ratios.append(["fresh memory, mean", *(cell(mean_speed(figures, n, "cold")) for n in names)])
    return (titled("Time per operation, ns, in a warm heap (loop: the replayer's own share of every figure)",
                   aligned(times))
            + titled(f"The same over {base(figures)}'s, median of {figures['rounds']} interleaved rounds",
                     aligned(ratios)))


def footprint_ratios(figures, name):
    """{trace: peak resident bytes over peak live bytes}"""
    return {trace: row[name]["peak"] / row[name]["live_peak"] for trace, row in figures["footprint"].items()
            if name in row}


def start_text(figures, name):
    """KiB of anonymous memory before the program's first call, above glibc's, in the first trace's process."""
    row = next(iter(figures["footprint"].values()))
    return str((row[name]["start"] - row["glibc"]["start"]) // KIB) if name in row and "glibc" in row else "-"


def held_text(row, name):
    if name not in row:
        return "-"
    return "/".join(str(max(0, row[name][key]) // KIB) for key in ("held", "trimmed"))


def footprint(figures):
    names = figures["allocators"]
    each = {name: footprint_ratios(figures, name) for name in names}
    rows = [["trace", "live KiB", *names]]
    held = [["trace", *names]]
    for trace, row in figures["footprint"].items():
        rows.append([trace, figures["traces"][trace]["live_peak"] // KIB, *(cell(each[n].get(trace)) for n in names)])
        held.append([trace, *(held_text(row, n) for n in names)])
    rows.append(["geometric mean", "", *(cell(stats.geomean(each[n].values())) for n in names)])
    rows.append(["before any call, KiB", "", *(start_text(figures, n) for n in names)])
    trims = {f"{name.split('-')[0]} {line['trim'].split()[0]}"
             for row in figures["footprint"].values() for name, line in row.items()}
    return (titled("Peak resident memory over peak live bytes (growth since main, own records counted)", aligned(rows))
            + titled("Still resident after everything is freed / after a trim call, KiB",
                     aligned(held) + ["  trim calls:"] + [f"    {trim}" for trim in sorted(trims)]))


def worst_text(row, name):
    return f"{row[name]['p9999_ns']}/{row[name]['worst_ns'] / 1000:.1f}" if name in row else "-"


def worst(figures):
    names = figures["allocators"]
    table = figures["worst"]
    rows = [["trace", *names]]
    for trace, row in table.items():
        rows.append([trace, *(worst_text(row, n) for n in names)])
    slowest = {n: max((row[n]["worst_ns"] for row in table.values() if n in row), default=None) for n in names}
    rows.append(["slowest of all, us", *(cell(slowest[n] and slowest[n] / 1000, 1) for n in names)])
    return titled("Slow calls: 99.99th percentile in ns / worst single call in us (clearing, copying, page faults in)",
                  aligned(rows))


def micro(figures):
    names = figures["allocators"]
    times, counts = [["pattern", *names]], [["pattern", *names]]
    for pattern, row in figures["micro_ns"].items():
        times.append([pattern, *(cell(stats.median(row[n]) if n in row else None, 1) for n in names)])
        counted = figures["micro_insn"].get(pattern, {})
        counts.append([pattern, *(cell(counted.get(n), 0) for n in names)])
    return (titled("Patterns, ns for a pair of malloc and free (a loop of 1 to 3 ns in it)", aligned(times))
            + titled("Patterns, instructions for a pair on this machine (callgrind; the loop taken off)",
                     aligned(counts)))


def threads(figures):
    names = figures["allocators"]
    lines = []
    for what, title in (("ns", "ns of processor time for a pair of malloc and free (the loop's own in it)"),
                        ("wall_ns", "the same on the clock: what passes while one pair more is done, by any of them"),
                        ("p99_ns", "ns on the clock that one pair of 20,000 bytes in a hundred exceeds")):
        rows = [["mode, threads", *names]]
        for mode, row in figures["threads"][what].items():
            rows.append([mode, *(cell(stats.median(row[n]) if n in row else None, 1) for n in names)])
        lines += titled(f"Threads, {title}", aligned(rows))
    return lines


def locked(figures):
    names = figures["allocators"]
    table = figures["locked"]
    rows = [["mode, threads", *names]]
    for mode, row in table.items():
        rows.append([mode, *(cell(row[n]["locked"], 3) for n in names)])
    pool = {n: max(row[n]["pool"] for row in table.values()) for n in names}
    rows.append(["the pool's lock, most", *(cell(pool[n] or None, 4) for n in names)])
    return titled("Threads, instructions for a pair that lock a cache line (callgrind)", aligned(rows))


def thread_ratio(figures, name, peer, modes, what="ns"):
    """The worst of an allocator's times over a peer's, over the modes; None without either."""
    table = figures["threads"][what]
    return max((stats.median(table[mode][name]) / stats.median(table[mode][peer]) for mode in modes
                if name in table.get(mode, {}) and peer in table[mode]), default=None)


def thread_time(figures, name, mode, what, of=stats.median):
    """An allocator's time in a mode, `of` its rounds; or None."""
    values = figures["threads"][what].get(mode, {}).get(name)
    return of(values) if values else None


def clears_text(lines):
    """Whether malloc clears: seen only where freed memory came back."""
    seen = [line for line in lines if line["again"] == "yes"]
    return "-" if not seen else "no" if any(line["old"] for line in seen) else "yes"


def probes(figures):
    names = figures["allocators"]
    table = figures["probes"]
    rows = [["what", *names], ["malloc clears", *(clears_text(table[n]["zero"]) for n in names)]]
    for misuse in table[names[0]]["misuse"]:
        rows.append([misuse, *(table[n]["misuse"][misuse] for n in names)])
    return titled("Who clears, and what a wrong free leads to", aligned(rows) + [
        "  refused: reported, heap intact   aborted: process ended on purpose   crashed: the pointer was followed",
        "  harmed: a block given out twice or inside another, or a hang   silent: nothing said, no harm found"])


def program_ratio(figures, program, name, key):
    row = figures["programs"][program]
    return stats.paired_ratio(row[name][key], row["glibc"][key]) if name in row and "glibc" in row else None


def program_mean(figures, name, key, only=None):
    """Geometric mean of the ratios to glibc, of all programs or `only` these; None if one failed, or was not in the
    run: a mean without it would flatter."""
    measured = figures["programs"]
    ratios = [program_ratio(figures, program, name, key) if program in measured else None
              for program in only or measured]
    return None if None in ratios else stats.geomean(ratios)


def program_text(time, size):
    return f"{cell(time)} {cell(size)}"


def programs(figures):
    names = [name for name in figures["allocators"] if name != "glibc"]
    rows = [["program", "glibc ms", "MiB", *names]]
    for program, row in figures["programs"].items():
        glibc = row["glibc"]
        own = [cell(stats.median(glibc["wall_ns"]) / 1e6, 0), cell(stats.median(glibc["peak_kb"]) / KIB, 0)]
        rows.append([program, *own,
                     *(program_text(program_ratio(figures, program, n, "wall_ns"),
                                    program_ratio(figures, program, n, "peak_kb")) for n in names)])
    for title, only in (("geometric mean", None), ("  of those with threads", THREADED)):
        rows.append([title, "", "", *(program_text(program_mean(figures, n, "wall_ns", only),
                                                   program_mean(figures, n, "peak_kb", only)) for n in names)])
    return titled("Real programs: wall time and largest resident size over glibc's", aligned(rows))


# ---- in the kernel -----------------------------------------------------------------------------------------------

REPLAY_KEYS = (("insn_per_op", "insn/op", 1), ("insn_p50", "p50", 0), ("insn_p9999", "p99.99", 0),
               ("insn_max", "max", 0), ("irqs_off_max", "irqs off", 0), ("footprint", "footprint", 3))


def good(figures, table):
    """The replays with a table of block sizes that worked: {trace: figures}."""
    return {trace: row[table] for trace, row in figures["kernel_replay"].items() if "error" not in row[table]}


def replay_fold(figures, table, key, fold):
    """`fold` over the traces; None if one of them failed: a mean without it would flatter."""
    lines = good(figures, table).values()
    return fold([line[key] for line in lines]) if lines and len(lines) == len(figures["kernel_replay"]) else None


def kernel_replay(figures):
    rows = [["trace", *(title for _, title, _ in REPLAY_KEYS)]]
    for trace, row in figures["kernel_replay"].items():
        rows.append([trace, *(" ".join(cell(row[table].get(key), digits) for table in TABLES)
                              for key, _, digits in REPLAY_KEYS)])
    for title, fold in (("geometric mean", stats.geomean), ("worst", max)):
        rows.append([title, *(" ".join(cell(replay_fold(figures, table, key, fold), digits) for table in TABLES)
                              for key, _, digits in REPLAY_KEYS)])
    return titled(f"In the kernel, 32-bit, QEMU -icount, classes={' and '.join(TABLES)}: instructions of a call, "
                  "frames over live bytes", aligned(rows))


def kernel_sizes(figures):
    """The machines' sizes that were measured, MiB, smallest first."""
    return sorted({int(mem) for per in figures["kernel_micro"].values() for mem in per})


def kernel_insn(figures, table, number, name, key="insn", runs="kernel_micro"):
    """Instructions a pair of one of the kernel's patterns, or None; key "classic": in the seed's own heap. `number`:
    MiB, or of "kernel_crowds" the processors that run it at once."""
    for line in figures[runs].get(table, {}).get(str(number), []):
        if line.get("name") == name and key in line:
            return line[key]
    return None


def kernel_names(figures, runs="kernel_micro"):
    """The patterns' names in the order in which the kernel printed them first."""
    names = []
    for each in figures[runs].values():
        for lines in each.values():
            names += [line["name"] for line in lines if "insn" in line and line["name"] not in names]
    return names


def kernel_micro(figures):
    """A table below the other for each table of block sizes: side by side they are too wide for a page."""
    sizes, lines = kernel_sizes(figures), []
    for table in TABLES:
        rows = [[f"classes={table}", *(f"{mem} MiB" for mem in sizes), "seed's own heap"]]
        for name in kernel_names(figures):
            rows.append([name, *(cell(kernel_insn(figures, table, mem, name), 1) for mem in sizes),
                         cell(kernel_insn(figures, table, sizes[-1], name, "classic"), 1)])
        lines += aligned(rows)
    return titled("In the kernel: instructions for a pair of sys_malloc and sys_free, by memory", lines)


def crowd_insn(figures, table, name):
    """Instructions a pair of a pattern: with one processor, and with more of them that run it at once."""
    return [kernel_insn(figures, table, kernel_sizes(figures)[0], name),
            *(kernel_insn(figures, table, cpus, name, runs="kernel_crowds") for cpus in PROCESSORS)]


def kernel_crowds(figures):
    """Each pattern with one processor, and with more of them that run it at once."""
    rows = [["", *(f"{table}, {cpus}" for table in TABLES for cpus in ("alone", *PROCESSORS))]]
    for name in kernel_names(figures, "kernel_crowds"):
        rows.append([name, *(cell(value, 1) for table in TABLES for value in crowd_insn(figures, table, name))])
    return titled("In the kernel: the same on every processor of the machine at once, by their number", aligned(rows))


def together_values(figures, key, alone=False):
    """{trace: [the figure with 2, ... processors, or None]}; `alone`: with one, first."""
    return {trace: [line.get(key) for cpus, line in row.items() if alone or cpus != "1"]
            for trace, row in figures["kernel_together"].items()}


def together_processors(figures):
    """How many replayed a trace at once, as text: ["2", ...]"""
    return [cpus for cpus in next(iter(figures["kernel_together"].values()), {}) if cpus != "1"]


def kernel_together(figures):
    """A trace on one processor, and on more of them at once."""
    means = together_values(figures, "insn_per_op", alone=True)
    rows = [["", "insn/op alone", *(f"{title}, {number}" for title in ("insn/op", "max", "refused", "irqs off")
                                    for number in together_processors(figures))]]
    others = [together_values(figures, key) for key in ("insn_max", "refused_max", "irqs_off_max")]
    for trace, values in means.items():
        rows.append([trace, *(cell(value, 1) for value in values),
                     *(cell(value, 0) for each in others for value in each[trace])])
    return titled("In the kernel, Bochs: a trace replayed on every processor at once, classes=seed", aligned(rows))


def report(figures):
    """The whole report but for the last table, as lines."""
    machine = figures["machine"]
    lines = [f"{figures['when']}  {machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}, "
             f"{machine['compiler']}" + (", QUICK" if figures["quick"] else ""),
             ", ".join(f"{name} {version}" for name, version in figures["versions"].items()), ""]
    for part in (speed, footprint, worst, micro, threads, locked, probes, programs, kernel_replay, kernel_micro,
                 kernel_crowds, kernel_together):
        lines += part(figures)
    if figures["errors"]:
        lines += titled("What failed", ["  " + line for line in figures["errors"]])
    return lines
