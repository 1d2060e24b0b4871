"""The pictures of the documentation and the book: made by the tool, used by the text, and every answer typed.

What a picture says is checked against what the kernel itself says: the figures that `make replay` prints, the console
of the same run.
"""

import glob
import hashlib
import os
import re
import struct
import subprocess
import sys
from collections import Counter

import pexpect
import pytest

import test_docs

ROOT = test_docs.ROOT
TOOL = os.path.join(ROOT, "tools", "pictures", "pictures.py")
BUILD = os.path.join(ROOT, "build")
PYTHON = "/usr/bin/python3"
BOOK = sorted(os.path.relpath(path, ROOT) for path in glob.glob(f"{ROOT}/docs/book/*.md"))
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")

sys.path.insert(0, os.path.dirname(TOOL))

# Runs of `make` follow each other, and build/hd.img is what the last one left.
pytestmark = pytest.mark.xdist_group("make")


def pictures(*options, **how):
    return subprocess.run([PYTHON, TOOL, *options], capture_output=True, text=True, timeout=300, check=False, **how)


def listed():
    return [line.split()[0] for line in pictures("--list").stdout.splitlines()]


@pytest.fixture(scope="module", autouse=True)
def built():
    """The image with an empty command line, and the sampler."""
    make("all", "build/host/pictures/sample")


@pytest.fixture(scope="module")
def demo(built):
    """What tools/pictures/look.py finds in a run of the demonstration."""
    import booted
    return booted.look("demo", BUILD, "batch")


