#!/usr/bin/python3
"""linesym.py - symbols for the heap's source lines, so that Bochs's debugger shows where in the source it is.

  nm -n kernel.elf | linesym.py kernel.elf > kernel.sym     "address name" a line, as Bochs's ldsym reads it
  nm ... | linesym.py --objdump i686-elf-objdump kernel.elf  where the system's objdump does not know the i386

Bochs knows no debug information: it takes names for addresses, and shows an address as the nearest name below it and
the distance. So each place where the machine code goes over to another line of the heap becomes a name, "memory.c:412",
and a step in the debugger shows (memory.c:412+3): three bytes into that line's code. The lines of the inline functions
in headers that the heap uses are among them (list.h:40), or they would be taken for the line before.

Four kinds of names, in this order:

  functions   of the whole kernel, from nm's output on standard input
  data        likewise, so that `x /4wx "heap"` finds it
  inlined     a function of the heap that the compiler has put into exactly one other: its name stands at the
              address which the debug information calls its entry (objdump --dwarf=info), else at its first statement
  lines       of the files in HEAP, from the line table (objdump --dwarf=decodedline)

Bochs keeps the first name it reads for an address, and the first address for a name. So where a function and a line
begin together the function is shown; and a line whose code lies in several pieces has that piece first at which
`lb "memory.c:412"` is to stop. That is the first one inside a function which other files may call: what was inlined
into sys_malloc and into some helper is mostly looked for in sys_malloc.

Shortcomings: a function inlined in several places has no name, for Bochs has one address for a name; its lines have
names. Two files of the same name in different folders would be taken for one.

Status: 0; 2 if there is nothing to make symbols of, for wrong use, or if a tool failed.
"""

import bisect
import os
import re
import subprocess
import sys
from collections import namedtuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)

HEAP = ("kernel/memory.c", "kernel/pool.c", "kernel/checked/checked.c")  # the last in the checked build only

# A row of the line table: "memory.c  221  0x80100020  1  x"; the last column marks the start of a statement. A row
# whose line is "-" ends a stretch of code.
ROW = re.compile(r"^(\S+) +(\d+|-) +0x([0-9a-f]+)(?: +\d+)?(?: +(x))?")
ENTRY = re.compile(r"^ <\d+><([0-9a-f]+)>: Abbrev Number: \d+ \((DW_TAG_\w+)\)")
ATTRIBUTE = re.compile(r"^ +<[0-9a-f]+> +(DW_AT_\w+) *: (.*)$")

Row = namedtuple("Row", "file line address statement")


class LineError(cli.RunError):
    """What keeps the symbols from being made, in one line."""


def output_of(*command):
    """What a tool of binutils prints. It warns of NASM's tables, which are of no use here."""
    done = subprocess.run([cli.find_program(command[0]), *command[1:]], capture_output=True, text=True,
                          errors="replace", check=False)
    if done.returncode != 0:
        raise LineError((done.stderr.strip().splitlines() or [f"{command[0]} failed"])[-1])
    return done.stdout


def is_heap(name):
    return name.removeprefix("./") in HEAP


# ---- lines --------------------------------------------------------------------------------------

def units(text):
    """The line table cut into compiled files: lists of lines. Each begins with the file's name and a headline."""
    unit, before = [], ""
    for line in text.splitlines():
        if line.startswith("File name"):
            yield unit
            unit = [before]
        before = line
        unit.append(line)
    yield unit


def heap_rows(text):
    """The rows of the heap's units, those of the headers in them included, in the table's order."""
    for unit in units(text):
        # The first file's name comes without its folder; it has it wherever the table comes back to the file.
        named = {line.rstrip(":") for line in unit if line.endswith(":")}
        if not any(is_heap(name) for name in named):
            continue
        for line in unit:
            match = ROW.match(line)
            if match and match[2] != "-":
                yield Row(os.path.basename(match[1]), int(match[2]), int(match[3], 16), bool(match[4]))


def line_symbols(rows, public):
    """(address, name), for lines. `public(address)` is true inside a function that other files may call."""
    shown, begins = {}, set()
    for row in rows:
        place = f"{row.file}:{row.line}"
        shown[row.address] = place  # what is generated at an address belongs to its last row
        if row.statement:
            begins.add((row.address, place))
    pieces, before = [], None
    for address, place in sorted(shown.items()):
        if place != before:
            pieces.append((address, place))
        before = place

    def rank(piece):
        address, place = piece
        return shown[address] != place, not public(address), piece not in begins, address
    stops = {}
    for piece in sorted(begins.union(pieces), key=rank):
        stops.setdefault(piece[1], piece)
    # A line that has no code of its own, "{" or a declaration, stops where its neighbour's begins, and is not shown.
    hidden = sorted(piece for piece in stops.values() if shown[piece[0]] != piece[1])
    return list(dict.fromkeys(sorted(set(stops.values()) - set(hidden)) + pieces + hidden))


