"""who.py - what an address belongs to: the sentence of heap_who() (kernel/inspect/who.c), word for word."""

from granary.memory import MASK


def history(record, threads, symbols):
    """", 24 bytes from 0x88012020 for thread main at demo_run+0x12, freed by thread b at worker+0x33"."""
    if record is None:
        return ""
    text = (f", {record.size} bytes from 0x{record.p:08x} for {threads.text(record.allocator)} at "
            f"{symbols.text(record.allocated)}")
    if record.freed:
        text += f", freed by {threads.text(record.freer)} at {symbols.text(record.freed)}"
    return text


def live_text(record):
    return "in quarantine" if record is not None and record.freed else "live"


def who_small(heap, at, address, record, names):
    into, arena = address - at.start, at.arena
    offset = f"byte {into} of " if into else ""
    carved = at.block < arena.carved
    state = "never handed out" if not carved else "free" if arena.block_free(at.block) else live_text(record)
    return (f"{offset}block {at.block} of the {at.desc.block_size}-byte arena 0x{arena.base:08x}, "
            f"kernel_pool frame {heap.frame_of(arena.address)}, {state}"
            + (history(record, *names()) if carved and record is not None else ""))


def who_large(heap, at, address, record, names):
    return (f"byte {(address - at.start) & MASK} of the large area 0x{at.start:08x} of {at.arena.cnt} frames, "
            f"kernel_pool frame {heap.frame_at(address)}, {live_text(record)}"
            + (history(record, *names()) if record is not None else ""))


def who_frame(heap, frame):
    """A frame in which no sound record has a block."""
    arena = heap.record(frame)
    step = arena.back // heap.arena_layout.size
    if 0 < step <= frame:
        arena = heap.record(frame - step)
    blank = arena.desc == 0 and arena.head == 0 and arena.seal == 0
    if not blank and not arena.sealed():
        return f"an arena whose record was overwritten, kernel_pool frame {frame}"
    if not blank and not arena.large:
        return (f"after the last block of the {heap.desc_of(arena).block_size}-byte arena, "
                f"kernel_pool frame {heap.frame_of(arena.address)}")
    state = "free or no memory" if heap.run_start(frame) is None else "held outside the heap"
    return f"kernel_pool frame {frame}, {state}"


def who(heap, address, checked=None, names=None):
    """`checked`: the checked build's records (checked.py); `names()`: (threads, symbols), asked for when needed."""
    frame = heap.frame_at(address)
    if frame is None:
        return "no frame of kernel_pool"
    at = heap.block_at(address)
    if at is None:
        return who_frame(heap, frame)
    record = checked.facts(at) if checked is not None else None
    return (who_small if at.desc is not None else who_large)(heap, at, address, record, names)
