"""host.py - what `make bench` measures on this machine: replays, patterns and probes, allocator by allocator.

Each measurement is a process of its own (bench/*.c) with the allocator in LD_PRELOAD. The order of the allocators
is shuffled anew in every round, with a fixed seed, so that none always follows the same neighbour.
"""

import glob
import math
import os
import random
import re
import subprocess
from collections import namedtuple

import stats
import traceformat as fmt
from cli import RunError, missing

# label: how it is printed; library: of LD_PRELOAD, None for the C library's own; environment: what else it needs
Allocator = namedtuple("Allocator", "name library environment")
Trace = namedtuple("Trace", "name path ops slots live_peak")

# name, the file's name in any release, the row of setup.sh's table that brings it, how it tells its version
PEERS = (("mimalloc-2", "libmimalloc.so.2*", "libmimalloc2.0", "'.'.join(str(C.mi_version()))"),
         ("mimalloc-3", "libmimalloc.so.3*", "libmimalloc3", "'.'.join(str(C.mi_version()))"),
         ("jemalloc", "libjemalloc.so.[0-9]*", "libjemalloc2",
          "C.mallctl(b'version', byref(t), byref(c_size_t(8)), None, c_size_t()) or t.value.decode().split('-')[0]"),
         ("tcmalloc", "libtcmalloc_minimal.so.[0-9]*", "libtcmalloc-minimal%",
          "C.tc_version(None, None, None).decode().split()[-1]"))
OURS = ("granary-seed", "granary-fine")
# What bench/threads.c is asked for, and for how many rounds where it is not its own number: two threads are held
# against one, and starting threads must not count in either.
THREADS = (("beside", 2), ("pairs", 1), ("pairs", 2), ("pairs", 4), ("pairs", 8), ("remote", 2), ("remote", 8),
           ("larson", 2), ("larson", 4))
THREAD_ROUNDS = {"pairs": 6000}
# And how often in each round: the fastest run counts there, which with two threads needs both processors all the time.
THREAD_RUNS = {("pairs", 1): 4, ("pairs", 2): 4}
FRAME = 4096  # bytes
TIMEOUT = 120  # seconds for one process: ten times what the slowest of them takes


class Problem(RunError):
    """Something that keeps the benchmark from its work; the text is for the user."""


def library_path(name):
    """Full path of a shared library of the system, or of what setup.sh took from another release; or None."""
    others = os.environ.get("GRANARY_OTHERS", "/usr/local/lib/granary") + "/*/usr/lib/*-linux-gnu"
    for folder in ("/usr/lib/*-linux-gnu", "/lib/*-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib", others):
        for path in sorted(glob.glob(os.path.join(folder, name))):
            return path
    return None


def base(figures):
    """What times are divided by: the mimalloc that is quicker over the traces, or what every system has."""
    def time(name):
        return stats.mean_ratio(figures["speed"], name, "glibc") or math.inf
    return min((name for name in figures["allocators"] if name.startswith("mimalloc")), default="glibc", key=time)


def peers(show):
    """The others' allocators that this system has; a line for one that it has not."""
    found = [Allocator("glibc", None, {})]
    for name, file, package, _ in PEERS:
        path = library_path(file)
        if path is None:
            show(f"{missing(package, name)}; it is left out")
        else:
            found.append(Allocator(name, path, {}))
    return found


