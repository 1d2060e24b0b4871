"""model.py - the heap as kernel/heap.h describes it, read into Python objects.

The constants are those of the headers named behind them; tests/e2e/test_gdb.py compares them. The layouts of
structures come from the kernel's debug information, and so cannot differ.

Everything that is read here may be wrong: a kernel is looked at because something is. So counts that loops
depend on are bounded, and pointers are compared before they are followed (check.py), or reading them raises
Unreadable.
"""

import struct
from collections import namedtuple

from granary.memory import MASK, Trouble, View

PG_SHIFT = 12                 # lib/page.h
PG_SIZE = 1 << PG_SHIFT
HEAP_BASE = 0x88000000        # kernel/layout.h
FRAME_FREE = 0x80000000       # kernel/heap.h, this and all below
FRAME_USED = 0x40000000
FRAME_LENGTH = 0x3fffffff
POOL_BINS = 256
ARENA_WORDS = 8
ARENA_BLOCKS_MAX = 32 * ARENA_WORDS
DESC_MAX = 32
ARENA_LARGE = 0x01000000
SMALL_SEAL = 0x5ea1a4e1
LARGE_SEAL = 0xa41e5ea1
BIN_EXACT = 31                # kernel/memory.c
FRAMES_MAX = 1 << 20          # kernel/port.h: frames of a pool at most
POOLS = 2


def run_length(tag):
    return tag & FRAME_LENGTH


def bin_of(count):
    """The bin for runs of `count` frames (kernel/memory.c)."""
    if count <= BIN_EXACT:
        return count - 1
    log = count.bit_length() - 1
    return BIN_EXACT + (log - 5) * 8 + ((count >> (log - 3)) & 7)


# A block or large area (struct heap_block, kernel/inspect/heapwalk.h): `desc` is None for an area.
Block = namedtuple("Block", "arena desc block start bytes")


