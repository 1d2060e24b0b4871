"""The prompt: every command, its usage line, editing, history, completion; on the serial line and by the keyboard."""

import re
import subprocess
import time

import pexpect
import pytest

PROMPT = "granary> "
WIDE = (24, 500)  # no line is broken: tests/e2e/test_terminal.py is about that
MORE = "--more-- (Space: next page, q: end)"
WHO_1 = "0x00000001: the null page, not mapped; as a physical address, byte 1 of real mode's interrupt vectors"
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def prompt_of(args):
    """A machine of its own with these options, at its prompt."""
    import conftest  # pylint: disable=import-outside-toplevel
    console = pexpect.spawn(conftest.PYTHON, [
        f"{conftest.ROOT}/tools/run.py", "--interactive", "--image", f"{conftest.E2E}/hd.img", f"--args={args}"],
        cwd=conftest.ROOT, timeout=30, encoding="utf-8", dimensions=WIDE)
    console.expect_exact(PROMPT)
    return console


@pytest.fixture(scope="module")
def _console():
    """One machine for most tests; the demonstration would only take time."""
    console = prompt_of("demo=no")
    yield console
    console.send("\x15halt\r")
    console.expect_exact("granary: halt passed")
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0


@pytest.fixture
def ask(_console):
    """ask(LINE): what the command printed, as lines, without the echo."""
    def run(line):
        _console.send(line + "\r")
        _console.expect_exact("\n")  # the end of the echo
        answer = ""
        while _console.expect_exact([PROMPT, MORE]) == 1:  # a list longer than the screen
            answer += _console.before
            _console.send(" ")
            _console.expect_exact("\r")
        return ANSI.sub("", answer + _console.before).replace("\r", "").split("\n")[:-1]
    return run


# ---- commands -------------------------------------------------------------------------------------------------------

COMMANDS = ("help mem pools descs arenas heap map watch who peek malloc free realloc check leaks trace test bugs "
            "classic sizes replay ls run kill ps cpus options halt reboot").split()


def test_help_lists_every_command(ask):
    assert [line.split()[0] for line in ask("help")] == COMMANDS


def test_help_on_one_command_has_an_example_that_runs(ask):
    for command in COMMANDS:
        usage, example = ask(f"help {command}")
        assert usage.startswith(command) and ": " in usage
        words = example.removeprefix("example: ").split()
        assert words[0] in (command, "exit")
        if command not in ("watch", "test", "trace", "sizes", "replay", "halt", "reboot"):  # they change more
            answer = ask(" ".join(words))
            assert not any(line.startswith(("usage: ", "unknown ")) for line in answer), answer


def test_other_names_of_commands(ask):
    assert ask("?") == ask("help")
    assert ask("classes") == ask("sizes")
    for name in ("exit", "quit", "halt"):
        assert ask(f"help {name}")[0].startswith("halt: ")
    assert ask("help nonsense") == ["unknown command 'nonsense': try help"]


WRONG = ["who", "who x", "who 0x", "who 0x123456789", "who 1 2 3", "who 1 x", "peek", "peek x", "peek 1 0",
         "peek 1 513", "malloc", "malloc -1", "malloc 4294967296", "malloc 1k", "free", "free p", "free 0x80000000 2",
         "realloc", "realloc 1", "realloc 1 x", "mem 1", "pools x", "descs x", "arenas x", "arenas 16 32", "map x",
         "map user", "map 9999999", "map 1 0", "map 1 2 3", "map user 1 2 3", "watch x", "watch 1 2", "watch 99999",
         "map of", "map of x", "map of 1 2", "heap", "heap x", "check 1", "leaks x", "leaks 1 2", "trace yes",
         "trace on off", "test a b", "bugs 0", "bugs 99", "bugs x", "bugs 1 broken",
         "sizes 17", "sizes 16 32", "classes 17", "replay x", "ps -a", "halt now", "exit 1", "reboot 1", "options x",
         "help a b", "mem a b c d e f g h i"]


@pytest.mark.parametrize("line", WRONG)
def test_wrong_words_are_a_usage_line(ask, line):
    """Nothing is half obeyed."""
    command = {"classes": "sizes", "exit": "halt"}.get(line.split()[0], line.split()[0])
    assert ask(line)[-1].startswith(f"usage: {command}")


