#!/usr/bin/python3
"""run.py - boots Granary's image in QEMU or Bochs, shows its console, and judges the run.

A run has passed only if all of these hold; each failure has a message and an exit status of its own:

  status  what happened
  0       passed, or the user left an interactive run
  1       the kernel itself says that something failed
  2       wrong use of this command, or the emulator is missing or did not start
  3       the kernel panicked
  4       a hang: the time-out went by
  5       the emulator ended, and the transcript's last line is not there
  6       the last line is there, and the emulator's exit says something else
  130     stopped with Ctrl-C

Why both the transcript and the exit: a kernel that crashes after its last line, and one whose exit
code is right by accident, must not look like success. Shortcoming: Bochs has one way to end for
passed and failed alike, so there the transcript alone tells these two apart.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
import tty
from collections import namedtuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)
import emulator as emu  # noqa: E402
import screen  # noqa: E402
import terminal  # noqa: E402
from cli import RunError, stop  # noqa: E402

# kernel/power.h: the last line, and boot/boot.inc: what QEMU's exit status is for each.
LAST_PASSED = "granary: halt passed"
LAST_FAILED = "granary: halt failed"
LAST_PANIC = "granary: halt panic"
QEMU_EXIT = {LAST_PASSED: 33, LAST_FAILED: 35, LAST_PANIC: 37}  # (value << 1) | 1

PASSED, FAILED, USAGE, PANIC, HANG, NO_LAST_LINE, WRONG_EXIT = range(7)

BOCHS_SHUTDOWN = "Shutdown port: shutdown requested"
BOCHS_TRIPLE_FAULT = "exception with no resolution"
BOCHS_NO_PORT = ">>PANIC<< RFB could not "  # bind or listen

PANIC_PLANNED = "bugs: this one ends in a panic"  # kernel/bugs.c: the user asked for it
WELCOME = "To leave: `exit` or Ctrl-D at the prompt. Ctrl-] ends the session at any time."

POLL_SECONDS = 0.02
GRACE_SECONDS = 5  # from the last line, or from a panic, to the emulator's end

# How a run ended. `status`: exit status, None if it had to be killed; `messages`: what the
# emulator itself said (standard error, Bochs's log).
Ending = namedtuple("Ending", "emulator status messages timed_out seconds")
Verdict = namedtuple("Verdict", "code message")


def transcript_lines(raw):
    """The console's text as lines; a final line break ends the last line and starts none."""
    text = raw.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines


def exit_says(ending):
    """What the emulator's end means: "passed", "failed", "panic", else a description of it."""
    if ending.status is None:
        return "the emulator was still running and was stopped"
    if ending.emulator == "bochs":
        if BOCHS_SHUTDOWN in ending.messages:
            return "passed"
        if BOCHS_TRIPLE_FAULT in ending.messages:
            return "triple fault"
        return f"Bochs ended by itself with status {ending.status}"
    for last, status in QEMU_EXIT.items():
        if ending.status == status:
            return last.split()[-1]
    if ending.status == 0:
        return "the machine was reset (a triple fault?) or switched off"
    return f"QEMU ended with status {ending.status}"


def last_words(lines, count=3):
    return "; the console ended with: " + " | ".join(lines[-count:]) if lines else "; the console stayed empty"


def judge(lines, ending):
    """The verdict over a transcript and an ending. Order matters: the worst news comes first."""
    last = lines[-1] if lines else ""
    told = exit_says(ending)
    panics = [line for line in lines if line.startswith("panic:")]
    if panics or last == LAST_PANIC:
        return Verdict(PANIC, "the kernel panicked: " + (panics[0] if panics else "no reason given"))
    if ending.timed_out and last not in QEMU_EXIT:
        return Verdict(HANG, f"hang: no last line within {ending.seconds:g} s" + last_words(lines))
    if last not in QEMU_EXIT:
        return Verdict(NO_LAST_LINE, f'the last line "{LAST_PASSED}" is missing, and the exit says: {told}'
                       + last_words(lines))
    if ending.status is None:
        return Verdict(HANG, f'hang: the emulator did not end after "{last}"')
    if last == LAST_FAILED:
        return Verdict(FAILED, "the kernel reports a failure" + last_words(lines))
    if told != "passed":
        return Verdict(WRONG_EXIT, f'wrong exit: the transcript says "{last}", the exit says: {told}')
    return Verdict(PASSED, "")


