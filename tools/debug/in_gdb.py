"""in_gdb.py - what `make debug` adds to GDB beside the heap commands: the welcome, and the kernel's console.

The console has a terminal of its own (console.py). Its text is in the file GRANARY_CONSOLE, too, so that it can be
looked at here without being written over what GDB shows.
"""

import os
import time

import gdb

LINES = 20  # that `console` shows
LAST_LINE = "granary: halt"  # kernel/power.h
LAST_LINE_SECONDS = 2
SETTLED_SECONDS, SETTLED_SECONDS_MAX = 0.2, 2


def settled(path):
    """Waits until nothing has come for a moment: what the kernel printed just before it stopped is on its way still."""
    size, until = -1, time.monotonic() + SETTLED_SECONDS_MAX
    while size != (size := os.path.getsize(path)) and time.monotonic() < until:
        time.sleep(SETTLED_SECONDS)


def console_lines(most):
    """The last lines that the kernel has printed; one that is not finished is among them."""
    settled(os.environ["GRANARY_CONSOLE"])
    with open(os.environ["GRANARY_CONSOLE"], encoding="utf-8", errors="replace") as text:
        lines = text.read().replace("\r", "").split("\n")
    return (lines if lines[-1] else lines[:-1])[-most:]


class Console(gdb.Command):
    """The last 20 lines that the kernel has printed, or the last N.
To type at the kernel: `make console` in another terminal.
Usage: console [N]"""

    def __init__(self):
        super().__init__("console", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        if argument and not argument.isdecimal():
            raise gdb.GdbError("usage: console [N]")
        for line in console_lines(int(argument or LINES)) or ["The kernel has printed nothing yet."]:
            print(line)


def place():
    """Who called, as the frame above says it."""
    caller = gdb.newest_frame()
    while caller.type() == gdb.INLINE_FRAME:
        caller = caller.older()
    caller = caller.older()
    line = caller.find_sal()
    return f"{caller.name()}() in {line.symtab.filename}:{line.line}"


class Welcome(gdb.Command):
    """What `make debug` says at its first stop. From here on it stops at each sys_malloc."""

    def __init__(self):
        super().__init__("welcome", gdb.COMMAND_OBSCURE)

    def invoke(self, argument, from_tty):
        gdb.execute("break sys_malloc", to_string=True)
        size = int(gdb.parse_and_eval("*(unsigned int *)($esp + 4)"))
        print(f"""
The heap's first call since the boot: {place()} asks for {size} bytes.
  next, step    on by a line of the source     stepi    by an instruction
  finish        out of this call               bt       who called whom
  continue      to the next sys_malloc         Ctrl-C   stops the machine; quit leaves
  heap          the heap in a few lines, and its commands: heap who ADDR, heap map, heap check, ...
  console       what the kernel has printed; to type at its prompt: `make console` in another terminal""")


def on_exit(event):
    """The machine has switched itself off: its last words say why. They come another way than the news that the
    machine is gone, and may be later. GDB calls this, too, when it lets go of a machine that runs."""
    deadline = time.monotonic() + LAST_LINE_SECONDS
    while (lines := console_lines(5)) and time.monotonic() < deadline:
        if lines[-1].startswith(LAST_LINE):
            print("The machine is off. Its last lines:", *lines, sep="\n  ")
            return
        time.sleep(0.02)


def on_quit(event):
    """The user leaves: what becomes of the machine is no news."""
    gdb.events.exited.disconnect(on_exit)


Console()
Welcome()
gdb.events.exited.connect(on_exit)
gdb.events.gdb_exiting.connect(on_quit)
