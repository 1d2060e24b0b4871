#!/usr/bin/python3
"""mkimage.py - lays out Granary's disk image, rewrites its command line, shows what is in it.

    mkimage.py --mbr FILE --loader FILE --kernel FILE [--cmdline-file FILE] [--files FILE...] [--tree FOLDER]
               --out IMAGE
    mkimage.py --set-cmdline TEXT IMAGE --out COPY
    mkimage.py --show IMAGE

The parts follow each other without gaps: MBR, loader, command line, kernel, and the files as a ustar archive
(process/archive.c finds it by the kernel's place and length). The loader's first 32 bytes are
the header (boot/boot.inc), filled in here with lengths and checksums; the boot code believes nothing else,
and this tool takes every figure from boot.inc, so the three cannot disagree.

The partition table gets one entry, active, which is all of the image but sector 0: some firmware does not start a
disk without one. Nothing of ours reads it.

The command line has no checksum, so that it can be rewritten without the kernel at hand.
"""

import io
import os
import re
import struct
import sys
import tarfile
import zlib
from collections import namedtuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HEADS, TRACK_SECTORS = 16, 63
CYLINDER_SECTORS = HEADS * TRACK_SECTORS  # Bochs takes whole cylinders only
FILE_NAME_MAX = 63  # ARCHIVE_NAME_MAX of process/archive.h, without the NUL
MBR_CODE_BYTES = 440  # a disk signature of six bytes follows, which Windows writes
PARTITION_TABLE = 446
PARTITION_ACTIVE, PARTITION_TYPE = 0x80, 0xda  # the type of data without a file system

Header = namedtuple("Header", "jump magic loader_secs loader_crc cmdline_lba kernel_lba kernel_bytes kernel_crc")
HEADER_FORMAT = "<8I"


class ImageError(cli.RunError):
    """Something that keeps an image from being made or read; the text is meant for the user."""


def read_constants(path=os.path.join(ROOT, "boot", "boot.inc")):
    """The `NAME equ NUMBER` lines of boot.inc."""
    found = re.findall(r"^([A-Z][A-Z0-9_]*) +equ +(0x[0-9a-f]+|[0-9]+)\b", read(path).decode(), re.MULTILINE)
    return {name: int(number, 0) for name, number in found}


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from None


def write(path, data):
    """Writes beside the target, then renames: an image is whole or not there, also when it is its own source."""
    beside = f"{path}.{os.getpid()}.new"
    try:
        with open(beside, "wb") as file:
            file.write(data)
        os.replace(beside, path)
    except OSError as error:
        if os.path.exists(beside):
            os.remove(beside)
        raise ImageError(f"{path}: {error.strerror}") from None


