#!/usr/bin/python3
"""start.py - the kernel in a debugger, stopped at the first sys_malloc.

  start.py gdb     QEMU, waiting; GDB with source lines, through QEMU's stub
  start.py bochs   Bochs's own debugger: instructions, with the kernel's symbols

GDB talks to QEMU over a socket file of this run's own, so two sessions never meet on a port. The
kernel's console appears in the same terminal. What each debugger is told at the start stands in
sys_malloc.gdb and sys_malloc.bochs beside this file.

Status: the debugger's own; 2 if something is missing.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import emulator as emu  # noqa: E402 (the line above makes it findable)
import run  # noqa: E402


def follow_console(path, ended):
    """Copies the console to standard output until `ended` is set."""
    tail = run.ConsoleTail(path, sys.stdout.buffer)
    while not ended.wait(0.1):
        tail.poll()


def wait_for_socket(path, process):
    """The stub's socket file appears when QEMU is ready for GDB."""
    deadline = time.monotonic() + 10
    while not os.path.exists(path):
        if process.poll() is not None or time.monotonic() > deadline:
            raise emu.RunError("QEMU did not start: its message stands above")
        time.sleep(0.02)


def debug_with_gdb(opt, folder, image):
    stub = os.path.join(folder, "gdb")
    console = os.path.join(folder, "console.txt")
    gdb = emu.find_program("gdb")
    command = emu.qemu_command(image, opt.mem, opt.accel) + [
        "-S", "-chardev", f"socket,id=gdb,path={stub},server=on,wait=off", "-gdb", "chardev:gdb",
        "-chardev", f"file,id=console,path={console}", "-serial", "chardev:console", "-monitor", "none"]
    # A session of its own: Ctrl-C is for GDB, which stops the machine; it must not end QEMU.
    qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    ended = threading.Event()
    follower = threading.Thread(target=follow_console, args=(console, ended))
    follower.start()
    try:
        wait_for_socket(stub, qemu)
        return subprocess.call([gdb, "-q", os.path.join(opt.build, "kernel.elf"), "-iex", "set pagination off",
                                "-ex", f"target remote {stub}", "-x", os.path.join(HERE, "sys_malloc.gdb")])
    finally:
        # GDB lets the machine go on when it leaves; nobody wants to read what it says in its last moments.
        ended.set()
        follower.join()
        qemu.kill()
        qemu.wait()


def debug_with_bochs(opt, folder, image):
    rc = os.path.join(folder, "start.bochs")
    with open(rc, "w", encoding="utf-8") as commands:
        symbols = os.path.abspath(os.path.join(opt.build, "kernel.sym"))
        commands.write(f'ldsym global "{symbols}"\n')
        with open(os.path.join(HERE, "sys_malloc.bochs"), encoding="utf-8") as script:
            commands.write(script.read())  # not `source`: it takes no path with a blank in it
    com1 = "mode=file, dev=/dev/stdout"
    command = emu.bochs_command(folder, image, opt.mem, com1, rc, window=True)
    # Bochs lists each plug-in it loads on its standard error: keep that out of the way.
    errors = os.path.join(folder, "errors.txt")
    with open(errors, "wb") as err:
        status = subprocess.call(command, stderr=err, cwd=emu.ROOT)
    with open(errors, encoding="utf-8", errors="replace") as err:
        said = err.read()
    if run.BOCHS_SHUTDOWN in said:
        print("The machine is off.")
        return 0
    if status != 0:
        print(f"debug: {run.emulator_complaint(said)}", file=sys.stderr)
    return status


def main(argv):
    parser = argparse.ArgumentParser(prog="start.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("debugger", choices=("gdb", "bochs"))
    parser.add_argument("--build", default="build", help="folder of hd.img, kernel.elf and kernel.sym")
    parser.add_argument("--mem", type=int, default=32, metavar="MIB")
    parser.add_argument("--accel", default="tcg")
    parser.add_argument("--args", default="", help="kernel command line")
    opt = parser.parse_args(argv)
    # The debugger handles Ctrl-C. A handler and not SIG_IGN, which the debugger would inherit.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    try:
        emu.check_mem("qemu" if opt.debugger == "gdb" else "bochs", opt.mem)
        with tempfile.TemporaryDirectory(prefix="granary-debug-") as folder:
            image = os.path.abspath(emu.image_with_args(os.path.join(opt.build, "hd.img"), opt.args, folder))
            return (debug_with_gdb if opt.debugger == "gdb" else debug_with_bochs)(opt, folder, image)
    except emu.RunError as error:
        print(f"debug: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
