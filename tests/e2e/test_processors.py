"""Several processors: found, started, used, stopped (docs/processors.md)."""

import re
import struct
import subprocess

import pexpect
import pytest

from conftest import E2E
from gdb_session import Session

PROCESSOR_TESTS = "batch demo=no test=processors_*"
COUNT = re.compile(r"^tests: (\d+) passed, 0 failed$")


def passed(run):
    assert run.code == 0, run.lines[-40:]
    return next(int(match[1]) for match in map(COUNT.match, run.lines) if match)


def steps(run):
    """Instructions of a pair at home, as the kernel counted them on each processor."""
    return next(line for line in run.lines if line.startswith("at home: a pair of 32 bytes "))


def started(run):
    """The line that says how many run, or None."""
    return next((line for line in run.lines if line.startswith("processors: ")), None)


@pytest.mark.parametrize("cpus", [1, 2, 4, 8])
def test_qemu(boot, cpus):
    run = boot(PROCESSOR_TESTS, timeout=150, more=("--cpus", str(cpus)))
    assert passed(run) >= 24
    assert started(run) == (None if cpus == 1 else f"processors: {cpus} of {cpus} run threads")


@pytest.mark.parametrize("cpus", [2, 4, 8])
def test_bochs(boot, cpus):
    run = boot(PROCESSOR_TESTS, "bochs", timeout=300, more=("--cpus", str(cpus)))
    assert passed(run) >= 24
    assert started(run) == f"processors: {cpus} of {cpus} run threads"


def test_the_checked_build(boot, checked_image):
    """Two: each page that it protects waits for all processors, and more than the host has take turns."""
    assert passed(boot(PROCESSOR_TESTS, timeout=200, path=checked_image, more=("--cpus", "2"))) >= 16


def test_turn_by_turn(boot):
    """One thread of the host for all: other interleavings than with a thread for each."""
    assert passed(boot(PROCESSOR_TESTS, timeout=150, more=("--cpus", "4", "--accel", "tcg,thread=single"))) >= 24


def test_processors_that_wait_end_their_turn(boot):
    """With -icount a turn ends at a `pause` or a `hlt`, or not before the next interrupt: a loop that waits for another
    processor without one waits for ever."""
    run = boot("batch", timeout=60, more=("--cpus", "4", "--icount"))
    assert run.code == 0 and "demo: passed" in run.lines, run.lines[-20:]


def test_a_pair_has_the_same_instructions_with_any_number(boot):
    """With one processor, and on each of several: a pair at home takes no lock and no other way."""
    pair = "batch demo=no test=processors_a_pair*"
    assert len({steps(boot(pair, more=("--cpus", str(cpus)))) for cpus in (1, 2, 4)}) == 1


def soak_hash(boot, cpus):
    run = boot("batch demo=no soak=200000,32", timeout=150, more=("--cpus", str(cpus)))
    assert run.code == 0, run.lines[-5:]
    line = next(line for line in run.lines if line.startswith("soak: seed"))
    assert "spoilt=0 refused=0 broken=0 leaked=0" in line
    return line.rsplit("hash=", 1)[1]


def test_a_soak_has_the_same_answers_with_any_number(boot):
    assert soak_hash(boot, 1) == soak_hash(boot, 2) == soak_hash(boot, 4)


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_the_demonstration(boot, emulator):
    run = boot("batch", emulator, more=("--cpus", "4"))
    assert run.code == 0, run.lines[-20:]
    assert "demo: passed" in run.lines


def test_cpus_limits(boot):
    run = boot("batch demo=no cpus=2", more=("--cpus", "4"))
    assert started(run) == "processors: 2 of 4 run threads"
    assert started(boot("batch demo=no cpus=1", more=("--cpus", "4"))) is None


def test_with_one_everything_is_as_before(boot):
    """No line more, whether there is one processor or the option says one; and the same tests pass."""
    def lines(run):
        assert run.code == 0
        return [line for line in run.lines if line.startswith(("test ", "tests:", "processors:", "cmdline:"))]
    one = boot("batch demo=no test=boot_*,paging_*,interrupt*,thread_*", timeout=150)
    limited = boot("batch demo=no test=boot_*,paging_*,interrupt*,thread_* cpus=1", timeout=150, more=("--cpus", "4"))
    assert lines(one) == lines(limited)


