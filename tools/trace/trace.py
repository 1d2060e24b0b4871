#!/usr/bin/python3
"""trace.py - records what a program allocates, and makes, shows and checks such traces.

    trace.py record -o my.mtrace.xz -- program arguments...
    trace.py dump my.mtrace.xz [--limit N] [--stats]
    trace.py check FILE...
    trace.py generate SHAPE -o FILE [--ops N] [--seed S] [--live L]
    trace.py convert LOG FILE
    trace.py events RECORDS [FILE] [--limit N]

docs/traces.md says what for. The status is 0 if all went well, 2 for wrong use or a wrong file, with one line on
stderr; `record` ends with the program's own status if the recording is good.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tools")]

import cli  # noqa: E402 (the line above makes it findable)
import eventlog  # noqa: E402
import rawlog  # noqa: E402
import report  # noqa: E402
import shapes  # noqa: E402
import traceformat as fmt  # noqa: E402
from traceformat import TraceError  # noqa: E402

LIBRARIES = {4: ("recorder32", "mtrace-record32.so"), 8: ("recorder", "mtrace-record.so")}  # by bytes of a pointer
PATIENCE = 1_000_000  # records: ten seconds and more
OPERATIONS_MOST = 100_000_000  # of a made trace: 800 MB of memory


def say(text):
    """To stderr: stdout belongs to the program that is recorded."""
    print(f"trace: {text}", file=sys.stderr)


# ---- record ---------------------------------------------------------------------------------------

Log = namedtuple("Log", "path pid program count stopped")


def find_program(name):
    path = shutil.which(name)
    if not path:
        raise TraceError(f"{name}: " + ("not a program" if os.path.exists(name) else "no such program"))
    return path


def word_bytes(program):
    """Bytes of a pointer in a program. What is no ELF file is a script: its interpreter is the machine's own."""
    try:
        with open(program, "rb") as file:
            start = file.read(5)
    except OSError:  # may be run, but not read
        return 8
    return 4 if start == b"\x7fELF\1" else 8


def build_library(build, program):
    """The recorder for a program, up to date."""
    target, name = LIBRARIES[word_bytes(program)]
    # What a make above us wants is not what this one is to do.
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "--no-print-directory", "-s", "-C", ROOT, f"BUILD={build}", target], env=env,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise TraceError(f"the recorder does not build: make {target}")
    return os.path.join(ROOT, build, "host", name)


def run_recorded(command, program, library, folder):
    """Runs a program with its logs in `folder`; returns its status as a shell would say it."""
    # A link in a folder of ours: the linker takes a blank or a colon in LD_PRELOAD for the end of a name.
    link = os.path.join(folder, "mtrace-record.so")
    os.symlink(os.path.abspath(library), link)
    more = os.environ.get("LD_PRELOAD")
    env = dict(os.environ, MTRACE_LOG=os.path.join(folder, "log"), LD_PRELOAD=f"{link}:{more}" if more else link)
    try:
        with subprocess.Popen(command, executable=program, env=env) as child:
            # Ctrl-C is meant for the program; what it recorded until then is wanted.
            old = signal.signal(signal.SIGINT, signal.SIG_IGN)
            status = child.wait()
            signal.signal(signal.SIGINT, old)
    except OSError as error:
        raise TraceError(f"{program}: cannot be run: {error.strerror}") from None
    return child.pid, status if status >= 0 else 128 - status


def find_logs(folder):
    """Every log that has something to say, the longest first."""
    logs = []
    for name in os.listdir(folder):
        if name.endswith(".raw"):
            path = os.path.join(folder, name)
            try:
                header = rawlog.read_header(path)
            except TraceError:
                continue  # killed while it wrote its header: it had nothing to say yet
            logs.append(Log(path, header.pid, os.path.basename(header.program), rawlog.count_records(path),
                            header.stopped))
    return sorted((log for log in logs if log.count or log.stopped), key=lambda log: (-log.count, log.path))


