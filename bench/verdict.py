"""verdict.py - the figures that Granary sets itself, and whether this run reached them.

One row a figure: what, the bound, what was measured, met or not. A figure counts for the better of the two built-in
tables of block sizes; both are shown, and where only one of them reaches it, the verdict names that one. What was
not measured is `-`, never `met`; what failed is counted in a row of its own.
"""

import stats
from host import OURS, base
from inkernel import PROCESSORS, TABLES
from programs import THREADED
from tables import (aligned, crowd_insn, footprint_ratios, kernel_insn, kernel_names, kernel_sizes, mean_speed,
                    program_mean, replay_fold, thread_ratio, thread_time, titled, together_processors, together_values,
                    trace_ratios)


class Rows:
    """Collects the rows and counts the verdicts."""

    def __init__(self):
        self.rows = [["figure", "reach", "reached", "verdict"]]
        self.count = {"met": 0, "NOT MET": 0, "-": 0}

    def add(self, what, bound, values, digits=0, unit=""):
        """`values`: {label: measured or None}; at most `bound` is met (None: no bound known)."""
        known = {label: value for label, value in values.items() if value is not None}
        shown = " ".join(f"{label} {value:.{digits}f}{unit}".strip() for label, value in known.items()) or "-"
        if not known or bound is None:
            verdict = "-"
        else:
            good = [label for label, value in known.items() if value <= bound]
            verdict = "met" if good else "NOT MET"
        self.count[verdict] += 1
        if verdict == "met" and len(good) < len(values):
            verdict += ": " + good[0]
        self.rows.append([what, "-" if bound is None else f"<= {bound:.{digits}f}{unit}", shown, verdict])


def ours(measure):
    """{seed: ..., fine: ...} of a measure of an allocator's name."""
    return {name.split("-")[1]: measure(name) for name in OURS}


# These and the replays' bounds are what was reached before there were several processors, where that is below what was
# asked for first.
def kernel_patterns(rows, figures):
    smallest = kernel_sizes(figures)[0]
    for what, bound, name in (("kernel: 32 B pair in a warm arena, instructions", 74, "pair_32"),
                              ("kernel: 1000 x 64 B, then freed in order, a pair", 80, "order_64"),
                              ("kernel: random replace of 10,000 of 1..1024, a pair", 99, "random_1024"),
                              ("kernel: 4,096 B pair", 200, "pair_4096"), ("kernel: 5,000 B pair", 200, "pair_5000"),
                              ("kernel: 64 KiB pair", 200, "pair_65536"),
                              ("kernel: one 16 B block in an empty heap, a pair", 110, "empty_16")):
        rows.add(what, bound, {table: kernel_insn(figures, table, smallest, name) for table in TABLES}, 1)


def kernel_replays(rows, figures):
    for what, bound, key, fold, digits in (
            ("kernel: instructions per operation, mean over traces", 43.6, "insn_per_op", stats.geomean, 1),
            ("kernel: 99.99th percentile, mean over traces", 283, "insn_p9999", stats.geomean, 0),
            ("kernel: worst single call of every trace", 431, "insn_max", max, 0),
            ("kernel: longest stretch with interrupts off", 232, "irqs_off_max", max, 0),
            ("kernel: frames held over live bytes, mean over traces", 1.40, "footprint", stats.geomean, 3)):
        rows.add(what, bound, {table: replay_fold(figures, table, key, fold) for table in TABLES}, digits)


def growth(costs):
    """How much more the dearest costs than the first, in percent; None without two to compare."""
    known = [cost for cost in costs if cost is not None]
    return 100 * (max(known) / known[0] - 1) if len(known) > 1 else None


def memory_growth(figures, table):
    """Of the pattern that grows most with the machine's memory."""
    grown = [growth([kernel_insn(figures, table, mem, name) for mem in kernel_sizes(figures)])
             for name in kernel_names(figures)]
    return max((value for value in grown if value is not None), default=None)


def crowd_growth(figures, table):
    """Of the pattern that grows most with the processors that run it at once."""
    grown = [growth(crowd_insn(figures, table, name)) for name in kernel_names(figures, "kernel_crowds")]
    return max((value for value in grown if value is not None), default=None)


def live_names(figures, start):
    """The patterns live_1000, live_10000 ... or fragmented_..., by their number of live blocks."""
    return sorted((name for name in kernel_names(figures) if name.startswith(start + "_")),
                  key=lambda name: int(name.rpartition("_")[2]))


def kernel_growth(rows, figures):
    sizes = kernel_sizes(figures)
    largest = sizes[-1]
    live, holes = live_names(figures, "live"), live_names(figures, "fragmented")
    span = f", {int(live[0][5:]):,} to {int(live[-1][5:]):,}" if live else ""
    fresh = [holes[0].replace("fragmented", "live"), holes[0]] if holes else []
    for what, names in (("live objects" + span, live), ("fresh to fragmented, equally many live", fresh)):
        rows.add("kernel: growth, " + what, 10, {
            table: growth([kernel_insn(figures, table, largest, name) for name in names]) for table in TABLES}, 1, " %")
    rows.add(f"kernel: growth, {sizes[0]} to {largest} MiB, worst pattern", 10,
             {table: memory_growth(figures, table) for table in TABLES}, 1, " %")
    rows.add(f"kernel: growth, 1 to {PROCESSORS[-1]} processors at once, worst pattern", 10,
             {table: crowd_growth(figures, table) for table in TABLES}, 1, " %")


