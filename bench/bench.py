#!/usr/bin/python3
"""bench.py - Granary beside the allocators people would pick instead: `make bench`.

  bench.py --build build [--quick] [--traces FOLDER]... [--docs] [--from figures.json]

One run measures everything in turn, prints the tables, draws the plots, and ends with the figures to reach. All raw
figures go to BUILD/bench/figures.json, the text to BUILD/bench/report.txt, the plots beside them. How each thing is
measured, and what is wrong with it, is in docs/bench.md and at the head of the program that measures it.

Exit status: 0 measured and printed (met or not), 1 a measurement failed in part, 2 something is missing or wrong.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections import namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]

import cli  # noqa: E402 (the line above makes it findable)
import host  # noqa: E402
import inkernel  # noqa: E402
import locked  # noqa: E402
import programs  # noqa: E402
from host import Problem  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENT = os.path.join(ROOT, "docs", "bench.md")
MARKERS = ("<!-- bench: begin, written by make bench DOCS=1 -->", "<!-- bench: end -->")

# How much of everything. `live`: most live objects of a pattern; `traces`: the shortest so many, None all;
# `processors`: that replay a trace at once.
Plan = namedtuple("Plan", "rounds milliseconds passes live program_rounds traces memory processors")
FULL = Plan(rounds=7, milliseconds=150, passes=5, live=1000000, program_rounds=5, traces=None, memory=inkernel.MEMORY,
            processors=inkernel.TOGETHER)
QUICK = Plan(rounds=2, milliseconds=30, passes=2, live=10000, program_rounds=1, traces=2, memory=(32, 256),
             processors=inkernel.TOGETHER[:1])


part_began = {}  # kind of measurement: when the first of it began


def show_progress(text):
    """One line that is overwritten on a terminal; where there is none, a line for each kind of measurement."""
    part = re.split("[:,]", text)[0]
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text[:100]}")
        sys.stderr.flush()
    elif part and part not in part_began:
        print(f"bench: measuring {part}", file=sys.stderr, flush=True)
    part_began.setdefault(part, time.monotonic())


def part_seconds():
    """{kind of measurement: how long it took}; each ends where the next one begins."""
    began = [*part_began.items(), ("", time.monotonic())]
    return {part: round(after - start, 1) for (part, start), (_, after) in zip(began, began[1:])}


def machine():
    """Where the figures come from."""
    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            named = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
            cpu = named[1] if named else cpu
    except OSError:
        pass
    compiler = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=False)
    return {"cpu": cpu, "cpus": os.cpu_count(), "kernel": platform.release(),
            "compiler": "gcc " + compiler.stdout.strip()}


def check_tools(build):
    """Everything that is needed, before the first minute is spent."""
    for program in ("valgrind", "objdump", "qemu-system-i386", "bochs", *programs.NEEDED):
        cli.find_program(program)
    image = os.path.join(build, "hd.img")
    for path in (image, os.path.join(build, "host", "bench", "replay")):
        if not os.path.exists(path):
            raise Problem(f"{path} is not built: run `make bench`")
    return image


def chosen_traces(folders, plan, work):
    """The traces, unpacked to `work`; the shortest ones where the plan wants only some."""
    folder = os.path.join(work, "traces")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    traces = [host.unpack(path, folder) for path in host.trace_files(folders)]
    if plan.traces:
        shortest = sorted(traces, key=lambda trace: trace.ops)[:plan.traces]
        traces = [trace for trace in traces if trace in shortest]
    return traces


def measure(options, work):
    """All figures, as they are saved."""
    plan = QUICK if options.quick else FULL
    image = check_tools(options.build)
    found = host.allocators(options.build, lambda text: print(f"bench: {text}"))
    traces = chosen_traces(options.traces or [os.path.join(ROOT, "tests", "traces")], plan, work)
    tools = os.path.join(options.build, "host", "bench")
    bench = host.Host(tools, found, plan, show_progress)
    bench.check_preloading()
    figures = {
        "when": time.strftime("%Y-%m-%d"), "quick": options.quick, "rounds": plan.rounds, "machine": machine(),
        "allocators": [allocator.name for allocator in found],
        "versions": {allocator.name: host.version(allocator) for allocator in found if allocator.name not in host.OURS},
        "traces": {trace.name: {"ops": trace.ops, "slots": trace.slots, "live_peak": trace.live_peak}
                   for trace in traces},
    }
    figures["speed"], figures["cold"] = bench.speed(traces)
    figures["asleep"] = bench.speed(traces, "asleep")[0]
    figures["footprint"] = bench.once(traces, "footprint")
    figures["frames_held"] = bench.frames_held(traces, work)
    figures["worst"] = bench.once(traces, "worst", plan.passes)
    figures["micro_ns"] = bench.micro_times()
    figures["threads"] = bench.threads()
    figures["micro_insn"] = bench.micro_counts(work)
    figures["locked"] = locked.measure(tools, found, work, show_progress)
    figures["probes"] = bench.probes()
    figures["programs"], errors = programs.measure(found, plan, os.path.join(tools, "launch"), work, show_progress)
    figures["kernel_replay"] = inkernel.replays(image, traces, show_progress)
    figures["kernel_micro"] = inkernel.micro(image, plan.memory, show_progress)
    figures["kernel_together"] = inkernel.together(image, traces, plan.processors, show_progress)
    figures["kernel_crowds"] = inkernel.crowds(image, show_progress)
    figures["seconds"] = part_seconds()
    figures["errors"] = bench.errors + errors + inkernel.errors(figures)
    return figures


def write_document(lines, work):
    """Puts the report between the markers of docs/bench.md, and the plots into docs/img."""
    with open(DOCUMENT, encoding="utf-8") as file:
        text = file.read()
    if any(text.count(marker) != 1 for marker in MARKERS):
        raise Problem(f"{DOCUMENT} has lost its markers: {MARKERS[0]}")
    head, tail = text.split(MARKERS[0])[0], text.split(MARKERS[1])[1]
    body = "\n".join(["", "```text", *lines, "```", ""])
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write(head + MARKERS[0] + body + MARKERS[1] + tail)
    for name in sorted(os.listdir(work)):
        if name.startswith("bench-") and name.endswith(".svg"):
            shutil.copyfile(os.path.join(work, name), os.path.join(ROOT, "docs", "img", name))


# What the tables read of a run.
PARTS = ("speed", "cold", "asleep", "footprint", "frames_held", "worst", "micro_ns", "threads", "micro_insn", "locked",
         "probes", "programs", "kernel_replay", "kernel_micro", "kernel_together", "kernel_crowds")


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            figures = json.load(file)
    except (OSError, ValueError) as error:
        raise Problem(f"{path}: not the figures of an earlier run: {error}") from error
    lacking = [part for part in PARTS if part not in figures]
    if lacking:
        raise Problem(f"{path}: not the figures of a run of this version: without {', '.join(lacking)}")
    return figures


def run(options):
    import plots  # here, because it fails where matplotlib is missing, with a message of ours
    import tables
    import verdict
    start = time.monotonic()
    work = os.path.join(options.build, "bench")
    os.makedirs(work, exist_ok=True)
    figures = load(options.saved) if options.saved else measure(options, work)
    with open(os.path.join(work, "figures.json"), "w", encoding="utf-8") as file:
        json.dump(figures, file, indent=1)
    show_progress("")
    lines = tables.report(figures) + verdict.verdict(figures)
    with open(os.path.join(work, "report.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print("\n".join(lines))
    made = plots.draw(figures, work)
    if options.docs:
        write_document(lines, work)
    print(f"bench: {time.monotonic() - start:.0f} s; figures.json, report.txt, {', '.join(made)} in {work}")
    if figures["errors"]:
        print(f"bench: {len(figures['errors'])} measurements failed, see `What failed`", file=sys.stderr)
    return 1 if figures["errors"] else 0


def main(argv):
    parser = cli.Parser(prog="bench.py", description="Granary's heap beside glibc, mimalloc, jemalloc and tcmalloc")
    parser.add_argument("--build", default="build", help="the folder of everything made")
    parser.add_argument("--traces", action="append", metavar="FOLDER", help="traces to replay, default tests/traces")
    parser.add_argument("--quick", action="store_true", help="less of everything: two minutes, rough figures")
    parser.add_argument("--docs", action="store_true", help="write the report and plots into docs/")
    parser.add_argument("--from", dest="saved", metavar="FILE", help="print an earlier run's figures.json")
    options = parser.parse_args(argv)
    options.build = os.path.abspath(options.build)
    try:
        return run(options)
    finally:
        show_progress("")  # a half line of progress is not the place for the last word


if __name__ == "__main__":
    sys.exit(cli.main(main, "bench"))