def sectors(size):
    return -(-size // C["SECTOR_BYTES"])


def pad(data, multiple):
    return data + bytes(-len(data) % multiple)


def check_size(what, size, low, high):
    if not low <= size <= high:
        raise ImageError(f"{what} has {size} bytes; there is room for {high}" if size > high else
                         f"{what} has {size} bytes; it must have at least {low}")


def check_mbr(mbr):
    if len(mbr) != C["SECTOR_BYTES"] or mbr[-2:] != b"\x55\xaa":
        raise ImageError(f"the MBR must be {C['SECTOR_BYTES']} bytes that end with 55 aa; it has {len(mbr)}")
    if any(mbr[MBR_CODE_BYTES:-2]):
        raise ImageError(f"the MBR's code is over {MBR_CODE_BYTES} bytes: it runs into the partition table")


def chs(lba):
    """A block's place by cylinder, head and sector, as a partition table's three bytes have it."""
    cylinder, rest = divmod(lba, CYLINDER_SECTORS)
    head, sector = divmod(rest, TRACK_SECTORS)
    if cylinder > 1023:  # what has no such number: the largest one, by convention
        cylinder, head, sector = 1023, HEADS - 1, TRACK_SECTORS - 1
    return bytes((head, (sector + 1) | (cylinder >> 2 & 0xc0), cylinder & 0xff))


def with_partition(image):
    """The image with its one partition entered."""
    first, last = C["HEADER_LBA"], len(image) // C["SECTOR_BYTES"] - 1
    entry = struct.pack("<B3sB3sII", PARTITION_ACTIVE, chs(first), PARTITION_TYPE, chs(last), first, last - first + 1)
    return image[:PARTITION_TABLE] + entry + image[PARTITION_TABLE + len(entry):]


def check_loader(loader):
    check_size("the loader", len(loader), C["HEADER_BYTES"] + 1, C["LOADER_MAX_SECTORS"] * C["SECTOR_BYTES"])
    if parse_header(loader).magic != C["HEADER_MAGIC"]:
        raise ImageError("the loader does not start with the header of boot.inc")


def check_kernel(kernel):
    check_size("the kernel", len(kernel), 52, C["KERNEL_MAX_BYTES"])
    if kernel[:4] != b"\x7fELF":
        raise ImageError("the kernel is not an ELF file")


def cmdline_sector(text):
    """The command line as the image holds it. `text` is bytes; one line break at its end is left out."""
    text = text[:-1] if text.endswith(b"\n") else text
    check_size("the kernel command line", len(text), 0, C["CMDLINE_BYTES"] - 1)
    if any(byte < 32 for byte in text):
        raise ImageError("the kernel command line has a control character in it")
    return pad(text or b"\0", C["CMDLINE_BYTES"])


def parse_header(loader):
    return Header(*struct.unpack_from(HEADER_FORMAT, loader))


def make_header(loader, kernel):
    """The header for a padded loader. The jump and the magic number are the loader's own."""
    loader_secs = sectors(len(loader))
    cmdline_lba = C["HEADER_LBA"] + loader_secs
    return parse_header(loader)._replace(
        loader_secs=loader_secs, loader_crc=zlib.crc32(loader[C["HEADER_BYTES"]:]),
        cmdline_lba=cmdline_lba, kernel_lba=cmdline_lba + sectors(C["CMDLINE_BYTES"]),
        kernel_bytes=len(kernel), kernel_crc=zlib.crc32(kernel))


def names_of(paths, tree=None):
    """The files of an archive: (name, path), sorted. Those of the tree are named from there, and its folders come last:
    the kernel looks from the beginning, and most of what it is asked for is a program."""
    named = [(os.path.basename(path), path) for path in paths]
    for folder, _, files in os.walk(tree or ""):
        named += [(os.path.relpath(os.path.join(folder, name), tree), os.path.join(folder, name)) for name in files]
    named.sort(key=lambda pair: ("/" in pair[0], pair))
    for (first, path), (second, _) in zip(named, named[1:]):
        if first == second:
            raise ImageError(f"{path}: there are two files of the name {first}")
    return named


def make_archive(paths, tree=None):
    """Files as a ustar archive, sorted; the same bytes for the same files. b"" for none."""
    named = names_of(paths, tree)
    if not named:
        return b""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, path in named:
            data, entry = read(path), tarfile.TarInfo(name)
            if len(entry.name) > FILE_NAME_MAX:
                raise ImageError(f"{path}: a name of {len(entry.name)} characters; there is room for {FILE_NAME_MAX}")
            entry.size, entry.mode = len(data), 0o444
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def make_image(mbr, loader, kernel, cmdline, archive=b""):
    """The whole image as bytes."""
    check_mbr(mbr)
    check_loader(loader)
    check_kernel(kernel)
    loader = pad(loader, C["SECTOR_BYTES"])
    loader = struct.pack(HEADER_FORMAT, *make_header(loader, kernel)) + loader[C["HEADER_BYTES"]:]
    parts = mbr + loader + cmdline_sector(cmdline) + pad(kernel, C["SECTOR_BYTES"]) + archive
    return with_partition(pad(parts, CYLINDER_SECTORS * C["SECTOR_BYTES"]))


def image_header(image, name):
    """The header of an image, or ImageError if this cannot be one."""
    start = C["HEADER_LBA"] * C["SECTOR_BYTES"]
    if len(image) < start + C["HEADER_BYTES"]:
        raise ImageError(f"{name}: too short to be an image of Granary: {len(image)} bytes")
    header = parse_header(image[start:start + C["HEADER_BYTES"]])
    if header.magic != C["HEADER_MAGIC"]:
        raise ImageError(f"{name}: no image of Granary: the magic number of the header is {header.magic:#x}")
    if not 1 <= header.loader_secs <= C["LOADER_MAX_SECTORS"]:
        raise ImageError(f"{name}: damaged header: a loader of {header.loader_secs} sectors")
    cmdline_lba = C["HEADER_LBA"] + header.loader_secs
    if (header.cmdline_lba, header.kernel_lba) != (cmdline_lba, cmdline_lba + 1):
        raise ImageError(f"{name}: damaged header: the parts do not follow each other")
    if len(image) < header.kernel_lba * C["SECTOR_BYTES"]:
        raise ImageError(f"{name}: cut off: {len(image)} bytes")
    return header


def part(image, lba, size):
    return image[lba * C["SECTOR_BYTES"]:lba * C["SECTOR_BYTES"] + size]


def set_cmdline(text, source, out):
    image = bytearray(read(source))
    start = image_header(image, source).cmdline_lba * C["SECTOR_BYTES"]
    image[start:start + C["CMDLINE_BYTES"]] = cmdline_sector(os.fsencode(text))
    write(out, image)


def archive_names(data):
    """The names of the files after the kernel; none where no archive is."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            return archive.getnames()
    except tarfile.TarError:
        return []


def show(path):
    """Prints an image's parts. Returns whether both checksums are right."""
    image = read(path)
    header = image_header(image, path)
    body = part(image, C["HEADER_LBA"], header.loader_secs * C["SECTOR_BYTES"])[C["HEADER_BYTES"]:]
    kernel = part(image, header.kernel_lba, header.kernel_bytes)
    cmdline = part(image, header.cmdline_lba, C["CMDLINE_BYTES"]).split(b"\0")[0]
    verdict = {True: "right", False: "WRONG"}
    good = zlib.crc32(body) == header.loader_crc, zlib.crc32(kernel) == header.kernel_crc
    print(f"image:   {len(image)} bytes, {len(image) / (CYLINDER_SECTORS * C['SECTOR_BYTES']):g} cylinders")
    print(f"loader:  sector {C['HEADER_LBA']}, {header.loader_secs} sectors, "
          f"CRC-32 {header.loader_crc:#010x} {verdict[good[0]]}")
    print(f"cmdline: sector {header.cmdline_lba}, \"{cmdline.decode(errors='replace')}\"")
    print(f"kernel:  sector {header.kernel_lba}, {header.kernel_bytes} bytes of {C['KERNEL_MAX_BYTES']}, "
          f"CRC-32 {header.kernel_crc:#010x} {verdict[good[1]]}")
    names = archive_names(part(image, header.kernel_lba + sectors(header.kernel_bytes), len(image)))
    print(f"files:   {' '.join(names) if names else 'none'}")
    return all(good)


def parse(argv):
    parser = cli.Parser(prog="mkimage.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--mbr", metavar="FILE", help="sector 0, 512 bytes")
    parser.add_argument("--loader", metavar="FILE", help="the loader, its header not yet filled in")
    parser.add_argument("--kernel", metavar="FILE", help="the kernel, an ELF file")
    parser.add_argument("--cmdline-file", metavar="FILE", help="the kernel command line; empty without this")
    parser.add_argument("--files", metavar="FILE", nargs="+", default=[], help="programs, and files for them")
    parser.add_argument("--tree", metavar="FOLDER", help="files in folders, under their names from here")
    parser.add_argument("--set-cmdline", metavar="TEXT", help="copy IMAGE with another command line")
    parser.add_argument("--show", action="store_true", help="print what IMAGE holds; status 1 if a checksum is wrong")
    parser.add_argument("--out", metavar="IMAGE", help="the image to write")
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="the image to read")
    opt = parser.parse_args(argv)
    build = opt.mbr and opt.loader and opt.kernel and opt.out and not opt.image
    change = opt.set_cmdline is not None and opt.image and opt.out
    if sum(map(bool, (build, change, opt.show and opt.image))) != 1:
        parser.error("give --mbr, --loader, --kernel and --out; or --set-cmdline, IMAGE and --out; or --show and IMAGE")
    return opt


def main(argv):
    opt = parse(argv)
    C.update(read_constants())
    if opt.show:
        return 0 if show(opt.image) else 1
    if opt.set_cmdline is not None:
        set_cmdline(opt.set_cmdline, opt.image, opt.out)
    else:
        cmdline = read(opt.cmdline_file) if opt.cmdline_file else b""
        write(opt.out, make_image(read(opt.mbr), read(opt.loader), read(opt.kernel), cmdline,
                                  make_archive(opt.files, opt.tree)))
    return 0


C = {}  # constants of boot.inc, filled in by main()

if __name__ == "__main__":
    sys.exit(cli.main(main, "mkimage"))
