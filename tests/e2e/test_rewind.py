"""`make rewind` (tools/rewind): a recorded run, gone through backwards from its end.

The recordings are of real misuse, the bug museum's (kernel/museum/bugs.c): a byte after a block, a write into a freed
one, a double free, a leak. What the search backwards says of writes is held against the same recording run forwards.
"""

import os
import re
import signal
import subprocess
import time

import pytest

from conftest import E2E, PYTHON, ROOT
from gdb_session import Session, Talk

TOOL = os.path.join(ROOT, "tools", "rewind", "rewind.py")
CHECKED = os.path.join(E2E, "check")


class Rewind(Talk):
    """rewind.py and the GDB that it starts, at the recording's end."""

    def __init__(self, args, build=E2E, more=()):
        super().__init__([PYTHON, TOOL, "--build", build, f"--args={args}", *more])
        self.before = self.read_to("Back: heap who-wrote")
        for setting in ("width 0", "style enabled off"):
            self.do(f"set {setting}")

    def report(self, name, command):
        """A command, and on the test's output how long it took."""
        start = time.monotonic()
        lines = self.do(command)
        print(f"{name}: {command}: {time.monotonic() - start:.2f} s")
        return lines

    def count(self):
        return int(re.search(r"instruction count = (\d+)", "".join(self.do("monitor info replay")))[1])


