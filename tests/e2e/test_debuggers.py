"""Both debuggers stop at the first sys_malloc by its name, and step in it."""

import os
import re

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
