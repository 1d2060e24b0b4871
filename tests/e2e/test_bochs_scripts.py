"""Bochs's debugger as `make bochs-debug` starts it: each script's stop, the sheet of commands, the names of lines."""

import os
import re
import subprocess

import pytest

from conftest import PYTHON

pytestmark = pytest.mark.xdist_group("make")


def bochs(root, commands, *arguments):
    """`make bochs-debug` with these lines for its prompts: what the terminal shows."""
    done = subprocess.run(["make", "--no-print-directory", "-s", "bochs-debug", *arguments], cwd=root, check=False,
                          input="".join(f"{line}\n" for line in commands), capture_output=True, text=True,
                          errors="replace", env=dict(os.environ, TERM="dumb"), timeout=100)
    return done.returncode, done.stdout.replace("\r", ""), done.stderr


# ---- the scripts ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, stop", [
    ((), r"\(sys_malloc\+0\)"),
    (("STOP=sys_free",), r"\(sys_free\+0\)"),
    (("STOP=arena-open",), r"\(arena_open\+0\)"),
    (("STOP=arena-close",), r"\(arena_close\+0\)"),
    (("STOP=magic_break",), r"Magic breakpoint"),
])
def test_each_script_stops_where_it_says(root, arguments, stop):
    status, text, _ = bochs(root, ["bt", "q"], *arguments)
    before, prompt, after = text.partition("<bochs:1> ")
    assert prompt and re.search(stop, before[before.index("Next at t="):] if "Magic" not in stop else before), before
    assert re.search(r"\(\w+\+[0-9a-f]+\)", after)  # bt names who called
    assert status == 0


def test_every_script_is_tested_and_offered(root):
    there = {name[:-len(".bochs")] for name in os.listdir(os.path.join(root, "tools", "bochs"))
             if name.endswith(".bochs")}
    assert there == {"sys_malloc", "sys_free", "arena-open", "arena-close", "magic_break"}
    status, _, complaint = bochs(root, [], "STOP=nowhere")
    assert status != 0
    for name in there:
        assert name in complaint


# ---- the sheet -----------------------------------------------------------------------------------------------------

def test_the_sheet_is_shown_and_its_commands_are_bochss(root):
    with open(os.path.join(root, "tools", "bochs", "cheatsheet.txt"), encoding="utf-8") as file:
        sheet = file.read()
    typed = [word.strip() for line in sheet.splitlines()[1:] for word in re.split(r" {3,}", line[2:27])]
    commands = [word for word in typed if word and word not in ("q", "c", "n")]
    assert len(commands) > 12
    _, text, _ = bochs(root, commands + ["q"])
    assert sheet.rstrip() in text
    answers = text[text.index("<bochs:1>"):]
    assert not re.search(r"(?i)syntax error|unknown command|not found", answers), answers
    assert answers.count("<bochs:") >= len(commands)


# ---- the names of lines --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, names, message", [
    (["/nowhere/kernel.elf"], "80100000 T f\n", "nowhere"),
    (["build/kernel.elf"], "", "no function on standard input: is it the output of nm -n?"),
    (["--objdump", "no-such-objdump", "build/kernel.elf"], "80100000 T f\n",
     "no-such-objdump is missing"),
    (["build/mbr.bin"], "80100000 T f\n", ""),
])
def test_wrong_input_of_the_lines_tool_is_one_clear_line(root, arguments, names, message):
    done = subprocess.run([PYTHON, "tools/linesym.py", *arguments], cwd=root, input=names, capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("linesym.py: ") and message in done.stderr and done.stderr.count("\n") == 1


def test_every_line_of_the_heaps_has_one_first_name(root):
    with open(os.path.join(root, "build", "kernel.sym"), encoding="utf-8") as file:
        names = [line.split() for line in file]
    assert any(re.fullmatch(r"memory\.c:\d+", name) for _, name in names)
    assert any(name.startswith("list.h:") for _, name in names)
    assert len(set(map(tuple, names))) == len(names)  # none twice
