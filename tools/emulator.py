"""emulator.py - how Granary's image is given to QEMU and to Bochs.

The one place that knows the emulators' command lines; run.py (runs and judges) and debug.py
(debuggers) stand on it.

Nothing here ever writes to the image it is given: QEMU opens it with snapshot=on, Bochs in its volatile
mode, which sets no lock file and keeps what is written in a journal. So any number of runs may go on at once.
"""

import contextlib
import glob
import os
import shutil
import socket
import subprocess
import sys

import cli
from cli import RunError

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# The kernel command line is one sector of the image with a NUL at its end (boot/boot.inc).
CMDLINE_MAX = 511

# Bochs wants whole cylinders: 16 heads of 63 sectors of 512 bytes.
CYLINDER_BYTES = 16 * 63 * 512

BOCHS_CPUS = 8  # Debian's build
BOCHS_MEM = (4, 2048)  # MiB; Debian's build of Bochs takes no more

# The device by which the guest ends QEMU, with a status (boot/boot.inc).
QEMU_EXIT = ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]

PROGRAM = {"qemu": "qemu-system-i386", "bochs": "bochs"}


def find_gdb():
    """Path of a GDB that can run the heap commands, or RunError."""
    gdb = cli.find_program("gdb")
    asked = subprocess.run([gdb, "-nx", "-batch", "-ex", 'python print("has Python")'], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, errors="replace", check=False)
    if "has Python" not in asked.stdout:
        raise RunError(f"{gdb} was built without Python, which the heap commands are written in: install the package "
                       "gdb (gdb-minimal has none)")
    return gdb


def check_args(args):
    """Refuses a kernel command line that the image cannot hold."""
    size = len(args.encode())
    if size > CMDLINE_MAX:
        raise RunError(f"the kernel command line has {size} bytes; the image has room for {CMDLINE_MAX}")
    if any(ord(c) < 32 for c in args):
        raise RunError("the kernel command line has a control character in it")


def check_mem(emulator, mem):
    low, high = BOCHS_MEM if emulator == "bochs" else (1, 1 << 20)
    if not low <= mem <= high:
        raise RunError(f"{emulator} takes a memory size from {low} to {high} MiB, not {mem}")


