#!/usr/bin/python3
"""bootfuzz.py - boots altered images: each must say what is wrong with it, or come up as always.

What only it can find: an altered byte of the image or a table of the firmware's after which the boot is silent, hangs
or resets.

  bootfuzz.py --image build/hd.img                 every case: each sector four ways, and the rest
  bootfuzz.py --image build/hd.img --sample 60     so many of them, of every kind
  bootfuzz.py --image build/hd.img --case NAME     one, with all that its console said

A case has a name, and its name and the seed say all of it:

  sector:LBA:WAY   one sector of the image: zeros, flip (one bit), random, swap (with the next one)
  header:FIELD:N   a field of the image header: N-th of some values at the edges, then random ones
  map:N            E820h gives a random map, which claims no memory that is not there
  entry:N          the MBR is entered with random registers, flags and segments, the BIOS parameter block written to
  cmdline:N        a random command line: bytes 1 to 255, quotes, options with wrong values

What may come of it: the demonstration up to its last line, or a message that names the fault. What may not: a
reset (a triple fault), a hang, silence, a panic. QEMU runs with -icount, so a run is the same every time.

Sector 0 is what checks the rest, and only the firmware checks sector 0, by its last two bytes. What comes of
its altered bits is counted for itself, and cannot fail.

Shortcoming: no map claims memory that is not there. Nothing but a test of all memory could tell.
"""

import concurrent.futures
import os
import random
import re
import select
import shlex
import struct
import subprocess
import sys
import time
from collections import Counter, namedtuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)
import emulator  # noqa: E402
import mkimage  # noqa: E402
from firmware import Firmware, assemble, with_firmware  # noqa: E402

SECTOR = 512
TIMEOUT = 40  # seconds; a run takes one, with two at a time and other work beside it perhaps five
MEM = 32  # MiB
WAYS = ("zeros", "flip", "random", "swap")
FAMILIES = ("sector", "header", "map", "entry", "cmdline")
RANDOM_CASES = {"map": 150, "entry": 50, "cmdline": 250}
HEADER_RANDOM = 4  # random values for each field, after those at the edges

LAST_PASSED = "granary: halt passed"
LAST_FAILED = "granary: halt failed"
DEMO_PASSED = "demo: passed"
PROMPT = "> "
STATUS_PASSED, STATUS_FAILED, STATUS_PANIC = 33, 35, 37  # (value << 1) | 1
# The only panics that are an answer to what the firmware said.
MAP_PANICS = ("panic: memory: no usable range", "panic: no boot information")

Verdict = namedtuple("Verdict", "outcome good")


class Image:
    """The image under test, and where its parts lie, in sectors."""

    def __init__(self, path):
        self.data = mkimage.read(path)
        self.header = mkimage.image_header(self.data, path)
        self.sectors = len(self.data) // SECTOR

    def with_cmdline(self, text):
        """The image with these bytes as its command line's sector."""
        at = self.header.cmdline_lba * SECTOR
        return self.data[:at] + text.ljust(SECTOR, b"\0") + self.data[at + SECTOR:]


# ---- the cases: each function returns the altered image ---------------------------------------------------------


