"""Traces replayed in the kernel: the figures, the hash, the tables, and every way a trace or a wish can be wrong.

The traces are made here, from a fixed seed, and what they come to is counted here, too.
"""

import lzma
import os
import random
import re
import struct
import subprocess
import sys

import pexpect
import pytest

MALLOC, FREE, REALLOC, CALLOC = range(4)

RESULT = re.compile(
    r"replay: name=(?P<name>\S+) classes=(?P<classes>\S+) ops=(?P<ops>\d+) failed=(?P<failed>\d+) "
    r"live_peak=(?P<live_peak>\d+) frames_peak=(?P<frames_peak>\d+) insn_per_op=(?P<insn_per_op>\d+\.\d\d) "
    r"insn_p50=(?P<insn_p50>\d+) insn_p9999=(?P<insn_p9999>\d+) insn_max=(?P<insn_max>\d+) "
    r"irqs_off_max=(?P<irqs_off_max>\d+) hash=(?P<hash>[0-9a-f]{16})")
TABLE = re.compile(r"table: classes=(\S+) frames_peak=(\d+) footprint=(\d+\.\d\d)")


class Trace:
    """A trace in the making. Counts its live bytes as it grows."""

    def __init__(self):
        self.operations = []
        self.live = {}  # slot: size
        self.bytes = self.peak = self.slots = 0

    def add(self, kind, slot, size=0):
        self.operations.append(struct.pack("<II", kind << 30 | slot, size))
        self.bytes += size - self.live.pop(slot, 0)
        if kind != FREE:
            self.live[slot] = size
        self.peak = max(self.peak, self.bytes)
        self.slots = max(self.slots, slot + 1)

    def data(self, magic=b"MTRACE1\0", peak=None, reserved=0):
        header = struct.pack("<8sIIQQ", magic, len(self.operations), self.slots,
                             self.peak if peak is None else peak, reserved)
        return header + b"".join(self.operations)


def random_trace(seed, operations, slots=300, most=300 << 10):
    """All kinds, sizes from 1 byte up, most of them small. Some blocks are live at the end."""
    dice, trace = random.Random(seed), Trace()

    def size():
        return min(most, int(2 ** dice.uniform(0, 11 if dice.random() < 0.95 else 18.2)))

    for _ in range(operations):
        slot = dice.randrange(slots)
        if slot not in trace.live:
            trace.add(dice.choice((MALLOC, MALLOC, CALLOC)), slot, size())
        elif dice.random() < 0.3:
            trace.add(REALLOC, slot, size())
        else:
            trace.add(FREE, slot)
    return trace


class Replay:
    """What tools/replay.py did with a trace."""

    def __init__(self, done):
        self.code, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        self.lines = done.stdout.splitlines()
        found = [match for match in map(RESULT.fullmatch, self.lines) if match]
        self.result = found[-1].groupdict() if found else None
        self.tables = {m[1]: int(m[2]) for m in map(TABLE.match, self.lines) if m}
        assert "Traceback" not in done.stdout + done.stderr

    def without_costs(self):
        """The figures that no machine may change. What a call costs does depend on how much memory is free."""
        return {name: value for name, value in self.result.items() if not name.startswith(("insn", "irqs"))}

    def failure(self):
        """The one line that says why, whatever printed it; the run has failed."""
        assert self.code != 0, self.stdout
        said = [line for line in self.lines + self.stderr.splitlines()
                if line.startswith(("replay: ", "cmdline: ", "run: "))]
        return "\n".join(said)


@pytest.fixture
def replay(root, image, tmp_path):
    """replay(data or Trace, name=, more...) writes a trace to a file and replays it."""
    def run(trace, *more, name="small.mtrace"):
        path = trace
        if not isinstance(trace, str):
            path = str(tmp_path / name)
            with open(path, "wb") as file:
                file.write(trace.data() if isinstance(trace, Trace) else trace)
        command = [sys.executable, os.path.join(root, "tools", "replay.py"), "--image", image, *more, "--", path]
        return Replay(subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                     errors="replace", check=False))
    return run


