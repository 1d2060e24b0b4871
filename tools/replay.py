#!/usr/bin/python3
"""replay.py - replays a recorded program's allocations in the kernel, and shows what it says of them.

    replay.py TRACE [--classes "16 32 48"] [--mem MIB] [--cpus N] [--emulator qemu|bochs] [--image FILE]

TRACE is a trace as kernel/measure/trace_format.h describes it, packed with xz or not. It is written, padded to whole
sectors, to a file that the emulator takes as its second disk. The header is looked at here, so that a wrong file
costs no boot; every operation is checked by the kernel. QEMU runs with -icount shift=0, so that what the kernel counts
is instructions, and the same in each run; in Bochs they are its own ticks. With several processors (--cpus) all of them
replay the trace at the same time (kernel/measure/together.h); Bochs lets its processors go in step, so that a call's
figure is what it takes with the others at work.

The exit status is 0 if the kernel passed, 2 for a wrong trace or wrong use, else what run.py says.
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)
import emulator as emu  # noqa: E402
import traceformat as fmt  # noqa: E402

TOOLS = os.path.dirname(os.path.abspath(__file__))
PYTHON = sys.executable

SECTOR_BYTES = 512

# Lines of the kernel's console that a user of this command wants to see.
SHOWN = re.compile(r"(replay|table|panic|heap|heap check|cmdline|memory: refused|    at)\b")

# The kernel's own needs beside the trace, see kernel/measure/replay.c: bytes for a slot, for the histogram.
SLOT_BYTES = 8
HISTOGRAM_BYTES = 65536 * 4
MEM_LEAST = 32  # MiB


def default_mem(trace, cpus=1):
    """MiB that do for a trace: its peak and three quarters more, for each processor, the replay's own memory, and twice
    all that, because the kernel's pool is half of the memory."""
    each = trace.peak + trace.peak // 4 * 3 + trace.slots * SLOT_BYTES
    need = 2 * (cpus * each + len(fmt.to_bytes(trace)) + HISTOGRAM_BYTES) + (16 << 20)
    return max(MEM_LEAST, -(-need // (32 << 20)) * 32)


def parse_mem(text):
    try:
        return int(text)
    except ValueError:
        raise fmt.TraceError(f"MEM={text} is not a number of MiB") from None


def kernel_args(opt, trace_path):
    words = ["batch", f"replay={fmt.trace_name(trace_path)}"] + (["together demo=no"] if opt.cpus > 1 else [])
    classes = re.split(r"[\s,]+", opt.classes.strip(" \t,"))
    if classes != [""]:
        words.append("classes=" + ",".join(classes))
    if sys.stdout.isatty():
        words.append("progress")
    return " ".join(words)


def timeout(opt, trace):
    """Seconds that no good run comes near: measured were 15 us an operation in QEMU, 60 in Bochs."""
    return 120 + fmt.operation_count(trace) * opt.cpus * (0.0006 if opt.emulator == "bochs" else 0.0002)


class Filter:
    """Lets the kernel's lines about the replay through, and the progress that comes between carriage returns."""

    def __init__(self, show_all):
        self.show_all = show_all
        self.text = ""

    def feed(self, text):
        # The last piece has not ended yet; nor has a "\r" whose "\n" may be on its way.
        pieces = re.split(r"(\r\n|\n|\r(?!$))", self.text + text)
        self.text = pieces.pop()
        for piece, end in zip(pieces[::2], pieces[1::2]):
            self.show(piece, "\r" if end == "\r" else "\n")

    def show(self, piece, end):
        if end == "\r" or self.show_all or SHOWN.match(piece) or not piece.strip() and sys.stdout.isatty():
            sys.stdout.write(piece + end)
            sys.stdout.flush()

    def close(self):
        if self.text.strip():
            self.show(self.text.rstrip("\r"), "\n")


def boot(opt, trace, disk):
    """Runs the kernel on the trace; returns run.py's exit status."""
    mem = parse_mem(opt.mem) if opt.mem else default_mem(trace, opt.cpus)
    command = [PYTHON, os.path.join(TOOLS, "run.py"), "--emulator", opt.emulator, "--image", opt.image,
               "--mem", str(mem), "--cpus", str(opt.cpus), "--disk2", disk, "--args", kernel_args(opt, opt.trace),
               "--timeout", str(timeout(opt, trace))]
    if opt.emulator == "qemu":
        command.append("--icount")
    shown = Filter(opt.all)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=cli.tied) as run:
        try:
            while text := os.read(run.stdout.fileno(), 65536):
                shown.feed(text.decode("utf-8", "replace"))
        finally:
            cli.stop(run)
    shown.close()
    return run.returncode


def parse(argv):
    parser = cli.Parser(prog="replay.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("trace", metavar="TRACE", help="a trace, packed with xz or not")
    parser.add_argument("--classes", default="", metavar="SIZES", help='block sizes: seed, fine or "16 32 48 ..."')
    parser.add_argument("--mem", default="", metavar="MIB", help="the machine's memory; default: what the trace wants")
    parser.add_argument("--cpus", type=int, default=1, metavar="N", help="replay it on so many processors at once")
    parser.add_argument("--first", type=int, metavar="N", help="only its first N operations")
    parser.add_argument("--emulator", choices=sorted(emu.PROGRAM), default="qemu")
    parser.add_argument("--image", default="build/hd.img")
    parser.add_argument("--all", action="store_true", help="show the whole console")
    return parser.parse_args(argv)


def main(argv):
    opt = parse(argv)
    if not opt.trace:
        raise fmt.TraceError("no trace given: make replay TRACE=file.mtrace[.xz]")
    trace = fmt.load(opt.trace)
    if opt.first is not None:
        trace = fmt.first(trace, opt.first)
    with cli.folder("replay") as folder:
        disk = os.path.join(folder, "trace.img")
        with open(disk, "wb") as file:
            data = fmt.to_bytes(trace)
            file.write(data + bytes(-len(data) % SECTOR_BYTES))
        return boot(opt, trace, disk)


if __name__ == "__main__":
    sys.exit(cli.main(main, "replay"))