def test_a_log_follows_one(boot):
    run = boot("batch demo=no log", more=("--cpus", "4"))
    assert started(run) == "processors: one of 4, as 'log' follows the calls of one"


def test_a_deadlock_names_both(boot):
    run = boot("batch demo=no selftest=deadlock", more=("--cpus", "2"))
    assert run.code == 3
    panic = next(line for line in run.lines if line.startswith("panic:"))
    assert re.fullmatch(r"panic: deadlock: lock console, wanted by processor 0 at console_write\+0x[0-9a-f]+, is held "
                        r"by processor 1 since holder_thread\+0x[0-9a-f]+ \(thread main\)", panic), panic
    assert run.lines[-1] == "granary: halt panic"


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_the_wrong_order_of_locks_is_told(boot, emulator):
    run = boot("batch demo=no selftest=order", emulator, more=("--cpus", "2"))
    assert run.code == 3
    panic = next(line for line in run.lines if line.startswith("panic:"))
    assert re.fullmatch(r"panic: lock order: lock heap is taken at \w+\+0x[0-9a-f]+ by processor 0, which holds one "
                        r"that comes after it \(thread main\)", panic), panic


@pytest.mark.parametrize("emulator, cpus", [("qemu", "2"), ("qemu", "4"), ("bochs", "2")])
def test_a_panic_silences_all_others(boot, emulator, cpus):
    """They print all the time, and panic at the same moment: one report, and nothing of theirs in or after it."""
    run = boot("batch demo=no selftest=crowd", emulator, more=("--cpus", cpus))
    assert run.code == 3
    said = [line for line in run.lines if "a line of thread" in line]
    assert len(set(said)) >= 2, said[-9:]  # threads that had their turn; on a busy host not all
    at = next(number for number, line in enumerate(run.lines) if "panic:" in line)
    after = run.lines[at:]
    assert re.fullmatch(r"panic: selftest: all threads at once \(thread \w+\)", after[0]), after[:3]
    assert not [line for line in after[1:] if "panic:" in line or "selftest:" in line], after
    assert after[-1] == "granary: halt panic"


def test_a_stack_overflow_on_any_processor(boot):
    run = boot("batch demo=no selftest=stack", more=("--cpus", "4"))
    assert run.code == 3
    assert any("stack overflow" in line and "(thread diver)" in line for line in run.lines)


def test_one_that_does_not_answer(image, tmp_path, root):
    """A table with one processor more than the machine has: a line, and the kernel goes on."""
    run = subprocess.run(
        ["/usr/bin/python3", "-c", SILENT, image, str(tmp_path)], cwd=root, capture_output=True, text=True, timeout=120,
        check=False)
    assert "processors: APIC id 9: it does not answer; the kernel goes on without it" in run.stdout, run
    assert "processors: 2 of 3 run threads" in run.stdout
    assert "granary: halt passed" in run.stdout


def mp_tables(ids):
    """A floating pointer at 0xf0000's place, and its table after it."""
    entries = b"".join(struct.pack("<BBBBIIII", 0, one, 0x14, 1, 0, 0, 0, 0) for one in ids)
    table = bytearray(b"PCMP" + struct.pack("<HBB", 44 + len(entries), 4, 0) + b"GRANARY TESTS       " +
                      struct.pack("<IHHII", 0, 0, len(ids), 0xfee00000, 0) + entries)
    table[7] = -sum(table) & 0xff
    return bytes(table)


# QEMU with its monitor: the last KiB of base memory gets a pointer and a table before the kernel looks there.
SILENT = r"""
import os, subprocess, sys
sys.path[:0] = ["tools", "tests/e2e"]
import emulator, test_processors
image, folder = sys.argv[1:]
path = emulator.image_with_args(image, "batch demo=no", folder)
table = test_processors.mp_tables([0, 1, 9])
pointer = bytearray(b"_MP_" + (0x9f820).to_bytes(4, "little") + bytes([1, 4, 0, 0, 0, 0, 0, 0]))
pointer[10] = -sum(pointer) & 0xff
rom = os.path.join(folder, "mp")
with open(rom, "wb") as file:
    file.write(bytes(pointer).ljust(32, b"\0") + table)
command = emulator.qemu_command(path, 32, cpus=2) + [
    "-serial", "stdio", "-monitor", "none", "-device", f"loader,file={rom},addr=0x9f800,force-raw=on"]
done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=100)
print(done.stdout, done.stderr)
"""


