"""The terminal of `make run` and `make bochs`: where its keys go, pasted text, the ways out, what is left at the end.

Only here a run has a user at a real (pseudo) terminal of 80 x 24.
"""

import os
import re
import signal
import socket
import subprocess
import termios
import time
import types

import pexpect
import pytest

import terminal as runner_terminal

PROMPT = "granary> "
MORE = "--more--"
LEAVE = "\x1d"  # Ctrl-]
BOTH = pytest.mark.parametrize("emulator", ["qemu", "bochs"])


@pytest.fixture
def session(root, image):
    """session(ARGS, *MORE, env=): run.py at a terminal of 80 x 24."""
    started = []

    def start(args, *more, env=None, columns=80):
        console = pexpect.spawn("/usr/bin/python3", [f"{root}/tools/run.py", "--auto", "--image", image,
                                                     f"--args={args}", *more], cwd=root, timeout=60, encoding="utf-8",
                                dimensions=(24, columns), env=env)
        console.delaybeforesend = None
        started.append(console)
        return console
    yield start
    for console in started:
        console.close(force=True)


def at_prompt(console):
    console.expect_exact(PROMPT)
    return console


def end(console):
    """The exit status, once the run is over."""
    console.expect(pexpect.EOF)
    console.close()
    return console.exitstatus


def text_of(console):
    """What came before the last match, as lines without escape sequences."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", console.before).replace("\r", "").split("\n")


# ---- keys -----------------------------------------------------------------------------------------------------------

@BOTH
def test_control_a_is_the_guest_s(session, emulator):
    console = at_prompt(session("demo=no", "--emulator", emulator))
    console.send("ho 12\x01w\x05\x08\r")  # the line's start, the line's end
    console.expect_exact("0x00000001: ")
    console.expect_exact(PROMPT)
    console.send("\x01x\r")  # QEMU's own way out
    console.expect_exact("unknown command 'x'")
    console.expect_exact(PROMPT)


@pytest.mark.parametrize("way", ["exit\r", "quit\r", "halt\r", "\x04", "x\b\x04"])
def test_ways_out_at_the_prompt(session, way):
    console = at_prompt(session("demo=no"))
    console.send(way)
    console.expect_exact("granary: halt passed")
    assert end(console) == 0


def test_how_to_leave_is_said_before_the_boot(session):
    console = session("demo=no")
    console.expect_exact("Granary\r\n")
    assert "`exit` or Ctrl-D" in console.before and "Ctrl-]" in console.before


@BOTH
def test_control_bracket_leaves_a_guest_that_hangs(session, emulator):
    console = session("selftest=hang", "--emulator", emulator)
    console.expect_exact("boot: ")
    console.send("x" * 5000 + LEAVE)  # whatever was typed before
    assert end(console) == 0


def test_control_c_without_an_answer_names_the_way_out(session):
    console = session("selftest=hang")
    console.expect_exact("boot: ")
    for _ in range(3):
        time.sleep(0.3)
        console.send("\x03")
    console.expect_exact("Ctrl-] ends the session")
    console.send(LEAVE)
    assert end(console) == 0


def settings(console):
    """The terminal's settings; the two first of special characters always differ."""
    return termios.tcgetattr(console.child_fd)[:4]


@pytest.mark.parametrize("how", ["exit", "leave", "panic", "term", "hang up"])
def test_the_terminal_is_what_it_was_at_every_end(session, image, root, how):
    console = pexpect.spawn("/bin/sh", ["-c", f"stty; echo before; /usr/bin/python3 {root}/tools/run.py --auto --image "
                                        f"{image} --args=demo=no; echo status $?; sleep 20"], timeout=60,
                            encoding="utf-8", dimensions=(24, 80))
    console.expect_exact("before")
    before = settings(console)
    console.expect_exact(PROMPT)
    assert settings(console) != before
    if how in ("term", "hang up"):
        children = subprocess.run(["pgrep", "-P", str(console.pid), "-f", "run.py"], capture_output=True, text=True,
                                  check=True).stdout.split()
        os.kill(int(children[0]), signal.SIGTERM if how == "term" else signal.SIGHUP)
    else:
        console.send({"exit": "exit\r", "leave": LEAVE, "panic": "bugs 26\r"}[how])
    console.expect_exact("status ")
    assert settings(console) == before
    console.close(force=True)


