"""events=com2: the records of the heap's calls, from QEMU and Bochs, and the trace that is made of them."""

import os
import re
import struct
import subprocess
import sys

import pytest

from conftest import ROOT

TOOL = os.path.join(ROOT, "tools", "trace", "trace.py")
HEAD = struct.Struct("<8s4I")
RECORD = struct.Struct("<BBH5I")
MALLOC, FREE = 0, 1


def tool(*words):
    done = subprocess.run([sys.executable, TOOL, *map(str, words)], capture_output=True, text=True, timeout=60,
                          check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def read(path):
    """(head, records) of a file, read without the tools."""
    data = path.read_bytes()
    assert len(data) % 24 == 0 and len(data) > 24
    return HEAD.unpack_from(data), [RECORD.unpack_from(data, at) for at in range(24, len(data), 24)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The records of a run of the demonstration under QEMU."""
    path = tmp_path_factory.mktemp("events") / "a file, of events"
    image = os.path.join(ROOT, "build", "e2e", "hd.img")
    done = subprocess.run([sys.executable, os.path.join(ROOT, "tools", "run.py"), "--image", image, "--args", "batch",
                           "--events", str(path)], stdin=subprocess.DEVNULL, capture_output=True, timeout=100,
                          check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return path


def test_every_call_is_there_once(demo):
    (magic, size, base, length, zero), records = read(demo)
    assert (magic, size, base, zero) == (b"HEVENTS1", 24, 0x88000000, 0) and length % 4096 == 0
    live = set()
    for number, (mark, kind, low, _, asked, pointer, result, caller) in enumerate(records, 1):
        assert (mark, low) == (0xe7, number & 0xffff)
        assert 0x80100000 <= caller < 0x80200000
        if kind == FREE and pointer:
            live.remove(pointer)  # in the order of what happened: it is there
        elif kind == MALLOC and result:
            assert asked and result not in live and base <= result < base + length
            live.add(result)
    assert len(records) > 1000


def test_bochs_writes_the_same(boot, demo, tmp_path):
    """Who is preempted where differs; what the boot does before there are threads at work does not."""
    path = tmp_path / "events"
    assert boot("batch", emulator="bochs", timeout=200, more=("--events", str(path))).code == 0
    bochs, qemu = read(path), read(demo)
    assert bochs[0][0] == qemu[0][0] and bochs[1][:3] == qemu[1][:3]
    assert sorted(record[4] for record in bochs[1]) == sorted(record[4] for record in qemu[1])


def test_a_refused_call_is_marked(boot, tmp_path):
    path = tmp_path / "events"
    run = boot("batch demo=no bugs=1", more=("--events", str(path)))
    refused = [record for record in read(path)[1] if record[1] & 0x80]
    reports = [line for line in run.lines if line.startswith("heap: ")]
    assert len(refused) == len(reports) > 0


def test_none_without_the_word(boot, tmp_path, image):
    path = tmp_path / "events"
    command = ["qemu-system-i386", "-display", "none", "-nic", "none", "-m", "32", "-drive",
               f"format=raw,if=ide,snapshot=on,file={image}", "-serial", "null", "-serial", f"file:{path}", "-device",
               "isa-debug-exit,iobase=0xf4,iosize=0x04", "-no-reboot"]
    with subprocess.Popen(command) as process:
        try:
            process.wait(8)  # a prompt: it does not end
        except subprocess.TimeoutExpired:
            process.kill()
    assert path.read_bytes() == b""


def test_a_machine_without_the_line_says_so(boot):
    run = boot("batch events=com2 demo=no")  # without --events: QEMU has one serial line
    assert run.code == 0
    assert "cmdline: 'events=com2': there is no second serial line" in run.lines


def test_the_trace_replays(boot, demo, tmp_path):
    trace = tmp_path / "demo.mtrace"
    made = tool("events", demo, trace)
    assert made.returncode == 0 and "operations" in made.stderr, made.stderr
    assert tool("check", trace).returncode == 0
    calls = sum(1 for record in read(demo)[1] if record[1] in (MALLOC, FREE) and (record[5] or record[6]))
    assert f"{calls} operations" in made.stderr
    run = boot("batch demo=no replay=demo", more=("--disk2", str(padded(trace)), "--icount"))
    assert run.code == 0 and any(line.startswith("replay: name=demo ") for line in run.lines)


def test_a_replay_is_followed_too(boot, tmp_path):
    """Its calls are in the records, and its addresses are those of a replay without them."""
    trace, events = tmp_path / "t.mtrace", tmp_path / "events"
    assert tool("generate", "replace", "-o", trace, "--ops", "300", "--live", "40").returncode == 0
    disk = ("--disk2", str(padded(trace)))
    runs = [boot("batch demo=no replay=t", more=(*disk, *more)) for more in ((), ("--events", str(events)))]
    hashes = [re.search(r"hash=(\w+)", "\n".join(run.lines))[1] for run in runs]
    assert hashes[0] == hashes[1] and len(read(events)[1]) > 600


def padded(path):
    data = path.read_bytes()
    path.write_bytes(data + bytes(-len(data) % 512))
    return path


def test_the_list(demo):
    shown = tool("events", demo, "--limit", "2").stdout.splitlines()
    assert "heap calls, heap 0x88000000" in shown[0]
    assert shown[1].startswith("1: malloc(") and shown[3].endswith(" more") and len(shown) == 4


# ---- what is no file of records -------------------------------------------------------------------

HEADER = HEAD.pack(b"HEVENTS1", 24, 0x88000000, 4096, 0)


def event(number, kind=MALLOC, mark=0xe7, size=16, pointer=0, result=0x88000000):
    return RECORD.pack(mark, kind, number, 1, size, pointer, result, 0x80100000)


@pytest.mark.parametrize("data, words", [
    (b"", "not a file of heap events: it does not start with HEVENTS1"),
    (b"MTRACE1\0" * 9, "not a file of heap events"),
    (HEADER[:20], "cut off inside the head"),
    (HEAD.pack(b"HEVENTS1", 32, 0, 0, 0), "heap events of another version: records of 32 bytes, not 24"),
    (HEADER + event(1) + event(2)[:7], "cut off: 7 bytes follow its last whole record, number 1"),
    (HEADER + event(1) + event(3), "record 1: number 3 follows 1: calls are missing"),
    (HEADER + event(1, mark=0), "record 0: damaged: it starts with 0x00 0x00"),
    (HEADER + event(1, kind=9), "record 0: damaged: it starts with 0xe7 0x09"),
])
def test_a_wrong_file_gets_one_sentence(tmp_path, data, words):
    path = tmp_path / "wrong"
    path.write_bytes(data)
    for more in ((), (tmp_path / "out",)):
        done = tool("events", path, *more)
        assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr
        assert not (tmp_path / "out").exists()


def test_a_number_wraps_and_null_is_no_loss(tmp_path):
    """65535 is followed by 0. What gave no memory, or was refused, is left out and counted."""
    path, trace = tmp_path / "records", tmp_path / "t.mtrace"
    path.write_bytes(HEADER + event(65534) + event(65535, result=0) + event(0, FREE, pointer=0x88000000, size=0)
                     + event(1, FREE | 0x80, pointer=0x88000000, size=0) + event(2, FREE, size=0))
    done = tool("events", path, trace)
    assert "2 operations" in done.stderr and "1 refused left out; 1 that gave no memory left out" in done.stderr
