"""What the loader hands over, and what it makes of firmware that is old, odd or broken.

tools/firmware.asm hooks the BIOS's services before the MBR runs; probe.asm takes the kernel's place and prints what it
finds.
"""

import os
import subprocess
from collections import namedtuple

import pytest

import mkimage
from firmware import Firmware, with_firmware
from test_image import EXIT_FAILED_STATUS, SECTOR, Parts, elf, image_with_kernel, qemu

EXIT_PASSED_STATUS = 33
BSS_BYTES = 0x10000
MIB = 1 << 20


def each_mib(count, attributes=1):
    """So many usable entries, 1 MiB each, from 1 MiB on."""
    return [((n + 1) * MIB, MIB, 1, attributes) for n in range(count)]


FAULTS = {
    "NO_E820": Firmware(flags=["NO_E820"]),
    "NO_E801": Firmware(flags=["NO_E820", "NO_E801"]),
    "NO_MAP": Firmware(flags=["NO_E820", "NO_E801", "NO_88"]),
    "E801_CX": Firmware(flags=["NO_E820"], e801=(0, 0, 0x3c00, 0x100)),  # 15 MiB, 16 MiB; in CX and DX alone
    "MANY": Firmware(entries=each_mib(200)),
    "ENDLESS": Firmware(entries=each_mib(128), flags=["ENDLESS"]),
    "BYTES_20": Firmware(entries=each_mib(3, attributes=0xdeadbeee), flags=["BYTES_20"]),
    "HUGE": Firmware(entries=[(MIB, (1 << 64) - 1, 1, 1), (1 << 40, 0, 2, 1)]),  # wraps
    "ONE": Firmware(entries=[(0, 0x9fc00, 1, 1)]),  # E820h breaks off
    "ONE_ALONE": Firmware(entries=[(MIB, 31 * MIB, 1, 1)], flags=["NO_E801", "NO_88"]),
    "NO_ATTRIBUTES": Firmware(entries=each_mib(3, attributes=0)),
    "SOME_ATTRIBUTES": Firmware(entries=each_mib(2) + each_mib(1, attributes=0)),
    "A20_OFF": Firmware(flags=["A20_OFF"]),
    "LOW_MEMORY": Firmware(low_kib=200),
    "NO_LBA": Firmware(flags=["NO_LBA"]),
    "READS_3": Firmware(flags=["READS_3"]),
    "READS_4": Firmware(flags=["READS_4"]),
}

# The order in which probe.asm prints.
Handed = namedtuple("Handed", "cr0 esp ss cs eflags bss_dirty seen_twice magic bytes boot_drive map_source map_count "
                    "map_dropped kernel_bytes kernel_crc start_low start_high loader_low loader_high total entries")


def assemble(root, tmp_path, source, *defines):
    binary = tmp_path / (os.path.basename(source) + ".bin")
    subprocess.run(["nasm", "-f", "bin", f"-I{root}/boot/", *defines, os.path.join(root, "tests", "e2e", source),
                    "-o", str(binary)], check=True)
    return binary.read_bytes()


def probe_kernel(root, tmp_path):
    code = assemble(root, tmp_path, "probe.asm")
    return elf(filesz=len(code), memsz=len(code) + BSS_BYTES)[:0x100] + code


def run_probe(root, image, tmp_path, fault=None, mem=32):
    data = image_with_kernel(image, probe_kernel(root, tmp_path))
    path = tmp_path / "probe.img"
    path.write_bytes(with_firmware(data, FAULTS[fault]) if fault else data)
    return qemu(path, mem)


def handed(result):
    status, text = result
    assert status == EXIT_PASSED_STATUS, text
    words = [int(word, 16) for word in text.split()]
    fixed = len(Handed._fields) - 1
    entries = [tuple(words[at:at + 6]) for at in range(fixed, len(words), 6)]
    entries = [(low | high << 32, length | length_high << 32, kind, acpi)
               for low, high, length, length_high, kind, acpi in entries]
    return Handed(*words[:fixed], entries)


def test_contract_at_entry(root, image, tmp_path):
    got = handed(run_probe(root, image, tmp_path))
    const = mkimage.C
    assert got.cr0 & 0x80010001 == 0x80010001  # paging, write protection, protected mode
    assert (got.cs, got.ss, got.esp) == (0x08, 0x10, const["MBR_ADDR"])
    assert got.eflags & 0x600 == 0  # interrupts off, direction flag clear
    assert (got.bss_dirty, got.seen_twice) == (0, 0)
    assert (got.magic, got.bytes, got.boot_drive) == (const["BOOT_INFO_MAGIC"], 48, 0x80)
    header = Parts(tmp_path / "probe.img").header
    assert (got.kernel_bytes, got.kernel_crc) == (header.kernel_bytes, header.kernel_crc)
    start, loader = got.start_low | got.start_high << 32, got.loader_low | got.loader_high << 32
    assert 0 < start < loader


