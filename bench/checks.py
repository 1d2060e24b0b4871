#!/usr/bin/python3
"""checks.py - what the checks cost (make bench-checked).

Boots the fast build and the checked one with the kernel's own patterns, under QEMU's -icount, and prints the
instructions of one sys_malloc and its sys_free beside each other, as a table in Markdown. The figures are counts:
every run gives the same.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]

import cli  # noqa: E402 (the line above makes it findable)
import inkernel  # noqa: E402


def measure(image):
    """{pattern: instructions of a pair}, or None with the reason printed."""
    rows = inkernel.patterns(image, 256, "seed")
    for row in rows:
        if "error" in row:
            print(f"bench: {image}: {row['error']}", file=sys.stderr)
            return None
    # "live" comes several times, for several numbers of blocks: the name has to say which.
    return {row["name"] + (f", {row['live']} live" if "live" in row else ""): row["insn"]
            for row in rows if "insn" in row}


def main(argv):
    parser = cli.Parser(prog="checks.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("fast", help="image of the fast build")
    parser.add_argument("checked", help="image of the checked build")
    opt = parser.parse_args(argv)
    columns = [measure(opt.fast), measure(opt.checked)]
    if None in columns:
        return 1
    fast, checked = columns
    print("| pattern | fast build, instructions a pair | checked build | times |\n|---|---|---|---|")
    for name, insn in fast.items():
        other = f"{checked[name]:.1f} | {checked[name] / insn:.0f}" if name in checked else "– | –"
        print(f"| {name} | {insn:.1f} | {other} |")
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "bench"))
