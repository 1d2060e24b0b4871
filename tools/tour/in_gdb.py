"""in_gdb.py - a guided tour inside GDB. Sourced by tour.py, which leaves what it needs in the environment:
TOUR (name), TOUR_LAYOUT (file of layout.load()'s result), TOUR_AUTO (1: walk to the end and leave), TOUR_TOOLS (folder
of this file).

The debugger stays the user's: every command works, and `continue` goes to the tour's next stop, or to a breakpoint of
the user's own before that.
"""

import json
import os
import sys

import gdb  # pylint: disable=import-error

sys.path[:0] = [os.environ["TOUR_TOOLS"], os.path.join(os.environ["TOUR_TOOLS"], os.pardir, "gdb")]
sys.dont_write_bytecode = True  # the checkout stays as it was

import layout as layouts  # noqa: E402  pylint: disable=wrong-import-position
import tourfile  # noqa: E402  pylint: disable=wrong-import-position
import walk  # noqa: E402  pylint: disable=wrong-import-position
from granary import memory  # noqa: E402  pylint: disable=wrong-import-position


# Not sys.stdout, which is GDB's: what a command is made to return would swallow it.
OUT = open(1, "w", encoding="utf-8", closefd=False)  # pylint: disable=consider-using-with


class GdbMachine:
    """QEMU through GDB's stub."""

    @staticmethod
    def read(address, count):
        return memory.read(address, count)

    @staticmethod
    def register(name):
        value = int(gdb.parse_and_eval(f"${name}"))
        return value & 0xffffffff


class TourStop(gdb.Breakpoint):
    """The processor's own kind of breakpoint: the first waits for a kernel that is not loaded yet."""

    def __init__(self, one):
        super().__init__(f"*{one.address():#x}", type=gdb.BP_HARDWARE_BREAKPOINT, internal=True)
        self.silent, self.one = True, one

    def stop(self):
        return self.one.is_there()


class GdbWalk(walk.Walk):
    breakpoint = None

    def arm(self):
        self.breakpoint = TourStop(self)

    def disarm(self):
        self.breakpoint.delete()

    def on_stop(self, event):
        if isinstance(event, gdb.StopEvent) and self.is_there():
            self.show(layouts.place_lines(gdb, self.machine.register("eip")), OUT)

    def on_exit(self, event):
        print(self.off(), file=OUT, flush=True)


def main():
    with open(os.environ["TOUR_LAYOUT"], encoding="utf-8") as file:
        layout = json.load(file)
    one = GdbWalk(tourfile.read(os.environ["TOUR"]), layout, GdbMachine(), os.environ["TOUR_AUTO"] == "1")
    one.arm()
    gdb.events.stop.connect(one.on_stop)
    if not one.auto:
        gdb.events.exited.connect(one.on_exit)
        return
    try:
        for _ in one.tour.stops:
            gdb.execute("continue", to_string=True)
    except gdb.error:  # the machine has switched itself off; if its last words arrive in time it is no error
        pass
    if not one.over():
        print(one.off(), file=OUT, flush=True)
    gdb.execute(f"quit {0 if one.over() and one.failed == 0 else 1}")


main()