def kernel_together(rows, figures):
    """Of the trace that fares worst; "-" where a replay failed."""
    def worst(key):
        values = [value for row in together_values(figures, key).values() for value in row]
        return max(values) if values and None not in values else None
    grown = [growth(row) for row in together_values(figures, "insn_per_op", alone=True).values()]
    span = f"{' and '.join(together_processors(figures))} processors, a trace on each"
    rows.add(f"kernel: {span}, growth of an operation", 10,
             {"seed": max(grown) if grown and None not in grown else None}, 1, " %")
    rows.add(f"kernel: {span}, worst single call", 1500, {"seed": worst("insn_max")})
    rows.add(f"kernel: {span}, worst refusal", 1500, {"seed": worst("refused_max")})
    rows.add(f"kernel: {span}, interrupts off", 300, {"seed": worst("irqs_off_max")})


def quotient(part, whole):
    return part / whole if part is not None and whole else None


def over(peer, figures, name):
    return quotient(mean_speed(figures, name), mean_speed(figures, peer))


def host_speed(rows, figures):
    first = base(figures)
    rows.add(f"host: time over {first}'s, mean over traces", 1.0, ours(lambda name: mean_speed(figures, name)), 2)
    rows.add(f"host: the same beside a thread that sleeps, time over {first}'s", 1.1,
             ours(lambda name: mean_speed(figures, name, "asleep")), 2)
    rows.add(f"host: time over {first}'s, worst trace", 1.3,
             ours(lambda name: max(trace_ratios(figures, name).values(), default=None)), 2)
    for peer in (name for name in figures["versions"] if name != first):
        rows.add(f"host: time over {peer}'s, mean over traces", 1.0,
                 ours(lambda name, p=peer: over(p, figures, name)), 2)


def host_threads(rows, figures):
    first = base(figures)
    for what, bound, peer, modes in (
            ("2 to 8 threads of their own", 1.60, first, ("pairs 2", "pairs 4", "pairs 8")),
            ("every free by another thread", 1.10, first, ("remote 2", "remote 8")),
            ("larson's mix", 1.30, first, ("larson 2", "larson 4")),
            ("larson's mix", 1.00, "glibc", ("larson 2", "larson 4"))):
        rows.add(f"host: {what}, time over {peer}'s", bound,
                 ours(lambda name, p=peer, m=modes: thread_ratio(figures, name, p, m)), 2)
    rows.add("host: 2 threads, of all mixes, time on the clock over glibc's", 1.0,
             ours(lambda name: thread_ratio(figures, name, "glibc", ("pairs 2", "remote 2", "larson 2"), "wall_ns")), 2)
    # Other work on the machine takes a processor from two threads, but not from one: the fastest run of each counts.
    rows.add("host: 2 threads of their own, on the clock, over one's (fastest)", 1 / 1.9, ours(
        lambda name: quotient(*(thread_time(figures, name, mode, "wall_ns", min) for mode in ("pairs 2", "pairs 1")))),
        3)
    rows.add("host: an area's pair beside a busy thread, 99th percentile, us", 10.0, ours(
        lambda name: quotient(thread_time(figures, name, "beside 2", "p99_ns"), 1000)), 1)


def host_locked(rows, figures):
    def most(name, modes, measure):
        return max(measure(figures["locked"][mode][name]) for mode in modes)
    for what, bound, mode in (("a pair of a thread's own", 0, "pairs 2"), ("larson's mix", 0.3, "larson 2"),
                              ("every free by another thread", 1.1, "remote 2")):
        rows.add(f"host: locked instructions, {what}", bound,
                 ours(lambda name, m=mode: most(name, (m,), lambda pair: pair["locked"] - pair["pool"])), 3)
    rows.add("host: the pool's lock, times for an operation", 0.002,
             ours(lambda name: most(name, figures["locked"], lambda pair: pair["pool"] / 2)), 4)


def host_memory(rows, figures):
    def peak(name):
        return stats.geomean(footprint_ratios(figures, name).values())
    glibc = peak("glibc")
    rows.add("host: peak resident over live, mean (glibc's + 3 %)", glibc and 1.03 * glibc, ours(peak), 3)
    held = figures["frames_held"]
    rows.add("host: held when all is freed, over one arena a descriptor", 1.0,
             ours(lambda name: held[name]["freed"] and held[name]["freed"] / max(held[name]["each"], 1)), 2)
    rows.add("host: frames held after a trim call", 0, ours(lambda name: held[name]["trimmed"]))
    # Records stay: 88 bytes and a few for each 4 KiB frame that was ever in use.
    rows.add("host: still resident after a trim call, of the peak", 5,
             ours(lambda name: max((100 * row[name]["trimmed"] / row[name]["peak"]
                                    for row in figures["footprint"].values() if name in row), default=None)), 1, " %")


def real_programs(rows, figures):
    for what, only in (("real programs", None), ("real programs with threads", THREADED)):
        rows.add(f"{what}: wall time over glibc's", 1.0,
                 ours(lambda name, o=only: program_mean(figures, name, "wall_ns", o)), 2)
        rows.add(f"{what}: largest resident size over glibc's", 1.05,
                 ours(lambda name, o=only: program_mean(figures, name, "peak_kb", o)), 2)


def verdict(figures):
    """The last table and the line with its sums."""
    rows = Rows()
    for part in (kernel_patterns, kernel_replays, kernel_growth, kernel_together, host_speed, host_threads, host_locked,
                 host_memory, real_programs):
        part(rows, figures)
    rows.add("measurements that failed", 0, {"": len(figures["errors"])})
    lines = titled("Figures to reach (the better table of block sizes counts)", aligned(rows.rows, left=4))
    count = rows.count
    return lines + [f"bench: {count['met']} met, {count['NOT MET']} not met, {count['-']} not measured"]
