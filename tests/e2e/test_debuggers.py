"""Both debuggers stop at the first sys_malloc by its name, and step in it; the kernel's console beside GDB; what a
debugger does that is missing something, or whose input ends."""

import os
import re
import shutil
import subprocess
import termios
import time

import emulator as emu
import pexpect
import pytest
from conftest import E2E, PYTHON, ROOT

pytestmark = pytest.mark.xdist_group("make")


def start(root, target):
    env = dict(os.environ, TERM="dumb")  # no colours between the words
    return pexpect.spawn("make", ["--no-print-directory", target], cwd=root, timeout=90, encoding="utf-8", env=env,
                         codec_errors="replace", dimensions=(50, 200))


def test_gdb_stops_and_steps_source_lines(root):
    gdb = start(root, "debug")
    gdb.expect(r"Temporary breakpoint 1, sys_malloc \(size=[^)]*\) at kernel/memory\.c:(\d+)\r")
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
    for _ in range(12):  # some compilers begin with a few instructions that belong to no line but the function's
        bochs.sendline("s")
        bochs.expect(r"\(0\) \[0x[0-9a-f]+\] \S+ \(([^)]*)\)")
        place = bochs.match[1]
        bochs.expect(r"<bochs:\d+> ")
        if place.startswith("memory.c:"):
            break
    assert re.fullmatch(r"memory\.c:\d+\+[0-9a-f]+", place)  # a line of the source, not "unk. ctxt"
    bochs.sendline("u /8")
    bochs.expect(r"\( *memory\.c:\d+\+[1-9a-f][0-9a-f]*\)")  # the middle of a line's code
    bochs.expect(r"<bochs:\d+> ")
    bochs.sendline("c")
    bochs.expect(r"\(sys_malloc\+0\)")
    bochs.expect(r"<bochs:\d+> ")
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


# ---- GDB, and what it is made of -----------------------------------------------------------------------------------

NEED_GDB = {"debug": ["debug/start.py", "gdb"], "rewind": ["rewind/rewind.py"],
            "tour": ["tour/tour.py", "first-malloc"],
            "tour in Bochs": ["tour/tour.py", "--with", "bochs", "first-malloc"]}


def run_with_path(name, path):
    script, *words = NEED_GDB[name]
    return subprocess.run([PYTHON, os.path.join(ROOT, "tools", script), "--build", E2E, *words], cwd=ROOT, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, env=dict(os.environ, PATH=path), check=False)


@pytest.mark.parametrize("name", NEED_GDB)
def test_a_gdb_without_python_is_one_sentence_that_names_the_package(tmp_path, name):
    """As Debian's gdb-minimal answers."""
    fake = tmp_path / "gdb"
    fake.write_text("#!/bin/sh\necho 'Python scripting is not supported in this copy of GDB.' >&2\nexit 0\n")
    fake.chmod(0o755)
    done = run_with_path(name, f"{tmp_path}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f": {fake} was built without Python, which the heap commands are written in: "
                                "install the package gdb (gdb-minimal has none)\n") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", NEED_GDB)