def test_gdb_shows_the_processor_of_a_thread(tmp_path):
    session = Session(str(tmp_path), E2E, "demo=no", cpus=3)
    try:
        session.stop_at("shell_run")
        first = "\n".join(session.do("threads"))
        session.do("thread 2")
        second = "\n".join(session.do("threads"))
    finally:
        session.close()
    assert re.search(r" main +running .*\n +at shell_run\+", first), first
    assert re.search(r" idle2 +running .*\n +on processor 2: `thread 3` goes there", first), first
    assert re.search(r" main +running .*\n +on processor 0: `thread 1` goes there", second), second
    assert re.search(r" idle1 +running .*\n +at ", second), second


def test_gdb_looks_at_the_heap_of_all(tmp_path):
    """The heap commands run the kernel's functions on a copy, where no other processor answers."""
    session = Session(str(tmp_path), E2E, "demo=no test=processors_free_each*", cpus=2)
    try:
        session.stop_at("heap_check")
        check, descs, leaks = (session.do(f"heap {command}") for command in ("check", "descs", "leaks"))
        arenas = session.do("heap arenas")
        base = next(line for line in arenas if "64-byte" in line).split()[1]
        who = session.do(f"heap who {base}")
    finally:
        session.close()
    assert check and not any("broken" in line for line in check), check
    assert any(line.split()[:1] == ["64"] for line in descs), descs
    assert any(line.startswith("leaks: ") and "in blocks of" in line for line in leaks), leaks
    assert any(re.search(r", processor [01]'s$", line) for line in arenas), arenas
    assert f"block 0 of the 64-byte arena {base}" in " ".join(who), who


@pytest.mark.parametrize("build", ["fast", "checked"])
def test_reports_name_threads_with_the_heap_locked(boot, image, checked_image, build):
    """The museum's bugs make every kind of report; none takes locks in the wrong order."""
    run = boot("batch demo=no bugs=all", timeout=120, path=image if build == "fast" else checked_image,
               more=("--cpus", "2"))
    assert not any(line.startswith("panic:") for line in run.lines), run.lines[-20:]
    assert any(line.startswith("heap: double free") and line.endswith("thread main") for line in run.lines)


@pytest.mark.xdist_group("make")
def test_the_prompt(root):
    console = pexpect.spawn("make", ["--no-print-directory", "run", "CPUS=3", "ARGS=demo=no"], cwd=root, timeout=60,
                            encoding="utf-8", dimensions=(50, 160))
    console.expect_exact("granary> ")

    def ask(command):
        console.sendline(command)
        console.expect_exact(command)
        console.expect_exact("granary> ")
        return console.before.replace("\r", "")

    rows = re.findall(r"^ +(\d) +(\d) +running +(\w+) +(\d+) +(\d+)", ask("cpus"), re.M)
    assert [row[:3] for row in rows] == [("0", "0", "main"), ("1", "1", "idle1"), ("2", "2", "idle2")]
    ps = ask("ps")
    assert re.search(r"idle2 +running +0 +\d+ +\d+ of 12288 +2\n", ps), ps
    for _ in range(3):
        text = ask("run heapdemo")
        assert "panic" not in text
    assert "as it should be" in ask("run family")
    assert "trace follows one processor: boot with cpus=1" in ask("trace on")
    before = re.search(r"kernel_pool +\d+ frames, +(\d+) free", ask("mem"))[1]
    ask("run crowd")
    assert re.search(r"kernel_pool +\d+ frames, +(\d+) free", ask("mem"))[1] == before
    console.sendline("halt")
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0


@pytest.mark.xdist_group("make")
@pytest.mark.parametrize("words, told", [
    (["run", "CPUS=0"], "the number of processors '0' is not one from 1 to 255"),
    (["run", "CPUS=many"], "the number of processors 'many' is not one from 1 to 255"),
    (["bochs", "CPUS=9"], "bochs takes up to 8 processors, not 9"),
    (["rewind", "CPUS=2"], "a run of several processors cannot be recorded: QEMU plays back one (CPUS=1)"),
])
def test_what_cannot_be(root, words, told):
    done = subprocess.run(["make", "--no-print-directory", *words], cwd=root, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert told in done.stderr and "Traceback" not in done.stderr, done.stderr