def test_the_figures_are_those_of_the_trace(replay):
    trace = random_trace(1, 6000)
    done = replay(trace)
    assert done.code == 0, done.stdout + done.stderr
    got = done.result
    assert (got["name"], got["classes"], got["failed"]) == ("small", "seed", "0")
    assert int(got["ops"]) == 6000
    assert int(got["live_peak"]) == trace.peak
    assert int(got["frames_peak"]) * 4096 > trace.peak
    assert 0 < int(got["insn_p50"]) <= int(got["insn_p9999"]) <= int(got["insn_max"])
    assert int(got["insn_p50"]) / 10 < float(got["insn_per_op"]) <= int(got["insn_max"])
    assert 0 < int(got["irqs_off_max"]) <= int(got["insn_max"])
    assert list(done.tables) == ["seed", "fine"]
    assert done.tables["seed"] == int(got["frames_peak"])
    assert [line.split(":")[0] for line in done.lines] == ["table", "table", "replay"]


def test_the_line_is_the_same_in_every_run_and_the_hash_in_every_machine(replay):
    trace = random_trace(2, 3000)
    first, again = replay(trace), replay(trace)
    assert first.code == 0 and first.lines == again.lines
    more = replay(trace, "--mem", "200")
    bochs = replay(trace, "--emulator", "bochs")
    assert more.code == 0 and bochs.code == 0, bochs.stderr
    for other in (more, bochs):
        assert other.without_costs() == first.without_costs()
        assert other.tables == first.tables
    assert replay(random_trace(3, 3000)).result["hash"] != first.result["hash"]


@pytest.mark.parametrize("classes, name, tables", [
    ("fine", "fine", ["seed", "fine"]),
    ("16 32 48 64 96 128 2048", "16,32,48,64,96,128,2048", ["seed", "fine", "16,32,48,64,96,128,2048"]),
    ("16,4096", "16,4096", ["seed", "fine", "16,4096"]),
    ("16 32 64 128 256 512 1024", "seed", ["seed", "fine"]),
])
def test_tables_of_block_sizes(replay, classes, name, tables):
    done = replay(random_trace(4, 2000), "--classes", classes)
    assert done.code == 0, done.stdout + done.stderr
    assert done.result["classes"] == name
    assert list(done.tables) == tables
    assert done.tables[name] == int(done.result["frames_peak"])


@pytest.mark.parametrize("classes, why", [
    ("coarse", "not a number"),
    ("16 24", "a size that is no multiple of 16"),
    ("32 16", "sizes that do not rise"),
    ("16 100000", r"a size above \d+"),
])
def test_a_wrong_table_is_named(replay, classes, why):
    done = replay(random_trace(5, 50), "--classes", classes)
    said = done.failure()
    assert re.search(f"bad value '{classes.replace(' ', ',')}' for 'sizes': {why} ", said)
    assert "replay: failed: no such table of block sizes" in said
    assert done.result is None


def test_xz_or_not_is_the_same(replay):
    data = random_trace(6, 1000).data()
    plain, packed = replay(data), replay(lzma.compress(data), name="small.mtrace.xz")
    assert plain.code == 0 and plain.lines == packed.lines


def test_clearing_and_copying_are_taken_off(replay):
    """256 KiB are 65,536 steps of a string instruction: none of them may show up."""
    trace = Trace()
    for _ in range(200):
        trace.add(CALLOC, 0, 256 << 10)
        trace.add(MALLOC, 1, 4096)  # after it, so that it cannot grow in place
        trace.add(REALLOC, 0, 300 << 10)
        trace.add(FREE, 1)
        trace.add(FREE, 0)
    done = replay(trace)
    assert done.code == 0, done.stdout + done.stderr
    assert int(done.result["insn_max"]) < 10000


def test_a_trace_larger_than_the_memory_is_read_piece_by_piece(replay):
    trace = Trace()
    for i in range(150000):
        trace.add(MALLOC, i % 50, 1 + i % 700)
        if i % 50 == 49:
            for slot in range(50):
                trace.add(FREE, slot)
    assert len(trace.data()) > 2 << 20
    little, much = replay(trace, "--mem", "6"), replay(trace, "--mem", "64")
    assert little.code == 0, little.stdout + little.stderr
    assert little.without_costs() == much.without_costs()


