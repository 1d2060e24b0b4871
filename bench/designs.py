#!/usr/bin/python3
"""designs.py - other ways to write memory.c's fast paths, timed beside the one that was taken.

  designs.py --build build/bench [--rounds 5]

Each design is a change of a few words in a copy of the tree, built as libgranary.so and run over the project's traces
(bench/replay.c speed), interleaved, fastest round counts. A change whose text is no longer in the source is an error:
then this file must follow.

Status: 0, or 2 if something is missing or does not fit.
"""

import argparse
import glob
import lzma
import math
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MIMALLOC = "libmimalloc.so.2"
MILLISECONDS = "300"  # of one run over one trace

# name: (what it is, [(file, text, other text)])
DESIGNS = {
    "shipped": ("bits by shifts and masks on 64-bit hosts", []),
    "asm bits": ("bts, btr and bsf on memory, as in the kernel", [
        ("kernel/memory.c", "#ifdef __i386__\n    bool was;", "#if 1\n    bool was;"),
        ("kernel/memory.c", "#ifdef __i386__\n    __asm__(\"btrl", "#if 1\n    __asm__(\"btrl"),
        ("kernel/memory.c", "#ifdef __i386__\n    bool any;", "#if 1\n    bool any;"),
    ]),
    "cache lines": ("records of 128 bytes, what is hot in the first line", [
        ("kernel/memory.h", "\nstruct arena {", "\nstruct __attribute__((aligned(64))) arena {"),
    ]),
    "no seal": ("the record is trusted: a corrupt one is not noticed", [
        ("kernel/memory.c", "if (LIKELY(arena_sum(arena) == SMALL_SEAL)) {", "if (LIKELY(arena->desc != NULL)) {"),
    ]),
}


def die(message):
    print(f"designs: {message}", file=sys.stderr)
    sys.exit(2)


def build(name, folder):
    """The library of one design, from a copy of the tree."""
    tree = os.path.join(folder, name.replace(" ", "-"))
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(tree)
    for part in ("Makefile", "kernel", "lib", "boot", "tools", "tests"):
        source = os.path.join(ROOT, part)
        (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, os.path.join(tree, part))
    for path, text, other in DESIGNS[name][1]:
        with open(os.path.join(tree, path), encoding="utf-8") as file:
            before = file.read()
        if text not in before:
            die(f"'{name}': {path} has no longer the text that it changes")
        with open(os.path.join(tree, path), "w", encoding="utf-8") as file:
            file.write(before.replace(text, other))
    # The make above us may have been given another BUILD; this one is told nothing of it.
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-s", "BUILD=build", "libgranary"]
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        die(f"'{name}' does not build: {done.stderr.strip()[-300:]}")
    return os.path.join(tree, "build", "host", "libgranary.so")


def traces(folder):
    unpacked = []
    for path in sorted(glob.glob(os.path.join(ROOT, "tests", "traces", "*.mtrace.xz"))):
        to = os.path.join(folder, os.path.basename(path)[:-3])
        with lzma.open(path) as packed, open(to, "wb") as file:
            shutil.copyfileobj(packed, file)
        unpacked.append(to)
    return unpacked


def time_of(replay, library, trace):
    done = subprocess.run([replay, "speed", trace, MILLISECONDS], env=dict(os.environ, LD_PRELOAD=library),
                          capture_output=True, text=True, check=False)
    found = re.search(r"min_ns=([\d.]+)", done.stdout)
    if done.returncode != 0 or not found or "cannot be preloaded" in done.stderr:
        die(f"{library}: {(done.stderr or done.stdout).strip()[-300:]}")
    return float(found[1])


def main(argv):
    parser = argparse.ArgumentParser(prog="designs.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--replay", required=True, help="bench/replay.c, built")
    parser.add_argument("--rounds", type=int, default=5)
    opt = parser.parse_args(argv)
    folder = os.path.abspath(os.path.join(opt.build, "designs"))
    os.makedirs(folder, exist_ok=True)
    libraries = {name: build(name, folder) for name in DESIGNS} | {"mimalloc": MIMALLOC}
    best = {}
    files = traces(folder)
    for _ in range(opt.rounds):
        for name, library in libraries.items():
            for trace in files:
                ns = time_of(os.path.abspath(opt.replay), library, trace)
                best[name, trace] = min(ns, best.get((name, trace), ns))
    print("ns for an operation, geometric mean over tests/traces, fastest of the rounds")
    for name in libraries:
        mean = math.exp(sum(math.log(best[name, trace]) for trace in files) / len(files))
        print(f"  {name:12} {mean:6.2f}   {DESIGNS[name][0] if name in DESIGNS else ''}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
