"""Memory maps of machines that people use (tests/host/maps/logged_maps.h), each booted in QEMU.

tools/firmware.asm makes E820h say what the log of that machine shows. The emulator has as much memory as QEMU's chipset
puts below 4 GiB, at the addresses that the map names, so the kernel can use what it is promised; where a map
promises more than 3 GiB, the rest belongs to the user pool, which nothing here fills.
"""

import os
import re

import pytest

import mkimage
from firmware import Firmware, parse_header, with_firmware
from test_image import EXIT_FAILED_STATUS, NO_MEMORY, Parts, memory_at_the_end, qemu

EXIT_PASSED_STATUS = 33
NO_LOW_MEMORY = "granary: too little memory below 640 KiB for the kernel's file"
MIB = 1 << 20

MAPS = parse_header(os.path.join(os.path.dirname(__file__), os.pardir, "host", "maps", "logged_maps.h"))

# What the pools hold at least, in MiB; the rest of the memory below 4 GiB is kernel, page tables and records.
IN_POOLS = {"acer_c720": 1940, "via_vt3075": 500, "hole_1_gib": 1000, "tyan_board": 500, "asus_laptop": 485,
            "geode": 122, "poweredge_6300": 3960, "wide_hole": 1730, "tboot": 2955, "ovmf_2_gib": 2005,
            "optiplex_9020": 3440}


def boot(image, tmp_path, args, entries, mem=3072, **odd):
    """Boots the image with that map. Returns (exit status, the console's lines)."""
    path = tmp_path / "map.img"
    mkimage.set_cmdline(args, image, str(path))
    path.write_bytes(with_firmware(path.read_bytes(), Firmware(entries=entries, **odd)))
    status, text = qemu(path, mem)
    return status, text.split("\r\n")


def in_pools(lines):
    """KiB in the pools, as memory_init prints it."""
    return int(re.search(r"of them (\d+) KiB in the pools", "\n".join(lines))[1])


def test_every_map_is_tried():
    assert set(MAPS) == set(IN_POOLS) | {"acrn_mrb"}
    assert all(len(entries) >= 4 for entries in MAPS.values())


@pytest.mark.parametrize("name", IN_POOLS)
def test_boots(image, tmp_path, name):
    status, lines = boot(image, tmp_path, "batch", MAPS[name])
    assert (status, lines[-2:]) == (EXIT_PASSED_STATUS, ["granary: halt passed", ""]), lines
    assert f"e820: 0x{MAPS[name][-1][0]:016x} + 0x{MAPS[name][-1][1]:016x}" in "\n".join(lines)  # the whole map
    assert IN_POOLS[name] <= in_pools(lines) / 1024 <= IN_POOLS[name] * 1.03


def test_no_memory_at_1_mib(image, tmp_path):
    """A virtual machine without a firmware of its own: the kernel is linked for 1 MiB, where it has none."""
    assert boot(image, tmp_path, "batch", MAPS["acrn_mrb"]) == (EXIT_FAILED_STATUS, [NO_MEMORY, ""])


@pytest.mark.parametrize("mem", [1280, 1600, 2048])
def test_hole_at_15_mib(image, tmp_path, mem):
    entries = [(0, 0x9fc00, 1, 1), (MIB, 14 * MIB, 1, 1), (16 * MIB, (mem - 16) * MIB - 0x20000, 1, 1)]
    status, lines = boot(image, tmp_path, "batch", entries, mem)
    assert status == EXIT_PASSED_STATUS, lines
    assert in_pools(lines) / 1024 > 0.98 * mem


@pytest.mark.parametrize("end", [0xf0000, MIB])
def test_roms_are_no_memory(image, tmp_path, end):
    """A map that calls video memory and ROMs usable: blocks there would lose what was written to them."""
    rest = (MIB, 31 * MIB - 0x20000, 1, 1)
    status, right = boot(image, tmp_path, "batch demo=no", [(0, 0xa0000, 1, 1), rest], 32)
    assert status == EXIT_PASSED_STATUS, right
    status, lines = boot(image, tmp_path, "batch demo=no soak=20000", [(0, end, 1, 1), rest], 32)
    assert status == EXIT_PASSED_STATUS, lines
    assert in_pools(lines) == in_pools(right)  # to 640 KiB, and from 1 MiB on


def test_attributes_zero(image, tmp_path):
    entries = [(base, length, kind, 0) for base, length, kind, _ in MAPS["geode"]]
    status, lines = boot(image, tmp_path, "batch", entries, 128)
    assert status == EXIT_PASSED_STATUS, lines
    assert in_pools(lines) / 1024 > IN_POOLS["geode"]


def test_low_memory_ends_early(image, tmp_path):
    """64 KiB and the kernel's file are enough, to the KiB."""
    needed = 64 + -(-Parts(image).header.kernel_bytes // 1024)
    for low_kib in (needed, 512, 640):
        entries = [(0, low_kib << 10, 1, 1), (MIB, 31 * MIB, 1, 1)]
        status, lines = boot(image, tmp_path, "batch", entries, low_kib=low_kib)
        assert status == EXIT_PASSED_STATUS, lines
    assert boot(image, tmp_path, "batch", entries, low_kib=needed - 1) == (EXIT_FAILED_STATUS, [NO_LOW_MEMORY, ""])


@pytest.mark.parametrize("taken", [0x10000, 0x20000, 0x30000, None, 0x90000])
def test_file_waits_where_nothing_is_kept_back(image, tmp_path, taken):
    """A frame of low memory is the firmware's: what it holds must be there still when the kernel runs. None: the last
    one that leaves room for the file after it, which waits at a multiple of 32 KiB."""
    taken = taken or (0xa0000 - Parts(image).header.kernel_bytes & ~0x7fff) - 0x1000
    entries = [(0, 0xa0000, 1, 1), (taken, 0x1000, 2, 1), (MIB, 31 * MIB, 1, 1)]
    path = tmp_path / "kept.img"
    mkimage.set_cmdline("batch", image, str(path))
    path.write_bytes(with_firmware(path.read_bytes(), Firmware(entries=entries)))
    assert memory_at_the_end(path, tmp_path, taken, 0x1000, b"granary: halt passed\r\n") == bytes(0x1000)
