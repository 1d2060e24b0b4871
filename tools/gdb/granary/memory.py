"""memory.py - reads the stopped machine's memory as the selected thread sees it.

A thread of GDB's is a processor, and processors differ in what is mapped where (kernel/processor.h).
Inferior.read_memory() takes any of the inferior's threads since GDB 14, so a value is read instead: values belong to
the selected thread.
"""

import gdb

PART = 16384  # bytes: `max-value-size` is four times as many


def read(address, length):
    """bytes; gdb.MemoryError where nothing is mapped."""
    parts = []
    for at in range(address, address + length, PART):
        count = min(PART, address + length - at)
        array = gdb.lookup_type("unsigned char").array(count - 1)
        value = gdb.Value(at).cast(array.pointer()).dereference()
        parts.append(value.string("iso-8859-1", "strict", count).encode("iso-8859-1"))
    return b"".join(parts)
