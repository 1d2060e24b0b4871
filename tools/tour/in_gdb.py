"""in_gdb.py - a guided tour inside GDB. Sourced by tour.py, which leaves what it needs in the environment:
TOUR (name), TOUR_LAYOUT (file of layout.load()'s result), TOUR_AUTO (1: walk to the end and leave).

The debugger stays the user's: every command works, `continue` goes to the next stop. A stop of the user's own is none
of the tour's business.
"""

import json
import os
import sys

import gdb  # pylint: disable=import-error

sys.path.insert(0, os.path.dirname(os.path.abspath(os.path.join(os.getcwd(), os.environ["TOUR_TOOLS"], "x"))))

import claims  # noqa: E402  pylint: disable=wrong-import-position
import tourfile  # noqa: E402  pylint: disable=wrong-import-position


# Not sys.stdout, which is GDB's: what a command is made to return would swallow it.
OUT = open(1, "w", encoding="utf-8", closefd=False)  # pylint: disable=consider-using-with


class GdbMachine:
    """QEMU through GDB's stub."""

    @staticmethod
    def read(address, count):
        return bytes(gdb.selected_inferior().read_memory(address, count))

    @staticmethod
    def register(name):
        value = int(gdb.parse_and_eval(f"${name}"))
        return value & 0xffffffff


class Walk:
    def __init__(self, tour, layout):
        self.tour, self.layout = tour, layout
        self.world = claims.World(GdbMachine(), layout)
        self.next, self.failed, self.back, self.breakpoint = 0, 0, (0, 0), None

    def arm(self):
        """A breakpoint at the next stop. The processor's own: the first waits for a kernel that is not loaded yet."""
        place = self.tour.stops[self.next].place
        address = self.back[0] if place == "return" else self.layout["functions"][place]
        self.breakpoint = gdb.Breakpoint(f"*{address:#x}", type=gdb.BP_HARDWARE_BREAKPOINT, internal=True)
        self.breakpoint.silent = True

    def at_stop(self):
        """True if the machine stands at the tour's next stop."""
        stop, esp = self.tour.stops[self.next], GdbMachine.register("esp")
        address = self.back[0] if stop.place == "return" else self.layout["functions"][stop.place]
        return GdbMachine.register("eip") == address and (stop.place != "return" or esp == self.back[1])

    def show(self):
        stop, esp = self.tour.stops[self.next], GdbMachine.register("esp")
        self.failed += claims.report(stop, self.world.check(stop), OUT)
        if stop.place != "return":
            self.back = (self.world.number(esp), esp + 4)
        self.breakpoint.delete()
        self.next += 1
        if self.next < len(self.tour.stops):
            self.arm()
        else:
            print(f"\nThe tour ends here: {len(self.tour.stops)} stops, {self.failed} claims do not hold.", file=OUT)
        OUT.flush()

    def on_stop(self, event):
        if isinstance(event, gdb.StopEvent) and self.next < len(self.tour.stops) and self.at_stop():
            self.show()


def main():
    with open(os.environ["TOUR_LAYOUT"], encoding="utf-8") as file:
        layout = json.load(file)
    walk = Walk(tourfile.read(os.environ["TOUR"]), layout)
    walk.arm()
    gdb.events.stop.connect(walk.on_stop)
    if os.environ.get("TOUR_AUTO") != "1":
        print("continue (c) goes to the first stop, and from each to the next. Look around as you like.")
        return
    for _ in range(100):
        if walk.next >= len(walk.tour.stops):
            break
        gdb.execute("continue", to_string=True)
    whole = walk.next == len(walk.tour.stops)
    gdb.execute("kill")
    gdb.execute(f"quit {0 if whole and walk.failed == 0 else 1}")


main()
