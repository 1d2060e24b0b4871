"""walk.py - a tour under way: which stop is next, where it is, and whether the machine is there.

Both debuggers go by this; what differs is how a breakpoint is put, and how the machine is made to go on.
"""

import claims


class Walk:
    """`machine`: what claims.py reads. `auto`: there is no user. arm() and disarm() put the breakpoint at address()
    and take it away."""

    def __init__(self, tour, layout, machine, auto):
        self.tour, self.machine, self.layout, self.auto = tour, machine, layout, auto
        self.world = claims.World(machine, layout)
        self.next, self.failed = 0, 0
        self.back = 0, 0  # where the last stop's function returns to, and esp after that

    def arm(self):
        raise NotImplementedError

    def disarm(self):
        raise NotImplementedError

    def over(self):
        return self.next == len(self.tour.stops)

    def stop(self):
        return self.tour.stops[self.next]

    def address(self):
        return self.back[0] if self.stop().place == "return" else self.layout["functions"][self.stop().place]

    def is_there(self):
        """True if the machine is at the next stop: for a return, the one of the call that was looked at."""
        return not self.over() and self.machine.register("eip") == self.address() and (
            self.stop().place != "return" or self.machine.register("esp") == self.back[1])

    def show(self, place, out):
        """The next stop's text, its claims held against the machine, and `place`: the lines that say where it is."""
        stop = self.stop()
        self.failed += claims.report(stop, self.world.check(stop), out)
        print("", f"at {place[0]}", *place[1:], sep="\n", file=out)
        self.disarm()
        if stop.place != "return":
            self.back = self.way_back()
        self.next += 1
        if self.over():
            print(f"\nThe tour ends here: {self.next} stops, {self.failed} claims do not hold.", file=out)
            if not self.auto:
                print("c: the machine goes on to its end; q: leave", file=out)
        else:
            self.arm()
        out.flush()

    def way_back(self):
        """Where the function returns to, and esp then. A gate has an empty stack: it returns nowhere."""
        esp = self.machine.register("esp")
        try:
            return self.world.number(esp), esp + 4
        except (RuntimeError, ValueError):  # GDB's way to say that nothing is mapped, and Bochs's
            return 0, 0

    def off(self):
        """What is to be said when the machine has switched itself off."""
        if self.over():
            return "The machine has come to its end and switched itself off."
        return f"stop {self.next + 1} was not reached: the machine ended before"
