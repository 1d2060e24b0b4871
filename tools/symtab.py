#!/usr/bin/python3
"""symtab.py - the table of function names that the kernel's call traces use.

  nm -n kernel.elf | symtab.py > symtab.c        writes the table, sorted by address
  nm -n kernel.elf | symtab.py --check symtab.c  fails if a function moved since the table was made
"""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)

EDGES = ("kernel_start", "kernel_text_end")  # addresses that kernel.ld names: no functions
# A label inside an assembly function has a dot (_start.halt). So have the parts that gcc splits off
# a function, and those do hold code of their own: a call of panic() mostly stands in NAME.cold.
NAME = re.compile(r"^\w+(\.(part|cold|constprop|isra|localalias|\d+))*$")
ENTRY = re.compile(r'\{0x([0-9a-f]+), "([^"]+)"\}')


def functions(lines):
    """(address, name) of every function; labels inside functions (with a dot) are left out."""
    for line in lines:
        fields = line.split()
        if len(fields) != 3 or fields[1] not in "tTwW":
            continue
        address, _, name = fields
        if NAME.match(name) and name not in EDGES:
            yield int(address, 16), name


def write(table):
    print("// Made by tools/symtab.py from the kernel's first link.")
    print('#include "kernel/symbol_table.h"')
    print("const struct symbol symbol_table[] = {")
    for address, name in table:
        print(f'    {{0x{address:08x}, "{name}"}},')
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
        raise cli.RunError("usage: nm -n FILE | symtab.py [--check TABLE]")
    table = sorted(functions(sys.stdin))
    if not table:
        raise cli.RunError("no function on standard input: is it the output of nm -n?")
    if argv:
        return check(table, argv[1])
    write(table)
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "symtab.py"))
