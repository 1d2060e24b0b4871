"""traceformat.py - the format of .mtrace files: reading, writing, and everything that can be wrong with one.

The only Python that knows it, for the recorder, the replay, the bench and the pictures; the kernel has
kernel/measure/trace_format.h. Little-endian:

    bytes 0 .. 31   "MTRACE1\\0"  u32 operations  u32 slots  u64 peak of live bytes  u64 0
    then 8 bytes    u32 kind << 30 | slot   u32 size              for each operation

Invariants of a good trace, in the order in which check() finds them broken:
  T1  the header's magic and last word; the file holds the operations that it promises, and nothing after them but
      zero bytes (a trace that lay on a disk is padded)
  T2  every slot is below the header's number of slots
  T3  a free has the size 0, everything else at least 1
  T4  malloc and calloc fill an empty slot; free and realloc find a live one
  T5  the header's peak is the most that was ever live after an operation
T1 to T4 are what the kernel refuses, in the same words.

Shortcoming: a trace is in memory whole, 8 bytes an operation, while one is worked on.
"""

import lzma
import os
import re
import struct
import sys
import tempfile
from array import array
from collections import namedtuple

import cli

MALLOC, FREE, REALLOC, CALLOC = range(4)
KIND_NAMES = ("malloc", "free", "realloc", "calloc")

MAGIC = b"MTRACE1\0"
HEADER = struct.Struct("<8sIIQQ")
OPERATION_BYTES = 8
SLOT_BITS = 30
SLOT_MASK = (1 << SLOT_BITS) - 1
SIZE_MAX = 0xffffffff
OPERATIONS_MAX = 0xffffffff
XZ_MAGIC = b"\xfd7zXZ\0"
NAME_MAX = 64  # characters of a name: it goes over the kernel command line

# words: array of u32, two an operation, as they lie in the file.
Trace = namedtuple("Trace", "words slots peak")


class TraceError(cli.RunError):
    """Something that is wrong with a file or a request; the text is one line, meant for the user."""


def operations(trace):
    """(kind, slot, size) of every operation."""
    words = iter(trace.words)
    for word, size in zip(words, words):
        yield word >> SLOT_BITS, word & SLOT_MASK, size


def operation_count(trace):
    return len(trace.words) // 2


def first(trace, count):
    """Its first `count` operations."""
    words = trace.words[:2 * max(count, 0)]
    sizes, live, peak = {}, 0, 0
    for _, slot, size in operations(Trace(words, trace.slots, 0)):
        live += size - sizes.get(slot, 0)
        sizes[slot] = size
        peak = max(peak, live)
    return Trace(words, trace.slots, peak)


class Builder:
    """A trace in the making. Keeps T2 to T5 by itself: hands out slots, and counts what lives in them.

    The slot that was freed last is the next one taken, so that a trace needs as many slots as it ever had live blocks.
    """

    def __init__(self):
        self.words = array("I")
        self.sizes = []    # by slot; 0: empty
        self.empty = []    # slots, the one freed last at the end
        self.live = 0      # bytes
        self.peak = 0

    def _add(self, kind, slot, size):
        self.words.append(kind << SLOT_BITS | slot)
        self.words.append(size)
        self.live += size - self.sizes[slot]
        self.sizes[slot] = size
        self.peak = max(self.peak, self.live)

    def malloc(self, size, kind=MALLOC):
        """A block of `size` bytes, 1 to SIZE_MAX; returns its slot."""
        if self.empty:
            slot = self.empty.pop()
        else:
            slot = len(self.sizes)
            if slot > SLOT_MASK:
                raise TraceError(f"more than {SLOT_MASK + 1} blocks live at once: the format ends there")
            self.sizes.append(0)
        self._add(kind, slot, size)
        return slot

    def calloc(self, size):
        return self.malloc(size, CALLOC)

    def realloc(self, slot, size):
        self._add(REALLOC, slot, size)

    def free(self, slot):
        self._add(FREE, slot, 0)
        self.empty.append(slot)

    def trace(self):
        if len(self.words) // 2 > OPERATIONS_MAX:
            raise TraceError(f"more than {OPERATIONS_MAX} operations: the format ends there")
        return Trace(self.words, len(self.sizes), self.peak)


