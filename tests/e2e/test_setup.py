"""tools/setup.sh: nothing to do, and nothing said, where everything is there."""

import os
import subprocess
import time


def test_silent_and_quick_when_nothing_is_missing(root):
    start = time.monotonic()
    done = subprocess.run(["sh", os.path.join(root, "tools/setup.sh")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - start < 5


def test_does_not_name_the_package_that_conflicts(root):
    """gcc-multilib and gcc-i686-linux-gnu remove each other."""
    with open(os.path.join(root, "tools/setup.sh"), encoding="utf-8") as file:
        packages = file.read().split("packages='")[1].split("'")[0].split()
    assert "gcc-i686-linux-gnu" in packages and "gcc-multilib" not in packages


def test_without_dpkg_it_says_what_to_install(root, tmp_path):
    done = subprocess.run(["/bin/sh", os.path.join(root, "tools/setup.sh")], env={"PATH": str(tmp_path)},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "this is not Debian" in done.stderr and "qemu-system-x86" in done.stderr


def test_a_wrong_option_gets_the_usage(root):
    done = subprocess.run(["sh", os.path.join(root, "tools/setup.sh"), "--everything"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2
    assert done.stderr == "usage: sh tools/setup.sh [--proof]\n"
