#!/usr/bin/python3
"""attack.py - the search of tests/fuzz/attack.c on Granary's library, and on the allocators beside it.

  attack.py --build build --program build/host/attack [--actions N] [--docs]

Prints the table of docs/trust.md; --docs writes it there. Fails if Granary hands out an overlap or a wild pointer, or
if a program dies on it: the others' rows are there to show that the search finds what it looks for.
"""

import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "bench")]

import cli  # noqa: E402
import host  # noqa: E402

OURS = "granary"
OURS_MORE = 100  # times as many actions: ours is to be searched, the others show that the search finds something
COUNTS = ("overlaps", "wild", "aborted", "crashed")
THREADS = {1: 1, 4: 10}  # with so many, one action of so many: each turn is a switch to another thread
DOCUMENT = os.path.join(ROOT, "docs", "trust.md")
BEGIN, END = "<!-- make attack DOCS=1 -->\n", "<!-- end -->\n"


def hardened():
    """(name, library) of each allocator that is built against this; a line if there is none: Debian has LLVM's."""
    found = sorted(glob.glob("/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.scudo_standalone-x86_64.so"))
    if not found:
        print(f"attack: {cli.missing('libclang-rt-dev', 'scudo')}; it is left out")
    return [("scudo", path) for path in found[-1:]]


def allocators(build):
    """(name, library) of each; of ours one, as its table of sizes makes no difference here."""
    found = host.allocators(build, lambda text: print(f"attack: {text}"))
    return [(each.name, each.library) for each in found if each.name not in host.OURS] + hardened() + \
        [(OURS, next(each.library for each in found if each.name == host.OURS[0]))]


def attack(program, library, actions, threads):
    """What the program counted, as {name: number}."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "GRANARY_"))}
    if library:
        environment["LD_PRELOAD"] = library
    done = subprocess.run([program, str(actions), "1", str(threads)], env=environment, capture_output=True, text=True,
                          check=False)
    counts = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", done.stdout)}
    if done.returncode != 0 or "actions" not in counts:
        raise cli.RunError(f"{program} ended with status {done.returncode}: {done.stderr.strip()}")
    return counts


def table(rows):
    lines = ["| allocator | threads | actions | overlaps | wild pointers | aborted | crashed |", "|---" * 7 + "|"]
    for name, threads, counts in rows:
        cells = [name, threads, *(f"{counts[key]:,}" for key in ("actions", *COUNTS))]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "".join(line + "\n" for line in lines)


def write_document(text):
    with open(DOCUMENT, encoding="utf-8") as file:
        before, _, rest = file.read().partition(BEGIN)
    after = rest.partition(END)[2]
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + text + END + after)


def main(argv):
    parser = cli.Parser(prog="attack.py", description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--actions", type=int, default=1_000_000)
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args(argv)
    if options.actions < 1:
        raise cli.RunError(f"{options.actions} is not a number of actions")
    found = allocators(options.build)
    rows = []
    for threads, share in THREADS.items():
        for name, library in found:
            actions = max(options.actions * (OURS_MORE if name == OURS else 1) // share, 1)
            rows.append((name, threads, attack(options.program, library, actions, threads)))
    print(table(rows), end="")
    if options.docs:
        write_document(table(rows))
    whole = not any(counts[key] for name, _, counts in rows if name == OURS for key in COUNTS)
    print(f"attack: {int(whole)} passed, {int(not whole)} failed")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(cli.main(main, "attack"))