def test_a_trace_of_nothing(replay):
    done = replay(Trace())
    assert done.code == 0, done.stdout + done.stderr
    assert done.result["ops"] == done.result["insn_max"] == "0"
    assert done.result["insn_per_op"] == "0.00"


def test_a_wrong_peak_in_the_header_is_noted(replay):
    trace = random_trace(7, 500)
    done = replay(trace.data(peak=trace.peak + 1))
    assert done.code == 0
    assert (f"replay: note: the header says a peak of {trace.peak + 1} bytes, the operations come to {trace.peak}"
            in done.lines)
    assert int(done.result["live_peak"]) == trace.peak


GOOD = random_trace(8, 200).data()
PACKED = lzma.compress(GOOD)


@pytest.mark.parametrize("data, why", [
    (b"", "not a trace: it does not start with MTRACE1"),
    (b"MTR", "cut off inside the header"),
    (GOOD[:31], "cut off inside the header"),
    (GOOD[:-1], "cut off: 200 operations make 1632 bytes, and there are 1631"),
    (GOOD[:32], "cut off: 200 operations make 1632 bytes, and there are 32"),
    (GOOD + b"\1", "not a trace: 1 bytes follow its last operation"),
    (b"MTRACE2" + GOOD[7:], "not a trace: it does not start with MTRACE1"),
    (random_trace(8, 200).data(reserved=1), "not a trace of this version: the header's last word is not 0"),
    (PACKED[:-10], "cut off: the xz stream has no end"),
    (PACKED[:100] + b"~~~~" + PACKED[104:], "damaged: "),
    (lzma.compress(b"hello"), "not a trace: it does not start with MTRACE1"),
])
def test_a_file_that_is_no_trace_is_named_before_anything_boots(replay, tmp_path, data, why):
    done = replay(data)
    assert done.code == 2 and done.stdout == ""
    assert done.stderr.startswith(f"replay: {tmp_path}/small.mtrace: {why}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("path, why", [
    ("", "replay: no trace given: make replay TRACE=file.mtrace[.xz]"),
    ("/no/such/file", "replay: /no/such/file: No such file or directory"),
    ("/", "replay: /: Is a directory"),
])
def test_a_missing_file_is_named(replay, path, why):
    done = replay(path)
    assert (done.code, done.stdout, done.stderr) == (2, "", why + "\n")


def test_a_padded_trace_is_one(replay):
    assert replay(GOOD + bytes(1000)).lines == replay(GOOD).lines


def with_operation(kind, slot, size):
    """A trace whose fourth operation, number 3, is the given one; before it slot 0 is live, slot 1 empty."""
    trace = Trace()
    for operation in ((MALLOC, 0, 100), (MALLOC, 1, 5000), (FREE, 1, 0)):
        trace.add(*operation)
    data = bytearray(trace.data() + struct.pack("<II", kind << 30 | slot, size))
    struct.pack_into("<I", data, 8, 4)
    return bytes(data)


@pytest.mark.parametrize("operation, why", [
    ((FREE, 1, 0), "free of slot 1 which is empty"),
    ((REALLOC, 1, 9), "realloc of slot 1 which is empty"),
    ((MALLOC, 0, 9), "malloc into slot 0 which is live"),
    ((CALLOC, 0, 9), "calloc into slot 0 which is live"),
    ((MALLOC, 2, 9), "slot 2 is not below the header's number of slots"),
    ((MALLOC, 1, 0), "malloc of 0 bytes"),
    ((FREE, 0, 9), "a free with a size of 9 (it has none: 0)"),
])
def test_a_false_operation_is_named_with_its_number(replay, operation, why):
    done = replay(with_operation(*operation))
    assert f"replay: failed: operation 3: {why}" in done.failure().splitlines()
    assert done.code == 1 and done.result is None


def test_the_kernel_looks_at_the_header_itself(boot, tmp_path):
    disk = tmp_path / "disk"
    for data, why in ((GOOD[:1024], "cut off: 200 operations make 1632 bytes, and there are 1024"),
                      (bytes(512), "not a trace: it does not start with MTRACE1")):
        disk.write_bytes(data)
        done = boot("batch replay", more=("--disk2", str(disk)))
        assert done.code == 1
        assert f"replay: failed: {why}" in done.lines


