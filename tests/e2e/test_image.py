"""Images that are altered, cut off or hold a kernel that cannot be loaded: each one ends with its own message.

Every case boots in QEMU. The exact text on COM1 and the exit status are asserted, and for one message of
the MBR and one of the loader the text screen as well. Altered bytes come from a real image; kernels with wrong
headers are put into an image by tools/mkimage.py, so that their checksums are right and the ELF checks are reached.
"""

import os
import re
import struct
import subprocess
import sys
import time

import pytest

import emulator
import mkimage
from firmware import Firmware, with_firmware

EXIT_FAILED_STATUS = 35  # (EXIT_FAILED << 1) | 1
SECTOR = 512
TIMEOUT = 60

CHECKSUM = "granary: kernel checksum wrong: image altered or cut off"
LOADER_CHECKSUM = "granary: loader checksum wrong"
LOADER_SIZE = "granary: loader size wrong"
NO_HEADER = "granary: no image header"
HEADER = "granary: image header damaged"
KERNEL_SIZE = "granary: kernel size in the image header is wrong"
CUT_LOADER = "granary: loader unreadable"
CUT_CMDLINE = "granary: disk read error at the command line: image cut off?"
CUT_KERNEL = "granary: disk read error at the kernel: image cut off?"
NOT_ELF = "granary: kernel is not a 32-bit i386 ELF executable"
HEADERS = "granary: kernel's program headers make no sense"
OUTSIDE_FILE = "granary: kernel segment lies outside its file"
OUTSIDE_PLACE = "granary: kernel segment lies outside 1 MiB to 4 MiB, or is linked elsewhere"
NO_MEMORY = "granary: kernel does not fit in the machine's memory"
ENTRY = "granary: kernel's entry lies outside its code"

mkimage.C.update(mkimage.read_constants())


class Parts:
    """An image as bytes, and where its parts start and end, in bytes."""

    def __init__(self, path):
        self.data = mkimage.read(path)
        self.header = mkimage.image_header(self.data, path)
        table = mkimage.PARTITION_TABLE
        self.mbr = self.data[:table] + bytes(64) + self.data[table + 64:SECTOR]  # as it was assembled
        self.loader = mkimage.C["HEADER_LBA"] * SECTOR
        self.cmdline = self.header.cmdline_lba * SECTOR
        self.kernel = self.header.kernel_lba * SECTOR
        self.end = self.kernel + self.header.kernel_bytes

    def field(self, name):
        """Offset in the image of a field of the header, by its name in boot.inc."""
        return self.loader + mkimage.C[name]


def qemu(path, mem=32, more=()):
    """Boots an image without a screen. Returns (exit status, what COM1 said)."""
    command = emulator.qemu_command(str(path), mem) + ["-serial", "stdio", "-monitor", "none", *more]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def check_refused(tmp_path, data, message, mem=32):
    path = tmp_path / "bad.img"
    path.write_bytes(data)
    assert qemu(path, mem) == (EXIT_FAILED_STATUS, message + "\r\n")


def flipped(data, offset, bits=0x01):
    changed = bytearray(data)
    changed[offset] ^= bits
    return changed


def with_dword(data, offset, value):
    changed = bytearray(data)
    struct.pack_into("<I", changed, offset, value & 0xffffffff)
    return changed


