"""The same image in a third emulator, v86 (WebAssembly under Node), without a browser."""

import os
import random
import re
import shutil
import struct
import subprocess

import pytest

import cli

PYTHON = "/usr/bin/python3"
MALLOC, FREE, REALLOC, CALLOC = range(4)


@pytest.fixture(scope="module")
def modules():
    """Where npm put v86. The list `test` of setup.sh does not bring npm."""
    for name in ("node", "npm"):
        if not shutil.which(name):
            pytest.skip(str(cli.missing(name)))
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    folder = os.path.join("build", "npm", "node_modules")
    made = subprocess.run(["make", "-s", os.path.join(folder, ".package-lock.json")], cwd=root, capture_output=True,
                          text=True, timeout=300, check=False)
    assert made.returncode == 0, made.stderr
    return os.path.join(root, folder)


@pytest.fixture
def v86(root, modules, image, tmp_path):
    """v86(cmdline, options...): the finished process of a boot with this command line."""
    def run(cmdline, *options):
        copy = str(tmp_path / "hd.img")
        subprocess.run([PYTHON, os.path.join(root, "tools", "mkimage.py"), "--set-cmdline", cmdline, image,
                        "--out", copy], check=True, capture_output=True)
        return subprocess.run(["node", os.path.join(root, "tools", "v86", "run.mjs"), "--image", copy,
                               "--modules", modules, *options],
                              capture_output=True, text=True, errors="replace", timeout=200, check=False)
    return run


def trace_file(path, operations=4000):
    """A trace of all four kinds; the same each time."""
    choose = random.Random(86)
    live, words, peak, size_of = [], [], 0, {}
    for slot in range(operations):
        if len(live) > 300 and choose.random() < 0.6:
            old = live.pop(choose.randrange(len(live)))
            words.append((FREE << 30 | old, 0))
            del size_of[old]
        elif live and choose.random() < 0.1:
            size_of[live[-1]] = choose.randrange(1, 3000)
            words.append((REALLOC << 30 | live[-1], size_of[live[-1]]))
        else:
            size_of[slot] = choose.choice((choose.randrange(1, 200), choose.randrange(1, 9000)))
            words.append((choose.choice((MALLOC, CALLOC)) << 30 | slot, size_of[slot]))
            live.append(slot)
        peak = max(peak, sum(size_of.values()))
    data = struct.pack("<8sIIQQ", b"MTRACE1\0", len(words), operations, peak, 0)
    data += b"".join(struct.pack("<II", *word) for word in words)
    path.write_bytes(data + bytes(-len(data) % 512))
    return str(path)


def test_the_demonstration_passes(v86):
    done = v86("batch")
    assert done.returncode == 0, done.stdout[-2000:]
    assert done.stdout.rstrip().endswith("granary: halt passed")
    assert "mem_init done" in done.stdout


def test_a_panic_is_a_failure(v86):
    done = v86("batch demo=no selftest=panic")
    assert done.returncode == 1
    assert "granary: halt panic" in done.stdout


def test_a_hang_is_a_failure(v86):
    done = v86("batch demo=no selftest=hang", "--timeout", "15")
    assert done.returncode == 3
    assert "no last line within 15 s" in done.stderr


def test_the_hash_of_a_trace_is_the_same_in_qemu(v86, boot, tmp_path):
    trace = trace_file(tmp_path / "t.mtrace")
    line = re.compile(r"^replay: name=t .* hash=([0-9a-f]{16})$", re.M)
    inside = v86("batch demo=no replay=t", "--disk2", trace)
    assert inside.returncode == 0, inside.stdout[-2000:]
    qemu = boot("batch demo=no replay=t", more=("--disk2", trace, "--icount"))
    assert line.search(inside.stdout)[1] == line.search("\n".join(qemu.lines))[1]


@pytest.mark.parametrize("options, words", [
    (("--image", "/nowhere.img"), "/nowhere.img: no such file"),
    (("--mem", "3"), "--mem takes a number from 4 to 2048, not '3'"),
    (("--mem", "many"), "--mem takes a number from 4 to 2048, not 'many'"),
    (("--bogus",), "Unknown option '--bogus'"),
    (("--modules", "/nowhere"), "no v86 in /nowhere: make v86 puts it there"),
])
def test_wrong_options_get_one_line(root, modules, image, options, words):
    done = subprocess.run(["node", os.path.join(root, "tools", "v86", "run.mjs"), "--image", image,
                           "--modules", modules, *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.xdist_group("make")
def test_programs_that_are_not_ours(root, modules, tmp_path):
    """Lua prints what it prints on this machine, and tcc compiles."""
    missing = subprocess.run(["sh", "tools/setup.sh", "--check", "libc"], cwd=root, capture_output=True, text=True,
                             check=False)
    if missing.returncode != 0:
        pytest.skip(missing.stderr.strip())
    subprocess.run(["make", "--no-print-directory", "-s", "programs"], cwd=root, check=True)
    scripts = os.path.join(root, "user", "lua")
    for script in ("queens.lua", "calls.lua"):
        wanted = subprocess.run(["lua5.4", script], cwd=scripts, capture_output=True, text=True, check=True).stdout
        assert run_program(root, modules, tmp_path, f"lua,{script}").endswith("to mem_init done\n" + wanted)
    assert run_program(root, modules, tmp_path, "tcc,-static,-o,hi,hello.c").endswith("to mem_init done\n")


def run_program(root, modules, tmp_path, words):
    """What came before the halt; it passed."""
    copy = str(tmp_path / "programs.img")
    subprocess.run([PYTHON, os.path.join(root, "tools", "mkimage.py"), "--set-cmdline",
                    f"batch demo=no frames=16384 run={words}", os.path.join(root, "build", "programs.img"),
                    "--out", copy], check=True, capture_output=True)
    done = subprocess.run(["node", os.path.join(root, "tools", "v86", "run.mjs"), "--image", copy, "--modules",
                           modules], capture_output=True, text=True, errors="replace", timeout=200, check=False)
    before, halt, _ = done.stdout.replace("\r", "").rpartition("granary: halt passed")
    assert halt and done.returncode == 0, done.stdout[-400:]
    return before