def test_without_a_second_disk(boot):
    done = boot("batch replay")
    assert done.code == 1
    assert "replay: failed: second disk: no disk" in done.lines


def test_without_batch_the_kernel_goes_on(boot, tmp_path):
    """Everything the replay took is given back: the demonstration checks all frames."""
    disk = tmp_path / "disk"
    disk.write_bytes(GOOD + bytes(-len(GOOD) % 512))
    done = boot("replay=first classes=fine", more=("--disk2", str(disk), "--timeout", "10"))
    assert any(RESULT.fullmatch(line) and " name=first classes=fine " in line for line in done.lines)
    assert "demo: passed" in done.lines


def test_too_little_memory_is_named_and_what_would_do(replay):
    trace = Trace()
    for slot in range(2000):
        trace.add(MALLOC, slot, 6000)
    done = replay(trace, "--mem", "16")
    said = re.search(r"replay: failed: too little memory: .* it needs about (\d+) MiB: use MEM=(\d+)$",
                     done.failure(), re.MULTILINE)
    assert done.code == 1 and said and said[1] == said[2]
    assert int(done.result["failed"]) > 0
    enough = replay(trace, "--mem", said[1])
    assert enough.code == 0 and enough.result["failed"] == "0"
    chosen = replay(trace)  # without MEM
    assert chosen.code == 0 and chosen.without_costs() == enough.without_costs()


def test_too_little_memory_for_the_slots(replay):
    trace = Trace()
    trace.add(MALLOC, 20_000_000, 1)
    done = replay(trace, "--mem", "32")
    assert "replay: failed: too little memory: no room for the slots; it needs about" in done.failure()


def test_a_memory_that_is_no_number(replay):
    assert replay(GOOD, "--mem", "much").failure() == "replay: MEM=much is not a number of MiB"


def test_a_name_is_made_fit_for_the_command_line(replay):
    done = replay(GOOD, name='a "b" c.mtrace')
    assert done.code == 0 and done.result["name"] == "a__b__c"


# ---- on every processor at once ------------------------------------------------------------------

TOGETHER = re.compile(
    r"replay: name=(\S+) processors=(?P<processors>\d+) classes=(?P<classes>\S+) ops=(?P<ops>\d+) failed=0 "
    r"insn_per_op=(?P<mean>\d+\.\d\d) insn_max=(?P<most>\d+) refused=(?P<refused>\d+) "
    r"refused_max=(?P<refused_most>\d+) irqs_off_max=(?P<off>\d+)")


def together(done):
    assert done.code == 0, done.stdout + done.stderr
    return next(match for match in map(TOGETHER.fullmatch, done.lines) if match)


@pytest.mark.parametrize("emulator, processors", [("qemu", 2), ("bochs", 2), ("bochs", 4)])
def test_every_processor_replays_it(replay, emulator, processors):
    """The areas of one and two frames are blocks there, so that a call costs much the same; and wrong frees are made
    and refused."""
    trace = random_trace(7, 3000, most=8192)
    alone = float(replay(trace).result["insn_per_op"])
    found = together(replay(trace, "--cpus", str(processors), "--emulator", emulator))
    assert (int(found["processors"]), int(found["ops"])) == (processors, 3000 * processors)
    assert found["classes"] == "16,32,64,128,256,512,1024,4096,8192"
    assert float(found["mean"]) < 1.3 * alone and int(found["refused"]) >= processors
    # QEMU's processors take turns here, and one counts the other's turn as well, seldom in the midst of a stretch.
    for _ in range(2):
        if int(found["refused_most"]) < 1500 and int(found["off"]) < 1500:
            break
        found = together(replay(trace, "--cpus", str(processors), "--emulator", emulator))
    assert 0 < int(found["refused_most"]) < 1500 and 0 < int(found["off"]) < 1500


