#!/usr/bin/python3
"""start.py - the kernel in a debugger, stopped at the first sys_malloc.

  start.py gdb     QEMU, waiting; GDB with source lines, through QEMU's stub
  start.py stub    QEMU, waiting, for a GDB that an editor starts: `target remote build/gdb` (.vscode/launch.json)
  start.py bochs   Bochs's own debugger: instructions, with the names of functions and of the heap's lines;
                   --stop NAME for another place than sys_malloc

GDB talks to QEMU over a socket file of this run's own, so two sessions never meet on a port. The kernel's console is
beside GDB, in another terminal (console.py), and with Bochs in the same one. What each debugger is told at the start
is in sys_malloc.gdb beside this file, and in tools/bochs.

Status: the debugger's own; 2 if something is missing, or if its input ended and it had to be stopped.
"""

import contextlib
import os
import re
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

IN_GDB = [os.path.join(HERE, name) for name in ("in_gdb.py", "sys_malloc.gdb")]
BOCHS_SCRIPTS = os.path.join(os.path.dirname(HERE), "bochs")

import cli  # noqa: E402 (the line above makes it findable)
import console  # noqa: E402
import emulator as emu  # noqa: E402
import piped  # noqa: E402
import run  # noqa: E402
import stub  # noqa: E402


def debug_with_gdb(opt, folder, image):
    with waiting_with_console(opt, folder, image) as (path, _, relay):
        return piped.call(stub.gdb_command(opt.build, path, *IN_GDB), spoken=lambda: len(relay.text),
                          env=dict(os.environ, GRANARY_CONSOLE=relay.file.name))


@contextlib.contextmanager
def waiting_with_console(opt, folder, image):
    """The stub's path, QEMU's process, and what holds the kernel's console."""
    command = emu.qemu_command(image, opt.mem, opt.accel, cpus=opt.cpus, gdb=True)
    command += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
    with console.Relay(folder, opt.build) as relay:
        with stub.waiting(folder, command, stdin=relay.qemu_in, stdout=relay.qemu_out) as (path, qemu):
            yield path, qemu, relay


def debug_from_elsewhere(opt, folder, image):
    """Until the machine is off, GDB has ended it, or Ctrl-C here."""
    link = os.path.join(opt.build, "gdb")
    with waiting_with_console(opt, folder, image) as (path, qemu, _):
        new = f"{link}.{os.getpid()}"
        os.symlink(path, new)
        os.replace(new, link)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print(f"QEMU waits for GDB: target remote {link}. The kernel's console: make console.", flush=True)
        try:
            qemu.wait()
        finally:
            os.remove(link)
    print("The machine is off.")
    return 0


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


def debug_with_bochs(opt, folder, image):
    rc = os.path.join(folder, "start.bochs")
    write_bochs_commands(rc, os.path.abspath(os.path.join(opt.build, "kernel.sym")), opt.stop)
    with open(os.path.join(BOCHS_SCRIPTS, "cheatsheet.txt"), encoding="utf-8") as sheet:
        print(sheet.read(), flush=True)
    com1 = "mode=file, dev=/proc/self/fd/1"
    command = emu.bochs_command(folder, image, opt.mem, com1, rc, window=emu.window_if_any("bochs"), debugger=True,
                                cpus=opt.cpus)
    command.append("magic_break: enabled=1")
    # Bochs lists each plug-in it loads on its standard error: keep that out of the way.
    errors = os.path.join(folder, "errors.txt")
    with open(errors, "wb") as err:
        status = piped.call(command, last=b"q\n", stderr=err, cwd=emu.ROOT)
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
    parser.add_argument("debugger", choices=("gdb", "stub", "bochs"))
    parser.add_argument("--build", default="build", help="folder of hd.img, kernel.elf and kernel.sym")
    parser.add_argument("--mem", type=cli.mebibytes, default=32, metavar="MIB")
    parser.add_argument("--cpus", type=cli.processors, default=1, metavar="N")
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
    emu.check_mem("bochs" if opt.debugger == "bochs" else "qemu", opt.mem)
    with cli.folder("debug") as folder:
        image = os.path.abspath(emu.image_with_args(os.path.join(opt.build, "hd.img"), opt.args, folder))
        return {"gdb": debug_with_gdb, "stub": debug_from_elsewhere, "bochs": debug_with_bochs}[opt.debugger](
            opt, folder, image)


if __name__ == "__main__":
    sys.exit(cli.main(main, "debug"))
