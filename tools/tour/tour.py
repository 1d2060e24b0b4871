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
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)

import claims  # noqa: E402 (the lines above make it findable)
import cli  # noqa: E402
import emulator as emu  # noqa: E402
import layout as layouts  # noqa: E402
import tourfile  # noqa: E402

TIMEOUT = 60  # seconds to the next stop


def show_intro(tour, way_on):
    print(f"\n{tour.title}")
    for line in tour.intro:
        print(line)
    print(way_on, flush=True)


# ---- GDB ------------------------------------------------------------------------------------------------------------

def with_gdb(tour, opt, folder, image, layout):
    stub, table = os.path.join(folder, "gdb"), os.path.join(folder, "layout.json")
    with open(table, "w", encoding="utf-8") as file:
        json.dump(layout, file)
    qemu = subprocess.Popen(emu.qemu_command(image, 32) + [
        "-S", "-chardev", f"socket,id=gdb,path={stub},server=on,wait=off", "-gdb", "chardev:gdb", "-serial", "null",
        "-monitor", "none"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL if opt.auto else None,
        start_new_session=True, preexec_fn=cli.tied)
    env = dict(os.environ, TOUR=tour.name, TOUR_LAYOUT=table, TOUR_TOOLS=HERE, TOUR_AUTO="1" if opt.auto else "")
    heap_commands = os.path.join(os.path.dirname(HERE), "gdb", "granary.py")
    command = [cli.find_program("gdb"), "-q", "-nx", os.path.join(opt.build, "kernel.elf"),
               "-iex", "set pagination off", "-iex", "set confirm off", "-ex", f"target remote {stub}"]
    if os.path.exists(heap_commands):
        command += ["-x", heap_commands]
    try:
        deadline = time.monotonic() + 10
        while not os.path.exists(stub):
            if qemu.poll() is not None or time.monotonic() > deadline:
                raise emu.RunError("QEMU did not start: its message stands above")
            time.sleep(0.02)
        show_intro(tour, "" if opt.auto else "(GDB; q leaves)")
        if not opt.auto:
            return subprocess.call(command + ["-x", os.path.join(HERE, "in_gdb.py")], env=env, preexec_fn=cli.tied)
        done = subprocess.run(command + ["-batch", "-x", os.path.join(HERE, "in_gdb.py")], env=env, text=True,
                              capture_output=True, timeout=TIMEOUT * 2, check=False, preexec_fn=cli.tied)
        own = [line for line in done.stdout.splitlines() if not line.startswith("[Inferior ")]  # GDB's last words
        ended = bool(own) and any(line.startswith("The tour ends here:") for line in own)
        print("\n".join(own).strip("\n") + ("" if ended else "\n" + done.stderr), flush=True)
        return 0 if ended and ", 0 claims do not hold." in done.stdout else 1
    finally:
        qemu.kill()
        qemu.wait()


# ---- Bochs ----------------------------------------------------------------------------------------------------------

class BochsMachine:
    """Bochs's debugger, driven by its own prompt."""

    PROMPT = re.compile(r"<bochs:\d+> ")

    def __init__(self, command):
        import pexpect  # pylint: disable=import-outside-toplevel
        self.eof = pexpect.EOF
        self.process = pexpect.spawn(command[0], command[1:], cwd=emu.ROOT, timeout=TIMEOUT, encoding="utf-8",
                                     codec_errors="replace", echo=False, dimensions=(50, 200),
                                     env=dict(os.environ, TERM="dumb"), preexec_fn=cli.tied)
        self.process.delaybeforesend = None
        self.process.expect(self.PROMPT)
        self.registers, self.kept = {}, {}

    def say(self, text):
        """Sends a command; what Bochs answers, without the prompt. "" if the machine has switched itself off."""
        self.process.sendline(text)
        found = self.process.expect([self.PROMPT, self.eof])
        return self.process.before if found == 0 else ""

    def go_on(self, address):
        """Runs to an address; False if the machine ends before."""
        answer = self.say(f"lb {address:#x}")
        del answer
        answer = self.say("c")
        self.registers, self.kept = {}, {}
        if "Breakpoint" not in answer:
            return False
        number = re.search(r"Breakpoint (\d+)", answer)
        self.say(f"d {number[1]}")
        return True

    def register(self, name):
        if name not in self.registers:
            for command in ("r", "creg"):
                for match in re.finditer(r"\b[re]?(\w\w): (?:0x)?([0-9a-f_]{8,17})\b", self.say(command)):
                    self.registers["e" + match[1]] = int(match[2].replace("_", ""), 16) & 0xffffffff
            cr3 = re.search(r"CR3=0x([0-9a-f]+)", self.say("creg"))
            self.registers["cr3"] = int(cr3[1], 16)
        return self.registers[name]

    def read(self, address, count):
        start, data = address & ~3, b""
        words = (address + count + 3 & ~3) - start >> 2
        key = (start, words)
        if key not in self.kept:
            answer = self.say(f"x /{words}wx {start:#x}")
            for row in re.findall(r">:((?:\s+0x[0-9a-f]{8}\b)+)", answer):
                data += b"".join(int(word, 16).to_bytes(4, "little") for word in row.split())
            if len(data) != words * 4:
                raise ValueError(f"nothing is mapped at {address:#x}")
            self.kept[key] = data
        return self.kept[key][address - start:address - start + count]

    def interactive(self):
        """The user's commands, until an empty line (True) or q (False)."""
        while True:
            try:
                line = input("<Enter: next stop; a command of Bochs; q> ")
            except EOFError:
                return False
            if line.strip() in ("", "q"):
                return line.strip() == ""
            print(self.say(line).strip("\r\n"))

    def close(self):
        self.process.close(force=True)


def walk_bochs(tour, opt, machine, layout):
    world, failed, back = claims.World(machine, layout), 0, (0, 0)
    for number, stop in enumerate(tour.stops, 1):
        if not opt.auto and not machine.interactive():
            return 0
        address = back[0] if stop.place == "return" else layout["functions"][stop.place]
        for _ in range(100):
            if not machine.go_on(address):
                print(f"tour: stop {number} was not reached: the machine ended before")
                return 1
            if stop.place != "return" or machine.register("esp") == back[1]:
                break
        failed += claims.report(stop, world.check(stop), sys.stdout)
        sys.stdout.flush()
        if stop.place != "return":
            esp = machine.register("esp")
            back = (world.number(esp), esp + 4)
    print(f"\nThe tour ends here: {len(tour.stops)} stops, {failed} claims do not hold.")
    return 1 if failed else 0


def with_bochs(tour, opt, folder, image, layout):
    rc = os.path.join(folder, "start.bochs")
    with open(rc, "w", encoding="utf-8") as commands:
        commands.write(f'ldsym global "{os.path.abspath(os.path.join(opt.build, "kernel.sym"))}"\n')
    console = os.path.join(folder, "console.txt")
    machine = BochsMachine(emu.bochs_command(folder, image, 32, f"mode=file, dev={console}", rc,
                                             debugger=True))
    try:
        show_intro(tour, "" if opt.auto else "(Bochs's debugger)")
        return walk_bochs(tour, opt, machine, layout)
    finally:
        machine.close()


# ---- the command ----------------------------------------------------------------------------------------------------

def list_tours():
    for name in tourfile.names():
        print(f"{name:18} {tourfile.read(name).title}")
    return 0


def transcripts(opt):
    """Every tour in both debuggers, each into a file of its own; a line for each."""
    os.makedirs(opt.transcripts, exist_ok=True)
    failed = 0
    for name in tourfile.names():
        for debugger in ("gdb", "bochs"):
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
    parser.add_argument("--transcripts", metavar="FOLDER", help="all tours in both debuggers, into files there")
    parser.add_argument("--list", action="store_true", help="what there is")
    opt = parser.parse_args(argv)
    try:
        if opt.transcripts:
            return transcripts(opt)
        if opt.list or not opt.name:
            return list_tours()
        tour = tourfile.read(opt.name)
        with cli.folder("tour") as folder:
            args = f"batch demo=no scene={tour.scene}"
            image = os.path.abspath(emu.image_with_args(os.path.join(opt.build, "hd.img"), args, folder))
            layout = layouts.load(os.path.join(opt.build, "kernel.elf"))
            unknown = [stop.place for stop in tour.stops if stop.place not in layout["functions"]]
            unknown = [place for place in unknown if place != "return"]
            if unknown:
                raise tourfile.TourError(f"{tour.name}: this kernel has no function {unknown[0]}")
            return (with_gdb if opt.debugger == "gdb" else with_bochs)(tour, opt, folder, image, layout)
    except (tourfile.TourError, RuntimeError) as error:
        raise cli.RunError(str(error)) from None


if __name__ == "__main__":
    sys.exit(cli.main(main, "tour"))
