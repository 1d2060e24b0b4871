"""docs/where.md: each question's answer is in one place, and the page names it.

Only this finds a constant that has got a second copy: both copies compile, and agree until one is changed.
"""

import glob
import os
import re

import pytest

from test_docs import ROOT, read, rows

PAGE = "docs/where.md"
ANSWERS = [tuple(re.sub(r"^`|`$", "", cell) for cell in row) for row in rows(PAGE)]
FOLDERS = ("boot", "lib", "kernel", "device", "thread", "process", "tests/e2e")
SOURCES = [os.path.relpath(path, ROOT) for folder in FOLDERS
           for path in glob.glob(f"{ROOT}/{folder}/**/*", recursive=True)
           if path.endswith((".c", ".h", ".asm", ".inc") if folder != "tests/e2e" else "/test_traps.py")]
# What must not be there a second time in another form: the value itself.
VALUES = {
    "the seed's sizes": (r"16, *32, *64, *128, *256, *512, *1024", "kernel/size_tables.h"),
    "the timer's bounds": (r"#define \w*HZ_MAX\b", "kernel/limits.h"),
    "threads of a soak run": (r"#define \w*SOAK_THREADS_MAX\b", "kernel/limits.h"),
    "the serial line's speed": (r"\b0x3f8\b", "boot/boot.inc"),
    "the debug exception's vector": (r"#define \w*VECTOR_DEBUG\b", "kernel/interrupt_frame.h"),
}


def places(pattern):
    """The files that a pattern is found in, each as often as it is there; blanks are as good as one blank."""
    return [path for path in SOURCES for _ in re.findall(pattern, re.sub(r"[ \t]+", " ", read(path)))]


def test_ten_questions():
    assert len(ANSWERS) == 10 and all(len(answer) == 3 for answer in ANSWERS)


@pytest.mark.parametrize("question, path, text", ANSWERS)
def test_the_answer_is_there_once(question, path, text):
    assert places(re.escape(text) + r"(?!\w)") == [path], question


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_there_once(name):
    pattern, path = VALUES[name]
    assert places(pattern) == [path]


def test_memmove_is_not_made_of_memcpy():
    """`restrict` promises that ranges are apart; no compiler of today makes a wrong copy of it, the next one may."""
    body = re.search(r"^void \*memmove\(.*?^}", read("lib/string.c"), re.MULTILINE | re.DOTALL)[0]
    assert "memcpy" not in body and "restrict" not in body