@pytest.mark.parametrize("line, why", [
    ("who", "who: too few words"), ("who 1 2 3", "who: too many words"), ("who x", "'x': not a number of 32 bits"),
    ("malloc 4294967296", "'4294967296': not a number of 32 bits"), ("peek 1 513", "'513': not within 1 .. 512"),
    ("watch 99999", "'99999': not within 0 .. 3600"), ("map user", "'user': from which frame?"),
    ("map 1 2 3", "'3': one word too many"), ("watch 1 2", "'2': not load"),
    ("trace yes", "'yes': neither on nor off"), ("bugs 1 broken", "'broken': not fixed")])
def test_what_is_wrong_is_said(ask, line, why):
    answer = ask(line)
    assert answer[0] == why and len(answer) == 2


def test_an_unknown_command_is_named(ask):
    assert ask("allocate 12") == ["unknown command 'allocate': try help"]
    assert ask("") == [] and ask("   ") == []


@pytest.mark.parametrize("typed, meant", [("maloc", "malloc"), ("pee", "peek"), ("sp", "ps"), ("hlep", "help"),
                                          ("exti", "exit"), ("map1", "map")])
def test_a_slip_is_answered_with_what_was_meant(ask, typed, meant):
    assert ask(typed) == [f"unknown command '{typed}': did you mean {meant}?"]


def test_malloc_who_free(ask):
    answer = ask("malloc 24")
    assert len(answer) == 1
    match = re.fullmatch(
        r"(0x[0-9a-f]{8}): (block \d+ of the 32-byte arena 0x[0-9a-f]{8}, kernel_pool frame \d+, live)", answer[0])
    assert match, answer
    pointer, sentence = match.groups()
    assert ask(f"who {pointer}") == [f"{pointer}: {sentence}"]
    assert ask(f"who {int(pointer, 16)}") == [f"{pointer}: {sentence}"]
    assert ask(f"who {int(pointer, 16) + 5:#x}")[0].endswith(": byte 5 of " + sentence)
    assert ask(f"free {pointer}") == []
    assert ask(f"who {pointer}") == [f"{pointer}: {sentence[:-4]}free"]
    report = ask(f"free {pointer}")
    assert len(report) == 1
    assert report[0].startswith(f"heap: double free: {pointer}: {sentence[:-4]}free; called from run_free+0x")
    assert report[0].endswith(", thread main")


def test_large_and_impossible_sizes(ask):
    pointer = ask("malloc 5000")[0].split(":")[0]
    assert ask(f"who {pointer}")[0].startswith(f"{pointer}: byte 0 of the large area {pointer} of 2 frames, ")
    other = ask(f"realloc {pointer} 20")[0].split(":")[0]
    assert "block" in ask(f"who {other}")[0]
    assert ask(f"realloc {other} 0") == ["null: nothing was asked for"]
    assert ask("malloc 0") == ["null: nothing was asked for"]
    assert ask("malloc 0xffffffff") == ["null: no memory for 4294967295 bytes"]
    assert ask("malloc 40000000") == ["null: no memory for 40000000 bytes"]
    report, answer = ask(f"realloc {other} 20")
    assert report.startswith("heap: not allocated: ") or report.startswith("heap: double free: "), report
    assert answer == "null: refused"
    assert ask("free 0") == []


def test_pools_descs_arenas_mem(ask):
    pointer = ask("malloc 100")[0].split(":")[0]
    lines = ask("pools")
    assert [line.split()[0] for line in lines[::2]] == ["kernel_pool", "user_pool"]
    for pool, runs in zip(lines[::2], lines[1::2]):
        longest = int(re.fullmatch(r" +\d+ free runs?, the longest of (\d+) frames", runs)[1])
        assert int(pool.split()[3]) / 2 < longest <= int(pool.split()[3])
    assert [line.split()[0] for line in ask("descs")] == ["block", "16", "32", "64", "128", "256", "512", "1024"]
    assert any("128-byte blocks" in line for line in ask("arenas"))
    assert all("128-byte blocks" in line for line in ask("arenas 128")[1:])
    assert ask("arenas 48")[1:] == ["none"]
    assert ask("mem") == ask("pools") + [line for line in ask("mem") if line.startswith("heap ")] + ask("descs")
    ask(f"free {pointer}")


