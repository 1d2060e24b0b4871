#!/usr/bin/python3
"""tour.py - a guided tour through the heap, in GDB or in Bochs's debugger.

  tour.py [--with gdb|bochs] [--auto] [--build build] NAME      NAME is a file of docs/tours
  tour.py --transcripts FOLDER
  tour.py --list

At each stop the tour's text is shown, with each of its claims held against the machine. With --auto it goes through
by itself, to the end. Status: 0; 1 if a claim does not hold or a stop is not reached; 2 if something is missing.
"""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = os.path.dirname(HERE)
sys.path[:0] = [HERE, TOOLS, os.path.join(TOOLS, "debug")]

import cli  # noqa: E402 (the line above makes it findable)
import emulator as emu  # noqa: E402
import in_bochs  # noqa: E402
import layout as layouts  # noqa: E402
import piped  # noqa: E402
import stub  # noqa: E402
import tourfile  # noqa: E402

MEM = 32      # MiB
TIMEOUT = 60  # seconds, for GDB to walk through by itself
GDB_HELP = "c: on to the next stop; every command of GDB's and `heap` work as ever; q: leave"


def show_intro(tour, way_on):
    print(f"\n{tour.title}")
    for line in tour.intro:
        print(line)
    print(way_on, flush=True)


def with_gdb(tour, opt, folder, image, layout):
    table = os.path.join(folder, "layout.json")
    with open(table, "w", encoding="utf-8") as file:
        json.dump(layout, file)
    env = dict(os.environ, TOUR=tour.name, TOUR_LAYOUT=table, TOUR_TOOLS=HERE, TOUR_AUTO="1" if opt.auto else "")
    qemu = emu.qemu_command(image, MEM, cpus=tour.processors, gdb=True) + ["-serial", "null"]
    with stub.waiting(folder, qemu, quiet=opt.auto) as (path, _):
        command = stub.gdb_command(opt.build, path, os.path.join(HERE, "in_gdb.py"))
        command[1:1] = ["-nx", "-iex", "set confirm off"]
        show_intro(tour, "" if opt.auto else GDB_HELP)
        if not opt.auto:
            return piped.call(command, env=env)
        done = subprocess.run(command + ["-batch"], env=env, text=True, stdin=subprocess.DEVNULL, check=False,
                              capture_output=True, timeout=TIMEOUT, preexec_fn=cli.tied)
    own = [line for line in done.stdout.splitlines() if not line.startswith("[Inferior ")]  # GDB's last words
    print("\n".join(own).strip("\n") + ("" if done.returncode in (0, 1) else "\n" + done.stderr), flush=True)
    return done.returncode


def with_bochs(tour, opt, folder, image, layout):
    rc = os.path.join(folder, "start.bochs")
    with open(rc, "w", encoding="utf-8") as commands:
        commands.write(f'ldsym global "{os.path.abspath(os.path.join(opt.build, "kernel.sym"))}"\n')
    console = f"mode=file, dev={os.path.join(folder, 'console.txt')}"
    machine = in_bochs.BochsMachine(emu.bochs_command(folder, image, MEM, console, rc, debugger=True))
    try:
        show_intro(tour, "" if opt.auto else in_bochs.HELP)
        return in_bochs.walk_through(tour, layout, machine, os.path.join(opt.build, "kernel.elf"), opt.auto)
    finally:
        machine.close()


# ---- the command ----------------------------------------------------------------------------------------------------

def list_tours():
    for name in tourfile.names():
        print(f"{name:18} {tourfile.read(name).title}")
    return 0


def transcripts(opt):
    """Every tour in its debuggers, each into a file of its own; a line for each."""
    os.makedirs(opt.transcripts, exist_ok=True)
    failed = 0
    for name in tourfile.names():
        for debugger in tourfile.read(name).debuggers():
            path = os.path.join(opt.transcripts, f"{name}.{debugger}.txt")
            with open(path, "w", encoding="utf-8") as file:
                status = subprocess.call([sys.executable, os.path.abspath(__file__), "--auto", "--with", debugger,
                                          "--build", opt.build, name], stdout=file, stderr=subprocess.STDOUT,
                                         preexec_fn=cli.tied)
            failed += status != 0
            with open(path, encoding="utf-8") as file:
                last = [line for line in file.read().splitlines() if line][-1]
            print(f"{name} in {debugger}: {last}", flush=True)
    return 1 if failed else 0


def main(argv):
    parser = cli.Parser(prog="tour.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("name", nargs="?", help="a file of docs/tours, without .md")
    parser.add_argument("--with", dest="debugger", choices=("gdb", "bochs"), default="gdb")
    parser.add_argument("--auto", action="store_true", help="no questions: to the end")
    parser.add_argument("--build", default="build", help="folder of hd.img, kernel.elf and kernel.sym")
    parser.add_argument("--transcripts", metavar="FOLDER", help="all tours in their debuggers, into files there")
    parser.add_argument("--list", action="store_true", help="what there is")
    opt = parser.parse_args(argv)
    try:
        if opt.transcripts:
            return transcripts(opt)
        if opt.list or not opt.name:
            return list_tours()
        tour = tourfile.read(opt.name)
        if opt.debugger not in tour.debuggers():
            raise tourfile.TourError(f"{tour.name}: with {tour.processors} processors Bochs's debugger misses "
                                     "breakpoints: WITH=gdb")
        with cli.folder("tour") as folder:
            args = f"batch demo=no scene={tour.scene}"
            image = os.path.abspath(emu.image_with_args(os.path.join(opt.build, "hd.img"), args, folder))
            places = {stop.place for stop in tour.stops} - {"return"}
            layout = layouts.load(os.path.join(opt.build, "kernel.elf"), places)
            unknown = sorted(places - layout["functions"].keys())
            if unknown:
                raise tourfile.TourError(f"{tour.name}: this kernel has no function {unknown[0]}")
            return (with_gdb if opt.debugger == "gdb" else with_bochs)(tour, opt, folder, image, layout)
    except (tourfile.TourError, RuntimeError) as error:
        raise cli.RunError(str(error)) from None


if __name__ == "__main__":
    sys.exit(cli.main(main, "tour"))
