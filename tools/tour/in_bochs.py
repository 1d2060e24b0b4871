"""in_bochs.py - a guided tour in Bochs's debugger, which is driven through pipes: a command at each of its prompts.

The debugger stays the user's: whatever is typed is Bochs's own command. `c` goes on to the tour's next stop, or to a
breakpoint of the user's own before that; and wherever a command ends up, the tour's stop is shown if the machine is
there, as in GDB.
"""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time

import cli
import emulator as emu
import layout as layouts
import walk

with contextlib.suppress(ImportError):
    import readline  # noqa: F401 (it makes input() a line that can be edited)

ANSWER_SECONDS = 30  # from a command to the prompt after it; from power-on to a stop takes one or two

PROMPT = re.compile(rb"(?:^|\n)<bochs:\d+> $")
INSTRUCTION = re.compile(r"^\(0\) +\[0x[0-9a-f]+\] .*", re.M)
GO_ON = ("c", "cont", "continue")
HELP = "c: on to the next stop; s, n, u /8, x /4wx esp, bt, help ...: Bochs's own commands; Enter: again; q: leave"


class Off(Exception):
    """The machine has switched itself off."""


class BochsMachine:
    """Bochs's debugger, as something that claims.py can read."""

    def __init__(self, command):
        # A session of its own: Ctrl-C comes by say(), and only while the machine runs.
        self.process = subprocess.Popen(command, cwd=emu.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, env=dict(os.environ, TERM="dumb"),
                                        start_new_session=True, preexec_fn=cli.tied)
        self.registers, self.kept = {}, {}
        self.answer("the start")

    def answer(self, command):
        """What comes before the next prompt."""
        deadline, text = time.monotonic() + ANSWER_SECONDS, b""
        while not PROMPT.search(text):
            try:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                    raise cli.RunError(f"Bochs's debugger has not answered for {ANSWER_SECONDS} s: {command}")
                new = os.read(self.process.stdout.fileno(), 65536)
            except KeyboardInterrupt:
                self.process.send_signal(signal.SIGINT)  # it stops the machine, and a prompt comes
                continue
            if not new:
                raise Off
            text += new
        return PROMPT.sub(b"", text).decode(errors="replace")

    def say(self, text):
        """A command of Bochs's; what it answers."""
        self.registers, self.kept = {}, {}
        return self.ask(text)

    def ask(self, text):
        """A command that changes nothing."""
        try:
            self.process.stdin.write(text.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Off from None
        return self.answer(text).split("\n", 1)[-1]  # the first line is the command's echo

    def register(self, name):
        if not self.registers:
            for match in re.finditer(r"\b[re]?(\w\w): (?:0x)?([0-9a-f_]{8,17})\b", self.ask("r")):
                self.registers["e" + match[1]] = int(match[2].replace("_", ""), 16) & 0xffffffff
            self.registers["cr3"] = int(re.search(r"CR3=0x([0-9a-f]+)", self.ask("creg"))[1], 16)
        return self.registers[name]

    def read(self, address, count):
        start, data = address & ~3, b""
        words = (address + count + 3 & ~3) - start >> 2
        key = (start, words)
        if key not in self.kept:
            for row in re.findall(r">:((?:\s+0x[0-9a-f]{8}\b)+)", self.ask(f"x /{words}wx {start:#x}")):
                data += b"".join(int(word, 16).to_bytes(4, "little") for word in row.split())
            if len(data) != words * 4:
                raise ValueError(f"nothing is mapped at {address:#x}")
            self.kept[key] = data
        return self.kept[key][address - start:address - start + count]

    def stop_at(self, address):
        """Puts a breakpoint; its number. The user may have put another one there, which has a lower one."""
        self.ask(f"lb {address:#x}")
        known = re.findall(r"^ *(\d+) lbreakpoint .* 0x([0-9a-f]+)", self.ask("info break"), re.M)
        return max(int(number) for number, at in known if int(at, 16) == address)

    def close(self):
        self.process.kill()
        self.process.wait()


class BochsWalk(walk.Walk):
    def __init__(self, tour, layout, machine, auto, elf):
        super().__init__(tour, layout, machine, auto)
        self.elf, self.number = elf, None

    def arm(self):
        self.number = self.machine.stop_at(self.address())

    def disarm(self):
        self.machine.ask(f"d {self.number}")

    def do(self, command):
        """A command, and the tour's stop if the machine is there then; else Bochs's answer."""
        said = self.machine.say(command)
        if command in GO_ON:
            # At a return's address the breakpoint stops other calls, too: of a deeper one, or of another thread.
            while not self.over() and self.machine.register("eip") == self.address() and not self.is_there():
                said = self.machine.say(command)
        if self.is_there():
            self.show(self.place(said), sys.stdout)
        else:
            print(said.rstrip(), flush=True)

    def place(self, said):
        """The source's line, and the instruction as Bochs has just shown it."""
        return layouts.place(self.elf, self.machine.register("eip")) + INSTRUCTION.findall(said)[-1:]


def commands(prompt):
    """What the user types, until q or the input's end; an empty line is the command before."""
    last = "c"
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            print()
            continue
        if line in ("q", "quit", "exit"):
            return
        last = line or last
        yield last


def walk_through(tour, layout, machine, elf, auto):
    """Returns the tour's status."""
    one = BochsWalk(tour, layout, machine, auto, elf)
    one.arm()
    typed = ("c" for _ in tour.stops) if auto else commands("(tour) ")
    try:
        for command in typed:
            one.do(command)
    except Off:
        print(one.off())
    return 1 if one.failed or auto and not one.over() else 0
