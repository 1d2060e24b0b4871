"""The trace tools: what the recorder writes down is what a program did, and nothing that is wrong goes by in silence.

tests/e2e/recorded/program.c says what it asked of the heap; its blocks' sizes leave 37 if divided by 64, so that the
C library's own are told apart.
"""

import collections
import lzma
import os
import re
import signal
import struct
import subprocess
import sys
import zlib

import pytest

from conftest import ROOT

# One worker for all: they share what the fixtures build.
pytestmark = pytest.mark.xdist_group("trace_tools")

HERE = os.path.dirname(os.path.abspath(__file__))
TOOL = os.path.join(ROOT, "tools", "trace", "trace.py")
OWN = os.path.join(ROOT, "tests", "traces")
OWN_TRACES = sorted(name for name in os.listdir(OWN) if name.endswith(".mtrace.xz"))
MALLOC, FREE, REALLOC, CALLOC = range(4)
TIMEOUT = 60  # seconds: a recorder that hangs must not hold up the tests

Done = collections.namedtuple("Done", "code out err")
Header = collections.namedtuple("Header", "operations slots peak")


def tool(*words, text=None, env=None, cwd=None):
    """Runs trace.py. Whatever it does, it shows no traceback."""
    done = subprocess.run([sys.executable, TOOL, *map(str, words)], input=text, capture_output=True, text=True,
                          timeout=TIMEOUT, check=False, env=dict(os.environ, **(env or {})), cwd=cwd)
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def read(path):
    """(header, [(kind, slot, size)]) of a trace, read without the tools."""
    with open(path, "rb") as file:
        data = file.read()
    if str(path).endswith(".xz"):
        data = lzma.decompress(data)
    magic, operations, slots, peak, reserved = struct.unpack_from("<8sIIQQ", data)
    assert (magic, reserved, len(data)) == (b"MTRACE1\0", 0, 32 + 8 * operations)
    return Header(operations, slots, peak), [(word >> 30, word & 0x3fffffff, size)
                                             for word, size in struct.iter_unpack("<II", data[32:])]


def own_figures(path):
    """What the trace says of the blocks whose sizes are the program's own, in the program's words."""
    count, live, total, peak = [0] * 4, {}, 0, 0
    for kind, slot, size in read(path)[1]:
        if kind == FREE:
            mine = slot in live
        else:
            mine = size % 64 == 37
            assert kind != REALLOC or mine == (slot in live)
        if mine:
            count[kind] += 1
            total += size - live.pop(slot, 0)
            if kind != FREE:
                live[slot] = size
            peak = max(peak, total)
    return (f"malloc={count[MALLOC]} free={count[FREE]} realloc={count[REALLOC]} calloc={count[CALLOC]} "
            f"peak={peak} live={total}\n")


