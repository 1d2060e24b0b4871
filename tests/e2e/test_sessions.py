"""The sessions that docs/bochs.md, docs/gdb.md and docs/rewind.md print, typed into real debuggers (sessions.py)."""

import os
import re
import subprocess
import sys

import pytest
from conftest import PYTHON, ROOT

sys.path.insert(0, os.path.join(ROOT, "tools", "debug"))
import sessions  # noqa: E402  pylint: disable=wrong-import-position

pytestmark = pytest.mark.xdist_group("make")

DOCUMENTS = ("bochs.md", "gdb.md", "rewind.md")


def read(name):
    with open(os.path.join(ROOT, "docs", name), encoding="utf-8") as file:
        return file.read()


def play(*words):
    return subprocess.run([PYTHON, os.path.join(ROOT, "tools", "debug", "sessions.py"), *words], text=True, check=False,
                          stdin=subprocess.DEVNULL, capture_output=True)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_documents_sessions_are_what_the_debugger_shows(name):
    done = play(os.path.join(ROOT, "docs", name))
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_prompt_of_a_document_is_in_a_session(name):
    """None is printed that is not played."""
    text = read(name)
    played = sum(len(session.commands()) for session in sessions.parse(text)[1])
    assert played == len(re.findall(r"^    (?:\(gdb\)|<bochs:\d+>) ", text, re.M)) > 5


def altered(tmp_path, name, shown, instead):
    """The document's session that has `shown`, with something else there."""
    part = next(part for part in re.split(r"(?m)^(?=    \$ make)", read(name)) if shown in part)
    document = tmp_path / name
    document.write_text(part.replace(shown, instead), encoding="utf-8")
    return play(str(document))


@pytest.mark.parametrize("name, shown, instead", [
    ("bochs.md", "(arena_open+0)", "(arena_close+0)"),
    ("bochs.md", "maps to physical page 0x000000010000", "maps to physical page 0x000000011000"),
    ("bochs.md", "(0) Magic breakpoint", "(0) Breakpoint 1"),
    ("gdb.md", "(gdb) delete\n    (gdb) tbreak", "(gdb) tbreak"),  # continue then stops at sys_malloc
    ("gdb.md", ", workers_end () at kernel/museum/demo.c", ", workers_start () at kernel/museum/demo.c"),
    ("gdb.md", "heap who pointer\n", "heap who pointed\n"),  # no such symbol
    ("gdb.md", "console 1\n", "console 1 2\n"),
])
def test_an_altered_document_is_noticed(tmp_path, name, shown, instead):
    done = altered(tmp_path, name, shown, instead)
    assert done.returncode == 1 and "  the document:\n" in done.stdout and done.stderr == "", done


@pytest.mark.parametrize("name, shown, instead", [
    ("bochs.md", r"memory\.c:\d+", "memory.c:7"),
    ("bochs.md", r"00801([0-9a-f]{5})", r"00802\1"),
    ("bochs.md", r"Next at t=\d+", "Next at t=1"),
    ("gdb.md", r"kernel/memory\.c:\d+", "kernel/memory.c:7"),
    ("gdb.md", r"(?m)^    \d+ {4,}.*", "    7        a_line_of_the_source_that_was_edited();"),
])
def test_what_an_edit_of_the_kernel_moves_is_not_compared(tmp_path, name, shown, instead):
    first = re.split(r"(?m)^(?=    \$ make)", read(name))[1]
    moved = re.sub(shown, instead, first)
    assert moved != first
    document = tmp_path / name
    document.write_text(moved, encoding="utf-8")
    done = play(str(document))
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_what_is_written_is_the_document_with_the_answers(tmp_path):
    """From the commands alone; long lines are folded, and what was left out stays out."""
    document = tmp_path / "new.md"
    text = "# New\n\n    $ make debug\n    ...\n    (gdb) bt 1\n\nText.\n\n    (gdb) heap\n"
    document.write_text(text, encoding="utf-8")
    assert play("--write", str(document)).returncode == 0
    text = document.read_text(encoding="utf-8")
    assert text.startswith("# New\n\n    $ make debug\n    ...\n    (gdb) bt 1\n    #0  sys_malloc (")
    assert "\n\nText.\n\n    (gdb) heap\n    kernel_pool " in text
    assert all(len(line) <= 120 for line in text.splitlines())
    assert play(str(document)).returncode == 0


@pytest.mark.parametrize("text, words", [
    ("    $ make bochs-debug STOP=nowhere\n    <bochs:1> q\n", "no STOP 'nowhere'"),
    ("    $ make debug MEM=none\n    (gdb) bt\n", "the memory size 'none' is not a number of MiB"),
    ("Nothing here.\n", "no session in it"),
])
def test_a_session_that_cannot_be_played_is_one_clear_line(tmp_path, text, words):
    document = tmp_path / "bad.md"
    document.write_text(text, encoding="utf-8")
    done = play(str(document))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sessions.py: ") and words in done.stderr and done.stderr.count("\n") == 1, done
