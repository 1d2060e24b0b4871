#!/usr/bin/python3
"""session.py - types commands at the prompt of build/programs.img, and prints what came.

  session.py [--image IMAGE] [--emulator qemu|bochs] [--mem MIB] [--args TEXT] [--seconds N] COMMAND...

A machine is started, each command is typed when the prompt is there, and the machine is halted. What the kernel prints
before the first prompt is left out. `make selfhost` and the tests use it; docs/processes.md shows what it prints.

Status: 0; 1 if no prompt came in time after a command, or the machine ended badly.
"""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import cli  # noqa: E402 (the line above makes it findable)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROMPT = "granary> "
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
WIDE = (50, 500)  # rows and columns: no line of a command is folded


class Session:
    """A machine at its prompt."""

    def __init__(self, image, emulator="qemu", mem=128, args="demo=no frames=16384", seconds=60):
        import pexpect  # pylint: disable=import-outside-toplevel
        self.pexpect = pexpect
        self.console = pexpect.spawn(
            sys.executable, [os.path.join(ROOT, "tools", "run.py"), "--interactive", "--image", image,
                             "--emulator", emulator, "--mem", str(mem), f"--args={args}"],
            cwd=ROOT, timeout=seconds, encoding="utf-8", codec_errors="replace", dimensions=WIDE)
        self.expect(PROMPT)

    def expect(self, text):
        """What the console printed before that text."""
        try:
            self.console.expect_exact(text)
        except (self.pexpect.TIMEOUT, self.pexpect.EOF):
            seen = ANSI.sub("", self.console.before or "").splitlines()[-5:]
            raise cli.RunError(f"waited for '{text.strip()}' in vain; the last lines: {seen}") from None
        return ANSI.sub("", self.console.before).replace("\r", "")

    def type(self, text):
        self.console.send(text)

    def ask(self, line):
        """What a command printed, as lines."""
        self.type(line + "\r")
        self.expect("\n")
        return self.expect(PROMPT).split("\n")[:-1]

    def halt(self):
        self.type("\x15halt\r")
        self.expect("granary: halt passed")
        self.console.expect(self.pexpect.EOF)
        self.console.close()

    def kill(self):
        self.console.close(force=True)


def main(argv):
    parser = cli.Parser(prog="session.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--image", default=os.path.join(ROOT, "build", "programs.img"))
    parser.add_argument("--emulator", choices=("qemu", "bochs"), default="qemu")
    parser.add_argument("--mem", type=int, default=128, metavar="MIB")
    parser.add_argument("--args", default="demo=no frames=16384", metavar="TEXT", help="kernel command line")
    parser.add_argument("--seconds", type=int, default=300, help="for one command; 300 by default")
    parser.add_argument("commands", nargs="+", metavar="COMMAND")
    opt = parser.parse_args(argv)
    session = Session(opt.image, opt.emulator, opt.mem, opt.args, opt.seconds)
    try:
        for command in opt.commands:
            print(PROMPT + command, flush=True)
            for line in session.ask(command):
                print(line, flush=True)
        session.halt()
    finally:
        session.kill()
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "session"))
