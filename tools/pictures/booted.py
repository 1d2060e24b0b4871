"""booted.py - what a real run's memory holds at a moment: QEMU and GDB are started, tools/pictures/look.py looks.

The machine's clock is its instructions (-icount shift=0,sleep=off), and GDB stops it at the same one in each run, so
the answer is the same, byte for byte, as long as the kernel is. With two processors there is no such clock, and the
scene itself must keep the order: each waits for the other.
"""

import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import cli  # noqa: E402 (tools/cli.py)
import emulator as emu  # noqa: E402
from style import Problem  # noqa: E402

SECTOR_BYTES = 512
SECONDS = 120  # no scene comes near it


def disk_of(data, folder):
    """A second disk that holds `data`."""
    path = os.path.join(folder, "trace.img")
    with open(path, "wb") as disk:
        disk.write(data + bytes(-len(data) % SECTOR_BYTES))
    return path


def file_of(build, name):
    path = os.path.join(build, name)
    if not os.path.exists(path):
        raise Problem(f"no {path}: make builds it")
    return path


def compiler(build):
    """What the kernel was made by, as its debug information says: "GNU C11 12.2.0"."""
    with open(file_of(build, "kernel.elf"), "rb") as elf:
        found = re.search(rb"(?:GNU C\d+|[\w ]*clang version) [\d.]+", elf.read())
    return found[0].decode() if found else "a compiler that does not say"


def program(name):
    try:
        return cli.find_program(name)
    except emu.RunError as error:
        raise Problem(str(error)) from None


def debug(scene, elf, socket, out):
    """Runs GDB on the scene. Its last words are the message if it fails."""
    gdb = program("gdb")
    environment = dict(os.environ, LOOK_SOCKET=socket, LOOK_SCENE=scene, LOOK_OUT=out)
    try:
        done = subprocess.run([gdb, "-batch", "-nx", "-x", os.path.join(HERE, "look.py"), elf],
                              env=environment, capture_output=True, text=True, timeout=SECONDS, check=False,
                              stdin=subprocess.DEVNULL, preexec_fn=cli.tied)
    except subprocess.TimeoutExpired:
        raise Problem(f"the scene {scene} did not come within {SECONDS} s") from None
    if done.returncode != 0 or not os.path.exists(out):
        words = (done.stderr or done.stdout).strip().split("\n")[-1]
        raise Problem(f"the scene {scene}: {re.sub(r'^gdb[.][A-Za-z]+: ', '', words) or 'GDB said nothing'}")


def look(scene, build, args, mem=32, trace=None, cpus=1):
    """What a scene of look.py finds in the kernel of `build`, started with the command line `args`."""
    image, elf = file_of(build, "hd.img"), file_of(build, "kernel.elf")
    with cli.folder("pictures") as folder:
        try:
            command = emu.qemu_command(emu.image_with_args(image, args, folder), mem, icount=cpus == 1,
                                       disk2=disk_of(trace, folder) if trace else None, cpus=cpus)
        except emu.RunError as error:
            raise Problem(str(error)) from None
        socket, out = os.path.join(folder, "gdb"), os.path.join(folder, "found.json")
        command += ["-S", "-serial", "null", "-gdb", f"unix:{socket},server=on,wait=off"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              env=cli.environment(folder), preexec_fn=cli.tied) as qemu:
            try:
                wait_for(socket, qemu)
                debug(scene, elf, socket, out)
            finally:
                qemu.kill()
        with open(out, encoding="utf-8") as file:
            return json.load(file)


def wait_for(socket, qemu):
    """Until QEMU listens there, or has ended with a message."""
    while not os.path.exists(socket):
        try:
            qemu.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise Problem("QEMU did not start: " + qemu.stderr.read().decode("utf-8", "replace").strip())