# ---- files ----------------------------------------------------------------------------------------

def trace_name(path):
    """What a result has as name=: the file's name, in characters that the kernel's command line takes."""
    name = re.sub(r"\.mtrace(\.xz)?$|\.xz$", "", os.path.basename(path))
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[:NAME_MAX] or "trace"


def read_bytes(path):
    """A file's bytes, unpacked if they are xz's."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}") from None
    if not data.startswith(XZ_MAGIC):
        return data
    try:
        return lzma.decompress(data)
    except lzma.LZMAError as error:
        # Python's words for a stream that stops before its end.
        short = "end-of-stream" in str(error)
        raise TraceError(f"{path}: " + ("cut off: the xz stream has no end" if short
                                        else f"damaged: {error}")) from None


def little_endian(words):
    """array of u32 as it lies in a file, or back: on every machine this is likely to run on, nothing to do."""
    if sys.byteorder == "big":
        words = array("I", words)
        words.byteswap()
    return words


def load(path):
    """The trace in a file, checked for T1. TraceError names the file."""
    data = read_bytes(path)
    if not data or not data.startswith(MAGIC[:len(data)]):
        raise TraceError(f"{path}: not a trace: it does not start with MTRACE1")
    if len(data) < HEADER.size:
        raise TraceError(f"{path}: cut off inside the header")
    _, count, slots, peak, reserved = HEADER.unpack_from(data)
    if reserved:
        raise TraceError(f"{path}: not a trace of this version: the header's last word is not 0")
    size = HEADER.size + OPERATION_BYTES * count
    if len(data) < size:
        raise TraceError(f"{path}: cut off: {count} operations make {size} bytes, and there are {len(data)}")
    if any(data[size:]):
        raise TraceError(f"{path}: not a trace: {len(data) - size} bytes follow its last operation")
    words = array("I")
    words.frombytes(data[HEADER.size:size])
    return Trace(little_endian(words), slots, peak)


def to_bytes(trace):
    """A trace as it lies in a file."""
    return HEADER.pack(MAGIC, operation_count(trace), trace.slots, trace.peak, 0) + little_endian(trace.words).tobytes()


def save(path, trace):
    """Writes a trace, packed if the name says .xz. The file is there whole or not at all."""
    data = to_bytes(trace)
    if path.endswith(".xz"):
        data = lzma.compress(data, preset=9)
    save_bytes(path, data)


def save_bytes(path, data):
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe, /dev/null: nothing to replace
            with open(path, "wb") as file:
                file.write(data)
            return
        folder = os.path.dirname(os.path.abspath(path))
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".mtrace-", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.chmod(file.name, 0o666 & ~current_umask())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise TraceError(f"{path}: cannot be written: {error.strerror}") from None


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ---- checking -------------------------------------------------------------------------------------

def check(path, trace):
    """Raises TraceError for the first thing wrong with the trace's operations (T2 to T5)."""
    live = {}  # slot: bytes. Not a list: a false trace may name slot 2^30 - 1
    total = peak = 0
    for number, (kind, slot, size) in enumerate(operations(trace)):
        wrong = operation_fault(trace, live, kind, slot, size)
        if wrong:
            raise TraceError(f"{path}: operation {number}: {wrong}")
        total += size - live.get(slot, 0)
        live[slot] = size
        peak = max(peak, total)
    if peak != trace.peak:
        raise TraceError(f"{path}: the header says a peak of {trace.peak} bytes, the operations come to {peak}")


def operation_fault(trace, live, kind, slot, size):
    """What is wrong with an operation, or None."""
    if slot >= trace.slots:
        return f"slot {slot} is not below the header's number of slots"
    if kind == FREE and size:
        return f"a free with a size of {size} (it has none: 0)"
    if kind != FREE and not size:
        return f"{KIND_NAMES[kind]} of 0 bytes"
    full = live.get(slot, 0) != 0
    if kind in (FREE, REALLOC):
        return None if full else f"{KIND_NAMES[kind]} of slot {slot} which is empty"
    return f"{KIND_NAMES[kind]} into slot {slot} which is live" if full else None
