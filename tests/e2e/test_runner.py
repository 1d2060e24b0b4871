"""The runner against kernels that panic, hang, lie, keep silent and blow a stack.

The kernel's command line makes it do so (`selftest=...`), so these are real runs in real emulators.
"""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from run import HANG, NO_LAST_LINE, PANIC, PASSED, USAGE, WRONG_EXIT

BOTH = pytest.mark.parametrize("emulator", ["qemu", "bochs"])


@BOTH
def test_passes(boot, emulator):
    run = boot("batch demo=no", emulator)
    assert run.code == PASSED, run
    assert run.lines[-1] == "granary: halt passed"
    assert run.stderr == ""


@BOTH
def test_panic(boot, emulator):
    run = boot("batch selftest=panic", emulator)
    assert run.code == PANIC, run
    assert "run: the kernel panicked: panic: " in run.stderr
    assert run.lines[-1] == "granary: halt panic"


@BOTH
def test_hang(boot, emulator):
    run = boot("batch selftest=hang", emulator, timeout=8)
    assert run.code == HANG, run
    assert "run: hang: no last line within 8 s" in run.stderr


def test_lie(boot):
    run = boot("batch selftest=lie")
    assert run.lines[-1] == "granary: halt passed"
    assert run.code == WRONG_EXIT, run
    assert "the exit says: failed" in run.stderr


@BOTH
def test_silent(boot, emulator):
    run = boot("batch selftest=silent", emulator)
    assert run.code == NO_LAST_LINE, run
    assert "granary: halt" not in "\n".join(run.lines)


@BOTH
def test_a_blown_stack_is_reported_with_the_thread(boot, emulator):
    """Case 24: not a triple fault."""
    run = boot("batch selftest=stack", emulator)
    assert run.code == PANIC, run
    assert "stack" in run.stderr and "thread" in run.stderr, run.stderr


def test_missing_image(boot):
    run = boot("batch", path="/nowhere/hd.img")
    assert run.code == USAGE
    assert run.stderr == "run: /nowhere/hd.img is not there: run `make` first\n"


def test_damaged_image(boot, tmp_path):
    bad = tmp_path / "hd.img"
    bad.write_bytes(b"no image" * 1000)
    run = boot("batch", path=str(bad))
    assert run.code == USAGE
    assert run.stderr.startswith("run: ") and "Traceback" not in run.stderr


@pytest.mark.parametrize("emulator, mem", [("bochs", 4096), ("bochs", 1), ("qemu", 0)])
def test_memory_size_out_of_range(boot, emulator, mem):
    run = boot("batch", emulator, mem)
    assert run.code == USAGE
    assert "takes a memory size from" in run.stderr


def test_unknown_accelerator(boot):
    run = boot("batch", more=("--accel", "nonsense"))
    assert run.code == USAGE
    assert "run: qemu did not start: " in run.stderr and "nonsense" in run.stderr


def test_command_line_too_long(boot):
    assert boot("batch demo=no " + "x" * 500).code == USAGE
    run = boot("x" * 512)
    assert run.code == USAGE
    assert run.stderr == "run: the kernel command line has 512 bytes; the image has room for 511\n"


@pytest.mark.parametrize("emulator, program, jobs", [("qemu", "qemu-system-i386", "run"), ("bochs", "bochs", "bochs")])
def test_missing_emulator(root, image, emulator, program, jobs, tmp_path):
    done = subprocess.run(["/usr/bin/python3", os.path.join(root, "tools/run.py"), "--image", image,
                           "--emulator", emulator], env={"PATH": str(tmp_path)}, capture_output=True,
                          text=True, check=False)
    assert done.returncode == USAGE
    assert done.stderr.endswith(f"{program} is missing: `sh tools/setup.sh --only {jobs}` installs it\n")


@pytest.mark.parametrize("failures, code", [(1, PASSED), (3, USAGE)])
def test_bochs_without_a_port_is_started_again(root, image, failures, code, tmp_path):
    """Two that start together may be after the same port."""
    fake = tmp_path / "bochs"
    fake.write_text(f"""#!/bin/sh
case "$*" in *--help*) exec {shutil.which("bochs")} "$@";; esac
echo x >> {tmp_path}/starts
[ $(wc -l < {tmp_path}/starts) -gt {failures} ] && exec {shutil.which("bochs")} "$@"
for option; do case $option in "log: "*) log=${{option#log: }};; esac; done
echo '00000000000p[RFB   ] >>PANIC<< RFB could not bind any port between 5900 and 5949' > "$log"
exit 1
""")
    fake.chmod(0o755)
    done = subprocess.run(["/usr/bin/python3", os.path.join(root, "tools/run.py"), "--image", image,
                           "--emulator", "bochs", "--args", "batch demo=no"],
                          env=dict(os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}"),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == code, done
    if code == USAGE:
        assert done.stderr == "run: bochs did not start: RFB could not bind any port between 5900 and 5949\n"


def test_transcript_is_the_console(boot, tmp_path):
    path = tmp_path / "transcript.txt"
    path.write_text("granary: halt passed\n")  # a leftover must not count
    run = boot("batch demo=no", more=("--transcript", str(path)))
    assert run.code == PASSED
    assert path.read_text().splitlines() == run.lines


def test_icount_counts_the_same_instructions_each_time(boot):
    """All but the waiting for the disk, which the loader does and QEMU serves when it likes."""
    first, second = (boot("batch demo=no", more=("--icount",)) for _ in range(2))
    assert first.code == PASSED, first
    at = next(i for i, line in enumerate(first.lines) if line.startswith("boot: "))
    counts, again = (list(map(int, re.findall(r"\d+", run.lines[at]))) for run in (first, second))
    assert counts[1] - counts[0] == again[1] - again[0], "from main to mem_init done"
    assert first.lines[:at] + first.lines[at + 1:] == second.lines[:at] + second.lines[at + 1:]


def test_second_disk_is_not_written(boot, tmp_path):
    disk = tmp_path / "disk,2.img"  # a comma, which QEMU's options give a meaning
    disk.write_bytes(b"MTRACE1\0" * 100)
    for emulator in ("qemu", "bochs"):
        run = boot("batch demo=no", emulator, more=("--disk2", str(disk)))
        assert run.code == PASSED, run
    assert disk.read_bytes() == b"MTRACE1\0" * 100


def test_a_stopped_runner_leaves_no_emulator(root, image, tmp_path):
    process = subprocess.Popen(
        ["/usr/bin/python3", os.path.join(root, "tools/run.py"), "--image", image, "--args=batch selftest=hang"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(tmp_path)})
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    deadline = time.monotonic() + 10
    emulator = []
    while time.monotonic() < deadline and not emulator:
        time.sleep(0.2)
        with open(children, encoding="ascii") as file:
            emulator = [pid for pid in file.read().split()
                        if "qemu" in open(f"/proc/{pid}/cmdline", encoding="ascii").read()]
    assert emulator, "QEMU did not start"
    with open(f"/proc/{emulator[0]}/environ", encoding="utf-8") as file:
        places = [value for value in file.read().split("\0") if value.startswith("TMPDIR=")]
    assert "/granary-run-" in places[0]  # what it leaves there goes with the run's folder
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    assert not os.path.exists(f"/proc/{emulator[0]}")
    assert os.listdir(tmp_path) == []