def line_of(path, text):
    """The number of the one line of a source file that is `text`, blanks aside."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as source:
        return [number for number, line in enumerate(source, 1) if line.strip().startswith(text)][0]


@pytest.fixture
def rewind():
    made = []

    def start(args, build=E2E, more=()):
        made.append(Rewind(args, build, more))
        return made[-1]
    yield start
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def demo():
    """The demonstration, recorded: some 8000 calls of four threads. Each test begins at its end."""
    one = Rewind("")
    yield one
    one.close()


@pytest.fixture
def at_the_end(demo):
    demo.do("delete")
    demo.do("heap back-to end")
    return demo


def test_it_opens_at_the_end_with_the_runs_console(demo):
    assert "demo: passed\ngranary: halt passed\nrewind: recorded " in demo.before
    recorded = int(re.search(r"rewind: recorded (\d+) instructions in", demo.before)[1])
    assert re.search(rf"The recording's end, instruction {recorded} of {recorded}\.", demo.before)
    assert re.search(r"rewind: replayed with \d+ snapshots in", demo.before)
    said = "\n".join(demo.do("bt"))
    assert "power_off" in said and "kmain" in said
    assert demo.do("heap check")[0].startswith("heap check: every invariant holds")


def test_the_writes_backwards_are_the_writes_forwards(at_the_end):
    """Nine steps back from write to write; then the machine runs forward over the same stretch, watched by GDB."""
    one, changes = at_the_end, []
    for _ in range(9):
        line = one.report("write", "heap who-wrote &k_heap.large_frames")[0]
        old, new = re.search(r", instruction \d+ of \d+: ([0-9a-f ]+) -> ([0-9a-f ]+)$", line).groups()
        assert re.match(r"the 4 bytes at 0x[0-9a-f]{8}: written by ((k_)?large_\w+|sys_free|give_"
                        r"\w+)\+0x[0-9a-f]+ \(kernel/memory\.c:\d+\), thread thread_[abcd], ", line), line
        changes.append(tuple(int.from_bytes(bytes.fromhex(word), "little") for word in (old, new)))
    assert changes[0][1] == 0  # at the end all areas were given back
    assert all(later[0] == earlier[1] for later, earlier in zip(changes, changes[1:]))
    one.do("watch k_heap.large_frames")
    for old, new in reversed(changes):
        said = "\n".join(one.do("continue"))
        seen = re.search(r"Old value = (\d+)\s+New value = (\d+)", said)
        assert seen and (int(seen[1]), int(seen[2])) == (old, new), said


def test_it_stands_before_the_instruction_that_writes(at_the_end):
    one = at_the_end
    line = one.do("heap who-wrote &k_heap.small_frames")[0]
    old, new = (int.from_bytes(bytes.fromhex(word), "little")
                for word in re.search(r": ([0-9a-f ]+) -> ([0-9a-f ]+)$", line).groups())
    at = one.count()
    assert one.do("output k_heap.small_frames") == [str(old)]
    one.do("stepi")
    assert one.do("output k_heap.small_frames") == [str(new)] and one.count() == at + 1
    one.do("reverse-stepi")
    assert one.do("output k_heap.small_frames") == [str(old)] and one.count() == at


def test_back_to_the_call_that_returned_an_address(at_the_end):
    """A block that a thread frees at its end, from its address: to its sys_free(), its sys_malloc(), and forward."""
    one = at_the_end
    one.do(f"break kernel/museum/demo.c:{line_of('kernel/museum/demo.c', 'sys_free(block->at);')}")
    one.do("reverse-continue")
    address = int(one.do("output/x (unsigned)block->at")[0], 16)
    before_the_call = one.count()
    one.do("delete")
    one.do("heap back-to end")
    line = one.report("free", f"heap back-to free {address:#x}")[0]
    place = r"called from block_\w+\+0x[0-9a-f]+ \(kernel/\w+/demo\.c:\d+\), thread thread_\w, instruction (\d+) of \d+"
    found = re.fullmatch(rf"sys_free\(0x{address:08x}\): {place}", line)
    assert found and int(found[1]) == one.count(), line
    assert before_the_call <= one.count() < before_the_call + 10  # the call itself
    freed_at = one.count()
    line = one.report("alloc", f"heap back-to alloc {address:#x}")[0]
    found = re.fullmatch(rf"sys_malloc\(\d+\) returned 0x{address:08x}: {place}", line)
    assert found and int(found[1]) == one.count() < freed_at, line
    assert f"= (void *) 0x{address:x}" in "\n".join(one.do("finish"))
    assert one.do(f"heap who {address}")[0].endswith("live")
    one.do("delete")
    said = "\n".join(one.do("continue"))  # forward again, to where it ended
    assert "This is the end of the recording." in said
    assert one.do("continue") == ["This is the end of the recording: from here it only goes backwards."]


def test_an_address_that_was_never_handed_out(rewind):
    one = rewind("demo=no")
    nowhere, at = 0x88ffff00, one.count()
    assert one.do(f"heap who-wrote {nowhere}") == [
        f"the 4 bytes at 0x{nowhere:08x}: no instruction of the recording wrote there before this point"]
    for word, verb in (("free", "freed"), ("alloc", "returned")):
        assert one.do(f"heap back-to {word} {nowhere}") == [f"0x{nowhere:08x}: no call before this point of the "
                                                            f"recording {verb} it"]
    assert one.count() == at


@pytest.mark.parametrize("command, line", [
    ("heap who-wrote", "usage: heap who-wrote ADDR [LEN]"),
    ("heap who-wrote 1 2 3", "usage: heap who-wrote ADDR [LEN]"),
    ("heap who-wrote 0x88000000 0", "heap who-wrote: 0 bytes: from 1 to 4096 can be watched"),
    ("heap who-wrote 0x88000000 many", "heap who-wrote: many is no number of bytes"),
    ("heap back-to", "usage: heap back-to alloc|free ADDR; heap back-to start|end|first|N"),
    ("heap back-to alloc", "usage: heap back-to alloc|free ADDR; heap back-to start|end|first|N"),
    ("heap back-to end 3", "usage: heap back-to alloc|free ADDR; heap back-to start|end|first|N"),
    ("heap back-to yesterday", "heap back-to: yesterday is no instruction's number"),
])
def test_wrong_words_give_a_line(demo, command, line):
    assert demo.do(command) == [line]


def test_the_first_sys_malloc_is_where_make_debug_stops(at_the_end):
    said = "\n".join(at_the_end.do("heap back-to first"))
    assert "sys_malloc (size=" in said
    assert "thread_create" in "\n".join(at_the_end.do("bt"))  # the idle thread's record


def test_a_place_outside_the_recording(at_the_end):
    at = at_the_end.count()
    said = at_the_end.do(f"heap back-to {at + 1}")
    assert said == [f"heap back-to: instruction {at + 1} is not in the recording, which has {at}"]


def test_a_search_can_be_given_up(at_the_end):
    """Ctrl-C in a search through all calls of the run: back where it began, and GDB is all there."""
    one, at = at_the_end, at_the_end.count()
    gdb = int(one.do("python import os; print(os.getpid())")[0])
    one.send("heap back-to alloc 0x88ffff00")
    time.sleep(1)
    os.kill(gdb, signal.SIGINT)
    said = "\n".join(one.do("echo"))
    assert "Traceback" not in said and "no call" not in said, said
    assert one.count() == at
    one.do("break sys_free")
    one.do("reverse-continue")
    assert "sys_free (p=" in "\n".join(one.do("frame"))


# ---- real misuse -----------------------------------------------------------------------------------

def to_the_report(one):
    """From the end back to the last report of a wrong call."""
    one.do("break port_report")
    one.do("reverse-continue")
    said = "\n".join(one.do("frame"))
    assert "port_report (heap=" in said, said
    return said


@pytest.fixture(scope="module")
def bug(tmp_path_factory):
    """bug(name): the command line for an exhibit of the bug museum, whose list the kernel prints at its prompt."""
    one = Session(str(tmp_path_factory.mktemp("museum")), CHECKED, "demo=no", typing=True)
    one.go()
    listed = dict(re.findall(r"^ *(\d+) ([a-z-]+) ", "\n".join(one.type("bugs")), re.MULTILINE))
    one.close()
    number = {name: count for count, name in listed.items()}
    return lambda name: f"demo=no bugs={number[name]}"


def source_line(line):
    """The text of the line that a `(file:number)` names."""
    path, number = re.search(r"\(([\w/]+\.c):(\d+)\)", line).groups()
    with open(os.path.join(ROOT, path), encoding="utf-8") as source:
        return source.read().splitlines()[int(number) - 1]


def test_an_overflow_by_one_leads_to_the_write(rewind, bug):
    """The checked build finds the spoiled canary at the free; the write itself is further back."""
    one = rewind(bug("off-by-one"), CHECKED)
    assert "HEAP_OVERFLOW" in to_the_report(one)
    pointer = int(one.do("output/x pointer")[0], 16)
    start = time.monotonic()
    lines = one.do("heap who-wrote pointer 1")
    print(f"overflow: from the report to the write in {time.monotonic() - start:.2f} s")
    assert re.fullmatch(rf"the byte at 0x{pointer:08x}: written by off_by_one\+0x[0-9a-f]+ \(kernel/\w+/\w+\.c:\d+\), "
                        r"thread main, instruction \d+ of \d+: ca -> 00", lines[0]), lines
    assert "poke(" in source_line(lines[0])
    assert re.match(rf"0x{pointer:08x}: byte \d+ of .*, live, \d+ bytes from 0x[0-9a-f]+ for thread main at \w+"
                    r"\+0x", lines[1]), lines


def test_a_write_after_the_free_leads_to_write_and_free(rewind, bug):
    one = rewind(bug("write-after-free"), CHECKED)
    assert "HEAP_USE_AFTER_FREE" in to_the_report(one)
    lines = one.do("heap who-wrote pointer 1")
    assert re.search(r"written by write_after_free\+0x\w+ \(kernel/\w+/\w+\.c:\d+\), thread main, .*: df -> ", lines[0])
    assert ", in quarantine, " in lines[1] and ", freed by thread main at write_after_free+0x" in lines[1]
    block = int(re.search(r" bytes from (0x[0-9a-f]+) for ", lines[1])[1], 16)
    line = one.do(f"heap back-to free {block:#x}")[0]
    assert line.startswith(f"sys_free(0x{block:08x}): called from write_after_free+0x"), line
    line = one.do(f"heap back-to alloc {block:#x}")[0]
    assert re.match(rf"sys_malloc\(\d+\) returned 0x{block:08x}: called from write_after_free\+0x", line), line


def test_a_double_free_leads_to_both_frees_and_to_the_malloc(rewind, bug):
    one = rewind(bug("double-free"), CHECKED)
    assert "HEAP_DOUBLE_FREE" in to_the_report(one)
    block = int(one.do("output/x pointer")[0], 16)
    places = [one.do(f"heap back-to free {block:#x}")[0] for _ in range(2)]
    places.append(one.do(f"heap back-to alloc {block:#x}")[0])
    counts = [int(re.search(r"called from double_free\+0x.*instruction (\d+) of", line)[1]) for line in places]
    assert counts[0] > counts[1] > counts[2]
    assert one.do(f"heap back-to free {block:#x}") == [f"0x{block:08x}: no call before this point of the recording "
                                                       "freed it"]


def test_a_leak_leads_to_the_malloc(rewind, bug):
    """The museum frees what it leaked; while it is there, `heap leaks` names the sites, and back-to goes there."""
    one = rewind(bug("leak"), CHECKED)
    one.do("break sys_free")
    one.do("reverse-continue")
    leaks = [line for line in one.do("heap leaks") if "from remember_nothing+0x" in line]
    assert leaks, one.do("heap leaks")
    block = int(one.do("output/x (unsigned)p")[0], 16)
    line = one.do(f"heap back-to alloc {block:#x}")[0]
    site = re.search(r" from (remember_nothing\+0x[0-9a-f]+)", leaks[0])[1].split("+")[0]
    assert re.match(rf"sys_malloc\(\d+\) returned 0x{block:08x}: called from {site}\+0x", line), line


def test_a_kernel_that_hangs_is_recorded_up_to_there(rewind):
    one = rewind("selftest=hang", more=("--timeout", "6"))
    assert "rewind: no last line within 6 s: recorded up to here" in one.before
    said = "\n".join(one.do("threads"))
    assert "misbehave+0x" in said and "running" in said


def test_a_panic_is_an_end_like_another(rewind):
    one = rewind("selftest=panic")
    assert "panic: selftest: asked for on the command line" in one.before
    said = "\n".join(one.do("bt"))
    assert "panic (format=" in said and "misbehave" in said


def test_what_is_missing_is_said(tmp_path):
    done = subprocess.run([PYTHON, TOOL, "--build", str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, f"rewind: {tmp_path}/hd.img is not there: run `make` first\n")
    done = subprocess.run([PYTHON, TOOL, "--build", E2E, "--mem", "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("rewind: qemu takes a memory size from ")
