"""Programs that are not ours, on a C library that is not ours: Lua's scripts print what they print on this machine,
and tcc compiles itself to the bytes that it comes to on this machine.

Only this finds a system call, a C library or a heap that a real program sees through: what two programs of tens of
thousands of lines compute is compared byte for byte. Where the list `libc` of tools/setup.sh is not installed, all of
it is skipped.
"""

import glob
import os
import subprocess
import sys

import pytest

from conftest import ROOT

sys.path.insert(0, os.path.join(ROOT, "tools", "ports"))

import session as sessions  # noqa: E402 (the line above makes it findable)

MISSING = subprocess.run(["sh", "tools/setup.sh", "--check", "libc"], cwd=ROOT, capture_output=True, text=True,
                         check=False)
pytestmark = pytest.mark.xdist_group("make")
SCRIPTS = sorted(glob.glob(os.path.join(ROOT, "user", "lua", "*.lua")))
SELF = "-static -o {} src/tcc/tcc.c -lm"


@pytest.fixture(name="console", scope="module", params=["qemu", "bochs"])
def _console(request, tmp_path_factory):
    """A machine with the programs, at its prompt; with an image of its own, as others call `make`, too."""
    if MISSING.returncode != 0:
        pytest.skip(MISSING.stderr.strip())
    subprocess.run(["make", "--no-print-directory", "-s", "programs"], cwd=ROOT, check=True)
    image = tmp_path_factory.mktemp("programs") / "programs.img"
    image.write_bytes(open(os.path.join(ROOT, "build", "programs.img"), "rb").read())
    session = sessions.Session(str(image), request.param, seconds=240)
    yield session
    session.halt()


@pytest.mark.parametrize("script", SCRIPTS, ids=os.path.basename)
def test_a_script_prints_what_it_prints_here(console, script):
    host = subprocess.run(["lua5.4", os.path.basename(script)], cwd=os.path.dirname(script), capture_output=True,
                          text=True, check=True)
    assert console.ask(f"run lua {os.path.basename(script)}") == host.stdout.splitlines()


def test_without_the_sources(tmp_path):
    """One line names what is missing, and the command that brings it."""
    env = dict(os.environ, GRANARY_SOURCES=str(tmp_path / "none"))
    done = subprocess.run(["make", "-s", f"BUILD={tmp_path}", f"{tmp_path}/ports/lua/.unpacked"], cwd=ROOT, env=env,
                          capture_output=True, text=True, check=False)
    assert done.returncode != 0
    line = done.stderr.splitlines()[0]
    assert line.startswith("setup: missing: ") and "src:lua5.4 src:tcc" in line
    assert line.endswith("; `sh tools/setup.sh --only libc` installs it")


def test_an_archive_that_is_no_archive(tmp_path):
    """What was fetched may be cut off: a sentence, and no half of it is taken for the whole."""
    bad = tmp_path / "lua5.4_1.orig.tar.gz"
    bad.write_bytes(b"no archive")
    done = subprocess.run(["sh", "tools/ports/unpack.sh", str(bad), str(tmp_path / "to")], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not (tmp_path / "to").exists()
    assert done.stderr.splitlines()[-1] == f"unpack: {bad} cannot be unpacked"
    done = subprocess.run(["sh", "tools/ports/unpack.sh", str(tmp_path / "none"), str(tmp_path / "to")], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"unpack: {tmp_path}/none: there is none; `sh tools/setup.sh --only libc` brings it\n"


def test_lua_at_the_prompt(console):
    """A line is edited before it is read, a mistake is said, and Ctrl-D ends it."""
    console.type("run lua\r")
    assert "Lua 5.4" in console.expect("> ")
    console.type("return 6 * 8\b7\r")
    assert console.expect("> ").splitlines()[-1] == "42"
    console.type("x = = 1\r")
    assert "unexpected symbol near '='" in console.expect("> ")
    console.type("nonsense\x15for i = 1, 3 do\r")
    console.expect(">> ")
    console.type("io.write(i * i, ' ') end print()\r")
    assert console.expect("> ").splitlines()[-1].strip() == "1 4 9"
    console.type("error('of mine')\r")
    assert "stdin:1: of mine" in console.expect("> ")
    console.type("\x04")
    console.expect(sessions.PROMPT)


def test_what_goes_wrong_is_said(console):
    answer = console.ask("run lua no-such.lua")
    assert answer[0] == "lua: cannot open no-such.lua: No such file or directory"
    assert console.ask("run tcc -static -o x no-such.c")[0] == "tcc: error: file 'no-such.c' not found"
    answer = console.ask("run tcc -static -o motd hello.c")
    assert answer[0].startswith("tcc: error: could not write 'motd")


def test_tcc_compiles_hello(console):
    assert console.ask("run tcc -static -o hi hello.c") == []
    assert console.ask("run hi") == ["hello, compiled in Granary: 3.141593"]
    assert console.ask("run rm hi") == []


def test_tcc_compiles_itself(console):
    """The first is gcc's, the second is the first's, the third the second's: the last two and the host's are one."""
    size = os.path.getsize(os.path.join(ROOT, "build", "ports", "root", "tcc.host"))
    for compiler, out in (("tcc", "tcc1"), ("tcc1", "tcc2")):
        assert console.ask(f"run {compiler} {SELF.format(out)}") == []
        assert console.ask(f"run cmp {out} tcc.host") == [f"cmp: {out} and tcc.host are the same, {size} bytes"]
    assert console.ask("run tcc2 -static -o hi hello.c") == []
    assert console.ask("run hi") == ["hello, compiled in Granary: 3.141593"]


def test_no_room_for_it(console):
    """Beyond its limit of frames a program is told so, and goes on."""
    console.type("run lua\r")
    console.expect("> ")
    console.type("t = {} for i = 1, 1e9 do t[i] = {} end\r")
    assert console.expect("> ").splitlines()[-1] == "not enough memory"
    console.type("t = nil collectgarbage() return #('x'):rep(1e6)\r")
    assert console.expect("> ").splitlines()[-1] == "1000000"
    console.type("\x04")
    console.expect(sessions.PROMPT)


def test_the_pools_are_as_before(console):
    def pools():
        return [line.split()[3] for line in console.ask("pools") if "pool" in line]

    def compile_and_remove():
        console.ask("run tcc -static -o hi hello.c")
        seen = pools()
        console.ask("run rm hi")
        return seen

    console.ask("run rm tcc1 tcc2 hi")
    compile_and_remove()  # the kernel's heap is warm
    before = pools()
    console.ask("run lua objects.lua")
    assert compile_and_remove() != before  # the file
    assert pools() == before
