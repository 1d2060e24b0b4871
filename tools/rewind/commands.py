"""commands.py - the commands that only a recording can answer; loaded into GDB by rewind.py.

A search needs QEMU's stub for itself, and moves the machine without GDB's knowledge. So GDB lets go of the
connection before, and takes it up anew afterwards (`away()`), which makes it forget what it had read. Breakpoints stay
GDB's, and the search runs through none of them.
"""

import contextlib
import os
import sys

import gdb

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "gdb")]
sys.dont_write_bytecode = True

import machine  # noqa: E402 (the lines above make it findable)
from granary import commands, target, threads  # noqa: E402
from granary.replica import Replica  # noqa: E402
from granary.target import Trouble  # noqa: E402

WATCH_MAX = 4096  # bytes that one watchpoint may cover
TAKES = ("sys_malloc", "sys_calloc", "sys_realloc", "sys_aligned_alloc")
GIVES = ("sys_free", "sys_realloc")


@contextlib.contextmanager
def silence():
    """Without what GDB says of a stop: it goes past `to_string`, straight to standard output."""
    gdb.flush()
    out, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        gdb.flush()
        os.dup2(out, 1)
        os.close(out)
        os.close(nothing)


class Session:
    def __init__(self):
        self.stub = os.environ["GRANARY_REWIND_STUB"]
        self.replay = machine.Replay(os.environ["GRANARY_REWIND_QMP"], self.stub,
                                     int(os.environ["GRANARY_REWIND_LAST"]))
        self.busy = False

    @contextlib.contextmanager
    def away(self):
        """The machine without GDB; afterwards GDB looks at wherever it has been moved to."""
        self.busy = True
        before = self.replay.position()
        gdb.execute("disconnect", to_string=True)
        try:
            yield self.replay
        except BaseException:  # Ctrl-C, too
            self.replay.give_up()
            self.replay.seek(before)
            raise
        finally:
            with silence():  # the place is shown after the answer
                gdb.execute(f"target remote {self.stub}", to_string=True)
            self.replay.guard_end()
            self.busy = False

    def go(self, icount):
        with self.away() as replay:
            replay.seek(icount)

    def stopped(self, event):
        """At every stop of GDB's own: a run forward must not go past the recording's end."""
        if self.busy:
            return
        try:
            self.replay.guard_end()
            if self.replay.position() >= self.replay.last:
                print("This is the end of the recording.")
        except machine.MachineError:
            pass  # GDB itself will say that the machine is gone


SESSION = Session()

FORWARD = ("continue", "step", "next", "stepi", "nexti", "finish", "until", "advance")


def place_text(address, line=None):
    """function+offset (file:line) of an instruction."""
    line = line or target.source_line(address)
    with Replica() as replica:
        return replica.text("symbol_text", address) + (f" ({line[0]}:{line[1]})" if line else "")


def own_line():
    """(file, line) where the machine is, in the function itself and not in one that is inlined there."""
    frame = gdb.newest_frame()
    while frame.type() == gdb.INLINE_FRAME:
        frame = frame.older()
    place = frame.find_sal()
    return (place.symtab.filename, place.line) if place.symtab else None


def here():
    return f"instruction {SESSION.replay.position()} of {SESSION.replay.last}"


def show_place():
    """Where the machine is, as GDB says it after a step."""
    yield gdb.execute("frame", to_string=True).rstrip()


class Rewind(commands.Command):
    """A command that moves the machine: QEMU's complaints are the user's one line."""

    def invoke(self, argument, from_tty):
        try:
            super().invoke(argument, from_tty)
        except machine.MachineError as error:
            raise gdb.GdbError(f"{self.name}: {error}") from None

    def run(self, *words):
        try:
            yield from self.search(*words)
        except machine.MachineError as error:
            raise Trouble(str(error)) from None

    def search(self, *words):
        raise NotImplementedError


def what_is(address):
    """The sentence of `heap who`."""
    try:
        return commands.sentence(address)
    except Trouble as error:  # before memory_init(), say
        return str(error)