class ConsoleTail:
    """Follows the file that an emulator writes the console to, and copies it to standard output."""

    def __init__(self, path, out, view=None):
        self.path, self.out, self.view = path, out, view or screen.Screen()
        self.raw = b""
        self.done_at = None  # when a last line or a panic was first seen

    def poll(self):
        if not os.path.exists(self.path):
            return
        with open(self.path, "rb") as console:
            console.seek(len(self.raw))
            new = console.read()
        if not new:
            return
        self.raw += new
        if self.out:
            self.out.write(self.view.feed(new).replace(b"\r\n", b"\n"))
            self.out.flush()
        if self.done_at is None and any(
                line in QEMU_EXIT or line.startswith("panic:") for line in transcript_lines(self.raw)):
            self.done_at = time.monotonic()

    def end_line(self):
        """A console that stopped in the middle of a line must not run into what follows it."""
        if self.out and self.raw and not self.raw.endswith(b"\n"):
            self.out.write(b"\n")
            self.out.flush()


def watch(process, tail, timeout):
    """Waits for a batch run to end. Returns True if it ran out of time and was stopped."""
    start = time.monotonic()
    try:
        while process.poll() is None:
            now = time.monotonic()
            late = now - start > timeout
            stuck = tail.done_at is not None and now - tail.done_at > GRACE_SECONDS
            if late or stuck:
                return True
            time.sleep(POLL_SECONDS)
            tail.poll()
        return False
    finally:
        stop(process)
        tail.poll()
        tail.end_line()


def run_batch(opt, command, console_path, errors_path):
    """A run without a keyboard. Returns (lines, timed_out, status)."""
    tail = ConsoleTail(console_path, None if opt.quiet else sys.stdout.buffer, screen.Screen(opt.places))
    with open(errors_path, "wb") as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, cwd=emu.ROOT,
                                   env=cli.environment(os.path.dirname(errors_path)), preexec_fn=cli.tied)
        timed_out = watch(process, tail, opt.timeout)
    return transcript_lines(tail.raw), timed_out, None if timed_out else process.returncode


def run_on_terminal(opt, command, line, console_path, errors_path):
    """A run that a user types into. Returns (lines, user left, status)."""
    with open(errors_path, "wb") as errors:
        streams = {"stdin": subprocess.DEVNULL, "stdout": errors, **line.streams()}
        process = subprocess.Popen(command, **streams, stderr=errors, cwd=emu.ROOT,
                                   env=cli.environment(os.path.dirname(errors_path)), preexec_fn=cli.tied)
    try:
        with open(console_path, "wb") as console:
            session = terminal.Session(line.text, line.keys, lambda: process.poll() is not None,
                                       screen.Screen(opt.places, terminal.width), console)
            left = session.run()
    finally:
        stop(process)
    with open(console_path, "rb") as console:
        return transcript_lines(console.read()), left, process.returncode


class Line:
    """The guest's serial line: `keys` is written to, `text` read from.

    For QEMU two pipes, its standard input and output: a pipe holds 64 KiB of single characters, a socket some hundred,
    and what finds no room is lost before long. For Bochs a pseudo terminal, whose far end we keep open, too: without
    one it is an error to read from.
    """

    def __init__(self, emulator):
        self.far, self.name = [], None
        if emulator == "qemu":
            theirs, self.keys = os.pipe()
            self.text, ours = os.pipe()
            fcntl.fcntl(self.keys, fcntl.F_SETPIPE_SZ, 4096)  # little on its way, so that a Ctrl-C overtakes the rest
            self.far = [theirs, ours]
        else:
            self.keys, far = os.openpty()
            self.text = os.dup(self.keys)
            tty.setraw(far)
            self.far, self.name = [far], os.ttyname(far)

    def streams(self):
        """The emulator's standard input and output, where they are the line."""
        return {} if self.name else {"stdin": self.far[0], "stdout": self.far[1]}

    def close(self):
        for end in [self.keys, self.text] + self.far:
            os.close(end)