def make_recorder(target, name):
    done = subprocess.run(["make", "--no-print-directory", "-s", target], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    return done, os.path.join(ROOT, "build", "host", name)


@pytest.fixture(scope="session")
def library():
    """build/host/mtrace-record.so, made if it is not there yet."""
    done, path = make_recorder("recorder", "mtrace-record.so")
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    return compile_program("gcc", os.path.join(tmp_path_factory.mktemp("recorded"), "program"))


def compile_program(compiler, to):
    source = os.path.join(HERE, "recorded", "program.c")
    # -fno-builtin: the compiler must not remove or merge calls it thinks it knows.
    subprocess.run([compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-pthread", source, "-o", to],
                   check=True)
    return to


@pytest.fixture
def record(library, tmp_path):
    """record(*words, options=()) records a command; returns what it said and the trace's path."""
    def run(*words, options=(), **more):
        path = tmp_path / "my.mtrace.xz"
        return tool("record", "--library", library, "-o", path, *options, "--", *words, **more), path
    return run


# ---- the recorder ---------------------------------------------------------------------------------

def test_every_way_to_allocate_from_four_threads(record, program):
    done, path = record(program, "threads")
    assert done.code == 0, done.err
    assert own_figures(path) == done.out
    assert re.fullmatch(rf"trace: {path}: program: \d+ operations, \d+ slots, peak \d+ bytes\n", done.err)
    assert tool("check", path).code == 0


def test_blocks_that_change_hands_between_threads(record, program):
    """An address that another thread gets before its free is written down would show as a free not seen."""
    done, path = record(program, "pass")
    assert done.code == 0, done.err
    assert "not seen" not in done.err and "unknown" not in done.err
    count = collections.Counter(kind for kind, _, size in read(path)[1] if kind == FREE or size == 37)
    # 64 blocks stay on the shelf; the libraries' own blocks are few
    assert count[MALLOC] == 160000 and 160000 - 64 <= count[FREE] <= 160000


def test_a_forked_child_has_its_own_log(record, program, tmp_path):
    done, path = record(program, "fork")
    assert done.code == 0 and own_figures(path) == done.out
    assert "note: 1 more recorded, the longest program with 10 operations" in done.err
    again, _ = record(program, "fork", options=["--all"])
    assert again.code == 0 and again.out == done.out
    assert len(re.findall(r"^trace: .*/my-program-\d+-0\.mtrace\.xz: program: ", again.err, re.MULTILINE)) == 2
    child = re.search(r"^trace: (\S+): program: 7 operations, 7 slots, peak 259 bytes; "
                      r"3 of unknown addresses left out$", again.err, re.MULTILINE)
    assert child and own_figures(child[1]) == "malloc=7 free=0 realloc=0 calloc=0 peak=259 live=259\n"


def test_a_process_that_becomes_another_program(record, program, tmp_path):
    """The longest log of the process is taken: what ran before was a wrapper. Here it is the other way round."""
    done, path = record(program, "exec")
    assert done.code == 0 and own_figures(path).startswith("malloc=500 ")
    assert "note: 1 more recorded, the longest program with " in done.err
    record(program, "exec", options=["--all"])
    found = sorted(own_figures(tmp_path / name).split()[0] for name in os.listdir(tmp_path) if name.startswith("my-"))
    assert found == ["malloc=5", "malloc=500"]


def test_a_killed_program_leaves_all_it_did(record, program):
    done, path = record(program, "kill")
    assert done.code == 128 + signal.SIGKILL
    assert own_figures(path).startswith("malloc=1000 free=0 ")


def test_the_program_sees_nothing_of_the_recorder(record, program):
    done, path = record(program, "unseen")
    assert done.code == 0 and done.out == "next descriptor 3\n"
    assert own_figures(path) == f"malloc=60000 free=30000 realloc=0 calloc=0 peak={30000 * 37} live={30000 * 37}\n"


def test_odd_calls(record, program):
    """Size 0 counts as 1, a call that fails leaves no trace, an area above --largest none either."""
    done, path = record(program, "odd", options=["--largest", "1000000"])
    assert done.code == 0 and done.out == "odd\n"
    assert done.err.rstrip().endswith("; 2 areas too large left out; 2 of size 0 made 1")
    assert max(size for _, _, size in read(path)[1]) < 1000000
    record(program, "odd")
    assert [(kind, size) for kind, _, size in read(path)[1] if size > 1000000] == [(MALLOC, 2000037),
                                                                                  (REALLOC, 3000037)]


@pytest.mark.parametrize("command, text", [
    (["sort", "-r"], "b\na\nc\n" * 3000),
    (["perl", "-e", 'print STDERR "err\\n"; print reverse <>; exit 3'], "1\n2\n"),
    (["sh", "-c", "cat | tr a b; exit 4"], "banana\n"),
    (["sh", "-c", "kill -TERM $$"], ""),
])
def test_a_programs_output_and_status_stay_as_they_are(record, command, text):
    plain = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    done, path = record(*command, text=text)
    assert done.code == (plain.returncode if plain.returncode >= 0 else 128 - plain.returncode)
    assert done.out == plain.stdout
    assert "".join(line for line in done.err.splitlines(True) if not line.startswith("trace: ")) == plain.stderr
    assert tool("check", path).code == 0


def test_programs_by_name(record):
    command = ["sh", "-c", "echo b | sort; echo a | tr a b"]
    done, path = record(*command, options=["--program", "sort"])
    assert done.code == 0 and ": sort: " in done.err and path.exists()
    done, _ = record(*command, options=["--program", "emacs"])
    assert done.code == 2
    assert re.search(r"^trace: no program emacs was recorded; there were: .*sort, tr", done.err, re.MULTILINE)


def test_a_log_that_may_not_grow_ends_early_and_the_program_does_not(record, program):
    done, path = record("sh", "-c", f"ulimit -f 700; {program} unseen", options=["--program", "program"])
    assert done.code == 0 and done.out == "next descriptor 3\n"
    assert "trace: note: program's log ends early: File too large (TMPDIR names another folder for logs)" in done.err
    assert own_figures(path).startswith("malloc=")
    assert 0 < read(path)[0].operations < 60000


def test_the_recorder_builds_itself(program, tmp_path):
    done = tool("record", "-o", tmp_path / "a.mtrace", "--", program, "threads")
    assert done.code == 0 and own_figures(tmp_path / "a.mtrace") == done.out


@pytest.fixture
def recorder32():
    made, _ = make_recorder("recorder32", "mtrace-record32.so")
    assert made.returncode == 0, made.stderr


@pytest.mark.usefixtures("recorder32")
def test_a_program_of_32_bits(tmp_path, loader32):
    """It is the program that is started, not its loader, and has 32 bits."""
    program = compile_program("i686-linux-gnu-gcc", str(tmp_path / "program32"))
    done = tool("record", "-o", tmp_path / "a.mtrace", "--", loader32, "--library-path", os.path.dirname(loader32),
                program, "threads")
    assert done.code == 0, done.err
    assert own_figures(tmp_path / "a.mtrace") == done.out


def test_nothing_to_record(record, tmp_path):
    source = tmp_path / "static.c"
    source.write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", "-static", "-nostartfiles", "-Wl,-emain", "-x", "c", "-o", tmp_path / "static", "-"],
                   input="#include <unistd.h>\nint main(void) { _exit(0); }\n", text=True, check=True)
    done, path = record(tmp_path / "static")
    assert done.code == 2 and not path.exists()
    assert done.err == ("trace: nothing was recorded: the program is linked statically, is set-uid or has other word "
                        "sizes, or allocates nothing\n")


# ---- logs that no program has written -------------------------------------------------------------

def log(path, records, magic=b"MTRAWLG1", stopped=0):
    header = struct.pack("<8sIIi", magic, 1, 8, stopped) + b"/usr/bin/made"
    path.write_bytes(header.ljust(4096, b"\0") + b"".join(struct.pack("<QQQ", kind << 56 | size, old, new)
                                                          for kind, size, old, new in records) + bytes(2400))
    return path


M, F, R, C = range(1, 5)  # the log's kinds


def test_converting_what_a_trace_has_no_room_for(tmp_path):
    path = log(tmp_path / "l.raw", [
        (M, 100, 0, 0xa0),          # 0
        (F, 0, 0xdead, 0),          # unknown: left out
        (C, 0, 0, 0xb0),            # 1: 0 bytes
        (M, 50, 0, 0xa0),           # 2, 3: the first block's free was not seen
        (R, 300, 0xa0, 0xc0),       # 4
        (R, 400, 0xbeef, 0xd0),     # 5: of an unknown block, a malloc
        (R, 500, 0, 0xe0),          # 6: of NULL, likewise
        (M, 1 << 32, 0, 0xf0),      # too large
        (F, 0, 0xf0, 0),            # and its free
        (R, 1 << 33, 0xc0, 0xc0),   # 7: becomes too large
        (R, 70, 0xc0, 0xc0),        # 8: and small again
        (R, 5, 0xe0, 0xd0),         # 9, 10: to where the unknown block was
    ])
    done = tool("convert", path, tmp_path / "l.mtrace")
    assert done.code == 0, done.err
    assert done.err == (f"trace: {tmp_path}/l.mtrace: made: 11 operations, 4 slots, peak 1201 bytes; 2 of unknown "
                        "addresses left out; 2 frees not seen, put in; 2 areas too large left out; "
                        "1 of size 0 made 1\n")
    assert tool("dump", tmp_path / "l.mtrace").out.splitlines()[1:] == [
        " 0  malloc   slot 0  100",
        " 1  calloc   slot 1  1",
        " 2  free     slot 0  (100)",
        " 3  malloc   slot 0  50",
        " 4  realloc  slot 0  300  (was 50)",
        " 5  malloc   slot 2  400",
        " 6  malloc   slot 3  500",
        " 7  free     slot 0  (300)",
        " 8  malloc   slot 0  70",
        " 9  free     slot 2  (400)",
        "10  realloc  slot 3  5  (was 500)",
    ]


def test_a_cut_off_log_is_read_as_far_as_it_goes(tmp_path):
    path = log(tmp_path / "l.raw", [(M, 10, 0, address) for address in range(16, 1600, 16)])
    os.truncate(path, 4096 + 24 * 7 + 11)
    assert ": 7 operations, 7 slots, peak 70 bytes" in tool("convert", path, tmp_path / "l.mtrace").err


def test_a_log_that_ended_early_says_so(tmp_path):
    path = log(tmp_path / "l.raw", [(M, 10, 0, 16)], stopped=28)
    assert "note: made's log ends early: No space left on device" in tool("convert", path, tmp_path / "l.mtrace").err


@pytest.mark.parametrize("records, cut, magic, why", [
    ([], 4096, b"MTRACE1\0", "not a recorder's log: it does not start with MTRAWLG1"),
    ([], 0, b"", "not a recorder's log: it does not start with MTRAWLG1"),
    ([], 100, b"MTRAWLG1", "cut off inside the header"),
    ([(M, 1, 0, 16), (9, 1, 0, 32)], 9999, b"MTRAWLG1", "record 1: a record of kind 9, which there is none of"),
])
def test_false_logs(tmp_path, records, cut, magic, why):
    path = log(tmp_path / "l.raw", records, magic=magic)
    path.write_bytes(path.read_bytes()[:cut])
    assert tool("convert", path, tmp_path / "l.mtrace") == Done(2, "", f"trace: {path}: {why}\n")
    assert not (tmp_path / "l.mtrace").exists()


# ---- dump and check -------------------------------------------------------------------------------

def trace_bytes(operations, peak, slots=2, magic=b"MTRACE1\0", reserved=0, count=None):
    return struct.pack("<8sIIQQ", magic, len(operations) if count is None else count, slots, peak, reserved) + b"".join(
        struct.pack("<II", kind << 30 | slot, size) for kind, slot, size in operations)


TINY = [(MALLOC, 0, 24), (CALLOC, 1, 100), (REALLOC, 0, 48), (FREE, 1, 0), (MALLOC, 1, 16), (REALLOC, 0, 8)]
TINY_PEAK = 148

TINY_DUMP = """\
tiny.mtrace: 6 operations, 2 slots, peak 148 bytes
0  malloc   slot 0  24
1  calloc   slot 1  100
2  realloc  slot 0  48  (was 24)
3  free     slot 1  (100)
4  malloc   slot 1  16
5  realloc  slot 0  8  (was 48)
"""

TINY_STATS = """\
tiny.mtrace: 6 operations, 2 slots, peak 148 bytes
malloc 2  free 1  realloc 2  calloc 1
reallocs: grows 1  shrinks 1
peak: 148 bytes at operation 2; at most 2 blocks live; 24 bytes in 2 blocks at the end

                  bytes   requests           of the bytes asked for
                 5 .. 8          1   20.0 %    4.1 %
                9 .. 16          1   20.0 %    8.2 %
               17 .. 32          1   20.0 %   12.2 %
               33 .. 64          1   20.0 %   24.5 %
              65 .. 128          1   20.0 %   51.0 %

 lifetime in operations     blocks
                 2 .. 3          1  100.0 %
        live at the end          2

most asked for: 8 (1)  16 (1)  24 (1)  48 (1)  100 (1)
"""


def test_dump_says_what_a_trace_holds(tmp_path):
    (tmp_path / "tiny.mtrace").write_bytes(trace_bytes(TINY, TINY_PEAK) + bytes(460))  # padded, as on a disk
    assert tool("dump", "tiny.mtrace", cwd=tmp_path) == Done(0, TINY_DUMP, "")
    assert tool("dump", "--stats", "tiny.mtrace", cwd=tmp_path) == Done(0, TINY_STATS, "")
    limited = tool("dump", "tiny.mtrace", "--limit", "2", cwd=tmp_path)
    assert limited == Done(0, "".join(TINY_DUMP.splitlines(True)[:3]) + "... 4 more\n", "")


def test_dump_of_nothing(tmp_path):
    (tmp_path / "none.mtrace").write_bytes(trace_bytes([], 0, slots=0))
    shown = "none.mtrace: 0 operations, 0 slots, peak 0 bytes\n"
    assert tool("dump", "none.mtrace", cwd=tmp_path) == Done(0, shown, "")
    assert "peak: 0 bytes" in tool("dump", "--stats", "none.mtrace", cwd=tmp_path).out


def test_dump_into_a_pipe_that_closes(tmp_path):
    tool("generate", "lifo", "-o", tmp_path / "a.mtrace")
    done = subprocess.run(f"{sys.executable} {TOOL} dump {tmp_path}/a.mtrace | head -2", shell=True, check=False,
                          capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 2 and done.stderr == ""


GOOD = trace_bytes(TINY, TINY_PEAK)
PACKED = lzma.compress(GOOD * 50)


@pytest.mark.parametrize("data, why", [
    (b"", "not a trace: it does not start with MTRACE1"),
    (b"MTR", "cut off inside the header"),
    (GOOD[:31], "cut off inside the header"),
    (GOOD[:-1], "cut off: 6 operations make 80 bytes, and there are 79"),
    (GOOD + b"\1", "not a trace: 1 bytes follow its last operation"),
    (b"GARBAGE" * 99, "not a trace: it does not start with MTRACE1"),
    (trace_bytes(TINY, 148, reserved=1), "not a trace of this version: the header's last word is not 0"),
    (PACKED[:-10], "cut off: the xz stream has no end"),
    (PACKED[:60] + b"~~~~" + PACKED[64:], "damaged: "),
    (trace_bytes(TINY, 149), "the header says a peak of 149 bytes, the operations come to 148"),
    (trace_bytes(TINY, 148, slots=1), "operation 1: slot 1 is not below the header's number of slots"),
    (trace_bytes([(MALLOC, 0, 0)], 0), "operation 0: malloc of 0 bytes"),
    (trace_bytes([(CALLOC, 0, 0)], 0), "operation 0: calloc of 0 bytes"),
    (trace_bytes([(FREE, 0, 0)], 0), "operation 0: free of slot 0 which is empty"),
    (trace_bytes([(REALLOC, 1, 9)], 0), "operation 0: realloc of slot 1 which is empty"),
    (trace_bytes([*TINY, (MALLOC, 1, 9)], 148), "operation 6: malloc into slot 1 which is live"),
    (trace_bytes([*TINY, (CALLOC, 1, 9)], 148), "operation 6: calloc into slot 1 which is live"),
    (trace_bytes([*TINY, (FREE, 1, 9)], 148), "operation 6: a free with a size of 9 (it has none: 0)"),
    (trace_bytes([*TINY, (FREE, 1, 0), (FREE, 1, 0)], 148), "operation 7: free of slot 1 which is empty"),
])
def test_false_traces(tmp_path, data, why):
    path = tmp_path / "false.mtrace"
    path.write_bytes(data)
    for words in (["check", path], ["dump", path], ["dump", "--stats", path]):
        done = tool(*words)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"trace: {path}: {why}") and len(done.err.splitlines()) == 1


def test_check_goes_on_after_a_false_one(tmp_path):
    (tmp_path / "good").write_bytes(GOOD)
    done = tool("check", "no-such", "good", cwd=tmp_path)
    assert done == Done(2, "good: good: 6 operations, 2 slots, peak 148 bytes\n",
                        "trace: no-such: No such file or directory\n")


# ---- made traces ----------------------------------------------------------------------------------

# CRC-32 of the unpacked trace of 20,000 operations, seed 1: a figure about a shape is worth nothing to a user whose
# shape is another. Changes only with a shape.
SHAPES = {
    "kernel": 0x3a32b7df, "larson": 0x726fac2d, "ramp": 0x90bf0667, "replace": 0x8bd1fcd7, "fifo": 0x5db7edee,
    "lifo": 0x25c2560d, "large": 0x84d58c64, "grow": 0xd02b1146, "fragment": 0x1ac7ec7a,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_good_and_the_same_for_a_seed(tmp_path, shape):
    path = tmp_path / "a.mtrace"
    done = tool("generate", shape, "-o", path, "--ops", "20000", "--seed", "1")
    assert done.code == 0 and done.out.startswith(f"{path}: {shape}: 20000 operations, ")
    data = path.read_bytes()
    assert zlib.crc32(data) == SHAPES[shape]
    tool("generate", shape, "-o", tmp_path / "b.mtrace.xz", "--ops", "20000")  # seed 1 is the default
    assert lzma.decompress((tmp_path / "b.mtrace.xz").read_bytes()) == data
    tool("generate", shape, "-o", path, "--ops", "20000", "--seed", "2")
    assert path.read_bytes() != data
    tool("generate", shape, "-o", path, "--ops", "500", "--live", "1")
    done = tool("check", path, tmp_path / "b.mtrace.xz")
    assert done.code == 0, done.err
    assert [read(path)[0].operations, read(tmp_path / "b.mtrace.xz")[0].operations] == [500, 20000]


# ---- wrong use ------------------------------------------------------------------------------------

@pytest.mark.parametrize("words, why", [
    ([], "the following arguments are required: COMMAND (trace.py --help)"),
    (["dance"], "argument COMMAND: invalid choice: 'dance'"),
    (["dump"], "the following arguments are required: file"),
    (["dump", "/no/such"], "/no/such: No such file or directory"),
    (["dump", "/"], "/: Is a directory"),
    (["dump", "x", "--limit", "-1"], "argument --limit: -1 is not between 0 and"),
    (["dump", "x", "--limit", "some"], "argument --limit: 'some' is no whole number"),
    (["dump", "x", "--limit", "3", "--stats"], "--limit is for operations"),
    (["dump", "x", "--wrong"], "unrecognized arguments: --wrong"),
    (["check"], "the following arguments are required: FILE"),
    (["generate", "cube", "-o", "x"], "argument SHAPE: invalid choice: 'cube'"),
    (["generate", "lifo"], "the following arguments are required: -o"),
    (["generate", "lifo", "-o", "x", "--ops", "0"], "argument --ops: 0 is not between 1 and"),
    (["generate", "lifo", "-o", "x", "--live", "0"], "argument --live: 0 is not between 1 and"),
    (["generate", "lifo", "-o", "x", "--seed", "-1"], "argument --seed: -1 is not between 0 and"),
    (["generate", "lifo", "-o", "/no/such/x"], "/no/such/x: cannot be written: No such file or directory"),
    (["generate", "lifo", "-o", "/"], "/: cannot be written: Is a directory"),
    (["generate", "lifo", "-o", "/dev/full"], "/dev/full: cannot be written: No space left on device"),
    (["convert", "/no/such", "x"], "/no/such: No such file or directory"),
    (["convert", "/", "x"], "/: Is a directory"),
    (["record", "--", "true"], "the following arguments are required: -o"),
    (["record", "-o", "x"], "record what?"),
    (["record", "-o", "x", "--largest", "0", "--", "true"], "argument --largest: 0 is not between 1 and"),
    (["record", "-o", "/no/such/x", "--", "true"], "/no/such/x: /no/such is no folder one can write to"),
    (["record", "-o", "x", "--", "no-such-program"], "no-such-program: no such program"),
    (["record", "-o", "x", "--", "/etc/passwd"], "/etc/passwd: not a program"),
    (["record", "-o", "x", "--library", "/no/such.so", "--", "true"], "/no/such.so: no such library"),
])
def test_wrong_use_is_one_line(tmp_path, words, why):
    done = tool(*words, cwd=tmp_path)
    assert done.code == 2 and done.out == ""
    assert done.err.startswith("trace: " + why) and len(done.err.splitlines()) == 1
    assert not os.listdir(tmp_path)


def test_a_folder_for_logs_that_the_linker_would_split(record, tmp_path):
    folder = tmp_path / "with blank"
    folder.mkdir()
    done, _ = record("sh", "-c", "echo x", env={"TMPDIR": str(folder)})
    assert done.code == 0 and os.listdir(folder) == []


def test_the_library_by_itself(library, tmp_path):
    """Without a log to write, or with one that cannot be, the program runs as ever."""
    def run(**more):
        return subprocess.run(["sort"], input="b\na\n", capture_output=True, text=True, check=False,
                              env=dict(os.environ, LD_PRELOAD=library, **more))
    assert (run().stdout, run().stderr) == ("a\nb\n", "")
    for prefix, why in (("log", "log: MTRACE_LOG has to be a path from the root"),
                        ("/no/such/log", "/no/such/log.")):
        done = run(MTRACE_LOG=prefix)
        assert done.returncode == 0 and done.stdout == "a\nb\n"
        assert done.stderr.startswith(f"mtrace-record: {why}") and len(done.stderr.splitlines()) == 1


# ---- the project's own traces ---------------------------------------------------------------------

def test_the_projects_own_traces_are_small():
    assert len(OWN_TRACES) >= 4
    assert sum(os.path.getsize(os.path.join(OWN, name)) for name in OWN_TRACES) < 1 << 20


@pytest.mark.parametrize("name", OWN_TRACES)
def test_an_own_trace_is_good_and_replays(name, image):
    path = os.path.join(OWN, name)
    done = tool("check", path)
    assert done.code == 0, done.err
    header = read(path)[0]
    done = subprocess.run([sys.executable, os.path.join(ROOT, "tools", "replay.py"), "--image", image, path],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f" ops={header.operations} failed=0 live_peak={header.peak} " in done.stdout
