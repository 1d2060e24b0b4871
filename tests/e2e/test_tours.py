"""The guided tours of docs/tours: each is walked to its end in GDB and in Bochs, and every claim in it holds."""

import os
import re
import subprocess
import sys

import pexpect
import pytest
from conftest import E2E, PYTHON, ROOT

sys.path.insert(0, os.path.join(ROOT, "tools", "tour"))
import tourfile  # noqa: E402  pylint: disable=wrong-import-position

TOOL = os.path.join(ROOT, "tools", "tour", "tour.py")
NAMES = tourfile.names()


def walk(name, debugger):
    return subprocess.run([PYTHON, TOOL, "--auto", "--with", debugger, "--build", E2E, name], capture_output=True,
                          text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("debugger", ["gdb", "bochs"])
@pytest.mark.parametrize("name", NAMES)
def test_walks_to_its_end(name, debugger):
    done = walk(name, debugger)
    tour = tourfile.read(name)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.rstrip().endswith(f"The tour ends here: {len(tour.stops)} stops, 0 claims do not hold."), done
    assert len(re.findall(r"^  ok ", done.stdout, re.M)) == sum(len(stop.claims) for stop in tour.stops) > 3
    assert "  NO " not in done.stdout


def test_both_debuggers_say_the_same():
    """The same machine by two ways: the values behind the claims agree, where they are no addresses of frames."""
    values = [re.findall(r"^  ok (.*?)(?:   \[.*)?$", walk("block-list", debugger).stdout, re.M)
              for debugger in ("gdb", "bochs")]
    assert values[0] == values[1]


def test_every_lesson_has_its_tour():
    assert NAMES == sorted(["first-malloc", "arena-opens", "block-list", "large-area", "last-block", "double-free",
                            "switch-inside", "page-table-entry"])
    with open(os.path.join(tourfile.FOLDER, "README.md"), encoding="utf-8") as text:
        index = text.read()
    for name in NAMES:
        assert f"[{name}]({name}.md)" in index


@pytest.mark.parametrize("debugger", ["gdb", "bochs"])
@pytest.mark.parametrize("wrong, words", [
    ("- `arg1 == 25`: wrong", "1 claims do not hold"),
    ("- `arg1 == nothing`: no such name", "1 claims do not hold"),
    ("- `desc(48).arenas == 0`: no such descriptor", "1 claims do not hold"),
    ("- `heap.colour == 1`: no such field", "1 claims do not hold"),
])
def test_a_wrong_claim_is_noticed(tmp_path, wrong, words, debugger):
    """The walk can fail: the same tour with one claim more."""
    text = f"# Wrong\n\nscene: first-malloc\n\n## 1. `scene_first_malloc`: a\n\n## 2. `sys_malloc`: b\n\n{wrong}\n"
    done = walk_text(tmp_path, text, debugger)
    assert done.returncode == 1 and words in done.stdout and "  NO " in done.stdout, done


def walk_text(tmp_path, text, debugger):
    """Walks a tour that is not in docs/tours: with a copy of the tools beside it."""
    for part in ("tools", "boot", "bochsrc.disk"):
        if not (tmp_path / part).exists():
            subprocess.run(["cp", "-r", os.path.join(ROOT, part), tmp_path], check=True)
    (tmp_path / "docs" / "tours").mkdir(parents=True)
    (tmp_path / "docs" / "tours" / "wrong.md").write_text(text)
    command = [PYTHON, str(tmp_path / "tools" / "tour" / "tour.py"), "--auto", "--with", debugger, "--build", E2E]
    return subprocess.run([*command, "wrong"], capture_output=True, text=True, timeout=120, check=False,
                          stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("text, words", [
    ("# No scene\n\n## 1. `sys_malloc`: a\n", "a tour has a line `scene: NAME`"),
    ("# No stop\n\nscene: first-malloc\n", "at least one stop"),
    ("# Return\n\nscene: first-malloc\n\n## 1. `return`: a\n", "the first stop cannot be a return"),
    ("# Place\n\nscene: first-malloc\n\n## 1. `sys_mallok`: a\n", "this kernel has no function sys_mallok"),
    ("# Heading\n\nscene: first-malloc\n\n## a stop\n", "not `## N."),
])
def test_a_wrong_tour_is_one_line(tmp_path, text, words):
    done = walk_text(tmp_path, text, "gdb")
    assert done.returncode == 2
    assert done.stderr.startswith("tour: ") and words in done.stderr and done.stderr.count("\n") == 1, done


def test_an_unknown_tour_is_named_with_those_there_are():
    done = walk("grand", "gdb")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"tour: there is no tour 'grand': it is one of {', '.join(NAMES)}\n"


@pytest.mark.xdist_group("make")
def test_make_tour_alone_lists(root):
    done = subprocess.run(["make", "--no-print-directory", "tour"], cwd=root, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[-len(NAMES):]] == NAMES


def test_interactive_in_gdb():
    """The debugger stays the user's: his commands work between the stops."""
    gdb = pexpect.spawn(PYTHON, [TOOL, "--build", E2E, "first-malloc"], timeout=60, encoding="utf-8",
                        env=dict(os.environ, TERM="dumb"), dimensions=(50, 200))
    gdb.expect_exact("(gdb) ")
    gdb.sendline("continue")
    gdb.expect_exact("1. `scene_first_malloc`: before")
    gdb.expect_exact("(gdb) ")
    gdb.sendline("stepi")
    gdb.expect_exact("(gdb) ")
    gdb.sendline("continue")
    gdb.expect_exact("2. `sys_malloc`")
    gdb.expect_exact("(gdb) ")
    gdb.sendline("print heap.block_max")
    gdb.expect_exact("= 1024")
    gdb.sendline("quit")
    gdb.expect(pexpect.EOF)


def test_interactive_in_bochs():
    bochs = pexpect.spawn(PYTHON, [TOOL, "--build", E2E, "--with", "bochs", "first-malloc"], timeout=60,
                          encoding="utf-8", env=dict(os.environ, TERM="dumb"), dimensions=(50, 200))
    prompt = "<Enter: next stop; a command of Bochs; q> "
    bochs.expect_exact(prompt)
    bochs.sendline("")
    bochs.expect_exact("1. `scene_first_malloc`: before")
    bochs.expect_exact(prompt)
    bochs.sendline("u /2")
    bochs.expect_exact("scene_first_malloc+0")
    bochs.expect_exact(prompt)
    bochs.sendline("q")
    bochs.expect(pexpect.EOF)
