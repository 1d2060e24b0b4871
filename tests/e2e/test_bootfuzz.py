"""Altered images boot or say why not (a sample of `make boot-fuzz`), and a killed emulator spoils nothing."""

import hashlib
import os
import random
import re
import signal
import subprocess
import time

import pytest

import bootfuzz
import emulator
from conftest import PYTHON
from test_image import elf, image_with_kernel

SAMPLE = 36


def fuzz(root, image, *options):
    command = [PYTHON, os.path.join(root, "tools", "bootfuzz.py"), "--image", image, *options]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def test_sample(root, image):
    done = fuzz(root, image, "--sample", str(SAMPLE))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    count = re.fullmatch(r"bootfuzz: (\d+) passed, 0 failed", done.stdout.splitlines()[-1])
    assert int(count[1]) >= SAMPLE - 6
    for family in ("sector", "header", "map", "entry", "cmdline"):
        assert re.search(rf"^ *\d+  {family} ", done.stdout, re.MULTILINE), done.stdout


def test_a_case_is_the_same_each_time(image):
    bootfuzz.mkimage.C.update(bootfuzz.mkimage.read_constants())
    parts = bootfuzz.Image(image)
    names = bootfuzz.all_cases(parts)
    for family in bootfuzz.FAMILIES:
        name = names[family][-1]
        once, again, other = (bootfuzz.build(parts, bytes(512), seed, name) for seed in (1, 1, 2))
        assert once == again != parts.data
        assert family == "sector" or once != other  # the last sector's neighbour is the first: no chance in it
    assert len(names["sector"]) == 4 * parts.sectors


ENDINGS = {  # status, console -> what is made of it
    "HANG": (None, True, "Granary\nmem_init start"),
    "RESET after: Granary": (0, False, "Granary"),
    "RESET, nothing said": (0, False, ""),
    "SILENCE, exit status 35": (35, False, ""),
    "PANIC: page fault": (37, False, "Granary\npanic: page fault\ngranary: halt panic"),
    "NO LAST LINE, exit status 33: demo: passed": (33, False, "Granary\ndemo: passed"),
    "NO LAST LINE, exit status 35: granary: halt passed": (35, False, "demo: passed\ngranary: halt passed"),
    "NO LAST LINE, exit status 33: granary: halt passed": (33, False, "demo: failed\ngranary: halt passed"),
}


@pytest.mark.parametrize("outcome", ENDINGS)
def test_judge_fails(outcome):
    status, late, console = ENDINGS[outcome]
    assert bootfuzz.judge(console.split("\n"), status, late, "") == bootfuzz.Verdict(outcome, False)


@pytest.mark.parametrize("code, outcome", [("0f0b", "RESET, nothing said"), ("fa f4 ebfd", "HANG")])
def test_a_kernel_that_fails_is_seen(image, tmp_path, monkeypatch, code, outcome):
    """Kernels whose first instruction is no instruction, or that sleep for good."""
    monkeypatch.setattr(bootfuzz, "TIMEOUT", 4)
    kernel = elf()[:0x100] + bytes.fromhex(code).ljust(16, b"\x90")
    path = str(tmp_path / "bad.img")
    assert bootfuzz.judge(*bootfuzz.boot(path, image_with_kernel(image, kernel), path + ".log")) == (outcome, False)


def test_a_wrong_word_must_be_named(image, monkeypatch):
    monkeypatch.setattr(bootfuzz, "random_cmdline", lambda rng: (b"hz=1 batch", ["hz"]))
    good = bootfuzz.Verdict("demonstration", True)
    assert bootfuzz.judge_cmdline("cmdline:0", 1, ["cmdline: bad value '1' for 'hz'"], good) == good
    assert bootfuzz.judge_cmdline("cmdline:0", 1, ["Granary"], good) == ("SILENT ABOUT hz", False)


@pytest.mark.parametrize("options, message", [
    (["--case", "sector:99999:flip"], "bootfuzz: no case is named sector:99999:flip"),
    (["--image", "/nowhere/hd.img"], "bootfuzz: /nowhere/hd.img: No such file or directory"),
])
def test_wrong_use(root, image, options, message):
    done = fuzz(root, image, *options)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message + "\n")


# ---- killed at any moment ---------------------------------------------------------------------------------------


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


@pytest.fixture
def disk(root, image, tmp_path):
    """A folder with nothing but an image in it, whose command line is `batch`."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run([PYTHON, os.path.join(root, "tools", "mkimage.py"), "--set-cmdline=batch", image, "--out",
                    str(folder / "hd.img")], check=True)
    return folder


def command_for(name, disk, console, folder):
    """The emulator itself, not run.py, which would copy the image: that is what gets killed."""
    path = str(disk / "hd.img")
    if name == "qemu":
        return emulator.qemu_command(path, 32) + ["-serial", f"file:{console}", "-monitor", "none"]
    go = os.path.join(emulator.ROOT, "tools", "debug", "go.bochs")
    return emulator.bochs_command(str(folder), path, 32, f"mode=file, dev={console}", go)


def passes(command, console, folder):
    """Runs to the end; True if the demonstration came to its last line."""
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   cwd=folder, timeout=100, check=False)
    lines = console.read_text(errors="replace").split("\n")
    return [line.strip() for line in lines if line.strip()][-1] == "granary: halt passed"


@pytest.mark.parametrize("name, longest, kills", [("qemu", 1.2, 8), ("bochs", 3.0, 4)])
def test_killed(disk, tmp_path, name, longest, kills):
    """SIGKILL at random moments of the demonstration: the image stays as it is, and starts again."""
    before, rng, console = digest(disk / "hd.img"), random.Random(kills), tmp_path / "console.txt"
    command = command_for(name, disk, console, tmp_path)
    for _ in range(kills):
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, cwd=tmp_path) as process:
            time.sleep(rng.uniform(0.05, longest))
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert digest(disk / "hd.img") == before
        assert os.listdir(disk) == ["hd.img"]  # no lock, no journal
    assert passes(command, console, tmp_path)
    assert digest(disk / "hd.img") == before


@pytest.mark.parametrize("name", ["qemu", "bochs"])
def test_lock_left_behind(disk, tmp_path, name):
    """The file that Bochs, in modes that are not ours, leaves beside an image when it is killed stops no later run."""
    (disk / "hd.img.lock").write_bytes(b"")
    console = tmp_path / "console.txt"
    assert passes(command_for(name, disk, console, tmp_path), console, tmp_path)


def test_bochsrc_killed(root, disk, tmp_path):
    """`bochs -q -f bochsrc.disk` by itself: killed, it leaves no lock, and starts again."""
    disk.rename(tmp_path / "build")
    path = tmp_path / "build" / "hd.img"
    before = digest(path)
    command = ["bochs", "-q", "-f", os.path.join(root, "bochsrc.disk"),
               "-rc", os.path.join(root, "tools", "debug", "go.bochs")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          cwd=tmp_path) as process:
        time.sleep(1.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "build" / "hd.img.lock").exists()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, cwd=tmp_path, timeout=100,
                          check=False)
    assert b"granary: halt passed" in done.stdout, done.stdout[-500:]
    assert digest(path) == before
