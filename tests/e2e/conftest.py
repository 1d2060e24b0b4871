"""What the end-to-end tests share: an image of their own, and a way to run it.

The tests look at Granary from outside, as its users do: commands, emulators, debuggers. The image
under test is copied once, before any test runs, to build/e2e: `make run ARGS=...`, which some tests call, makes
build/hd.img anew, and other tests run meanwhile (pytest-xdist).
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

E2E = os.path.join(ROOT, "build", "e2e")
PYTHON = "/usr/bin/python3"

# What a `make` above us leaves in the environment would change the `make` that a test calls.
for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "ARGS", "MEM", "CPUS", "DISPLAY"):
    os.environ.pop(name, None)

# nohup, or a shell that starts a job in the background, makes these tests and what they start ignore a signal. A
# handler is not inherited: what they start hears it again.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

Run = namedtuple("Run", "code lines stderr")

counted = {"passed": 0, "failed": 0}


def pytest_configure(config):
    config.addinivalue_line("markers", "xdist_group(name): tests that follow each other in one worker")
    if hasattr(config, "workerinput"):
        return  # the process that started the workers has done it
    if subprocess.call(["make", "--no-print-directory", "-s", "all", "libgranary", "bench-programs"], cwd=ROOT) != 0:
        pytest.exit("the image does not build: nothing to test", 1)
    if subprocess.call(["make", "--no-print-directory", "-s", "all", "CHECK=1"], cwd=ROOT) != 0:
        pytest.exit("the checked build's image does not build", 1)
    for build, to in (("build", E2E), ("build/check", os.path.join(E2E, "check"))):
        os.makedirs(to, exist_ok=True)
        for name in ("hd.img", "kernel.elf", "kernel.sym", "replica"):
            # Renamed into place: what a session before this one still runs cannot be written over.
            shutil.copy(os.path.join(ROOT, build, name), os.path.join(to, name + ".new"))
            os.replace(os.path.join(to, name + ".new"), os.path.join(to, name))


def pytest_runtest_logreport(report):
    """Counts tests, and errors while a test is set up or put away as failures."""
    if report.failed:
        counted["failed"] += 1
    elif report.passed and report.when == "call":
        counted["passed"] += 1


def pytest_unconfigure(config):
    """The line that tools/testall.py reads: last, whatever pytest has written before."""
    if not hasattr(config, "workerinput"):
        print(f"e2e: {counted['passed']} passed, {counted['failed']} failed", flush=True)


@pytest.fixture
def root():
    """The project's top folder."""
    return ROOT


@pytest.fixture
def loader32():
    """The loader of Debian's cross C library: it starts programs of 32 bits, where the system does."""
    loader = "/usr/i686-linux-gnu/lib/ld-linux.so.2"
    try:
        subprocess.run([loader, "--version"], capture_output=True, check=True)
    except OSError as problem:
        if problem.errno != errno.ENOEXEC:
            raise
        pytest.skip("this system starts no programs of 32 bits (Linux without IA32 emulation)")
    return loader


@pytest.fixture
def image():
    """The image under test. Not to be written to."""
    return os.path.join(E2E, "hd.img")


@pytest.fixture
def checked_image():
    """The checked build's image (CHECK=1). Not to be written to."""
    return os.path.join(E2E, "check", "hd.img")


@pytest.fixture
def kernel_elf():
    return os.path.join(E2E, "kernel.elf")


@pytest.fixture
def boot(image):
    """boot(args, emulator=, mem=, timeout=, path=, more=) runs the image with a command line: a Run."""
    def boot_image(args, emulator="qemu", mem=32, timeout=None, path=image, more=()):
        command = [PYTHON, os.path.join(ROOT, "tools", "run.py"), "--emulator", emulator, "--image", path,
                   "--mem", str(mem), f"--args={args}", *more]
        if timeout:
            command += ["--timeout", str(timeout)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", check=False, cwd=ROOT)
        return Run(done.returncode, done.stdout.splitlines(), done.stderr)
    return boot_image
