"""Machines that are not the one we develop on: processors, chipsets, disks (tools/machines.py has the whole table)."""

import os
import re
import subprocess

import pytest

import machines
import mkimage
from conftest import PYTHON
from test_image import EXIT_FAILED_STATUS, qemu

EXIT_PANIC_STATUS = 37

# What a Pentium lacks, by the mnemonics of objdump: instructions of the P6 and later that a compiler or libgcc may use.
NEWER_THAN_PENTIUM = re.compile(r"\t(cmov\w+|fcmov\w+|f?u?comip?|nop[wl]|sysenter|sysexit|rdpmc|prefetch\w*|[lms]fence|"
                                r"\w+ .*%[xym]mm\d.*)(\s|$)")


def with_args(image, tmp_path, args):
    path = tmp_path / "hd.img"
    mkimage.set_cmdline(args, image, str(path))
    return path


def disassembly(elf):
    return subprocess.run(["objdump", "-d", "--no-show-raw-insn", elf], capture_output=True, text=True,
                          check=True).stdout


def test_no_instruction_that_a_pentium_lacks(kernel_elf):
    lines = disassembly(kernel_elf).splitlines()
    newer = [line for line in lines if NEWER_THAN_PENTIUM.search(line)]
    # Only where a look at the processor found it: process/gate.c. What came by sysenter goes back by sysexit.
    newer = [line for line in newer if not line.endswith("\tsysexit")]
    assert len(lines) > 10000 and newer == []


@pytest.mark.parametrize("line, newer", [
    ("80100010:\tcmovae %edx,%eax", True), ("80100010:\tnopw   0x0(%eax,%eax,1)", True),
    ("80100010:\tmovups %xmm0,(%eax)", True), ("80100010:\tnop", False), ("80100010:\tcmp    %edx,%eax", False),
    ("80100010:\txchg   %ax,%ax", False), ("80100010:\tud2", False)])
def test_newer_instructions_are_known(line, newer):
    assert bool(NEWER_THAN_PENTIUM.search(line)) == newer


def test_panic_on_a_pentium(image, tmp_path):
    """A panic's own code runs there, too: one report, with its call trace, and no second panic inside."""
    status, text = qemu(with_args(image, tmp_path, "selftest=panic"), more=("-cpu", "pentium"))
    assert status == EXIT_PANIC_STATUS
    assert text.count("panic: ") == 1 and "again" not in text and "  at panic" in text


# ---- the table of docs/boot.md -------------------------------------------------------------------------------------

# Of each kind the quickest, or the one that found something.
SAMPLE = [("QEMU", name) for name in (
    "`-cpu 486`", "`-cpu pentium`", "`-cpu max`", "disk: ide, the second disk", "disk: AHCI", "disk: USB 2 stick",
    "disk: virtio-blk", "disk: SCSI, LSI 53C895A", "disk: floppy disk", "`-machine q35`, disk: ide",
    "`-machine q35`, `-smp 4`", "`-machine pc`, 8192 MiB", "`-machine isapc`, `-cpu pentium`")]
SAMPLE += [("Bochs", "`model=pentium`")]


@pytest.fixture
def table():
    with open(machines.DOCUMENT, encoding="utf-8") as file:
        return machines.read_table(file.read())


@pytest.fixture
def disks(image, tmp_path):
    return machines.Disks(image, str(tmp_path))


@pytest.mark.parametrize("which", SAMPLE, ids=" ".join)
def test_machine(disks, table, which):
    machine = next(machine for machine in machines.all_machines() if machines.key(machine) == which)
    assert machines.run(machine, disks) == (table[which], True)


def test_table_has_every_machine(table):
    assert list(table) == [machines.key(machine) for machine in machines.all_machines()]
    assert all(text == machines.BOOTS or re.match("`granary: .*`$", text) for text in table.values())
    assert len(set(table)) == len(machines.all_machines())


REFUSED = "granary: BIOS without LBA"

OUTCOMES = {  # status, console -> what the table would say, and whether it may
    "the demonstration": (33, "Granary\r\ndemo: passed\r\ngranary: halt passed\r\n", machines.BOOTS, True),
    "the boot code refuses": (35, REFUSED + "\r\n", f"`{REFUSED}`", True),
    "the kernel refuses": (35, "Granary\r\nmemory: refused: too little memory\r\ngranary: halt failed\r\n",
                           "`memory: refused: too little memory`", True),
    "nothing": (0, "", "ends with status 0 after: nothing", False),
    "a hang": (None, "Granary\r\nmem_init start\r\n", "hangs after: mem_init start", False),
    "a reset": (0, "Granary\r\n", "ends with status 0 after: Granary", False),
    "a panic": (37, "panic: again, inside a panic\r\n",
                "ends with status 37 after: panic: again, inside a panic", False),
    "a failed demonstration": (35, "demo: FAILED\r\ngranary: halt failed\r\n",
                               "ends with status 35 after: granary: halt failed", False),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_outcome(case):
    status, text, *expected = OUTCOMES[case]
    assert machines.outcome(status, text) == tuple(expected)


def test_row_of_a_machine_that_was_not_tried_stays():
    first, second, third = map(machines.key, machines.all_machines()[:3])
    text = machines.with_table(f"a\n{machines.BEGIN}\n{machines.END}\nb\n", {first: "boots", third: "boots"})
    assert machines.read_table(text) == {first: "boots", third: "boots"}
    text = machines.with_table(text, {second: "boots", third: "`granary: no`"})
    assert machines.read_table(text) == {first: "boots", second: "boots", third: "`granary: no`"}
    assert text.startswith("a\n") and text.endswith("\nb\n")


def test_no_such_machine(root, image):
    done = subprocess.run([PYTHON, os.path.join(root, "tools", "machines.py"), "--image", image, "--only", "z80"],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "machines: no machine's name holds 'z80'\n")


# ---- drivers -------------------------------------------------------------------------------------------------------


def test_no_ide_disk_to_replay_from(image, tmp_path):
    """A chipset without the old IDE ports: the second disk is missing, and that is said, within the time-out."""
    status, text = qemu(with_args(image, tmp_path, "batch replay=x"), more=("-machine", "q35"))
    assert status == EXIT_FAILED_STATUS
    assert re.search(r"^replay: failed: second disk: \w", text, re.MULTILINE), text
