#!/usr/bin/python3
"""pictures.py - makes the pictures of the documentation from real runs: `make pictures`.

    pictures.py [--build build] [--out docs/img] [--trace python] [--list] [NAME ...]

Without a NAME all of them. --list says what each shows; where it comes from, at the head of the file that draws
it. A run in QEMU counts instructions for time, so the same kernel gives the same files, byte for byte.

Exit status: 0 all made, 1 one could not be made, 2 wrong use or something is missing.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tools")]

import cli  # noqa: E402 (the line above makes it findable)

TRACE = "python"  # the longest of tests/traces: what the documentation shows

# name: what it shows, which part of this folder draws it from what
PICTURES = {
    "memory-map": ("physical memory, and the addresses it is seen at", "memorymap", "draw", "demo"),
    "arena": ("an arena's record and its blocks", "inside", "arena", "demo"),
    "free": ("what one sys_free changes", "inside", "free", "demo"),
    "frames": ("the first frames of the kernel pool", "inside", "frames", "demo"),
    "calls": ("a sys_malloc and a sys_free, instruction by instruction", "calls", "draw", "demo"),
    "page-walk": ("from an address to its byte, entry by entry", "calls", "page_walk", "demo"),
    "fragmentation": ("memory over the life of a trace: asked for, in blocks, in frames", "traces", "fragmentation",
                      "samples"),
    "classes": ("what the two tables of block sizes lose, by size", "traces", "classes", "samples"),
    "latency": ("instructions of every call of a trace", "traces", "latency", "kernel"),
    "demo": ("screenshot: the demonstration", "shots", "demo", "screen"),
    "map": ("screenshot: the command `map`", "shots", "map_command", "screen"),
}


class Sources:
    """What the pictures are drawn from, each got once, when the first picture wants it."""

    def __init__(self, build, trace):
        self.build, self.trace, self.got = build, trace, {}

    def demo(self):
        import booted
        if "demo" not in self.got:
            self.got["demo"] = booted.look("demo", self.build, "batch")
        return (self.got["demo"],)

    def samples(self):
        import traces
        if "samples" not in self.got:
            program = os.path.join(self.build, "host", "pictures", "sample")
            self.got["samples"] = {table: traces.sample(program, self.trace, table) for table in traces.TABLES}
        return self.got["samples"], self.trace

    def kernel(self):
        return self.build, self.trace

    def screen(self):
        return (self.build,)


def make(names, build, folder, trace):
    """Makes the pictures; returns how many could not be."""
    import importlib

    import style
    os.makedirs(folder, exist_ok=True)
    sources, failed = Sources(build, trace), 0
    with style.pyplot.rc_context(style.SETTINGS):
        for name in names:
            _, part, function, source = PICTURES[name]
            try:
                path = getattr(importlib.import_module(part), function)(*getattr(sources, source)(), folder)
                print(f"{path}: {os.path.getsize(path)} bytes")
            except style.Problem as error:
                print(f"pictures: {name}: {error}", file=sys.stderr)
                failed += 1
    return failed


def parse(argv):
    parser = cli.Parser(prog="pictures.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a picture; all of them if none is named")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="where make has put the kernel")
    parser.add_argument("--out", default=os.path.join(ROOT, "docs", "img"), help="where the pictures go")
    parser.add_argument("--trace", default=TRACE, help="a trace of tests/traces, or a file")
    parser.add_argument("--list", action="store_true", help="says which pictures there are")
    opt = parser.parse_args(argv)
    for name in opt.names:
        if name not in PICTURES:
            parser.error(f"no picture {name}: there are {', '.join(PICTURES)}")
    return opt


def main(argv):
    opt = parse(argv)
    if opt.list:
        for name, (words, *_) in PICTURES.items():
            print(f"{name:14} {words}")
        return 0
    try:
        return 1 if make(opt.names or list(PICTURES), opt.build, opt.out, opt.trace) else 0
    except ImportError as error:
        raise cli.RunError(str(error)) from None


if __name__ == "__main__":
    sys.exit(cli.main(main, "pictures"))
