#!/usr/bin/python3
"""planted.py - does each search find anything? Plants a fault for it, and looks.

What only it can find: a search that finds nothing, whatever there is to find.

  planted.py --build build/planted [NAME ...]

A search that has found nothing is worth what it would have found. So each file in tests/planted describes one fault:
the search that must catch it, the file, the code there (sourcekey.py) and what takes its place. The project is copied
into the build folder, the search runs on the copy as it is (it must find nothing), then with the fault (it must fail,
and its output must hold the line that says so: a copy that does not compile catches nothing).

  search: exhaust
  file: kernel/memory.c
  caught: [  FAILED  ]
  why: one line, for people
  --- before
  code, which must be there just once
  --- after
  text

Ends with `planted: N passed, N failed`. Status: 0, 1 if a fault was missed, 2 for wrong use or a missing tool.
"""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)
import sourcekey  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FAULTS = os.path.join(ROOT, "tests", "planted")
NOT_COPIED = shutil.ignore_patterns("build", ".git", "docs", "__pycache__", ".pytest_cache", "*.xz")
TIMEOUT = 900  # seconds for one search; the longest, Eva's, takes two or three minutes

KERNEL = ["sh", "-c", "make -s BUILD=build all >/dev/null && exec /usr/bin/python3 tools/run.py --emulator qemu "
          "--image build/hd.img --mem 32 --timeout 120 --args \"batch demo=no $0\""]
PROCESSORS = ["sh", "-c", "make -s BUILD=build all >/dev/null && exec /usr/bin/python3 tools/run.py --cpus 4 "
              "--image build/hd.img --timeout 120 --args \"batch demo=no $0\""]
HOST = ["sh", "-c", "make -s BUILD=build build/host/$0 && exec timeout 120 build/host/$0"]
FORMAL = ["sh", "-c", "make -s BUILD=build build/gen/boot_const.h && exec /usr/bin/python3 tools/formal.py "
          "--build build/formal --gen build/gen $0"]

# What each search is: its command in the copy, the program it needs.
SEARCHES = {
    "exhaust": (["sh", "-c", "make -s BUILD=build SANITIZE=-O2 build/host/test_exhaust && "
                 "EXHAUST_DEPTH=5 exec build/host/test_exhaust"], "gcc"),
    "model": (["sh", "tests/model/run.sh", "build/model"], "spin"),
    "fuzz": (["make", "-s", "BUILD=build", "FUZZ_SECONDS=20", "fuzz-heap"], "clang"),
    "fuzz-memmap": (["make", "-s", "BUILD=build", "FUZZ_SECONDS=20", "fuzz-memmap"], "clang"),
    "random": (HOST + ["test_heap_random"], "gcc"),
    "oom": (HOST + ["test_oom"], "gcc"),
    "race": (["sh", "-c", "make -s BUILD=build build/host/race_heap build/host/race_checked && "
              "build/host/race_heap && exec build/host/race_checked"], "gcc"),
    "owners": (["sh", "-c", "make -s BUILD=build build/host/race_owners && exec build/host/race_owners 4000 1"], "gcc"),
    "pages": (["sh", "-c", "make -s BUILD=build build/host/race_pages && exec build/host/race_pages"], "gcc"),
    "paths": (HOST + ["race_paths"], "gcc"),
    "fork": (["sh", "-c", "make -s BUILD=build build/host/race_fork && exec build/host/race_fork 5"], "gcc"),
    "steps": (HOST + ["race_steps"], "gcc"),
    "preempt": (KERNEL + ["test=preempt_malloc,preempt_free,preempt_realloc*"], "qemu-system-i386"),
    "processors": (PROCESSORS + ["test=processors_*"], "qemu-system-i386"),
    "storm": (KERNEL + ["hz=1000 test=storm_*"], "qemu-system-i386"),
    "formal-wp": (FORMAL + ["bitmap"], "frama-c"),
    "formal-list": (FORMAL + ["list"], "frama-c"),
    "formal-memmap": (FORMAL + ["memmap"], "frama-c"),
    "formal-eva": (FORMAL + ["heap_math"], "frama-c"),
}


