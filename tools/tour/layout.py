"""layout.py - where the kernel's variables are and how its structures are laid out, from its debug information.

Inside GDB, main() prints one line of JSON; load() and place() run GDB for that. So both debuggers of a tour read the
same memory by the same tables, and show the same place in the same words.
"""

import json
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))

STRUCTS = ("heap", "pool", "frame", "arena", "memory_block_desc", "thread", "heap_report", "classic_arena",
           "classic_block_desc", "list", "list_elem", "boot_info", "event", "event_head", "process", "spinlock")
SYMBOLS = ("k_heap", "mem_pool", "current", "heap_last_report", "heap_report_count", "scene_mine",
           "scene_others", "classic_descs", "all_threads", "directory_pa", "process_running",
           "processor_number", "processors_online", "local_seal", "descs", "wanted", "heap_lock")
MARK = "LAYOUT: "
SECONDS = 60
PROGRAM_STRUCTS, PROGRAM_SYMBOLS = ("process", "user_heap"), ("processes",)  # of programs, for the page
CHECKED_STRUCTS = ("checked_freed", "checked_record")  # of the checked build alone
CHECKED_SYMBOLS = ("checked_quarantine", "guard")


def ask_gdb(elf, question, *words):
    """What question(gdb, *words) says inside a GDB that has read the kernel."""
    import emulator as emu  # pylint: disable=import-outside-toplevel  # not in GDB's own Python
    script = (f"import sys; sys.path.insert(0, {HERE!r}); sys.dont_write_bytecode = True; "
              f"import layout; layout.main({question!r}, *{words!r})")
    done = subprocess.run([emu.find_gdb(), "-nx", "-batch", "-ex", f"python {script}", elf], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False)
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line[len(MARK):])
    raise emu.RunError(f"GDB says nothing of {elf}: {done.stderr.strip()[-200:]}")


def main(question, *words):
    import gdb  # pylint: disable=import-error,import-outside-toplevel
    print(MARK + json.dumps({"describe": describe, "place_lines": place_lines}[question](gdb, *words)))


def load(elf, places=()):
    """{"structs": {name: {"size", "fields": {field: [offset, bit, width, count, kind]}}}, "symbols", "functions",
    "faults": the words of enum heap_fault}.
    `places`: names of functions that are wanted even if the compiler has put them into another one."""
    return ask_gdb(elf, "describe", *places)


def place(elf, address):
    """Lines that say where an instruction is in the source."""
    return ask_gdb(elf, "place_lines", address)


def place_lines(gdb, address):
    """function+offset, file:line, and the line itself if the source is there."""
    symbol = gdb.execute(f"info symbol {address:#x}", to_string=True).split(" in section ")[0].split(" + ")
    text = f"{symbol[0]}+{int(symbol[1]):#x}" if len(symbol) > 1 else f"{symbol[0]}+0"
    line = gdb.find_pc_line(address)
    if line.symtab is None:
        return [text]
    table, number = line.symtab, line.line
    begins, whole = functions_at(gdb, address)
    if begins is not None:
        text = f"{begins.name}, in {text}"
    if begins is not None or whole is not None and whole.symtab.filename != table.filename:
        table, number = (begins or whole).symtab, (begins or whole).line  # else something from a header comes first
    lines = [f"{text}, {table.filename}:{number}"]
    if os.path.exists(table.fullname()):
        with open(table.fullname(), encoding="utf-8") as source:
            lines.append(f"{number}\t{source.read().splitlines()[number - 1]}")
    return lines


def functions_at(gdb, address):
    """The function that was inlined there and begins there, or None; and the function whose code it is."""
    block, found = gdb.block_for_pc(address), []
    while block is not None and not block.is_static:
        if block.function is not None:
            found.append((block.function, block.start))
        block = block.superblock
    begins = [function for function, start in found[:-1] if start == address]
    whole, start = found[-1] if found else (None, None)
    return begins[-1] if begins and start != address else None, whole


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


def inlined(gdb, name):
    """Where a function begins that was inlined in one place, else None."""
    try:
        places = {line.pc for line in gdb.decode_line(name)[1]}
    except gdb.error:
        return None
    return places.pop() if len(places) == 1 else None


def describe(gdb, *places):
    result = {"structs": {}, "symbols": {}, "functions": {}}
    checked = gdb.lookup_global_symbol(CHECKED_SYMBOLS[0]) is not None
    for name in STRUCTS + PROGRAM_STRUCTS + (CHECKED_STRUCTS if checked else ()):
        kind = gdb.lookup_type(f"struct {name}")
        result["structs"][name] = {"size": kind.sizeof, "fields": fields_of(gdb, kind)}
    for name in SYMBOLS + PROGRAM_SYMBOLS + (CHECKED_SYMBOLS if checked else ()):
        symbol = gdb.lookup_global_symbol(name) or gdb.lookup_static_symbol(name)
        result["symbols"][name] = int(symbol.value().address)
    for line in gdb.execute("info functions -q -n .", to_string=True).splitlines():
        name = line.rsplit("(", 1)[0].split()[-1].lstrip("*") if "(" in line else None
        if name:
            symbol = gdb.lookup_global_symbol(name) or gdb.lookup_static_symbol(name)
            if symbol and symbol.is_function and symbol.value().address:
                result["functions"][name] = int(symbol.value().address)
    words = gdb.parse_and_eval("heap_fault_text::text")
    result["faults"] = [words[i].string() for i in range(words.type.range()[1] + 1)]
    found = {name: inlined(gdb, name) for name in places if name not in result["functions"]}
    result["functions"] |= {name: address for name, address in found.items() if address}
    return result