def test_arenas_names_the_empty_arena_that_is_kept(ask):
    pointer = ask("malloc 1000")[0].split(":")[0]
    assert ask("arenas 1024")[1].endswith(" 1 live, 0 free, 3 never handed out")
    ask(f"free {pointer}")
    assert ask("arenas 1024")[1].endswith(" reserve, 1 free, 3 never handed out")


def test_check_and_leaks(ask):
    assert ask("check") == ["heap check: every invariant holds"]
    before = ask("leaks")
    pointers = [ask("malloc 500")[0].split(":")[0] for _ in range(3)]
    assert "leaks: 3 blocks, 1536 bytes in blocks of 512" in ask("leaks")
    for pointer in pointers:
        ask(f"free {pointer}")
    assert ask("leaks") == before
    assert before[-1] == "leaks: call sites: make run CHECK=1"


def test_peek(ask):
    pointer = ask("malloc 64")[0].split(":")[0]
    lines = ask(f"peek {pointer}")
    assert len(lines) == 4
    assert all(re.fullmatch(r"0x[0-9a-f]{8}:( [0-9a-f]{2}){16}  .{16}", line) for line in lines)
    assert len(ask(f"peek {int(pointer, 16) + 3} 1")) == 1
    assert ask("peek 0") == ["0x00000000: not mapped"]
    assert ask("peek 0xffffffff 16") == ["0xffffffff: not mapped"]
    assert ask("peek 0xf8000000") == ["0xf8000000: not mapped"]  # the first stack's guard page
    ask(f"free {pointer}")


def test_trace(ask):
    assert ask("trace")[0] == "trace is off; the last calls:"
    assert ask("trace on") == []
    assert ask("trace on") == ["trace is on already"]
    answer = ask("malloc 24")
    pointer = answer[-1].split(":")[0]
    line = rf"trace: \d+: malloc\(24\) = {pointer} by run_malloc\+0x[0-9a-f]+, thread 1"
    assert re.fullmatch(line, answer[0]), answer
    moved = ask(f"realloc {pointer} 900")
    assert f"realloc({pointer}, 900) = {moved[-1].split(':')[0]} by run_realloc+0x" in moved[0]
    freed = ask(f"free {moved[-1].split(':')[0]}")
    assert len(freed) == 1 and f"free({moved[-1].split(':')[0]}) by run_free+0x" in freed[0]
    assert ask("trace off") == []
    assert len(ask("malloc 16")) == 1  # quiet again
    assert len(ask("trace")) == 4


def test_trace_while_threads_allocate(ask):
    """Calls of several threads overlap; each is written down once, with its result."""
    ask("trace on")
    ask("test soak*,heap_storm*,thread_create*")  # stops the trace: a test may need the debug exception
    assert ask("trace")[0].startswith("trace is off")
    assert ask("check") == ["heap check: every invariant holds"]


def test_tests_run_at_the_prompt(ask):
    assert ask("test lib_print")[-1] == "tests: 1 passed, 0 failed"
    assert ask("test no_such_test")[-1] == "tests: 0 passed, 1 failed"


def test_classic(ask):
    """The seed's own heap: what its header costs at each size, and its list, which is a queue."""
    lines = ask("classic")
    rows = [line.split() for line in lines[1:8]]
    assert [row[:2] + row[4:5] for row in rows] == [
        ["16", "255", "0.4"], ["32", "127", "0.8"], ["64", "63", "1.6"], ["128", "31", "3.1"], ["256", "15", "6.3"],
        ["512", "7", "12.5"], ["1024", "3", "25.0"]]
    assert lines[8].split()[-7:-4] == ["64", "bytes", "1.6"]
    counts = [int(re.search(r" cnt (\d+), large 0$", line)[1]) for line in lines[9:14]]
    assert counts == [62, 61, 60, 61, 60]
    took = [int(line.split()[2].rstrip(":"), 16) for line in lines[9:12] + lines[13:14]]
    assert [address - took[0] for address in took] == [0, 64, 128, 192]
    assert lines[14].endswith(" desc 0x00000000, cnt 2, large 1")
    assert lines[15] == "all freed: 0 frames held"


