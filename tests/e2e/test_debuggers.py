"""Both debuggers stop at the first sys_malloc by its name, and step in it."""

import os
import re

import emulator as emu
import pexpect
import pytest

pytestmark = pytest.mark.xdist_group("make")


def start(root, target):
    env = dict(os.environ, TERM="dumb")  # no colours between the words
    return pexpect.spawn("make", ["--no-print-directory", target], cwd=root, timeout=90, encoding="utf-8", env=env,
                         codec_errors="replace", dimensions=(50, 200))


def test_gdb_stops_and_steps_source_lines(root):
    gdb = start(root, "debug")
    gdb.expect(r"Temporary breakpoint 1, sys_malloc \(size=[^)]*\) at kernel/memory\.c:(\d+)")
    stopped_at = int(gdb.match[1])
    gdb.expect_exact("(gdb) ")
    lines = set()
    for _ in range(4):
        gdb.sendline("step")
        gdb.expect_exact("(gdb) ")
        lines.update(int(number) for number in re.findall(r"^(\d+)\t", gdb.before, re.M))
    assert lines - {stopped_at}, "no other source line was reached"
    gdb.sendline("bt")
    gdb.expect("kmain")
    gdb.expect_exact("(gdb) ")
    gdb.sendline("continue")
    gdb.expect(r"Breakpoint 2, sys_malloc")
    gdb.expect_exact("(gdb) ")
    gdb.sendline("quit")
    gdb.expect(pexpect.EOF)
    gdb.close()
    assert gdb.exitstatus == 0


def test_bochs_stops_and_steps_instructions_with_symbols(root):
    bochs = start(root, "bochs-debug")
    bochs.expect(r"\(0\) Breakpoint 1, ")
    bochs.expect(r"\(sys_malloc\+0\)")
    bochs.expect_exact("<bochs:1> ")
    bochs.sendline("s")
    bochs.expect(r"\(memory\.c:\d+\+[0-9a-f]+\)")  # a line of the source, not "unk. ctxt"
    bochs.expect_exact("<bochs:2> ")
    bochs.sendline("u /4")
    bochs.expect(r"\( *memory\.c:\d+\+[1-9a-f][0-9a-f]*\)")  # the middle of a line's code
    bochs.expect_exact("<bochs:3> ")
    bochs.sendline("c")
    bochs.expect(r"\(sys_malloc\+0\)")
    bochs.expect_exact("<bochs:4> ")
    bochs.sendline("q")
    bochs.expect(pexpect.EOF)
    bochs.close()
    assert bochs.signalstatus is None


# ---- which Bochs, and does it have a debugger? ---------------------------------------------------------------------

@pytest.fixture
def bochs_that_says(tmp_path, monkeypatch):
    """A bochs whose --help is the given text, before any other in PATH."""
    def put(usage):
        fake = tmp_path / "bochs"
        fake.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{usage}\nEND\n", encoding="utf-8")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return str(fake)
    return put


RC = "  -rc filename     execute debugger commands stored in file"


@pytest.mark.parametrize("usage, options", [
    (RC, []),  # 2.7: always
    ("  -debugger        start Bochs internal debugger on startup\n" + RC, ["-debugger"]),  # 3.0: when told
])
def test_bochss_debugger_is_started_in_every_version(bochs_that_says, image, tmp_path, usage, options):
    bochs_that_says(usage)
    command = emu.bochs_command(str(tmp_path), image, 32, "mode=file, dev=/dev/null", "rc", debugger=True)
    assert [word for word in command if word == "-debugger"] == options
    running = emu.bochs_command(str(tmp_path), image, 32, "mode=file, dev=/dev/null", "rc")
    assert "-debugger" not in running


def test_a_bochs_without_its_debugger_is_one_sentence(bochs_that_says):
    fake = bochs_that_says("  -q               quick start")
    with pytest.raises(emu.RunError, match=f"^{fake} was built without its debugger: install the package bochs"):
        emu.bochs_debugger()
