#!/usr/bin/python3
"""machines.py - boots the image on machines that are not ours: processors, chipsets, disks, amounts of memory.

What only it can find: a chipset, disk or processor on which the image neither boots nor says why.

  machines.py --image build/hd.img                 all of them; writes the table of docs/boot.md
  machines.py --image build/hd.img --only q35      those whose names hold the word; writes nothing

A machine boots (the demonstration passes, the kernel says so last and ends the emulator) or says why not in one line
that starts with "granary: ". Anything else is a failure: silence, a hang, a reset, a panic, another last line.

What only this can find: what the boot code, the kernel's drivers or the compiler take for granted of a machine. All
other tests use one machine of each emulator.

A processor that this version of an emulator does not have is not tried: its row stays as it was.
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
from collections import namedtuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)
import emulator  # noqa: E402
import mkimage  # noqa: E402
from firmware import SECTOR, Firmware, with_firmware  # noqa: E402

TIMEOUT = {"qemu": 60, "bochs": 120}  # seconds
DOCUMENT = os.path.join(emulator.ROOT, "docs", "boot.md")
BEGIN, END = "<!-- made by `make machines`: begin -->", "<!-- made by `make machines`: end -->"

BOOTS = "boots"
DEMO_PASSED, LAST = "demo: passed", "granary: halt passed"
CONSOLE = "console.txt"  # COM1, in the folder of the run

FLOPPY_BYTES = 1440 << 10

# `disk`: how QEMU is given the image, see DISKS. `options`: of QEMU, or lines for Bochs's configuration.
Machine = namedtuple("Machine", "emulator name options disk mem", defaults=("ide", 32))

RAW = "format=raw,snapshot=on,file="
DRIVE = f"if=none,id=disk,{RAW}%(image)s"

# Name: QEMU's options for the disks; the names in %(...)s are those of class Disks.
DISKS = {
    "ide": ["-drive", f"if=ide,index=0,{RAW}%(image)s"],
    "ide, the second disk": ["-drive", f"if=ide,index=0,{RAW}%(first)s",
                             "-drive", f"if=ide,index=1,{RAW}%(image)s"],
    "ide, an empty disk first": ["-drive", f"if=ide,index=0,{RAW}%(empty)s",
                                 "-drive", DRIVE, "-device", "ide-hd,drive=disk,bus=ide.1,bootindex=0"],
    "AHCI": ["-device", "ahci,id=sata", "-drive", DRIVE, "-device", "ide-hd,drive=disk,bus=sata.0"],
    "NVMe": ["-drive", DRIVE, "-device", "nvme,drive=disk,serial=1"],
    "SCSI, LSI 53C895A": ["-device", "lsi53c895a", "-drive", DRIVE, "-device", "scsi-hd,drive=disk"],
    "SCSI, AMD Am53C974": ["-device", "am53c974", "-drive", DRIVE, "-device", "scsi-hd,drive=disk"],
    "SCSI, MegaRAID": ["-device", "megasas", "-drive", DRIVE, "-device", "scsi-hd,drive=disk"],
    "USB 1.1 stick": ["-device", "piix3-usb-uhci", "-drive", DRIVE, "-device", "usb-storage,drive=disk"],
    "USB 2 stick": ["-device", "usb-ehci", "-drive", DRIVE, "-device", "usb-storage,drive=disk"],
    "USB 3 stick": ["-device", "qemu-xhci", "-drive", DRIVE, "-device", "usb-storage,drive=disk"],
    "virtio-blk": ["-drive", DRIVE, "-device", "virtio-blk-pci,drive=disk"],
    "virtio-scsi": ["-device", "virtio-scsi-pci", "-drive", DRIVE, "-device", "scsi-hd,drive=disk"],
    "floppy disk": ["-drive", f"if=floppy,{RAW}%(floppy)s"],
}

BOCHS_LEGACY = "romimage: file=$BXSHARE/BIOS-bochs-legacy"
BOCHS_CPU = "cpu: model=%s, count=%d, ips=50000000, reset_on_triple_fault=0"
QEMU_CPUS = ("486", "pentium", "pentium2", "pentium3", "athlon", "n270", "qemu32", "max")
BOCHS_CPUS = ("i486dx4", "pentium", "pentium_mmx", "amd_k6_2_chomper", "p2_klamath", "p3_katmai",
              "p4_willamette", "atom_n270", "athlon64_clawhammer", "core2_penryn_t9600", "corei7_haswell_4770", "ryzen",
              "tigerlake")


def all_machines():
    """Every machine, in the order of the table."""
    found = [Machine("qemu", f"`-cpu {cpu}`", ["-cpu", cpu]) for cpu in QEMU_CPUS]
    found += [Machine("qemu", f"disk: {disk}", [], disk) for disk in DISKS]
    found += [Machine("qemu", f"`-machine isapc`, `-cpu {cpu}`", ["-machine", "isapc", "-cpu", cpu])
              for cpu in ("486", "pentium")]
    found += [Machine("qemu", f"`-machine q35`, disk: {disk}", ["-machine", "q35"], disk)
              for disk in ("ide", "USB 3 stick", "virtio-blk", "NVMe")]
    for machine in ("pc", "q35"):
        options = ["-machine", machine]
        found += [Machine("qemu", f"`-machine {machine}`, {mem} MiB", options, "ide", mem)
                  for mem in (4, 1024, 4096, 8192)]
        found.append(Machine("qemu", f"`-machine {machine}`, `-smp 4`", options + ["-smp", "4"]))
    found += [Machine("bochs", f"`model={cpu}`, BIOS-bochs-legacy", [BOCHS_CPU % (cpu, 1), BOCHS_LEGACY])
              for cpu in ("i386", "pentium")]  # the other BIOS uses CPUID itself
    found += [Machine("bochs", f"`model={cpu}`", [BOCHS_CPU % (cpu, 1)]) for cpu in BOCHS_CPUS]
    return found + [Machine("bochs", "4 processors", [BOCHS_CPU % ("p4_willamette", 4)]),
                    Machine("bochs", "2048 MiB", [], mem=2048)]


# ---- a run ----------------------------------------------------------------------------------------------------------


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


class Disks:
    """The image's copies in a folder. `first` is a disk that does what a boot manager does: it starts the second disk's
    boot sector, with that disk's number in DL."""

    def __init__(self, image, folder):
        mkimage.set_cmdline("batch", image, os.path.join(folder, "hd.img"))
        data = mkimage.read(os.path.join(folder, "hd.img"))
        self.folder, self.paths = folder, {"image": os.path.join(folder, "hd.img")}
        made = {"first": with_firmware(data[:SECTOR], Firmware(drive=0x81)), "empty": bytes(len(data)),
                "floppy": data.ljust(FLOPPY_BYTES, b"\0")}
        for name, content in made.items():
            self.paths[name] = write(os.path.join(folder, name + ".img"), content)