class WhoWrote(Rewind):
    """Goes back to the last write, before the present point, to LEN bytes at ADDR.
LEN is 4 if ADDR is a multiple of 4, else 1. The machine is then at the instruction that writes, before it is executed.
Usage: heap who-wrote ADDR [LEN]"""

    name = "heap who-wrote"
    words = (1, 2)

    def search(self, expression, length=None):
        address = target.evaluate(expression)
        length = commands.number(length, "number of bytes") if length else 4 if address % 4 == 0 else 1
        if not 1 <= length <= WATCH_MAX:
            raise Trouble(f"{length} bytes: from 1 to {WATCH_MAX} can be watched")
        with SESSION.away() as replay:
            now = replay.position()
            found = replay.last_write(address, length, now)
            if found is None:
                replay.seek(now)
                after = None
            else:
                replay.seek(found + 1)
                after = self.bytes_now(address, length)
                replay.seek(found)
        what = f"the byte at 0x{address:08x}" if length == 1 else f"the {length} bytes at 0x{address:08x}"
        if found is None:
            yield f"{what}: no instruction of the recording wrote there before this point"
            return
        before = target.read_bytes(address, min(length, 8))
        change = f"{before.hex(' ')} -> {after.hex(' ')}" if after else before.hex(" ")
        place = place_text(target.register("eip"), own_line())
        yield f"{what}: written by {place}, thread {threads.running_name()}, {here()}: {change}"
        yield f"0x{address:08x}: {what_is(address)}"
        yield from show_place()

    @staticmethod
    def bytes_now(address, length):
        stub = machine.Stub(SESSION.stub)
        try:
            return stub.read(address, min(length, 8))
        finally:
            stub.close()


def find_call(names, matches):
    """Goes back to the last call that matches; (name, stack), or None with the machine where it was."""
    entries = {target.address_of(name): name for name in names if target.has(name)}
    with SESSION.away() as replay:
        now = replay.position()
        found = replay.last_call(entries, now, matches)
        replay.seek(found[0] if found else now)
    return found[1:] if found else None


def call_text(name, stack):
    arguments = {"sys_malloc": "{1}", "sys_calloc": "{1}, {2}", "sys_realloc": "0x{1:08x}, {2}",
                 "sys_aligned_alloc": "{1}, {2}", "sys_free": "0x{1:08x}"}[name]
    return f"{name}({arguments.format(*stack)})"


class BackTo(Rewind):
    """Goes to a place of the recording.
alloc ADDR   back to the last call of sys_malloc or its kin that returned ADDR
free ADDR    back to the last call that freed ADDR
start, end   the recording's ends
first        the first sys_malloc
N            its instruction N
Usage: heap back-to alloc|free ADDR, heap back-to start|end|first|N"""

    name = "heap back-to"
    words = (1, 2)

    def search(self, what, expression=None):
        if what in ("alloc", "free"):
            if expression is None:
                raise commands.Usage
            yield from self.call(what, target.evaluate(expression))
            return
        if expression is not None:
            raise commands.Usage
        if what == "first":
            with SESSION.away() as replay:
                replay.first_call(target.address_of("sys_malloc"))
            yield here()
            yield from show_place()
            return
        places = {"start": 0, "end": SESSION.replay.last}
        SESSION.go(places[what] if what in places else commands.number(what, "instruction's number"))
        yield here()
        yield from show_place()

    @staticmethod
    def call(what, address):
        if what == "alloc":
            found = find_call(TAKES, lambda name, stack, result: None if result is None else result == address)
        else:
            found = find_call(GIVES, lambda name, stack, result: stack[1] == address and result is None)
        if found is None:
            verb = "returned" if what == "alloc" else "freed"
            yield f"0x{address:08x}: no call before this point of the recording {verb} it"
            return
        name, stack = found
        done = f" returned 0x{address:08x}" if what == "alloc" else ""
        yield (f"{call_text(name, stack)}{done}: called from {place_text(stack[0])}, "
               f"thread {threads.running_name()}, {here()}")
        yield from show_place()


class Greeting(gdb.Command):
    """What `make rewind` says when GDB has started."""

    def __init__(self):
        super().__init__("rewind-greeting", gdb.COMMAND_OBSCURE)

    def invoke(self, argument, from_tty):
        SESSION.replay.guard_end()
        print(f"The recording's end, {here()}.")
        print("Back: heap who-wrote ADDR [LEN], heap back-to alloc|free ADDR, "
              "heap back-to start|end|first|N, reverse-stepi")


class NeedMore(gdb.Command):
    """Refuses to go on where the recording ends: QEMU would wait for ever."""

    def __init__(self):
        super().__init__("rewind-need-more", gdb.COMMAND_OBSCURE)

    def invoke(self, argument, from_tty):
        forward = "Forward" in gdb.execute("show exec-direction", to_string=True)  # reverse-step is a step, too
        if forward and SESSION.replay.position() >= SESSION.replay.last:
            raise gdb.GdbError("This is the end of the recording: from here it only goes backwards.")


def register():
    commands.USAGE.update({
        "heap who-wrote ADDR [LEN]": "back to the last write to these bytes",
        "heap back-to alloc|free ADDR": "back to the call that returned ADDR, or that freed it",
        "heap back-to start|end|first|N": "the recording's ends, its first sys_malloc, its instruction N",
    })
    for command in (WhoWrote, BackTo, Greeting, NeedMore):
        command()
    gdb.events.stop.connect(SESSION.stopped)
    for word in FORWARD:  # GDB runs hook-WORD before WORD, and not WORD if that fails
        gdb.execute(f"define hook-{word}\nrewind-need-more\nend")


register()
