"""The boot matrix: every memory size boots and counts right, or refuses clearly.

The kernel prints the firmware's map as it got it, and what it makes of it. Here the totals are worked out again
from the printed map, by another method (a sweep over all bounds), and compared.
"""

import re
import subprocess

import pytest

from run import FAILED, PASSED

QEMU = [4, 8, 16, 32, 64, 128, 255, 256, 257, 341, 512, 1024, 2048, 3072, 3584, 4096]
BOCHS = [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]

FOUR_GIB = 1 << 32
FRAME = 4096
LOW_END = 0x10000  # kernel/memory_plan.h: boot information lies below
HEAP_WINDOW = 0x70000000  # kernel/layout.h


def raw_map(lines):
    """The printed entries: (base, length, type)."""
    entries = []
    for line in lines:
        match = re.match(r"e820: (0x[0-9a-f]+) \+ (0x[0-9a-f]+) (.+)$", line)
        if match:
            entries.append((int(match[1], 16), int(match[2], 16), match[3]))
    return entries


def usable_bytes(entries):
    """Where at least one entry says usable and none says otherwise: [start, end), rising."""
    bounds = sorted({edge for base, length, _ in entries for edge in (base, base + length)})
    ranges = []
    for start, end in zip(bounds, bounds[1:]):
        kinds = {kind for base, length, kind in entries if base <= start and end <= base + length}
        if kinds == {"usable"}:
            if ranges and ranges[-1][1] == start:
                ranges[-1] = (ranges[-1][0], end)
            else:
                ranges.append((start, end))
    return ranges


def whole_frames(ranges):
    whole = [(-(-start // FRAME) * FRAME, end // FRAME * FRAME) for start, end in ranges]
    return [(start, end) for start, end in whole if start < end]


def clipped(ranges, low, high):
    return sum(max(0, min(end, high) - max(start, low)) for start, end in ranges)


@pytest.mark.parametrize("emulator, mem", [("qemu", mem) for mem in QEMU] + [("bochs", mem) for mem in BOCHS])
def test_totals(boot, kernel_elf, emulator, mem):
    run = boot("batch demo=no", emulator, mem)
    entries = raw_map(run.lines)
    assert len(entries) >= 3, run
    ranges = whole_frames(usable_bytes(entries))
    below, beyond = clipped(ranges, 0, FOUR_GIB), clipped(ranges, FOUR_GIB, 1 << 64)
    summary = next(line for line in run.lines if line.startswith("memory: ") and "usable below 4 GiB" in line)
    figures = [int(number) for number in re.findall(r"(\d+) KiB", summary)]
    assert figures[0] == below >> 10, (summary, ranges)
    assert (figures[1:] or [0]) == [beyond >> 10]
    # The firmware keeps less than 1 MiB of what the machine has.
    assert mem - 1 <= (below + beyond) / (1 << 20) <= mem
    if run.code == FAILED:
        assert mem <= 4, "only the smallest machine may be refused"
        assert any(line.startswith("memory: refused: ") for line in run.lines)
        return
    assert run.code == PASSED, run
    total = check_pools(run.lines, ranges, kernel_elf)
    assert total == clipped(usable_bytes(entries), 0, FOUR_GIB), "what the loader left at 0xb00"


def symbol(elf, name):
    """Address of a symbol of the kernel."""
    listing = subprocess.run(["nm", elf], capture_output=True, text=True, check=True).stdout
    return next(int(line.split()[0], 16) for line in listing.splitlines() if line.endswith(" " + name))


def check_pools(lines, ranges, elf):
    """The pools hold all that is usable but for the boot information, the kernel, its tables and records.

    Returns the total in bytes that memory_init printed.
    """
    pools = {}
    for line in lines:
        match = re.match(r"\s*(\w+_pool): (\d+) frames of 4 KiB from (0x[0-9a-f]+)$", line)
        if match:
            pools[match[1]] = (int(match[2]), int(match[3], 16))
    (kernel_frames, kernel_start), (user_frames, user_start) = pools["kernel_pool"], pools["user_pool"]
    assert kernel_start == next(start for start, end in [(max(s, LOW_END), e) for s, e in ranges] if start < end)
    assert kernel_start < user_start < FOUR_GIB
    # Nothing of ours lies in the user pool: what is usable from its first frame on is in it, to the frame.
    assert user_frames == clipped(ranges, user_start, FOUR_GIB) // FRAME
    image = symbol(elf, "kernel_end") - symbol(elf, "kernel_start")
    ours = (clipped(ranges, LOW_END, user_start) - image) // FRAME - kernel_frames
    # Records: 16 bytes for each frame, 64 more in the kernel pool. Page tables: 1 KiB for each MiB of the kernel half.
    records = (kernel_frames * 80 + user_frames * 16) // FRAME
    tables = kernel_frames // 1024
    assert records + tables <= ours <= 1.1 * (records + tables) + 64, (ours, records, tables)
    # Halves, as in the seed, unless the kernel's window ends first.
    all_frames = (clipped(ranges, LOW_END, FOUR_GIB) - image) // FRAME
    assert user_frames == all_frames - all_frames // 2 or user_start == kernel_start + HEAP_WINDOW
    told = next(line for line in lines if "in the pools" in line)
    total, in_pools = (int(number) for number in re.findall(r"\d+", told))
    assert in_pools == (kernel_frames + user_frames) * 4
    return total
