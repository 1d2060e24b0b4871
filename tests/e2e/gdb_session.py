"""gdb_session.py - a kernel in QEMU with GDB on it, for tests: commands go in, their lines come out.

GDB reads its commands from a pipe, so nothing of a terminal is in the way: each command is followed by an `echo`
whose text ends its answer.
"""

import os
import re
import select
import signal
import socket
import subprocess
import time

import cli
import emulator as emu

EXTENSION = os.path.join(emu.ROOT, "tools", "gdb", "granary.py")
PROMPT = "granary> "
MORE = re.compile(rb"--more-- \(Space: next page, q: end\)$")
END = "=== end of the answer ==="


def lines_of(text):
    return [line.rstrip() for line in text.splitlines() if line.strip()]


class Talk:
    """A process that reads commands of GDB's and has been told to say END after each."""

    def __init__(self, command, env=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True,
                                        env=dict(os.environ, TERM="dumb", **(env or {})))
        self.data = b""

    def send(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def read_to(self, mark, seconds=60):
        """Text up to `mark`, which is taken away."""
        deadline, mark = time.monotonic() + seconds, mark.encode()
        while mark not in self.data:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError(f"no {mark!r} within {seconds} s, but: {self.data[-2000:]!r}")
            new = os.read(self.process.stdout.fileno(), 65536)
            if not new:
                raise AssertionError(f"ended without {mark!r}: {self.data[-2000:]!r}")
            self.data += new
        text, self.data = self.data.split(mark, 1)
        return text.decode(errors="replace").replace("(gdb) ", "")

    def do(self, command, seconds=60):
        """The lines that a command prints, errors included."""
        self.send(command)
        self.send(f"echo {END}\\n")
        return lines_of(self.read_to(END + "\n", seconds))

    def close(self):
        try:
            self.send("kill")
            self.send("quit")
            self.process.stdin.close()
            self.process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Session(Talk):
    """QEMU with an image and a command line, stopped before its first instruction, and GDB with the heap commands.

    `typing`: the console is a socket that this process reads and writes, else a file.
    """

    def __init__(self, folder, build, args, typing=False, mem=32, cpus=1):
        self.console_path = os.path.join(folder, "console.txt")
        serial, self.keyboard, self.said = f"file:{self.console_path}", None, b""
        if typing:
            serial = f"unix:{os.path.join(folder, 'serial')},server=on,wait=off"
        stub = os.path.join(folder, "gdb")
        image = emu.image_with_args(os.path.join(build, "hd.img"), args, folder)
        self.qemu = subprocess.Popen(
            emu.qemu_command(image, mem, cpus=cpus, gdb=True) + [
                "-S", "-chardev", f"socket,id=gdb,path={stub},server=on,wait=off", "-gdb", "chardev:gdb", "-monitor",
                "none", "-serial", serial],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 10
        sockets = [stub] + ([os.path.join(folder, "serial")] if typing else [])
        while not all(os.path.exists(path) for path in sockets):
            assert time.monotonic() < deadline and self.qemu.poll() is None, "QEMU did not start"
            time.sleep(0.02)
        if typing:
            time.sleep(0.05)  # from the socket file to a socket that listens
            self.keyboard = socket.socket(socket.AF_UNIX)
            self.keyboard.connect(sockets[1])
        super().__init__([cli.find_program("gdb"), "-q", "-nx", "-iex", "set pagination off", "-iex", "set width 0",
                          "-iex", "set confirm off", "-iex", "set style enabled off",
                          os.path.join(build, "kernel.elf"), "-ex", f"target remote {stub}", "-x", EXTENSION])
        self.do("echo")

    def stop_at(self, place):
        """Runs to a function; a hardware breakpoint, since the kernel may not be in memory yet."""
        self.do(f"thbreak {place}")
        said = "\n".join(self.do("continue"))
        assert "Temporary breakpoint" in said, said

    def run_on(self, seconds):
        """Lets the machine run for a while and stops it."""
        self.send("continue")
        time.sleep(seconds)
        return self.interrupt()

    def interrupt(self):
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        return self.do("echo")

    def go(self):
        """Runs to the kernel's prompt."""
        self.send("continue")
        self.wait_for_prompts(1)

    def wait_for_prompts(self, count):
        deadline = time.monotonic() + 30
        while sum(line.startswith(PROMPT) for line in self.console()) < count:
            assert time.monotonic() < deadline, self.console()[-5:]
            if select.select([self.keyboard], [], [], 0.1)[0]:
                self.said += self.keyboard.recv(65536)
            if MORE.search(self.said):  # the next page; the question is not among the lines
                self.said = MORE.sub(b"", self.said)
                self.keyboard.sendall(b" ")

    def type(self, text):
        """A line for the prompt; the lines that it answers with."""
        before = self.console()
        self.keyboard.sendall(text.encode() + b"\r")
        self.wait_for_prompts(sum(line.startswith(PROMPT) for line in before) + 1)
        return [line.rstrip() for line in self.console()[len(before):]]

    def console(self):
        """The console's lines; of a session that is typed into as far as wait_for_prompts() has read."""
        if self.keyboard is not None:
            return self.said.decode(errors="replace").replace("\r\033[K", "").splitlines()
        with open(self.console_path, encoding="utf-8", errors="replace") as text:
            return text.read().splitlines()

    def close(self):
        self.process.send_signal(signal.SIGINT)  # GDB takes no commands while the machine runs
        super().close()
        if self.keyboard is not None:
            self.keyboard.close()
        self.qemu.kill()
        self.qemu.wait()