def qemu(machine, disks):
    disk = [word % {name: emulator.qemu_option_path(path) for name, path in disks.paths.items()}
            for word in DISKS[machine.disk]]
    return [cli.find_program("qemu-system-i386"), "-accel", "tcg", "-m", str(machine.mem), *machine.options, *disk,
            *emulator.QEMU_EXIT, "-display", "none", "-nic", "none", "-no-reboot", "-serial", "file:" + CONSOLE,
            "-monitor", "none"]


def bochs(machine, folder, image):
    """Bochs's command line, for a folder of its own."""
    go = os.path.join(emulator.ROOT, "tools", "debug", "go.bochs")
    return emulator.bochs_command(folder, image, machine.mem, f"mode=file, dev={CONSOLE}", go) + machine.options


def console(command, folder, seconds):
    """Runs to the end, in a folder of its own. Returns (exit status or None, what the console said)."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               cwd=folder, env=cli.environment(folder), preexec_fn=cli.tied)
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        status = None
    cli.stop(process)
    path = os.path.join(folder, CONSOLE)
    return status, mkimage.read(path).decode(errors="replace") if os.path.exists(path) else ""


def outcome(status, text):
    """(what the table says, whether it may)."""
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
    reasons = [line for line in lines if re.match(r"(granary|memory: refused): (?!halt)", line)]
    if status is None:
        return "hangs after: " + (lines[-1] if lines else "nothing"), False
    if DEMO_PASSED in lines and LAST in lines and not reasons:
        return BOOTS, True
    if reasons and not any(line.startswith("panic") for line in lines):
        return f"`{reasons[0]}`", True
    return f"ends with status {status} after: " + (lines[-1] if lines else "nothing"), False


def run(machine, disks):
    """Returns outcome()."""
    folder = tempfile.mkdtemp(dir=disks.folder)  # for what an emulator writes
    if machine.emulator == "qemu":
        command = qemu(machine, disks)
    else:
        command = bochs(machine, folder, disks.paths["image"])
    return outcome(*console(command, folder, TIMEOUT[machine.emulator]))


def bochs_models():
    """The processors that this Bochs has."""
    told = subprocess.run([cli.find_program("bochs"), "--help", "cpu"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", check=False)
    return set((told.stdout + told.stderr).split())


def possible(machines):
    """Those that these versions of the emulators can be."""
    models = bochs_models() if any(machine.emulator == "bochs" for machine in machines) else set()

    def is_there(machine):
        model = re.search(r"^cpu: model=(\w+)", " ".join(machine.options))
        return not model or model[1] in models

    return [machine for machine in machines if is_there(machine)]


# ---- the table ------------------------------------------------------------------------------------------------------


def key(machine):
    """The first two cells of a machine's row."""
    return {"qemu": "QEMU", "bochs": "Bochs"}[machine.emulator], machine.name


