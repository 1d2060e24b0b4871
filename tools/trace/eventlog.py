"""eventlog.py - makes a trace of the records that the kernel writes with `events=com2` (kernel/measure/events.h).

The only Python that knows the format. A file is a head and records, 24 bytes each, little-endian. What is wrong with
one is an error and not a guess: a number left out means that a call is missing, and with it a block's life.

What the records hold and a trace cannot is left out and counted: calls that gave no memory, refused calls, an aligned
call's alignment (docs/traces.md).
"""

import struct
from collections import namedtuple

import rawlog
import traceformat as fmt
from traceformat import TraceError

MAGIC = b"HEVENTS1"
HEAD = struct.Struct("<8s4I")
RECORD = struct.Struct("<BBH5I")
MARK, REFUSED = 0xe7, 0x80
MALLOC, FREE, REALLOC, CALLOC, ALIGNED = KINDS = range(5)
KIND_NAMES = (*fmt.KIND_NAMES, "aligned_alloc")

Head = namedtuple("Head", "heap_base heap_bytes")
Event = namedtuple("Event", "kind refused number tid size pointer result caller")


def parse(path, data):
    """(head, [Event]) of a file's bytes. TraceError says what is wrong."""
    if not data or not data.startswith(MAGIC[:len(data)]):
        raise TraceError(f"{path}: not a file of heap events: it does not start with {MAGIC.decode()}")
    if len(data) < HEAD.size:
        raise TraceError(f"{path}: cut off inside the head")
    _, size, base, length, zero = HEAD.unpack_from(data)
    if size != RECORD.size or zero:
        raise TraceError(f"{path}: heap events of another version: records of {size} bytes, not {RECORD.size}")
    events = []
    whole = (len(data) - HEAD.size) // RECORD.size
    for place in range(whole):
        event = parse_one(path, place, RECORD.unpack_from(data, HEAD.size + place * RECORD.size))
        if events and event.number != (events[-1].number + 1) & 0xffff:
            raise TraceError(f"{path}: record {place}: number {event.number} follows {events[-1].number}: "
                             "calls are missing")
        events.append(event)
    rest = len(data) - HEAD.size - whole * RECORD.size
    if rest:
        raise TraceError(f"{path}: cut off: {rest} bytes follow its last whole record, number {whole}")
    return Head(base, length), events


def parse_one(path, place, fields):
    mark, kind, number, *rest = fields
    if mark != MARK or kind & ~REFUSED not in KINDS:
        raise TraceError(f"{path}: record {place}: damaged: it starts with {mark:#04x} {kind:#04x}")
    return Event(kind & ~REFUSED, bool(kind & REFUSED), number, *rest)


def load(path):
    return parse(path, fmt.read_bytes(path))


class Counts:
    """What a trace has no room for."""

    def __init__(self):
        self.refused = self.empty = 0

    def words(self):
        told = ((self.refused, "{} refused left out"), (self.empty, "{} that gave no memory left out"))
        return [text.format(count) for count, text in told if count]


def add(converter, counts, event):
    """One event to a rawlog.Converter's trace."""
    if event.refused:
        counts.refused += 1
    elif event.kind == FREE:
        if event.pointer:
            converter.free(event.pointer)
    elif event.kind == REALLOC and event.pointer and not event.size:
        converter.free(event.pointer)
    elif not event.result:
        counts.empty += 1
    elif event.kind == REALLOC:
        converter.realloc(event.pointer, event.result, event.size)
    else:
        converter.malloc(fmt.CALLOC if event.kind == CALLOC else fmt.MALLOC, event.result, event.size)


def convert(path):
    """(trace, words): what became of the records beside."""
    _, events = load(path)
    converter, counts = rawlog.Converter(), Counts()
    for event in events:
        add(converter, counts, event)
    trace = converter.builder.trace()
    fmt.check(path, trace)  # the tool does not take its own word for it
    return trace, counts.words() + converter.counts.words()


def lines(events, limit=None):
    """A line for each event, `limit` of them at most."""
    for place, event in enumerate(events):
        if place == limit:
            yield f"... {len(events) - place} more"
            return
        given = {FREE: f"{event.pointer:#x}", REALLOC: f"{event.pointer:#x}, {event.size}",
                 ALIGNED: f"{event.pointer}, {event.size}"}.get(event.kind, f"{event.size}")
        gave = "" if event.kind == FREE else f" = {event.result:#x}"
        yield (f"{place + 1}: {KIND_NAMES[event.kind]}({given}){gave}{' refused' if event.refused else ''}, "
               f"thread {event.tid}, from {event.caller:#x}")
