#!/usr/bin/python3
"""symtab.py - the table of names that the kernel's call traces and `who` use.

  nm -nS kernel.elf | symtab.py > symtab.c        writes the table, sorted by address; of nothing an empty one
  nm -nS kernel.elf | symtab.py --check symtab.c  fails if something moved since the table was made
"""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)

EDGES = ("kernel_start", "kernel_text_end")  # addresses that kernel.ld names: no functions
# A label inside an assembly function has a dot (_start.halt). So have the parts that gcc splits off
# a function, and those do hold code of their own: a call of panic() is mostly in NAME.cold.
FUNCTION = re.compile(r"^\w+(\.(part|cold|constprop|isra|localalias|\d+))*$")
OBJECT = re.compile(r"^(\w+)(\.\d+)?$")  # a static variable of a function has a number
ENTRY = re.compile(r'\{0x([0-9a-f]+), (?:"([^"]+)"|0)\}')


def names(lines):
    """(address, name) of every function; of data likewise, and the address after it with the name ""."""
    for line in lines:
        *place, kind, name = line.split()
        if kind in "tTwW" and FUNCTION.match(name) and name not in EDGES:
            yield int(place[0], 16), name
        elif kind in "bBdDrR" and len(place) == 2 and OBJECT.match(name):
            address, size = (int(number, 16) for number in place)
            yield address + size, ""  # sorts before an object that starts there
            yield address, OBJECT.match(name)[1]


def write(table):
    print("// Made by tools/symtab.py from the kernel's link before.")
    print('#include "kernel/symbol_table.h"')
    print("const struct symbol symbol_table[] = {")
    for address, name in table or [(0, "")]:
        text = f'"{name}"' if name else "0"
        print(f"    {{0x{address:08x}, {text}}},")
    print("};")
    print(f"const unsigned symbol_count = {len(table)};")


def check(table, path):
    with open(path, encoding="utf-8", errors="replace") as made:
        before = [(int(address, 16), name) for address, name in ENTRY.findall(made.read())]
    if before == table:
        return 0
    moved = set(before) ^ set(table) or {"their order"}
    print(f"symtab.py: {len(moved)} names differ between the two links, e.g. {sorted(moved)[0]}",
          file=sys.stderr)
    return 1


def main(argv):
    if argv and (len(argv) != 2 or argv[0] != "--check"):
        raise cli.RunError("usage: nm -nS FILE | symtab.py [--check TABLE]")
    lines = sys.stdin.read().splitlines()
    table = sorted(names(lines))
    if lines and not table:
        raise cli.RunError("no name on standard input: is it the output of nm -nS?")
    if argv:
        return check(table, argv[1])
    write(table)
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "symtab.py"))
