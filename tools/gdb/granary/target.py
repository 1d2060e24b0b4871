"""target.py - what the other modules need of GDB: addresses of variables, constants, bytes, registers.

Nothing here resumes the machine, writes to it, or calls one of its functions. An expression that a user
types is evaluated with such calls forbidden.
"""

import os
import struct

import gdb

from granary import memory

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
CR0_PAGING = 0x80000000


class Trouble(Exception):
    """Something that keeps a command from its answer; the text is the one line a user sees."""


class Unreadable(Trouble):
    """Memory that is not there: not mapped, or no memory at all."""

    def __init__(self, address):
        super().__init__(f"0x{address:08x} is not mapped: nothing can be read there")
        self.address = address


def read_bytes(address, length):
    try:
        return memory.read(address, length)
    except gdb.MemoryError:
        raise Unreadable(address) from None
    except gdb.error as error:  # no machine, or the connection is gone
        raise Trouble(f"the machine's memory cannot be read: {error}") from None


def words(address, count):
    """`count` words of 32 bits."""
    if not 0 <= address <= 0x100000000 - 4 * count:
        raise Unreadable(address & 0xffffffff)
    return struct.unpack(f"<{count}I", read_bytes(address, 4 * count))


def need_machine():
    """Refuses, in one line, when there is no stopped machine or its kernel is not in memory yet."""
    thread = gdb.selected_thread()
    if thread is None or not thread.is_valid():
        raise Trouble("no machine: start one with `make debug`, or `target remote` to a stub")
    if thread.is_running():
        raise Trouble("the machine is running: stop it with Ctrl-C first")
    try:
        cr0 = int(gdb.parse_and_eval("(unsigned long)$cr0"))
    except gdb.error:
        return  # not an x86 stub that shows CR0: the reads will tell
    if not cr0 & CR0_PAGING:
        raise Trouble("paging is off: the machine is still in its BIOS or the loader; `break kmain`, `continue`")


def _symbol(name, path=None):
    """A variable or function; `path`: the source file of a static one, where several have the name."""
    if path is None:
        symbol = gdb.lookup_global_symbol(name)
        if symbol is not None:
            return symbol
    for symbol in gdb.lookup_static_symbols(name):
        if path is None or symbol.symtab.filename.endswith(path):
            return symbol
    return None


def has(name):
    """True if the kernel has a variable or function of this name."""
    return _symbol(name) is not None


def address_of(name, path=None):
    """Address of a variable or function, or None if this kernel has none of the name."""
    symbol = _symbol(name, path)
    if symbol is not None:
        return int(symbol.value().address)
    if path is not None:
        return None
    try:  # labels of assembly files and of the linker script have no type
        return int(gdb.parse_and_eval(f"(unsigned long)&{name}"))
    except gdb.error:
        return None


def kernel_file():
    """The path of the kernel's file in GDB, "" if there is none."""
    symbol = _symbol("kmain")
    return symbol.symtab.objfile.filename if symbol is not None else ""


def variable(name, path=None):
    """A variable of the kernel's as a gdb.Value."""
    symbol = _symbol(name, path)
    if symbol is None:
        raise Trouble(f"the symbols have no `{name}`: load the kernel with `file build/kernel.elf`")
    return symbol.value()


def evaluate(text):
    """A user's expression as a 32-bit number; nothing of the kernel is called for it."""
    try:
        with gdb.with_parameter("may-call-functions", False):
            value = gdb.parse_and_eval(text)
            if value.type.strip_typedefs().code in (gdb.TYPE_CODE_ARRAY, gdb.TYPE_CODE_FUNC):
                value = value.address  # what C makes of an array, or a function
            return int(value) & 0xffffffff
    except gdb.error as error:
        raise Trouble(f"{text}: {error}") from None
    except (TypeError, ValueError, OverflowError):
        raise Trouble(f"{text}: is no address") from None


def register(name):
    return int(gdb.parse_and_eval(f"(unsigned long)${name}")) & 0xffffffff


def source_line(address):
    """(file, line) of an instruction, or None."""
    place = gdb.find_pc_line(address)
    if place.symtab is None or place.line == 0:
        return None
    return place.symtab.filename, place.line


def stopped_in(path):
    """True if one of the innermost frames is in this source file."""
    try:
        frame = gdb.newest_frame()
        for _ in range(4):
            if frame is None:
                return False
            table = frame.find_sal().symtab
            if table is not None and table.filename.endswith(path):
                return True
            frame = frame.older()
    except gdb.error:
        pass
    return False