def make(*targets):
    done = subprocess.run(["make", "--no-print-directory", "-s", *targets], cwd=ROOT, capture_output=True, text=True,
                          timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


# ---- of a run's own records ------------------------------------------------------------------------

@pytest.fixture(scope="module")
def records(built, tmp_path_factory):
    """A file that QEMU wrote with -serial file:, of the demonstration and of a double free."""
    path = tmp_path_factory.mktemp("records") / "a run.events"
    subprocess.run([PYTHON, os.path.join(ROOT, "tools", "run.py"), "--image", os.path.join(BUILD, "hd.img"), "--args",
                    "batch bugs=1", "--events", str(path)], stdin=subprocess.DEVNULL, capture_output=True, timeout=100,
                   check=False, cwd=ROOT)
    return path


def test_records_become_pictures(records, tmp_path):
    """What the picture states is counted from the file, by other code."""
    import style
    done = pictures("--events", str(records), "--build", BUILD, "--out", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(os.listdir(tmp_path)) == ["classes.svg", "events.svg", "fragmentation.svg"]
    facts = style.read_stated(str(tmp_path), "events")["facts"]
    data = records.read_bytes()
    calls = [struct.unpack_from("<BBH5I", data, at) for at in range(24, len(data), 24)]
    live = {}
    for _, kind, _, _, size, pointer, result, _ in calls:
        if kind == 1:
            live.pop(pointer, None)
        elif not kind & 0x80 and result:
            live[result] = size
    assert facts["calls"] == facts["ends"][-1] == len(calls) > 10000
    assert facts["live"][-1] == sum(live.values())
    assert [calls[number - 1][1] for number in facts["refused"]] == [0x81]
    assert {tid: sum(counts) for tid, counts in facts["threads"].items()} == Counter(str(call[3]) for call in calls)
    bases = {(call[6] - 0x88000000) // 4096 for call in calls if call[6]}
    assert set(facts["frames"]) <= bases | {frame + more for frame in bases for more in range(64)}
    assert any(row[-1] != "0" for row in facts["rows"]) == bool(live)
    first = digest(tmp_path / "events.svg")
    assert pictures("--events", str(records), "--out", str(tmp_path), "events").returncode == 0
    assert digest(tmp_path / "events.svg") == first


@pytest.mark.parametrize("data, words", [
    (b"no records", "not a file of heap events: it does not start with HEVENTS1"),
    (struct.pack("<8s4I", b"HEVENTS1", 24, 0x88000000, 4096, 0), "no call is in it"),
    (struct.pack("<8s4I", b"HEVENTS1", 24, 0x88000000, 4096, 0) + b"\xe7", "cut off"),
])
def test_wrong_records_get_one_sentence(data, words, tmp_path):
    path = tmp_path / "wrong"
    path.write_bytes(data)
    done = pictures("--events", str(path), "--out", str(tmp_path), "events")
    assert done.returncode == 1 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_records_are_not_drawn_over_the_documentation(records):
    done = pictures("--events", str(records))
    assert done.returncode == 2 and "--events needs --out" in done.stderr


# ---- the tool -----------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["arena", "fragmentation", "demo"])
def test_the_same_kernel_gives_the_same_bytes(name, tmp_path):
    """One of each kind: memory of a run, a trace on the host, a screenshot."""
    made = []
    for turn in ("first", "second"):
        done = pictures("--build", BUILD, "--out", str(tmp_path / turn), name)
        assert (done.returncode, done.stderr) == (0, ""), done
        path = done.stdout.split(":")[0]
        assert os.path.getsize(path) > 5000
        made.append(digest(path))
    assert made[0] == made[1]


def test_another_trace_gives_another_picture(tmp_path):
    made = set()
    for trace in ("perl", f"{ROOT}/tests/traces/nasm.mtrace.xz"):
        done = pictures("--build", BUILD, "--out", str(tmp_path / os.path.basename(trace)), "--trace", trace, "classes")
        assert done.returncode == 0, done.stderr
        made.add(digest(done.stdout.split(":")[0]))
    assert len(made) == 2


@pytest.mark.parametrize("options, code, words", [
    (["no-such-picture"], 2, "no picture no-such-picture: there are memory-map, "),
    (["--no-such-option"], 2, "unrecognized arguments: --no-such-option"),
    (["--build", "/nowhere", "arena"], 1, "arena: no /nowhere/hd.img: make builds it"),
    (["--build", "/nowhere", "classes"], 1, "/nowhere/host/pictures/sample: No such file"),
    (["--trace", "/nowhere.mtrace", "latency"], 1, "latency: /nowhere.mtrace: No such file"),
    (["--out", "/proc/nowhere", "classes"], 2, "/proc/nowhere"),
])
def test_wrong_use_is_one_clear_line(options, code, words, tmp_path):
    done = pictures(*(["--out", str(tmp_path)] if "--out" not in options else []), *options)
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("usage:", " "))]
    assert done.returncode == code
    assert len(lines) == 1 and words in lines[0], done.stderr


def test_without_matplotlib_one_line_says_what_to_install(tmp_path):
    """A module of that name that cannot be imported is found before the real one."""
    (tmp_path / "matplotlib.py").write_text("raise ImportError('no matplotlib')\n")
    done = pictures("--out", str(tmp_path), "classes", env=dict(os.environ, PYTHONPATH=str(tmp_path)))
    assert done.returncode == 2
    assert done.stderr == "pictures: python3-matplotlib is missing: `sh tools/setup.sh --only test` installs it\n"


def test_a_scene_that_does_not_come_is_one_clear_line(built):
    """No demonstration, so nothing asks for the descriptors' state: the machine goes off before."""
    import booted
    import style
    with pytest.raises(style.Problem, match="^the scene demo: the machine ended before it came to heap_desc_state$"):
        booted.look("demo", BUILD, "batch demo=no")


# ---- what they say ------------------------------------------------------------------------------

def test_the_histogram_is_what_the_replay_counts():
    """The kernel's memory, read by GDB, against the line that the kernel prints of the same calls."""
    import booted
    import replay
    import traceformat as fmt
    import traces
    trace = traces.read("perl")
    found = booted.look("replay", BUILD, "batch replay=perl classes=seed", replay.default_mem(trace),
                        fmt.to_bytes(trace))
    said = dict(re.findall(r"(\w+)=(\S+)", make("replay", "TRACE=tests/traces/perl.mtrace.xz").splitlines()[-1]))
    calls = found["calls"]
    number = sum(count for _, count in calls)
    assert number == int(said["ops"]) == fmt.operation_count(trace)
    assert f"{sum(cost * count for cost, count in calls) / number:.2f}" == said["insn_per_op"]
    assert traces.rank(calls, 0.5) == int(said["insn_p50"])
    assert traces.rank(calls, 0.9999) == int(said["insn_p9999"])
    assert calls[-1][0] == int(said["insn_max"])


def test_the_frames_are_what_the_replay_holds():
    """The host's peak, with the records of as many frames at least, against the kernel's: chapter 9 says so."""
    import traces
    said = make("replay", "TRACE=tests/traces/perl.mtrace.xz")
    for table in ("seed", "fine"):
        peak = traces.sample(f"{BUILD}/host/pictures/sample", "perl", table)["peak"][0][0]
        kernel = int(re.search(rf"classes={table} frames_peak=(\d+)", said)[1])
        assert peak + peak * 80 // 4096 <= kernel <= peak + peak * 80 // 4096 + 8


def test_the_memory_is_what_the_run_says(demo):
    """The demonstration's table "at work", and its pools, against the memory that is drawn."""
    found = demo
    console = make("run", "ARGS=batch")
    live = {int(size): int(count) for size, count in
            re.findall(r"^ *(\d+) +\d+ \|[ \d]+\| +\d+ +(\d+) +\d+ \|", console, re.MULTILINE)}
    drawn = dict.fromkeys(live, 0)
    for arena in found["arenas"]:
        if not arena["large"]:
            drawn[arena["block_size"]] += arena["blocks_per_arena"] - arena["cnt"]
    assert drawn == live and sum(live.values()) > 10
    at_work = int(re.search(r"^kernel_pool:.*at work (\d+)", console, re.MULTILINE)[1])
    free = sum(length for _, length, is_free, _ in found["pools"][0]["runs"] if is_free)
    assert free == found["pools"][0]["free"] == at_work
    before, after = found["call"]["before"], found["call"]["after"]
    assert (after["cnt"], after["seal"]) == (before["cnt"] + 1, before["seal"] - 1)
    block = (found["call"]["pointer"] - before["base"]) // before["block_size"]
    assert after["map"][0] ^ before["map"][0] == 1 << block


def test_an_address_leads_to_its_frame(demo):
    """The walk by hand against the plan: page i of the heap's window is frame i of the pool."""
    walk = demo["walk"]
    frame = walk["address"] - 0x88000000 >> 12
    assert walk["table_entry"] & 0xfffff000 == demo["plan"]["pool"][0]["start"] + (frame << 12)
    assert walk["directory_entry"] & 1 and walk["table_entry"] & 3 == 3


# ---- what a picture states ------------------------------------------------------------------------

IMAGES = sorted(os.path.basename(path) for path in glob.glob(f"{ROOT}/docs/img/*"))
RUNS = [name for name in IMAGES if not name.startswith(("bench-", "web."))]  # make bench, make web-screenshot


def test_every_picture_states_what_the_run_says():
    """Those of the documentation against runs of this kernel; if another compiler has made it, those that it draws."""
    done = pictures("--build", BUILD, "--check")
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert set(said) == set(listed()) == {name.split(".")[0] for name in RUNS}
    assert said["fragmentation"] == said["classes"] == "as the run"
    same = {words for name, words in said.items() if name not in ("fragmentation", "classes")}
    assert len(same) == 1 and (same == {"as the run"} or " by GNU C11 " in min(same)), said


def test_every_step_of_the_two_calls_has_its_stage():
    """A function that the picture does not know is drawn as something else; the documentation's picture has none."""
    with open(f"{ROOT}/docs/img/calls.svg", encoding="utf-8") as file:
        assert "something else" not in file.read()


def test_a_picture_that_states_something_else_is_noticed(tmp_path):
    """One figure of it is changed, as if the run had changed; then the picture does not say what it states."""
    with open(f"{ROOT}/docs/img/classes.svg", encoding="utf-8") as file:
        text = file.read()
    (tmp_path / "classes.svg").write_text(text.replace("[16, ", "[17, ", 1))
    done = pictures("--build", BUILD, "--check", "--out", str(tmp_path), "classes")
    assert done.returncode == 1
    assert re.fullmatch(r"pictures: classes states other facts than the run: tables\.\w+\.\d+\.0: 17, now 16: "
                        r"make pictures makes it anew\n", done.stderr)
    (tmp_path / "classes.svg").write_text(text.replace("dc:description", "dc:subject"))
    done = pictures("--build", BUILD, "--check", "--out", str(tmp_path), "classes")
    assert done.returncode == 1 and "classes.svg does not say what it states: make pictures" in done.stderr


def numbers_of(heading, row):
    """The figures in a row of a table of docs/bench.md."""
    table = test_docs.read("docs/bench.md").split("\n" + heading, 1)[1].split("\n\n")[0]
    return [float(word) for word in re.findall(r"(?<=[ ])[\d.]+(?=[ ]|$)",
                                               re.search(rf"^  {re.escape(row)} .*$", table, re.MULTILINE)[0])]


def among(few, many):
    """Each as often at least; the order of the columns is the table's own."""
    return not Counter(few) - Counter(many)


@pytest.mark.parametrize("name, heading, digits", [
    ("bench-speed", "The same over ", 2), ("bench-footprint", "Peak resident memory over peak live bytes", 2),
    ("bench-kernel", "In the kernel, 32-bit, QEMU -icount", 1)])
def test_the_benchs_marks_are_in_its_tables(name, heading, digits):
    import style
    rows = style.read_stated(f"{ROOT}/docs/img", name)
    assert len(rows) > 4
    for trace, values in rows:
        shown = [round(value, digits) for value in values.values()]
        assert len(shown) > 1 and among(shown, numbers_of(heading, trace)), trace


def test_the_benchs_lines_are_in_its_tables():
    import style
    headings = (("Patterns, ns", 1), ("Patterns, instructions for a pair", 0))
    panels = style.read_stated(f"{ROOT}/docs/img", "bench-growth")
    assert len(panels) == 3
    for (_, lines), (heading, digits) in zip(panels, headings):
        for live in (1000, 10000, 100000, 1000000):
            shown = [round(dict(map(tuple, points))[live], digits) for points in lines.values()]
            assert len(shown) > 4 and among(shown, numbers_of(heading, f"live_{live}")), live
    assert all(round(cost, 1) in numbers_of("In the kernel: instructions for a pair of", f"live_{live}")
               for live, cost in panels[2][1]["seed"])


@pytest.mark.parametrize("name", [name for name in IMAGES if name.endswith(".svg")])
def test_the_ground_is_transparent_and_nothing_on_it_is_black_or_white(name):
    """A page may be light or dark. Black and white letters are in boxes of a colour."""
    with open(f"{ROOT}/docs/img/{name}", encoding="utf-8") as file:
        text = file.read()
    ground = re.search(r'<g id="patch_1">.*?</g>', text, re.DOTALL)[0]
    assert "fill: none" in ground
    assert "stroke: #000000" not in text and "stroke: #222222" not in text


# ---- the text -----------------------------------------------------------------------------------

def documents():
    return [os.path.relpath(path, ROOT) for path in glob.glob(f"{ROOT}/*.md") + glob.glob(f"{ROOT}/docs/**/*.md",
                                                                                       recursive=True)]


def test_every_picture_is_shown_and_every_shown_one_exists():
    shown = {}
    for document in documents():
        for words, target in IMAGE.findall(test_docs.read(document)):
            path = os.path.normpath(os.path.join(os.path.dirname(document), target))
            assert words, f"{document}: {target} has no words for who cannot see it"
            shown.setdefault(path, document)
    there = {os.path.relpath(path, ROOT) for path in glob.glob(f"{ROOT}/docs/img/*")}
    assert set(shown) - there == set()
    assert there - set(shown) == set()
    assert {os.path.splitext(os.path.basename(path))[0] for path in there
            if os.path.basename(path) in RUNS} == set(listed())


def test_every_chapter_has_its_parts():
    """A walk, a picture, three exercises to five, and an answer to each."""
    answers = test_docs.read("docs/book/answers.md").split("\n## ")
    chapters = [path for path in BOOK if re.match(r"\d\d-", os.path.basename(path))]
    assert len(chapters) == len(answers) - 1 == 11
    index = test_docs.read("docs/book/README.md")
    for path, answer in zip(chapters, answers[1:]):
        text = test_docs.read(path)
        assert text.startswith("# " + answer.splitlines()[0]), path
        assert f"]({os.path.basename(path)})" in index, path
        assert "\n**Walk" in text and IMAGE.search(text), path
        exercises = re.findall(r"^(\d)\. ", text.split("## Exercises")[1].split("[Answers]")[0], re.MULTILINE)
        assert exercises == re.findall(r"^(\d)\. ", answer, re.MULTILINE), path
        assert 3 <= len(exercises) <= 5, path


def typed():
    """[(section and command, [lines that must come out])] of answers.md."""
    found, section = [], ""
    for line in test_docs.read("docs/book/answers.md").splitlines():
        if line.startswith("## "):
            section = line[3:5].strip()
        code = re.match(r" {8}(.*)", line)
        if code and code[1].startswith("$ "):
            found.append([section, code[1][2:], []])
        elif code and code[1].startswith("> "):
            found[-1][1] += "\n" + code[1][2:]
        elif code:
            found[-1][2].append(code[1])
    return found


def comes_out(line, text):
    """True if a line of the text has the words of `line`, in any spacing; "..." is anything."""
    pattern = r"[ \t]+".join(r"\S*".join(map(re.escape, word.split("..."))) if word != "..." else r"(?:.*\S)?"
                          for word in line.split())
    return re.search(pattern, text)


@pytest.mark.parametrize("section, command, lines", typed(), ids=lambda value: str(value)[:40])
def test_every_answer_comes_out(section, command, lines):
    assert lines, command
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=300, check=False)
    for line in lines:
        assert comes_out(line, done.stdout), f"chapter {section}: {command}\n{done.stdout[-2000:]}{done.stderr[-500:]}"