@pytest.mark.parametrize("mem", [4, 32, 3584, 4096])
def test_total_is_the_sum_below_4_gib(root, image, tmp_path, mem):
    got = handed(run_probe(root, image, tmp_path, mem=mem))
    assert (got.map_source, got.map_dropped, got.map_count) == (1, 0, len(got.entries))
    usable = [(base, length) for base, length, kind, acpi in got.entries if kind == 1 and acpi & 1]
    assert got.total == sum(max(0, min(base + length, 1 << 32) - base) for base, length in usable)
    assert 0 < mem * MIB - got.total < (1 << 30) + MIB  # QEMU moves at most 1 GiB to above 4 GiB


def test_e801_when_e820_is_missing(root, image, tmp_path):
    got = handed(run_probe(root, image, tmp_path, "NO_E820"))
    assert (got.map_source, got.map_count) == (2, 3)
    assert got.entries[:2] == [(0, 639 * 1024, 1, 1), (MIB, 15 * MIB, 1, 1)]
    base, length, kind, acpi = got.entries[2]
    assert (base, kind, acpi) == (16 * MIB, 1, 1) and 15 * MIB < length < 16 * MIB
    assert got.total == sum(entry[1] for entry in got.entries)


def test_e801_in_cx_and_dx(root, image, tmp_path):
    got = handed(run_probe(root, image, tmp_path, "E801_CX"))
    assert got.map_source == 2
    assert got.entries[1:] == [(MIB, 15 * MIB, 1, 1), (16 * MIB, 16 * MIB, 1, 1)]


def test_88_when_e801_is_missing_too(root, image, tmp_path):
    got = handed(run_probe(root, image, tmp_path, "NO_E801"))
    assert (got.map_source, got.map_count) == (3, 2)
    assert got.entries[0] == (0, 639 * 1024, 1, 1)
    assert got.entries[1][0] == MIB and 30 * MIB < got.entries[1][1] < 31 * MIB


@pytest.mark.parametrize("fault, dropped", [("MANY", 200 - 128), ("ENDLESS", 1024 - 128)])
def test_more_entries_than_room(root, image, tmp_path, fault, dropped):
    got = handed(run_probe(root, image, tmp_path, fault))
    assert (got.map_source, got.map_count, got.map_dropped) == (1, 128, dropped)
    assert got.entries == [((n + 1) * MIB, MIB, 1, 1) for n in range(128)]
    assert got.total == 128 * MIB


def test_entries_of_20_bytes_count(root, image, tmp_path):
    got = handed(run_probe(root, image, tmp_path, "BYTES_20"))
    assert got.entries == [((n + 1) * MIB, MIB, 1, 1) for n in range(3)]


def test_length_that_wraps(root, image, tmp_path):
    got = handed(run_probe(root, image, tmp_path, "HUGE"))
    assert got.entries == FAULTS["HUGE"].entries
    assert got.total == (1 << 32) - MIB


def test_map_that_breaks_off(root, image, tmp_path):
    """One entry is no map of a PC: E801h is asked. Where that does not answer, nor 88h, the entry is what there is."""
    got = handed(run_probe(root, image, tmp_path, "ONE"))
    assert (got.map_source, got.map_count, got.entries[1]) == (2, 3, (MIB, 15 * MIB, 1, 1))
    got = handed(run_probe(root, image, tmp_path, "ONE_ALONE"))
    assert (got.map_source, got.entries) == (1, [(MIB, 31 * MIB, 1, 1)])


def test_attributes_that_are_all_zero_mean_nothing(root, image, tmp_path):
    got = handed(run_probe(root, image, tmp_path, "NO_ATTRIBUTES"))
    assert (got.entries, got.total) == (each_mib(3), 3 * MIB)
    got = handed(run_probe(root, image, tmp_path, "SOME_ATTRIBUTES"))
    assert (got.entries, got.total) == (each_mib(2) + each_mib(1, attributes=0), 2 * MIB)


