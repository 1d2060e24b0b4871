"""shots.py - the screenshots: QEMU's own picture of the VGA screen, taken by tools/screenshot.py."""

import os
import subprocess
import sys

import booted  # first: it shows Python where tools/ is
import cli
import emulator as emu
from style import Problem

SECONDS = 120


def shot(build, out, *options):
    """A screenshot of the image with an empty command line, whatever `make run ARGS=...` has left in it."""
    tool = os.path.join(emu.ROOT, "tools", "screenshot.py")
    with cli.folder("pictures") as folder:
        try:
            image = emu.image_with_args(booted.file_of(build, "hd.img"), "", folder)
            done = subprocess.run([sys.executable, tool, "--image", image, "--out", out, *options],
                                  capture_output=True, text=True, timeout=SECONDS, check=False, preexec_fn=cli.tied)
        except subprocess.TimeoutExpired:
            raise Problem(f"no screenshot within {SECONDS} s") from None
        except emu.RunError as error:
            raise Problem(str(error)) from None
    if done.returncode != 0:
        raise Problem((done.stderr or done.stdout).strip())
    return out


def demo(build, folder):
    return shot(build, os.path.join(folder, "demo.png"))


# What is live when the map is drawn: blocks of several sizes, and areas of 2, 10 and 59 frames. In a machine so small
# that a cell of the map is few frames.
LIVE = (24, 100, 300, 1000, 8000, 40000, 500, 240000)
MIB = 4


def map_command(build, folder):
    lines = [f"malloc {size}" for size in LIVE] + ["map"]
    return shot(build, os.path.join(folder, "map.png"), "--mem", str(MIB),
                *(f"--type={line}" for line in lines))
