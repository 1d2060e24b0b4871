"""commands.py - the words a user types. Each command is a class; its docstring is what `help` shows.

Every command ends in lines of text or in one line that says what is wrong: invoke() turns whatever went wrong
into GDB's way of saying so, and a broken heap is what these commands are for, so none of them may end in
Python's own traceback.
"""

import os
import sys

import gdb

from granary import calls, check, heapmap, leaks, model, printers, render, stops, target, threads, who
from granary.checked import Checked, checked_margin
from granary.memory import Trouble, View
from granary.symbols import Symbols

USAGE = {
    "heap": "this, and the heap in a few lines",
    "heap descs": "block descriptors: arenas, free and live blocks of each size",
    "heap arenas [SIZE]": "every arena and large area, or the arenas of one block size",
    "heap map [FILE.svg]": "the kernel pool frame by frame, on the terminal or as a picture",
    "heap who ADDR": "what an address belongs to: block, arena, frame, live or free",
    "heap check": "every invariant of kernel/memory.c walked",
    "heap leaks": "what is not freed: by call site in the checked build, else by size",
    "heap trace [N]": "the last N calls, where the kernel keeps a ring of them",
    "heap break-on bad-free|class N|size N[-M]": "stop at the next wrong call, or request of a size",
    "pools": "the page-frame pools, and how long their free runs are",
    "threads": "all threads, and where each one sleeps",
}


def usage(name):
    """The usage line of a command."""
    known = [text for text in USAGE if text == name or text.startswith(name + " ")]
    return "usage: " + ("; ".join(known) if name != "heap" else "heap, or heap and a word that `heap` lists")


class Usage(Exception):
    """Wrong arguments: the user gets the usage line."""


class Command(gdb.Command):
    """A command named `name`; run() gets the words behind it."""

    name = ""
    words = (0, 0)  # how many arguments it takes

    def __init__(self):
        super().__init__(self.name, gdb.COMMAND_DATA, *self.more())

    def more(self):
        return ()

    def invoke(self, argument, from_tty):
        try:
            words = self.split(argument)
            if not self.words[0] <= len(words) <= self.words[1]:
                raise Usage
            for line in self.run(*words):
                print(line)
        except Usage:
            raise gdb.GdbError(usage(self.name)) from None
        except (Trouble, gdb.error) as error:
            raise gdb.GdbError(f"{self.name}: {error}") from None
        except (gdb.GdbError, KeyboardInterrupt):
            raise
        except Exception as error:  # never a traceback in the middle of a session
            raise gdb.GdbError(f"{self.name}: gave up: {type(error).__name__}: {error}") from None

    def split(self, argument):
        return argument.split()

    def run(self, *words):
        """The lines of the answer."""
        raise NotImplementedError


class ExpressionCommand(Command):
    """One argument that is an expression, blanks and all."""

    words = (1, 1)

    def split(self, argument):
        return [argument.strip()] if argument.strip() else []


def heap_at(memory):
    return model.Heap(target, memory)


def heap_now():
    return heap_at(target.memory())


class Names:
    """Threads and functions by name, read when the first sentence needs them."""

    def __init__(self, memory):
        self.memory, self.pair = memory, None

    def __call__(self):
        if self.pair is None:
            self.pair = threads.Threads(self.memory), Symbols(self.memory)
        return self.pair


def sentence(memory):
    """A function from an address to heap_who()'s sentence."""
    heap, checked, names = heap_at(memory), Checked.of(memory), Names(memory)
    return lambda address: who.who(heap, address, checked, names)


def number(word, what):
    try:
        return int(word, 0)
    except ValueError:
        raise Trouble(f"{word} is no {what}") from None


class HeapCommand(Command):
    """The heap of the stopped kernel. Without a word behind it: the heap in a few lines, and the list of commands.

Reads memory and nothing else: no function of the kernel is called and nothing is written, so it works when
the kernel hangs, has panicked, or has a heap that is not sound any more."""

    name = "heap"

    def more(self):
        return gdb.COMPLETE_NONE, True

    def run(self):
        try:
            yield from self.summary()
        except Trouble as error:
            yield f"heap: {error}"
        yield ""
        for text, what in USAGE.items():
            yield f"{text:<42} {what}"

    @staticmethod
    def summary():
        heap = heap_now()
        yield from render.pools(heap)
        yield render.heap_line(heap)
        small, large = render.arena_count(heap)
        live = sum(1 for _ in heap.live_blocks()) - large
        count = render.count_of
        yield (f"{count(small, 'arena')} with {count(live, 'live block')}, "
               f"{count(large, 'large area')}")
        yield from last_report(heap.memory)


class Descs(Command):
    """Block descriptors: for each block size its arenas, and their blocks free and live.
Usage: heap descs"""

    name = "heap descs"

    def run(self):
        return render.descs(heap_now())


class Arenas(Command):
    """Every arena and large area in the order of the frames, or the arenas of one block size.
Usage: heap arenas [SIZE]"""

    name = "heap arenas"
    words = (0, 1)

    def run(self, size=None):
        heap = heap_now()
        if size is not None:
            size = number(size, "block size")
            sizes = [desc.block_size for desc in heap.descs]
            if size not in sizes:
                raise Trouble(f"no descriptor of {size}-byte blocks; the sizes are {' '.join(map(str, sizes))}")
        return render.arenas(heap, size)