def version(allocator):
    """What the library itself says, asked in a process that it is preloaded in; `?` if it does not answer."""
    ask = {name: text for name, _, _, text in PEERS}.get(allocator.name, "C.gnu_get_libc_version().decode()")
    program = f"""from ctypes import *
C, t = CDLL(None), c_char_p()
for name in "tc_version", "gnu_get_libc_version":
    if hasattr(C, name): getattr(C, name).restype = c_char_p
print({ask})"""
    done = subprocess.run(["/usr/bin/python3", "-c", program], env=environment(allocator), capture_output=True,
                          text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "?"


def allocators(build, show):
    """The allocators in the order of the tables: ours last."""
    found = peers(show)
    ours = os.path.join(build, "host", "libgranary.so")
    if not os.path.exists(ours):
        raise Problem(f"{ours} is not built: run `make libgranary`")
    for name in OURS:
        found.append(Allocator(name, os.path.abspath(ours), {"GRANARY_CLASSES": name.split("-")[1]}))
    return found


# ---- Traces ------------------------------------------------------------------------------------------------------

def trace_files(folders):
    """Every trace in the folders, by name. A folder with none is a Problem: a typing error must not pass."""
    files = []
    for folder in folders:
        if os.path.isfile(folder):
            files.append(folder)
            continue
        here = sorted(glob.glob(os.path.join(folder, "*.mtrace")) + glob.glob(os.path.join(folder, "*.mtrace.xz")))
        if not here:
            raise Problem(f"no traces (*.mtrace, *.mtrace.xz) in {folder}")
        files += here
    return files


def unpack(path, folder):
    """Unpacks a trace into `folder`; returns its Trace. The replayer checks the operations one by one."""
    trace, name = fmt.load(path), fmt.trace_name(path)
    raw = os.path.join(folder, name + ".mtrace")
    fmt.save(raw, trace)
    return Trace(name, raw, fmt.operation_count(trace), trace.slots, trace.peak)


# ---- Running -----------------------------------------------------------------------------------------------------

def environment(allocator):
    """The environment of a measured process: nothing of ours that an allocator might read."""
    clean = {key: value for key, value in os.environ.items()
             if not key.startswith(("GRANARY_", "MALLOC_", "MIMALLOC_", "TCMALLOC_", "GLIBC_TUNABLES", "LD_"))}
    clean.update(allocator.environment)
    if allocator.library:
        clean["LD_PRELOAD"] = allocator.library
    return clean


def run(command, allocator):
    """Standard output of a measured process; a Problem that names the allocator if it fails or hangs."""
    try:
        done = subprocess.run(command, env=environment(allocator), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", check=False, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as late:
        raise Problem(f"{allocator.name}: {' '.join(command[:3])}: not done after {TIMEOUT} s") from late
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise Problem(f"{allocator.name}: {os.path.basename(command[0])} {' '.join(command[1:3])}: {said}")
    return done.stdout


class Host:
    """The measurements. `programs`: folder of the built bench/*.c; `plan`: how much of everything.

    `errors` takes what failed, a line each; a measurement that failed is not in its table, and an allocator that
    failed on a trace is not tried on it again.
    """

    def __init__(self, programs, found, plan, progress):
        self.programs = programs
        self.found = found
        self.plan = plan
        self.progress = progress
        self.order = random.Random(1)
        self.errors = []
        self.failed = set()

    def program(self, name, *words):
        return [os.path.join(self.programs, name), *map(str, words)]

    def check_preloading(self):
        """Every allocator is the one that its name says: ld.so only warns of a library that it cannot preload."""
        for allocator in self.found:
            heap = str(stats.pairs(run(self.program("probe", "whose"), allocator)).get("heap"))
            wanted = allocator.library or "libc.so"
            if wanted not in heap and os.path.realpath(wanted) != os.path.realpath(heap):
                raise Problem(f"{allocator.name}: malloc comes from {heap}, not from {wanted}")

    def shuffled(self):
        return self.order.sample(self.found, len(self.found))

    def replay(self, allocator, mode, trace, *words):
        """The figures of one replay, or None if it fails now or has failed before."""
        if (allocator.name, trace.name) in self.failed:
            return None
        try:
            return stats.pairs(run(self.program("replay", mode, trace.path, *words), allocator))
        except Problem as problem:
            self.errors.append(str(problem))
            self.failed.add((allocator.name, trace.name))
            return None

    def speed(self, traces, mode="speed"):
        """({trace: {allocator: [ns a round]}} warm, the same cold): see bench/replay.c. `mode`: speed, or asleep."""
        warm, cold = {}, {}
        for turn in range(self.plan.rounds):
            for trace in traces:
                self.progress(f"{mode}, round {turn + 1} of {self.plan.rounds}: {trace.name}")
                for allocator in self.shuffled():
                    line = self.replay(allocator, mode, trace, self.plan.milliseconds)
                    if line:
                        warm.setdefault(trace.name, {}).setdefault(allocator.name, []).append(line["ns"])
                        cold.setdefault(trace.name, {}).setdefault(allocator.name, []).append(line["cold_ns"])
                line = self.replay(self.found[0], "loop", trace, self.plan.milliseconds)
                if line:
                    warm[trace.name].setdefault("loop", []).append(line["ns"])
        for name, trace in self.failed:  # of rounds before the failure
            warm.get(trace, {}).pop(name, None)
            cold.get(trace, {}).pop(name, None)
        return warm, cold

    def once(self, traces, mode, *words):
        """{trace: {allocator: {key: value}}} of a mode that needs no rounds."""
        table = {}
        for trace in traces:
            self.progress(f"{mode}: {trace.name}")
            lines = {allocator.name: self.replay(allocator, mode, trace, *words) for allocator in self.found}
            table[trace.name] = {name: line for name, line in lines.items() if line}
        return table

    def micro_times(self):
        """{pattern: {allocator: [ns a round]}}"""
        table = {}
        for turn in range(self.plan.rounds):
            self.progress(f"patterns, round {turn + 1} of {self.plan.rounds}")
            for allocator in self.shuffled():
                for line in run(self.program("micro", "time", self.plan.live), allocator).splitlines():
                    found = stats.pairs(line)
                    table.setdefault(found["pattern"], {}).setdefault(allocator.name, []).append(found["ns"])
        return table

    def threads(self):
        """{what: {"mode threads": {allocator: [ns a pair]}}}; `ns` is processor time, `wall_ns` the clock's, `p99_ns`
        what one pair in a hundred exceeds."""
        tables = {}
        for turn in range(self.plan.rounds):
            for mode, count in THREADS:
                self.progress(f"threads, round {turn + 1} of {self.plan.rounds}: {mode} {count}")
                runs = THREAD_RUNS.get((mode, count), 1)
                for allocator in (one for _ in range(runs) for one in self.shuffled()):
                    rounds = [THREAD_ROUNDS[mode]] if mode in THREAD_ROUNDS else []
                    found = stats.pairs(run(self.program("threads", mode, count, *rounds), allocator))
                    for what in ("ns", "wall_ns", "p99_ns"):
                        if what in found:
                            row = tables.setdefault(what, {}).setdefault(f"{mode} {count}", {})
                            row.setdefault(allocator.name, []).append(found[what])
        return tables

    def micro_counts(self, folder):
        """{pattern: {allocator: instructions a pair}}, the patterns' own taken off."""
        own = self.count(self.found[0], "loop", folder)
        table = {}
        for allocator in self.found:
            self.progress(f"instructions: {allocator.name}")
            for pattern, insn in self.count(allocator, "count", folder).items():
                table.setdefault(pattern, {})[allocator.name] = insn - own[pattern]
        return table

    def count(self, allocator, mode, folder):
        """{pattern: instructions a pair} as callgrind counts them; its files, one a pattern, go to `folder`."""
        base = os.path.join(folder, "callgrind")
        for old in glob.glob(base + "*"):
            os.remove(old)
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={base}",
                   *self.program("micro", mode, self.plan.live)]
        # valgrind itself must not be preloaded: it hands LD_PRELOAD on, and finds it in its own environment.
        printed = {line["pattern"]: line["pairs"] for line in map(stats.pairs, run(command, allocator).splitlines())}
        table = {}
        for path in glob.glob(base + ".*"):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            cause = re.search(r"^desc: Trigger: Client Request: (\S+)$", text, re.M)
            total = re.search(r"^totals: (\d+)", text, re.M)
            if cause and total:
                table[cause[1]] = int(total[1]) / printed[cause[1]]
        if set(table) != set(printed):
            raise Problem(f"{allocator.name}: callgrind wrote counts for {len(table)} of {len(printed)} patterns")
        return table

    def frames_held(self, traces, folder):
        """{allocator of ours: {"each": frames of one empty arena a descriptor, "freed": most frames that a trace
        leaves held once everything is freed, "trimmed": the same after a trim call}}, from libgranary's own books."""
        table = {}
        for allocator in self.found:
            if allocator.name not in OURS:
                continue
            self.progress(f"frames held: {allocator.name}")
            freed = [self.held("replay", "speed", trace.path, 1, allocator=allocator, folder=folder)
                     for trace in traces]
            trimmed = [self.held("replay", "footprint", trace.path, allocator=allocator, folder=folder)
                       for trace in traces]
            table[allocator.name] = {"each": self.held("probe", "reserve", allocator=allocator, folder=folder),
                                     "freed": None if None in freed else max(freed),
                                     "trimmed": None if None in trimmed else max(trimmed)}
        return table

    def held(self, *words, allocator, folder):
        """Frames that libgranary holds at the end of a program that has freed everything."""
        told = os.path.join(folder, "stats.out")
        if os.path.exists(told):
            os.remove(told)
        with_stats = allocator._replace(environment=dict(allocator.environment, GRANARY_STATS=told))
        try:
            run(self.program(*words), with_stats)
            with open(told, encoding="utf-8") as file:
                line = stats.pairs(file.read())
            if line["live"] != 0:
                raise Problem(f"{line['live']} bytes are live at the end: another C library's own?")
        except (Problem, OSError) as problem:
            self.errors.append(f"frames held: {' '.join(map(str, words[:2]))}: {problem}")
            return None
        return line["frames_held"]

    def probes(self):
        """{allocator: {"zero": [{size, again, old}], "misuse": {name: outcome}}}"""
        table = {}
        for allocator in self.found:
            self.progress(f"probes: {allocator.name}")
            zero = [stats.pairs(line) for line in run(self.program("probe", "zero"), allocator).splitlines()]
            wrong = [stats.pairs(line) for line in run(self.program("probe", "misuse"), allocator).splitlines()]
            table[allocator.name] = {"zero": zero, "misuse": {w["misuse"]: w["outcome"] for w in wrong}}
        return table