def test_sizes(ask):
    seed, fine, last = ask("sizes")
    assert seed == "seed * 16 32 64 128 256 512 1024"
    assert re.fullmatch(r"fine   16 32 48( \d+)+ 8192", fine)
    assert last.startswith("*: of this boot")
    assert ask("sizes 16,48,32") == ["'16,48,32': sizes that do not rise", "usage: sizes [TABLE]"]
    assert ask("sizes 16,32,48,64,80,96,112,128") == [
        'too long to hand over to the next boot: make run ARGS="sizes=16,32,48,64,80,96,112,128"']


def test_options_are_those_of_the_page(ask, root):
    """docs/options.md has a row for each option of the kernel's own table, with the same words, and no other."""
    with open(f"{root}/docs/options.md", encoding="utf-8") as page:
        rows = re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", page.read().replace("\\|", "/"), re.M)
    assert [" ".join(line.replace("|", "/").split()) for line in ask("options")] == [" ".join(row) for row in rows]

def test_bugs(ask):
    museum = ask("bugs")
    assert len(museum) >= 15
    assert [int(line.split()[0]) for line in museum] == list(range(1, len(museum) + 1))
    assert ask("bugs 1")[-1] == "bugs: 1 double-free: as planned"
    assert ask("bugs 1 fixed")[-1] == "bugs: 1 double-free: silent, as it should be"


def test_ps(ask):
    lines = ask("ps")
    assert lines[0].split() == ["tid", "name", "state", "priority", "ticks", "stack", "used"]
    assert [line.split()[1] for line in lines[1:]] == ["main", "idle"]


# ---- pictures -------------------------------------------------------------------------------------------------------

def test_map(ask):
    lines = ask("map")
    assert lines[0].startswith("kernel_pool: ") and "a cell is" in lines[0]
    assert any(line.startswith("user_pool: ") for line in lines)
    rows = [line[9:] for line in lines if re.match(r" +\d+ ", line)]
    assert len(rows) <= 14 and all(len(row) <= 64 for row in rows)
    assert set("".join(rows)) <= set("12345678#+.! ") and "!" not in "".join(rows)
    pointer = ask("malloc 4000000")[0].split(":")[0]  # many cells of a large area
    assert "".join(ask("map")).count("#") > "".join(rows).count("#") + 100
    ask(f"free {pointer}")


@pytest.mark.parametrize("line", ["help", "mem", "arenas", "ps", "map", "peek 0x80100000", "bugs"])
def test_lines_fit_the_screen(ask, line):
    """80 columns, of which the last one is left to the cursor: what wraps is hard to read, and spoils `watch`."""
    answer = ask(line)
    assert answer and [text for text in answer if len(text) > 79] == []


def test_map_has_colours(_console):
    _console.send("map\r")
    _console.expect_exact("\n")
    _console.expect_exact(PROMPT)
    assert "\x1b[0;30;46m" in _console.before and _console.before.count("\x1b[0m") > 10


def test_watch_ends_by_itself_and_by_a_key(ask, _console):
    lines = ask("watch 1 load")
    assert sum(line.startswith("kernel_pool: ") for line in lines) == 2
    _console.send("watch load\r")
    _console.expect_exact("any key ends")
    _console.send("q")  # taken: it is not typed at the prompt
    _console.expect_exact(PROMPT)
    assert ask("who 1") == [WHO_1]
    assert ask("check") == ["heap check: every invariant holds"]
    assert [line.split()[1] for line in ask("ps")[1:]] == ["main", "idle"]


@pytest.mark.parametrize("rate", [19, 1000])
def test_watch_counts_seconds_whatever_the_rate_of_ticks(rate):
    """Two pictures, the second half a second after the first."""
    console = prompt_of(f"demo=no hz={rate}")
    console.send("watch 1\r")
    console.expect_exact("\n")
    console.expect_exact(PROMPT)
    ticks = [int(count) for count in re.findall(r"(\d+) ticks; any key ends", console.before)]
    assert len(ticks) == 2 and rate // 2 - 1 <= ticks[1] - ticks[0] <= rate // 2 + rate // 20 + 1
    console.send("halt\r")
    console.expect(pexpect.EOF)


