"""commands.py - the words a user types. Each command is a class; its docstring is what `help` shows.

What the kernel can say itself it says: its own function runs on a copy of the stopped machine (replica.py), so the
words are those of its prompt. Every command ends in lines of text or in one line that says what is wrong: a broken
heap is what these commands are for, so none of them may end in Python's own traceback.
"""

import os
import re
import sys

import gdb

from granary import picture, printers, stops, target, threads
from granary.replica import TEXT_HERE, Replica
from granary.target import Trouble

USAGE = {
    "heap": "this, and the heap in a few lines",
    "heap PID": "a program's heap and its arenas",
    "heap descs [PID]": "block descriptors: arenas, free and live blocks of each size; of a program",
    "heap arenas [SIZE]": "arenas and large areas, or the arenas of one block size",
    "heap map [[user] FROM [COUNT]]": "the pools as a picture; a cell for each frame from FROM on",
    "heap map FILE.svg": "the kernel pool, a cell for each frame, as a file",
    "heap map of PID": "the frames of a program's heap",
    "heap who ADDR [of PID]": "what an address belongs to: block, arena, stack, code, variable, hole; of a program",
    "heap check": "every invariant of the heap walked",
    "heap leaks [PID]": "what is not freed: by call site in the checked build, else by size; of a program",
    "heap trace [N]": "the last N calls, where the kernel keeps a ring of them",
    "heap break-on bad-free|class N|size N[-M]": "stop at the next wrong call, or request of a size",
    "pools": "the page-frame pools, and how long their free runs are",
    "threads": "all threads, and where each one sleeps",
    "program-symbols [NAME]": "a program's functions and lines, in place of another's; alone: which there are",
}
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def usage(name):
    """The usage line of a command."""
    known = [text for text in USAGE if text == name or text.startswith(name + " ")]
    return "usage: " + ("; ".join(known) if name != "heap" else "heap, or heap and a word that `heap` lists")


class Usage(Exception):
    """Wrong arguments: the user gets the usage line."""


class Command(gdb.Command):
    """A command named `name`; run() gets the words after it."""

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


def need_heap():
    target.need_machine()
    if not int(target.variable("k_heap")["frames"]):
        raise Trouble("the heap is not there yet: memory_init() has not run")


def plain(lines):
    """Without colours where they would be rubbish."""
    dumb = not sys.__stdout__.isatty() or not gdb.parameter("style enabled") or os.environ.get("TERM") == "dumb"
    return [ANSI.sub("", line) if dumb else line for line in lines]


def prompt(line):
    """What the kernel's prompt answers to a line."""
    need_heap()
    with Replica() as replica:
        return plain(replica.lines("shell_line", TEXT_HERE, text=line))


def sentence(address):
    """What an address belongs to, as `who` says it."""
    return prompt(f"who {address:#x}")[0].split(": ", 1)[1]


def number(word, what):
    try:
        return int(word, 0)
    except ValueError:
        raise Trouble(f"{word} is no {what}") from None


class HeapCommand(Command):
    """The heap of the stopped kernel. Without a word after it: the heap in a few lines, and the list of commands.

Reads memory and nothing else: the machine runs no instruction and nothing in it is written, so it works when the
kernel hangs, has panicked, or has a heap that is not sound any more. With a number: the heap of that program.
Usage: heap [PID]"""

    name = "heap"
    words = (0, 1)

    def more(self):
        return gdb.COMPLETE_NONE, True

    def run(self, pid=None):
        if pid is not None:
            if not pid.isdecimal():
                raise Usage
            yield from prompt(f"heap {pid}")
            return
        try:
            yield from prompt("mem")
            yield from last_report()
        except Trouble as error:
            yield f"heap: {error}"
        yield ""
        for text, what in USAGE.items():
            yield f"{text:<42} {what}"


class Prompt(Command):
    """A command that the kernel's prompt has as well."""

    def run(self, *words):
        for line in prompt(" ".join([self.name.split()[-1], *words])):
            yield line.replace("usage: ", "usage: heap ") if line.startswith("usage: ") else line


class Descs(Prompt):
    """Block descriptors: for each block size its arenas, and their blocks free and live.
Usage: heap descs [PID]"""

    name = "heap descs"
    words = (0, 1)


class Arenas(Prompt):
    """Arenas and large areas in the order of the frames, or the arenas of one block size.
Usage: heap arenas [SIZE]"""

    name = "heap arenas"
    words = (0, 1)


class Who(ExpressionCommand):
    """What an address belongs to, in the words of the kernel's own reports. ADDR is an expression; with `of PID`
after it, an address of that program.
Usage: heap who ADDR [of PID]"""

    name = "heap who"

    def run(self, expression):
        address, of, pid = expression.rpartition(" of ")
        if not of:
            return prompt(f"who {target.evaluate(expression):#x}")
        return prompt(f"who {target.evaluate(address):#x} {number(pid.strip(), 'number of a program')}")


