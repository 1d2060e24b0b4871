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


@pytest.mark.parametrize("name, debugger", [(name, debugger) for name in NAMES
                                            for debugger in tourfile.read(name).debuggers()])
def test_walks_to_its_end(name, debugger):
    done = walk(name, debugger)
    tour = tourfile.read(name)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.rstrip().endswith(f"The tour ends here: {len(tour.stops)} stops, 0 claims do not hold."), done
    assert len(re.findall(r"^  ok ", done.stdout, re.M)) == sum(len(stop.claims) for stop in tour.stops) > 3
    assert "  NO " not in done.stdout


def test_both_debuggers_say_the_same():
    """The same machine by two ways: the values of the claims agree, where they are no addresses of frames."""
    values = [re.findall(r"^  ok (.*?)(?:   \[.*)?$", walk("block-list", debugger).stdout, re.M)
              for debugger in ("gdb", "bochs")]
    assert values[0] == values[1]


def test_every_lesson_has_its_tour():
    assert NAMES == sorted(["first-malloc", "arena-opens", "block-list", "large-area", "last-block", "double-free",
                            "switch-inside", "page-table-entry", "classic-malloc", "classic-free",
                            "program-malloc", "another-processor-frees"])
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


def test_a_tour_with_two_processors_is_not_for_bochs():
    done = walk("another-processor-frees", "bochs")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("tour: another-processor-frees: with 2 processors Bochs's debugger misses breakpoints: "
                           "WITH=gdb\n")


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


PROMPTS = {"gdb": "(gdb) ", "bochs": "(tour) "}
PLACE = re.compile(r"^at (\w+)(?:, in \w+)?\+(?:0|0x[0-9a-f]+), (\S+):(\d+)\n\3\t(.*)$", re.M)


def tour_at_a_terminal(debugger, name):
    tour = pexpect.spawn(PYTHON, [TOOL, "--build", E2E, "--with", debugger, name], timeout=60, encoding="utf-8",
                         env=dict(os.environ, TERM="dumb"), dimensions=(50, 200))
    tour.expect_exact(PROMPTS[debugger])
    return tour


def say(tour, debugger, text):
    tour.sendline(text)
    tour.expect_exact(PROMPTS[debugger])
    return tour.before.replace("\r", "")


@pytest.mark.parametrize("debugger", ["gdb", "bochs"])
def test_c_is_the_next_stop_and_at_the_last_one_the_end(debugger):
    """The tour with calls inside calls' returns and a switch of threads: `c` alone leads through it, each stop says
    where it is, and the end is a sentence."""
    tour, stops = tour_at_a_terminal(debugger, "switch-inside"), tourfile.read("switch-inside").stops
    for number, stop in enumerate(stops, 1):
        said = say(tour, debugger, "c")
        assert f"\n{number}. `{stop.place}`" in said and "  NO " not in said, said
        place = PLACE.search(said)
        assert place and (stop.place == "return" or place[1] == stop.place), said
        with open(os.path.join(ROOT, place[2]), encoding="utf-8") as source:
            assert source.read().splitlines()[int(place[3]) - 1] == place[4]
    assert f"The tour ends here: {len(stops)} stops, 0 claims do not hold." in said
    tour.sendline("c")
    tour.expect_exact("The machine has come to its end and switched itself off.")
    if debugger == "gdb":
        tour.sendline("q")
    tour.expect(pexpect.EOF)
    tour.close()
    assert tour.exitstatus == 0


@pytest.mark.parametrize("debugger, step, stop_there", [
    ("gdb", "stepi", "break sys_free"),
    ("bochs", "s", 'lb "sys_free"'),
])
def test_the_debugger_stays_the_users(debugger, step, stop_there):
    """Commands of the user's between the stops, and a breakpoint, which `c` stops at as well."""
    tour = tour_at_a_terminal(debugger, "first-malloc")
    assert "1. `scene_first_malloc`" in say(tour, debugger, "c")
    assert "2. `" not in say(tour, debugger, step)
    say(tour, debugger, stop_there)
    for number in range(2, 6):
        assert f"\n{number}. `" in say(tour, debugger, "c")
    said = say(tour, debugger, "c")
    assert "6. `sys_free`" in said and said.count("at sys_free+0") == 1
    assert "7. `return`" in say(tour, debugger, "c")
    said = say(tour, debugger, "c")  # the scene's other sys_free is no stop of the tour's
    assert "sys_free" in said and "`sys_free`" not in said
    tour.sendline("q")
    tour.expect(pexpect.EOF)


def test_a_stop_that_a_step_leads_to_is_shown():
    """In Bochs as in GDB, where each instruction may be the one that arrives."""
    tour = tour_at_a_terminal("bochs", "first-malloc")
    say(tour, "bochs", "c")
    for _ in range(40):
        said = say(tour, "bochs", "s")
        if "2. `sys_malloc`" in said:
            break
    assert "at sys_malloc+0, kernel/memory.c:" in said
    assert "3. `return`" in say(tour, "bochs", "c")
    tour.sendline("q")
    tour.expect(pexpect.EOF)


@pytest.mark.parametrize("debugger", ["gdb", "bochs"])
def test_a_stop_that_never_comes_is_a_sentence(tmp_path, debugger):
    text = "# Never\n\nscene: first-malloc\n\n## 1. `scene_first_malloc`: a\n\n## 2. `scene_call`: another scene's\n"
    done = walk_text(tmp_path, text, debugger)
    assert done.returncode == 1 and "stop 2 was not reached: the machine ended before" in done.stdout, done
