"""stub.py - QEMU before its first instruction, with its GDB stub on a socket file of this run's own."""

import contextlib
import os
import subprocess
import time

import cli
import emulator as emu

START_SECONDS = 10


@contextlib.contextmanager
def waiting(folder, command, quiet=False, stdin=subprocess.DEVNULL, stdout=None):
    """Runs QEMU with emulator.py's `command`. Gives the path for GDB's `target remote`, and the process. Ends QEMU
    itself: GDB lets the machine go on when it leaves, and it would run for ever."""
    path = os.path.join(folder, "gdb")
    command = command + ["-S", "-chardev", f"socket,id=gdb,path={path},server=on,wait=off", "-gdb", "chardev:gdb",
                         "-monitor", "none"]
    # A session of its own: Ctrl-C is for GDB, which stops the machine; it must not end QEMU.
    qemu = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL if quiet else None,
                            env=cli.environment(folder), start_new_session=True, preexec_fn=cli.tied)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not os.path.exists(path):
            if qemu.poll() is not None or time.monotonic() > deadline:
                raise cli.RunError("QEMU did not start: its message is above")
            time.sleep(0.02)
        yield path, qemu
    finally:
        qemu.kill()
        qemu.wait()


def gdb_command(build, path, *scripts):
    """GDB on that machine, with the heap commands and further scripts."""
    command = [emu.find_gdb(), "-q", os.path.join(build, "kernel.elf"), "-iex", "set pagination off",
               "-ex", f"target remote {path}"]
    if not os.isatty(0):
        command[2:2] = ["-iex", "set width 0"]  # lines are not broken for a terminal that there is not
    for script in (os.path.join(emu.ROOT, "tools", "gdb", "granary.py"), *scripts):
        command += ["-x", script]
    return command
