"""make bench: its arithmetic, its programs against things that are known, and a whole quick run."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BENCH = os.path.join(TOP, "bench")
sys.path.insert(0, BENCH)

import host  # noqa: E402
import locked  # noqa: E402
import programs as real  # noqa: E402
import stats  # noqa: E402
import tables  # noqa: E402
import verdict  # noqa: E402

pytestmark = pytest.mark.xdist_group("make")

MALLOC, FREE, REALLOC, CALLOC = range(4)
MIB = 1 << 20


@pytest.fixture(scope="session")
def programs():
    """The folder of the built bench/*.c."""
    subprocess.run(["make", "--no-print-directory", "-s", "bench-programs", "libgranary"], cwd=TOP, check=True)
    return os.path.join(TOP, "build", "host", "bench")


@pytest.fixture
def trace(tmp_path):
    """trace(OPERATIONS, slots=, ops=, magic=) writes a trace of (kind, slot, size) and returns its path."""
    def write(operations, slots=None, ops=None, magic=b"MTRACE1\0"):
        slots = slots or 1 + max((slot for _, slot, _ in operations), default=0)
        body = b"".join(struct.pack("<II", kind << 30 | slot, size) for kind, slot, size in operations)
        path = tmp_path / "made.mtrace"
        path.write_bytes(struct.pack("<8sIIQQ", magic, ops or len(operations), slots, 0, 0) + body)
        return str(path)
    return write


def call(*command, **variables):
    """A Python-free run: (status, standard output, standard error)."""
    done = subprocess.run(list(map(str, command)), env=dict(os.environ, **variables), capture_output=True, text=True,
                          errors="replace", check=False, timeout=600)
    return done.returncode, done.stdout, done.stderr


# ---- arithmetic --------------------------------------------------------------------------------------------------

def test_ratio_is_taken_within_a_round():
    """The machine was three times slower in the second round: the ratio does not see it."""
    assert stats.paired_ratio([10, 30, 12], [20, 60, 24]) == pytest.approx(0.5)
    with pytest.raises(ValueError):
        stats.paired_ratio([1, 2], [1])


def test_geometric_mean():
    assert stats.geomean([2, 8]) == pytest.approx(4)
    assert stats.geomean([]) is None
    table = {"a": {"x": [4, 4], "mimalloc": [2, 2]}, "b": {"x": [1, 1], "mimalloc": [8, 8]}, "c": {"mimalloc": [1]}}
    assert stats.mean_ratio(table, "x", "mimalloc") == pytest.approx(0.5)


def test_pairs_reads_numbers_words_and_quotes():
    assert stats.pairs("mode=x n=3 f=0.5 t='a b' word") == {"mode": "x", "n": 3, "f": 0.5, "t": "a b"}


def test_verdict_never_calls_met_what_is_not():
    rows = verdict.Rows()
    rows.add("both", 10, {"seed": 9, "fine": 10})
    rows.add("one", 10, {"seed": 11, "fine": 3})
    rows.add("none", 10, {"seed": 10.4, "fine": 11})
    rows.add("half", 10, {"seed": None, "fine": 9})
    rows.add("nothing", 10, {"seed": None, "fine": None})
    assert [row[3] for row in rows.rows[1:]] == ["met", "met: fine", "NOT MET", "met: fine", "-"]
    assert rows.count == {"met": 3, "NOT MET": 1, "-": 1}


# ---- the replayer ------------------------------------------------------------------------------------------------

def test_footprint_of_a_known_trace(programs, trace):
    """One area of 8 MiB: at its peak it is resident with all its pages; freed, glibc gives it back at once."""
    path = trace([(MALLOC, 0, 8 * MIB), (FREE, 0, 0), (CALLOC, 0, 100), (REALLOC, 0, 5000), (FREE, 0, 0)])
    status, out, err = call(os.path.join(programs, "replay"), "footprint", path)
    assert (status, err) == (0, "")
    line = stats.pairs(out)
    assert line["live_peak"] == 8 * MIB
    assert 8 * MIB - line["step"] <= line["peak"] <= 8 * MIB + 128 * 1024
    assert line["held"] < 128 * 1024


def test_speed_counts_the_frees_of_what_is_left(programs, trace):
    path = trace([(MALLOC, slot, 64) for slot in range(100)])
    line = stats.pairs(call(os.path.join(programs, "replay"), "speed", path, 5)[1])
    assert line["ops"] == 200 and line["rounds"] >= 3
    assert 0 < line["min_ns"] <= line["ns"]


@pytest.mark.parametrize("operations, more, says", [
    ([(MALLOC, 0, 16)], {"magic": b"MTRACE9\0"}, "not a trace (no MTRACE1)"),
    ([(MALLOC, 0, 16)], {"ops": 2}, "cut off"),
    ([(MALLOC, 0, 16), (MALLOC, 0, 16)], {}, "operation 1: slot 0 is in use"),
    ([(FREE, 0, 0)], {}, "operation 0: slot 0 is empty"),
    ([(MALLOC, 5, 16)], {"slots": 2}, "operation 0: no slot 5"),
    ([(MALLOC, 0, 0)], {}, "operation 0: wrong size"),
    ([], {}, "no operations"),
])
def test_wrong_trace_gets_one_line(programs, trace, operations, more, says):
    status, out, err = call(os.path.join(programs, "replay"), "speed", trace(operations, **more), 5)
    assert (status, out) == (2, "")
    assert err.startswith("replay: ") and err.strip().endswith(says) and err.count("\n") == 1


# ---- the other programs ------------------------------------------------------------------------------------------

def test_probe_tells_allocators_apart(programs):
    """glibc ends the process; Granary refuses each and goes on; neither clears."""
    probe = os.path.join(programs, "probe")
    ours = os.path.join(TOP, "build", "host", "libgranary.so")
    glibc = [stats.pairs(line)["outcome"] for line in call(probe, "misuse")[1].splitlines()]
    granary = [stats.pairs(line)["outcome"] for line in call(probe, "misuse", LD_PRELOAD=ours)[1].splitlines()]
    assert len(glibc) == 9 and glibc[0] == "aborted" and "refused" not in glibc
    assert granary == ["refused"] * 9
    assert all(stats.pairs(line)["old"] > 0 for line in call(probe, "zero", LD_PRELOAD=ours)[1].splitlines())


def test_locked_instructions_of_a_local_and_a_remote_free(programs, tmp_path):
    """A pair of a thread's own has none but the pool's lock, for arenas and pages: once in 500 calls at most. A free of
    another's block has one, at least."""
    ours = host.Allocator("granary-fine", os.path.join(TOP, "build", "host", "libgranary.so"), {})
    glibc = host.Allocator("glibc", None, {})
    table = locked.measure(programs, [ours, glibc], str(tmp_path), lambda text: None)
    local, remote = table["pairs 2"]["granary-fine"], table["remote 2"]["granary-fine"]
    assert local["pool"] <= local["locked"] < local["pool"] + 0.0005 and local["pool"] < 2 / 500
    assert 1 <= remote["locked"] - remote["pool"] < 1.1
    assert table["pairs 2"]["glibc"]["locked"] > 0.1 and table["pairs 2"]["glibc"]["pool"] == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text, says", [("{", "an earlier run: "), ("{}", "this version: without speed, cold, ")])
def test_figures_that_are_none_get_one_line(tmp_path, text, says):
    (tmp_path / "figures.json").write_text(text)
    status, _, err = call("/usr/bin/python3", os.path.join(BENCH, "bench.py"), "--build", tmp_path, "--from",
                          tmp_path / "figures.json")
    assert status == 2 and says in err and err.count("\n") == 1


def test_a_library_that_is_not_preloaded_is_noticed(programs, tmp_path):
    """The dynamic linker goes on without it; the benchmark must not."""
    broken = tmp_path / "libmimalloc.so.2"
    broken.write_text("not a library")
    bench = host.Host(programs, [host.Allocator("mimalloc-2", str(broken), {})], None, lambda text: None)
    with pytest.raises(host.Problem, match="mimalloc-2: malloc comes from"):
        bench.check_preloading()


def test_launch_measures_the_command_alone(programs, tmp_path):
    """The big process that starts it must not show in the command's largest size; a hang has an end."""
    out = tmp_path / "out"
    ballast = bytearray(64 * MIB)
    launch = os.path.join(programs, "launch")
    assert call(launch, out, 10, "NAME=value", "--", "sh", "-c", 'test "$NAME" = value')[0] == 0
    line = stats.pairs(out.read_text())
    assert line["status"] == 0 and 0 < line["peak_kb"] < 16 * 1024 and len(ballast) == 64 * MIB
    start = time.monotonic()
    assert call(launch, out, 1, "--", "sh", "-c", "sleep 30 & wait")[0] == 0
    assert stats.pairs(out.read_text())["status"] == 124 and time.monotonic() - start < 10
    assert call(launch, out, 1, "--", "/no/such/program")[0] == 2


def test_callgrind_counts_the_preloaded_allocator(programs, tmp_path):
    """Its functions are in the counts, and the patterns alone cost the same whatever is preloaded."""
    found = host.Allocator("mimalloc", host.library_path("libmimalloc.so.[0-9]*"), {})  # of whichever release
    bench = host.Host(programs, [found], type("Plan", (), {"live": 1000}), lambda text: None)
    counts, own = bench.count(found, "count", str(tmp_path)), bench.count(found, "loop", str(tmp_path))
    assert 20 < counts["pair_32"] - own["pair_32"] < 200
    bench.count(found, "count", str(tmp_path))
    assert any("libmimalloc" in path.read_text() for path in tmp_path.glob("callgrind.*"))
    glibc = host.Allocator("glibc", None, {})
    assert bench.count(glibc, "loop", str(tmp_path))["pair_32"] == pytest.approx(own["pair_32"], abs=0.01)


def test_a_missing_peer_is_a_line(monkeypatch):
    monkeypatch.setattr(host, "library_path", lambda file: None if "mimalloc" in file else "/lib/" + file)
    lines = []
    assert [found.name for found in host.peers(lines.append)] == ["glibc", "jemalloc", "tcmalloc"]
    assert lines == [f"mimalloc-{number} is missing: `sh tools/setup.sh --only bench` installs it; it is left out"
                     for number in (2, 3)]


def test_times_are_divided_by_the_better_mimalloc():
    """Of those that the run had, over all of its traces."""
    a = {"glibc": [10], "mimalloc-2": [5], "mimalloc-3": [6]}
    b = {"glibc": [10], "mimalloc-2": [5], "mimalloc-3": [2]}
    for names, speed, best in (("glibc jemalloc", {"a": a}, "glibc"), ("glibc mimalloc-3", {"a": a}, "mimalloc-3"),
                               ("glibc mimalloc-2 mimalloc-3", {"a": a}, "mimalloc-2"),
                               ("glibc mimalloc-2 mimalloc-3", {"a": a, "b": b}, "mimalloc-3")):
        assert host.base({"allocators": names.split(), "speed": speed}) == best


def test_peers_tell_their_versions():
    """All that the list `test` installs are there: a mimalloc of some release, and the others."""
    lines = []
    found = host.peers(lines.append)
    assert {peer.name.split("-")[0] for peer in found} == {"glibc", "mimalloc", "jemalloc", "tcmalloc"}, lines
    for peer in found:
        assert re.fullmatch(r"[0-9]+\.[0-9][0-9.]*", host.version(peer)), peer


# ---- real programs with threads ----------------------------------------------------------------------------------

REDIS = os.path.join(BENCH, "work", "redis.sh")


def left_running(folder):
    """The names of the processes that are at work in a folder."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{process}/cwd") == str(folder):
                with open(f"/proc/{process}/comm", encoding="utf-8") as file:
                    found.append(file.read().strip())
        except OSError:  # it has ended, or is another user's
            pass
    return found


def within(seconds, condition):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_redis_serves_from_the_preloaded_heap(programs, tmp_path):
    """Debian links it with libjemalloc. It answers what it answers on the C library's heap."""
    commands = real.make_redis(str(tmp_path), os.path.join(BENCH, "work"))
    ours = os.path.join(TOP, "build", "host", "libgranary.so")
    answers = []
    for variables in ({}, {"LD_PRELOAD": ours, "GRANARY_STATS": "1"}):
        with open(commands, "rb") as stdin:
            done = subprocess.run(["bash", REDIS, tmp_path, "20"], stdin=stdin, env=dict(os.environ, **variables),
                                  capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        answers.append(done.stdout)
        assert within(10, lambda: left_running(tmp_path) == [])
    served = [stats.pairs(line) for line in done.stderr.splitlines() if "program=redis-server" in line]
    assert len(served) == 1 and served[0]["frames_peak"] * 4096 > 16 * MIB and served[0]["reports"] == 0
    assert answers[0] == answers[1] and re.search(r"^errors: 0, replies: \d{6}$", answers[0], re.M)
    assert re.search(r"^[0-9a-f]{40}$", answers[0], re.M), "DEBUG DIGEST was refused"


@pytest.mark.parametrize("server, says", [
    ("echo no memory; exit 3", "the server ended before it opened its socket; its last words: no memory"),
    ("exit 3", "the server ended before it opened its socket; its last words: nothing"),
    ("echo loading; exec sleep 60", "the server has not opened its socket after 1 s; its last words: loading"),
])
def test_a_server_that_does_not_come_gets_one_line(tmp_path, server, says):
    (tmp_path / "redis-server").write_text(f"#!/bin/sh\n{server}\n")
    (tmp_path / "redis-server").chmod(0o755)
    start = time.monotonic()
    assert call("bash", REDIS, tmp_path, 1) == (1, "", f"redis.sh: {says}\n")
    assert time.monotonic() - start < 10
    assert within(10, lambda: left_running(tmp_path) == [])


def test_a_server_that_dies_is_told(programs, tmp_path, monkeypatch):
    """In the middle of its work, as from a heap's report."""
    real.make_redis(str(tmp_path), os.path.join(BENCH, "work"))
    (tmp_path / "die").write_text(real.request("SET", "key", "value") + real.request("DEBUG", "SEGFAULT"))
    program = real.Program("redis", ["bash", REDIS, str(tmp_path), "20"], str(tmp_path / "die"), {})
    with pytest.raises(host.Problem, match="^redis with glibc: status 1 .*(redis.log$|Segmentation)"):
        real.launch(program, host.Allocator("glibc", None, {}), os.path.join(programs, "launch"), str(tmp_path))
    assert within(10, lambda: left_running(tmp_path) == [])


@pytest.mark.parametrize("killed", ["launch", "by launch"])
def test_no_server_is_left_running(programs, tmp_path, killed):
    """Neither when launch is killed, as at Ctrl-C, nor when the time is up."""
    real.make_redis(str(tmp_path), os.path.join(BENCH, "work"))
    command = [os.path.join(programs, "launch"), tmp_path / "out", "60" if killed == "launch" else "10", "--",
               "bash", REDIS, tmp_path, "20"]
    with subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as launch:
        assert within(10, lambda: {"redis-server", "redis-cli"} <= set(left_running(tmp_path)))
        if killed == "launch":
            launch.send_signal(signal.SIGKILL)
        assert within(20, lambda: "redis-server" not in left_running(tmp_path))
        launch.stdin.close()  # what redis-cli waits for
        assert within(10, lambda: left_running(tmp_path) == [])


def test_mean_of_the_programs_with_threads():
    """Of them alone; none without one of them, and none in a run of before there were any."""
    twice = {"glibc": {"wall_ns": [1, 2]}, "x": {"wall_ns": [2, 4]}}
    figures = {"programs": {"perl": {"glibc": {"wall_ns": [2]}, "x": {"wall_ns": [1]}}}}
    assert tables.program_mean(figures, "x", "wall_ns", real.THREADED) is None
    figures["programs"].update({name: twice for name in real.THREADED})
    assert tables.program_mean(figures, "x", "wall_ns", real.THREADED) == pytest.approx(2)
    assert tables.program_mean(figures, "x", "wall_ns") == pytest.approx(2 ** 0.5)
    figures["programs"]["redis"] = {"glibc": {"wall_ns": [1]}}
    assert tables.program_mean(figures, "x", "wall_ns", real.THREADED) is None


# ---- the command -------------------------------------------------------------------------------------------------

def bench_command(*words, **variables):
    return call("/usr/bin/python3", os.path.join(BENCH, "bench.py"), "--build", os.path.join(TOP, "build"), *words,
                **variables)


@pytest.mark.parametrize("there, missing", [
    (["gcc"], "valgrind"),
    (["gcc", "valgrind", "objdump", "qemu-system-i386", "bochs", "git", "sqlite3", "perl", "clang"], "ld.lld"),
    (["gcc", "valgrind", "objdump", "qemu-system-i386", "bochs", "git", "sqlite3", "perl", "clang", "ld.lld"],
     "redis-check-rdb"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_missing_program_is_named_with_its_package(programs, tmp_path, there, missing):
    """Before anything is measured."""
    for name in there:
        (tmp_path / name).symlink_to(shutil.which(name))
    status, out, err = bench_command("--quick", PATH=str(tmp_path))
    assert (status, out) == (2, "")
    assert err == f"bench: {missing} is missing: `sh tools/setup.sh --only test` installs it\n"


def test_no_traces_and_no_earlier_run_are_told(programs, tmp_path):
    status, _, err = bench_command("--quick", "--traces", str(tmp_path))
    assert status == 2 and err.strip().splitlines()[-1].startswith("bench: no traces (*.mtrace, *.mtrace.xz) in ")
    status, _, err = bench_command("--from", str(tmp_path / "figures.json"))
    assert status == 2 and "not the figures of an earlier run" in err and "Traceback" not in err


def test_quick_run():
    """The whole of it: every table, every allocator, no failure, the figures and the plots saved."""
    status, out, err = call("make", "--no-print-directory", "-C", TOP, "bench", "QUICK=1")
    assert status == 0, err[-2000:] + out[-2000:]
    for name in ("glibc", "mimalloc-", "jemalloc", "tcmalloc", "granary-seed", "granary-fine"):
        assert name in out
    for title in ("Time per operation", "Peak resident memory", "Still resident", "Slow calls", "Patterns, ns",
                  "Patterns, instructions", "Who clears", "Real programs", "In the kernel, 32-bit",
                  "instructions for a pair of sys_malloc and sys_free", "Figures to reach",
                  "  real programs with threads: wall time", "  real programs with threads: largest resident size"):
        assert title in out, title
    folder = os.path.join(TOP, "build", "bench")
    with open(os.path.join(folder, "figures.json"), encoding="utf-8") as file:
        figures = json.load(file)
    assert figures["errors"] == [] and len(figures["traces"]) == 2
    assert set(figures["programs"]) >= set(real.THREADED) | {"python3", "gcc", "git", "sqlite3", "perl"}
    assert all(len(row["granary-fine"]) == figures["rounds"] for row in figures["speed"].values())
    summary = [line for line in out.splitlines() if line.startswith("bench: ") and " not met, " in line]
    assert len(summary) == 1 and int(summary[0].split()[1]) >= 10 and summary[0].endswith(" 0 not measured")
    for name in ("speed", "footprint", "growth", "kernel"):
        with open(os.path.join(folder, f"bench-{name}.svg"), encoding="utf-8") as file:
            assert "<svg" in file.read(2000)
    again = call("make", "--no-print-directory", "-C", TOP, "bench", f"FROM={folder}/figures.json")
    assert again[0] == 0 and summary[0] in again[1]