def save_log(log, path, largest):
    """Makes a trace of a log, and says what became of it."""
    if log.count > PATIENCE:
        say(f"{log.program}: {log.count} records: this takes a while")
    trace, counts = rawlog.convert(log.path, largest)
    fmt.save(path, trace)
    more = "".join(f"; {text}" for text in counts.words())
    say(f"{path}: {log.program}: {report.header_line(trace)}{more}")
    if log.stopped:
        say(f"note: {log.program}'s log ends early: {os.strerror(log.stopped)} (TMPDIR names another folder for logs)")


def numbered(path, log):
    """my.mtrace.xz -> my-cc1-1234.mtrace.xz"""
    folder, name = os.path.split(path)
    stem, dot, ending = name.partition(".mtrace")
    return os.path.join(folder, f"{stem}-{log.program}-{os.path.basename(log.path).split('.')[1]}{dot}{ending}")


def choose(logs, pid, program):
    """The logs wanted: of the named program, or of the process that was started; the longest of them first."""
    if program:
        chosen = [log for log in logs if log.program == program]
        there = ", ".join(sorted({log.program for log in logs})) or "none"
        if not chosen:
            raise TraceError(f"no program {program} was recorded; there were: {there}")
    else:
        chosen = [log for log in logs if log.pid == pid]
        if not chosen:
            raise TraceError("nothing was recorded: the program is linked statically, is set-uid or has other word "
                             "sizes, or allocates nothing" + (" (its children do: --all)" if logs else ""))
    return chosen


def record(opt):
    command = opt.command[1:] if opt.command[:1] == ["--"] else opt.command
    if not command:
        raise TraceError("record what? trace.py record -o my.mtrace.xz -- program arguments...")
    folder = os.path.dirname(os.path.abspath(opt.output))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):  # before the program has run for an hour
        raise TraceError(f"{opt.output}: {folder} is no folder one can write to")
    program = find_program(command[0])
    library = opt.library or build_library(opt.build, program)
    if not os.path.isfile(library):
        raise TraceError(f"{library}: no such library")
    with cli.folder("record") as logs_folder:
        pid, status = run_recorded(command, program, library, logs_folder)
        logs = find_logs(logs_folder)
        if opt.all:
            if not logs:
                raise TraceError("nothing was recorded: only static programs, or none that allocates")
            for log in logs:
                save_log(log, numbered(opt.output, log), opt.largest)
            return status
        chosen = choose(logs, pid, opt.program)
        save_log(chosen[0], opt.output, opt.largest)
    others = [log for log in logs if log is not chosen[0]]
    if others:
        say(f"note: {len(others)} more recorded, the longest {others[0].program} with {others[0].count} operations; "
            "--all writes them, --program NAME takes another")
    return status


# ---- the other commands ---------------------------------------------------------------------------

def convert(opt):
    header = rawlog.read_header(opt.log)
    count = rawlog.count_records(opt.log)
    log = Log(opt.log, header.pid, os.path.basename(header.program), count, header.stopped)
    save_log(log, opt.output, opt.largest)
    return 0


def events(opt):
    if opt.output is None:
        head, found = eventlog.load(opt.records)
        print(f"{opt.records}: {len(found)} heap calls, heap {head.heap_base:#x}, {head.heap_bytes // 4096} frames")
        for line in eventlog.lines(found, opt.limit):
            print(line)
        return 0
    if opt.limit is not None:
        raise TraceError("--limit is for a list of the records, not for a trace")
    trace, words = eventlog.convert(opt.records)
    fmt.save(opt.output, trace)
    say(f"{opt.output}: {report.header_line(trace)}" + "".join(f"; {text}" for text in words))
    return 0