def build_command(opt, folder, image, console_path, line):
    """The emulator's command line. `line`: its serial line if a user types into the run, else None."""
    if opt.emulator == "qemu":
        command = emu.qemu_command(image, opt.mem, opt.accel, opt.icount, opt.disk2, reboots=opt.interactive,
                                   window=opt.window, cpus=opt.cpus)
        console = "stdio,signal=off" if line else f"file,path={emu.qemu_option_path(console_path)}"
        second = ["-chardev", f"file,path={emu.qemu_option_path(opt.events)},id=events", "-serial",
                  "chardev:events"] if opt.events else []
        return command + ["-chardev", f"{console},id=console", "-serial", "chardev:console", *second,
                          "-monitor", "none"]
    com1 = f"mode=term, dev={line.name}" if line else f"mode=file, dev={console_path}"
    rc = os.path.join(emu.ROOT, "tools", "debug", "go.bochs")
    return emu.bochs_command(folder, image, opt.mem, com1, rc, opt.disk2, window=opt.window,
                             events=opt.events and os.path.join(folder, "events"), cpus=opt.cpus)


def emulator_messages(folder, errors_path):
    """What the emulator said: its standard error and Bochs's log, as one text."""
    text = ""
    for path in (errors_path, os.path.join(folder, "bochs.log")):
        if os.path.exists(path):
            with open(path, errors="replace", encoding="utf-8") as messages:
                text += messages.read()
    return text


def did_not_start(ending, lines):
    """True for an emulator that refused its command line, or could not get its memory."""
    return not lines and not ending.timed_out and (
        ending.emulator == "qemu" and ending.status == 1 or
        ending.emulator == "bochs" and BOCHS_SHUTDOWN not in ending.messages and
        BOCHS_TRIPLE_FAULT not in ending.messages)


def emulator_complaint(messages):
    """The lines of an emulator's messages that a user wants to see when it did not start."""
    panic = re.search(r">>PANIC<< (.*)", messages)  # Bochs's; what follows is the state of its processor
    if panic:
        return panic[1]
    lines = [line for line in messages.splitlines() if line.strip() and "i[" not in line and not line.startswith("===")]
    return " | ".join(lines[-3:]) or "no reason given"


def boot(opt, folder):
    """Boots and watches once. Returns (lines, ending, user left)."""
    image = opt.image if opt.args is None else emu.image_with_args(opt.image, opt.args, folder)
    console_path = os.path.abspath(opt.transcript) if opt.transcript else os.path.join(folder, "console.txt")
    errors_path = os.path.join(folder, "errors.txt")
    with open(console_path, "wb"):
        pass  # a transcript of an earlier run must not be taken for this one's
    start = time.monotonic()
    timed_out = left = False
    if opt.interactive:
        with contextlib.closing(Line(opt.emulator)) as line:
            command = build_command(opt, folder, os.path.abspath(image), console_path, line)
            lines, left, status = run_on_terminal(opt, command, line, console_path, errors_path)
    else:
        command = build_command(opt, folder, os.path.abspath(image), console_path, None)
        lines, timed_out, status = run_batch(opt, command, console_path, errors_path)
    seconds = min(opt.timeout, time.monotonic() - start)
    ending = Ending(opt.emulator, status, emulator_messages(folder, errors_path), timed_out, round(seconds, 1))
    return lines, ending, left or opt.window and ending.status == 0  # QEMU's window was closed


def attempt(opt, folder):
    """boot(), and again if Bochs got no port for its VNC server: it tries 50, but others may start with it."""
    for again in (True, True, False):
        lines, ending, left = boot(opt, folder)
        if not did_not_start(ending, lines):
            return lines, ending, left
        if not again or BOCHS_NO_PORT not in ending.messages:
            break
        time.sleep(1)
    raise RunError(f"{opt.emulator} did not start: {emulator_complaint(ending.messages)}")