# ---- the line -------------------------------------------------------------------------------------------------------

KEYS = [
    ("wo\x1b[Dh\x1b[C 1", "who 1"),  # left, right
    ("o 1\x1b[Hwh", "who 1"),        # Home
    ("xwho 1\x1b[1~\x1b[3~", "who 1"),
    ("who 12\b", "who 1"),
    ("who 12\x7f", "who 1"),
    ("free 3\x15who 1", "who 1"),
    ("who 1 2\x1b[D\x1b[D\x0b", "who 1"),
    ("who free\x17" + "1", "who 1"),
    ("\x1bwho 1", "who 1"),          # a lone Escape costs no key
    ("who \x1b[24~1", "who 1"),      # a key that means nothing here
    ("wh\t1", "who 1"),              # Tab
]


@pytest.mark.parametrize("keys, line", KEYS)
def test_editing(ask, keys, line):
    assert ask(keys) == ask(line) == [WHO_1]


def test_history(ask):
    ask("who 1")
    ask("who 2")
    assert ask("\x1b[A") == [WHO_1.replace("1", "2")]
    assert ask("\x1b[A\x1b[A") == [WHO_1]
    assert ask("\x10\x10\x0e") == [WHO_1]


def test_completion_lists(ask, _console):
    _console.send("re\t\t")
    _console.expect_exact("realloc  replay  reboot  ")
    _console.expect_exact(PROMPT + "re")
    _console.send("\x15")
    ask("")
    assert ask("trace of\t") == []
    assert ask("trace")[0].startswith("trace is off")


def test_tab_completes_arguments(ask):
    assert ask("tr\tof\t") == []
    assert ask("help mall\t")[0].startswith("malloc SIZE: ")
    assert ask("test lib_pri\t")[-1] == "tests: 1 passed, 0 failed"
    assert ask("bugs double\tf\t")[-1] == "bugs: 1 double-free: silent, as it should be"


def test_tab_shows_what_belongs_where_nothing_can_be_completed(_console):
    _console.send("realloc 0x88\t\t")
    _console.expect_exact("\nusage: realloc ADDRESS SIZE")
    _console.expect_exact(PROMPT + "realloc 0x88")
    _console.send("\x15\r")
    _console.expect_exact(PROMPT)


def test_control_c_inside_a_line_leaves_a_clean_line(_console, ask):
    _console.send("free 0x88000000\x1b[D\x1b[D\x03")
    _console.expect_exact("00^C\r\n")
    _console.expect_exact(PROMPT)
    assert ask("who 1") == [WHO_1]


# ---- machines that start again --------------------------------------------------------------------------------------

@pytest.fixture
def machine(root, image):
    """machine(ARGS, *MORE): an interactive run of its own."""
    started = []

    def start(args, *more):
        console = pexpect.spawn("/usr/bin/python3", [f"{root}/tools/run.py", "--interactive", "--image", image,
                                                     f"--args={args}", *more], cwd=root, timeout=40, encoding="utf-8",
                                dimensions=WIDE)
        started.append(console)
        console.expect_exact(PROMPT)
        return console
    yield start
    for console in started:
        console.close(force=True)


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_sizes_starts_again_with_another_table(machine, emulator):
    console = machine("demo=no", "--emulator", emulator)
    console.send("sizes fine\r")
    console.expect_exact("for this boot only: sizes=fine")
    console.expect_exact("classes: fine, 27 sizes up to 8192 bytes")
    console.expect_exact(PROMPT)
    console.send("reboot\r")  # once means once
    console.expect_exact("classes: seed, 7 sizes")
    console.expect_exact(PROMPT)
    console.send("halt\r")
    console.expect_exact("granary: halt passed")


def test_what_was_typed_ahead_of_a_restart_is_dropped_whole(machine):
    """A line whose beginning went to the machine before must not be run by the next one."""
    console = machine("demo=no")
    console.send("malloc 24\rreboot\r" + "".join(f"malloc {size}\r" for size in range(1000, 1500)))
    console.expect_exact("granary: restart")
    console.expect(r"\d+ characters typed ahead are dropped")
    console.expect_exact("Granary\r\n")
    console.expect_exact(PROMPT)
    console.send("leaks\r")
    console.expect_exact(PROMPT)
    assert console.before.count("\n") >= 2 and "blocks of 1024" not in console.before, console.before
    assert "unknown command" not in console.before


