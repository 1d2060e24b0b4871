#!/usr/bin/python3
"""start.py - the kernel in a debugger, stopped at the first sys_malloc.

  start.py gdb     QEMU, waiting; GDB with source lines, through QEMU's stub
  start.py bochs   Bochs's own debugger: instructions, with the names of functions and of the heap's lines;
                   --stop NAME for another place than sys_malloc

GDB talks to QEMU over a socket file of this run's own, so two sessions never meet on a port. The
kernel's console appears in the same terminal. What each debugger is told at the start stands in
sys_malloc.gdb beside this file, and in tools/bochs.

Status: the debugger's own; 2 if something is missing.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
HEAP_COMMANDS = os.path.join(os.path.dirname(HERE), "gdb", "granary.py")  # `heap`, `pools`, `threads`

BOCHS_SCRIPTS = os.path.join(os.path.dirname(HERE), "bochs")

import cli  # noqa: E402 (the line above makes it findable)
import emulator as emu  # noqa: E402
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
    gdb = cli.find_program("gdb")
    command = emu.qemu_command(image, opt.mem, opt.accel) + [
        "-S", "-chardev", f"socket,id=gdb,path={stub},server=on,wait=off", "-gdb", "chardev:gdb",
        "-chardev", f"file,id=console,path={console}", "-serial", "chardev:console", "-monitor", "none"]
    # A session of its own: Ctrl-C is for GDB, which stops the machine; it must not end QEMU.
    qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=cli.tied)
    ended = threading.Event()
    follower = threading.Thread(target=follow_console, args=(console, ended))
    follower.start()
    try:
        wait_for_socket(stub, qemu)
        return subprocess.call([gdb, "-q", os.path.join(opt.build, "kernel.elf"), "-iex", "set pagination off",
                                "-ex", f"target remote {stub}", "-x", HEAP_COMMANDS,
                                "-x", os.path.join(HERE, "sys_malloc.gdb")], preexec_fn=cli.tied)
    finally:
        # GDB lets the machine go on when it leaves; nobody wants to read what it says in its last moments.
        ended.set()
        follower.join()
        qemu.kill()
        qemu.wait()


def bochs_stops():
    """The names that STOP takes: the scripts in tools/bochs."""
    return sorted(name[:-len(".bochs")] for name in os.listdir(BOCHS_SCRIPTS) if name.endswith(".bochs"))


def write_bochs_commands(path, symbols, stop):
    """Writes what Bochs's debugger is told at the start: the symbols to load, and the script called `stop`."""
    with open(os.path.join(BOCHS_SCRIPTS, stop + ".bochs"), encoding="utf-8") as file:
        script = file.read()  # not `source`: it takes no path with a blank in it
    with open(symbols, encoding="utf-8") as file:
        known = set(file.read().split())
    for name in re.findall(r'^lb "(.+)"', script, re.M):
        if name not in known:
            raise emu.RunError(f"{name} is nowhere in this build: its compiler may have put it into several functions")
    with open(path, "w", encoding="utf-8") as commands:
        commands.write(f'ldsym global "{symbols}"\n{script}')


def feed(pipe):
    """Standard input for Bochs, if that is no terminal. At its end Bochs leaves: by itself it would complain."""
    last = b"\n"
    try:
        while text := os.read(0, 4096):
            pipe.write(text)
            pipe.flush()
            last = text[-1:]
        # No empty line: Bochs would repeat the command before.
        pipe.write(b"q\n" if last == b"\n" else b"\nq\n")
        pipe.close()
    except OSError:
        pass  # Bochs has ended


def call_bochs(command, err):
    """Runs Bochs; returns its status. A user's terminal is Bochs's own: it edits lines there."""
    if sys.stdin is not None and sys.stdin.isatty():
        return subprocess.call(command, stderr=err, cwd=emu.ROOT, preexec_fn=cli.tied)
    bochs = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=err, cwd=emu.ROOT, preexec_fn=cli.tied)
    threading.Thread(target=feed, args=(bochs.stdin,), daemon=True).start()
    return bochs.wait()


def debug_with_bochs(opt, folder, image):
    rc = os.path.join(folder, "start.bochs")
    write_bochs_commands(rc, os.path.abspath(os.path.join(opt.build, "kernel.sym")), opt.stop)
    with open(os.path.join(BOCHS_SCRIPTS, "cheatsheet.txt"), encoding="utf-8") as sheet:
        print(sheet.read(), flush=True)
    com1 = "mode=file, dev=/dev/stdout"
    command = emu.bochs_command(folder, image, opt.mem, com1, rc, window=emu.window_if_any("bochs"), debugger=True)
    command.append("magic_break: enabled=1")
    # Bochs lists each plug-in it loads on its standard error: keep that out of the way.
    errors = os.path.join(folder, "errors.txt")
    with open(errors, "wb") as err:
        status = call_bochs(command, err)
    with open(errors, encoding="utf-8", errors="replace") as err:
        # Two lines at each start say that Bochs works out the disk's geometry itself, as bochsrc.disk wants it to.
        said = "".join(line for line in err if "autodetection enabled" not in line)
    if run.BOCHS_SHUTDOWN in said:
        print("The machine is off.")
        return 0
    if status != 0:
        print(f"debug: {run.emulator_complaint(said)}", file=sys.stderr)
    return status


def main(argv):
    parser = cli.Parser(prog="start.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("debugger", choices=("gdb", "bochs"))
    parser.add_argument("--build", default="build", help="folder of hd.img, kernel.elf and kernel.sym")
    parser.add_argument("--mem", type=cli.mebibytes, default=32, metavar="MIB")
    parser.add_argument("--accel", default="tcg")
    parser.add_argument("--args", default="", help="kernel command line")
    parser.add_argument("--stop", default="sys_malloc", metavar="NAME",
                        help=f"where Bochs stops: {', '.join(bochs_stops())}")
    opt = parser.parse_args(argv)
    # The debugger handles Ctrl-C. A handler and not SIG_IGN, which the debugger would inherit.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    if opt.stop not in bochs_stops():
        raise emu.RunError(f"no STOP '{opt.stop}': it is one of {', '.join(bochs_stops())}")
    if opt.stop == "magic_break" and "magic_break" not in opt.args.split():
        opt.args = f"{opt.args} magic_break".strip()  # the kernel's option for these stops
    emu.check_mem("qemu" if opt.debugger == "gdb" else "bochs", opt.mem)
    with cli.folder("debug") as folder:
        image = os.path.abspath(emu.image_with_args(os.path.join(opt.build, "hd.img"), opt.args, folder))
        return (debug_with_gdb if opt.debugger == "gdb" else debug_with_bochs)(opt, folder, image)


if __name__ == "__main__":
    sys.exit(cli.main(main, "debug"))