def altered_sector(image, rng, lba, way):
    data = bytearray(image.with_cmdline(b"batch"))
    at = lba * SECTOR
    if way == "zeros":
        data[at:at + SECTOR] = bytes(SECTOR)
    elif way == "flip":
        bit = rng.randrange(8 * SECTOR)
        data[at + bit // 8] ^= 1 << bit % 8
    elif way == "random":
        data[at:at + SECTOR] = rng.randbytes(SECTOR)
    else:
        other = at + SECTOR if lba + 1 < image.sectors else 0
        data[at:at + SECTOR], data[other:other + SECTOR] = data[other:other + SECTOR], data[at:at + SECTOR]
    return bytes(data)


def header_value(rng, now, number):
    edges = (0, 1, now - 1, now + 1, now + 512, now ^ 0x80000000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff)
    return edges[number] & 0xffffffff if number < len(edges) else rng.getrandbits(32)


HEADER_NUMBERS = 10 + HEADER_RANDOM


def altered_header(image, rng, field, number):
    data = bytearray(image.with_cmdline(b"batch"))
    at = mkimage.C["HEADER_LBA"] * SECTOR + 4 * mkimage.Header._fields.index(field)
    now = struct.unpack_from("<I", data, at)[0]
    struct.pack_into("<I", data, at, header_value(rng, now, number))
    return bytes(data)


def random_entry(rng):
    """An entry that takes memory away, anywhere, of any length and any meaning but "usable"."""
    base = rng.choice((rng.randrange(MEM << 20), rng.randrange(1 << 20), rng.getrandbits(32), rng.getrandbits(64)))
    length = rng.choice((0, 1, rng.randrange(1 << 12), rng.randrange(1 << 20), rng.getrandbits(33), (1 << 64) - 1))
    return base, length, rng.choice((0, 2, 3, 4, 5, 7, rng.getrandbits(32) | 2)), rng.choice((0, 1, 1, 1, 3))


REAL = ((0, 0x9fc00), (0x100000, (MEM << 20) - 0x20000))  # what QEMU's firmware calls usable, start and end


def usable_entry(rng, whole):
    """An entry of memory that is there: all of a range, or a piece of it."""
    start, end = rng.choice(REAL)
    if whole or rng.random() < 0.5:
        return start, end - start, 1, 1
    start = rng.randrange(start, end)
    return start, rng.randrange(end - start + 1), 1, rng.choice((0, 1, 1, 1))


def random_map(rng):
    entries = [usable_entry(rng, False) for _ in range(rng.choice((0, 0, 1, 3, 20)))]
    entries += [random_entry(rng) for _ in range(rng.choice((0, 1, 2, 5, 40, 100)))]
    if rng.random() < 0.8:  # mostly there is something to boot with, under all the rest
        entries += [(start, end - start, 1, 1) for start, end in REAL]
    rng.shuffle(entries)
    return entries


EFLAGS_FREE = 0xcd5  # carry, parity, adjust, zero, sign, direction, overflow


def altered_map(image, stub, rng):
    odd = Firmware(entries=random_map(rng), flags=rng.choice(((), (), ("BYTES_20",), ("END_BY_CARRY",), ("ENDLESS",))))
    return with_firmware(image.with_cmdline(b"batch"), odd, stub)


def random_pokes(rng):
    """What firmware that takes the disk for a FAT volume writes into the sector: a geometry, a block number, a drive's
    number, each where some kind of FAT has it."""
    places = {0x18: 2, 0x1a: 2, 0x1c: 4, 0x24: 1, 0x40: 1}
    return {at: rng.randbytes(size) for at, size in places.items() if rng.random() < 0.5}


def altered_entry(image, stub, rng):
    odd = Firmware(registers=[rng.getrandbits(32) for _ in range(8)], eflags=2 | rng.getrandbits(12) & EFLAGS_FREE,
                   segments=(rng.getrandbits(16), rng.getrandbits(16)), flags=rng.choice(((), ("START_AT_7C0",))),
                   drive=rng.choice((None, None, 0)), pokes=random_pokes(rng))
    return with_firmware(image.with_cmdline(b"batch"), odd, stub)


# Words that are wrong, each with what the kernel's line about it holds.
WRONG = [(b"demo=maybe", "demo"), (b"demo=", "demo"), (b"demo", "demo"), (b"heap=panicked", "heap"), (b"heap", "heap"),
         (b"sizes=16,8", "sizes"), (b"sizes=0", "sizes"), (b"sizes=16;32", "sizes"),
         (b"sizes=" + b"16," * 60, "sizes"), (b"sizes", "sizes"), (b"hz=0", "hz"), (b"hz=18", "hz"),
         (b"hz=10001", "hz"), (b"hz=4294967396", "hz"), (b"hz=-100", "hz"), (b"hz=1e3", "hz"), (b"hz", "hz"),
         (b"soak=", "soak"), (b"soak=x", "soak"), (b"soak=1,65", "soak"), (b"soak=99999999999", "soak"),
         (b"bugs=0", "bugs"), (b"bugs=1,", "bugs"), (b"selftest=", "selftest"), (b"selftest=panics", "selftest"),
         (b"bench=1", "bench"), (b"progress=yes", "progress"), (b"guard=", "guard"),
         (b"Batch", "unknown option 'Batch'"), (b"batchbatch", "unknown option"), (b"=", "unknown option"),
         (b"==batch", "unknown option"), (b"-h", "unknown option '-h'"), (b"%s%n%p", "unknown option")]


def random_word(rng):
    alphabet = rng.choice((bytes(range(1, 256)), b"abc=\"", bytes(range(33, 127)), b"\x7f\x80\xff\x1b[2J\x08\x0d"))
    return bytes(rng.choice(alphabet) for _ in range(rng.randrange(1, rng.choice((4, 40, 400)))))


def random_cmdline(rng):
    """A command line, and what the kernel must say of it (texts that its lines about it hold)."""
    text, must = b"", []
    if rng.random() < 0.5:
        for word, said in rng.sample(WRONG, rng.randrange(1, 7)):
            if len(text) + len(word) < 490:
                text += word + rng.choice((b" ", b"\t", b"  \n", b"\r"))
                must.append(said)
    else:
        text = b" ".join(random_word(rng) for _ in range(rng.randrange(1, 12)))[:490]
        text = text.replace(b"\0", b" ")
    if text.count(b'"') % 2:
        text += b'"'  # or the quote would take in what follows, and that ends the run
    if rng.random() < 0.05:
        rest = bytes(rng.choice(b"abcdefgh =,\t\x01\xfe") for _ in range(504))  # up to the last byte: no NUL
        return b'batch "' + rest, ["a quote is not closed"]
    return text + b" batch", must


def altered_cmdline(image, rng):
    return image.with_cmdline(random_cmdline(rng)[0])


def case_rng(seed, name):
    return random.Random(f"{seed}:{name}")


def build(image, stub, seed, name):
    """The altered image of a case."""
    rng = case_rng(seed, name)
    family, *rest = name.split(":")
    if family == "sector":
        return altered_sector(image, rng, int(rest[0]), rest[1])
    if family == "header":
        return altered_header(image, rng, rest[0], int(rest[1]))
    if family == "map":
        return altered_map(image, stub, rng)
    return altered_entry(image, stub, rng) if family == "entry" else altered_cmdline(image, rng)


def all_cases(image):
    names = {family: [f"{family}:{n}" for n in range(count)] for family, count in RANDOM_CASES.items()}
    names["sector"] = [f"sector:{lba}:{way}" for lba in range(image.sectors) for way in WAYS]
    names["header"] = [f"header:{field}:{n}" for field in mkimage.Header._fields for n in range(HEADER_NUMBERS)]
    return names


def sampled(names, count, image, rng):
    """About `count` cases: a share of each family, and of the sectors those with the boot code more often."""
    boot = [name for name in names["sector"] if 0 < int(name.split(":")[1]) < image.header.kernel_lba + 2]
    end = image.header.kernel_lba + -(-image.header.kernel_bytes // SECTOR)
    kernel = [name for name in names["sector"] if image.header.kernel_lba + 2 <= int(name.split(":")[1]) < end]
    share = {"header": names["header"], "map": names["map"], "cmdline": names["cmdline"], "boot": boot,
             "kernel": kernel, "entry": names["entry"]}
    weight = {"header": 4, "map": 4, "cmdline": 4, "boot": 4, "kernel": 3, "entry": 1}
    each = {part: max(1, count * weight[part] // sum(weight.values())) for part in share}
    return [name for part in share for name in rng.sample(share[part], min(each[part], len(share[part])))]


# ---- a run ------------------------------------------------------------------------------------------------------


def signed(data):
    return data[510:512] == b"\x55\xaa"


def at_prompt(raw):
    return DEMO_PASSED.encode() in raw and raw.endswith(PROMPT.encode())


def read_console(process, timeout):
    """What the machine writes until it ends, waits at its prompt, or the time is over."""
    raw, end = b"", time.monotonic() + timeout
    while time.monotonic() < end:
        if select.select([process.stdout], [], [], 0.2)[0]:
            more = os.read(process.stdout.fileno(), 65536)
            if not more:
                return raw, False
            raw += more
        elif at_prompt(raw):
            return raw, False
    return raw, True


def boot(path, data, log):
    """Boots an image. Returns (the console's lines, exit status or None, timed out, what the firmware said)."""
    with open(path, "wb") as file:
        file.write(data)
    starts = signed(data)  # else the firmware will not start it, and says so on a port of its own; that takes it long
    command = emulator.qemu_command(path, MEM, icount=starts) + ["-serial", "stdio", "-monitor", "none"]
    if not starts:
        command += ["-boot", "reboot-timeout=1", "-chardev", f"file,id=log,path={log}",
                    "-device", "isa-debugcon,iobase=0x402,chardev=log"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, preexec_fn=cli.tied) as process:
        raw, late = read_console(process, TIMEOUT)
        waits = late or at_prompt(raw)
        if waits:
            process.kill()
        status = process.wait()
    firmware = ""
    if os.path.exists(log):
        with open(log, errors="replace", encoding="utf-8") as file:
            firmware = file.read()
        os.remove(log)
    return raw.decode("utf-8", "replace").replace("\r\n", "\n").split("\n"), None if waits else status, late, firmware


def refused_by_kernel(lines):
    return [line for line in lines if line.startswith("memory: refused: ") or line.startswith(MAP_PANICS)]


def judge(lines, status, late, firmware):
    """What came of a run, and whether it may."""
    text = [line for line in lines if line]
    last = text[-1] if text else ""
    if late:
        return Verdict("HANG", False)
    if status is None:
        return Verdict("demonstration, then the prompt", True)
    if status == 0 and "No bootable device" in firmware and not text:
        return Verdict("firmware: No bootable device", True)
    if len(text) == 1 and status == STATUS_FAILED and re.match(r"granary: \w", text[0]):
        return Verdict(text[0], True)
    reason = refused_by_kernel(text)
    if reason and status in (STATUS_FAILED, STATUS_PANIC):
        return Verdict(reason[0].split(" (")[0], True)
    if DEMO_PASSED in text and last == LAST_PASSED and status == STATUS_PASSED:
        return Verdict("demonstration", True)
    return Verdict(fault(text, status), False)


def fault(text, status):
    """A word for an end that must not be."""
    panics = [line for line in text if line.startswith("panic:")]
    if panics:
        return "PANIC: " + panics[0][7:80]
    if status == 0:
        return "RESET" + (" after: " + text[-1][:60] if text else ", nothing said")
    if not text:
        return f"SILENCE, exit status {status}"
    return f"NO LAST LINE, exit status {status}: " + text[-1][:60]


def judge_cmdline(name, seed, lines, verdict):
    """Beside the rest: each wrong word is named, or counted where there are more than eight."""
    if not name.startswith("cmdline:") or not verdict.good:
        return verdict
    must = random_cmdline(case_rng(seed, name))[1]
    said = [line for line in lines if line.startswith("cmdline: ")]
    missing = [text for text in must if not any(text in line for line in said)]
    if missing and not (len(said) > 8 and said[-1].endswith(" more")):
        return Verdict("SILENT ABOUT " + missing[0], False)
    return verdict


def is_unguarded(name):
    return name.startswith("sector:0:")


class Runner:
    """Runs cases with one image, in a folder of its own."""

    def __init__(self, image, stub, seed, folder):
        self.image, self.stub, self.seed, self.folder = image, stub, seed, folder

    def run(self, name):
        """Returns (name, verdict, the console's lines, seconds)."""
        start = time.monotonic()
        path = os.path.join(self.folder, name.replace(":", "-") + ".img")
        try:
            lines, *ending = boot(path, build(self.image, self.stub, self.seed, name), path + ".log")
        finally:
            if os.path.exists(path):
                os.remove(path)
        verdict = judge_cmdline(name, self.seed, lines, judge(lines, *ending))
        return name, verdict, lines, time.monotonic() - start


# ---- all of it --------------------------------------------------------------------------------------------------


def table(counts):
    """Lines: how often each family came to each outcome."""
    rows = []
    for family in FAMILIES + ("sector 0",):
        for (of, outcome), count in sorted(counts.items(), key=lambda item: -item[1]):
            if of == family:
                rows.append(f"{count:6}  {family:8}  {outcome}")
    return rows


def repeat(options, name):
    image = shlex.quote(options.image)
    return f"/usr/bin/python3 tools/bootfuzz.py --image {image} --seed {options.seed} --case {name}"


def run_all(options, names, runner):
    counts, failed, started, done = Counter(), [], time.monotonic(), 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name, verdict, _, _ in pool.map(runner.run, names):
            done += 1
            unguarded = is_unguarded(name)
            counts["sector 0" if unguarded else name.split(":")[0], verdict.outcome] += 1
            if not verdict.good and not unguarded:
                failed.append(name)
                print(f"bootfuzz: {name}: {verdict.outcome}\n    {repeat(options, name)}", flush=True)
            if options.progress and done % 100 == 0:
                print(f"bootfuzz: {done} of {len(names)}", file=sys.stderr, flush=True)
    print("\n".join(table(counts)))
    print(f"bootfuzz: seed {options.seed}, {len(names)} images in {time.monotonic() - started:.0f} s")
    print(f"bootfuzz: {len(names) - len(failed)} passed, {len(failed)} failed", flush=True)
    return 1 if failed or not names else 0


def show_case(options, runner):
    name, verdict, lines, seconds = runner.run(options.case)
    print("\n".join(lines))
    print(f"bootfuzz: {name}, seed {options.seed}: {verdict.outcome} ({seconds:.1f} s)")
    return 0 if verdict.good else 1


def parse(argv):
    parser = cli.Parser(prog="bootfuzz.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--image", default="build/hd.img")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int, metavar="N", help="about N cases, some of every kind")
    parser.add_argument("--only", metavar="PREFIX", help="the cases whose names begin like this")
    parser.add_argument("--case", metavar="NAME", help="one case, with its console")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--progress", action="store_true", help="say how far it is")
    options = parser.parse_args(argv)
    if options.jobs < 1 or (options.sample is not None and options.sample < 1):
        parser.error("--jobs and --sample want a number above 0")
    return options


def main(argv):
    options = parse(argv)
    mkimage.C.update(mkimage.read_constants())
    image = Image(options.image)
    with cli.folder("bootfuzz") as folder:
        runner = Runner(image, assemble(image.sectors), options.seed, folder)
        names = all_cases(image)
        every = [name for family in FAMILIES for name in names[family]]
        if options.case:
            if options.case not in every:
                raise emulator.RunError(f"no case is named {options.case}")
            return show_case(options, runner)
        if options.sample:
            every = sampled(names, options.sample, image, random.Random(options.seed))
        return run_all(options, [name for name in every if name.startswith(options.only or "")], runner)


if __name__ == "__main__":
    sys.exit(cli.main(main, "bootfuzz"))