class Problem(cli.RunError):
    """Said in one line, status 2."""


class Fault:
    """One file of tests/planted."""

    def __init__(self, path):
        self.name = os.path.splitext(os.path.basename(path))[0]
        with open(path, encoding="utf-8") as file:
            parts = re.split(r"^--- (?:before|after)\n", file.read(), flags=re.MULTILINE)
        if len(parts) != 3:
            raise Problem(f"{path}: not a head, `--- before` and `--- after`")
        head = dict(line.split(": ", 1) for line in parts[0].splitlines() if ": " in line)
        if not {"search", "file", "caught", "why"} <= head.keys() or head["search"] not in SEARCHES:
            raise Problem(f"{path}: search:, file:, caught: and why: must be there, and the search one of "
                          f"{', '.join(SEARCHES)}")
        self.search, self.file, self.caught = head["search"], head["file"], head["caught"]
        self.before, self.after = parts[1], parts[2]

    def planted(self, text):
        places = sourcekey.spans(text, self.before)
        if len(places) != 1:
            raise Problem(f"{self.name}: its code is {len(places)} times in {self.file}, not once")
        return text[:places[0][0]] + self.after.strip() + text[places[0][1]:]


def copy_tree(build):
    tree = os.path.join(build, "tree")
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(ROOT, tree, ignore=NOT_COPIED, symlinks=True)
    return tree


def run_search(tree, name):
    """(status, output) of a search in the copy."""
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    try:
        done = subprocess.run(SEARCHES[name][0], cwd=tree, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as late:
        return None, (late.stdout or b"").decode("utf-8", "replace")
    output = done.stdout.decode("utf-8", "replace")
    return done.returncode, output + f"\nended with status {done.returncode}\n"


def judge(tree, fault):
    """(True, the line by which the fault was caught), or (False, the last line that the search said)."""
    path = os.path.join(tree, fault.file)
    with open(path, encoding="utf-8") as file:
        sound = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(fault.planted(sound))
    try:
        status, output = run_search(tree, fault.search)
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(sound)
    with open(os.path.join(os.path.dirname(tree), f"{fault.name}.log"), "w", encoding="utf-8") as log:
        log.write(output)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    caught = [line for line in lines if fault.caught in line] if status != 0 else []
    return bool(caught), (caught[0] if caught else lines[-1] if lines else "it said nothing")[:160]


def run(build, faults):
    for search in {fault.search for fault in faults}:
        cli.find_program(SEARCHES[search][1])
    tree = copy_tree(build)
    passed = failed = 0
    sound = set()
    for fault in sorted(faults, key=lambda one: one.search):
        if fault.search not in sound:
            status, output = run_search(tree, fault.search)
            if status != 0:
                print(output[-2000:])
                print(f"planted: {fault.search}: fails on the sound project: FAILED", flush=True)
                failed += 1
                continue
            sound.add(fault.search)
        caught, line = judge(tree, fault)
        print(f"planted: {fault.name}: {'caught' if caught else 'MISSED'} by {fault.search}: {line}", flush=True)
        passed, failed = passed + caught, failed + (not caught)
    print(f"planted: {passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


def main(argv):
    parser = cli.Parser(prog="planted.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", required=True, help="folder to work in")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these of tests/planted")
    opt = parser.parse_args(argv)
    faults = [Fault(os.path.join(FAULTS, name)) for name in sorted(os.listdir(FAULTS)) if name.endswith(".txt")]
    unknown = set(opt.names) - {fault.name for fault in faults}
    if unknown:
        raise Problem(f"no such fault: {', '.join(sorted(unknown))}")
    chosen = [fault for fault in faults if not opt.names or fault.name in opt.names]
    return run(os.path.abspath(opt.build), chosen)


if __name__ == "__main__":
    sys.exit(cli.main(main, "planted"))
