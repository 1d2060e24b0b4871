"""The checked build (make CHECK=1) from outside: what a user types, and what he reads.

The faults themselves and their twins without one are the in-kernel tests' (tests/kernel/test_checked.c), the faults
in real programs test_libgranary.py's.
"""

import re
import subprocess

import pytest

BOTH = pytest.mark.parametrize("emulator", ["qemu", "bochs"])


@BOTH
@pytest.mark.parametrize("args", ["batch", "batch guard"])
def test_the_demonstration_has_no_fault(boot, checked_image, emulator, args):
    """No false alarm: threads at work, every check on, and not one report."""
    run = boot(args, emulator, path=checked_image)
    assert run.code == 0, run
    assert "heap: checked build: canaries, poison, quarantine of 256 blocks" + (", guard frames" * ("guard" in args)) \
        in run.lines
    assert "demo: passed" in run.lines
    said = [re.fullmatch(r"quarantine: (\d+) blocks and large areas, freed; above they count as live", line)
            for line in run.lines]
    assert [0 < int(match[1]) <= 256 for match in said if match] == [True]
    assert len([line for line in run.lines if line.startswith("heap: ")]) == 1


def test_threads_and_random_calls(boot, checked_image):
    run = boot("batch demo=no soak=60000,8", path=checked_image)
    assert run.code == 0, run
    assert any(re.match(r"soak: seed=1 threads=8 ops=60000 checks=\d+ spoilt=0 refused=0 broken=0 leaked=0 ", line)
               for line in run.lines), run


def test_guard_needs_the_checked_build(boot):
    """An option that cannot be obeyed is said to be, with what would help."""
    run = boot("batch demo=no guard")
    assert run.code == 0
    assert "cmdline: 'guard' needs the checked build: make run CHECK=1" in run.lines


def test_the_fast_build_has_none_of_it(kernel_elf):
    names = subprocess.run(["nm", kernel_elf], capture_output=True, text=True, check=True).stdout
    assert "sys_malloc" in names and "checked_" not in names and "unchecked_malloc" not in names


@pytest.mark.xdist_group("make")
def test_a_wrong_value_of_check_is_said(root):
    done = subprocess.run(["make", "-n", "CHECK=yes"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "CHECK=yes: 1 is the checked build, nothing or 0 the fast one" in done.stderr