# ---- pasted text ----------------------------------------------------------------------------------------------------

def paste(console, lines):
    """Sends all of it at once, and returns all that is shown meanwhile, up to a mark at the text's end."""
    text = "".join(line + "\r" for line in lines) + "who 0xfffffff1\r"
    shown = ""
    while text or "0xfffffff1:" not in shown:
        sent = os.write(console.child_fd, text[:2048].encode()) if text else 0
        text = text[sent:]
        try:
            shown += console.read_nonblocking(1 << 16, timeout=0 if text else 60)
        except pexpect.TIMEOUT:
            assert text, "the pasted text is not taken any more: " + shown[-200:]
    return shown


def check_pasted(console, lines):
    """Each line was run once, in order, and nothing else."""
    shown = paste(console, lines)
    ran = re.findall(r"(?:granary> |^)(who 0x[0-9a-f]+) *\r\n(0x[0-9a-f]+):", shown)
    assert [command for command, _ in ran] == [line.rstrip() for line in lines] + ["who 0xfffffff1"]
    assert all(int(command.split()[1], 16) == int(answer, 16) for command, answer in ran)
    assert "unknown" not in shown and "usage" not in shown and "\a" not in shown


def test_a_hundred_kilobytes_are_run_exactly(session):
    """Short lines, whose answers take longer than they, and lines as long as a line may be."""
    console = at_prompt(session("demo=no", columns=500))
    check_pasted(console, [f"who {0xc0000000 + i:#x}".ljust(68 if i % 2 else 0) for i in range(2450)])


@BOTH
def test_sixty_lines_are_run_exactly(session, emulator):
    console = at_prompt(session("demo=no", "--emulator", emulator, columns=500))
    check_pasted(console, [f"who {0xc0000000 + i:#x}" for i in range(60)])


def test_text_pasted_before_the_prompt_is_run_exactly(session):
    console = session("", columns=500)
    check_pasted(console, [f"who {0xc0000000 + i:#x}" for i in range(200)])


def test_pasted_text_does_not_stop_at_a_page(session):
    """What follows a long list is the next command, not an answer to --more--."""
    console = at_prompt(session("demo=no", columns=500))
    shown = paste(console, ["bugs", "who 1", "quit now", "bugs", "peek 0xc0000000 512", "who 2"])
    assert shown.count("stack-overflow") == 2 and MORE not in shown
    assert "halt: too many words" in shown and "0x00000002:" in shown


def test_a_line_that_is_too_long_is_not_run_in_part(session):
    console = at_prompt(session("demo=no"))
    console.send("who 1" + " " * 80 + "2\r")
    console.expect_exact("longer than a line may be: not run")
    console.expect_exact(PROMPT)
    assert "0x00000001:" not in console.before


def test_control_c_drops_what_is_kept(session):
    """A long text that was pasted by mistake ends at once."""
    console = at_prompt(session("demo=no"))
    console.send("".join(f"who {i}\r" for i in range(3000)))
    time.sleep(0.3)
    console.send("\x03")
    console.expect_exact("^C")
    console.expect_exact(PROMPT)
    console.send("malloc 24\r")
    console.expect_exact("32-byte arena")
    assert "0x00000bb7" not in console.before  # 2999


# ---- 80 columns, 24 rows --------------------------------------------------------------------------------------------