class Arena:
    """A record of struct arena, whatever it holds."""

    __slots__ = ("address", "elem_prev", "elem_next", "desc", "head", "carving", "seal", "base", "room", "map")

    def __init__(self, layout, address, data, at=0):
        def word(field):
            return struct.unpack_from("<I", data, at + layout[field])[0]
        self.address = address
        self.elem_prev, self.elem_next = word("elem.prev"), word("elem.next")
        self.desc, self.head, self.carving = word("desc"), word("head"), word("carving")
        self.seal, self.base, self.room = word("seal"), word("base"), word("room")
        self.map = struct.unpack_from(f"<{ARENA_WORDS}I", data, at + layout["map"])

    @property
    def cnt(self):
        return self.head & 0xffffff

    @property
    def large(self):
        return self.head >> 24

    @property
    def carved(self):
        return self.carving & 0xffff

    @property
    def back(self):
        return self.carving >> 16

    def sum(self):
        return (self.desc + self.base + self.head + self.carving + self.seal) & MASK

    def sealed(self):
        return self.sum() == (LARGE_SEAL if self.large else SMALL_SEAL) and (self.desc == 0) == (self.large != 0)

    def block_free(self, block):
        """True if the block was handed out and is free again; False outside the bitmap."""
        return block < ARENA_BLOCKS_MAX and self.map[block // 32] >> block % 32 & 1 != 0

    def map_count(self):
        return sum(bin(word).count("1") for word in self.map)


class Pool:
    """struct pool and its frames' tags."""

    def __init__(self, memory, layouts, address):
        view = View(memory, layouts["pool"], address)
        self.memory, self.address, self.view = memory, address, view
        self.record = layouts["frame"]
        self.name = memory.text(view["name"], 32)
        self.frame, self.end, self.frames = view["frame"], view["end"], view["frames"]
        self.usable, self.free = view["usable"], view["free"]
        self.phys = view["phys"] | struct.unpack_from("<I", view.data, view.layout["phys"] + 4)[0] << 32
        self.nonempty = view.words("nonempty", POOL_BINS // 32)
        self.words = view["words"]
        self.bin = view.words("bin", POOL_BINS)
        self._tags = None

    def tags(self):
        """`run` of each frame's record."""
        if self._tags is None:
            if self.frames > FRAMES_MAX:
                raise Trouble(f"{self.name or 'a pool'}: {self.frames} frames are more than a pool can have: "
                              "struct pool was overwritten")
            data = self.memory.read(self.frame, self.frames * self.record.size)
            step, at = self.record.size // 4, self.record["run"] // 4
            self._tags = memoryview(data).cast("I")[at::step].tolist()
        return self._tags

    def record_at(self, address):
        return View(self.memory, self.record, address)

    def index(self, address):
        return (address - self.frame) // self.record.size


class Desc:
    """struct mem_block_desc."""

    def __init__(self, memory, layout, address):
        view = View(memory, layout, address)
        self.address = address
        self.block_size, self.blocks_per_arena = view["block_size"], view["blocks_per_arena"]
        self.frames_per_arena, self.arenas = view["frames_per_arena"], view["arenas"]
        self.reserve = view["reserve"]
        self.list = address + layout["free_list"]  # the list's head
        self.first = view["free_list.head.next"]
        self.end_desc, self.end_head, self.end_room = view["end.desc"], view["end.head"], view["end.room"]


class Heap:
    """The whole heap. `target` finds variables and layouts (target.py, or a test's own)."""

    def __init__(self, target, memory):
        self.memory = memory
        self.layouts = {name: target.layout(name) for name in ("arena", "frame", "pool", "mem_block_desc", "heap")}
        self.arena_layout = self.layouts["arena"]
        where = {name: target.address_of(name) for name in ("heap", "mem_pool", "k_block_descs")}
        if None in where.values():
            raise Trouble("the symbols are not Granary's: load the kernel with `file build/kernel.elf`")
        view = View(memory, self.layouts["heap"], where["heap"])
        self.arena, self.frames = view["arena"], view["frames"]
        self.desc_count, self.block_max = view["desc_count"], view["block_max"]
        self.small_frames, self.large_frames = view["small_frames"], view["large_frames"]
        if self.arena == 0 or self.frames == 0 or self.desc_count == 0:
            raise Trouble("the heap is not there yet: memory_init() has not run")
        if self.frames > FRAMES_MAX:  # loops over the records would not end
            raise Trouble(f"heap.frames is {self.frames}, more than a pool can have: struct heap was overwritten")
        size = self.layouts["pool"].size
        self.pools = [Pool(memory, self.layouts, where["mem_pool"] + i * size) for i in range(POOLS)]
        self.desc_base, self.desc_size = where["k_block_descs"], self.layouts["mem_block_desc"].size
        self.descs = [Desc(memory, self.layouts["mem_block_desc"], self.desc_base + i * self.desc_size)
                      for i in range(min(self.desc_count, DESC_MAX))]
        self.desc_at = {desc.address: desc for desc in self.descs}
        self._records = None

    def arena_at(self, address):
        """The record at an address that may be any number."""
        return Arena(self.arena_layout, address, self.memory.read(address & MASK, self.arena_layout.size))

    def record(self, frame):
        """The record of a frame."""
        return self.arena_at(self.arena + frame * self.arena_layout.size)

    def records(self):
        """All records, in the frames' order, read in one go."""
        if self._records is None:
            size = self.arena_layout.size
            data = self.memory.read(self.arena, self.frames * size)
            blank = bytes(size - self.arena_layout["desc"])
            self._records = [None if data[i * size + self.arena_layout["desc"]:(i + 1) * size] == blank else
                             Arena(self.arena_layout, self.arena + i * size, data, i * size)
                             for i in range(self.frames)]
        return self._records

    def frame_of(self, arena_address):
        return (arena_address - self.arena) // self.arena_layout.size

    def arenas(self):
        """(frame, record, descriptor or None for a large area) of each sound arena, in the frames' order."""
        frame, records = 0, self.records()
        while frame < self.frames:
            arena = records[frame]
            held = 1
            if arena is not None and (arena.desc or arena.large) and arena.sealed():
                desc = self.desc_at.get(arena.desc)
                if arena.large or desc is not None:
                    held = max(1, arena.cnt if arena.large else desc.frames_per_arena)
                    yield frame, arena, desc
            frame += held

    def live_blocks(self):
        """Every live block and large area, in the order of addresses."""
        for _, arena, desc in self.arenas():
            if desc is None:
                yield Block(arena, None, 0, arena.base, arena.cnt << PG_SHIFT)
                continue
            for block in range(min(arena.carved, desc.blocks_per_arena)):
                if not arena.block_free(block):
                    yield Block(arena, desc, block, arena.base + block * desc.block_size, desc.block_size)

    def run_start(self, frame):
        """The frame of the run handed out that holds `frame`, or None."""
        tags = self.pools[0].tags()
        if frame >= len(tags):
            return None
        at = frame
        while at > 0 and tags[at] == 0:
            at -= 1
        inside = tags[at] & FRAME_USED and frame - at < run_length(tags[at])
        return at if inside else None

    def frame_at(self, address):
        """The frame of kernel_pool that an address lies in, or None."""
        off = (address - HEAP_BASE) & MASK
        return off >> PG_SHIFT if off < (self.frames << PG_SHIFT) & MASK else None

    def arena_of(self, frame):
        """The sound record of the arena or large area that holds `frame`, or None."""
        arena = self.record(frame)
        step = arena.back // self.arena_layout.size
        if step > frame:
            return None
        if step:
            arena = self.record(frame - step)
        if arena.sealed():
            return arena
        start = self.run_start(frame)  # a further frame of a large area: its first has the record
        arena = self.record(start) if start is not None else None
        return arena if arena is not None and arena.large and arena.sealed() else None

    def desc_of(self, arena):
        return self.desc_at.get(arena.desc) or Desc(self.memory, self.layouts["mem_block_desc"], arena.desc)

    def block_at(self, address):
        """The block or large area, live or not, that an address lies in, or None (heap_block_at())."""
        frame = self.frame_at(address)
        arena = self.arena_of(frame) if frame is not None else None
        if arena is None:
            return None
        if arena.large:
            return Block(arena, None, 0, arena.base, arena.cnt << PG_SHIFT)
        desc = self.desc_of(arena)
        if desc.block_size == 0:  # the kernel would divide by it
            raise Trouble(f"the descriptor at 0x{arena.desc:08x} was overwritten: its blocks have 0 bytes")
        block = ((address - arena.base) & MASK) // desc.block_size
        if block >= desc.blocks_per_arena:
            return None
        return Block(arena, desc, block, arena.base + block * desc.block_size, desc.block_size)
