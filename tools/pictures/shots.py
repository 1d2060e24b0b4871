"""shots.py - the screenshots: QEMU's own picture of the VGA screen, taken by tools/screenshot.py. What one states is
the text on the screen."""

import json
import os
import subprocess
import sys

import booted  # first: it shows Python where tools/ is
import cli
import emulator as emu
from style import Problem, png_describe

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


# What is live when the map is drawn: blocks of several sizes, and areas of 2, 10 and 59 frames. In a machine so small
# that a cell of the map is few frames.
LIVE = (24, 100, 300, 1000, 8000, 40000, 500, 240000)
MIB = 4
OPTIONS = {"demo": [], "map": ["--mem", str(MIB)] + [f"--type=malloc {size}" for size in LIVE] + ["--type=map"]}


taken = {}  # name: the picture as QEMU gave it, once its text was asked for


def lines(build, name):
    """The screen's lines of text."""
    with cli.folder("pictures") as folder:
        out, text = os.path.join(folder, "shot.png"), os.path.join(folder, "text")
        shot(build, out, "--text", text, *OPTIONS[name])
        with open(out, "rb") as picture, open(text, encoding="ascii") as screen:
            taken[name] = picture.read()
            return screen.read().splitlines()


def write(stated, folder, name):
    path = os.path.join(folder, f"{name}.png")
    with open(path, "wb") as file:
        file.write(png_describe(taken[name], json.dumps(stated, sort_keys=True)))
    return path


def demo_facts(build):
    return lines(build, "demo")


def demo(stated, folder):
    return write(stated, folder, "demo")


def map_facts(build):
    return lines(build, "map")


def map(stated, folder):  # pylint: disable=redefined-builtin
    return write(stated, folder, "map")
