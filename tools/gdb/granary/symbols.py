"""symbols.py - function+offset for a code address, as kernel/symbol.c prints it.

From the kernel's own table (tools/symtab.py), by the same search: so GDB's lines and the kernel's have the
same words, for functions that the compiler split as well.
"""

import bisect
import struct

from granary import target

ENTRY_BYTES = 8  # struct symbol: address, name


class Symbols:
    def __init__(self, memory):
        self.memory = memory
        self.start = target.address_of("kernel_start")
        self.end = target.address_of("kernel_text_end")
        count = memory.u32(target.address_of("symbol_count"))
        table = memory.read(target.address_of("symbol_table"), count * ENTRY_BYTES)
        self.entries = list(struct.iter_unpack("<II", table))
        self.addresses = [address for address, _ in self.entries]

    def find(self, address):
        """(name, offset) of the function that holds an address, or None."""
        if not self.start <= address < self.end:
            return None
        at = bisect.bisect_right(self.addresses, address) - 1
        if at < 0:
            return None
        return self.memory.text(self.entries[at][1]), address - self.addresses[at]

    def text(self, address):
        found = self.find(address)
        if found is None:
            return f"0x{address:08x}"
        name, offset = found  # %#x writes 0 without its prefix
        return f"{name}+{offset:#x}" if offset else f"{name}+0"