def test_replay_says_that_there_is_no_second_disk(machine):
    """Before it starts the machine again."""
    console = machine("demo=no")
    console.send("replay\r")
    console.expect_exact("no trace on the second disk: ")
    console.expect_exact(PROMPT)
    assert "Granary" not in console.before and "make replay TRACE=FILE" in console.before


def test_replay_says_that_the_second_disk_holds_no_trace(machine, tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(4096))
    console = machine("demo=no", "--disk2", str(disk))
    console.send("replay\r")
    console.expect_exact("no trace on the second disk: ")
    console.expect_exact(PROMPT)
    assert "Granary" not in console.before


def test_an_option_that_was_passed_over_is_said_above_the_prompt(machine):
    console = machine("hzz=100 guard")
    lines = console.before.replace("\r", "").split("\n")
    assert lines[-4:] == ["cmdline: unknown option 'hzz': did you mean hz=19..10000?",
                          "cmdline: 'guard' needs the checked build: make run CHECK=1",
                          "Type help for a list of commands, exit to leave.", ""]

def test_replay_replays_the_second_disk(machine, root, tmp_path):
    trace = tmp_path / "perl.mtrace"
    with open(trace, "wb") as raw:
        subprocess.run(["xz", "-dc", f"{root}/tests/traces/nasm.mtrace.xz"], stdout=raw, check=True)
    console = machine("demo=no", "--mem", "64", "--disk2", str(trace))
    console.send("replay\r")
    console.expect(r"replay: name=trace classes=seed ops=\d+ failed=0 ")
    console.expect_exact(PROMPT)


def test_bochs_prompt(machine):
    """Commands and the cursor keys in Bochs; the map too."""
    console = machine("demo=no", "--emulator", "bochs")
    console.send("malloc 2\x1b[D1\r")
    console.expect(r"(0x[0-9a-f]{8}): block \d+ of the 16-byte arena")
    console.expect_exact(PROMPT)
    console.send("map\r")
    console.expect_exact("user_pool: ")
    console.expect_exact(PROMPT)
    console.send("trace on\r")
    console.expect_exact(PROMPT)
    console.send("malloc 24\r")
    console.expect(r"trace: 1: malloc\(24\) = (0x[0-9a-f]{8}) by run_malloc\+0x")
    console.expect_exact(PROMPT)
    console.send("halt\r")
    console.expect_exact("granary: halt passed")


# ---- the keyboard ---------------------------------------------------------------------------------------------------

def keys_of(text):
    """QEMU's names of the keys that make a text."""
    names = {" ": "spc", "\r": "ret", "_": "shift-minus", "\t": "tab"}
    return [names.get(c, c) for c in text]


def test_the_keyboard_edits_too(root, image, tmp_path):
    """Typed on the PS/2 keyboard, with cursor keys, Delete and Home; the answer comes on the serial line."""
    import emulator  # pylint: disable=import-outside-toplevel
    log, monitor = tmp_path / "log", tmp_path / "monitor"
    command = emulator.qemu_command(emulator.image_with_args(image, "demo=no", str(tmp_path)), 32) + [
        "-serial", f"file:{log}", "-monitor", f"unix:{monitor},server=on,wait=off"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as qemu:
        try:
            wait(lambda: log.exists() and PROMPT in log.read_text(errors="replace"))
            keys = keys_of("ho 12") + ["home", "w", "end", "left", "delete", "ret"]
            type_keys(monitor, keys)
            wait(lambda: WHO_1 in log.read_text(errors="replace"))
            type_keys(monitor, ["up", "ret"])
            wait(lambda: log.read_text(errors="replace").count(WHO_1) == 2)
        finally:
            qemu.kill()


def wait(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def type_keys(monitor, keys):
    """One key at a time: the keyboard keeps 16 codes at most."""
    import socket  # pylint: disable=import-outside-toplevel
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(monitor))
        for key in keys:
            line.sendall(f"sendkey {key} 20\n".encode())
            time.sleep(0.08)
        line.settimeout(0.2)
        try:
            while line.recv(4096):
                pass
        except TimeoutError:
            pass