def read_table(text):
    """The rows between the markers: {(emulator, machine): outcome}."""
    body = text.partition(BEGIN)[2].partition(END)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in body.splitlines() if line.startswith("|")]
    return {(row[0], row[1]): row[2] for row in rows[2:]}


def with_table(text, outcomes):
    """The document with a new table. A machine without an outcome keeps the one that it had."""
    rows = {**read_table(text), **outcomes}
    lines = ["| emulator | machine | what comes |", "|---|---|---|"]
    lines += [f"| {first} | {second} | {rows[first, second]} |" for first, second in map(key, all_machines())
              if (first, second) in rows]
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return before + BEGIN + "\n\n" + "\n".join(lines) + "\n\n" + END + after


def try_all(machines, disks, jobs):
    """Runs them, says how each went. Returns {key: outcome} and the number of those that failed."""
    outcomes, failed = {}, 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for machine, (text, good) in zip(machines, pool.map(lambda machine: run(machine, disks), machines)):
            outcomes[key(machine)] = text
            failed += not good
            print(f"machines: {' '.join(key(machine))}: {text}{'' if good else ': FAILED'}", flush=True)
    return outcomes, failed


def parse(argv):
    parser = cli.Parser(prog="machines.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--image", default="build/hd.img")
    parser.add_argument("--only", metavar="WORD", help="machines whose names hold it; the table stays as it is")
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args(argv)


def main(argv):
    options = parse(argv)
    mkimage.C.update(mkimage.read_constants())
    machines = [machine for machine in all_machines() if (options.only or "") in " ".join(key(machine))]
    if not machines:
        raise cli.RunError(f"no machine's name holds '{options.only}'")
    tried = possible(machines)
    with cli.folder("machines") as folder:
        outcomes, failed = try_all(tried, Disks(options.image, folder), options.jobs)
    if not options.only and not failed:
        text = mkimage.read(DOCUMENT).decode()
        mkimage.write(DOCUMENT, with_table(text, outcomes).encode())
    if len(tried) < len(machines):
        print(f"machines: {len(machines) - len(tried)} not tried: this Bochs has no such processor")
    print(f"machines: {len(tried) - failed} passed, {failed} failed", flush=True)
    return 1 if failed or not tried else 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "machines"))