FLIPPED = {
    "header magic": (lambda p: p.field("HEADER_MAGIC_OFF"), NO_HEADER),
    "header magic, last byte": (lambda p: p.field("HEADER_MAGIC_OFF") + 3, NO_HEADER),
    "header jump": (lambda p: p.field("HEADER_JUMP"), HEADER),
    "header jump, fourth byte": (lambda p: p.field("HEADER_JUMP") + 3, HEADER),
    "header, loader's sum": (lambda p: p.field("HEADER_LOADER_CRC"), LOADER_CHECKSUM),
    "header, kernel's sum": (lambda p: p.field("HEADER_KERNEL_CRC") + 3, CHECKSUM),
    "header, kernel's size by one": (lambda p: p.field("HEADER_KERNEL_BYTES"), CHECKSUM),
    "header, command line's sector": (lambda p: p.field("HEADER_CMDLINE_LBA"), HEADER),
    "header, kernel's sector": (lambda p: p.field("HEADER_KERNEL_LBA") + 2, HEADER),
    "loader, first byte after the header": (lambda p: p.loader + 32, LOADER_CHECKSUM),
    "loader, middle": (lambda p: (p.loader + p.cmdline) // 2, LOADER_CHECKSUM),
    "loader, last byte": (lambda p: p.cmdline - 1, LOADER_CHECKSUM),
    "kernel, first byte": (lambda p: p.kernel, CHECKSUM),
    "kernel, ELF entry": (lambda p: p.kernel + 24, CHECKSUM),
    "kernel, second chunk": (lambda p: p.kernel + 64 * SECTOR, CHECKSUM),
    "kernel, middle": (lambda p: (p.kernel + p.end) // 2, CHECKSUM),
    "kernel, last byte": (lambda p: p.end - 1, CHECKSUM),
}


@pytest.mark.parametrize("where", FLIPPED)
def test_one_bit_flipped(image, tmp_path, where):
    parts = Parts(image)
    offset, message = FLIPPED[where]
    check_refused(tmp_path, flipped(parts.data, offset(parts)), message)


FIELDS = [
    ("HEADER_LOADER_SECS", 0, LOADER_SIZE),
    ("HEADER_LOADER_SECS", 1, LOADER_CHECKSUM),
    ("HEADER_LOADER_SECS", 32, LOADER_CHECKSUM),
    ("HEADER_LOADER_SECS", 33, LOADER_SIZE),
    ("HEADER_LOADER_SECS", 0x10001, LOADER_SIZE),
    ("HEADER_LOADER_SECS", 0xffffffff, LOADER_SIZE),
    ("HEADER_CMDLINE_LBA", 0, HEADER),
    ("HEADER_CMDLINE_LBA", 0xffffffff, HEADER),
    ("HEADER_KERNEL_LBA", 0, HEADER),
    ("HEADER_KERNEL_BYTES", 0, KERNEL_SIZE),
    ("HEADER_KERNEL_BYTES", 1, CHECKSUM),
    ("HEADER_KERNEL_BYTES", 0x80001, KERNEL_SIZE),
    ("HEADER_KERNEL_BYTES", 0xffffffff, KERNEL_SIZE),
]


@pytest.mark.parametrize("field, value, message", FIELDS)
def test_header_field(image, tmp_path, field, value, message):
    parts = Parts(image)
    check_refused(tmp_path, with_dword(parts.data, parts.field(field), value), message)


def test_zeroed_after_a_point(image, tmp_path):
    """A copy that broke off onto a larger disk: all sectors can be read, but some hold nothing."""
    parts = Parts(image)
    for start, message in ((SECTOR, NO_HEADER), (2 * SECTOR, LOADER_CHECKSUM), (parts.kernel, CHECKSUM),
                           (parts.end - 600, CHECKSUM)):
        check_refused(tmp_path, parts.data[:start] + bytes(len(parts.data) - start), message)


CUT = {
    "after the MBR": (lambda p: SECTOR, CUT_LOADER),
    "in the loader": (lambda p: p.cmdline - SECTOR, CUT_LOADER),
    "before the command line": (lambda p: p.cmdline, CUT_CMDLINE),
    "before the kernel": (lambda p: p.kernel, CUT_KERNEL),
    "in the kernel's first sector": (lambda p: p.kernel + 100, CUT_KERNEL),
    "in the middle of the kernel": (lambda p: (p.kernel + p.end) // 2, CUT_KERNEL),
    "one sector short": (lambda p: (p.end - 1) // SECTOR * SECTOR, CUT_KERNEL),
}


@pytest.mark.parametrize("where", CUT)
def test_cut_off(image, tmp_path, where):
    parts = Parts(image)
    size, message = CUT[where]
    check_refused(tmp_path, parts.data[:size(parts)], message)


@pytest.mark.parametrize("size", [0, 510, None])
def test_no_signature(image, tmp_path, size):
    """Without 55 aa at the end of sector 0 the firmware runs nothing of ours, and says so itself."""
    data = Parts(image).data
    path = tmp_path / "unsigned.img"
    path.write_bytes(flipped(data, 511) if size is None else data[:size])
    log = tmp_path / "firmware.log"
    status, text = qemu(path, more=("-boot", "reboot-timeout=1", "-chardev", f"file,id=log,path={log}",
                                    "-device", "isa-debugcon,iobase=0x402,chardev=log"))
    assert status == 0 and text == ""  # the firmware's reset, which -no-reboot makes an end
    assert "No bootable device" in log.read_text(errors="replace")


PHDR = 52  # where kernels made here have their only program header


def elf(**changed):
    """A small ELF kernel with one segment, some fields of its headers changed."""
    ehdr = dict(magic=b"\x7fELF", bits=1, order=1, version=1, type=2, machine=3, entry=0x80100000, phoff=PHDR,
                phentsize=32, phnum=1)
    phdr = dict(kind=1, offset=0x100, vaddr=0x80100000, paddr=0x100000, filesz=16, memsz=16, flags=5)
    for name, value in changed.items():
        (ehdr if name in ehdr else phdr)[name] = value
    e, p = ehdr.values(), phdr.values()
    ident, (kind, machine, entry, phoff, phentsize, phnum) = list(e)[:4], list(e)[4:]
    head = struct.pack("<4s3B9xHHIIIIIHHHHHH", *ident, kind, machine, 1, entry, phoff, 0, 0, 52, phentsize, phnum,
                       0, 0, 0)
    return (head + struct.pack("<8I", *p, 4096)).ljust(0x100, b"\0") + b"\xf4" * 16


BAD_ELF = [
    (dict(bits=2), NOT_ELF),
    (dict(order=2), NOT_ELF),
    (dict(version=0), NOT_ELF),
    (dict(type=1), NOT_ELF),
    (dict(type=3), NOT_ELF),
    (dict(machine=62), NOT_ELF),
    (dict(phentsize=56), HEADERS),
    (dict(phnum=0), HEADERS),
    (dict(phnum=8), HEADERS),
    (dict(phnum=0xffff), HEADERS),
    (dict(phoff=0x110 - 31), HEADERS),
    (dict(phoff=0xffffffff), HEADERS),
    (dict(offset=0x101), OUTSIDE_FILE),
    (dict(offset=0xfffffff8), OUTSIDE_FILE),
    (dict(filesz=17), OUTSIDE_FILE),
    (dict(filesz=0xffffffff, memsz=0xffffffff), OUTSIDE_FILE),
    (dict(paddr=0xff000, vaddr=0x800ff000), OUTSIDE_PLACE),
    (dict(paddr=0, vaddr=0x80000000), OUTSIDE_PLACE),
    (dict(paddr=0x400001, vaddr=0x80400001), OUTSIDE_PLACE),
    (dict(paddr=0x3ffff1, vaddr=0x803ffff1), OUTSIDE_PLACE),
    (dict(memsz=0x300001), OUTSIDE_PLACE),
    (dict(memsz=0xffffffff), OUTSIDE_PLACE),
    (dict(vaddr=0x100000, entry=0x100000), OUTSIDE_PLACE),
    (dict(entry=0x800fffff), ENTRY),
    (dict(entry=0x80100010), ENTRY),
    (dict(entry=0), ENTRY),
    (dict(flags=4), ENTRY),
    (dict(kind=2), ENTRY),
]


def image_with_kernel(image, kernel):
    """The image's own MBR and loader with another kernel."""
    parts = Parts(image)
    return mkimage.make_image(parts.mbr, parts.data[parts.loader:parts.cmdline], kernel, b"")


@pytest.mark.parametrize("changed, message", BAD_ELF, ids=lambda value: str(value)[:60])
def test_kernel_refused(image, tmp_path, changed, message):
    check_refused(tmp_path, image_with_kernel(image, elf(**changed)), message)


def test_segment_over_several_entries(image, tmp_path):
    """Usable entries that follow each other, in any order, are one piece of memory; one frame less is a hole."""
    exits = bytes.fromhex("b812000000 e7f4 f4")
    data = image_with_kernel(image, elf(memsz=0x300000)[:0x100] + exits.ljust(16, b"\xf4"))
    low, pieces = (0, 0x9fc00, 1, 1), [(at << 20, 1 << 20, 1, 1) for at in (3, 1, 2)]
    path = tmp_path / "pieces.img"
    path.write_bytes(with_firmware(data, Firmware(entries=[low, *pieces])))
    assert qemu(path) == (37, "")
    pieces[1] = (1 << 20, 0xff000, 1, 1)
    check_refused(tmp_path, with_firmware(data, Firmware(entries=[low, *pieces])), NO_MEMORY)


def test_kernel_larger_than_the_machine(image, tmp_path):
    """With 4 MiB QEMU's memory ends at 0x3e0000: a segment may reach that far, and no byte farther."""
    check_refused(tmp_path, image_with_kernel(image, elf(memsz=0x2e0001)), NO_MEMORY, mem=4)
    exits = bytes.fromhex("b812000000 e7f4 f4")  # mov eax, EXIT_PANIC; out DEBUG_EXIT_PORT, eax; hlt
    kernel = elf(memsz=0x2e0000)[:0x100] + exits.ljust(16, b"\xf4")
    path = tmp_path / "fits.img"
    path.write_bytes(image_with_kernel(image, kernel))
    assert qemu(path, mem=4) == (37, "")


def memory_at_the_end(path, tmp_path, address, size, last=b"\n"):
    """Physical memory once COM1 has its last line: no exit device, so the machine stays."""
    command = emulator.qemu_command(str(path), 32)
    at = command.index("-device")
    log, dump = tmp_path / "com1.txt", tmp_path / "memory.bin"
    command[at:at + 2] = ["-serial", f"file:{log}", "-monitor", "stdio"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + TIMEOUT
            while not (log.exists() and log.read_bytes().endswith(last)) and time.monotonic() < end:
                time.sleep(0.05)
            process.communicate(f"pmemsave {address} {size} \"{dump}\"\nquit\n".encode(), timeout=TIMEOUT)
        finally:
            process.kill()
    assert log.read_bytes().endswith(last)
    return dump.read_bytes()


def screen(path, tmp_path):
    """What the text screen shows once COM1 has the message."""
    cells = memory_at_the_end(path, tmp_path, 0xb8000, 4000)[::2].decode("cp437")
    return [cells[row:row + 80].strip("\0 ") for row in range(0, len(cells), 80)]


@pytest.mark.parametrize("where", ["loader, middle", "kernel, middle"])
def test_message_on_screen(image, tmp_path, where):
    parts = Parts(image)
    offset, message = FLIPPED[where]
    path = tmp_path / "bad.img"
    path.write_bytes(flipped(parts.data, offset(parts)))
    assert message in screen(path, tmp_path)


def test_bochs_ends_too(image, tmp_path, boot):
    """In Bochs the failures end the run as well, by its own port."""
    parts = Parts(image)
    for where in ("loader, middle", "kernel, middle"):
        offset, message = FLIPPED[where]
        path = tmp_path / "bad.img"
        path.write_bytes(flipped(parts.data, offset(parts)))
        run = boot("", "bochs", path=str(path))
        assert run.lines == [message] and "the exit says: passed" in run.stderr


def test_every_message_is_documented(root):
    """docs/boot.md has a line for each text of the boot code, and for no other."""
    texts = set()
    for name in ("mbr.asm", "loader.asm"):
        with open(os.path.join(root, "boot", name), encoding="utf-8") as source:
            texts |= set(re.findall(r'^text_\w+: *db "(.*)", 0', source.read(), re.MULTILINE))
    with open(os.path.join(root, "docs", "boot.md"), encoding="utf-8") as document:
        rows = re.findall(r"^\| `(.*)` \| (?:MBR|loader) \|", document.read(), re.MULTILINE)
    assert len(texts) == 20 and sorted(texts) == sorted(rows)


# The tool that makes images.


def tool(root, *options):
    command = [sys.executable, os.path.join(root, "tools", "mkimage.py"), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_cmdline_of_511_bytes(root, image, tmp_path):
    copy = tmp_path / "copy.img"
    done = tool(root, "--set-cmdline", "x" * 511, image, "--out", copy)
    assert (done.returncode, done.stderr) == (0, "")
    parts = Parts(copy)
    assert parts.data[parts.cmdline:parts.kernel] == b"x" * 511 + b"\0"
    before = Parts(image).data
    assert parts.data[:parts.cmdline] == before[:parts.cmdline] and parts.data[parts.kernel:] == before[parts.kernel:]


@pytest.mark.parametrize("text, reason", [
    ("x" * 512, "the kernel command line has 512 bytes; there is room for 511"),
    ("é" * 256, "the kernel command line has 512 bytes; there is room for 511"),
    ("a\x01b", "the kernel command line has a control character in it"),
])
def test_cmdline_refused(root, image, tmp_path, text, reason):
    copy = tmp_path / "copy.img"
    done = tool(root, "--set-cmdline", text, image, "--out", copy)
    assert (done.returncode, done.stderr) == (2, f"mkimage: {reason}\n")
    assert not copy.exists()


def test_show(root, image, tmp_path):
    done = tool(root, "--show", image)
    assert done.returncode == 0 and done.stdout.count(" right") == 2
    bad = tmp_path / "bad.img"
    parts = Parts(image)
    bad.write_bytes(flipped(parts.data, parts.end - 1))
    done = tool(root, "--show", bad)
    assert done.returncode == 1 and "kernel: " in done.stdout and done.stdout.count(" WRONG") == 1


@pytest.mark.parametrize("data, reason", [
    (b"", "too short to be an image of Granary: 0 bytes"),
    (bytes(2048), "no image of Granary: the magic number of the header is 0x0"),
])
def test_show_refuses(root, tmp_path, data, reason):
    path = tmp_path / "odd.img"
    path.write_bytes(data)
    done = tool(root, "--show", path)
    assert (done.returncode, done.stderr) == (2, f"mkimage: {path}: {reason}\n")


def test_parts_that_outgrow_their_place(image):
    parts = Parts(image)
    mbr, loader = parts.mbr, parts.data[parts.loader:parts.cmdline]
    kernel = elf()
    for made_of, reason in (
            ((mbr + b"\0", loader, kernel), "the MBR must be 512 bytes"),
            ((mbr[:510] + b"\0\0", loader, kernel), "the MBR must be 512 bytes that end with 55 aa"),
            ((flipped(mbr, 440), loader, kernel), "the MBR's code is over 440 bytes"),
            ((mbr, loader.ljust(16385, b"\0"), kernel), "the loader has 16385 bytes; there is room for 16384"),
            ((mbr, bytes(512), kernel), "the loader does not start with the header"),
            ((mbr, loader, kernel.ljust(0x80001, b"\0")), "the kernel has 524289 bytes; there is room for 524288"),
            ((mbr, loader, b"#!/bin/sh".ljust(64)), "the kernel is not an ELF file")):
        with pytest.raises(mkimage.ImageError) as refused:
            mkimage.make_image(*made_of, b"")
        assert str(refused.value).startswith(reason)


def partition(data):
    """The first entry of an image's partition table: (state, (cylinder, head, sector), type, the last one's, start,
    length), and the other three's bytes."""
    def place(three):
        return (three[1] & 0xc0) << 2 | three[2], three[0], three[1] & 0x3f

    state, first, kind, last, start, length = struct.unpack_from("<B3sB3sII", data, 446)
    return (state, place(first), kind, place(last), start, length), data[462:510]


def test_partition_is_the_whole_image(image):
    """Active, from the second sector to the last, both also as cylinder, head and sector of 16 heads and 63 sectors."""
    data = Parts(image).data
    cylinders = len(data) // emulator.CYLINDER_BYTES
    assert partition(data) == ((0x80, (0, 0, 2), 0xda, (cylinders - 1, 15, 63), 1, len(data) // SECTOR - 1), bytes(48))


def test_partition_of_several_cylinders(image):
    parts = Parts(image)
    kernel = elf().ljust(0x80000, b"\0")
    data = mkimage.make_image(parts.mbr, parts.data[parts.loader:parts.cmdline], kernel, b"")
    assert partition(data)[0] == (0x80, (0, 0, 2), 0xda, (1, 15, 63), 1, 2015)
    assert mkimage.chs(1023 * 1008 + 5) == bytes((0, 0xc0 | 6, 0xff))
    assert mkimage.chs(1024 * 1008) == bytes((15, 0xff, 0xff))  # past the last cylinder that has a number


def test_image_is_whole_cylinders(image):
    assert os.path.getsize(image) % emulator.CYLINDER_BYTES == 0


def test_largest_parts_boot(image, tmp_path):
    """A loader of 32 sectors and a kernel of 512 KiB: nothing in the boot code stops short of its limits."""
    parts = Parts(image)
    loader = parts.data[parts.loader:parts.cmdline].ljust(32 * SECTOR, b"\xa5")
    exits = bytes.fromhex("b812000000 e7f4 f4")  # as above, at the very end of the file
    size = 0x80000 - 0x100
    head = elf(filesz=size, memsz=size, entry=0x80100000 + size - len(exits))[:0x100]
    kernel = head.ljust(0x80000 - len(exits), b"\x5a")
    path = tmp_path / "large.img"
    path.write_bytes(mkimage.make_image(parts.mbr, loader, kernel + exits, b""))
    assert qemu(path) == (37, "")
