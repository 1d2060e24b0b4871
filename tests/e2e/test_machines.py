"""Machines that are not the one we develop on: processors, chipsets, disks (tools/machines.py has the whole table)."""

import re
import subprocess

import pytest

import mkimage
from test_image import EXIT_FAILED_STATUS, NO_RDTSC, qemu

EXIT_PASSED_STATUS, EXIT_PANIC_STATUS = 33, 37

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
    assert len(lines) > 10000 and newer == []


@pytest.mark.parametrize("line, newer", [
    ("80100010:\tcmovae %edx,%eax", True), ("80100010:\tnopw   0x0(%eax,%eax,1)", True),
    ("80100010:\tmovups %xmm0,(%eax)", True), ("80100010:\tnop", False), ("80100010:\tcmp    %edx,%eax", False),
    ("80100010:\txchg   %ax,%ax", False), ("80100010:\tud2", False)])
def test_newer_instructions_are_known(line, newer):
    assert bool(NEWER_THAN_PENTIUM.search(line)) == newer


@pytest.mark.parametrize("cpu", ["pentium", "qemu32", "max"])
def test_processor(image, tmp_path, cpu):
    status, text = qemu(with_args(image, tmp_path, "batch"), more=("-cpu", cpu))
    assert (status, text.split("\r\n")[-2:]) == (EXIT_PASSED_STATUS, ["granary: halt passed", ""])


def test_panic_on_a_pentium(image, tmp_path):
    """A panic's own code runs there, too: one report, with its call trace, and no second panic inside."""
    status, text = qemu(with_args(image, tmp_path, "selftest=panic"), more=("-cpu", "pentium"))
    assert status == EXIT_PANIC_STATUS
    assert text.count("panic: ") == 1 and "again" not in text and "  at panic" in text


def test_486_is_refused(image):
    assert qemu(image, more=("-cpu", "486")) == (EXIT_FAILED_STATUS, NO_RDTSC + "\r\n")