def dump(opt):
    if opt.stats and opt.limit is not None:
        raise TraceError("--limit is for operations, --stats counts all of them: one or the other")
    trace = fmt.load(opt.file)
    fmt.check(opt.file, trace)
    print(f"{opt.file}: {report.header_line(trace)}")
    lines = report.stats_lines(trace) if opt.stats else report.operation_lines(trace, opt.limit)
    for line in lines:
        print(line)
    return 0


def check(opt):
    status = 0
    for path in opt.files:
        try:
            trace = fmt.load(path)
            fmt.check(path, trace)
            print(f"{path}: good: {report.header_line(trace)}")
        except TraceError as error:
            say(error)
            status = 2
    return status


def generate(opt):
    trace = shapes.generate(opt.shape, opt.ops, opt.seed, opt.live)
    fmt.check(opt.output, trace)
    fmt.save(opt.output, trace)
    print(f"{opt.output}: {opt.shape}: {report.header_line(trace)}")
    return 0


# ---- the command line -----------------------------------------------------------------------------

def number(low, high):
    def parse(text):
        try:
            value = int(text, 0)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value
    return parse


def add_largest(parser):
    parser.add_argument("--largest", type=number(1, fmt.SIZE_MAX), default=fmt.SIZE_MAX, metavar="BYTES",
                        help="areas above this are left out (default: the format's 4 GiB - 1)")


def make_parser():
    parser = cli.Parser(prog="trace.py", description="records what a program allocates; makes, shows, checks traces")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def command(name, function, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=function)
        return sub

    sub = command("record", record, "run a program and write down what it allocates")
    sub.add_argument("-o", dest="output", required=True, metavar="FILE", help=".mtrace, or .mtrace.xz: packed")
    sub.add_argument("--all", action="store_true", help="a trace of every process: FILE-PROGRAM-PID-N")
    sub.add_argument("--program", metavar="NAME", help="take the longest log of this program, say cc1 under gcc")
    sub.add_argument("--build", default="build", metavar="DIR", help="where `make` builds the recorder")
    sub.add_argument("--library", metavar="FILE", help="a recorder that is built already")
    add_largest(sub)
    sub.add_argument("command", nargs=argparse.REMAINDER, metavar="-- program arguments...")

    sub = command("dump", dump, "show a trace's operations, or figures about them")
    sub.add_argument("file")
    sub.add_argument("--limit", type=number(0, fmt.OPERATIONS_MAX), metavar="N", help="no more than N operations")
    sub.add_argument("--stats", action="store_true", help="sizes, lifetimes, peak instead of operations")

    sub = command("check", check, "say whether traces are good, as the kernel would")
    sub.add_argument("files", nargs="+", metavar="FILE")

    sub = command("generate", generate, "make a trace of a shape: " + ", ".join(shapes.SHAPES))
    sub.add_argument("shape", choices=shapes.SHAPES, metavar="SHAPE")
    sub.add_argument("-o", dest="output", required=True, metavar="FILE")
    sub.add_argument("--ops", type=number(1, OPERATIONS_MOST), default=100_000, metavar="N", help="operations")
    sub.add_argument("--seed", type=number(0, (1 << 64) - 1), default=1, metavar="S")
    sub.add_argument("--live", type=number(1, 10_000_000), metavar="L", help="about how many blocks are live")

    sub = command("convert", convert, "make a trace of a recorder's log")
    sub.add_argument("log")
    sub.add_argument("output", metavar="FILE")
    add_largest(sub)

    sub = command("events", events, "make a trace of the records that a kernel wrote with events=com2, or list them")
    sub.add_argument("records")
    sub.add_argument("output", metavar="FILE", nargs="?", help="without it, the records are listed")
    sub.add_argument("--limit", type=number(0, fmt.OPERATIONS_MAX), metavar="N", help="list no more than N")
    return parser


def main(argv):
    try:
        opt = make_parser().parse_args(argv)
        return opt.run(opt)
    except MemoryError:
        raise cli.RunError("not enough memory for a trace of this size") from None


if __name__ == "__main__":
    sys.exit(cli.main(main, "trace"))
