"""The kernel builds without a warning with each compiler and without optimisation, and boots."""

import os
import subprocess

import pytest

from run import PASSED

BUILDS = {
    "gcc-O0": ["OPT=-O0"],
    "gcc-m32": ["CROSS="],
    "clang": ["CC=clang"],
    "clang-O0": ["CC=clang", "OPT=-O0"],
}


@pytest.mark.parametrize("name", BUILDS)
def test_builds_and_boots(root, boot, name):
    folder = f"build/e2e/{name}"
    done = subprocess.run(["make", "--no-print-directory", f"BUILD={folder}", *BUILDS[name]], cwd=root,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "warning" not in done.stderr
    for emulator in ("qemu", "bochs"):
        run = boot("batch", emulator, path=os.path.join(root, folder, "hd.img"))
        assert run.code == PASSED, run
        assert "mem_init done" in run.lines
