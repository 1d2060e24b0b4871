#!/usr/bin/python3
"""pictures.py - makes the pictures of the documentation from real runs: `make pictures`.

    pictures.py [--build build] [--out docs/img] [--trace python] [--check] [--list] [NAME ...]
    pictures.py --events FILE --out FOLDER        of a run's own records: docs/events.md

Without a NAME all of them. --list says what each shows; where it comes from, at the head of the file that draws
it. A run in QEMU counts instructions for time, so the same kernel gives the same files, byte for byte.

A picture is drawn from its facts alone, and carries them (style.py). --check draws nothing: it gets the facts of a new
run and says which pictures state others. A kernel made by another compiler has other instructions and addresses; then
those pictures are not compared, and a line says so.

Exit status: 0 all made, or up to date; 1 one could not be made, or states something else; 2 wrong use or something is
missing.
"""

import importlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tools")]

import cli  # noqa: E402 (the line above makes it findable)

TRACE = "python"  # the longest of tests/traces: what the documentation shows

# name: what it shows, what it is drawn from (a method of Sources), the module that has NAME_facts() and NAME()
PICTURES = {
    "memory-map": ("physical memory, and the addresses it is seen at", "demo", "memorymap"),
    "arena": ("an arena's record and its blocks", "demo", "inside"),
    "free": ("what one sys_free changes", "demo", "inside"),
    "hands": ("what a free on another processor changes", "two", "inside"),
    "frames": ("the first frames of the kernel pool", "demo", "inside"),
    "calls": ("a sys_malloc and a sys_free, instruction by instruction", "demo", "calls"),
    "page-walk": ("from an address to its byte, entry by entry", "demo", "calls"),
    "space": ("the addresses of a program", "program", "space"),
    "fragmentation": ("memory over the life of a trace: asked for, in blocks, in frames", "samples", "traces"),
    "classes": ("what the two tables of block sizes lose, by size", "samples", "traces"),
    "latency": ("instructions of every call of a trace", "replay", "traces"),
    "demo": ("screenshot: the demonstration", "screen", "shots"),
    "map": ("screenshot: the command `map`", "screen", "shots"),
}
# Of a file of records: what of the above a trace is enough for, and what only records tell.
EVENTS_PICTURES = {
    "events": ("which bytes lived where over a recorded run, and who called", "records", "recorded"),
    "fragmentation": PICTURES["fragmentation"],
    "classes": PICTURES["classes"],
}


class Sources:
    """What the pictures are drawn from, each got once, when the first picture wants it. `events`: a file of records,
    and `folder` where the trace of them goes."""

    def __init__(self, build, trace, events=None, folder=None):
        self.build, self.trace, self.got = build, trace, {}
        self.events, self.folder = events, folder

    def once(self, name, get):
        if name not in self.got:
            self.got[name] = get()
        return self.got[name]

    def demo(self):
        import booted
        return self.once("demo", lambda: booted.look("demo", self.build, "batch"))

    def two(self):
        import booted
        return self.once("two", lambda: booted.look("two", self.build, "batch demo=no scene=another-processor-frees",
                                                    cpus=2))

    def program(self):
        import booted
        return self.once("program", lambda: booted.look("space", self.build, "batch demo=no run=heapdemo"))

    def samples(self):
        import traces
        program = os.path.join(self.build, "host", "pictures", "sample")
        if self.events:
            import recorded
            self.trace = self.once("trace", lambda: recorded.trace_of(self.events, self.folder))
        return self.once("samples", lambda: traces.samples(program, self.trace))

    def replay(self):
        import traces
        return self.once("replay", lambda: traces.replayed(self.build, self.trace))

    def screen(self):
        return self.build

    def records(self):
        import recorded
        return self.once("records", lambda: recorded.load(self.events))


class Picture:
    def __init__(self, name, sources):
        _, source, part = {**PICTURES, **EVENTS_PICTURES}[name]
        self.name, self.sources, self.source = name, sources, source
        self.part, self.function = importlib.import_module(part), name.replace("-", "_")

    def stated(self):
        """What a picture of a new run states; with the compiler, where that matters."""
        import booted
        facts = getattr(self.part, self.function + "_facts")(getattr(self.sources, self.source)())
        compiler = None if self.source in ("samples", "records") else booted.compiler(self.sources.build)
        return {"compiler": compiler, "facts": facts}

    def make(self, folder):
        path = getattr(self.part, self.function)(self.stated(), folder)
        print(f"{path}: {os.path.getsize(path)} bytes")
        return True

    def check(self, folder):
        import style
        before, now = style.read_stated(folder, self.name), self.stated()
        if before == now:
            print(f"{self.name}: as the run")
            return True
        if before["compiler"] != now["compiler"]:
            print(f"{self.name}: of a kernel by {before['compiler']}, this one is by {now['compiler']}: not compared")
            return True
        difference = style.first_difference(before["facts"], now["facts"])
        print(f"pictures: {self.name} states other facts than the run: {difference}: make pictures makes it anew",
              file=sys.stderr)
        return False


def each(names, sources, folder, step):
    """Makes or checks the pictures; returns how many did not come out well."""
    import style
    failed = 0
    with style.pyplot.rc_context(style.SETTINGS):
        for name in names:
            try:
                failed += not getattr(Picture(name, sources), step)(folder)
            except style.Problem as error:
                print(f"pictures: {name}: {error}", file=sys.stderr)
                failed += 1
    return failed


def parse(argv):
    parser = cli.Parser(prog="pictures.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a picture; all of them if none is named")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="where make has put the kernel")
    parser.add_argument("--out", help="where the pictures go, without --events docs/img")
    parser.add_argument("--trace", default=TRACE, help="a trace of tests/traces, or a file")
    parser.add_argument("--events", metavar="FILE", help="pictures of this file of records: "
                        + ", ".join(EVENTS_PICTURES))
    parser.add_argument("--check", action="store_true", help="says which pictures state other facts than a new run")
    parser.add_argument("--list", action="store_true", help="says which pictures there are")
    opt = parser.parse_args(argv)
    there = EVENTS_PICTURES if opt.events else PICTURES
    if opt.events and not opt.out:
        parser.error("--events needs --out: docs/img is for the pictures of the documentation")
    opt.out = opt.out or os.path.join(ROOT, "docs", "img")
    for name in opt.names:
        if name not in there:
            parser.error(f"no picture {name}: there are {', '.join(there)}")
    opt.names = opt.names or list(there)
    return opt


def main(argv):
    opt = parse(argv)
    if opt.list:
        for name, (words, *_) in PICTURES.items():
            print(f"{name:14} {words}")
        return 0
    if not opt.check:
        os.makedirs(opt.out, exist_ok=True)
    try:
        with cli.folder("pictures") as folder:
            sources = Sources(opt.build, opt.trace, opt.events, folder)
            return 1 if each(opt.names, sources, opt.out, "check" if opt.check else "make") else 0
    except ImportError as error:
        raise cli.RunError(str(error)) from None


if __name__ == "__main__":
    sys.exit(cli.main(main, "pictures"))