def test_only_the_first_operations(replay):
    trace = random_trace(8, 2000)
    assert replay(trace, "--first", "500").result["ops"] == "500"
    assert replay(trace, "--first", "5000").result["ops"] == "2000"


def test_a_trace_of_nothing_on_several(replay):
    found = together(replay(Trace(), "--cpus", "2"))
    assert (found["ops"], found["mean"], found["refused"]) == ("0", "0.00", "0")


def test_what_fails_on_several_is_named(replay):
    trace = random_trace(9, 100)
    assert "bochs takes up to 8 processors, not 9" in replay(trace, "--cpus", "9", "--emulator", "bochs").failure()
    data = bytearray(trace.data())
    data[32:36] = struct.pack("<I", FREE << 30 | 5)
    assert "replay: failed: operation 0" in replay(bytes(data), "--cpus", "2").failure()


# ---- stretches with interrupts off ---------------------------------------------------------------

def test_stretches_are_counted_exactly(boot):
    done = boot("batch test=irqwatch_*", more=("--icount",))
    assert done.code == 0
    assert "irqwatch: 9 and 101 instructions" in done.lines


def test_no_interrupt_flag_is_changed_where_the_watch_does_not_look(kernel_elf):
    """The cli and sti of the watched code (kernel.ld) are those in .irq_sites, and there is no popf."""
    names = subprocess.run(["nm", kernel_elf], capture_output=True, text=True, check=True).stdout
    symbol = {name: int(address, 16) for address, _, name in map(str.split, names.splitlines())}
    start, end = symbol["irq_watch_start"], symbol["irq_watch_end"]
    code = subprocess.run(["objdump", "-d", f"--start-address={start}", f"--stop-address={end}", kernel_elf],
                          capture_output=True, text=True, check=True).stdout
    found = {int(m[1], 16): m[2]
             for m in re.finditer(r"^([0-9a-f]+):\t(?:[0-9a-f]{2} )+[ \t]*(\w+)", code, re.MULTILINE)}
    first, last = symbol["irq_sites_start"], symbol["irq_sites_end"]
    dump = subprocess.run(["objdump", "-s", "-j", ".rodata", f"--start-address={first}", f"--stop-address={last}",
                           kernel_elf], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^ [0-9a-f]+ ((?:[0-9a-f]+ ){1,4})", dump, re.MULTILINE)
    words = "".join("".join(row.split()) for row in rows)
    sites = {site for (site,) in struct.iter_unpack("<I", bytes.fromhex(words)) if start <= site < end}
    assert len(sites) > 10
    assert sites == {address for address, name in found.items() if name in ("cli", "sti")}
    assert not [name for name in found.values() if name.startswith("popf")]


# ---- as a user types it --------------------------------------------------------------------------

@pytest.mark.xdist_group("make")
def test_make_replay(root, tmp_path):
    path = tmp_path / "it's mine.mtrace.xz"
    path.write_bytes(PACKED)

    def make(*words):
        return Replay(subprocess.run(["make", "--no-print-directory", "-s", "replay", *words], cwd=root,
                                     stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False))
    done = make(f"TRACE={path}", "CLASSES=16 32 48 1024")
    assert done.code == 0, done.stdout + done.stderr
    assert (done.result["name"], done.result["classes"]) == ("it_s_mine", "16,32,48,1024")
    assert make(f"TRACE={path}", "EMULATOR=bochs", "CLASSES=16 32 48 1024").result["hash"] == done.result["hash"]
    assert "replay: MEM=x is not a number of MiB" in make(f"TRACE={path}", "MEM=x").failure()
    assert "use MEM=32" in make(f"TRACE={path}", "MEM=3").failure()
    assert "replay: no trace given" in make().failure()


def test_progress_on_a_terminal(root, image, tmp_path):
    path = tmp_path / "long.mtrace"
    path.write_bytes(random_trace(9, 60000).data())
    console = pexpect.spawn(sys.executable, [os.path.join(root, "tools", "replay.py"), "--image", image, str(path)],
                            timeout=60, encoding="utf-8", dimensions=(50, 300))
    console.expect(r"\rreplaying: \d+ %")
    console.expect(r"\r +\r")
    console.expect(RESULT.pattern)
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0
