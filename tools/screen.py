"""screen.py - what a guest writes, made ready for the user's eye.

Two things are added to the kernel's text, and neither to a transcript: the source line of each frame of a call trace
(the kernel knows function and offset, and we have its debug information), and a line's end at a blank where a terminal
would break a word.
"""

import os
import re
import shutil
import subprocess

ADDR2LINE = ("addr2line", "i686-linux-gnu-addr2line", "i686-elf-addr2line", "llvm-addr2line")


class Places:
    """places(address): the source line of the code there; "" if it is not known."""

    def __init__(self, elf, root):
        self.elf, self.root = elf, root
        self.tool = next(filter(None, map(shutil.which, ADDR2LINE)), None) if os.path.exists(elf) else None

    def __call__(self, address):
        if not self.tool:
            return ""
        done = subprocess.run([self.tool, "-i", "-e", self.elf, hex(address)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        lines = [line.split(" ")[0] for line in done.stdout.splitlines() if ":" in line and not line.startswith("?")]
        paths = [self.short(line) for line in lines]
        return " in ".join(dict.fromkeys(paths[:1] + paths[-1:]))  # what was inlined comes first, the function last

    def short(self, place):
        """From the project's root on, whichever folder it was built in (and NASM names its own twice)."""
        path, _, line = place.rpartition(":")
        parts = path.split("/")
        ends = ["/".join(parts[i:]) for i in range(len(parts))]
        return next((end for end in ends[1:] if os.path.exists(os.path.join(self.root, end))), path) + ":" + line


class Screen:
    """A filter for text that comes in pieces of any size.

    `columns()` is the width now, 0 for none. Everything is shown as it comes, so the part of a word that is before
    the edge is taken back when the edge is reached.
    """

    FRAME = re.compile(rb"  at (?:\S+ \[)?(0x[0-9a-f]{8})\]?$")
    REPEATED = b"  (the same "  # kernel/panic.c: a line of the trace that is no frame
    SEQUENCE = re.compile(rb"\x1b\[[0-9;?]*[@-~]")

    def __init__(self, places=lambda address: "", columns=lambda: 0):
        self.places, self.columns = places, columns
        self.width = self.column = 0
        self.line = self.word = b""  # shown since the line's start, since the last blank
        self.sequence = b""          # an escape sequence that has begun
        self.in_trace = False

    def feed(self, text):
        self.width = self.columns()
        return b"".join(self.step(text[i:i + 1]) for i in range(len(text)))

    def step(self, c):
        if self.sequence or c == b"\x1b":
            return self.escape(c)
        if c >= b" ":
            return self.printable(c)
        if c in b"\r\n":
            place = self.place()
            self.start_line()
            return place + c
        if c == b"\b":
            self.column, self.line, self.word = max(self.column - 1, 0), self.line[:-1], self.word[:-1]
        elif c == b"\t":
            self.column, self.word = self.column + 8 - self.column % 8, b""
        return c

    def start_line(self):
        self.column, self.line, self.word = 0, b"", b""

    def escape(self, c):
        """Colours move nothing; a sequence that moves the cursor starts a line, as far as we are concerned."""
        self.sequence += c
        if self.SEQUENCE.fullmatch(self.sequence) or len(self.sequence) == 2 and c != b"[":
            if c == b"m":
                self.word += self.sequence
            elif c != b"K":
                self.start_line()
            self.sequence = b""
        return c

    def printable(self, c):
        self.line += c
        edge = b""
        if self.width and self.column >= self.width:
            edge = self.break_line(c)
            if c == b" ":  # the edge is in its place
                return edge
        self.word = b"" if c == b" " else self.word + c
        self.column += 1
        return edge + c

    def break_line(self, c):
        """A word that goes on at the edge moves to a new row, unless it is as long as one."""
        word, cells = self.word, len(self.SEQUENCE.sub(b"", self.word))
        if c == b" " or not 0 < cells < self.width:
            self.column, self.word = 0, b""
            return b"\r\n"
        self.column = cells
        return b"\x1b[%dG\x1b[K\r\n" % (self.width - cells + 1) + word

    def place(self):
        """The source line of the frame that this line shows. A return address may be that of the next statement, or
        of the next function: the call is before it. The first frame is where it happened."""
        frame = self.FRAME.match(self.line)
        if not frame:
            self.in_trace = self.line.startswith(self.REPEATED) or self.in_trace and not self.line
            return b""
        place = self.places(int(frame[1], 16) - self.in_trace)
        self.in_trace = True
        return self.feed(f" {place}".encode()) if place else b""