def sessions():
    """[(document, [(command at the prompt, [lines that must come out])])]: each block starts with a fresh boot."""
    found = []
    for document in BOOK:
        block = None
        for line in test_docs.read(document).splitlines():
            code = re.match(r" {4}(?! )(.*)", line)
            if not code:
                block = None
            elif code[1].startswith("granary> "):
                if block is None:
                    block = []
                    found.append((document, block))
                block.append((code[1].partition("> ")[2], []))
            elif block is not None:
                block[-1][1].append(code[1])
    return found


@pytest.mark.parametrize("document, session", sessions(), ids=lambda value: str(value)[:40])
def test_every_session_goes_as_the_book_says(document, session):
    shell = pexpect.spawn("make", ["--no-print-directory", "-s", "run"], cwd=ROOT, timeout=60, encoding="utf-8",
                          dimensions=(50, 200))
    shell.expect_exact("granary> ")
    for command, lines in session:
        shell.sendline(command)
        shell.expect_exact("granary> ")
        said = shell.before.replace("\r", "").partition("\n")[2]
        for line in lines:
            assert comes_out(line, said), f"{document}: {command}\n{said}"
        assert lines or not said.strip(), f"{document}: {command} says more than the book\n{said}"
    shell.sendline("halt")
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus == 0


def test_an_answer_that_is_wrong_is_noticed():
    assert comes_out("a ... c", "a b\nc") is None
    assert comes_out("128   in frames_peak=... 7", "x 128 in frames_peak=12 7")
    assert not comes_out("128 in", "1281 in")