def screen_rows(text, width=80):
    """The rows that a terminal shows of what was sent to it; pictures (ESC [ H) apart."""
    import test_screen  # pylint: disable=import-outside-toplevel
    terminal = test_screen.Terminal(width)
    terminal.show(text.replace("\x1b[m", ""))
    return [re.sub(r"\s+$", "", row) for row in terminal.rows]


def transcript_words(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", file.read()).split()


def test_no_word_is_broken_at_the_edge(session, tmp_path):
    """The boot, the demonstration and every command on 80 columns: the words are those of the transcript."""
    console = at_prompt(session("nonsense guard", "--transcript", str(tmp_path / "console")))
    shown = console.before
    for command in ("help", "help who", "mem", "arenas", "map", "who 0x88000000", "peek 0x80100000", "malloc 24",
                    "free 0x88000001", "check", "leaks", "trace", "bugs", "bugs 1", "sizes", "ps", "options",
                    "test lib*"):
        console.send(command + "\r")
        while console.expect_exact([PROMPT, MORE]) == 1:
            shown += console.before
            console.send(" ")
            console.expect_exact("\x1b[K")
            shown += "\r"
        shown += PROMPT + console.before
    rows = [row for row in screen_rows(shown) if row]
    assert max(map(len, rows)) <= 80
    seen = [word for row in rows for word in row.split()]
    said = [word for word in transcript_words(tmp_path / "console") if word not in
            ("--more--", "(Space:", "next", "page,", "q:", "end)")]
    seen = seen[seen.index("Granary", seen.index("ends")):] if "ends" in seen else seen
    assert [w for w in seen if w != "granary>"][:len(said)] == [w for w in said if w != "granary>"][:len(seen)]


@pytest.mark.parametrize("key, more", [(" ", True), ("\r", True), ("q", False), ("\x03", False)])
def test_a_list_longer_than_the_screen_stops_when_it_is_full(session, key, more):
    console = at_prompt(session("demo=no"))
    console.send("bugs\r")
    console.expect_exact(MORE)
    assert console.before.count("\n") == 24  # the command's own line, and 23
    assert "stack-overflow" not in console.before
    console.send(key)
    console.expect_exact("\x1b[K")
    console.expect_exact(PROMPT)
    assert ("stack-overflow" in console.before) == more
    console.send("who 1\r")
    console.expect_exact("0x00000001: ")


def test_another_command_at_a_page_s_end_is_not_eaten(session):
    console = at_prompt(session("demo=no"))
    console.send("bugs\r")
    console.expect_exact(MORE)
    console.send("quit now\r")  # begins like the key that ends the list
    console.expect_exact("stack-overflow")
    console.expect_exact("halt: too many words")


def test_nothing_stops_without_a_user(boot):
    run = boot("batch demo=no sizes=fine test=lib*")
    assert run.code == 0 and not any(MORE in line for line in run.lines)


# ---- panics ---------------------------------------------------------------------------------------------------------

@BOTH
def test_a_panic_names_file_and_line(boot, root, emulator):
    run = boot("batch demo=no selftest=fault", emulator)
    frames = [line for line in run.lines if line.startswith("  at ")]
    assert re.fullmatch(r"  at misbehave\+0x[0-9a-f]+ \[0x[0-9a-f]{8}\] (\S+ in )?kernel/museum/misbehave\.c:\d+",
                        frames[0]), frames
    path, line = re.search(r"(\S+):(\d+)", frames[0]).groups()
    with open(os.path.join(root, path), encoding="utf-8") as source:
        assert "= *nothing;" in source.read().split("\n")[int(line) - 1]  # the read of the null page
    assert re.search(r"\] kernel/main\.c:\d+$", frames[1])


def test_equal_frames_are_a_count(boot):
    run = boot("batch demo=no selftest=stack")
    frames = [line for line in run.lines if line.startswith("  at ")]
    count = [re.fullmatch(r"  \(the same (\d+) more times\)", line) for line in run.lines]
    assert sum(line.startswith("  at dive+") for line in frames) == 2  # where it happened, and the recursion
    assert sum(match is not None for match in count) == 1
    assert any(int(match[1]) > 20 for match in count if match)
    assert frames[-1].startswith("  at thread_begin+"), "what called the recursion is seen"


def test_a_panic_that_was_asked_for_is_no_error(session):
    console = at_prompt(session("demo=no"))
    console.send("bugs 26\r")
    console.expect_exact("panic: ")
    console.expect_exact("run: the kernel panicked, as it was asked to")
    assert end(console) == 0


def test_a_panic_that_was_not_asked_for_is_one(session):
    console = at_prompt(session("demo=no heap=panic"))
    console.send("free 1\r")
    console.expect_exact("run: the kernel panicked: panic: ")
    assert end(console) == 3


# ---- windows --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("emulator, display", [("qemu", None), ("qemu", ":77"), ("qemu", "nowhere.invalid:0"),
                                               ("qemu", "nonsense"), ("bochs", ":77")])