def image_with_args(image, args, folder):
    """A copy of `image` in `folder` whose kernel command line is `args`."""
    check_args(args)
    copy = os.path.join(folder, "hd.img")
    tool = [sys.executable, os.path.join(ROOT, "tools", "mkimage.py")]
    done = subprocess.run(tool + [f"--set-cmdline={args}", image, "--out", copy],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RunError((done.stderr or done.stdout).strip() or "tools/mkimage.py failed")
    return copy


def bochs_disk(position, disk, folder):
    """The option for one of Bochs's disks. One of an odd size is copied and made up to whole cylinders. Any other gets
    a second name in the folder: a lock that some other Bochs has left beside the first one would keep ours out."""
    size = os.path.getsize(disk)
    alias = os.path.join(folder, position + ".img")
    if os.path.lexists(alias):
        os.remove(alias)
    if size % CYLINDER_BYTES:
        shutil.copyfile(disk, alias)
        os.truncate(alias, -(-size // CYLINDER_BYTES) * CYLINDER_BYTES)
    else:
        os.symlink(os.path.abspath(disk), alias)
    disk = alias
    journal = os.path.join(folder, position + ".journal")
    return f'{position}: type=disk, path="{disk}", mode=volatile, journal="{journal}"'


def qemu_option_path(path):
    """A path as QEMU's options want it: a comma is doubled."""
    return path.replace(",", ",,")


def x_server_answers(display):
    """True if something listens where DISPLAY says: ":0", ":10.0", "host:0"."""
    host, _, number = display.rpartition(":")
    number = number.split(".")[0]
    places = [(socket.AF_INET, (host, 6000 + int(number)))] if number.isdigit() and host not in ("", "unix") else [
        (socket.AF_UNIX, "\0/tmp/.X11-unix/X" + number), (socket.AF_UNIX, "/tmp/.X11-unix/X" + number)]
    for family, place in places:
        with socket.socket(family) as line, contextlib.suppress(OSError):
            line.settimeout(2)
            line.connect(place)
            return True
    return False


def qemu_window(x_server):
    """QEMU's display for a window."""
    offered = subprocess.run([cli.find_program(PROGRAM["qemu"]), "-display", "help"], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, check=False).stdout.split()
    for display in ("gtk", "sdl"):
        if display in offered:
            return display
    raise RunError("this QEMU has no windows; `sh tools/setup.sh --only gui` brings them (qemu-system-gui)")


def bochs_window(x_server):
    """Bochs's display library for a window."""
    plugins = glob.glob("/usr/lib/*/bochs/plugins/libbx_x_gui.so") + glob.glob("/usr/lib/bochs/plugins/libbx_x_gui.so")
    if not x_server:
        raise RunError("Bochs needs an X server, and DISPLAY names none")
    if not plugins:
        raise RunError("this Bochs has no windows; `sh tools/setup.sh --only bochs` brings them (bochs-x)")
    return "x"


def window(emulator):
    """What the emulator calls its window, or RunError with the reason why there can be none."""
    display = os.environ.get("DISPLAY")
    if display and not x_server_answers(display):
        raise RunError(f"no display answers at DISPLAY={display}")
    if not display and not os.environ.get("WAYLAND_DISPLAY"):
        raise RunError("there is no display (DISPLAY is not set)")
    return {"qemu": qemu_window, "bochs": bochs_window}[emulator](display)


def window_if_any(emulator):
    """The same, or None."""
    with contextlib.suppress(RunError):
        return window(emulator)
    return None


def qemu_command(image, mem, accel="tcg", icount=False, disk2=None, reboots=False, window=None, cpus=1, gdb=False):
    """QEMU's command line without a console; the caller adds -serial or -chardev. `reboots`: a restart of the machine
    is one, and not the end of the run (in an unattended run a triple fault must not start it again for ever).
    `window`: as window() has it. `gdb`: for a debugger that steps."""
    if cpus > 1 and accel == "tcg" and not icount and not gdb:
        accel = "tcg,thread=multi"  # a thread of the host for each processor
    drive = "format=raw,if=ide,snapshot=on,index=%d,file=%s"
    command = [cli.find_program(PROGRAM["qemu"]), "-accel", accel, "-m", str(mem),
               "-drive", drive % (0, qemu_option_path(image)),
               *QEMU_EXIT, "-display", window or "none", "-nic", "none"] + ([] if reboots else ["-no-reboot"])
    if cpus > 1:
        command += ["-smp", str(cpus)]
    if disk2:
        command += ["-drive", drive % (1, qemu_option_path(disk2))]
    if icount:
        # sleep=off: an idle processor skips to its next timer, so a run is the same every time.
        command += ["-icount", "shift=0,sleep=off"]
    elif gdb and accel == "tcg":
        # Without it QEMU 7.2 ends about one step in a thousand before its instruction is done: `stepi` stands still,
        # `continue` finds the breakpoint that it is to leave. Several processors take turns with it.
        command += ["-icount", "shift=auto"]
    return command


def bochs_debugger():
    """The option that starts Bochs's debugger, as a list. Bochs 2.7 built with the debugger always starts it and knows
    no such option; 3.0 has to be told. Which of the two this is, Bochs itself says in its help."""
    bochs = cli.find_program(PROGRAM["bochs"])
    told = subprocess.run([bochs, "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace", check=False)
    usage = told.stdout + told.stderr
    if " -rc " not in usage:
        raise RunError(f"{bochs} was built without its debugger: install the package bochs of Debian")
    return ["-debugger"] if " -debugger " in usage else []


def bochs_processors(cpus):
    """bochsrc.disk's line for the processor, with another number of them. They run by turns, so each gets less of the
    machine's time: the more there are, the more instructions are a second."""
    if cpus > BOCHS_CPUS:
        raise RunError(f"bochs takes up to {BOCHS_CPUS} processors, not {cpus}")
    with open(os.path.join(ROOT, "bochsrc.disk"), encoding="utf-8") as file:
        line = next(line for line in file if line.startswith("cpu:"))
    return line.strip().replace("count=1", f"count={cpus}")


def bochs_command(folder, image, mem, com1, rc, disk2=None, window=None, debugger=False, events=None, cpus=1):
    """Bochs's command line: bochsrc.disk, followed by what differs in this run. `rc`: a file of the debugger's
    commands. `debugger`: stop for them; else Bochs may run at its full speed, and `rc` must say `c`. `events`: the
    file that the second serial line goes to."""
    # "none": bochsrc.disk's options are for rfb, the VNC server.
    display = f'display_library: {window}, options="none"' if window else 'display_library: rfb, options="timeout=0"'
    options = [display, f"megs: {mem}", f"com1: enabled=1, {com1}",
               bochs_disk("ata0-master", image, folder),
               f"log: {os.path.join(folder, 'bochs.log')}"]
    if cpus > 1:
        options.append(bochs_processors(cpus))
    if events:
        options.append(f"com2: enabled=1, mode=file, dev={events}")
    if disk2:
        options.append(bochs_disk("ata0-slave", disk2, folder))
    start = [cli.find_program(PROGRAM["bochs"]), "-q", "-f", os.path.join(ROOT, "bochsrc.disk")]
    return start + (bochs_debugger() if debugger else []) + ["-rc", rc] + options
