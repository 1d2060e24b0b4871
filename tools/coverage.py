#!/usr/bin/python3
"""coverage.py - lines, branches and MC/DC that the host tests reach in the heap and the pure parts beside it, and in
the part of libgranary that is a heap.

What only it can find: a line or a condition that no host test has decided both ways.

  coverage.py --build build/coverage

Reads the profiles that tests/host's programs wrote (`make coverage` builds and runs them with clang's own
instrumentation) and holds them against `SOURCES`. What no test can reach is named in tests/host/unreachable.txt,
with its reason; an entry there that is reached after all, or that matches nothing, is an error too: the list may
not hide anything. A reason that begins with `by chance` is for what two threads must do at the same moment, and may
be reached or not.

Status: 0 if all is covered or explained, 1 if not, 2 if a tool or a profile is missing.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)
import sourcekey  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# By the first word of the programs' names that are to reach them. The library's have no MC/DC: clang cannot count it
# where LOOK() stands in a condition.
SOURCES = {
    "test": ("kernel/memory.c", "kernel/pool.c", "kernel/pool.h", "kernel/runs.h", "kernel/memmap.c", "lib/bitmap.c",
             "lib/list.c", "lib/list.h"),
    "race": tuple(f"tools/libgranary/{name}" for name in ("owners.h", "owners.c", "arenas.c", "pages.c", "resident.c",
                                                          "thread.c")),
}
BY_CHANCE = "by chance"
EXPLAINED = os.path.join(ROOT, "tests", "host", "unreachable.txt")
# memory.c's calls have other names there, some of which are never called (kernel/checked/checked_names.h).
RENAMED = "test_checked_random"
# tests/host/unreachable.txt is made for clang 19. Another one may count other conditions of a line.
MADE_FOR = 19


def die(message):
    print(f"coverage: {message}", file=sys.stderr)
    sys.exit(2)


def version():
    """Number of the clang that counts MC/DC and has llvm's tools beside it: MADE_FOR, or the newest there is."""
    found = {int(match[1]) for folder in os.get_exec_path() for path in glob.glob(os.path.join(folder, "clang-[0-9]*"))
             if (match := re.fullmatch(r"clang-(\d+)", os.path.basename(path)))}
    for number in sorted(found, key=lambda number: (number == MADE_FOR, number), reverse=True):
        flags = ["-fprofile-instr-generate", "-fcoverage-mapping", "-fcoverage-mcdc"]
        counts = subprocess.run([f"clang-{number}", *flags, "-E", "-x", "c", os.devnull], capture_output=True,
                                check=False)
        if counts.returncode == 0 and all(shutil.which(f"{name}-{number}") for name in ("llvm-cov", "llvm-profdata")):
            return number
    raise cli.missing("clang_with_mcdc", "a clang that counts MC/DC")


def tool(name):
    return f"{name}-{version()}"


def exported(build, kind):
    """{source: llvm-cov's report} of all programs of a kind together."""
    profiles = glob.glob(os.path.join(build, "profiles", kind, "*.profraw"))
    programs = [path for path in sorted(glob.glob(os.path.join(build, "host", f"{kind}_*")))
                if os.path.isfile(path) and os.access(path, os.X_OK) and os.path.basename(path) != RENAMED]
    if not profiles or not programs:
        die(f"no profiles in {build}: `make coverage` makes them")
    merged = os.path.join(build, f"{kind}.profdata")
    subprocess.run([tool("llvm-profdata"), "merge", "-o", merged, *profiles], check=True)
    command = [tool("llvm-cov"), "export", programs[0], *[f"-object={path}" for path in programs[1:]],
               f"-instr-profile={merged}", "-sources", *SOURCES[kind]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        die(done.stderr.strip())
    return {os.path.relpath(entry["filename"], ROOT): entry for entry in json.loads(done.stdout)["data"][0]["files"]}


def explained():
    """{(file, a source line's code): reason}"""
    found = {}
    with open(EXPLAINED, encoding="utf-8") as text:
        for number, line in enumerate(text, 1):
            if not line.strip() or line.startswith("#"):
                continue
            parts = [part.strip() for part in line.split(" | ")]
            if len(parts) != 3:
                die(f"{EXPLAINED}:{number}: not `file | source line | reason`")
            found[parts[0], sourcekey.key(parts[1])] = parts[2]
    return found


def gaps(entry):
    """{line number: what is missing there} of one file. A header has a record of each place for each file that it is
    compiled into; what was seen in one of them was seen."""
    found, branches, conditions = {}, {}, {}
    for line, column, _, _, true, false, *_ in entry["branches"]:
        for count, side in ((true, "true"), (false, "false")):
            branches[line, column, side] = branches.get((line, column, side), 0) + count
    for (line, column, side), count in branches.items():
        if count == 0:
            found.setdefault(line, set()).add(f"branch at column {column} never {side}")
    for line, column, *_, goods in entry.get("mcdc_records", []):
        for index, good in enumerate(goods, 1):
            conditions[line, column, index] = conditions.get((line, column, index), False) or good
    for (line, _, index), good in conditions.items():
        if not good:
            found.setdefault(line, set()).add(f"condition {index} never alone decides")
    for line, _, count, has_count, is_entry, is_gap in entry["segments"]:
        if has_count and is_entry and not is_gap and count == 0:
            found.setdefault(line, set()).add("never run")
    return found


def lines_of(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as text:
        return text.read().splitlines()


def report_file(name, entry, known, used):
    """Prints a file's figures; returns how many of its lines have an unexplained gap."""
    source, open_lines = lines_of(name), 0
    for line, missing in sorted(gaps(entry).items()):
        key = (name, sourcekey.key(source[line - 1]))
        if key in known:
            used.add(key)
            continue
        open_lines += 1
        print(f"  {name}:{line}: {source[line - 1].strip()}")
        for what in sorted(missing):
            print(f"      {what}")
    summary = entry["summary"]
    figures = [f"{kind} {summary[key]['covered']}/{summary[key]['count']}"
               for kind, key in (("lines", "lines"), ("branches", "branches"), ("MC/DC", "mcdc"))
               if summary.get(key, {}).get("count")]
    print(f"coverage: {name}: {', '.join(figures)}: {'ok' if open_lines == 0 else 'FAILED'}")
    return open_lines


def main(argv):
    parser = cli.Parser(prog="coverage.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", help="folder that `make coverage` built in")
    parser.add_argument("--compiler", action="store_true", help="names the compiler to build with, and ends")
    opt = parser.parse_args(argv)
    if opt.compiler:
        print(tool("clang"))
        return 0
    if not opt.build:
        raise cli.RunError("--build is missing: the folder that `make coverage` built in")
    known, used = explained(), set()
    failed = passed = 0
    for kind, names in SOURCES.items():
        entries = exported(opt.build, kind)
        for name in names:
            if name not in entries:
                die(f"{name} is in no test program")
            if report_file(name, entries[name], known, used):
                failed += 1
            else:
                passed += 1
    for name, line in sorted(set(known) - used):
        if known[name, line].startswith(BY_CHANCE) and line in map(sourcekey.key, lines_of(name)):
            continue
        print(f"coverage: unreachable.txt: {name}: `{line}` is covered, or no longer there")
        failed += 1
    print(f"coverage: {len(used)} lines explained as unreachable")
    print(f"coverage: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "coverage"))