class Who(ExpressionCommand):
    """What an address belongs to, in the words of the kernel's own reports. ADDR is an expression.
Usage: heap who ADDR"""

    name = "heap who"

    def run(self, expression):
        address = target.evaluate(expression)
        yield f"0x{address:08x}: {sentence(target.memory())(address)}"


class Check(Command):
    """Walks every invariant that stands at the head of kernel/memory.c, F1 to F4 and A1 to A6; in the checked
build also C1 and C2 of kernel/checked/checked.c, canaries and poison.
One line for each place where one does not hold, in the words of the kernel's own heap_check().
Usage: heap check"""

    name = "heap check"
    shown = 40

    def run(self):
        memory = target.memory()
        heap, checked = heap_at(memory), Checked.of(memory)
        lines = list(checked.check(heap, sentence(memory))) if checked else []
        lines += check.check(heap)
        yield from lines[:self.shown]
        if len(lines) > self.shown:
            yield f"heap check: and {len(lines) - self.shown} more"
        if lines:
            yield f"heap check: {len(lines)} broken"
            if target.stopped_in("kernel/memory.c"):
                yield "heap check: the machine stands inside kernel/memory.c, a call may be half done: try `finish`"
            return
        small, large = render.arena_count(heap)
        yield (f"heap check: every invariant holds, in {render.count_of(small, 'arena')} and "
               f"{render.count_of(large, 'large area')}")


class Pools(Command):
    """The page-frame pools: usable and free frames, and the free runs that they are in.
Usage: pools"""

    name = "pools"

    def run(self):
        heap = heap_now()
        for pool, line in zip(heap.pools, render.pools(heap)):
            yield line
            yield from render.runs(pool)


class Map(ExpressionCommand):
    """The kernel pool as a picture, a cell for each frame; with a file's name as SVG.
Usage: heap map [FILE.svg]"""

    name = "heap map"
    words = (0, 1)

    def run(self, path=None):
        heap = heap_now()
        if path is None:
            colours = sys.__stdout__.isatty() and gdb.parameter("style enabled") and \
                os.environ.get("TERM", "dumb") != "dumb"
            yield from heapmap.text(heap, colours)
            return
        if not path.endswith(".svg"):
            raise Usage
        text = "\n".join(heapmap.svg(heap)) + "\n"
        try:
            with open(os.path.expanduser(path), "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise Trouble(f"{path}: {error.strerror}") from None
        yield f"{path}: {heap.frames} frames"


class Leaks(Command):
    """What is not freed, in the kernel's words: in the checked build a line for each place that allocated it.
Usage: heap leaks"""

    name = "heap leaks"

    def run(self):
        memory = target.memory()
        checked = Checked.of(memory)
        return leaks.leaks(heap_at(memory), checked, Symbols(memory) if checked else None)


class Trace(Command):
    """The last calls of the heap, 16 or N of them, where the kernel keeps a ring of them.
Usage: heap trace [N]"""

    name = "heap trace"
    words = (0, 1)

    def run(self, most="16"):
        memory = target.memory()
        return calls.listing(memory, Symbols(memory), number(most, "number of calls"))


class BreakOn(Command):
    """Stops at the next wrong call, or at requests of a size.
bad-free    where the kernel reports a wrong call; `up` leads to who made it
class N     requests that are served with blocks of N bytes
size N[-M]  requests of N bytes, or of N to M
Usage: heap break-on bad-free|class N|size N[-M]"""

    name = "heap break-on"
    words = (1, 2)

    def run(self, what, value=None):
        if (what == "bad-free") != (value is None) or what not in ("bad-free", "class", "size"):
            raise Usage
        if value is None:
            made = list(stops.bad_free())
        else:
            made = list(stops.sizes(*(self.of_class(value) if what == "class" else self.of_sizes(value))))
        numbers = ", ".join(str(stop.number) for stop in made)
        yield f"heap break-on: breakpoint{'' if len(made) == 1 else 's'} {numbers}: `delete` takes them away"

    @staticmethod
    def of_sizes(text):
        low, _, high = text.partition("-")
        low = number(low, "size")
        return low, number(high, "size") if high else low

    @staticmethod
    def of_class(text):
        """The sizes that blocks of N bytes serve: more than the next smaller block, less the checked build's part."""
        heap, size = heap_now(), number(text, "block size")
        sizes = [desc.block_size for desc in heap.descs]
        if size not in sizes:
            raise Trouble(f"no descriptor of {size}-byte blocks; the sizes are {' '.join(map(str, sizes))}")
        smaller = max([other for other in sizes if other < size], default=0)
        extra = checked_margin() if Checked.of(heap.memory) else 0
        return max(smaller + 1 - extra, 1), size - extra


class Threads(Command):
    """All threads with state and priority, and the calls that each one sleeps in.
Usage: threads"""

    name = "threads"

    def run(self):
        memory = target.memory()
        return threads.listing(memory, Symbols(memory))


def last_report(memory):
    """The last wrong call that the kernel has reported."""
    count = memory.u32(target.address_of("heap_report_count"))
    if count == 0:
        yield "no wrong call has been reported"
        return
    report = View(memory, target.layout("heap_report"), target.address_of("heap_last_report"))
    yield (f"{count} wrong call{'' if count == 1 else 's'} reported, the last of 0x{report['pointer']:08x} from "
           f"{Symbols(memory).text(report['caller'])}")


COMMANDS = (HeapCommand, Descs, Arenas, Map, Who, Check, Leaks, Trace, BreakOn, Pools, Threads)


def register():
    for command in COMMANDS:
        command()
    printers.register()