class Check(Prompt):
    """Walks every invariant of the heap, F1 to F5 (kernel/pool.h) and A1 to A6 (kernel/memory.c); in the checked build
also C1 and C2 of kernel/checked/checked.c, canaries and poison. The kernel's own heap_check(), line for line.
Usage: heap check"""

    name = "heap check"

    def run(self, *words):
        lines = list(super().run(*words))
        yield from lines
        inside = [path for path in ("kernel/memory.c", "kernel/pool.c", "kernel/pool.h") if target.stopped_in(path)]
        if len(lines) > 1 and inside:
            yield f"heap check: the machine is inside {inside[0]}, a call may be half done: try `finish`"


class Pools(Prompt):
    """The page-frame pools: usable and free frames, and the free runs that they are in.
Usage: pools"""

    name = "pools"


class Map(Prompt):
    """The pools as a picture, in as few cells as fit the screen, or one cell a frame from frame FROM on, COUNT of
them, of the kernel pool or the user pool; the frames of a program's heap; with a file's name the kernel pool as SVG.
Usage: heap map [[user] FROM [COUNT]]; heap map of PID; heap map FILE.svg"""

    name = "heap map"
    words = (0, 3)

    def split(self, argument):
        return [argument.strip()] if argument.strip().endswith(".svg") else argument.split()

    def run(self, *words):
        if not words or not words[0].endswith(".svg"):
            yield from super().run(*words)
            return
        text = "\n".join(picture.svg(ANSI.sub("", line) for line in prompt("map 0"))) + "\n"
        try:
            with open(os.path.expanduser(words[0]), "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise Trouble(f"{words[0]}: {error.strerror}") from None
        yield f"{words[0]}: {int(target.variable('k_heap')['frames'])} frames"


class Leaks(Prompt):
    """What is not freed, in the kernel's words: in the checked build a line for each place that allocated it. With a
number: by a program.
Usage: heap leaks [PID]"""

    name = "heap leaks"
    words = (0, 1)


class Trace(Command):
    """The last calls of the heap, 16 or N of them, where the kernel keeps a ring of them.
Usage: heap trace [N]"""

    name = "heap trace"
    words = (0, 1)

    def run(self, most="16"):
        with Replica() as replica:
            lines = replica.lines("heaplog_print", number(most, "number of calls"))
        yield from lines or ["trace: no call yet: `trace on` at the kernel's prompt starts it"]


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
        need_heap()
        size, descs = number(text, "block size"), target.variable("k_heap")["block_descs"]
        sizes = [int(descs[i]["block_size"]) for i in range(int(target.variable("k_heap")["desc_count"]))]
        if size not in sizes:
            raise Trouble(f"no descriptor of {size}-byte blocks; the sizes are {' '.join(map(str, sizes))}")
        smaller = max([other for other in sizes if other < size], default=0)
        extra = int(target.variable("checked_margin")) if target.has("checked_margin") else 0
        return max(smaller + 1 - extra, 1), size - extra


class Threads(Command):
    """All threads with state and priority, and the calls that each one sleeps in.
Usage: threads"""

    name = "threads"

    def run(self):
        with Replica() as replica:
            yield from threads.listing(replica)


class ProgramSymbols(Command):
    """Loads the symbols of a program of the image: its functions, lines and variables. All programs are linked to the
same addresses, so those of another one go. Alone: which there are.
Usage: program-symbols [NAME]"""

    name = "program-symbols"
    words = (0, 1)

    def run(self, name=None):
        folders = [os.path.join(folder, "user") for folder in
                   (os.path.dirname(target.kernel_file()), os.path.join(target.ROOT, "build"))]
        folder = next(filter(os.path.isdir, folders), None)
        if folder is None:
            raise Trouble("build/user is not there: `make` builds it")
        folder = os.path.realpath(folder)
        known = sorted(file[:-4] for file in os.listdir(folder) if file.endswith(".elf"))
        if name is None:
            yield "programs: " + " ".join(known)
            return
        if name not in known:
            raise Trouble(f"no program is named {name}; there are {' '.join(known)}")
        for loaded in gdb.objfiles():
            if os.path.dirname(loaded.filename or "") == folder:
                main = loaded.lookup_global_symbol("main")
                gdb.execute(f"remove-symbol-file -a {int(main.value().address):#x}", to_string=True)
        gdb.execute(f"add-symbol-file {os.path.join(folder, name + '.elf')}", to_string=True)
        yield f"program-symbols: {name}: `break main` stops in it, whichever number it has"


def last_report():
    """The last wrong call that the kernel has reported."""
    count = int(target.variable("heap_report_count"))
    if count == 0:
        yield "no wrong call has been reported"
        return
    report = target.variable("heap_last_report")
    with Replica() as replica:
        caller = replica.text("symbol_text", int(report["caller"]))
    yield (f"{count} wrong call{'' if count == 1 else 's'} reported, the last of 0x{int(report['pointer']):08x} from "
           f"{caller}")


COMMANDS = (HeapCommand, Descs, Arenas, Map, Who, Check, Leaks, Trace, BreakOn, Pools, Threads, ProgramSymbols)


def register():
    for command in COMMANDS:
        command()
    printers.register()