@pytest.mark.parametrize("fault", ["A20_OFF", "READS_3"])
def test_boots_all_the_same(root, image, tmp_path, fault):
    assert handed(run_probe(root, image, tmp_path, fault)).map_source == 1


def without(root, tmp_path, *lines):
    """loader.asm with some lines left out, assembled: ways to open A20 that always work hide the later ones."""
    with open(os.path.join(root, "boot", "loader.asm"), encoding="utf-8") as file:
        source = file.read()
    for line in lines:
        assert source.count(f"        {line} ") == 1
        source = source.replace(f"        {line} ", "        ;")
    changed = tmp_path / "loader.asm"
    changed.write_text(source, encoding="utf-8")
    return assemble(root, tmp_path, str(changed))


@pytest.mark.parametrize("lines, status", [
    (["call a20_by_keyboard"], EXIT_PASSED_STATUS),
    (["call a20_by_keyboard", "out SYSTEM_PORT_A, al"], EXIT_FAILED_STATUS),
])
def test_a20_ways_that_are_rarely_needed(root, image, tmp_path, lines, status):
    loader = without(root, tmp_path, *lines)
    data = mkimage.make_image(Parts(image).mbr, loader, probe_kernel(root, tmp_path), b"")
    path = tmp_path / "a20.img"
    path.write_bytes(with_firmware(data, FAULTS["A20_OFF"]))
    code, text = qemu(path)
    assert code == status
    assert (text == "granary: address line A20 stays off\r\n") == (status == EXIT_FAILED_STATUS)


REFUSED = {
    "NO_MAP": "granary: the firmware does not say how much memory there is",
    "LOW_MEMORY": "granary: too little memory below 640 KiB for the kernel's file",
    "NO_LBA": "granary: BIOS without LBA",
    "READS_4": "granary: disk read error at the kernel: image cut off?",
}


@pytest.mark.parametrize("fault", REFUSED)
def test_refused(image, tmp_path, fault):
    path = tmp_path / "refused.img"
    path.write_bytes(with_firmware(Parts(image).data, FAULTS[fault]))
    assert qemu(path) == (EXIT_FAILED_STATUS, REFUSED[fault] + "\r\n")


# What firmware that takes the disk for a FAT volume writes into the first sector: a drive's number where a FAT16 and
# where a FAT32 volume has it, the partition's start, a geometry; and all of the place at once, but for the two texts.
POKES = {
    "drive number": {0x24: b"\0"},
    "drive number, 0x80": {0x24: b"\x80"},
    "drive number of FAT32": {0x40: b"\0"},
    "hidden sectors": {0x1c: b"\x3f\0\0\0"},
    "geometry": {0x18: b"\x3f\0\xff\0"},
    "all of it": {0x03: b"\xcc" * 0x28, 0x3e: b"\xcc" * 9},
    "texts as well": {0x03: b"\0" * 0x57},
}


def boots(data, tmp_path):
    """Boots an image whose command line is `batch`, up to the kernel's last line."""
    path = tmp_path / "odd.img"
    path.write_bytes(data)
    status, text = qemu(path)
    return status == EXIT_PASSED_STATUS and text.endswith("granary: halt passed\r\n")


@pytest.fixture
def batch(image, tmp_path):
    """The image with the command line `batch`, as bytes."""
    path = tmp_path / "batch.img"
    mkimage.set_cmdline("batch", image, str(path))
    return path.read_bytes()


@pytest.mark.parametrize("what", POKES)
def test_firmware_writes_into_the_boot_sector(batch, tmp_path, what):
    assert boots(with_firmware(batch, Firmware(pokes=POKES[what])), tmp_path)


@pytest.mark.parametrize("drive", [0x00, 0x01, 0xff])
def test_wrong_drive_number(batch, tmp_path, drive):
    """Some firmware gives the first hard disk a floppy disk's number, or none at all."""
    assert boots(with_firmware(batch, Firmware(drive=drive)), tmp_path)
    assert boots(with_firmware(batch, Firmware(drive=drive, pokes={0x24: b"\0"})), tmp_path)


def test_nothing_but_texts_where_fat_has_its_parameters(image):
    mbr = Parts(image).data[:SECTOR]
    assert mbr[0] == 0xeb and 2 + mbr[1] == 0x5a  # a jump, past the last of them
    assert mbr[0x2b:0x3e].startswith(b"loader unreadable\0") and mbr[0x47:0x5a].startswith(b"loader size wrong\0")
    assert not any(mbr[0x03:0x2b] + mbr[0x2b + 18:0x47] + mbr[0x47 + 18:0x5a])