# ---- inlined functions --------------------------------------------------------------------------

def entries(text):
    """(offset, tag, attributes) of each entry of the debug information."""
    entry = None
    for line in text.splitlines():
        head = ENTRY.match(line)
        if head:
            if entry:
                yield entry
            entry = (head[1], head[2], {})
        elif entry:
            attribute = ATTRIBUTE.match(line)
            if attribute:
                entry[2][attribute[1]] = attribute[2]
    if entry:
        yield entry


def text_of(value):
    """A string attribute: "arena_open", or "(indirect string, offset: 0x1f): arena_open"."""
    return value.rsplit("): ", 1)[-1].strip()


def inlined_once(text):
    """(declaration, address or 0) of the heap's functions that were inlined once; and all its functions' declarations.
    A declaration is (file, line, name); the file is a number of the unit's."""
    declared, places, heap = {}, {}, False
    for offset, tag, attributes in entries(text):
        if tag == "DW_TAG_compile_unit":
            heap = is_heap(text_of(attributes.get("DW_AT_name", "")))
        elif heap and tag == "DW_TAG_subprogram" and {"DW_AT_name", "DW_AT_decl_line"} <= attributes.keys():
            declared[offset] = (attributes["DW_AT_decl_file"].split()[0], int(attributes["DW_AT_decl_line"]),
                                text_of(attributes["DW_AT_name"]))
        elif heap and tag == "DW_TAG_inlined_subroutine":
            origin = re.sub(r"^<0x|>.*$", "", attributes["DW_AT_abstract_origin"])
            start = attributes.get("DW_AT_entry_pc", attributes.get("DW_AT_low_pc", "0"))
            places.setdefault(origin, []).append(int(start.rsplit(" ", 1)[-1], 16))
    once = {declared[origin]: at[0] for origin, at in places.items() if origin in declared and len(at) == 1}
    return once, sorted(declared.values())


def inlined_symbols(text, rows):
    """(address, name) of them. clang tells no entry where the function's code lies in several pieces: there it is the
    first statement of its lines, which end where the next function begins."""
    once, declared = inlined_once(text)
    symbols = []
    for function, address in once.items():
        number, first, name = function
        if address == 0:
            end = min((line for file, line, _ in declared if file == number and line > first), default=sys.maxsize)
            body = [(row.line, row.address) for row in rows
                    if row.statement and row.file.endswith(".c") and first < row.line < end]
            address = min(body, default=(0, 0))[1]
        if address:
            symbols.append((address, name))
    return sorted(symbols)


# ---- all together -------------------------------------------------------------------------------

def symbols_of(text, kinds):
    """(address, name, global?) of those of nm's symbols that have one of the letters `kinds`, by address."""
    fields = [line.split() for line in text.splitlines()]
    return sorted((int(field[0], 16), field[2], field[1].isupper())
                  for field in fields if len(field) == 3 and field[1] in kinds)


def all_symbols(names, lines, info):
    known, data = symbols_of(names, "TtWw"), symbols_of(names, "BbDd")
    if not known:
        raise LineError("no function on standard input: is it the output of nm -n?")
    starts = [address for address, _, _ in known]

    def public(address):
        index = bisect.bisect_right(starts, address) - 1
        return index >= 0 and known[index][2]

    taken = {name for _, name, _ in known}
    rows = list(heap_rows(lines))
    if not rows:
        raise LineError("no lines of the heap in its debug information: compiled without -g?")
    inlined = [(address, name) for address, name in inlined_symbols(info, rows) if name not in taken]
    return [(address, name) for address, name, _ in known + data] + inlined + line_symbols(rows, public)


def main(argv):
    parser = cli.Parser(prog="linesym.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("elf", help="the kernel; nm's output for it comes on standard input")
    parser.add_argument("--objdump", default="objdump", metavar="PROGRAM")
    opt = parser.parse_args(argv)
    try:
        lines = output_of(opt.objdump, "--dwarf=decodedline", opt.elf)
        info = output_of(opt.objdump, "--dwarf=info", opt.elf)
        symbols = all_symbols(sys.stdin.read(), lines, info)
    except LineError as error:
        raise LineError(f"{opt.elf}: {error}") from None
    for address, name in symbols:
        print(f"{address:08x} {name}")
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "linesym.py"))