def run_once(opt):
    """Boots, watches, judges. Returns the verdict."""
    opt.interactive = opt.must_interact or opt.auto and (sys.stdin.isatty() or opt.window)
    if opt.auto and not opt.interactive:
        opt.args = f"{opt.args or ''} batch".strip()
    if opt.interactive and sys.stdout.isatty():
        print(WELCOME, flush=True)
    with cli.folder("run") as folder:
        try:
            lines, ending, left = attempt(opt, folder)
        finally:
            kept = os.path.join(folder, "events")  # Bochs's options allow fewer names than a user's file may have
            if opt.events and os.path.exists(kept):
                shutil.copyfile(kept, opt.events)
    panicked = any(line.startswith("panic:") for line in lines)
    if left and not panicked:
        return Verdict(PASSED, "")
    if opt.interactive and panicked and PANIC_PLANNED in lines:
        return Verdict(PASSED, "the kernel panicked, as it was asked to")
    return judge(lines, ending)


def no_window(reason):
    print(f"run: no window: {reason}", file=sys.stderr, flush=True)


def window_of(opt):
    """The emulator's window: asked for, or Bochs's own way where there is a display."""
    if not opt.gui:
        return emu.window_if_any("bochs") if opt.emulator == "bochs" and sys.stdin.isatty() else None
    try:
        return emu.window(opt.emulator)
    except RunError as reason:
        no_window(reason)
        return None


def run(opt):
    """In a window if one is wanted; without, if the emulator does not get it."""
    emu.check_mem(opt.emulator, opt.mem)
    for path in [opt.image] + ([opt.disk2] if opt.disk2 else []):
        if not os.path.exists(path):
            raise RunError(f"{path} is not there: run `make` first")
    opt.disk2 = opt.disk2 and os.path.abspath(opt.disk2)
    if opt.events:
        opt.events = os.path.abspath(opt.events)
        opt.args = f"{opt.args or ''} events=com2".strip()
        with open(opt.events, "wb"):
            pass  # records of an earlier run must not be taken for this one's
    opt.places = screen.Places(os.path.join(os.path.dirname(opt.image), "kernel.elf"), emu.ROOT)
    opt.window = window_of(opt)
    try:
        return run_once(opt)
    except RunError as reason:
        if not opt.window:
            raise
        no_window(reason)
    opt.window = None
    return run_once(opt)


def parse(argv):
    parser = cli.Parser(prog="run.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--emulator", choices=sorted(emu.PROGRAM), default="qemu")
    parser.add_argument("--image", default="build/hd.img")
    parser.add_argument("--mem", type=cli.mebibytes, default=32, metavar="MIB")
    parser.add_argument("--cpus", type=cli.processors, default=1, metavar="N", help="the machine's processors")
    parser.add_argument("--args", metavar="TEXT", help="kernel command line, in a copy of the image")
    parser.add_argument("--accel", default="tcg", help="QEMU's accelerator")
    parser.add_argument("--icount", action="store_true", help="QEMU: rdtsc counts executed instructions")
    parser.add_argument("--disk2", metavar="FILE", help="second disk, a raw file")
    parser.add_argument("--events", metavar="FILE", help="write a record of each heap call here (docs/events.md): "
                        "adds `events=com2` to --args")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="default 60, Bochs 120")
    parser.add_argument("--transcript", metavar="FILE", help="keep the console's text here")
    parser.add_argument("--quiet", action="store_true", help="do not show the console")
    parser.add_argument("--interactive", action="store_true", dest="must_interact",
                        help="the console is this terminal; Ctrl-] leaves")
    parser.add_argument("--gui", action="store_true", help="show the machine's screen in a window")
    parser.add_argument("--auto", action="store_true",
                        help="interactive with a terminal on standard input, else batch: add `batch` to --args")
    opt = parser.parse_args(argv)
    if opt.timeout is None:
        opt.timeout = 120.0 if opt.emulator == "bochs" else 60.0
    if opt.must_interact and not sys.stdin.isatty():
        parser.error("--interactive needs a terminal on standard input")
    return opt


def main(argv):
    verdict = run(parse(argv))
    if verdict.message:
        print(f"run: {verdict.message}", file=sys.stderr)
    return verdict.code


if __name__ == "__main__":
    sys.exit(cli.main(main, "run"))
