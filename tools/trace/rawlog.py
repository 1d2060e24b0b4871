"""rawlog.py - makes a trace of a recorder's log: addresses become slots.

A log (tools/trace/record.c) is a header of 4096 bytes and records of 24: what (kind << 56 | size), from, to. The first
record whose `what` is 0 ends it; so does the end of the file.

What a log holds and a trace cannot:
  - a free of an address that no recorded call returned (the block is older than the log, as after a fork, or came from
    elsewhere): left out. A realloc of one becomes a malloc.
  - a call that returns an address which is still live in the log: its free was not seen; it is put in.
  - an area above `largest` bytes: left out, with its free. The format itself ends at 4 GiB - 1.
  - size 0: becomes 1.
All four are counted, and told to the user.
"""

import struct
from collections import namedtuple

import traceformat as fmt
from traceformat import TraceError

HEADER_BYTES = 4096
HEADER = struct.Struct("<8sIIi")
MAGIC = b"MTRAWLG1"
RECORD = struct.Struct("<QQQ")
KIND_SHIFT = 56
SIZE_MASK = (1 << KIND_SHIFT) - 1
KIND_MALLOC, KIND_FREE, KIND_REALLOC, KIND_CALLOC = range(1, 5)
PIECE_BYTES = RECORD.size << 16

Header = namedtuple("Header", "pid word_bytes stopped program")


class Counts:
    """What became of the records that a trace has no room for."""

    def __init__(self):
        self.unknown = self.unseen = self.large = self.zero = 0

    def words(self):
        """For the user, nothing left out: []."""
        told = ((self.unknown, "{} of unknown addresses left out"), (self.unseen, "{} frees not seen, put in"),
                (self.large, "{} areas too large left out"), (self.zero, "{} of size 0 made 1"))
        return [text.format(count) for count, text in told if count]


def read_header(path):
    """The header of a log. TraceError if it is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(HEADER_BYTES)
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}") from None
    if not data.startswith(MAGIC):
        raise TraceError(f"{path}: not a recorder's log: it does not start with {MAGIC.decode()}")
    if len(data) < HEADER_BYTES:
        raise TraceError(f"{path}: cut off inside the header")
    _, pid, word_bytes, stopped = HEADER.unpack_from(data)
    program = data[HEADER.size:].split(b"\0", 1)[0].decode("utf-8", "replace")
    return Header(pid, word_bytes, stopped, program)


def records(path):
    """(what, from, to) of every record: up to the first empty one, or the last whole one of a cut-off file."""
    with open(path, "rb") as file:
        file.seek(HEADER_BYTES)
        while piece := file.read(PIECE_BYTES):
            for record in RECORD.iter_unpack(piece[:len(piece) - len(piece) % RECORD.size]):
                if not record[0]:
                    return
                yield record


def count_records(path):
    return sum(1 for _ in records(path))


class Converter:
    """Follows a log record by record; `builder` holds the trace as far as it has come."""

    def __init__(self, largest=fmt.SIZE_MAX):
        self.largest = largest
        self.builder = fmt.Builder()
        self.counts = Counts()
        self.slot_of = {}        # address: slot, of every live block
        self.left_out = set()    # addresses of live areas that are not in the trace

    def malloc(self, kind, address, size):
        self.forget(address)
        if size > self.largest:
            self.counts.large += 1
            self.left_out.add(address)
            return
        self.slot_of[address] = self.builder.malloc(self.at_least_1(size), kind)

    def forget(self, address):
        """Nothing lives at an address that a call has just returned, whatever the log says."""
        self.left_out.discard(address)
        slot = self.slot_of.pop(address, None)
        if slot is not None:
            self.counts.unseen += 1
            self.builder.free(slot)

    def free(self, address):
        slot = self.slot_of.pop(address, None)
        if slot is not None:
            self.builder.free(slot)
        elif address in self.left_out:
            self.left_out.remove(address)
        else:
            self.counts.unknown += 1

    def realloc(self, old, address, size):
        slot = self.slot_of.pop(old, None)
        if slot is None:  # realloc(NULL, n), or of a block that is not in the trace
            if old in self.left_out:
                self.left_out.remove(old)
            elif old:
                self.counts.unknown += 1
            self.malloc(fmt.MALLOC, address, size)
        elif size > self.largest:
            self.builder.free(slot)
            self.counts.large += 1
            self.left_out.add(address)
        else:
            self.forget(address)
            self.builder.realloc(slot, self.at_least_1(size))
            self.slot_of[address] = slot

    def at_least_1(self, size):
        self.counts.zero += size == 0
        return max(size, 1)

    def record(self, what, old, address):
        kind, size = what >> KIND_SHIFT, what & SIZE_MASK
        if kind == KIND_FREE:
            self.free(old)
        elif kind == KIND_MALLOC:
            self.malloc(fmt.MALLOC, address, size)
        elif kind == KIND_CALLOC:
            self.malloc(fmt.CALLOC, address, size)
        elif kind == KIND_REALLOC:
            self.realloc(old, address, size)
        else:
            raise TraceError(f"a record of kind {kind}, which there is none of")


def convert(path, largest=fmt.SIZE_MAX):
    """(trace, counts) of a log."""
    read_header(path)
    converter = Converter(largest)
    number = 0
    try:
        for number, record in enumerate(records(path)):
            converter.record(*record)
    except TraceError as error:
        raise TraceError(f"{path}: record {number}: {error}") from None
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}") from None
    trace = converter.builder.trace()
    fmt.check(path, trace)  # the tool does not take its own word for it
    return trace, converter.counts
