"""printers.py - what `print` shows of the heap's structures: a sentence, then the fields.

The fields stay: whoever reads the kernel's source wants to see `cnt` and `carved` as they are. `print/r` shows a
structure without all this.
"""

import gdb
import gdb.printing

from granary import model, target, threads
from granary.memory import Memory, Trouble

SHOWN = 64  # elements of a list


def number(value):
    return int(value) & 0xffffffff


def heap_of():
    return model.Heap(target, Memory(target.read_bytes))


class ArenaPrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        head = number(self.value["head"])
        if head & model.ARENA_LARGE:
            frames = head & 0xffffff
            return f"large area of {frames} frame{'' if frames == 1 else 's'} at 0x{number(self.value['base']):08x}"
        if not number(self.value["desc"]):
            return "no arena starts here" if head == 0 else "not sound: neither an arena nor blank"
        try:
            desc = self.value["desc"].dereference()
            blocks, size = number(desc["blocks_per_arena"]), number(desc["block_size"])
        except gdb.error:
            return f"not sound: desc leads to 0x{number(self.value['desc']):08x}"
        return (f"arena of {size}-byte blocks at 0x{number(self.value['base']):08x}, "
                f"{blocks - (head & 0xffffff)} of {blocks} live")

    def children(self):
        for name in ("desc", "cnt", "large", "carved", "back", "seal", "base", "room", "map"):
            yield name, self.value[name]


class DescPrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        return f"descriptor of {number(self.value['block_size'])}-byte blocks"

    def children(self):
        for name in ("block_size", "blocks_per_arena", "frames_per_arena", "arenas", "reserve", "free_list"):
            yield name, self.value[name]


class PoolPrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        try:
            name = self.value["name"].string(length=16).split("\0")[0]
        except (gdb.error, UnicodeDecodeError):
            name = "a pool"
        return f"{name}: {number(self.value['free'])} of {number(self.value['usable'])} frames free"

    def children(self):
        for name in ("frame", "end", "phys", "frames", "usable", "free"):
            yield name, self.value[name]
        for i in range(model.POOL_BINS):
            if number(self.value["bin"][i]):
                yield f"bin[{i}]", self.value["bin"][i]


class ListPrinter:
    """struct list: its elements, as what they are embedded in where that can be told."""

    def __init__(self, value):
        self.value = value
        self.elements, self.trouble = [], ""
        self.walk()

    def walk(self):
        if self.value.address is None:
            self.trouble = "not in memory"
            return
        head = number(self.value.address)
        memory = Memory(target.read_bytes)
        try:
            before, at = head, memory.u32(head + 4)
            while at not in (head, 0):
                if memory.u32(at) != before:
                    self.trouble = f"broken at 0x{at:08x}: its prev leads elsewhere"
                    return
                if len(self.elements) >= SHOWN:
                    self.trouble = "and more"
                    return
                self.elements.append(at)
                before, at = at, memory.u32(at + 4)
        except Trouble as error:
            self.trouble = f"broken: {error}"

    def to_string(self):
        count = len(self.elements)
        text = f"list of {count}" if count else "empty list"
        return f"{text}, {self.trouble}" if self.trouble else text

    def children(self):
        for i, at in enumerate(self.elements):
            yield f"[{i}]", holder(at)


def holder(at):
    """The structure around a list element: an arena's record, a thread, or the element itself."""
    try:
        heap = heap_of()
        if 0 <= at - heap.arena < heap.frames * heap.arena_layout.size:
            return gdb.Value(at).cast(gdb.lookup_type("struct arena").pointer())
        layout = target.layout("thread")
        for member in ("all", "elem"):
            address = at - layout[member]
            if heap.memory.u32(address + layout["magic"]) == threads.THREAD_MAGIC:
                return gdb.Value(address).cast(gdb.lookup_type("struct thread").pointer())
    except Trouble:
        pass
    return gdb.Value(at).cast(gdb.lookup_type("struct list_elem").pointer())


def register():
    printer = gdb.printing.RegexpCollectionPrettyPrinter("granary")
    for name, kind in (("arena", ArenaPrinter), ("mem_block_desc", DescPrinter), ("pool", PoolPrinter),
                       ("list", ListPrinter)):
        printer.add_printer(name, f"^{name}$", kind)
    gdb.printing.register_pretty_printer(None, printer, replace=True)
