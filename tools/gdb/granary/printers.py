"""printers.py - what `print` shows of the heap's structures: a sentence, then the fields.

The fields stay: a reader of the kernel's source wants to see `cnt` and `carved` as they are. `print/r` shows a
structure without all this.
"""

import gdb
import gdb.printing

from granary import target, threads

SHOWN = 64  # elements of a list


class Fields:
    """A sentence, and all the fields of a structure that are not parts of another one."""

    def __init__(self, value):
        self.value = value

    def children(self):
        for field in self.value.type.strip_typedefs().fields():
            if field.name and field.name not in self.hidden:
                yield field.name, self.value[field.name]
            elif not field.name:
                yield from type(self)(self.value[field]).children()

    hidden = ()


class ArenaPrinter(Fields):
    hidden = ("elem", "head", "carving")

    def to_string(self):
        count, base = int(self.value["cnt"]), int(self.value["base"])
        if int(self.value["large"]):
            return f"large area of {count} frame{'' if count == 1 else 's'} at 0x{base:08x}"
        if not int(self.value["desc"]):
            return "no arena starts here" if int(self.value["head"]) == 0 else "not sound: neither an arena nor blank"
        try:
            desc = self.value["desc"].dereference()
            blocks, size = int(desc["blocks_per_arena"]), int(desc["block_size"])
        except gdb.error:
            return f"not sound: desc leads to 0x{int(self.value['desc']):08x}"
        return f"arena of {size}-byte blocks at 0x{base:08x}, {blocks - count} of {blocks} live"


class DescPrinter(Fields):
    hidden = ("end",)

    def to_string(self):
        return f"descriptor of {int(self.value['block_size'])}-byte blocks"


class PoolPrinter(Fields):
    hidden = ("name", "nonempty", "nonempty_words", "anchor", "anchor_words", "bin")

    def to_string(self):
        try:
            name = self.value["name"].string(length=16).split("\0")[0]
        except (gdb.error, UnicodeDecodeError):
            name = "a pool"
        return f"{name}: {int(self.value['free'])} of {int(self.value['usable'])} frames free"

    def children(self):
        yield from super().children()
        low, high = self.value["bin"].type.range()
        for i in range(low, high + 1):
            if int(self.value["bin"][i]):
                yield f"bin[{i}]", self.value["bin"][i]


class ListPrinter:
    """struct list: its elements, as what they are embedded in where that can be told."""

    def __init__(self, value):
        self.elements, self.trouble = [], "not in memory"
        if value.address is not None:
            self.walk(value["head"])

    def walk(self, head):
        self.trouble = ""
        try:
            for at in threads.elements(head):
                if len(self.elements) == SHOWN:
                    self.trouble = "and more"
                    return
                self.elements.append(at)
        except target.Trouble as error:
            self.trouble = str(error)

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
        heap = target.variable("k_heap")
        first = int(heap["arena"])
        if first <= at < first + int(heap["frames"]) * heap["arena"].dereference().type.sizeof:
            return gdb.Value(at).cast(heap["arena"].type)
        for member in ("all", "elem"):
            thread = threads.thread_at(at, member)
            if thread is not None:
                return thread.address
    except target.Trouble:
        pass
    return gdb.Value(at).cast(gdb.lookup_type("struct list_elem").pointer())


def register():
    printer = gdb.printing.RegexpCollectionPrettyPrinter("granary")
    for name, kind in (("arena", ArenaPrinter), ("memory_block_desc", DescPrinter), ("pool", PoolPrinter),
                       ("list", ListPrinter)):
        printer.add_printer(name, f"^{name}$", kind)
    gdb.printing.register_pretty_printer(None, printer, replace=True)