def test_without_a_display_it_goes_on_without_a_window(session, emulator, display):
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    if display:
        env["DISPLAY"] = display
    console = session("demo=no", "--emulator", emulator, "--gui", env=env)
    console.expect_exact("run: no window: ")
    at_prompt(console)
    console.send("exit\r")
    assert end(console) == 0


def test_a_window_without_a_terminal_is_a_batch_run_where_there_is_no_display(root, image):
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(["/usr/bin/python3", f"{root}/tools/run.py", "--auto", "--gui", "--image", image,
                           "--args=demo=no"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          env=env)
    assert done.returncode == 0 and done.stdout.endswith("granary: halt passed\n")
    assert done.stderr == "run: no window: there is no display (DISPLAY is not set)\n"


@pytest.mark.parametrize("offered, window", [("none\ngtk\nsdl", "gtk"), ("none\nsdl", "sdl"), ("none\ncurses", None)])
def test_the_window_is_one_that_qemu_has(monkeypatch, tmp_path, offered, window):
    """A display answers, and a QEMU says what it was built with."""
    import emulator  # pylint: disable=import-outside-toplevel
    qemu = tmp_path / "qemu-system-i386"
    qemu.write_text(f"#!/bin/sh\necho 'Available display backend types:\n{offered}'\n")
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":4242.0")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0/tmp/.X11-unix/X4242")
        server.listen(5)
        if window:
            assert emulator.window("qemu") == window
        else:
            with pytest.raises(emulator.RunError, match="qemu-system-gui"):
                emulator.window("qemu")


# ---- a reader that goes ---------------------------------------------------------------------------------------------

def test_a_reader_that_goes_is_no_error(root, image, tmp_path):
    done = subprocess.run(["/bin/sh", "-c", f"/usr/bin/python3 {root}/tools/run.py --auto --image {image} | head -2"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
                          env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.stdout.startswith("Granary\n") and done.stderr == ""
    assert os.listdir(tmp_path) == []


# ---- a guest that starts again --------------------------------------------------------------------------------------

def test_what_is_typed_at_the_new_prompt_is_not_dropped():
    """What was typed ahead is not for the next boot; a start that is quicker than a pause of typing is no reason."""
    session = runner_terminal.Session.__new__(runner_terminal.Session)  # without a terminal of its own
    session.text, guest = os.pipe()
    session.tail, session.log, session.screen = b"", None, types.SimpleNamespace(feed=lambda text: b"")
    session.to_guest, session.to_user = bytearray(b"typed ahead"), bytearray()
    session.dropping, session.awake = False, True
    os.write(guest, runner_terminal.RESTART)
    session.from_guest()
    assert session.dropping and not session.awake and not session.to_guest
    os.write(guest, b"Granary\r\n" + runner_terminal.PROMPT)
    session.from_guest()
    assert session.awake and not session.dropping
    os.close(guest)
    os.close(session.text)
