"""memory.py - bytes of a stopped machine, as words and structures.

Knows nothing of GDB: a Memory is made over any function that reads bytes, a Layout over any table of
offsets. So the same code can look at a machine, at a file, or at bytes that a test made up.

Invariants:
    R1  Nothing is ever written.
    R2  What cannot be read raises Unreadable with the address, at once: nobody goes on with rubbish.
    R3  Bytes are read once for each Memory: all of a command's answers are of one moment.
"""

import struct

PAGE = 4096
MASK = 0xffffffff
READ_MAX = 1 << 20  # bytes asked for in one go


class Trouble(Exception):
    """Something that keeps a command from its answer; the text is the one line a user sees."""


class Unreadable(Trouble):
    """Memory that is not there: not mapped, or no memory at all."""

    def __init__(self, address):
        super().__init__(f"0x{address:08x} is not mapped: nothing can be read there")
        self.address = address


class Memory:
    """`source(address, length)` returns bytes, or raises Unreadable."""

    def __init__(self, source):
        self.source = source
        self.pages = {}

    def _fetch(self, first, last):
        """Pages `first` to `last` in as few reads as possible; page by page where that fails."""
        while first <= last:
            if first in self.pages:
                first += 1
                continue
            end = first
            while end < last and end + 1 not in self.pages and (end + 1 - first) * PAGE < READ_MAX:
                end += 1
            try:
                data = self.source(first * PAGE, (end + 1 - first) * PAGE)
            except Unreadable:
                if end > first:  # one of them is missing: which one, the next turns will tell
                    self._fetch(first, first + (end - first) // 2)
                    continue
                raise
            for page in range(first, end + 1):
                self.pages[page] = data[(page - first) * PAGE:(page - first + 1) * PAGE]
            first = end + 1

    def read(self, address, length):
        """`length` bytes at a 32-bit address; a range that goes past 4 GiB is not there."""
        if length == 0:
            return b""
        if address < 0 or address + length > MASK + 1:
            raise Unreadable(address & MASK)
        first, last = address // PAGE, (address + length - 1) // PAGE
        self._fetch(first, last)
        if first == last:
            at = address % PAGE
            return self.pages[first][at:at + length]
        data = b"".join(self.pages[page] for page in range(first, last + 1))
        return data[address % PAGE:address % PAGE + length]

    def u32(self, address):
        return struct.unpack("<I", self.read(address, 4))[0]

    def words(self, address, count):
        return struct.unpack(f"<{count}I", self.read(address, 4 * count))

    def text(self, address, longest=64):
        """A C string. What is no text comes out as question marks; without a NUL it is cut."""
        data = b""
        while len(data) < longest and b"\0" not in data:
            data += self.read(address + len(data), min(longest - len(data), PAGE - (address + len(data)) % PAGE))
        text = data.split(b"\0")[0]
        return "".join(chr(c) if 32 <= c < 127 else "?" for c in text)


class Layout:
    """Where a structure's fields lie: `fields` is {name: offset}, nested names with dots."""

    def __init__(self, name, size, fields):
        self.name, self.size, self.fields = name, size, fields

    def __getitem__(self, field):
        return self.fields[field]


class View:
    """A structure at an address; view["field"] is its 32-bit word."""

    def __init__(self, memory, layout, address):
        self.layout, self.address = layout, address
        self.data = memory.read(address, layout.size)

    def __getitem__(self, field):
        return struct.unpack_from("<I", self.data, self.layout[field])[0]

    def u16(self, field):
        return struct.unpack_from("<H", self.data, self.layout[field])[0]

    def words(self, field, count):
        return struct.unpack_from(f"<{count}I", self.data, self.layout[field])