def test_a_missing_gdb_is_one_sentence(tmp_path, name):
    for program in ("qemu-system-i386", "qemu-img", "bochs"):
        (tmp_path / program).symlink_to(shutil.which(program))
    done = run_with_path(name, str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert ": gdb is missing: `sh tools/setup.sh --only " in done.stderr and done.stderr.count("\n") == 1


# ---- the console beside GDB ----------------------------------------------------------------------------------------

@pytest.fixture
def sessions(root):
    """make(TARGET, ARGUMENTS...) at a terminal of its own; ended at the end."""
    started = []

    def make(*words):
        env = dict(os.environ, TERM="dumb")
        started.append(pexpect.spawn("make", ["--no-print-directory", *words], cwd=root, timeout=60, encoding="utf-8",
                                     env=env, codec_errors="replace", dimensions=(50, 160)))
        return started[-1]
    yield make
    for one in started:
        one.close(force=True)


def go_to_the_prompt(gdb):
    gdb.sendline("delete")
    gdb.expect_exact("(gdb) ")
    gdb.sendline("continue")


def test_the_console_is_alive_beside_gdb(sessions):
    """Typing at the kernel in a second terminal, with GDB's left alone; leaving, and coming back to the whole text."""
    gdb = sessions("debug", "ARGS=demo=no")
    gdb.expect(r"The heap's first call since the boot: thread_make\(\) in thread/thread\.c:\d+ asks for \d+ bytes\.")
    gdb.expect_exact("`make console` in another terminal\r\n(gdb) ")
    console = sessions("console")
    console.expect_exact("The kernel's console; Ctrl-] leaves it, and the debugger goes on.")
    console.expect(r"Granary\r\n")  # what was said before it came
    go_to_the_prompt(gdb)
    console.expect_exact("granary> ")
    console.send("malloc 100\r")
    console.expect(r"0x8800\w+: block 1 of the 128-byte arena")
    console.expect_exact("granary> ")
    gdb.sendintr()
    gdb.expect_exact("(gdb) ")
    assert "granary>" not in gdb.before
    gdb.sendline("heap who 0x88000080")
    gdb.expect_exact("0x88000080: block 1 of the 128-byte arena")
    gdb.sendline("console 2")
    gdb.expect(r"of the 128-byte arena 0x88000000, kernel_pool frame 0, live\r\ngranary> \r\n\(gdb\) ")

    console.send("\x1d")
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0
    again = sessions("console")
    again.expect(r"Granary\r\n")
    again.expect_exact("granary> malloc 100")
    gdb.sendline("quit")
    gdb.expect(pexpect.EOF)
    again.expect_exact("The session has ended.")
    again.expect(pexpect.EOF)
    again.close()
    assert again.exitstatus == 0


def test_the_console_puts_the_terminal_back(sessions):
    gdb = sessions("debug", "ARGS=demo=no")
    gdb.expect_exact("(gdb) ")
    shell = pexpect.spawn("sh", cwd=ROOT, timeout=60, encoding="utf-8", env=dict(os.environ, PS1="$ ", TERM="dumb"))
    shell.expect_exact("$ ")
    before = termios.tcgetattr(shell.child_fd)
    shell.sendline("make console")
    shell.expect_exact("classes: seed")
    assert termios.tcgetattr(shell.child_fd) != before
    shell.send("\x1d")
    shell.expect_exact("$ ")
    assert termios.tcgetattr(shell.child_fd) == before
    shell.close(force=True)


def test_two_terminals_may_join(sessions):
    gdb = sessions("debug", "ARGS=demo=no")
    gdb.expect_exact("(gdb) ")
    both = [sessions("console"), sessions("console")]
    for one in both:
        one.expect(r"classes: seed")
    go_to_the_prompt(gdb)
    for one in both:
        one.expect_exact("granary> ")
    both[0].send("mem\r")
    for one in both:
        one.expect("kernel_pool +[0-9]+ frames")


def test_no_session_to_join_is_one_sentence(tmp_path):
    for build, more in ((str(tmp_path), ()), (str(tmp_path / "nowhere"), ())):
        console = pexpect.spawn(PYTHON, [os.path.join(ROOT, "tools", "debug", "console.py"), "--build", build, *more],
                                encoding="utf-8", timeout=30)
        console.expect(pexpect.EOF)
        console.close()
        assert console.before == "console: no session to join: start `make debug` in another terminal first\r\n"
        assert console.exitstatus == 2
    done = subprocess.run([PYTHON, os.path.join(ROOT, "tools", "debug", "console.py")], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "console: the console wants a terminal to type at\n")


def test_a_machine_that_ends_says_why(sessions):
    """The console is elsewhere: GDB repeats the kernel's last words."""
    gdb = sessions("debug", "ARGS=batch demo=no selftest=panic")
    gdb.expect_exact("(gdb) ")
    go_to_the_prompt(gdb)
    gdb.expect_exact("The machine is off. Its last lines:")
    gdb.expect_exact("granary: halt panic")


# ---- the end of the input ------------------------------------------------------------------------------------------

# start.py with a patience that a test has.
IMPATIENT = """
import sys
sys.path[:0] = ["tools", "tools/debug"]
import cli, piped, start
piped.QUIET_SECONDS = 4
sys.exit(cli.main(start.main, "debug"))
"""


@pytest.mark.parametrize("debugger, typed, last", [
    ("bochs", "bpd 1\nc\n", "granary> "),
    ("bochs", "bpd 1\nc", "granary> "),
    ("gdb", "delete\ncontinue\n", "Continuing."),
])
def test_a_debugger_whose_input_ends_ends(debugger, typed, last):
    """The machine would run for ever, at its prompt."""
    done = subprocess.run([PYTHON, "-c", IMPATIENT, debugger, "--build", E2E], cwd=ROOT, input=typed, text=True,
                          capture_output=True, timeout=100, check=False)
    assert done.returncode == 2
    assert done.stderr == "debug: the input has ended, and nothing has been said for 4 s: stopped\n"
    assert done.stdout.rstrip("\n").endswith(last), done.stdout[-300:]


def test_a_debugger_that_is_given_time_uses_it():
    """As long as there is input to come, silence is no end; commands come through at once."""
    process = subprocess.Popen([PYTHON, "-c", IMPATIENT, "gdb", "--build", E2E], cwd=ROOT, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write("echo first\\n\n")
    process.stdin.flush()
    while "first" not in process.stdout.readline():
        pass
    time.sleep(6)
    said, complaint = process.communicate("echo second\\n\n", timeout=60)
    assert (process.returncode, complaint) == (0, "") and "second" in said
