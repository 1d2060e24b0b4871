"""layout.py - where the kernel's variables are and how its structures are laid out, from its debug information.

As a program under GDB (gdb -batch -x layout.py kernel.elf) it prints one line of JSON; load() runs it so. Both
debuggers of a tour then read the same memory by the same tables.
"""

import json
import os
import subprocess

STRUCTS = ("heap", "pool", "frame", "arena", "mem_block_desc", "thread", "heap_report")
SYMBOLS = ("heap", "mem_pool", "k_block_descs", "current", "heap_last_report", "heap_report_count", "scene_mine",
           "scene_others")
MARK = "LAYOUT: "


def load(elf):
    """{"structs": {name: {"size", "fields": {field: [offset, bit, width, count, kind]}}}, "symbols", "functions"}"""
    done = subprocess.run(["gdb", "-nx", "-batch", "-x", os.path.abspath(__file__), elf], capture_output=True,
                          text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line[len(MARK):])
    raise RuntimeError(f"GDB says nothing of {elf}: {done.stderr.strip()[-200:]}")


def fields_of(gdb, kind, base=0):
    """Every field, those of unnamed members too: {name: [byte offset, bit offset, bits, elements, text or number]}."""
    found = {}
    for field in kind.fields():
        offset = base + field.bitpos // 8
        stripped = field.type.strip_typedefs()
        if field.name is None:
            found |= fields_of(gdb, stripped, offset)
            continue
        count, element = 1, stripped
        if stripped.code == gdb.TYPE_CODE_ARRAY:
            element = stripped.target().strip_typedefs()
            count = stripped.sizeof // element.sizeof
        if element.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
            found[field.name] = [offset, 0, 0, count, "struct"]
            continue
        text = element.sizeof == 1 and count > 1
        found[field.name] = [offset, field.bitpos % 8, field.bitsize or element.sizeof * 8, count,
                             "text" if text else "number"]
    return found


def describe(gdb):
    result = {"structs": {}, "symbols": {}, "functions": {}}
    for name in STRUCTS:
        kind = gdb.lookup_type(f"struct {name}")
        result["structs"][name] = {"size": kind.sizeof, "fields": fields_of(gdb, kind)}
    for name in SYMBOLS:
        symbol = gdb.lookup_global_symbol(name) or gdb.lookup_static_symbol(name)
        result["symbols"][name] = int(symbol.value().address)
    for line in gdb.execute("info functions -q -n .", to_string=True).splitlines():
        name = line.rsplit("(", 1)[0].split()[-1].lstrip("*") if "(" in line else None
        if name:
            symbol = gdb.lookup_global_symbol(name) or gdb.lookup_static_symbol(name)
            if symbol and symbol.is_function and symbol.value().address:
                result["functions"][name] = int(symbol.value().address)
    return result


if __name__ == "__main__":
    import gdb as _gdb  # only there when GDB runs this file
    print(MARK + json.dumps(describe(_gdb)))
