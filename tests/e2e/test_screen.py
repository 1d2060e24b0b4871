"""tools/screen.py on text made up here: only here a terminal of any width can be looked at cell by cell.

What it puts out goes to a model of a terminal that keeps rows, so a test says what is seen, not by which sequences.
"""

import os
import random
import re

import pytest

import screen


class Terminal:
    """Rows of a terminal that is `width` wide: what a real one does with text, CR, LF, BS, ESC [ n G and ESC [ K."""

    TOKEN = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|(.|\n)", re.S)

    def __init__(self, width):
        self.width, self.rows, self.column = width, [""], 0

    def show(self, text):
        for match in self.TOKEN.finditer(text):
            number, final, c = match.groups()
            if final == "G":
                self.column = int(number) - 1
            elif final == "K":
                self.rows[-1] = self.rows[-1][:self.column]
            elif c == "\r":
                self.column = 0
            elif c == "\n":
                self.rows.append("")
            elif c == "\b":
                self.column -= 1
            elif c:
                self.put(c)

    def put(self, c):
        if self.column == self.width:
            self.rows.append("")
            self.column = 0
        row = self.rows[-1].ljust(self.column)
        self.rows[-1] = row[:self.column] + c + row[self.column + 1:]
        self.column += 1


def rows(text, width, pieces=None):
    view = screen.Screen(columns=lambda: width)
    terminal = Terminal(width)
    data = text.encode()
    step = pieces or len(data)
    terminal.show(b"".join(view.feed(data[i:i + step]) for i in range(0, len(data), step)).decode())
    return [row.rstrip() for row in terminal.rows]


@pytest.mark.parametrize("text, seen", [
    ("one two three", ["one two", "three"]),
    ("one two33 four", ["one two33", "four"]),
    ("one two333 four", ["one two333", "four"]),          # full to the last column
    ("one two3333 four", ["one", "two3333", "four"]),
    ("one two333\r\nfour", ["one two333", "four"]),       # no empty row
    ("0123456789abcdef x", ["0123456789", "abcdef x"]),   # nowhere to break
    ("a 0123456789abc", ["a", "0123456789", "abc"]),
    ("one \x1b[31mtwo3333\x1b[0m four", ["one", "two3333", "four"]),
    ("short\r\nlines\r\n", ["short", "lines", ""]),
    ("abcdef\b\b\bxyz", ["abcxyz"]),
    ("one two33\rONE", ["ONE two33"]),
])
def test_words_stay_whole(text, seen):
    for pieces in (None, 1, 3):
        assert rows(text, 10, pieces) == seen


def test_no_word_that_fits_is_ever_broken():
    source = random.Random(1)
    for _ in range(300):
        words = ["".join(source.choices("abc", k=source.randint(1, 10))) for _ in range(source.randint(1, 20))]
        seen = rows(" ".join(words), 10)
        assert [word for row in seen for word in row.split()] == words
        assert all(len(row) <= 10 for row in seen)


def test_without_a_terminal_nothing_is_changed():
    text = b"x" * 300 + b" \x1b[1mword\x1b[0m\r\n\ttab\b\x1b[2J"
    assert screen.Screen().feed(text) == text


def test_frames_get_their_place():
    asked = []

    def places(address):
        asked.append(address)
        return f"file.c:{len(asked)}"

    view = screen.Screen(places)
    shown = view.feed(b"panic: x\r\n  eip 80100000 eflags 0\r\n"
                      b"  at f+0x12 [0x80100012]\r\n  (the same 3 more times)\r\n"
                      b"  at g+0x5 [0x80100020]\r\n  at 0x80100030\r\nend\r\n  at h+0x1 [0x80100040]\r\n").decode()
    assert shown.replace("\r", "").split("\n") == [
        "panic: x", "  eip 80100000 eflags 0", "  at f+0x12 [0x80100012] file.c:1", "  (the same 3 more times)",
        "  at g+0x5 [0x80100020] file.c:2", "  at 0x80100030 file.c:3", "end", "  at h+0x1 [0x80100040] file.c:4", ""]
    # The first is where it happened; a return address is after its call.
    assert asked == [0x80100012, 0x8010001f, 0x8010002f, 0x80100040]


def test_places_are_lines_of_the_source(root, kernel_elf):
    places = screen.Places(kernel_elf, root)
    with open(os.path.join(root, "build", "e2e", "kernel.sym"), encoding="ascii") as symbols:
        address = {name: int(number, 16) for number, name in map(str.split, symbols)}
    for name, file in (("kmain", "kernel/main.c"), ("panic", "kernel/panic.c"), ("thread_yield", "thread/thread.c")):
        path, number = places(address[name]).split(":")
        with open(os.path.join(root, path), encoding="utf-8") as source:
            assert path == file and f"{name}(" in source.read().split("\n")[int(number) - 1]
    assert re.fullmatch(r"kernel/start\.asm:\d+", places(address["_start"]))
    assert places(0x1000) == ""
    assert screen.Places("/nowhere/kernel.elf", root)(0x80100000) == ""
