#!/usr/bin/python3
"""map.py - what the page must know of a kernel to read its memory, as one JSON file.

    map.py --elf build/kernel.elf --image build/hd.img --out map.json --short hd.img

Addresses and field offsets come from the ELF file's debug information (tools/tour/layout.py), constants from the
headers that define them, the names of functions from the rule by which the kernel's own table is made
(tools/symtab.py), and the checksum that the page holds against the booted kernel's from the image. So no number of the
kernel is typed a second time in JavaScript, and a place in its code has the same name in both.
"""

import json
import os
import re
import struct
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tools", "tour")]

import cli  # noqa: E402 (the line above makes it findable)
import layout  # noqa: E402
import symtab  # noqa: E402
import tourfile  # noqa: E402

HEADERS = ("kernel/heap.h", "kernel/layout.h", "lib/page.h", "kernel/measure/events.h", "thread/thread.h",
           "kernel/interrupt.h", "kernel/museum/tour_scenes.c", "kernel/checked/checked.h")
CONSTANT = re.compile(r"^#define (\w+) (?:\()?(0x[0-9a-f]+|\d+)u?(?:\))?(?: *//.*)?$", re.MULTILINE)
BOOT = re.compile(r"^([A-Z][A-Z0-9_]*) *equ *(0x[0-9a-f]+|\d+)", re.MULTILINE)
# What the page asks for by name. One that is missing would be `undefined` there, and a wrong picture.
NEEDED = ("FRAME_FREE", "FRAME_USED", "FRAME_LENGTH", "ANCHOR_STEP", "ARENA_WORDS", "DESC_MAX", "ARENA_LARGE",
          "CHECKED_QUARANTINE", "CHECKED_SUM_START", "CHECKED_SUM_PRIME", "SMALL_SEAL", "LARGE_SEAL", "PG_SIZE",
          "EVENT_BYTES", "EVENT_MARK", "EVENT_REFUSED", "THREAD_MAGIC", "KERNEL_BASE", "IRQ_BASE", "SPARE_IRQ",
          "BOOT_INFO", "BOOT_INFO_MAGIC", "SECTOR_BYTES", "HEADER_LBA", "HEADER_MAGIC", "HEADER_MAGIC_OFF",
          "HEADER_CMDLINE_LBA", "HEADER_KERNEL_CRC", "CMDLINE_BYTES", "LOW_MAP_BYTES", "HEAP_WINDOW_BYTES",
          "STACK_SLOT_BYTES")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def constants():
    found = {name: int(value, 0) for path in HEADERS for name, value in CONSTANT.findall(read(path))}
    found |= {name: int(value, 0) for name, value in BOOT.findall(read("boot/boot.inc"))}
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise cli.RunError(f"no number for {', '.join(missing)} in {', '.join(HEADERS)} or boot/boot.inc")
    return {name: found[name] for name in NEEDED}


def enumerators(path, name):
    """The words of an enumeration, without their common beginning."""
    words = re.findall(r"\b[A-Z]+_(\w+)", re.search(rf"enum {name} {{([^}}]*)}}", read(path))[1])
    return [word.lower() for word in words]


def image_crc(path, numbers):
    with open(path, "rb") as file:
        file.seek(numbers["HEADER_LBA"] * numbers["SECTOR_BYTES"])
        header = file.read(numbers["SECTOR_BYTES"])
    if struct.unpack_from("<I", header, numbers["HEADER_MAGIC_OFF"])[0] != numbers["HEADER_MAGIC"]:
        raise cli.RunError(f"{path}: not an image of Granary")
    return struct.unpack_from("<I", header, numbers["HEADER_KERNEL_CRC"])[0]


def names(elf):
    """[address, name] of each function in the kernel's own table, and where its code ends."""
    lines = subprocess.run(["nm", "-nS", elf], capture_output=True, text=True, check=True).stdout.splitlines()
    end = next(int(line.split()[0], 16) for line in lines if line.endswith(" kernel_text_end"))
    return [entry for entry in sorted(symtab.names(lines)) if entry[0] < end], end


def tours():
    """The walks of docs/tours, as the debuggers have them, but for those of several processors; their texts the page
    has from web/reading.mjs."""
    found = {name: tourfile.read(name) for name in tourfile.names()}
    return {name: {"scene": tour.scene, "stops": [{"place": stop.place, "claims": stop.claims} for stop in tour.stops]}
            for name, tour in found.items() if tour.processors == 1}


def make(elf, image):
    numbers, walks = constants(), tours()
    places = {stop["place"] for walk in walks.values() for stop in walk["stops"]} - {"return"}
    found = layout.load(elf, sorted(places))
    functions = found.pop("functions")
    unknown = sorted(places - functions.keys())
    if unknown:
        raise cli.RunError(f"a tour stops at {unknown[0]}, which this kernel has no function of")
    table, end = names(elf)
    return {**found, "entries": {place: functions[place] for place in sorted(places)}, "names": table,
            "text_end": end, "tours": walks, "constants": numbers, "kernel_crc": image_crc(image, numbers),
            "image_bytes": os.path.getsize(image),
            "thread_states": enumerators("thread/thread.h", "thread_state"),
            "event_kinds": enumerators("kernel/measure/events.h", "event_kind")}


def main(argv):
    parser = cli.Parser(prog="map.py", description=__doc__.split("\n\n")[0])
    for name in ("elf", "image", "out"):
        parser.add_argument(f"--{name}", required=True, metavar="FILE")
    parser.add_argument("--short", required=True, metavar="FILE", help="the image without the zeros at its end")
    opt = parser.parse_args(argv)
    with open(opt.image, "rb") as file:
        image = file.read()
    with open(opt.short, "wb") as file:
        file.write(image.rstrip(b"\0"))
    text = json.dumps(make(opt.elf, opt.image), separators=(",", ":"))
    with open(opt.out, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "map"))
