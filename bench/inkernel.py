"""inkernel.py - what `make bench` measures in the kernel: instructions, counted by QEMU and Bochs.

Three sources: the kernel's replayer (tools/replay.py, a `replay:` line for each trace and table of block sizes),
the kernel's own patterns (command line word `bench`, a `bench:` line for each), and a trace replayed on every processor
at once, in Bochs. With -icount every executed instruction is one tick of rdtsc; Bochs counts likewise, and lets
processors go in step. So a figure is the same in every run: no rounds, no medians.
"""

import os
import subprocess
import sys

import stats
from host import FRAME

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLES = ("seed", "fine")
MEMORY = (32, 128, 512, 2048, 3072)  # MiB, what `growth with memory` is measured over
TIMEOUT = 600  # seconds for one run
PROCESSORS = (2, 4, 8)
CROWD_MEMORY = 256  # MiB
TOGETHER_FIRST = 20000  # operations of each trace
TOGETHER = (2, 8)  # processors


def call(command):
    """(status, standard output, last line of standard error) of a command of ours."""
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace", check=False)  # run.py has a time limit of its own
    said = [line for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    return done.returncode, done.stdout, said[-1] if said else f"status {done.returncode}"


def lines_with(prefix, text):
    """The key=value pairs of every line that starts with `prefix`."""
    return [stats.pairs(line[len(prefix):]) for line in text.splitlines() if line.startswith(prefix)]


def replay(image, path, *options):
    """The figures of a trace's `replay:` line, or {"error": what the replayer said}."""
    tool = os.path.join(ROOT, "tools", "replay.py")
    status, text, said = call([sys.executable, tool, "--image", image, *options, path])
    found = lines_with("replay: ", text)
    return found[0] if status == 0 and len(found) == 1 else {"error": said}


def footprint(figures):
    if "error" not in figures:
        figures["footprint"] = figures["frames_peak"] * FRAME / figures["live_peak"]
    return figures


def replays(image, traces, progress):
    """{trace: {table: figures}}"""
    result = {}
    for trace in traces:
        for table in TABLES:
            progress(f"kernel replay: {trace.name}, classes={table}")
            result.setdefault(trace.name, {})[table] = footprint(replay(image, trace.path, "--classes", table))
    return result


def together(image, traces, processors, progress):
    """{trace: {processors: figures}}, "1" among them: the same operations on one, as ever."""
    result = {}
    for trace in traces:
        for cpus in (1, *processors):
            progress(f"kernel replay together: {trace.name}, {cpus} processors")
            options = ("--emulator", "bochs", "--cpus", str(cpus)) if cpus > 1 else ()
            result.setdefault(trace.name, {})[str(cpus)] = replay(image, trace.path, "--first", str(TOGETHER_FIRST),
                                                                  *options)
    return result


def patterns(image, mem, table, cpus=1):
    """The kernel's own patterns: [{name, insn, ...}], or [{"error": ...}]. With several processors: on all at once."""
    tool = os.path.join(ROOT, "tools", "run.py")
    status, text, said = call([sys.executable, tool, "--image", image, "--icount", "--mem", str(mem),
                               "--cpus", str(cpus), f"--args=batch demo=no bench classes={table}",
                               "--timeout", str(TIMEOUT)])
    found = lines_with("bench: ", text)
    for line in found:  # a pattern that comes with several numbers of live blocks, see kernel/measure/bench.h
        if line.get("name") in ("live", "fragmented") and "live" in line:
            line["name"] += f"_{line['live']}"
    return found if status == 0 and found else [{"error": said if status else "the kernel printed no `bench:` line"}]


def micro(image, sizes, progress):
    """{table: {MiB: [pattern]}}"""
    result = {}
    for table in TABLES:
        for mem in sizes:
            progress(f"kernel patterns: classes={table}, {mem} MiB")
            result.setdefault(table, {})[str(mem)] = patterns(image, mem, table)
    return result


def crowds(image, progress):
    """{table: {processors: [pattern]}}"""
    result = {}
    for table in TABLES:
        for cpus in PROCESSORS:
            progress(f"kernel patterns: classes={table}, {cpus} processors")
            result.setdefault(table, {})[str(cpus)] = patterns(image, CROWD_MEMORY, table, cpus)
    return result


def errors(figures):
    """What failed, a line each."""
    found = [f"kernel replay: {trace}, classes={table}: {line['error']}"
             for trace, row in figures["kernel_replay"].items() for table, line in row.items() if "error" in line]
    found += [f"kernel replay together: {trace}, {cpus} processors: {line['error']}"
              for trace, row in figures["kernel_together"].items() for cpus, line in row.items() if "error" in line]
    for key, unit in (("kernel_micro", "MiB"), ("kernel_crowds", "processors")):
        found += [f"kernel patterns: classes={table}, {number} {unit}: {line['error']}"
                  for table, each in figures[key].items() for number, lines in each.items()
                  for line in lines if "error" in line]
    return found
