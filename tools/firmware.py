"""firmware.py - images whose firmware is odd: old, broken, or with the memory map of some other machine.

firmware.asm (beside this file) takes sector 0 of a copy of the image and hooks the firmware's services before the
image's own MBR runs. What it makes them say is a table after the image's end, made here. `make boot-fuzz`, the
end-to-end tests and tools/machines.py boot such images.
"""

import os
import re
import struct
import subprocess
from dataclasses import dataclass, field

import cli
import emulator

SECTOR = 512
TABLE_BYTES, HEAD_BYTES, ENTRY_BYTES = 10 * SECTOR, 64, 24  # as in firmware.asm
ENTRIES_MAX = (TABLE_BYTES - HEAD_BYTES) // ENTRY_BYTES

SOURCE = os.path.join(emulator.ROOT, "tools", "firmware.asm")


def read_flags():
    """The bits of FLAGS in firmware.asm, by name."""
    with open(SOURCE, encoding="utf-8") as file:
        return {name: 1 << int(bit) for name, bit in re.findall(r"^(\w+) +equ 1 << (\d+)", file.read(), re.MULTILINE)}


FLAG = read_flags()


@dataclass
class Firmware:
    """What the firmware says and does. The defaults leave it as it is."""
    entries: list = None  # E820h's (base, length, type, attributes)
    flags: tuple = ()  # names in firmware.asm
    low_kib: int = None  # int 12h's answer
    e801: tuple = None  # AX, BX, CX, DX
    drive: int = None  # DL for the MBR
    registers: list = field(default_factory=lambda: [0] * 8)  # edi esi ebp - ebx edx ecx eax
    eflags: int = 2
    segments: tuple = (0, 0)  # ds, es
    pokes: dict = field(default_factory=dict)  # what the firmware writes into the MBR: offset -> bytes

    def table(self):
        """The table as firmware.asm reads it."""
        names = list(self.flags) + (["NO_E820"] if self.entries == [] else [])
        names += [name for name, value in (("OWN_E820", self.entries or None), ("OWN_LOW", self.low_kib),
                                           ("OWN_E801", self.e801), ("OWN_DRIVE", self.drive)) if value is not None]
        registers, entries = list(self.registers), self.entries or []
        if self.drive is not None:
            registers[5] = registers[5] & ~0xff | self.drive
        if len(entries) > ENTRIES_MAX:
            raise ValueError(f"{len(entries)} entries: the table has room for {ENTRIES_MAX}")
        head = struct.pack("<2I8II2HH4H", len(entries), sum(FLAG[name] for name in names), *registers, self.eflags,
                           *self.segments, self.low_kib or 0, *(self.e801 or (0,) * 4))
        rows = b"".join(struct.pack("<QQII", *entry) for entry in entries)
        return (head.ljust(HEAD_BYTES, b"\0") + rows).ljust(TABLE_BYTES, b"\0")

    def loaded(self, mbr):
        """The MBR as the firmware has loaded it, and written into it."""
        mbr = bytearray(mbr)
        for at, data in self.pokes.items():
            mbr[at:at + len(data)] = data
        return bytes(mbr)


def assemble(sectors):
    """firmware.asm's sector, for an image of so many sectors."""
    with cli.folder("firmware") as folder:
        path = os.path.join(folder, "firmware.bin")
        subprocess.run([cli.find_program("nasm"), "-f", "bin", f"-I{emulator.ROOT}/boot/", f"-DMBR_LBA={sectors}",
                        SOURCE, "-o", path], check=True)
        with open(path, "rb") as file:
            return file.read()


def with_firmware(data, firmware, stub=None):
    """The image `data` on a machine with that firmware. `stub`: what assemble() gave for an image of this length."""
    stub = stub or assemble(len(data) // SECTOR)
    return stub + data[SECTOR:] + firmware.loaded(data[:SECTOR]) + firmware.table()


def parse_map(text):
    """A memory map written as lines `BASE LENGTH TYPE`, base and length in hexadecimal."""
    rows = [line.split("#")[0].split() for line in text.splitlines()]
    return [(int(base, 16), int(length, 16), int(kind), 1) for base, length, kind in filter(None, rows)]


def parse_header(path):
    """The maps of a C header like tests/host/maps/logged_maps.h: {name: entries}."""
    with open(path, encoding="utf-8") as file:
        arrays = re.findall(r"struct e820_entry (\w+)\[\] = \{(.*?)\n\};", file.read(), re.DOTALL)
    entry = re.compile(r"\{(0x\w+), (0x\w+), (\d+), (\d+)\}")
    return {name: [tuple(int(number, 0) for number in row) for row in entry.findall(body)] for name, body in arrays}
